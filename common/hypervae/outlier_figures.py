"""Figures of outlier scores."""

import functools

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import TwoSlopeNorm
from sklearn.metrics import auc, roc_curve

from common.data.blocks import spread
from common.hypervae import options
from common.hypervae.figures import COLOURS
from common.hypervae.options import NAMES
from common.hypervae.outlier_records import HEADLINE, HELD_OUT_RATE, MOST_CALIBRATING
from common.hypervae.outlier_rows import baseline_name
from common.hypervae.outlier_sets import mixture_parts
from common.hypervae.runs import trained
from common.runs import identity
from common.runs.figures import grey, save, show

COST_COLOURS = "RdBu_r"  # of nats a pixel: see `ranked`
MOST_NORMAL = f"{1 - HELD_OUT_RATE:.0%} of normal images"
SCORES = {"description_length": "description length (the paper's)", HEADLINE: HEADLINE.replace("_", " ")}


def _best_baseline(by_model):
    """(name, {"normal", "outlier"}) of the baseline with the largest AUC; None where there is none."""
    found = [
        (baseline_name(model, score), by_part)
        for model, by_score in by_model.items()
        if model not in NAMES
        for score, by_part in by_score.items()
    ]
    return max(found, key=lambda pair: auc(*_roc(pair[1])[:2]), default=None)


def _roc(by_part):
    label = np.concatenate([np.zeros(len(by_part["normal"])), np.ones(len(by_part["outlier"]))])
    return roc_curve(label, np.concatenate([by_part["normal"], by_part["outlier"]]))


def roc_curves(by_model, title, path):
    """ROC curves of the paper's score and of the rule that leads, and of the best baseline.

    Args:
        by_model: {model: {score: {"normal": scores, "outlier": scores}}}.
    """
    curves = [
        (f"{NAMES[model]}, {name}", by_model[model][score], COLOURS[model], style)
        for (score, name), style in zip(SCORES.items(), ("--", "-"))
        for model in NAMES
        if score in by_model.get(model, {})
    ]
    best = _best_baseline(by_model)
    if best:
        curves.append((f"best baseline: {best[0]}", best[1], "black", ":"))
    figure, axis = plt.subplots(figsize=(8.6, 4.6), layout="constrained")
    for name, by_part, colour, style in curves:
        fpr, tpr, _ = _roc(by_part)
        axis.plot(100 * fpr, 100 * tpr, style, color=colour, lw=1.5, label=f"{name}: {100 * auc(fpr, tpr):.1f}")
    axis.plot([0, 100], [0, 100], color="grey", lw=0.6)
    axis.set(xlabel="normal images called outliers, %", ylabel="outliers found, %", box_aspect=1)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5), title="AUC, %")
    figure.suptitle(title)
    save(figure, path)


def score_histograms(by_model, title, path):
    """Histograms of normal and outlying scores: a row for the paper's score and one for the rule that leads."""
    models = [model for model in NAMES if model in by_model]
    figure, axes = plt.subplots(
        len(SCORES), len(models), figsize=(3.6 * len(models), 5.6), squeeze=False, layout="constrained"
    )
    for row, (score, score_name) in zip(axes, SCORES.items()):
        for axis, model in zip(row, models):
            by_part = by_model[model].get(score)
            if by_part is None:  # MetaVAE has no density of states
                axis.axis("off")
                continue
            bins = np.linspace(
                *np.quantile(np.concatenate([by_part["normal"], by_part["outlier"]]), [0.002, 0.998]), 60
            )
            for part, colour in (("normal", "tab:blue"), ("outlier", "tab:red")):
                axis.hist(by_part[part], bins, density=True, alpha=0.5, color=colour, label=part)
            axis.set_title(f"{NAMES[model]}: {score_name}", fontsize=8)
            axis.set_xlabel("score, nats per image", fontsize=8)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel("share of images per nat", fontsize=8)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(title)
    save(figure, path)


