"""Zero-shot denoising and inpainting of one image.

It is cut into overlapping patches, a binary-latent VAE learns them, and its estimates of them make the restored image.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import scipy

from common.data import pictures
from common.data.fingerprints import check_unchanged
from common.errors import InputError
from common.runs.identity import Record, added, label
from common.runs.storage import commit
from common.tvae import inputs, patches, rivals
from common.tvae.recipe import Recipe
from common.tvae.training import still_rising, train

PATCH = 6  # side of a patch, where nothing is said


@dataclass(frozen=True)
class DenoisingRun(Record):
    """One image with one draw of noise, restored with one recipe."""

    image: str = label()
    fingerprint: str  # of the image's pixels before noise is added
    sigma: float | None  # of the added noise, of 255; None: the image is noisy already
    inpaint: float  # fraction of the pixels that are missing
    patch: int
    stride: int
    warm_stride: int  # a first training is at this coarser stride; 0: there is none
    warm_epochs: int  # of it
    recipe: Recipe
    seed: int  # of the noise, the missing pixels and the model
    mask: str = added("")  # fingerprint of the picture that marks missing pixels

    def __post_init__(self):
        super().__post_init__()
        if not self.warm_stride:
            object.__setattr__(self, "warm_epochs", 0)

    @property
    def kind(self):
        return "denoising"

    @property
    def misses_pixels(self):
        return bool(self.inpaint or self.mask)

    def coarse(self):
        """The run whose model this one starts from."""
        recipe = dataclasses.replace(self.recipe, epochs=self.warm_epochs)
        return dataclasses.replace(self, stride=self.warm_stride, recipe=recipe, warm_stride=0)

    def in_short(self, channels):
        """The settings in one cell of a table: patch/stride, then the recipe's."""
        inpaint = f" inpaint {self.inpaint:g}" if self.inpaint else ""
        inpaint += " mask" if self.mask else ""
        warm = f" after {self.warm_epochs} epochs at stride {self.warm_stride}" if self.warm_stride else ""
        recipe = self.recipe.in_short(self.patch**2 * channels)
        return f"{self.patch}x{self.patch}/{self.stride} {recipe}{inpaint}{warm}"


