"""Sections of results/README.md on new tasks: what models are told, what u may change, classes that nobody has seen."""

import itertools

import numpy as np

from common.hypervae.options import OF_SOME_MODELS
from common.hypervae.peers import ADAPTATIONS
from common.runs import identity
from common.runs.results import read_records, read_rows
from common.runs.summaries import count, markdown_table, mean_interval, over_seeds, plus_minus, with_fingerprint

STAGE = "09_new_tasks"
RIVALS = ("vae_wide_finetuned", "vae_wide")  # whom differences are taken from: the first that is there
# All weights beside less of them, what is adapted alike.
ALL, LESS = ("hypervae", "hypervae_tuned"), ("scale_bias", "bias", "neural_statistician")
LEVEL = 0.95
TOLD = """\
The same images with more and with less told (a heap: of so many as stand there). Both lengths are nats an image and
hold KL(u)/n where u is inferred from test images. NLL is of as many images of each set as make up some 2,000; smaller
sets give others, so only NLL of equally many images are of the same ones. A mixture is p(x) = sum_k p_k p(x|theta_k)
over the tasks of training: it is told nothing, and pays for no u. `vae_wide` has as many hidden units as bring it to
HyperVAE's number of parameters (190 on images of 28 x 28). Rand is the adjusted Rand index of found tasks with the
labels.
"""
GENERATE = """\
What of theta u may change, by the protocol of Table 1 (up to 100 test images of one class). The rank is that of H, and
of the change of a kernel; the Neural Statistician's form has no H, and biases and scales are vectors.
"""
UNSEEN = """\
-ELBO of test images of classes that the training left out, nats an image, given a few other images of the class: the
mean over classes (seeds averaged). No KL(u): the receiver has the context. Fine-tuning's steps and rate are those that
are best for the next fold's classes, by a model of the same kind that has not seen these. A mixture is the tuned VAE
beside those of the tasks of training, its share chosen in the same way. A size that some of the classes have too few
images for is left out.
"""
DIFFERENCES = """\
Differences from {rival} are paired by class; the interval is Student's over classes, {level:.0%}: of two classes it
says little.
"""
ALL_BESIDE_LESS = """\
Whether u should generate all weights: nats of HyperVAE less those of models of which u changes scales and biases,
biases, or an input. Below zero HyperVAE is ahead; paired by class, Student's interval, {level:.0%}, each by itself.
Classes of one fold share their trainings, so intervals are too short; of two classes they say little.
"""
CHARACTERS = """\
-log p of other drawings of an unseen character given some, nats an image, importance-sampled by so many draws. Without
a drawing HyperVAE is the mixture of VAEs of u drawn from its prior (whose -ELBO in characters.csv, of four draws of z,
is too small: read the NLL). Published figures have residual networks and all
characters of the test part (Bartunov & Vetrov 2018, Table 1).
"""
BOUND = """\
-ELBO of sets of drawings of one unseen character, nats an image, u drawn from q(u|set) and KL(u) shared by the set;
all characters of the part.
Published: Neural Statistician 101.6, 96.3, 94.9, 94.4 at sizes 2, 5, 10, 20; SCHA-VAE 94.9, 88.4, 86.7, 86.0 (Giannone
& Winther 2022, read off a figure; other preparation of the drawings).
"""
GENERATE_TOLD = "up to 100 test images of its class"  # what generate.csv's models are told
PUBLISHED = {  # -log p by number of drawings
    "published: VAE": {0: 89.2},
    "published: average of the set": {0: 91.3, 1: 83.9, 2: 82.3, 3: 81.8, 4: 81.1, 9: 80.3},
    "published: Generative Matching Network": {0: 90.9, 1: 82.8, 2: 78.8, 3: 76.4, 4: 74.2, 9: 64.6},
}
PUBLISHED_DRAWS = 1_000


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    found = []
    makers = (
        ("told.csv", "New tasks: what each model is told", _told),
        ("generate.csv", "New tasks: what u may change", _generate),
        ("unseen.csv", "New tasks: unseen classes", _unseen),
        ("characters.csv", "New tasks: unseen characters of Omniglot", _characters),
        ("characters_bound.csv", "New tasks: sets of an unseen character", _characters_bound),
    )
    for name, title, make in makers:
        path = results_dir / STAGE / name
        rows = read_rows(path, own) if path.exists() else ()
        if len(rows):
            found.append((title, make(rows, read_records(path))))
    return found


