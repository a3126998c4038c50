"""Figures of implicit hypernetworks: Figure 2 of Sheikh et al., and what the certainty of classifications is worth."""

import matplotlib.pyplot as plt
import numpy as np

from common.data.blocks import spread
from common.runs.figures import grey, save
from common.runs.identity import digest
from common.runs.summaries import count

MOST_SPLITS = 3  # of a table, in Figure 2
BAND = 3  # standard deviations, as in the paper's Figure 2
LEAST_IMAGES = 20  # in a bin of confidence, over all seeds: below, its accuracy says little
LONGEST_NAME = 80  # of a data set, in the name of a file
MOST_ROWS = 200  # of predictions in a picture, spread over all
IMAGES_A_ROW, MOST_IMAGES = 8, 24  # of predicted classes in a picture
COLOURS = {"hypernet": "tab:red", "sgd": "black"}


def of_chosen(summary, curves, folder):
    """Figure 2 of each table and recipe: what held-out rows chose, of the protocol with most splits and draws.

    Args:
        summary: of `regression_report.summarise_regression`.
        curves: rows of figure2.csv.
    """
    chosen = summary[summary["chosen"]].sort_values(["num_splits", "num_samples"], kind="stable")
    for (_, recipe), own in chosen.groupby(["fingerprint", "recipe"]):
        drawn = own.groupby("method").last()
        if "hypernet" in drawn.index:
            found = [curves[curves["experiment"] == experiment] for experiment in drawn["experiment"]]
            parts = dict(zip(drawn.index, found))
            name = parts["hypernet"]["dataset"].iloc[0][:LONGEST_NAME] + ("_paper" if recipe == "paper" else "")
            weight_spread(parts["hypernet"], parts.get("sgd", curves[:0]), folder, name)


def of_data_set(fingerprint, records, bins, rejection, curves, folder):
    """`certainty` of the networks that were measured on test images of one data set.

    Args:
        records: {run: stored record}.
        bins, rejection, curves: rows of reliability.csv, rejection.csv and curves.csv.
    """
    runs = {run for run, record in records.items() if record.get("fingerprint") == fingerprint}
    parts = [part[part["run"].isin(runs) & (part["evaluated_on"] == "test")] for part in (bins, rejection, curves)]
    if len(parts[0]):
        name = parts[0]["dataset"].iloc[-1][:LONGEST_NAME]
        certainty(*parts, folder / f"calibration_{name}-{fingerprint}.png", name)


def weight_spread(hypernet, sgd, folder, name):
    """Figure 2 of Sheikh et al.: spread of the generated weights, and test RMSE of both methods, over epochs.

    A panel for each of the first splits, of the first seed. The blue curve is the mean over weights of their standard
    deviation over 10 draws, the grey area three of these around a weight's mean.

    Args:
        hypernet, sgd: rows of figure2.csv of one experiment each; `sgd` may be empty.

    Returns:
        the file's path, <folder>/figure2_<name>-<digest of the two experiments>.png.
    """
    drawn = [sorted(set(rows["experiment"])) for rows in (hypernet, sgd)]
    path = folder / f"figure2_{name}-{digest({'experiments': drawn})}.png"
    splits = sorted(hypernet["split"].unique())[:MOST_SPLITS]
    size = (4.2 * len(splits) + 0.8, 5.2)
    figure, axes = plt.subplots(2, len(splits), figsize=size, squeeze=False, sharex=True, sharey="row")
    for column, split in enumerate(splits):
        above, below = axes[:, column]
        own = _first_seed(hypernet, split)
        three = BAND * own["spread"]
        above.fill_between(own["epoch"], -three, three, color="0.88", label="three standard deviations around the mean")
        above.plot(own["epoch"], own["spread"], color="tab:blue", label="standard deviation of a weight over 10 draws")
        above.set(title=f"{own['dataset'].iloc[0]}, split {split}")
        for method, rows in (("sgd", sgd), ("hypernet", hypernet)):
            if len(rows):
                curve = _first_seed(rows, split)
                below.plot(curve["epoch"], curve["rmse"], color=COLOURS[method], lw=1, label=f"test RMSE, {method}")
        below.set(xlabel="epoch", yscale="log", xscale="log")
    for axis in (axes[1, 0].xaxis, axes[1, 0].yaxis):
        _plain_numbers(axis)
    axes[0, 0].set_ylabel("weight minus its mean")
    axes[1, 0].set_ylabel("test RMSE")
    handles = [handle for axis in axes[:, 0] for handle in axis.get_legend_handles_labels()[0]]
    figure.set_layout_engine("tight", rect=(0, 0.06, 1, 1))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8)
    save(figure, path)
    return path


def _plain_numbers(axis):
    """Labels of a logarithmic axis as 0.5, 2 and 30; those between powers of ten where there is room for them."""
    low, high = axis.get_view_interval()
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}" if high < 10 * low else "")


def _first_seed(rows, split):
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["split"] == split)]
    return rows.sort_values("epoch")


