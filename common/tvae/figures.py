"""Figures of denoising and of the bars test."""

import numpy as np
from matplotlib import pyplot as plt

from common.runs.figures import save


def fields(units, shape, title, path, columns=16):
    """What the decoder makes of single units, units (H, D) as images of `shape`; each scaled to its own range."""
    images = units.reshape(-1, *shape)
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, min(columns, len(images)), figsize=(0.6 * columns, 0.65 * rows + 0.5), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images):
        low, high = image.min(), image.max()
        axis.imshow((image - low) / max(high - low, 1e-9), cmap="gray", vmin=0, vmax=1)  # one channel or three
    figure.suptitle(title, fontsize=8)
    save(figure, path)


def denoised(shown, title, path):
    """Images {method: (H, W[, 3]) in 0..255} side by side, PSNR against "clean" above each; None is left out."""
    from common.tvae.patches import psnr

    clean = shown.get("clean")
    images = {method: image for method, image in shown.items() if image is not None}
    figure, axes = plt.subplots(1, len(images), figsize=(3.2 * len(images), 3.6), squeeze=False, layout="constrained")
    for axis, (method, image) in zip(axes[0], images.items()):
        axis.imshow(np.clip(image, 0, 255) / 255, cmap="gray", vmin=0, vmax=1)
        value = "" if clean is None or method == "clean" else f", {psnr(image, clean):.2f} dB"
        axis.set(xticks=[], yticks=[], title=f"{method}{value}")
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def denoising_curves(rows, title, path):
    """Bound, learned sigma and PSNR of the TVAE over epochs, the other methods' PSNR as lines."""
    own = rows[rows["method"] == "tvae"].sort_values("epoch")
    panels = [("free_energy", "bound F, nats per patch"), ("learned_sigma", "learned sigma"), ("psnr", "PSNR, dB")]
    panels = [panel for panel in panels if panel[0] in own and own[panel[0]].notna().any()]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.2), squeeze=False, layout="constrained")
    for axis, (column, label) in zip(axes[0], panels):
        axis.plot(own["epoch"], own[column], ".-", label="tvae")
        if column == "psnr":
            for colour, (_, other) in enumerate(rows[rows["method"] != "tvae"].iterrows()):
                axis.axhline(other["psnr"], color=f"C{colour + 1}", ls="--", lw=1, label=other["method"])
            axis.legend(fontsize=7)
        axis.set(xlabel="epoch", title=label)
        axis.grid(alpha=0.3)
    figure.suptitle(title, fontsize=8)
    save(figure, path)
