"""Other denoisers on the same noisy image. All of them are told the noise level, which the binary-latent VAE is not."""

from dataclasses import dataclass

import numpy as np

from common.runs.identity import Record, label
from common.tvae.patches import PEAK, psnr

# Lengths in pixels; weights and h in standard deviations of the noise.
PARAMETERS = {
    "noisy": (),
    "tv": (("weights", (0.6, 0.8, 1.0, 1.2, 1.4, 1.6)),),
    "wavelet": (("wavelet", "db2"), ("method", "BayesShrink")),
    "nlm": (("patch_size", 7), ("patch_distance", 10), ("h", 0.7)),
    "bm3d": (("profile", "np"),),
}
NAMES = {"noisy": "noisy", "tv": "total variation", "wavelet": "wavelet", "nlm": "non-local means", "bm3d": "BM3D"}
INSTALLED = (
    "noisy",
    "tv",
    "wavelet",
    "nlm",
)  # benchmarks/denoising_rivals.py runs BM3D, whose licence is not a free one


@dataclass(frozen=True)
class RivalRun(Record):
    """One method on one noisy image."""

    image: str = label()
    fingerprint: str  # of the clean image
    sigma: float
    method: str
    parameters: tuple
    seed: int  # of the noise


def rival(run, method):
    """The record of a method on the noisy image that a DenoisingRun sees."""
    return RivalRun(run.image, run.fingerprint, run.sigma, method, PARAMETERS[method], run.seed)


def total_variation(noisy, sigma, clean, weights):
    """Chambolle's total variation; of several weights the one with the best true PSNR."""
    from skimage.restoration import denoise_tv_chambolle

    found = [denoise_tv_chambolle(noisy, weight=weight * sigma, channel_axis=_channels(noisy)) for weight in weights]
    return max(found, key=lambda image: psnr(PEAK * image, PEAK * clean))


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


METHODS = {
    "noisy": lambda noisy, sigma, clean: noisy,
    "tv": total_variation,
    "wavelet": wavelet_shrinkage,
    "nlm": non_local_means,
    "bm3d": bm3d,
}


def restore(run, noisy, clean):
    """What a RivalRun makes of its noisy image; images (H, W[, 3]) in 0..255."""
    scaled = np.float64(noisy) / PEAK
    found = METHODS[run.method](scaled, run.sigma / PEAK, clean / PEAK, **dict(run.parameters))
    return np.reshape(PEAK * found, noisy.shape)  # axes of one pixel are kept


def _channels(image):
    return -1 if image.ndim == 3 else None