def certainty(bins, rejection, curves, path, title):
    """Reliability, accuracy against rejection by predictive entropy, and test error over epochs: a column for each main
    network.

    Lines are means over the seeds of an experiment (in a bin of confidence, over its images), bands reach from the
    least to the largest. Bins with fewer than LEAST_IMAGES images over all seeds are left out.

    Args:
        bins, rejection, curves: rows of reliability.csv, rejection.csv and curves.csv of one data set.
    """
    shapes, colours = list(dict.fromkeys(bins["architecture"])), {}  # one colour for one name in all columns
    size, shared = (4.6 * len(shapes) + 0.6, 10.5), {"sharex": "row", "sharey": "row"}
    figure, axes = plt.subplots(3, len(shapes), figsize=size, squeeze=False, **shared)
    for column, shape in enumerate(shapes):
        own = [part[part["architecture"] == shape] for part in (bins, rejection, curves)]
        names = _names(own[0])
        for experiment, name in names.items():
            colour = "black" if name.startswith("SGD") else colours.setdefault(name, f"C{len(colours)}")
            style = dict(color=colour, label=name)
            parts = [part[part["experiment"] == experiment] for part in own]
            images = parts[0].groupby("bin")["number"].transform("sum")
            _band(
                axes[0, column], parts[0][images >= LEAST_IMAGES], "bin", "confidence", "accuracy", marker=".", **style
            )
            _band(axes[1, column], parts[1], "rejected_percent", "rejected_percent", "accuracy", **style)
            _band(axes[2, column], parts[2], "epoch", "epoch", "error_percent", **style)
        axes[0, column].set(title=shape, xlabel=f"confidence (bins with {LEAST_IMAGES} images and more)")
        axes[1, column].set(xlabel="images of largest entropy rejected, %")
        axes[2, column].set(xlabel="epoch", yscale="log")
        axes[0, column].legend(fontsize=7, loc="lower right")
    low = axes[0, 0].get_xlim()[0]  # of all columns
    for axis in axes[0]:
        axis.plot([low, 1], [low, 1], "k:", lw=1)
    _plain_numbers(axes[2, 0].yaxis)
    for axis, label in zip(axes[:, 0], ("accuracy", "accuracy of the rest, %", "test error, %")):
        axis.set_ylabel(label)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.set_layout_engine("tight")
    save(figure, path)


def _names(rows):
    """{experiment: what the legend calls it}, with its setting where another one has the same name."""
    first = rows.drop_duplicates("experiment")
    short = {}
    for row in first.itertuples():
        draws = f"{count(row.weights_per_step, 'draw')} of w a step"
        short[row.experiment] = "SGD" if row.method == "sgd" else f"hypernetwork, {row.generator}, {draws}"
    repeated = {name for name in short.values() if list(short.values()).count(name) > 1}
    settings = dict(zip(first["experiment"], first["setting"]))
    return {key: f"{name} ({settings[key]})" if name in repeated else name for key, name in short.items()}


def _band(axis, rows, by, x, y, label, **style):
    """Mean of y over the mean of x for each value of `by`, and the range of y over seeds."""
    groups = rows.groupby(by)
    weights = rows["number"] if "number" in rows else 1
    means = rows[[x, y]].mul(weights, axis=0).groupby(rows[by]).sum()
    line = means.div(groups["number"].sum() if "number" in rows else groups.size(), axis=0)
    seeds = rows["seed"].nunique()
    axis.plot(line[x], line[y], lw=1.2, label=f"{label}, {count(seeds, 'seed')}", **style)
    if seeds > 1:
        axis.fill_between(line[x], groups[y].min(), groups[y].max(), color=style["color"], alpha=0.2, lw=0)


def predicted_rows(table, title, path):
    """Predictions of 06 with their intervals, rows from the least mean to the largest.

    Args:
        table: of answers.of_rows: the row, then mean, deviation, and both ends of the interval.
    """
    order = table.sort_values(table.columns[1], kind="stable")
    order = order.iloc[spread(np.arange(len(order)), MOST_ROWS)]
    mean, _, low, high = (order[name].to_numpy() for name in order.columns[1:5])
    figure, axis = plt.subplots(figsize=(7, 3.2))
    errors = np.stack([mean - low, high - mean]).clip(0)
    axis.errorbar(np.arange(len(order)), mean, errors, fmt="o", ms=3, lw=0.8, color="tab:red", ecolor="0.6")
    interval = table.columns[3].partition("(")[2].partition(",")[0]
    axis.set(xlabel="new rows, sorted by their mean", ylabel=f"{table.columns[1]}, {interval}", xticks=[], title=title)
    save(figure, path)


def predicted_images(images, table, name, title, path):
    """New images with the class that 07 gives them, those with the largest entropy first.

    Args:
        images: (N, H, W, 1) of 0 to 255; table: of answers.of_images; name: of the data set that was learned from.
    """
    shown = np.argsort(-table["entropy (nats)"].to_numpy(), kind="stable")[:MOST_IMAGES]
    rows = -(-len(shown) // IMAGES_A_ROW)
    figure, axes = plt.subplots(rows, IMAGES_A_ROW, figsize=(1.15 * IMAGES_A_ROW, 1.5 * rows + 0.5), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, shown):
        own = table.iloc[i]
        axis.imshow(images[i, ..., 0], cmap=grey(name), vmin=0, vmax=255)
        said = f"{str(own['class'])[:14]}  {own['probability']:.2f}"
        axis.set_title(said if own.iloc[-1] else f"not known\n({said})", fontsize=8)
    figure.suptitle(f"{title}; largest entropy first: class and probability", fontsize=9)
    figure.set_layout_engine("tight")
    save(figure, path)
