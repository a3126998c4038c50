"""Figures of discovery: distances over evaluations, designs found, phase diagrams."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator

from common.runs.figures import grid, save

METHOD_NAMES = {
    "vae": "VAE + BO",
    "hypervae_once": "HyperVAE + BO, once",
    "hypervae_iterated": "HyperVAE + BO, iterated",
    "hypervae_iterated_vae_init": "HyperVAE + BO, iterated from the VAE's best",
    "hypervae_joint": "HyperVAE + BO, joint over (u, z)",
    "random_vae": "VAE, random search",
    "random_hypervae": "HyperVAE, random search",
}


def discovery_curves(rows, bounds, title, path, by):
    """Figure 3a: best distance so far over evaluations, a panel each held-out class (column `by`); median and quartiles over targets and seeds."""
    classes = sorted(rows[by].unique())
    columns = min(5, len(classes))
    lines = -(-len(classes) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.2 * columns, 2.9 * lines + 1.2), sharex=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(classes) :]:
        axis.axis("off")
    for axis, label in zip(axes.flat, classes):
        own, limits = rows[rows[by] == label], bounds[bounds[by] == label]
        for colour, (method, name) in enumerate(METHOD_NAMES.items()):
            curves = (
                own[own["method"] == method].groupby("evaluation")["best_so_far"].quantile([0.25, 0.5, 0.75]).unstack()
            )
            random = method.startswith("random")
            axis.plot(curves.index, curves[0.5], color=f"C{colour}", lw=1.3, ls=":" if random else "-", label=name)
            if not random:
                axis.fill_between(curves.index, curves[0.25], curves[0.75], color=f"C{colour}", alpha=0.12, lw=0)
        for family, style in (("vae", "--"), ("hypervae_joint", "-.")):
            limit = limits[limits["method"] == family]["cosine_distance"].median()
            axis.axhline(
                limit,
                color="grey",
                lw=0.9,
                ls=style,
                label=f"best that gradients find: {METHOD_NAMES[family].split(' + ')[0]}",
            )
        lowest = limits["cosine_distance"].min()
        top = own[own["evaluation"] == min(10, own["evaluation"].max())].groupby("method")["best_so_far"].median().max()
        axis.set(
            title=f"{by} {label} held out", yscale="log", ylim=(lowest * 0.9, top * 1.1), xlabel="designs evaluated"
        )
        axis.grid(alpha=0.3, which="both")
        axis.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        for numbers in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            numbers("{x:.2g}")  # not powers of ten: the range is narrow
    for axis in axes[:, 0]:
        axis.set_ylabel("cosine distance to the target")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(title)
    save(figure, path)


def discovered_designs(by_digit, title, path):
    """Figure 2: for each held-out class a row of the target and of what each search found, at each of its steps."""
    short = {"vae": "VAE", "hypervae_once": "once", "hypervae_iterated": "iterated", "hypervae_joint": "joint"}
    short["hypervae_iterated_vae_init"] = "from VAE"
    names = ["target"]
    for method, label in short.items():
        steps = len(next(iter(by_digit.values()))[method])
        names += [label if steps == 1 else f"{label}\nstep {step + 1}" for step in range(steps)]
    rows = [np.concatenate([np.asarray(designs[m]) for m in ("target", *short)]) for designs in by_digit.values()]
    grid(rows, path, title, [str(digit) for digit in by_digit], names)


def phase_diagrams(diagrams, phases, temperatures, title, path, least=0.01):
    """Stacked areas of phase fractions over temperature; diagrams: {name: (phases, temperatures, 1)}.

    Phases that hold at least `least` somewhere have a colour of their own; the others are drawn together in grey.
    """
    arrays = {name: np.asarray(diagram)[..., 0] for name, diagram in diagrams.items()}
    shown = np.flatnonzero(np.max([array.max(1) for array in arrays.values()], 0) >= least)
    colours = plt.get_cmap("tab20")(np.arange(len(shown)) % 20)
    figure, axes = plt.subplots(
        1, len(arrays), figsize=(3.1 * len(arrays), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (name, array) in zip(axes[0], arrays.items()):
        rest = np.delete(array, shown, 0).sum(0)
        axis.stackplot(
            temperatures,
            *array[shown],
            rest,
            colors=[*colours, "lightgrey"],
            labels=[phases[i] for i in shown] + ["others"],
        )
        axis.set(
            title=name.replace(" + BO, ", " + BO,\n"),
            xlabel="temperature, K",
            xlim=(temperatures[0], temperatures[-1]),
            ylim=(0.8, 1),
        )
        axis.title.set_fontsize(8)
    axes[0, 0].set_ylabel("mole fraction of phases (from 0.8 up)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7)
    figure.suptitle(title)
    save(figure, path)
