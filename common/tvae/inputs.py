"""Pictures and masks to restore: files, and what comes with the requirements."""

from pathlib import Path

import numpy as np

from common.data import pictures
from common.errors import InputError
from common.names import name_of_file
from common.tvae import patches

TEXT = "the quick brown fox jumps over the lazy dog "
TEXT_SIZE = 16  # pixels, of the letters
KNOWN = {"3712de687a6f": "house", "46bd4465192e": "barbara"}  # pictures by the fingerprint of their pixels


def _china():
    """The pagoda and the sky of scikit-learn's china.jpg, 256 x 256."""
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("china.jpg").astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey[20:276, 90:346]


def _camera():
    """The man, his camera and some grass of scikit-image's camera, 256 x 256."""
    from skimage.data import camera

    return camera()[60:316, 120:376].astype(np.float32)


BUILT_IN = {"china": _china, "camera": _camera}  # crops of pictures that come with the requirements


def _made(path, built_in):
    """What makes the picture of a name; None where a file has it, or nothing."""
    return None if Path(path).is_file() else built_in.get(str(path))


def load(path, value_range=None):
    """The Picture at a path, or the one in BUILT_IN whose name it is; and its name.

    Raises:
        InputError: there is none, or it is no picture whose range is known.
    """
    make = _made(path, BUILT_IN)
    if make is None:
        picture = pictures.read(path, value_range)
        return picture, KNOWN.get(patches.fingerprint(picture.pixels), name_of_file(path))
    return pictures.Picture(make(), None, np.dtype(np.uint8), 0.0, pictures.WHITE, ()), str(path)


def text_mask(shape):
    """Lines of white text over a whole picture of `shape` (H, W, ...), which hide a quarter. (H, W) in 0..255."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = shape[:2]
    lines = Image.new("L", (width, height))
    draw, font = ImageDraw.Draw(lines), ImageFont.load_default(TEXT_SIZE)
    for number, top in enumerate(range(0, height, TEXT_SIZE)):
        start = number * 7 % len(TEXT)  # no letter stands below itself
        line = (TEXT[start:] + TEXT[:start]) * (1 + width // (2 * len(TEXT)))
        draw.text((0, top), line, fill=255, font=font)
    return np.asarray(lines, np.float32)


BUILT_IN_MASKS = {"text": text_mask}


def _visible(picture):
    """The grey levels (H, W), 0 to 255, of a Picture on black: what is transparent marks nothing."""
    grey = picture.pixels if picture.pixels.ndim == 2 else picture.pixels.mean(-1)
    if picture.alpha is None:
        return grey
    opaque = np.iinfo(picture.dtype).max if np.issubdtype(picture.dtype, np.integer) else 1.0
    return grey * (picture.alpha / opaque)


def load_mask(path, shape):
    """Which pixels of an image of `shape` (H, W, ...) a picture marks white: they are missing. (H, W) bool.

    Args:
        path: of the picture; or a name in BUILT_IN_MASKS.

    Raises:
        InputError: it is no picture, of another size, or marks no pixel or all.
    """
    make = _made(path, BUILT_IN_MASKS)
    marks = _visible(pictures.read(path)) if make is None else make(shape)
    if marks.shape != tuple(shape[:2]):
        sizes = " and ".join("x".join(map(str, size)) for size in (marks.shape, shape[:2]))
        raise InputError(f"{path} and the image are of different sizes, {sizes}: make them equal")
    missing = marks >= pictures.WHITE / 2
    if missing.all() or not missing.any():
        many = "all pixels" if missing.all() else "no pixel"
        raise InputError(f"{path} marks {many} as missing: paint white what is missing, and black what is not")
    return missing