def extremes(images, scores, maps_of, anchor, most, title, name, path, number=12):
    """The normal images with the largest scores, the outliers with the smallest (where a score errs) and the largest.

    Below each image is a map of what its pixels cost, as in `ranked`.

    Args:
        images, scores: {"normal", "outlier"}, images (N, H, W, channels) in [0, 1] and their scores (N,).
        maps_of: maps_of(part, index) gives nats a pixel (number, H, W) of some images of "normal" or "outlier".
        anchor, most: as `ranked`; name: of the normal set.
    """
    number = min(number, *(len(own) for own in images.values()))
    order = {part: np.argsort(own, kind="stable") for part, own in scores.items()}
    chosen = {
        "most outlying\nnormals": ("normal", order["normal"][::-1][:number]),
        "least outlying\noutliers": ("outlier", order["outlier"][:number]),
        "most outlying\noutliers": ("outlier", order["outlier"][::-1][:number]),
    }
    maps = {words: maps_of(*own) for words, own in chosen.items()}
    norm = _cost_colours(anchor, max(own.max() for own in maps.values()))
    size = (0.7 * number + 2.6, 1.8 * len(chosen))
    figure, axes = plt.subplots(2 * len(chosen), number, figsize=size, squeeze=False, layout="constrained")
    for row, (words, (part, indices)) in enumerate(chosen.items()):
        above, below = axes[2 * row], axes[2 * row + 1]
        for column, i in enumerate(indices):
            show(above[column], images[part][i], grey(name))
            shown = below[column].imshow(maps[words][column], cmap=COST_COLOURS, norm=norm)
        for axis, text in ((above[0], words), (below[0], "nats a pixel")):
            axis.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    _cost_bar(figure, axes, shown, most)
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def _cost_colours(anchor, dearest):
    """Costs up to `dearest`, in one scale for all images: it turns from blue to red at the anchor."""
    return TwoSlopeNorm(anchor, 0, max(2 * anchor, dearest))


def _cost_bar(figure, axes, shown, most):
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label(f"nats a pixel (red: dearer than\nany pixel of {most})", fontsize=8)


def ranked(images, maps, titles, anchor, most, title, name, path, columns=8):
    """Images in the given order, each above a map of what its pixels cost; one colour means one cost on all of them.

    Args:
        images: (N, H, W, channels) in [0, 1]; maps: nats a pixel (N, H, W); titles: of the images.
        anchor: nats a pixel where colours turn: no pixel of `most` normal images is dearer; name: of the normal set.
    """
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    figure, axes = plt.subplots(
        2 * lines, columns, figsize=(1.25 * columns + 1.2, 2.7 * lines + 0.8), squeeze=False, layout="constrained"
    )
    for axis in axes.ravel():
        axis.set_axis_off()
    norm = _cost_colours(anchor, maps.max())
    for i, (image, costs, text) in enumerate(zip(images, maps, titles)):
        above, below = axes[2 * (i // columns), i % columns], axes[2 * (i // columns) + 1, i % columns]
        show(above, image, grey(name))
        above.set_title(text, fontsize=7)
        shown = below.imshow(costs, cmap=COST_COLOURS, norm=norm)
    _cost_bar(figure, axes, shown, most)
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def of_mixtures(args, name, found):
    """ROC curves, histograms and the extreme images of one normal set; their folder's name stands for what is drawn.

    Args:
        found: {(fingerprints of a normal and an outlier set): {model: (Scoring, scores)}}.
    """
    data, sets, wanted = mixture_parts(args, name)
    costs = functools.cache(lambda *scored: _pixel_costs(args, data, *scored))  # one model for all outlier sets
    for outlier in sets:
        own = found[data.fingerprint(), outlier.fingerprint]
        by_model = {model: scores for model, (_, scores) in own.items()}
        digest = identity.digest({model: record.stored() for model, (record, _) in own.items()})
        folder = args.results_dir / "03_outliers" / f"{data.name}_{outlier.name}-{digest}"
        steps = {f"{r.scored.iterations:,} steps" for r, _ in own.values() if hasattr(r.scored, "iterations")}
        title = f"normal: {data.name}, outliers: {outlier.name}; {', '.join([*sorted(steps), f'seed {args.seeds[0]}'])}"
        roc_curves(by_model, title, folder / "roc.png")
        score_histograms(by_model, title, folder / "histograms.png")
        if "hypervae" in own:
            record, by_score = own["hypervae"]
            pixel_nats, anchor = costs(record.scored, record.fit_u)
            seen = {"normal": data.x_test, "outlier": outlier.drawn(wanted, args.seeds[0])}
            shown = {part: x / options.white(args) for part, x in seen.items()}

            def maps_of(part, index, seen=seen, pixel_nats=pixel_nats):
                return pixel_nats(seen[part][index])

            for score in ("description_length", HEADLINE):
                words = f"{title}; HyperVAE, {score.replace('_', ' ')}"
                path = folder / f"extremes_{score}.png"
                extremes(shown, by_score[score], maps_of, anchor, MOST_NORMAL, words, data.name, path)


def _pixel_costs(args, data, settings, fit_u):
    """A function from images to nats a pixel by the model of some Settings; and where their colours turn."""
    from common.hypervae import outliers

    model = trained(args, settings, data).model
    normal = spread(data.x_validation, MOST_CALIBRATING)
    costs = functools.partial(outliers.pixel_nats, model, fit_u=fit_u)
    return costs, outliers.dearest_pixel(model, normal, HELD_OUT_RATE, fit_u)
