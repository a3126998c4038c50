"""Images cut into overlapping patches and averaged back, their noise, and how near an image is to the truth."""

import hashlib

import numpy as np
import skimage

from common.data.pictures import WHITE
from common.errors import InputError


def fingerprint(image):
    """Twelve hex digits that stand for an image's shape and pixels."""
    pixels = np.ascontiguousarray(image, np.float32)
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:12]


def corners(length, size, stride):
    """Where patches begin along an axis: every `stride`, and at the end, so that every pixel is covered."""
    return np.unique([*range(0, length - size + 1, stride), length - size])


def check(shape, size, stride):
    """Raise InputError where an image of `shape` (H, W, ...) is smaller than a patch, or patches leave pixels out."""
    if stride > size:
        raise InputError(f"patches of {size}x{size} at stride {stride} leave pixels out: lower --stride")
    height, width = shape[:2]
    if min(height, width) < size:
        raise InputError(f"the image is {height}x{width}, smaller than a patch of {size}x{size}: lower --patch")


def cut(image, size, stride):
    """All patches of size x size as rows (N, size * size [* channels]), row by row of the image.

    Raises:
        InputError: the image is smaller than a patch, or patches leave pixels out.
    """
    check(image.shape, size, stride)
    rows, columns = corners(image.shape[0], size, stride), corners(image.shape[1], size, stride)
    windows = skimage.util.view_as_windows(image, (size, size, *image.shape[2:]))
    return windows[np.ix_(rows, columns)].reshape(len(rows) * len(columns), -1)


def places(shape, size, stride):
    """The upper left corner (row, column) of each patch of `cut`, (N, 2)."""
    rows, columns = corners(shape[0], size, stride), corners(shape[1], size, stride)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


def average(patches, shape, size, stride, kept=None):
    """The inverse of `cut`: each pixel the mean of the estimates (N, ...) that cover it; an image of `shape`.

    Args:
        kept: (number of all patches,) bool, which ones `patches` holds (all); a pixel that none of them covers is NaN.
    """
    total, count = np.zeros(shape), np.zeros(shape[:2] + (1,) * (len(shape) - 2))
    rows, columns = corners(shape[0], size, stride), corners(shape[1], size, stride)
    grid = np.zeros((len(rows), len(columns), size, size, *shape[2:]))
    weights = np.ones(grid.shape[:2]) if kept is None else np.reshape(kept, grid.shape[:2]).astype(float)
    grid[weights > 0] = np.reshape(patches, (-1, *grid.shape[2:]))
    weights = weights.reshape(weights.shape + (1,) * (len(shape) - 2))
    # One addition for each place in a patch; places of different patches may fall on one pixel only at the last corner.
    for i in range(size):
        for j in range(size):
            at = np.ix_(rows + i, columns + j)
            total[at] += grid[:, :, i, j]
            count[at] += weights
    with np.errstate(invalid="ignore"):  # 0 / 0
        return total / count


def add_noise(image, sigma, seed):
    """Gaussian noise of standard deviation sigma, not clipped, not rounded; numpy's legacy generator, 1000 + seed."""
    noise = np.random.RandomState(1000 + seed).randn(*image.shape).astype(np.float32)
    return (image + noise * np.float32(sigma)).astype(np.float32)


def psnr(image, clean):
    """10 log10(255^2 / MSE) in dB; infinite for equal images. Nothing is clipped."""
    from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):  # equal images
        return float(peak_signal_noise_ratio(np.float64(clean), np.float64(image), data_range=WHITE))


def ssim(image, clean):
    """Structural similarity (Wang et al. 2004), or NaN for images too small for its 7 x 7 window."""
    from skimage.metrics import structural_similarity

    if min(clean.shape[:2]) < 7:
        return float("nan")
    axis = -1 if clean.ndim == 3 else None
    return float(structural_similarity(np.float64(image), np.float64(clean), data_range=WHITE, channel_axis=axis))