# Settings in which the methods of one comparison may differ: their own, the fold's data, what is done with a context.
_OF_A_METHOD = {"fingerprint", "model", "hidden", *OF_SOME_MODELS, "way", "tasks", "fitted", "adaptation"}
_OF_A_METHOD |= {"tuning_steps", "tuning_rates", "chooser", "num_samples", "adapted_shares", "known_images"}


def _apart(rows, records, by, method):
    """{experiment: the settings that tell it from those that are alike in the columns `by`, in words}.

    What a method is by itself tells apart those alone that are alike in the columns `method`, too.
    """
    words = {}
    for _, part in rows.drop_duplicates("experiment").groupby(by, sort=False, dropna=False):
        groups = dict(zip(part["experiment"], part[method].itertuples(index=False, name=None)))
        stored = {row.experiment: records[row.run] for row in part.itertuples()}
        # Which images a step codes is asked for beside a method's name.
        words |= identity.differences(stored, groups, _OF_A_METHOD - {"targets"})
    return words


def _told(rows, records):
    measures = ["neg_elbo", "nll_is"]
    table = over_seeds(rows, measures)
    words = _apart(rows, records, ["dataset", "part", "iterations"], ["method"])
    by_length = {"iterations": -table["iterations"]}  # longer trainings first, each by itself
    table = table.assign(**by_length).sort_values(["dataset", "part", "iterations", "neg_elbo_mean"], kind="stable")
    body = []
    for _, row in table.iterrows():
        line = [row["dataset"], row["part"], f"{-row['iterations']:,.0f}", row["method"], row["told"]]
        line += [f"{row['parameters']:,.0f}", row["num_seeds"]]
        line += [plus_minus(row[f"{name}_mean"], row[f"{name}_std"]) for name in measures]
        found = (
            f"{row['num_tasks']:.0f} tasks found, Rand {row['rand_index']:.2f}" if row.get("num_tasks", 0) > 0 else ""
        )
        line += [f"{row[name]:,.0f}" if row[name] else "" for name in ("num_images", "nll_num_images")]
        body.append([*line, ", ".join(filter(None, [found, words[row["experiment"]]]))])
    header = [
        "data",
        "part",
        "steps",
        "method",
        "told",
        "parameters",
        "seeds",
        "-ELBO",
        "NLL (IS)",
        "images",
        "of NLL",
        "settings",
    ]
    return TOLD + "\n" + markdown_table(header, body)


def by_method(rows, records, measures, name, known):
    """What figures of told.csv and generate.csv show: of each data set, part and number of steps a line an experiment.

    Args:
        measures: columns; name: the column that is the method's; known: {fingerprint: name} of the data sets wanted.

    Returns:
        [(title, stem of a file's name, table with columns method, told, words, <measure>_mean and <measure>_std)]
    """
    rows = with_fingerprint(rows, {run: _data_of(records[run]) for run in rows["run"]})
    rows = rows[rows["fingerprint"].isin(known)]
    rows = rows.assign(method=rows[name], told=rows["told"] if "told" in rows else GENERATE_TOLD)
    words = _apart(rows, records, ["fingerprint", "part", "iterations"], ["method"])
    table = over_seeds(rows, measures)
    table, found = table.assign(words=table["experiment"].map(words)), []
    for (dataset, of, part, iterations), own in table.groupby(
        ["dataset", "fingerprint", "part", "iterations"], sort=False
    ):
        seeds = "up to " * (own["num_seeds"].nunique() > 1) + count(own["num_seeds"].max(), "seed")
        title, stem = f"{dataset}, {part} part, {iterations:,} steps, {seeds}", f"{known[of]}-{of}_{part}_{iterations}"
        found.append((title, stem, own))
    return found


