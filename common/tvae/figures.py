"""Figures of denoising and of the bars test."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from skimage.util import view_as_windows

from common.data.pictures import WHITE
from common.runs.figures import save
from common.tvae import rivals
from common.tvae.bars import FOUND, match

NAMES = {**rivals.NAMES, "given": "given, missing in white", "tvae": "TVAE"}
PARTS = 4  # of a picture's shorter side, one of which the side of the enlarged detail is
FIELDS_A_ROW = 16


def busiest(image, size):
    """The corner (row, column) of the size x size window in which an image varies most, in steps of size / 8."""
    grey = image.mean(-1) if image.ndim == 3 else image
    step = max(1, size // 8)
    spread = view_as_windows(np.ascontiguousarray(grey), (size, size), step).std((-2, -1))
    row, column = np.unravel_index(spread.argmax(), spread.shape)
    return row * step, column * step


def before_after(pictures, scores, title, path):
    """Pictures {method or "clean": (H, W[, 3]) in 0..255} side by side, and below the busiest part, enlarged.

    Args:
        scores: {method: PSNR in dB}, written above.
    """
    first = next(iter(pictures.values()))
    side = max(1, min(first.shape[:2]) // PARTS)
    row, column = busiest(first, side)
    size = (2.6 * len(pictures), 5.6)
    figure, axes = plt.subplots(2, len(pictures), figsize=size, squeeze=False, layout="constrained")
    for (whole, zoom), (method, image) in zip(axes.T, pictures.items()):
        shown = np.clip(image, 0, WHITE) / WHITE
        score = f", {scores[method]:.2f} dB" if method in scores else ""
        whole.imshow(shown, cmap="gray", vmin=0, vmax=1)
        whole.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, color="C1", lw=1.2))
        whole.set(xticks=[], yticks=[], title=NAMES.get(method, method) + score)
        part = shown[row : row + side, column : column + side]
        zoom.imshow(part, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        zoom.set(xticks=[], yticks=[])
        zoom.spines[:].set(color="C1", lw=1.2)
    axes[1, 0].set_ylabel("the marked detail")
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def curves(rows, scores, sigma, title, path):
    """Bound, noise level and PSNR over epochs, of a run's rows; with the true sigma and the rivals' {method: dB}."""
    panels = [
        ("free_energy", "bound F, nats per patch"),
        ("learned_sigma", "noise level, of 255"),
        ("psnr", "PSNR, dB (higher is better)"),
    ]
    panels = [panel for panel in panels if panel[0] in rows and np.isfinite(rows[panel[0]]).any()]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.9 * len(panels), 3.4), squeeze=False, layout="constrained")
    for axis, (column, label) in zip(axes[0], panels):
        axis.plot(
            rows["epoch"], rows[column], ".-", color="C0", label="learned" if column == "learned_sigma" else "TVAE"
        )
        if column == "learned_sigma" and sigma is not None:
            axis.axhline(sigma, color="black", ls=":", lw=1, label="added")
        if column == "psnr":
            for number, method in enumerate(
                method for method in rivals.NAMES if method in scores and method != "noisy"
            ):
                axis.axhline(scores[method], color=f"C{number + 1}", ls="--", lw=1.2, label=NAMES[method])
        axis.set(xlabel="epoch", ylabel=label)
        if len(axis.get_legend_handles_labels()[1]) > 1:
            axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
        axis.grid(alpha=0.3)
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def patch_fields(units, shape, title, path):
    """mu of single units (H, D) as patches of `shape` (size, size, channels); grey ones with a colour bar."""
    images = units.reshape(-1, *shape)
    columns = min(FIELDS_A_ROW, len(images))
    rows = -(-len(images) // columns)
    size = (0.62 * columns + 1.2, 0.66 * rows + 0.6)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    grey = shape[-1] == 1
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images):
        if grey:
            drawn = axis.imshow(image[..., 0], cmap="gray", vmin=units.min(), vmax=units.max())
        else:
            axis.imshow(np.clip(image, 0, WHITE) / WHITE)
    if grey:
        figure.colorbar(drawn, ax=axes, label="grey level, of 255")
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def bars_fields(fields, truth, side, title, path):
    """The true bars (8, D), and under each the unit of (H, D) that is matched to it; other units stand at the right."""
    units, bars, errors = match(fields, truth)
    left = [unit for unit in range(len(fields)) if unit not in units]
    number = len(truth) + len(left)
    figure, axes = plt.subplots(2, number, figsize=(1.0 * number + 1.6, 2.9), squeeze=False, layout="constrained")
    scale = dict(cmap="gray", vmin=min(0, fields.min()), vmax=max(1, fields.max()))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.axis("off")

    def show(axis, image, name):
        axis.axis("on")
        axis.set_xlabel(name, fontsize=7)
        return axis.imshow(image.reshape(side, side), **scale)

    for bar, image in enumerate(truth):
        drawn = show(axes[0, bar], image, f"bar {bar + 1}")
    for unit, bar, error in zip(units, bars, errors):
        show(axes[1, bar], fields[unit], f"MSE {error:.3f}{', found' if error < FOUND else ''}")
    for column, unit in enumerate(left, len(truth)):
        show(axes[1, column], fields[unit], "no bar")
    axes[0, 0].set_ylabel("true")
    axes[1, 0].set_ylabel("learned")
    figure.colorbar(drawn, ax=axes, label="mean; a bar's is 1")
    figure.suptitle(title, fontsize=9)
    save(figure, path)
