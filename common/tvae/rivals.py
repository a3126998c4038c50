"""Other methods on the same image: denoisers, and one that fills in missing pixels.

The binary-latent VAE is not told the noise level. Of the denoisers all but ZS-N2N need one: they are told the true one,
or (`estimated`) that of `skimage.restoration.estimate_sigma`, which sees the noisy image alone.
"""

from dataclasses import dataclass

import numpy as np

from common.data.pictures import WHITE
from common.runs.identity import Record, added, label
from common.tvae.patches import psnr

# Lengths in pixels; weights and h in standard deviations of the noise.
PARAMETERS = {
    "noisy": (),
    "tv": (("weights", (0.6, 0.8, 1.0, 1.2, 1.4, 1.6)),),
    "wavelet": (("wavelet", "db2"), ("method", "BayesShrink")),
    "nlm": (("patch_size", 7), ("patch_distance", 10), ("h", 0.7)),
    "bm3d": (("profile", "np"),),
    "zs_n2n": (("steps", 2000), ("learning_rate", 1e-3), ("drop_every", 1500)),
    "biharmonic": (),
}
BLIND = {"tv": (("weights", (1.0,)),)}  # where nothing chooses among weights
NAMES = {"noisy": "noisy", "tv": "total variation", "wavelet": "wavelet", "nlm": "non-local means", "bm3d": "BM3D"}
NAMES |= {"zs_n2n": "ZS-N2N", "biharmonic": "biharmonic"}
TOLD_SIGMA = ("tv", "wavelet", "nlm", "bm3d")
# benchmarks/denoising_rivals.py runs BM3D, whose licence is not a free one, and ZS-N2N, which takes minutes.
INSTALLED = ("noisy", "tv", "wavelet", "nlm")
ESTIMATED = "sigma estimated"  # in tables


@dataclass(frozen=True)
class RivalRun(Record):
    """One method on one noisy image."""

    image: str = label()
    fingerprint: str  # of the clean image
    sigma: float
    method: str
    parameters: tuple
    seed: int  # of the noise, of the missing pixels and of ZS-N2N's weights
    estimated: bool = added(False)  # the noise level is
    inpaint: float = added(0.0)  # fraction of the pixels that are missing
    mask: str = added("")  # fingerprint of the picture that marks missing pixels


def rival(run, method, estimated=False):
    """The record of a method on the image that a DenoisingRun sees."""
    parameters = BLIND.get(method, PARAMETERS[method]) if estimated else PARAMETERS[method]
    options = dict(estimated=estimated, inpaint=run.inpaint, mask=run.mask)
    return RivalRun(run.image, run.fingerprint, run.sigma, method, parameters, run.seed, **options)


def installed(run):
    """The rivals of a DenoisingRun that take seconds; none where the clean image is not known."""
    if run.sigma is None:
        return []
    if run.misses_pixels:
        return [rival(run, "biharmonic")]
    if not run.sigma:
        return []
    blind = [rival(run, method, estimated=True) for method in INSTALLED if method in TOLD_SIGMA]
    return [rival(run, method) for method in INSTALLED] + blind


def total_variation(noisy, sigma, clean, weights):
    """Chambolle's total variation; of several weights the one with the best true PSNR."""
    from skimage.restoration import denoise_tv_chambolle

    found = [denoise_tv_chambolle(noisy, weight=weight * sigma, channel_axis=_channels(noisy)) for weight in weights]
    return max(found, key=lambda image: psnr(WHITE * image, WHITE * clean))


def wavelet_shrinkage(noisy, sigma, clean, wavelet, method):
    from skimage.restoration import denoise_wavelet

    options = dict(wavelet=wavelet, method=method, rescale_sigma=True, channel_axis=_channels(noisy))
    return denoise_wavelet(noisy, sigma=sigma, **options)


def non_local_means(noisy, sigma, clean, patch_size, patch_distance, h):
    from skimage.restoration import denoise_nl_means

    options = dict(h=h * sigma, sigma=sigma, fast_mode=True, channel_axis=_channels(noisy))
    return denoise_nl_means(noisy, patch_size, patch_distance, **options)


def bm3d(noisy, sigma, clean, profile):
    """Block matching and 3D filtering (Dabov et al. 2007), by its authors' package."""
    from bm3d import bm3d, bm3d_rgb

    return (bm3d_rgb if noisy.ndim == 3 else bm3d)(noisy, sigma, profile=profile)


def zs_n2n(noisy, sigma, clean, **options):
    """Zero-Shot Noise2Noise (Mansour and Heckel 2023); it is told nothing."""
    from common.tvae.zero_shot_noise2noise import denoise

    return denoise(noisy, **options)


METHODS = {
    "noisy": lambda noisy, sigma, clean: noisy,
    "tv": total_variation,
    "wavelet": wavelet_shrinkage,
    "nlm": non_local_means,
    "bm3d": bm3d,
    "zs_n2n": zs_n2n,
}


def restore(run, noisy, clean, observed=None):
    """What a RivalRun makes of its image; images (H, W[, 3]) in 0..255, `observed` of that shape where pixels miss."""
    scaled, options = np.float64(noisy) / WHITE, dict(run.parameters)
    if run.method == "biharmonic":
        return WHITE * biharmonic(scaled, observed)
    sigma = run.sigma / WHITE
    if run.estimated:
        from skimage.restoration import estimate_sigma

        sigma = estimate_sigma(scaled, average_sigmas=True, channel_axis=_channels(scaled))
    if run.method == "zs_n2n":
        options["seed"] = run.seed
    found = METHODS[run.method](scaled, sigma, clean / WHITE, **options)
    return np.reshape(WHITE * found, noisy.shape)  # axes of one pixel are kept


def biharmonic(image, observed):
    """Missing pixels by the biharmonic equation (Damelin and Hoang 2018), each channel for itself."""
    from skimage.restoration import inpaint_biharmonic

    if image.ndim == 2:
        return inpaint_biharmonic(np.where(observed, image, 0.0), ~observed, split_into_regions=True)
    return np.stack([biharmonic(*parts) for parts in zip(np.moveaxis(image, -1, 0), np.moveaxis(observed, -1, 0))], -1)


def _channels(image):
    return -1 if image.ndim == 3 else None
