"""Sections of results/README.md on new tasks: what models are told, what u may change, few drawings."""

from common.hypervae import unseen_report
from common.hypervae.unseen_report import OF_A_METHOD
from common.runs import identity
from common.runs.results import tables
from common.runs.summaries import count, markdown_table, over_seeds, plus_minus, with_fingerprint

STAGE = "09_new_tasks"
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
    makers = {
        "told.csv": ("New tasks: what each model is told", _told),
        "generate.csv": ("New tasks: what u may change", _generate),
        "unseen.csv": ("New tasks: unseen classes", unseen_report.section),
        "characters.csv": ("New tasks: unseen characters of Omniglot", _characters),
        "characters_bound.csv": ("New tasks: sets of an unseen character", _characters_bound),
    }
    there = tables(results_dir / STAGE, makers, own)
    return [(title, make(rows, records)) for (title, make), rows, records in there]


def _apart(rows, records, by, method):
    """{experiment: the settings that tell it from those that are alike in the columns `by`, in words}.

    What a method is by itself tells apart those alone that are alike in the columns `method`, too.
    """
    words = {}
    for _, part in rows.drop_duplicates("experiment").groupby(by, sort=False, dropna=False):
        groups = dict(zip(part["experiment"], part[method].itertuples(index=False, name=None)))
        stored = {row.experiment: records[row.run] for row in part.itertuples()}
        # Which images a step codes is asked for beside a method's name.
        words |= identity.differences(stored, groups, OF_A_METHOD - {"targets"})
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
