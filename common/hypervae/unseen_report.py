"""The section of results/README.md on classes that nobody has seen: nats by context, and paired differences."""

import itertools

import numpy as np
import pandas as pd

from common.hypervae.options import OF_SOME_MODELS
from common.hypervae.peers import ADAPTATIONS
from common.runs import identity
from common.runs.summaries import LEVEL, markdown_table, mean_interval

RIVALS = ("vae_wide_finetuned", "vae_wide")  # whom differences are taken from: the first that is there
# All weights beside less of them, what is adapted alike.
ALL, LESS = ("hypervae", "hypervae_tuned"), ("scale_bias", "bias", "neural_statistician")
UNSEEN = """\
-ELBO of test images of classes that the training left out, nats an image, given a few other images of the class: the
mean over classes, of each over all the seeds that it has. No KL(u): the receiver has the context. Without an image a
model with u stands at u = 0, a mixture has the known tasks alone. Fine-tuning's steps and rate are those that are best
for the next fold's classes, by a model of the same kind that has not seen these; `adapt` has those of
`HyperVAE.adapt`, which digits chose. A mixture is the tuned VAE beside those of the tasks of training, its share chosen
in the same way. A size that some of the classes have too few images for is left out.
"""
DIFFERENCES = """\
Differences from {rival} are paired by the classes and seeds that both have, so they need not be differences of these
means; the interval is Student's over classes, {level:.0%}: of two classes it says little.
"""
ALL_BESIDE_LESS = """\
Whether u should generate all weights: nats of HyperVAE less those of models of which u changes scales and biases,
biases, or an input. Below zero HyperVAE is ahead; paired by class and seed, Student's interval over classes,
{level:.0%}, each by itself. Classes of one fold share their trainings, so intervals are too short; of two classes they
say little.
"""
LIKELIHOODS = """\
The same images' -log p, importance-sampled (fewer images than above), and the milliseconds that adapting to a context
took, median over classes and seeds: of machines that did other work, too.
"""
MEASURES = ["neg_elbo", "nll_is", "adapt_milliseconds"]

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


def drawn(rows, records):
    """What a figure of one data set shows: of each protocol all methods that have every class that any of them has.

    Returns:
        [(title, protocol, nats, differences)]: nats with the columns method, words, num_context and neg_elbo, the mean
        over classes; differences of what is tuned from the tuned VAE with rival, method, words, num_context, mean, low
        and high.
    """
    table, words, found = unseen_by_seed(rows, records), protocol_words(rows, records), []
    for (dataset, protocol, iterations), own in table.groupby(["dataset", "protocol", "iterations"], sort=False):
        classes = own.groupby("variant")["class"].transform("nunique")
        own = own[classes == classes.max()]
        of_class = own.groupby(["method", "words", "num_context", "class"], sort=False)["neg_elbo"].mean()
        means = of_class.groupby(["method", "words", "num_context"], sort=False).agg(["mean", "count"])
        nats = means["mean"][means["count"] == classes.max()].rename("neg_elbo").reset_index()
        which = f"{dataset}: {classes_in_words(set(own['class']))} that no training saw"
        title = ", ".join(
            filter(
                None,
                [
                    which,
                    f"{iterations:,} steps",
                    _seeds(own) + (" seed" if _seeds(own) == "1" else " seeds"),
                    words[protocol],
                ],
            )
        )
        found.append((title, protocol, nats, _differences(own)))
    return found


def _differences(own):
    """Of what was tuned, from the tuned VAE, see `drawn`."""
    of_rival = own[own["method"] == RIVALS[0]]
    found = []
    if of_rival["variant"].nunique() == 1:
        tuned = own[own["method"].str.endswith(("_finetuned", "_adapt")) & (own["method"] != RIVALS[0])]
        for (method, words, size), part in tuned.groupby(["method", "words", "num_context"], sort=False):
            values = _paired(part, of_rival[of_rival["num_context"] == size]).groupby("class").mean().to_numpy()
            if len(values):
                low, high = mean_interval(values, LEVEL)
                found.append((RIVALS[0], method, words, size, values.mean(), low, high))
    return pd.DataFrame(found, columns=["rival", "method", "words", "num_context", "mean", "low", "high"])


def _paired(part, other):
    """Differences in nats by class and seed, of those that both have: (class, seed) -> nats."""
    own, of_other = (rows.set_index(["class", "seed"])["neg_elbo"] for rows in (part, other))
    return (own - of_other).dropna()


def unseen_by_seed(rows, records):
    """MEASURES: one row a `protocol`, method, `variant`, size of the context, class and seed.

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
    return rows.groupby(keys, sort=False)[MEASURES].mean().reset_index()


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
        parts.append(_likelihoods(own, sizes, title))
        parts.append(_all_beside_less(own[own["method"].map(alone)], sizes, title))
    return "\n\n".join(filter(None, parts))


def _likelihoods(own, sizes, title):
    """Markdown: the importance-sampled likelihood by size, and how long adapting took, of all classes of a method."""
    body = []
    for (method, _), part in own.groupby(["method", "variant"], sort=False):
        nats = part.groupby(["num_context", "class"])["nll_is"].mean().groupby("num_context").mean()
        took = part.groupby("num_context")["adapt_milliseconds"].median()
        cells = [f"{nats[size]:.1f} ({took[size]:,.0f})" if nats.notna().get(size, False) else "" for size in sizes]
        if any(cells):
            body.append([method, part["class"].nunique(), _seeds(part), *cells, part["words"].iloc[0]])
    if not body:
        return ""
    header = ["-log p (milliseconds)", "classes", "seeds", *(f"{size} images" for size in sizes), "settings"]
    return f"**{title}**\n\n{LIKELIHOODS}\n{markdown_table(header, body)}"


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
    difference = _paired(part[part["num_context"] == size], of_rival)
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
