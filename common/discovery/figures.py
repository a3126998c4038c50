"""Figures of discovery: distances over evaluations, designs found, phase diagrams."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from matplotlib.ticker import LogLocator, NullLocator

from common.discovery.records import METHOD_NAMES
from common.discovery.search_summary import COMPARED, RIVAL
from common.runs.figures import grey, save

COLOURS = {method: f"C{number}" for number, method in enumerate(METHOD_NAMES)}
# Of what was found, the diagrams that a figure has room for.
DIAGRAMS = ("target", "nearest_known", "vae", "hypervae_iterated", "hypervae_joint", "vae_calphad", "hypervae_calphad")
LEAST_FRACTION = 0.01  # of a phase that is drawn in its own colour
BAND = 3  # searches of a class from which quartiles say something
# One colour a phase in every figure: those that an aluminium alloy's diagram shows first, the rest in grey.
PHASE_COLOURS = dict(
    zip(
        """LIQUID FCC_A1 THETA_AL2CU S_PHASE MG2SI_B SI_DIAMOND_A4 ALCRFEMNSI_A ALCUMN_T1 AL7CU2FE AL8FEMNSI2 AL13FE4
        AL12MN AL6MN AL3NI MGALCUZN_T LC14_ZN2MG ALFENI_T1 Q_PHASE_H BETA_AL3MG2 AL18CR2MG3""".split(),
        # tab20 without its greys.
        [*plt.get_cmap("tab20")([*range(14), *range(16, 20)]), to_rgba("#393b79"), to_rgba("#637939")],
    )
)


def discovery_curves(protocol, path, by):
    """Figure 3a or 3b: a panel each held-out class (column `by`), and below them each search against VAE + BO.

    A panel has the best distance so far over evaluations, median over targets and seeds, quartiles from BAND searches
    up. Below, a point is a target's final distance over that of VAE + BO, with the median and its interval.

    Args:
        protocol: search_summary.Protocol.
    """
    rows, summary = protocol.rows, protocol.summary
    classes = sorted(rows[by].unique())
    columns = min(5, len(classes))
    lines = -(-len(classes) // columns)
    size = (max(8.0, 3.2 * columns), 2.9 * lines + 3.6)
    figure = plt.figure(figsize=size, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[lines, 0.9])
    axes = above.subplots(lines, columns, squeeze=False).flatten()
    for axis in axes[len(classes) :]:
        axis.axis("off")
    for axis, name in zip(axes, classes):
        _curves(axis, rows[rows[by] == name], summary[summary[by] == name])
        axis.set_title(f"{by} {name} held out")
        axis.set_xlabel("designs evaluated")
    for axis in axes[::columns]:
        axis.set_ylabel("cosine distance to the target")
    _paired_panel(below.subplots(), by, *(t[t["rival"] == RIVAL] for t in (protocol.ratios, protocol.pairs)))
    # A class may lack a search that another one has.
    lines = {name: line for axis in axes for line, name in zip(*axis.get_legend_handles_labels())}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3, fontsize=8)
    most = rows.groupby(by)["run"].nunique().max()  # a run is of one target and seed
    middle = f"median{' and quartiles' * bool(most >= BAND)} of up to {most} targets and seeds a panel"
    figure.suptitle(f"{protocol.title}: {'one target and seed a panel' if most == 1 else middle}")
    save(figure, path)


def _curves(axis, rows, summary):
    searches = rows["run"].nunique()
    for method in [method for method in METHOD_NAMES if (rows["method"] == method).any()]:
        own = rows[rows["method"] == method].groupby("evaluation")["best_so_far"]
        low, middle, high = own.quantile([0.25, 0.5, 0.75]).unstack().to_numpy().T
        evaluations, random = np.arange(1, len(middle) + 1), method.startswith("random")
        style = dict(color=COLOURS[method], lw=1.3, ls=":" if random else "-", label=METHOD_NAMES[method])
        axis.plot(evaluations, middle, **style)
        if not random and searches >= BAND:
            axis.fill_between(evaluations, low, high, color=COLOURS[method], alpha=0.12, lw=0)
    lowest = rows["best_so_far"].min()
    for family, name, style in (("bound_vae", "VAE", "--"), ("bound_hypervae_joint", "HyperVAE", "-.")):
        least = summary[family].median()
        if np.isfinite(least):
            axis.axhline(least, color="grey", lw=0.9, ls=style, label=f"least distance that gradients found: {name}")
            lowest = min(lowest, least)
    early = rows[rows["evaluation"] == min(10, rows["evaluation"].max())]
    top = early.groupby("method")["best_so_far"].median().max()
    axis.set(yscale="log", ylim=(lowest * 0.9, top * 1.1))
    axis.grid(alpha=0.3)
    _plain_log_ticks(axis.yaxis, np.log10(top / lowest))


def _plain_log_ticks(axis, decades):
    """Numbers that can be read off, as many as the range needs; not powers of ten alone."""
    fine = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    subs = fine if decades < 0.5 else (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:.2g}")


def _paired_panel(axis, by, ratios, pairs):
    """Ratios of distances: a point a target, and the median of the classes (column `by`) with its interval."""
    shown = [method for method in reversed(COMPARED) if (ratios["method"] == method).any()]
    for height, method in enumerate(shown):
        own = np.exp(ratios[ratios["method"] == method]["log_ratio"].to_numpy())
        pair = pairs[pairs["method"] == method].iloc[0]
        spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(own))
        axis.plot(own, height + spread, "o", ms=3, alpha=0.45, color=COLOURS[method], mew=0)
        axis.plot([pair["ratio_low"], pair["ratio_high"]], [height, height], color="black", lw=1.5)
        axis.plot(pair["ratio"], height, "D", color="black", ms=5)
        note = f"closer on {pair['wins']} of {pair['num_targets']}"
        if pair["num_classes"] < pair["num_targets"]:
            note += f",\n{pair['class_wins']} of {pair['num_classes']} {by}s"
        note += f", p {pair['p_holm']:.2g}"
        axis.annotate(note, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axis.axvline(1, color="grey", lw=0.9)
    axis.set(xscale="log", yticks=range(len(shown)), ylim=(-0.6, len(shown) - 0.4))
    axis.set_yticklabels([METHOD_NAMES[method] for method in shown], fontsize=8)
    axis.set_xlabel(
        "final distance / that of VAE + BO, a point a target (left of 1: closer); median of classes and its interval"
    )
    axis.grid(alpha=0.3, axis="x")
    values = np.exp(ratios["log_ratio"])
    _plain_log_ticks(axis.xaxis, np.log10(max(values.max(), 1) / min(values.min(), 1)))


def discovered_designs(by_class, title, name, path):
    """Figure 2: for each held-out class a row of the target and of what each search found, at each of its steps.

    Args:
        by_class: {class: {method: {"designs": images (H, W, 1) of the steps, "distances": theirs}}}; "target" is one
            of the methods.
        name: of the data set.
    """
    short = {"target": "target", "vae": "VAE", "hypervae_once": "once", "hypervae_iterated": "iterated"}
    short |= {"hypervae_joint": "joint", "hypervae_iterated_vae_init": "from VAE"}
    first, colours = next(iter(by_class.values())), grey(name)
    names = []
    for method, name in short.items():
        steps = len(first[method]["designs"])
        names += [name if steps == 1 else f"{name}\nstep {step + 1}" for step in range(steps)]
    figure, axes = plt.subplots(
        len(by_class),
        len(names),
        figsize=(0.75 * len(names) + 0.6, 0.92 * len(by_class) + 0.9),
        squeeze=False,
        layout="constrained",
    )
    for line, (name, found) in zip(axes, by_class.items()):
        designs = [image for method in short for image in found[method]["designs"]]
        distances = [distance for method in short for distance in found[method]["distances"]]
        for column, (axis, image, distance) in enumerate(zip(line, designs, distances)):
            axis.imshow(np.asarray(image)[..., 0], cmap=colours, vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            if column:
                axis.set_xlabel(f"{distance:.3f}", fontsize=7, labelpad=2)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for axis, name in zip(axes[0], names):
        axis.set_title(name, fontsize=8)
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def panels_of(diagrams):
    """{title: diagram (phases, temperatures)} of {method: (diagram (phases, temperatures, 1), cosine distance)}.

    Only the methods of DIAGRAMS are among them.
    """
    panels = {}
    for name in DIAGRAMS:
        if name in diagrams:
            distance = "" if name == "target" else f"\ndistance {diagrams[name][1]:.2g}"
            title = METHOD_NAMES.get(name, name).replace(" + BO, ", " + BO,\n") + distance
            panels[title] = np.asarray(diagrams[name][0])[..., 0]
    return panels


def phase_diagrams(panels, phases, temperatures, title, path):
    """Stacked areas of phase fractions over temperature: above the whole diagram, below it the same from 0.8 up.

    Phases that hold LEAST_FRACTION nowhere are drawn together with those that have no colour of their own.

    Args:
        panels: {title: diagram (phases, temperatures)}.
    """
    largest = dict(zip(phases, np.max([array.max(1) for array in panels.values()], 0)))
    # Liquid on top of the solids, so that their boundary lines are not lifted by it.
    order = [phase for phase in PHASE_COLOURS if phase != "LIQUID" and largest.get(phase, 0) >= LEAST_FRACTION] + [
        "LIQUID"
    ]
    shown = [phases.index(phase) for phase in order if phase in phases]
    names = [phases[i] for i in shown]
    colours = [PHASE_COLOURS[name] for name in names]
    figure, axes = plt.subplots(
        2, len(panels), figsize=(2.6 * len(panels), 6.2), sharex=True, sharey="row", squeeze=False, layout="constrained"
    )
    for column, (name, array) in enumerate(panels.items()):
        rest = np.delete(array, shown, 0).sum(0)
        solids, liquid = array[shown[:-1]], array[shown[-1]]
        for axis in axes[:, column]:
            parts = [*solids, rest, liquid]
            axis.stackplot(
                temperatures,
                *parts,
                colors=[*colours[:-1], "lightgrey", colours[-1]],
                labels=[*names[:-1], "others", "LIQUID"],
            )
            axis.set_xlim(temperatures[0], temperatures[-1])
        axes[0, column].set_title(name, fontsize=8)
        axes[1, column].set_xlabel("temperature, K")
    axes[0, 0].set(ylim=(0, 1), ylabel="mole fraction of phases")
    axes[1, 0].set(ylim=(0.8, 1), ylabel="the same from 0.8 up")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=7)
    figure.suptitle(title)
    save(figure, path)
