"""Zero-shot denoising and inpainting of one image.

It is cut into overlapping patches, a binary-latent VAE learns them, and its estimates of them make the restored image.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from common.data import pictures
from common.errors import InputError
from common.names import name_of_file
from common.runs.identity import Record, added, label
from common.runs.storage import commit, write_atomically
from common.tvae import patches, rivals
from common.tvae.training import Recipe, still_rising, train

KEYS = ["epoch"]
ORDER = ["image", "sigma", "method", "setting", "seed"]
COLUMNS = [*ORDER, "epoch", "psnr", "ssim", "free_energy", "learned_sigma", "seconds", "psnr_averaged"]
RESTORED = "restored"
PATCH = 6  # side of a patch, where nothing is said
TEXT = "the quick brown fox jumps over the lazy dog "
TEXT_SIZE = 16  # pixels, of the letters
KNOWN = {"3712de687a6f": "house", "46bd4465192e": "barbara"}  # pictures by the fingerprint of their pixels


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
        if self.sigma is not None:
            object.__setattr__(self, "sigma", float(self.sigma))
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


def folder_name(run):
    """The name of the folder for the pictures of a DenoisingRun or RivalRun: in words, and the digest."""
    parts = [run.image, "noisy" if run.sigma is None else f"{run.sigma:g}"]
    if getattr(run, "inpaint", 0):
        parts.append(f"inpaint{run.inpaint:g}")
    if getattr(run, "mask", ""):
        parts.append("mask")
    if isinstance(run, rivals.RivalRun):
        parts.append(f"{run.method}_estimated" if run.estimated else run.method)
    # No dot in numbers: it tells the name of a user's file.
    settings = [part.replace(".", "p") for part in parts[1:]]
    return "_".join([parts[0], *settings, f"seed{run.seed}-{run.digest}"])


def title(run, channels):
    """What a run's figures say above."""
    sigma = "" if run.sigma is None else f"sigma {run.sigma:g}, "
    return f"{run.image}, {sigma}seed {run.seed}, {run.recipe.epochs} epochs: {run.in_short(channels)}"


def half(patch):
    """The stride where none is given: half a patch."""
    return max(1, patch // 2)


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


def load(path, value_range=None):
    """The Picture at a path, or the one in BUILT_IN whose name it is; and its name.

    Raises:
        InputError: there is none, or it is no picture whose range is known.
    """
    make = BUILT_IN.get(str(path))
    if make is None or Path(path).is_file():
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


def load_mask(path, shape):
    """Which pixels of an image of `shape` (H, W, ...) a picture marks white: they are missing. (H, W) bool.

    Args:
        path: of the picture; or "text", where there is no file of that name: `text_mask`.

    Raises:
        InputError: it is no picture, of another size, or marks no pixel or all.
    """
    marks = text_mask(shape) if str(path) == "text" and not Path(path).is_file() else pictures.read(path).pixels
    marks = marks if marks.ndim == 2 else marks.mean(-1)
    if marks.shape != tuple(shape[:2]):
        sizes = " and ".join("x".join(map(str, size)) for size in (marks.shape, shape[:2]))
        raise InputError(f"{path} and the image are of different sizes, {sizes}: make them equal")
    missing = marks >= pictures.WHITE / 2
    if missing.all() or not missing.any():
        many = "all pixels" if missing.all() else "no pixel"
        raise InputError(f"{path} marks {many} as missing: paint white what is missing, and black what is not")
    return missing


def mask_print(missing):
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
        raise InputError("no pixel is left: lower --inpaint")


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
    like, _ = load(path, value_range)
    image = like.pixels
    missing = None if mask is None else load_mask(mask, image.shape)
    model, progress, patched = fit(run, image, checkpoints, missing)
    setting = run.in_short(image.shape[2] if image.ndim == 3 else 1)
    own = _cells(run) | {"method": "tvae", "setting": setting, "trained_at": progress["trained_at"]}
    rows = [own | row for row in progress["rows"]]
    noisy = patched.noisy if patched.observed is None else np.where(patched.observed, patched.noisy, pictures.WHITE)
    shown = {"noisy": noisy} if run.sigma is None else {"clean": image, "noisy": noisy}
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


def add_bm3d(run, shown, folder):
    """Put BM3D's picture of the same noisy image before the last of the pictures, where the benchmark has made it."""
    if not run.sigma or run.misses_pixels:
        return
    path = next((folder / folder_name(rivals.rival(run, "bm3d"))).glob(f"{RESTORED}.*"), None)
    if path is not None:
        ours = shown.pop("tvae")
        shown |= {"bm3d": pictures.read(path).pixels, "tvae": ours}


def draw(found, rows, folder):
    """Write the pictures and figures of a Restored to its own folder.

    Args:
        rows: of psnr.csv, the run's among them.
    """
    from common.tvae import figures

    run, shown, own = found.run, found.pictures, folder / folder_name(found.run)
    write_restored(own, shown["tvae"], found.like)
    add_bm3d(run, shown, folder)
    psnr = scores(run, rows)
    channels = 3 if shown["noisy"].ndim == 3 else 1
    words = title(run, channels)
    figures.before_after(shown, psnr, words, own / "before_after.png")
    figures.curves(rows[rows["run"] == run.digest], psnr, run.sigma, words, own / "curves.png")
    units = f"{words}\nmu of single units"
    figures.patch_fields(found.units, (run.patch, run.patch, channels), units, own / "fields.png")


def write_restored(folder, pixels, like):
    """Write a restored picture in the form of the input: restored.png, or .tif where PNG cannot hold it."""
    write_picture(folder / f"{RESTORED}{pictures.ending(like)}", pixels, like)


def write_picture(path, pixels, like):
    """Write a picture in the form of `like`, whole or not at all."""
    write_atomically(path, lambda temporary: pictures.write(temporary, pixels, like, path.suffix))


def check_output(path, source, like):
    """Raise InputError where the restored picture cannot be written at a path, before it is made."""
    pictures.check_form(path, path.suffix, like)
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it, or name another --output")
    if path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"--output {path} would write over --image: name another file")


def scores(run, rows):
    """PSNR {method: dB} of a run's last epoch and of its rivals on the same noisy image, from rows of psnr.csv."""
    records = {"tvae": run}
    if run.sigma is not None:
        records |= {method: rivals.rival(run, method) for method in rivals.PARAMETERS}
    found = {method: rows.loc[rows["run"] == record.digest, "psnr"].dropna() for method, record in records.items()}
    return {method: float(own.iloc[-1]) for method, own in found.items() if len(own)}
