"""What is written of a restored image: its row of a table, pictures and figures, in a folder of its own."""

import os

from common.data import pictures
from common.errors import InputError
from common.runs.storage import check_apart, write_atomically
from common.tvae import rivals

KEYS = ["epoch"]
ORDER = ["image", "sigma", "method", "setting", "seed"]
COLUMNS = [*ORDER, "epoch", "psnr", "ssim", "free_energy", "learned_sigma", "seconds", "psnr_averaged"]
RESTORED = "restored"


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


def add_bm3d(run, shown, like, folder):
    """Put BM3D's picture of the same noisy image before the last of the pictures, where the benchmark has made it."""
    if not run.sigma or run.misses_pixels:
        return
    path = next((folder / folder_name(rivals.rival(run, "bm3d"))).glob(f"{RESTORED}.*"), None)
    if path is not None:
        ours = shown.pop("tvae")
        shown |= {"bm3d": pictures.read(path, (like.black, like.white)).pixels, "tvae": ours}


def draw(found, rows, folder):
    """Write the pictures and figures of a Restored to its own folder.

    Args:
        rows: of psnr.csv, the run's among them.
    """
    from common.tvae import figures

    run, shown, own = found.run, found.pictures, folder / folder_name(found.run)
    write_restored(own, shown["tvae"], found.like)
    add_bm3d(run, shown, found.like, folder)
    psnr = scores(run, rows)
    channels = 3 if shown["tvae"].ndim == 3 else 1
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


def check_output(path, given, like):
    """Raise InputError where the restored picture cannot be written at a path, before it is made.

    Args:
        given: the user's own files, {option: path or None}.
    """
    pictures.check_form(path, path.suffix, like)
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it, or name another --output")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: name another --output")
    check_apart(path, given, "name another --output")


def scores(run, rows):
    """PSNR {method: dB} of a run's last epoch and of its rivals on the same noisy image, from rows of psnr.csv."""
    records = {"tvae": run}
    if run.sigma is not None:
        records |= {method: rivals.rival(run, method) for method in rivals.PARAMETERS}
    found = {method: rows.loc[rows["run"] == record.digest, "psnr"].dropna() for method, record in records.items()}
    return {method: float(own.iloc[-1]) for method, own in found.items() if len(own)}
