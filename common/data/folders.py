"""Folders of pictures as image sets: each sub-folder a class, or all pictures of one class."""

from pathlib import Path

import numpy as np
import skimage

from common.data import pictures
from common.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")
FINER = "has grey levels finer than 256: give --binarize threshold or bernoulli"
HIDDEN = "."  # what begins so is no picture of the user's
DARKEST_WHITE = 64  # of 255: a set whose brightest pixel is below has some other scale, or fewer bits


def files(folder):
    """(pictures, classes, class names): paths in order of their names, a class for each sub-folder, names () for none.

    Sub-folders that are all named by numbers stand in the order of these: class 2 is not the folder 10.

    Raises:
        InputError: no pictures, a sub-folder without one, pictures beside sub-folders, or files that are no pictures.
    """
    folder = Path(folder)
    inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(HIDDEN)]
    below = [path for path in inside if path.is_dir()]
    if all(path.name.isdecimal() for path in below):
        below.sort(key=lambda path: int(path.name))
    if not below:
        return _pictures(folder, inside), None, ()
    beside = [path for path in inside if not path.is_dir()]
    if beside:
        raise InputError(f"{folder} has {beside[0].name} beside sub-folders: put each picture into that of its class")
    paths, classes = [], []
    for label, sub in enumerate(below):
        own = _pictures(sub, [path for path in sorted(sub.iterdir()) if not path.name.startswith(HIDDEN)])
        paths += own
        classes += [label] * len(own)
    return paths, np.array(classes), tuple(as_text(sub.name) for sub in below)


def as_text(name):
    """A file's name as text that can be written; what no encoding knows becomes "?"."""
    return str(name).encode("utf-8", "replace").decode()


def _pictures(folder, inside):
    other = [path for path in inside if path.suffix.lower() not in ENDINGS]
    if other:
        wanted = ", ".join(ENDINGS)
        raise InputError(f"{folder} holds {other[0].name}, which is no picture ({wanted}): take it out")
    if not inside:
        raise InputError(f"{folder} has no pictures: put some there")
    return inside


def read(folder, size=None, colour=False, exact=False):
    """The pictures of a folder as images (N, H, W, 1 or 3) uint8, 0 black to 255 white, and what `files` gives.

    Args:
        size: (H, W) to which all are shrunk or enlarged; None wants all of one size.
        colour: see `in_channels`; exact: refuse what rounding to 256 levels would change.

    Returns:
        images, classes (N,), class names, paths.

    Raises:
        InputError: as `files`; a picture that cannot be read, or has another size or scale than the first.
    """
    paths, classes, names = files(folder)
    images, notes, first, deep, brightest = [], [], None, False, 0.0
    for path in paths:  # one at a time: as floats at full size a hundred photographs take gigabytes
        picture = pictures.read(path, depths=(16,))  # by its own pixels a dark one of 16 would be taken for one of 12
        deep, brightest = deep or picture.white > pictures.WHITE, max(brightest, picture.pixels.max())
        span = f"{picture.black:g} to {picture.white:g}"
        first = first or span
        if span != first:
            raise InputError(f"{path} is read as {span}, {paths[0].name} as {first}: convert all to 8 bits")
        if picture.alpha is not None and (picture.alpha != _opaque(picture)).any():
            raise InputError(f"{path} is transparent in places: flatten it on its paper first")
        notes += picture.notes
        image = picture.pixels if colour else in_channels([picture.pixels], colour)[0]
        images.append(image if size is None else skimage.transform.resize(image, size, anti_aliasing=True))
    if deep and brightest < DARKEST_WHITE:
        most = f"{brightest / pictures.WHITE * picture.white:g} of {picture.white:g}"
        raise InputError(f"{folder}: its brightest value is {most}: convert all to 8 bits, white to 255")
    if notes:
        print(f"note: {notes[0]}" + f" (and {len(notes) - 1} more such notes)" * (len(notes) > 1))
    images = in_channels(images, colour)
    for path, image in zip(paths, images):
        if image.shape != images[0].shape:
            sizes = f"{size_in_words(image.shape)}, {paths[0].name} {size_in_words(images[0].shape)}"
            raise InputError(f"{path} is {sizes}: give one size to all with --image-size")
    if exact and size is None:
        for path, image in zip(paths, images):
            if not are_levels(image):
                raise InputError(f"{path} {FINER}")
    stacked = np.clip(np.round(np.stack(images)), 0, 255).astype(np.uint8)
    return stacked, np.zeros(len(paths), int) if classes is None else classes, names, paths


def are_levels(values):
    """Whether values from 0 to 255 are whole, but for the rounding of single precision."""
    return np.abs(values - np.round(values)).max() <= 1e-4


def _opaque(picture):
    """The alpha of what hides all behind it."""
    return np.iinfo(picture.dtype).max if np.issubdtype(picture.dtype, np.integer) else picture.white


def in_channels(images, colour):
    """Images (H, W) or (H, W, 1 or 3), 0 to 255, all as (H, W, 1), or all as (H, W, 3).

    Args:
        colour: whether colours are kept, where any of the images has some. Else all become grey, by their luminance
            (ITU-R 709).
    """
    images = [image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image for image in images]
    if colour and any(image.ndim == 3 and (image != image[..., :1]).any() for image in images):
        return [skimage.color.gray2rgb(image) if image.ndim == 2 else image for image in images]
    return [(image if image.ndim == 2 else _luminance(image))[..., None] for image in images]


def _luminance(image):
    """(H, W) of (H, W, 3), in the image's own type and range."""
    grey = skimage.color.rgb2gray(image.astype(np.float64))
    return np.round(grey).astype(np.uint8) if image.dtype == np.uint8 else grey.astype(image.dtype)


def size_in_words(shape):
    """28x28 of (28, 28, 1), and 28x28x3 of (28, 28, 3)."""
    return "x".join(map(str, shape[:2] if shape[2:] == (1,) else shape))
