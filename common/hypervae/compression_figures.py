"""Figures of compression: bits a pixel by method, and measured against computed length block by block."""

import numpy as np
from matplotlib import pyplot as plt

from common.hypervae.compression_report import METHODS, method
from common.runs import identity
from common.runs.figures import save
from common.runs.results import of_own_data, read_records, read_rows
from common.runs.summaries import with_fingerprint

MARKERS = {
    "vae ordered": "o",
    "hypervae unlabelled": "s",
    "hypervae labelled_groups": "^",
    "hypervae labelled_sets": "v",
}


def draw(runs, folder):
    """Draw the rows of these runs, of a user's own files apart; the files' names stand for them. Returns the paths."""
    table, blocks = (read_rows(folder / f"{name}.csv") for name in ("table", "blocks"))
    table, blocks = (rows[rows["run"].isin(runs)] for rows in (table, blocks))
    records, paths = read_records(folder / "table.csv"), []
    prints = {run: record.get("training", record)["fingerprint"] for run, record in records.items()}
    for own in (False, True):
        drawn = [rows[of_own_data(rows) == own] for rows in (table, blocks)]
        if len(drawn[0]):
            name = f"{drawn[0]['dataset'].iloc[0]}-" * own + identity.digest(sorted(drawn[0]["run"].unique()))
            paths += [folder / f"{what}-{name}.png" for what in ("bits_per_pixel", "blocks")]
            _bars(with_fingerprint(drawn[0], prints), paths[-2])
            _blocks(with_fingerprint(drawn[1], prints), paths[-1])
    return paths


def _bars(table, path):
    """A group of bars a data set, a colour a method; the mean over seeds."""
    table = table.assign(method=method(table))
    datasets = list(dict.fromkeys(table["dataset"]))
    methods = [name for name in METHODS if (table["method"] == name).any()]
    means = table.groupby(["dataset", "method"])["bits_per_pixel"].mean()
    figure, axis = plt.subplots(figsize=(2.5 + 3.2 * len(datasets), 4.6), layout="constrained")
    width = 0.85 / len(methods)
    for number, name in enumerate(methods):
        values = [means.get((dataset, name), np.nan) for dataset in datasets]
        places = np.arange(len(datasets)) + (number - (len(methods) - 1) / 2) * width
        drawn = axis.bar(places, values, width * 0.92, label=METHODS[name], color=plt.get_cmap("tab20")(number))
        axis.bar_label(drawn, fmt="%.3f", fontsize=6, rotation=90, padding=2)
    axis.set_xticks(range(len(datasets)), datasets)
    axis.margins(y=0.14)
    axis.set_ylabel("bits a pixel, the whole file")
    axis.set_title("Lossless compression of binarized test images", fontsize=10)
    axis.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=7)
    save(figure, path)


def _blocks(blocks, path):
    """A panel a data set: each block's bits in the file by the computed ones, bits an image; equal on the line."""
    blocks = blocks.assign(method=method(blocks))
    datasets = list(dict.fromkeys(blocks["dataset"]))
    figure, axes = plt.subplots(
        1, len(datasets), figsize=(3.8 * len(datasets) + 0.4, 4.3), squeeze=False, layout="constrained"
    )
    for axis, dataset in zip(axes[0], datasets):
        own = blocks[blocks["dataset"] == dataset]
        each = own[["computed_bits", "bits"]].div(own["num_images"], axis=0)
        for name in [name for name in METHODS if (own["method"] == name).any()]:
            chosen = each[own["method"] == name]
            axis.plot(
                chosen["computed_bits"], chosen["bits"], MARKERS.get(name, "x"), ms=4, alpha=0.7, label=METHODS[name]
            )
        ends = [each.min().min(), each.max().max()]
        axis.plot(ends, ends, color="black", lw=0.8, label="equal")
        axis.set(xlabel="computed, bits an image: -ELBO\n(of a free order less log2 n!)", title=dataset)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("measured: the block in the file, bits an image")
    axes[0, 0].legend(fontsize=7)
    save(figure, path)
