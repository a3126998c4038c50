"""How figures are written: as PNG, atomically; and grids of small images."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from common.names import is_file_name
from common.runs.storage import write_atomically


def save(figure, path):
    """Write a figure as PNG, atomically, and close it; a dollar in a file's or a column's name is no formula."""
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_text() and "mathdefault" not in text.get_text():  # as numbers on a logarithmic axis are
            text.set_parse_math(False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120, bbox_inches="tight"))
    plt.close(figure)


def grey(name):
    """The colour map for images of a set: ours are ink, dark on white; photographs and a user's own are as they are."""
    return "gray" if is_file_name(name) or name.startswith("photographs") else "gray_r"


def show(axis, image, colours):
    """Draw an image (H, W, 1 or 3) in [0, 1]; colours of a grey one: see `grey`."""
    image = np.asarray(image)
    axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap=colours, vmin=0, vmax=1)


def grid(rows, path, title, colours, row_names=None, column_names=None):
    """rows: a list of arrays (columns, H, W, 1 or 3) in [0, 1], none longer than the first; colours: see `grey`."""
    columns = len(rows[0])
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(0.62 * columns + 1.2, 0.62 * len(rows) + 0.7), squeeze=False
    )
    for r, images in enumerate(rows):
        for axis in axes[r, len(images) :]:
            axis.axis("off")
        for c, image in enumerate(images):
            axis = axes[r, c]
            show(axis, image, colours)
            axis.set(xticks=[], yticks=[])
            if row_names and c == 0:
                axis.set_ylabel(row_names[r], rotation=0, ha="right", va="center", fontsize=8)
            if column_names and r == 0:
                axis.set_title(column_names[c], fontsize=8)
    figure.suptitle(title, fontsize=10, y=1.0)
    figure.subplots_adjust(wspace=0.06, hspace=0.06, top=1 - 0.45 / (0.62 * len(rows) + 0.7))
    save(figure, path)
