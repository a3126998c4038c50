"""Zero-shot denoising, inpainting and the bars test by a binary-latent VAE (TVAE, Drefs et al. 2022): no clean data, no training set."""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from common import cli, report
from common.errors import InputError
from common.runs import results
from common.tvae import bars, patches

EXAMPLES = """examples:
  python 08_denoise.py                                       scikit-learn's china.jpg, a grey crop, sigma 25
  python 08_denoise.py --image house.png --sigma 25 --epochs 200
  python 08_denoise.py --image old_scan.jpg --noisy          the image is noisy already: no PSNR then
  python 08_denoise.py --image house.png --inpaint 0.5 --sigma 0 --half-cycle 20
  python 08_denoise.py --task bars --seeds 0 1 2 3 4         known truth: eight bars

The noise level is never told to the model. Writes RESULTS_DIR/08_denoise/psnr.csv (bars.csv), the images, and figures;
what was interrupted goes on where it was. Estimates are best at the end of a learning-rate cycle, 2 x --half-cycle epochs."""

COLUMNS = [
    "image",
    "sigma",
    "method",
    "setting",
    "seed",
    "epoch",
    "psnr",
    "ssim",
    "free_energy",
    "learned_sigma",
    "seconds",
    "commit",
]
KEYS = ["image", "sigma", "method", "setting", "seed", "epoch"]
BARS = [
    "seed",
    "setting",
    "free_energy",
    "generating_log_likelihood",
    "bars_found",
    "learned_sigma",
    "sum_pi",
    "epochs",
    "seconds",
    "commit",
]
BARS_DEFAULTS = {"epochs": 400, "max_learning_rate": 0.05, "hidden": [8], "latent_dim": 8, "parents": 3, "children": 2}
DENOISE_DEFAULTS = {
    "epochs": 200,
    "max_learning_rate": 0.01,
    "hidden": [64],
    "latent_dim": 64,
    "parents": 5,
    "children": 4,
}


def setting(args, data_dim):
    """The model's options in one cell: patch/stride H-hidden-D S parents/children/generations selection mutation batch rates."""
    shape = "-".join(map(str, [args.latent_dim, *args.hidden, data_dim]))
    size = "" if args.task == "bars" else f"{args.patch}x{args.patch}/{args.stride} "
    rates = f"{args.min_learning_rate:g}..{args.max_learning_rate:g}/{args.half_cycle}"
    evolution = f"{args.parents}/{args.children}/{args.generations} {args.selection} {args.mutation}"
    more = f" inpaint {args.inpaint:g}" if args.inpaint else ""
    more += f" after {args.warm_epochs} epochs at stride {args.warm_stride}" if args.warm_stride else ""
    return (
        f"{size}{shape} S{args.states} {evolution} b{args.batch_size} lr {rates}{' leaky' if args.leaky else ''}{more}"
    )


def read(args):
    """The image asked for, and its name in the tables."""
    if args.image is not None:
        return patches.read_image(args.image), args.image.stem
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("china.jpg").astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey[20:276, 90:346], "china"  # the pagoda and the sky


def build(args, data, seed, variance):
    from common.runs.jobs import limit_threads
    from common.tvae.evolution import Evolution
    from common.tvae.model import BinaryVAE

    limit_threads(1)  # small matrices: a second thread costs more than it brings
    try:
        evolution = Evolution(args.parents, args.children, args.generations, args.selection, args.mutation)
        shape = (*data.shape, args.latent_dim, tuple(args.hidden), args.states)
        return BinaryVAE(*shape, evolution, variance=variance, leaky=args.leaky, seed=seed)
    except ValueError as error:
        raise InputError(f"{error}: change --states, --parents, --children or --latent-dim") from error


def train(args, data, seed, name, variance, measure, mask=None, begin=None):
    """Train, go on with, or load a model of data (N, D); (model, record with its rows).

    `begin(model)` makes a new model's start and returns the seconds that it took.
    """
    from common.runs import epochs

    shape = hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()[:8]
    folder = (
        args.results_dir
        / "checkpoints"
        / "tvae"
        / f"{name}-{shape}-{results.digest(setting(args, data.shape[1]))}"
        / f"seed{seed}"
    )
    model = build(args, data, seed, variance)
    fit = dict(mask=mask, batch_size=args.batch_size, half_cycle=args.half_cycle, verbose=0)
    fit["learning_rate"] = (args.min_learning_rate, args.max_learning_rate)
    model.fit(data, 0, **fit)  # makes the optimizer, whose state is loaded too
    record = epochs.resume(folder, model)
    if not record["epoch"] and begin is not None:
        record["seconds"] = begin(model)

    def row(model, epoch, logs):
        if epoch % args.half_cycle and epoch != args.epochs:
            return None
        bound = float(logs["free_energy"])
        return {"free_energy": bound, "learned_sigma": float(model.variance.numpy()) ** 0.5, **measure(model, bound)}

    if record["epoch"] < args.epochs:
        remedy, shown = "lower --max-learning-rate", ("learned_sigma", "psnr")
        callback = epochs.Record(folder, record, args.epochs, args.half_cycle, row, "free_energy", remedy, shown)
        model.fit(data, args.epochs, initial_epoch=record["epoch"], callbacks=[callback], **fit)
    return model, record


