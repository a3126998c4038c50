"""The section of results/README.md on classes that nobody has seen: nats by context, and paired differences."""

import itertools

import numpy as np

from common.hypervae.options import OF_SOME_MODELS
from common.hypervae.peers import ADAPTATIONS
from common.runs import identity
from common.runs.summaries import LEVEL, markdown_table, mean_interval

RIVALS = ("vae_wide_finetuned", "vae_wide")  # whom differences are taken from: the first that is there
# All weights beside less of them, what is adapted alike.
ALL, LESS = ("hypervae", "hypervae_tuned"), ("scale_bias", "bias", "neural_statistician")
UNSEEN = """\
-ELBO of test images of classes that the training left out, nats an image, given a few other images of the class: the
mean over classes (seeds averaged). No KL(u): the receiver has the context. Fine-tuning's steps and rate are those that
are best for the next fold's classes, by a model of the same kind that has not seen these. A mixture is the tuned VAE
beside those of the tasks of training, its share chosen in the same way. A size that some of the classes have too few
images for is left out.
"""
DIFFERENCES = """\
Differences from {rival} are paired by class and seed; the interval is Student's over classes, {level:.0%}: of two
classes it says little.
"""
ALL_BESIDE_LESS = """\
Whether u should generate all weights: nats of HyperVAE less those of models of which u changes scales and biases,
biases, or an input. Below zero HyperVAE is ahead; paired by class and seed, Student's interval over classes,
{level:.0%}, each by itself. Classes of one fold share their trainings, so intervals are too short; of two classes they
say little.
"""

# Settings in which the methods of one comparison may differ: their own, the fold's data, what is done with a context.
OF_A_METHOD = {"fingerprint", "model", "hidden", *OF_SOME_MODELS, "way", "tasks", "fitted", "adaptation"}
OF_A_METHOD |= {
    "tuning_steps",
    "tuning_rates",
    "chooser",
    "num_samples",
    "adapted_shares",
    "known_images",
    "steps_by_images",
}


def unseen_by_class(rows, records):
    """-ELBO of each class, seeds averaged, with num_seeds: else as `unseen_by_seed`."""
    table = unseen_by_seed(rows, records)
    grouped = table.groupby([name for name in table if name not in ("seed", "neg_elbo")], sort=False)
    return grouped["neg_elbo"].mean().to_frame().assign(num_seeds=grouped["seed"].nunique()).reset_index()


def unseen_by_seed(rows, records):
    """-ELBO: one row a `protocol`, method, `variant`, size of the context, class and seed.

    A protocol is what all methods share; a variant all settings of a method but the fold's data and the context's size;
    `words` tell it from other variants of its method.
    """
    rows = rows.assign(
        protocol=[
            identity.experiment(identity.without(records[run], OF_A_METHOD | {"num_context"})) for run in rows["run"]
        ],
        variant=[
            identity.experiment(identity.without(records[run], {"fingerprint", "num_context"})) for run in rows["run"]
        ],
    )
    first = rows.drop_duplicates("variant")
    hidden = {"fingerprint", "num_context", "chooser"}
    own = {row.variant: identity.without(records[row.run], hidden) for row in first.itertuples()}
    groups = dict(zip(first["variant"], first[["dataset", "protocol", "method"]].itertuples(index=False, name=None)))
    words = identity.differences(own, groups, {name for stored in own.values() for name in stored})
    iterations = [records[run]["training"]["iterations"] for run in rows["run"]]
    rows = rows.assign(words=rows["variant"].map(words), iterations=iterations)
    keys = ["dataset", "protocol", "iterations", "variant", "words", "method", "num_context", "class", "seed"]
    return rows.groupby(keys, sort=False)["neg_elbo"].mean().reset_index()


def protocol_words(rows, records):
    """{protocol: what tells it from the others, in words} of rows of unseen.csv."""
    own = {run: identity.without(records[run], OF_A_METHOD | {"num_context"}) for run in rows["run"].unique()}
    return identity.differences({identity.experiment(r): identity.without(r, {"whole"}) for r in own.values()})