def half(patch):
    """The stride where none is given: half a patch."""
    return max(1, patch // 2)


def mask_fingerprint(missing):
    """The fingerprint of a mask, for a run's record; of none it is empty."""
    return "" if missing is None else patches.fingerprint(missing)


def observe(run, image, missing=None):
    """What a run sees of an image: the noisy image, and which of its entries are observed (None: all).

    Args:
        missing: (H, W) bool, from the run's mask.
    """
    noisy = image if run.sigma is None else patches.add_noise(image, run.sigma, run.seed)
    if not run.misses_pixels:
        return noisy, None
    observed = np.random.default_rng(run.seed).random(noisy.shape) >= run.inpaint
    if missing is not None:
        observed &= ~missing.reshape(missing.shape + (1,) * (noisy.ndim - 2))
    return noisy, observed


def check(run, image, missing=None):
    """Raise InputError where a run's patches do not cover the image, or none of its pixels is observed."""
    patches.check(image.shape, run.patch, max(run.stride, run.warm_stride))
    _, observed = observe(run, image, missing)
    if observed is not None and not observed.any():
        raise InputError("no pixel is left: take fewer of them away")


class PatchedImage:
    """The patches of one image at one stride, what is observed of them, and the image that estimates of them make.

    Attributes:
        data: (N, D), the patches with an observed pixel at least.
        mask: (N, D), 1 where they are observed; None where all are.
        places: (N, 2), the patches' upper left corners.
        variance: of a pixel over the patches, the mean over pixels; the model's noise begins with it.
    """

    def __init__(self, noisy, observed, size, stride):
        self.noisy, self.observed, self.size, self.stride = noisy, observed, size, stride
        data, places = patches.cut(noisy, size, stride), patches.places(noisy.shape, size, stride)
        mask = np.ones_like(data) if observed is None else patches.cut(observed.astype(np.float32), size, stride)
        self.kept = mask.any(1)  # a patch with no pixel at all teaches nothing
        self.places, self.data, mask = places[self.kept], np.float32(data[self.kept]), mask[self.kept]
        columns = np.ma.array(self.data, mask=mask == 0)
        self.variance = float(columns.var(0).mean()) + 0.001
        self.mask = None if observed is None else mask

    def assemble(self, estimates):
        """The image of estimates (N, D) of the patches; where pixels were missing, observed ones stay as they are.

        A pixel that only patches without any observed pixel cover takes the nearest estimate.
        """
        found = patches.average(estimates, self.noisy.shape, self.size, self.stride, self.kept)
        if self.observed is None:
            return found
        nearest = scipy.ndimage.distance_transform_edt(np.isnan(found), return_distances=False, return_indices=True)
        return np.where(self.observed, self.noisy, found[tuple(nearest)])

    @property
    def num_far(self):
        """How many entries of the image lie in no patch with an observed pixel."""
        cover = patches.average(np.zeros_like(self.data), self.noisy.shape, self.size, self.stride, self.kept)
        return int(np.isnan(cover).sum())


def fit(run, image, checkpoints=None, missing=None):
    """Train the model of a run on its patches, after the coarse run where there is one.

    Args:
        checkpoints: their folder; None writes no file.
        missing: (H, W) bool, from the run's mask.

    Returns:
        model, its progress, and the PatchedImage.
    """
    patched = PatchedImage(*observe(run, image, missing), run.patch, run.stride)

    def measure(model):
        if run.sigma is None:
            return {}
        found = quality(patched.assemble(model.reconstruct()), image)
        if model.num_averaged > 0:
            found["psnr_averaged"] = patches.psnr(patched.assemble(model.averaged.numpy()), image)
        return found

    def start_warm(model):
        coarse, before, there = fit(run.coarse(), image, checkpoints, missing)
        nearest = scipy.spatial.cKDTree(there.places).query(patched.places)[1]
        model.start_from(coarse, nearest)
        return before

    begin = start_warm if run.warm_stride else None
    model, progress = train(run, patched.data, patched.variance, checkpoints, measure, patched.mask, begin)
    return model, progress, patched


def quality(image, clean):
    """How near an image is to the clean one: PSNR in dB, and SSIM."""
    return {"psnr": patches.psnr(image, clean), "ssim": patches.ssim(image, clean)}


@dataclass(frozen=True)
class Restored:
    """What a job hands back: rows for the table, the pictures by method, and what single units make (H, D)."""

    run: DenoisingRun
    rows: list
    pictures: dict
    units: np.ndarray
    like: pictures.Picture  # what the restored picture is written like
    warnings: list  # what the user should know of the result, in words


def denoise(job):
    """Restore an image, by the binary-latent VAE and by its rivals.

    Args:
        job: (DenoisingRun, path or name of the image, its range or None, path of the mask or None, folder of the
            checkpoints).

    Returns:
        a Restored.
    """
    run, path, value_range, mask, checkpoints = job
    like, _ = inputs.load(path, value_range)
    image = like.pixels
    missing = None if mask is None else inputs.load_mask(mask, image.shape)
    read = patches.fingerprint(image), mask_fingerprint(missing)
    check_unchanged(f"{path} or its mask", read, (run.fingerprint, run.mask))
    model, progress, patched = fit(run, image, checkpoints, missing)
    setting = run.in_short(image.shape[2] if image.ndim == 3 else 1)
    own = _cells(run) | {"method": "tvae", "setting": setting, "trained_at": progress["trained_at"]}
    rows = [own | row for row in progress["rows"]]
    shown = {} if run.sigma is None else {"clean": image}
    if patched.observed is None:
        shown["noisy"] = patched.noisy
    else:
        shown["given"] = np.where(patched.observed, patched.noisy, pictures.WHITE)
    for other in rivals.installed(run):
        restored = rivals.restore(other, patched.noisy, image, patched.observed)
        rows.append(rival_row(other, restored, image))
        if not other.estimated:
            shown[other.method] = restored
    shown["tvae"] = patched.assemble(model.reconstruct())
    warnings = [still_rising(progress["rows"], run.recipe)]
    if patched.num_far:
        warnings.append(
            f"{patched.num_far} values lie farther than a patch from any known pixel: a larger --patch helps"
        )
    return Restored(run, rows, shown, model.single_units(), like, [text for text in warnings if text])


def rival_row(run, found, clean):
    """The row of a RivalRun's picture. It is trained on nothing, so both commits are the present one."""
    commits = {"trained_at": commit(), "evaluated_at": commit()}
    cells = {"method": run.method, "setting": rivals.ESTIMATED if run.estimated else "fixed", "epoch": 0}
    return _cells(run) | cells | quality(found, clean) | commits


def _cells(run):
    return {"run": run, "image": run.image, "sigma": run.sigma, "seed": run.seed}