class Task:
    """The patches of one image at one stride, what is observed of them, and the image that estimates of them make."""

    def __init__(self, args, noisy, observed, stride):
        self.args, self.noisy, self.observed, self.stride = args, noisy, observed, stride
        data, places = patches.cut(noisy, args.patch, stride), patches.places(noisy.shape, args.patch, stride)
        mask = None if observed is None else patches.cut(observed.astype(np.float32), args.patch, stride)
        self.kept = (
            np.ones(len(data), bool) if mask is None else mask.any(1)
        )  # patches with no pixel at all teach nothing
        if not self.kept.any():
            raise InputError("no pixel is left: lower --inpaint")
        self.places, self.mask = places[self.kept], None if mask is None else mask[self.kept]
        known = data[self.kept] if mask is None else np.where(self.mask > 0, data[self.kept], np.nan)
        spread = [np.nanvar(column[np.isfinite(column)]) for column in known.T if np.isfinite(column).any()]
        self.variance = float(np.mean(spread)) + 0.001
        self.data, self.size = np.nan_to_num(known).astype(np.float32), len(data)

    def assemble(self, model):
        """The image of the model's estimates; observed pixels stay what they are where others were missing."""
        whole = np.zeros((self.size, self.data.shape[1]))
        whole[self.kept] = model.reconstruct()
        found = patches.average(whole, self.noisy.shape, self.args.patch, self.stride)
        return found if self.observed is None else np.where(self.observed, self.noisy, found)


def denoise(args, seed, folder):
    """One image, one seed: rows for psnr.csv, and the images by method for the figure."""
    image, name = read(args)
    noisy = image if args.noisy else patches.add_noise(image, args.sigma, seed)
    observed = np.random.default_rng(seed).random(noisy.shape) >= args.inpaint if args.inpaint else None
    task = Task(args, noisy, observed, args.stride)
    folder = (
        folder
        / f"{name}_{'noisy' if args.noisy else f'{args.sigma:g}'}{f'_inpaint{args.inpaint:g}' if args.inpaint else ''}"
    )
    best = {"free_energy": -np.inf}

    def measure(model, free_energy, own=task):
        found = own.assemble(model)
        if free_energy > best["free_energy"] and own is task:
            best["free_energy"] = free_energy
            results.write_atomically(
                folder / f"tvae_seed{seed}.png", lambda temporary: patches.write_image(temporary, found)
            )
        return {} if args.noisy else {"psnr": patches.psnr(found, image), "ssim": patches.ssim(found, image)}

    def begin(model):
        coarse_args = argparse.Namespace(
            **vars(args) | {"stride": args.warm_stride, "epochs": args.warm_epochs, "warm_stride": None}
        )
        coarse = Task(args, noisy, observed, args.warm_stride)
        first, record = train(
            coarse_args,
            coarse.data,
            seed,
            name,
            coarse.variance,
            lambda *state: measure(*state, own=coarse),
            coarse.mask,
        )
        model.start_from(first, cKDTree(coarse.places).query(task.places)[1])
        return record["seconds"]

    begin = begin if args.warm_stride else None
    model, record = train(args, task.data, seed, name, task.variance, measure, task.mask, begin)
    own_setting = setting(args, task.data.shape[1])
    shared = {"image": name, "sigma": "" if args.noisy else args.sigma, "seed": seed, "commit": record["commit"]}
    rows = [shared | row | {"method": "tvae", "setting": own_setting} for row in record["rows"]]
    shown = {
        "clean": None if args.noisy else image,
        "noisy": noisy if observed is None else np.where(observed, noisy, patches.PEAK),
    }
    if not args.noisy and not args.inpaint and args.sigma > 0:
        for method, found in patches.baselines(noisy, args.sigma, image).items():
            row = {
                "method": method,
                "setting": "fixed",
                "epoch": 0,
                "psnr": patches.psnr(found, image),
                "ssim": patches.ssim(found, image),
            }
            rows.append(shared | row)
            shown[method] = found
    return rows, shown | {"tvae": task.assemble(model)}, model, folder