def _data_of(stored):
    """The fingerprint of the data of a Told record, whatever tasks its training had."""
    tasks = stored.get("tasks")
    known_by = stored["training"] if not tasks else tasks if "fingerprint" in tasks else tasks["vae"]
    return known_by["fingerprint"]


def _generate(rows, records):
    measures = ["neg_elbo", "reconstruction", "kl_z", "kl_u"]
    table, words = over_seeds(rows, measures), _apart(rows, records, ["dataset", "part"], ["generate", "rank"])
    table = table.sort_values(["dataset", "part", "neg_elbo_mean"], kind="stable")
    body = [
        [row["dataset"], row["part"], row["generate"], row["rank"], f"{row['parameters']:,.0f}", row["num_seeds"]]
        + [plus_minus(row[f"{name}_mean"], row[f"{name}_std"], 2) for name in measures]
        + [words[row["experiment"]]]
        for _, row in table.iterrows()
    ]
    header = ["data", "part", "generated", "rank", "parameters", "seeds", "-ELBO", "reconstruction", "KL(z)", "KL(u)/n"]
    return GENERATE + "\n" + markdown_table([*header, "settings"], body)


def unseen_by_class(rows, records):
    """-ELBO of each class, seeds averaged: one row a `protocol`, method, `variant`, size of the context and class.

    A protocol is what all methods share; a variant all settings of a method but the fold's data and the context's size;
    `words` tell it from other variants of its method.
    """
    rows = rows.assign(
        protocol=[
            identity.experiment(identity.without(records[run], _OF_A_METHOD | {"num_context"})) for run in rows["run"]
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
    keys = ["dataset", "protocol", "iterations", "variant", "words", "method", "num_context", "class"]
    grouped = rows.groupby(keys, sort=False)
    return grouped["neg_elbo"].mean().to_frame().assign(num_seeds=grouped["seed"].nunique()).reset_index()


def protocol_words(rows, records):
    """{protocol: what tells it from the others, in words} of rows of unseen.csv."""
    own = {run: identity.without(records[run], _OF_A_METHOD | {"num_context"}) for run in rows["run"].unique()}
    return identity.differences({identity.experiment(r): identity.without(r, {"whole"}) for r in own.values()})


def _unseen(rows, records):
    """A table for each protocol and each set of classes that a method has: means are of the same classes."""
    table = unseen_by_class(rows, records)
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
                body.append([method, part["num_seeds"].max(), *cells, part["words"].iloc[0]])
            title = [dataset, classes_in_words(classes), f"{iterations:,} steps", words[protocol]]
            parts += [f"**{', '.join(filter(None, title))}**", markdown_table(header, body)]
        title = f"{dataset}, {iterations:,} steps" + f", {words[protocol]}" * bool(words[protocol])
        parts.append(_all_beside_less(own[own["method"].map(alone)], sizes, title))
    return "\n\n".join(filter(None, parts))


def _all_beside_less(own, sizes, title):
    """Markdown: HyperVAE less peers of which u changes less, paired by the classes that both have."""
    nats = own.pivot(index="class", columns=["method", "num_context"], values="neg_elbo")
    body = []
    for whole, less, ending in itertools.product(ALL, LESS, ("", *(f"_{how}" for how in ADAPTATIONS[1:]))):
        pairs = [((whole + ending, size), (less + ending, size)) for size in sizes]
        found = [(nats[a] - nats[b]).dropna() if {a, b} <= set(nats) else nats.iloc[:0, 0] for a, b in pairs]
        most = max(found, key=len)
        if len(most):  # a size that some of the classes have too few images for is left out
            cells = [_difference(values.to_numpy()) if len(values) == len(most) else "" for values in found]
            seeds = own[own["method"].isin([whole + ending, less + ending])]["num_seeds"].min()
            body.append([f"{whole}{ending} - {less}{ending}", ", ".join(map(str, sorted(most.index))), seeds, *cells])
    if not body:
        return ""
    header = ["all weights less a part", "classes", "seeds", *(f"{size} images" for size in sizes)]
    return f"**{title}**\n\n{ALL_BESIDE_LESS.format(level=LEVEL)}\n{markdown_table(header, body)}"


def classes_in_words(classes):
    """ "classes 2, 7"; of many their number."""
    return f"classes {', '.join(map(str, sorted(classes)))}" if len(classes) <= 10 else f"{len(classes)} classes"


def _cell(part, own, size, rival, classes):
    """ "129.4 (-8.1: -9.0 to -7.2)": the mean of some classes, and how it differs from the rival's, given as much."""
    nats = part[part["num_context"] == size].set_index("class")["neg_elbo"]
    if set(nats.index) != set(classes):
        return ""
    text = f"{nats.mean():.1f}"
    # Without a context nothing is tuned: the rival is then the model as it is.
    name = rival if size or rival is None else rival.removesuffix("_finetuned")
    of_rival = own[(own["method"] == name) & (own["num_context"] == size)]
    if (part["method"] == name).all() or of_rival["class"].duplicated().any():
        return text
    difference = (nats - of_rival.set_index("class")["neg_elbo"]).to_numpy()
    if np.isnan(difference).any():  # the rival has not all of these classes
        return text
    return f"{text} ({_difference(difference)})"


def _difference(values):
    """ "-8.1: -9.0 to -7.2": the mean of differences, and its interval, if there are several."""
    low, high = mean_interval(values, LEVEL)
    return f"{values.mean():+.1f}" + ("" if np.isnan(low) else f": {low:+.1f} to {high:+.1f}")


def _characters(rows, records):
    return CHARACTERS + "\n" + _by_size(rows, records, "num_context", "nll_is", "drawings", PUBLISHED)


def _characters_bound(rows, records):
    return BOUND + "\n" + _by_size(rows, records, "set_size", "neg_elbo", "in a set", {})


def lines_by_size(rows, records, size, measure):
    """A line for each method, part and training of characters.csv or characters_bound.csv.

    Args:
        size: the column of sizes; measure: that of nats.

    Returns:
        [{method, part, words (what tells it from the others), iterations, draws (of z; 0 where nothing is importance-
        sampled), num_images, parameters, num_seeds, mean and std (of the seeds, {size: nats})}]
    """
    own = {run: identity.without(records[run], {size}) for run in rows["run"].unique()}
    rows = rows.assign(variant=[identity.experiment(own[run]) for run in rows["run"]])
    table = over_seeds(rows, [measure], ["variant"])
    words = _apart(rows.assign(experiment=rows["variant"]), own, ["part"], ["method"])
    draws = {variant: own[run].get("num_importance_samples", 0) for variant, run in zip(rows["variant"], rows["run"])}
    found = []
    for (method, part, variant), line in table.groupby(["method", "part", "variant"], sort=False):
        numbers = {name: line[name].max() for name in ("iterations", "num_images", "parameters", "num_seeds")}
        numbers["draws"] = draws[variant]
        nats = {name: dict(zip(line[size], line[f"{measure}_{name}"])) for name in ("mean", "std")}
        found.append({"method": method, "part": part, "words": words[variant], **numbers, **nats})
    return sorted(found, key=lambda line: line["part"])  # stable: test before validation


def _by_size(rows, records, size, measure, unit, published):
    """`lines_by_size` as a table, a column a size; of several seeds the mean and standard deviation."""
    sizes = sorted({*rows[size], *(number for values in published.values() for number in values)})
    body = []
    for line in lines_by_size(rows, records, size, measure):
        mean, std = line["mean"], line["std"]
        cells = [plus_minus(mean[number], std[number]) if number in mean else "" for number in sizes]
        numbers = [f"{line[name]:,.0f}" for name in ("iterations", "draws", "num_images", "parameters", "num_seeds")]
        body.append([line["method"], line["part"], *numbers, *cells, line["words"]])
    for name, values in published.items():
        cells = [values.get(number, "") for number in sizes]
        body.append([name, "test", "", f"{PUBLISHED_DRAWS:,}", "", "", "", *cells, ""])
    header = ["method", "part", "steps", "draws", "images", "parameters", "seeds"]
    return markdown_table([*header, *(f"{number} {unit}" for number in sizes), "settings"], body)
