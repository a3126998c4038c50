"""Images cut into overlapping patches and averaged back, their noise, and how near an image is to the truth."""

import numpy as np
from PIL import Image, UnidentifiedImageError

from common.errors import InputError

PEAK = 255.0


def read_image(path):
    """A PNG or JPEG as float32 (H, W) if grey, else (H, W, 3), in 0..255; transparency is dropped.

    Raises:
        InputError: missing, or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
            if image.mode in ("I", "I;16", "F"):  # 16 bits
                return np.asarray(image, np.float32) / (257.0 if np.asarray(image).max() > PEAK else 1.0)
            return np.asarray(image.convert("L" if grey else "RGB"), np.float32)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: name an image with --image") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image ({error}): use a PNG or JPEG file") from error


def write_image(path, image):
    """Write an image in 0..255 as PNG, rounded and clipped; `path` may be a temporary one."""
    Image.fromarray(np.clip(np.round(image), 0, PEAK).astype(np.uint8)).save(path, format="PNG")


def corners(length, size, stride):
    """Where patches begin along an axis: every `stride`, and at the end, so that every pixel is covered."""
    return np.unique([*range(0, length - size + 1, stride), length - size])


def cut(image, size, stride):
    """All patches of size x size as rows (N, size * size [* channels]), row by row of the image.

    Raises:
        InputError: the image is smaller than a patch, or patches leave pixels out.
    """
    if stride > size:
        raise InputError(f"patches of {size}x{size} at stride {stride} leave pixels out: lower --stride")
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise InputError(f"the image is {height}x{width}, smaller than a patch of {size}x{size}: lower --patch")
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))
    chosen = windows[np.ix_(corners(height, size, stride), corners(width, size, stride))]
    if image.ndim == 3:
        chosen = np.moveaxis(chosen, 2, -1)  # the window axes come last, behind the channels
    return chosen.reshape(chosen.shape[0] * chosen.shape[1], -1)


def places(shape, size, stride):
    """The upper left corner (row, column) of each patch of `cut`, (N, 2)."""
    rows, columns = corners(shape[0], size, stride), corners(shape[1], size, stride)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


def average(patches, shape, size, stride):
    """The inverse of `cut`: each pixel the mean of the estimates (N, ...) that cover it; an image of `shape`."""
    total, count = np.zeros(shape), np.zeros(shape[:2] + (1,) * (len(shape) - 2))
    rows, columns = corners(shape[0], size, stride), corners(shape[1], size, stride)
    grid = np.reshape(patches, (len(rows), len(columns), size, size, *shape[2:]))
    # One addition for each place in a patch; places of different patches may fall on one pixel only at the last corner.
    for i in range(size):
        for j in range(size):
            at = np.ix_(rows + i, columns + j)
            total[at] += grid[:, :, i, j]
            count[at] += 1
    return total / count


def add_noise(image, sigma, seed):
    """Gaussian noise of standard deviation sigma, neither clipped nor rounded; numpy's legacy generator, seed 1000 + seed."""
    return (
        image + np.random.RandomState(1000 + seed).randn(*image.shape).astype(np.float32) * np.float32(sigma)
    ).astype(np.float32)


def psnr(image, clean):
    """10 log10(255^2 / MSE) in dB; infinite for equal images. Nothing is clipped."""
    error = np.mean(np.square(np.asarray(image, np.float64) - clean))
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(image, clean):
    """Structural similarity (Wang et al. 2004), or NaN for images too small for its 7 x 7 window."""
    from skimage.metrics import structural_similarity

    if min(clean.shape[:2]) < 7:
        return float("nan")
    axis = -1 if clean.ndim == 3 else None
    return float(
        structural_similarity(
            np.asarray(image, np.float64), np.asarray(clean, np.float64), data_range=PEAK, channel_axis=axis
        )
    )


TV_WEIGHTS = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6)  # in standard deviations of the noise


def baselines(noisy, sigma, clean):
    """{method: image} of scikit-image's denoisers. All are told sigma, and total variation takes its best weight by PSNR."""
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

    axis = -1 if noisy.ndim == 3 else None
    x, s = np.asarray(noisy, np.float64) / PEAK, sigma / PEAK
    smoothed = [PEAK * denoise_tv_chambolle(x, weight=weight * s, channel_axis=axis) for weight in TV_WEIGHTS]
    found = {
        "noisy": noisy,
        "tv": max(smoothed, key=lambda image: psnr(image, clean)),
        "wavelet": PEAK
        * denoise_wavelet(x, sigma=s, wavelet="db2", method="BayesShrink", rescale_sigma=True, channel_axis=axis),
        "nlm": PEAK * denoise_nl_means(x, 7, 10, h=0.7 * s, sigma=s, fast_mode=True, channel_axis=axis),
    }
    return {method: np.reshape(image, noisy.shape) for method, image in found.items()}  # axes of one pixel are kept
