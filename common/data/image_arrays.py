"""Images as a user's array has them: their size and what is black and white, learned once, then held to."""

import numpy as np

from common.data import readers
from common.errors import InputError


def image_shape(given, wanted, features, colour, remedy):
    """(height, width, channels) of images.

    Args:
        given: shape of an image as the array has it; None: flattened.
        wanted: (H, W) or (H, W, 3) of flattened ones; None: square, or else one row.
        features: numbers of an image.
        colour: whether three channels will do; remedy: what to change where they will not.

    Raises:
        InputError: no images, or another number of values.
    """
    side = round(features**0.5)
    wanted = given or wanted or ((side, side) if side * side == features else (1, features))
    height, width, channels = (int(length) for length in (*wanted, 1)[:3])
    if channels not in ((1, 3) if colour else (1,)) or len(wanted) > 3:
        raise InputError(f"images are {tuple(wanted)}: grey ones (N, H, W) are needed; {remedy}")
    if height * width * channels != features:
        size = f"image_shape {tuple(wanted)} has {height * width * channels} values"
        raise InputError(f"{size}, an image of X {features}: change it")
    return height, width, channels


def _is_of_data(wanted):
    return isinstance(wanted, str) and wanted == "data"  # black and white may be an array


def value_range(x, wanted):
    """(black, white) of images x (N, features); wanted: these two, "data": of x, or None: [0, 1] or 0 to 255.

    Raises:
        InputError: None is wanted, and x has another range.
    """
    if _is_of_data(wanted):
        return float(x.min()), float(x.max())
    if wanted is not None:
        low, high = map(float, wanted)
        return low, high
    readers.as_images(x[:, None], "X")  # refuses other ranges
    return 0.0, 1.0 if x.max() <= 1 + readers.ROUNDING else 255.0


def levels(x, shape, black_white, wanted):
    """Images (N, *shape) uint8 of x (N, features); black_white, wanted: what `value_range` gave, and was given.

    Raises:
        InputError: values beyond black and white (those of "data" are clipped), or x in [0, 1] after 0 to 255.
    """
    low, high = black_white
    scaled = (x.astype(np.float64) - low) / ((high - low) or 1.0)
    beyond = max(-scaled.min(), scaled.max() - 1)
    if beyond > readers.ROUNDING and not _is_of_data(wanted):
        span = f"[{x.min():g}, {x.max():g}]"
        raise InputError(f"X lies in {span}, black and white are {low:g} and {high:g}: see value_range")
    if wanted is None and high > 1 and 0 < x.max() <= 1:
        raise InputError("X lies in [0, 1], the images of the fit in [0, 255]: bring them to one range")
    return np.round(255 * scaled.clip(0, 1)).astype(np.uint8).reshape(-1, *shape)
