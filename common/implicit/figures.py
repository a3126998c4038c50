"""Figures of the two systems beside HyperVAE: implicit hypernetworks and the binary-latent VAE."""

import matplotlib.pyplot as plt

from common.runs.figures import save


def weight_spread(rows, path, repetitions=3):
    """Figure 2 of Sheikh et al.: spread of the generated weights and test RMSE over epochs, a panel for each of some splits; first seed.

    The paper's grey area is three standard deviations; over the weights, here it is the level of spread from 0 up, since a
    standard deviation cannot be negative.
    """
    rows = rows[rows["seed"] == rows["seed"].min()]
    splits = sorted(rows["split"].unique())[:repetitions]
    figure, axes = plt.subplots(1, len(splits), figsize=(4.6 * len(splits), 3.2), squeeze=False, sharey=True)
    for axis, split in zip(axes[0], splits):
        own = rows[rows["split"] == split].sort_values("epoch")
        axis.plot(own["epoch"], own["spread"], color="tab:blue", label="spread of w")
        axis.set(title=f"{own['dataset'].iloc[0]}, split {split}", xlabel="epoch", yscale="log")
        other = axis.twinx()
        other.plot(own["epoch"], own["rmse"], color="tab:red", label="test RMSE")
        other.set_ylabel("test RMSE")
    axes[0, 0].set_ylabel("mean standard deviation of a weight")
    names = ["spread of w (10 draws)", "test RMSE"]
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.legend(
        [*axis.lines, *other.lines], names, loc="lower center", ncols=2, fontsize=8
    )  # a curve may be anywhere
    save(figure, path)


def classification(bins, rejection, curves, path):
    """Reliability, accuracy against rejection by predictive entropy, and test error over epochs; first seed of each model."""
    keys = ["architecture", "method", "generator", "weights_per_step", "setting"]
    figure, axes = plt.subplots(1, 3, figsize=(16, 4.6))
    bins, rejection, curves = (
        part[(part["seed"] == part["seed"].min()) & (part["evaluated_on"] == "test")]
        for part in (bins, rejection, curves)
    )
    axes[0].plot([0, 1], [0, 1], "k:", lw=1)
    for i, (key, own) in enumerate(bins.groupby(keys, sort=False)):
        shape, method, generator, draws, setting = key
        style = dict(color=f"C{i}", ls="--" if method == "sgd" else "-", marker=".", ms=4, lw=1)
        name = (
            f"{shape} SGD"
            if method == "sgd"
            else f"{shape} hypernet, {generator}, {draws} draw{'s' if draws > 1 else ''}"
        )
        axes[0].plot(own["confidence"], own["accuracy"], label=name, **style)
        for axis, table, columns in (
            (axes[1], rejection, ("rejected_percent", "accuracy")),
            (axes[2], curves, ("epoch", "error_percent")),
        ):
            same = table[(table[keys] == list(key)).all(axis=1)]
            axis.plot(same[columns[0]], same[columns[1]], **style)
    axes[0].set(title="reliability", xlabel="confidence", ylabel="accuracy")
    axes[1].set(title="rejection by entropy", xlabel="images rejected, %", ylabel="accuracy of the rest, %")
    axes[2].set(title="training", xlabel="epoch", ylabel="test error, %")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.suptitle(bins["dataset"].iloc[0])
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.legend(loc="lower center", ncols=5, fontsize=8)
    save(figure, path)
