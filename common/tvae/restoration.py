"""Denoising and inpainting of an array from Python, in the manner of `skimage.restoration`.

There is no estimator class: the model belongs to the patches of one image, and has nothing to say of another one.
"""

import numpy as np
from skimage.util import img_as_float32

from common.data.pictures import WHITE
from common.errors import InputError
from common.tvae import budget, denoising, patches
from common.tvae.recipe import Recipe
from common.tvae.training import still_rising

WIDEST = 8  # times data_range: a wider image is of another scale


def denoise_binary_vae(
    image,
    *,
    mask=None,
    minutes=None,
    patch_size=denoising.PATCH,
    stride=None,
    data_range=1.0,
    channel_axis=None,
    seed=0,
    return_sigma=False,
    **recipe,
):
    """Denoise, and where a mask says so fill in, an image by a binary-latent VAE (TVAE, Drefs et al. 2022).

    The image itself is all that the model is trained on. The noise is taken to be Gaussian, independent and of one
    standard deviation, which is learned. No file is written.

    Args:
        image: (H, W), or with channels on `channel_axis`. Integers are scaled as `skimage.util.img_as_float` does it.
        mask: (H, W) bool, True where pixels are missing, as `skimage.restoration.inpaint_biharmonic` has it. Other
            pixels then stay as they are.
        minutes: choose stride, states, batch size and epochs for this time on this machine. Two machines choose
            differently: for numbers that can be had again give the settings.
        patch_size: side of the square patches.
        stride: of the patches (half a patch).
        data_range: white minus black in a float image; its noise may go beyond.
        channel_axis: None for a grey image.
        seed: of the model's start and its mutations.
        return_sigma: also return the learned standard deviation of the noise, in the units of the result.
        recipe: fields of `common.tvae.recipe.Recipe`: latent_dim, hidden, states, epochs, batch_size ...

    Returns:
        the restored image, float of the image's shape, not clipped; with `return_sigma` (image, sigma).

    Raises:
        ValueError: NaN or infinite pixels that are not missing, impossible settings, or an image whose values do not
            fit `data_range`.

    Warns:
        ConvergenceWarning: the bound was still rising.

    Example:
        >>> from skimage.data import camera
        >>> restored = denoise_binary_vae(camera()[60:316, 120:376], minutes=2)  # doctest: +SKIP
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    pixels = np.asarray(image)
    exact = pixels.dtype if pixels.dtype == np.float64 else np.float32
    if pixels.dtype.kind in "uib" and data_range != 1:
        raise ValueError(f"integers are brought to [0, 1], as scikit-image does it: leave data_range={data_range} out")
    pixels = img_as_float32(pixels) if pixels.dtype.kind in "uib" else pixels.astype(np.float32)
    pixels = pixels if channel_axis is None else np.moveaxis(pixels, channel_axis, -1)
    if pixels.ndim != (2 if channel_axis is None else 3):
        raise ValueError(f"image has shape {np.shape(image)}: (H, W), or (H, W, channels) with channel_axis, is needed")
    missing = None if mask is None else np.asarray(mask).astype(bool)
    pixels = _checked(pixels, missing, data_range) * np.float32(WHITE / data_range)
    if minutes is not None:
        taken = sorted({"states", "epochs", "batch_size"} & set(recipe)) + ["stride"] * (stride is not None)
        if taken:
            raise ValueError(f"minutes chooses {', '.join(taken)}: leave one or the other out")
    recipe, fingerprint = Recipe(**recipe), patches.fingerprint(pixels)
    stride = stride or denoising.half(patch_size)
    if minutes is not None:
        asked = budget.Budget(fingerprint, minutes, patch_size, missing is not None, recipe)
        found = budget.choose(asked, pixels)
        stride, recipe = found["stride"], budget.apply(found, recipe)
    run = denoising.DenoisingRun(
        *("array", fingerprint, None, 0.0, patch_size, stride, 0, 0, recipe, seed),
        mask=denoising.mask_fingerprint(missing),
    )
    denoising.check(run, pixels, missing)
    model, progress, patched = denoising.fit(run, pixels, missing=missing)
    rising = still_rising(progress["rows"], recipe)
    if rising:
        warnings.warn(rising, ConvergenceWarning, stacklevel=2)
    scale = data_range / WHITE
    restored = (patched.assemble(model.reconstruct()) * scale).astype(exact)
    restored = restored if channel_axis is None else np.moveaxis(restored, -1, channel_axis)
    return (restored, model.sigma * scale) if return_sigma else restored


def _checked(pixels, missing, data_range):
    """Pixels with zeros where they are missing.

    Raises:
        InputError: the mask has another shape, or values are not finite or of another scale.
    """
    known = np.ones(pixels.shape[:2], bool)
    if missing is not None:
        if missing.shape != known.shape:
            raise InputError(f"mask has shape {missing.shape}, the image {known.shape}: make them equal")
        known = ~missing
    pixels = np.where(known.reshape(known.shape + (1,) * (pixels.ndim - 2)), pixels, np.float32(0))
    if not np.isfinite(pixels).all():
        raise InputError("the image has values that are NaN or infinite: mark them in mask")
    spread = np.ptp(pixels[known]) if known.any() else 0
    if spread > WIDEST * data_range:
        raise InputError(f"the image's values span {spread:g}, and data_range is {data_range:g}: give data_range")
    return pixels