def bars_test(args, seed, folder):
    """The bars test: 500 images of 4 x 4 with bars of known shape; the row of bars.csv."""
    data, truth, likelihood = bars.draw(500, seed)
    model, record = train(args, data, seed, "bars", 0.01, lambda model, free_energy: {})
    fields = model.decode(np.eye(args.latent_dim, dtype=np.float32)).numpy()
    errors = np.mean((fields[:, None] - truth[None]) ** 2, -1)
    matched = errors[linear_sum_assignment(errors)]
    row = {
        "seed": seed,
        "setting": setting(args, data.shape[1]),
        "generating_log_likelihood": likelihood,
        "bars_found": int((matched < 0.01).sum()),
    }
    row |= {"free_energy": float(model.free_energy(data).mean()), "learned_sigma": float(model.variance.numpy()) ** 0.5}
    row |= {
        "sum_pi": float(model.pi.numpy().sum()),
        "epochs": args.epochs,
        "seconds": record["seconds"],
        "commit": record["commit"],
    }
    return row, fields


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--task", choices=("denoise", "bars"), default="denoise", help="an image (default), or the bars test"
    )
    data.add_argument("--image", type=Path, help="PNG or JPEG, grey or colour (a crop of scikit-learn's china.jpg)")
    data.add_argument(
        "--sigma", type=cli.not_negative, default=25.0, help="standard deviation of the noise to add, of 255 (25)"
    )
    data.add_argument("--noisy", action="store_true", help="the image is noisy already: add none")
    data.add_argument("--inpaint", type=cli.fraction, default=0.0, help="fraction of pixels that are missing (0)")
    run = parser.add_argument_group("runs")
    cli.add_run_options(run, jobs=False)
    model = parser.add_argument_group("model and training")
    model.add_argument("--patch", type=cli.positive_int, default=8, help="side of a patch (8)")
    model.add_argument("--stride", type=cli.positive_int, default=4, help="of the patches (4)")
    model.add_argument("--warm-stride", type=cli.positive_int, help="train at this coarser stride first (no)")
    model.add_argument("--warm-epochs", type=cli.positive_int, default=100, help="of that training (100)")
    model.add_argument("--latent-dim", type=cli.positive_int, help="binary units H (64; bars: 8)")
    model.add_argument(
        "--hidden", type=cli.positive_int, nargs="+", help="units of the decoder's hidden layers (64; bars: 8)"
    )
    model.add_argument("--leaky", action="store_true", help="LeakyReLU in place of ReLU")
    model.add_argument("--states", type=cli.positive_int, default=64, help="states S kept for each patch (64)")
    model.add_argument("--parents", type=cli.positive_int, help="of an evolutionary step (5; bars: 3)")
    model.add_argument("--children", type=cli.positive_int, help="of each parent (4; bars: 2)")
    model.add_argument("--generations", type=cli.positive_int, default=1, help="(1)")
    model.add_argument("--selection", choices=("best", "fitness", "uniform"), default="best", help="of parents (best)")
    model.add_argument(
        "--mutation", choices=("flip", "sparse_flips", "crossover"), default="flip", help="(flip: one bit)"
    )
    model.add_argument("--epochs", type=cli.positive_int, help="(200; bars: 400)")
    model.add_argument("--batch-size", type=cli.positive_int, default=32, help="(32)")
    model.add_argument(
        "--min-learning-rate", type=cli.positive_float, default=1e-4, help="of the triangular schedule (0.0001)"
    )
    model.add_argument("--max-learning-rate", type=cli.positive_float, help="(0.01; bars: 0.05)")
    model.add_argument(
        "--half-cycle", type=cli.positive_int, default=10, help="epochs in which the learning rate rises (10)"
    )
    args = parser.parse_args()
    for option, value in (BARS_DEFAULTS if args.task == "bars" else DENOISE_DEFAULTS).items():
        if getattr(args, option) is None:
            setattr(args, option, value)
    from common.implicit import figures as figures_systems

    folder = args.results_dir / "08_denoise"
    if args.task == "bars":
        args.warm_stride, args.inpaint = None, 0.0
        for seed in args.seeds:
            row, fields = bars_test(args, seed, folder)
            rows = results.put_rows(folder / "bars.csv", [row], BARS, ["setting", "epochs", "seed"])
            figures_systems.fields(
                fields, (4, 4, 1), f"bars, seed {seed}: what each unit adds", folder / "bars" / f"fields_seed{seed}.png"
            )
        report.write_report(args.results_dir)
        print(rows.to_string(index=False))
        return
    for seed in args.seeds:
        rows, shown, model, own = denoise(args, seed, folder)
        results.put_rows(folder / "psnr.csv", rows, COLUMNS, KEYS)
        label = f"{own.name}, seed {seed}, {setting(args, model.data_dim)}"
        figures_systems.denoised(shown, label, own / f"before_after_seed{seed}.png")
        figures_systems.denoising_curves(pd.DataFrame(rows), label, own / f"curves_seed{seed}.png")
        channels = 3 if shown["noisy"].ndim == 3 else 1
        units = model.decode(np.eye(args.latent_dim, dtype=np.float32)).numpy()
        figures_systems.fields(
            units, (args.patch, args.patch, channels), f"{label}: mu of single units", own / f"fields_seed{seed}.png"
        )
        last = pd.DataFrame(rows).groupby(["method", "setting"], sort=False).last()
        print(last.reindex(columns=["epoch", "psnr", "ssim", "free_energy", "learned_sigma", "seconds"]).to_string())
    report.write_report(args.results_dir)
    print(f"tables, images and figures: {folder}; report: {args.results_dir / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