def section(rows, records):
    """A table for each protocol and each set of classes that a method has: means are of the same classes."""
    table = unseen_by_seed(rows, records)
    parts, words = [], protocol_words(rows, records)
    for (dataset, protocol, iterations), own in table.groupby(["dataset", "protocol", "iterations"], sort=False):
        sizes = sorted(own["num_context"].unique())
        alone = own.groupby("method")["variant"].nunique() == 1  # of two variants neither is the rival
        rival = next((name for name in RIVALS if alone.get(name, False)), None)
        parts.append(UNSEEN + (DIFFERENCES.format(rival=rival, level=LEVEL) if rival else ""))
        header = ["method", "seeds", *(f"{size} images" for size in sizes), "settings"]
        classes_of = own.groupby(["method", "variant"], sort=False)["class"].agg(frozenset)
        for classes in sorted(set(classes_of), key=lambda found: (-len(found), sorted(found))):
            same, body = own[own["class"].isin(classes)], []
            for method, variant in classes_of.index[classes_of >= classes]:
                part = same[(same["method"] == method) & (same["variant"] == variant)]
                cells = [_cell(part, same, size, rival, classes) for size in sizes]
                body.append([method, _seeds(part), *cells, part["words"].iloc[0]])
            title = [dataset, classes_in_words(classes), f"{iterations:,} steps", words[protocol]]
            parts += [f"**{', '.join(filter(None, title))}**", markdown_table(header, body)]
        title = f"{dataset}, {iterations:,} steps" + f", {words[protocol]}" * bool(words[protocol])
        parts.append(_all_beside_less(own[own["method"].map(alone)], sizes, title))
    return "\n\n".join(filter(None, parts))


def _all_beside_less(own, sizes, title):
    """Markdown: HyperVAE less peers of which u changes less, paired by the classes and seeds that both have."""
    nats = own.pivot(index=["class", "seed"], columns=["method", "num_context"], values="neg_elbo")
    body = []
    for whole, less, ending in itertools.product(ALL, LESS, ("", *(f"_{how}" for how in ADAPTATIONS[1:]))):
        pairs = [((whole + ending, size), (less + ending, size)) for size in sizes]
        found = [(nats[a] - nats[b]).dropna() if {a, b} <= set(nats) else nats.iloc[:0, 0] for a, b in pairs]
        most = max(found, key=len)
        if len(most):  # a size that some of the classes have too few images for is left out
            cells = [_difference(values) if len(values) == len(most) else "" for values in found]
            pairs = most.reset_index()
            classes = ", ".join(map(str, sorted(set(pairs["class"]))))
            body.append([f"{whole}{ending} - {less}{ending}", classes, _seeds(pairs), *cells])
    if not body:
        return ""
    header = ["all weights less a part", "classes", "seeds", *(f"{size} images" for size in sizes)]
    return f"**{title}**\n\n{ALL_BESIDE_LESS.format(level=LEVEL)}\n{markdown_table(header, body)}"


def classes_in_words(classes):
    """ "classes 2, 7"; of many their number."""
    return f"classes {', '.join(map(str, sorted(classes)))}" if len(classes) <= 10 else f"{len(classes)} classes"


def _cell(part, own, size, rival, classes):
    """ "129.4 (-8.1: -9.0 to -7.2)": the mean of some classes, and how it differs from the rival's, given as much."""
    nats = part[part["num_context"] == size].set_index(["class", "seed"])["neg_elbo"]
    if set(nats.index.unique("class")) != set(classes):
        return ""
    text = f"{nats.groupby('class').mean().mean():.1f}"
    # Without a context nothing is tuned: the rival is then the model as it is.
    name = rival if size or rival is None else rival.removesuffix("_finetuned")
    of_rival = own[(own["method"] == name) & (own["num_context"] == size)]
    if (part["method"] == name).all() or of_rival.duplicated(["class", "seed"]).any():
        return text
    difference = (nats - of_rival.set_index(["class", "seed"])["neg_elbo"]).dropna()
    if set(difference.index.unique("class")) != set(classes):  # the rival has not all of these classes
        return text
    return f"{text} ({_difference(difference)})"


def _seeds(rows):
    """ "3", or "1 to 3" where some classes have fewer: how many seeds the classes of rows have."""
    of_classes = rows.groupby("class")["seed"].nunique()
    least, most = of_classes.min(), of_classes.max()
    return f"{least}" if least == most else f"{least} to {most}"


def _difference(by_seed):
    """ "-8.1: -9.0 to -7.2": the mean over classes of differences by class and seed, and its interval over classes."""
    values = by_seed.groupby("class").mean().to_numpy()
    low, high = mean_interval(values, LEVEL)
    return f"{values.mean():+.1f}" + ("" if np.isnan(low) else f": {low:+.1f} to {high:+.1f}")
