"""Direct optimization of binary latents against amortised inference: one noisy image, one decoder, equal time.

TVAE (no encoder) beside a VAE with concrete (Gumbel-softmax) binary latents and one with Gaussian latents: the same
patches, the same decoder, sigma and prior in closed form, one core. The time is CPU seconds, compilation included,
evaluation not. Nobody is told the noise level. The VAEs are trained at several learning rates; the figure draws the one
of the best bound (free energy, mean over pictures and seeds) bold. Writes amortised.csv and .png in
RESULTS_DIR/08_denoise.

  python benchmarks/amortised_denoising.py --image china camera --seconds 120 --seeds 0 1
  python benchmarks/amortised_denoising.py --only-show                    the table and the figure of the rows there are
"""

import argparse
import dataclasses
import itertools
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import cli
from common.errors import InputError
from common.runs.identity import Record, digest, label, without
from common.runs.results import put_rows, read_records, read_rows
from common.runs.storage import commit
from common.runs.summaries import markdown_table
from common.tvae import denoising, inputs, patches
from common.tvae.recipe import Recipe

METHODS = {"direct": "TVAE, binary, no encoder", "concrete": "VAE, concrete binary", "gaussian": "VAE, Gaussian"}
RATES = (1e-4, 3e-4, 1e-3, 3e-3)  # of the VAEs with an encoder
COLUMNS = ["image", "sigma", "method", "learning_rate", "seed", "epoch", "seconds", "psnr", "free_energy"]
COLUMNS += ["learned_sigma", "parameters"]


@dataclass(frozen=True)
class AmortisedRun(Record):
    """One method on one noisy image."""

    image: str = label()
    fingerprint: str
    sigma: float
    method: str
    patch: int
    stride: int
    recipe: Recipe  # of TVAE; the others have its decoder
    encoder_hidden: tuple
    learning_rate: float  # of the VAEs with an encoder; None for TVAE, whose schedule is its recipe's
    batch_size: int  # of these
    seconds: float  # of training
    seed: int


class Clock:
    """Rows of a training, and CPU seconds of this process without those of making the rows."""

    def __init__(self, limit, measure):
        self.limit, self.measure, self.rows, self.left_out, self.start = limit, measure, [], 0.0, time.process_time()
        self.next = 0.0

    def after_epoch(self, epoch, logs, due=True):
        """Note a row where one is due; True where the time is over."""
        now = time.process_time()
        spent = now - self.start - self.left_out
        if due and spent >= self.next:
            row = {"epoch": epoch, "seconds": spent, "free_energy": float(logs["free_energy"])}
            self.rows.append(row | self.measure())
            self.next = spent + self.limit / 40
        self.left_out += time.process_time() - now
        return spent >= self.limit


def train(run, image):
    """The rows of one run, and the number of its parameters."""
    import keras
    import numpy as np

    from common.runs.jobs import limit_threads
    from common.tvae import amortised
    from common.tvae.training import build

    limit_threads(1)
    patched = denoising.PatchedImage(patches.add_noise(image, run.sigma, run.seed), None, run.patch, run.stride)
    data, recipe = patched.data, run.recipe

    def psnr(estimates):
        return patches.psnr(patched.assemble(estimates), image)

    if run.method == "direct":
        model = build(recipe, data.shape, run.seed, patched.variance)
        clock = Clock(
            run.seconds,
            lambda: {"psnr": psnr(model.reconstruct()), "learned_sigma": float(model.variance.numpy()) ** 0.5},
        )

        def after_epoch(epoch, logs):  # estimates are best at the end of a cycle
            due = (epoch + 1) % (2 * recipe.half_cycle) == 0
            model.stop_training = clock.after_epoch(epoch + 1, logs, due) and due

        rates = (recipe.min_learning_rate, recipe.max_learning_rate)
        options = dict(learning_rate=rates, half_cycle=recipe.half_cycle, batch_size=recipe.batch_size, verbose=0)
        model.fit(data, 10**6, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)], **options)
        return clock.rows, sum(np.prod(v.shape) for v in model.trainable_variables) + recipe.latent_dim + 1
    model = amortised.AmortisedVAE(data, run.method, recipe.latent_dim, recipe.hidden, run.encoder_hidden, run.seed)
    clock = Clock(run.seconds, lambda: {"psnr": psnr(model.reconstruct(data)), "learned_sigma": model.sigma})
    amortised.fit(model, data, run.learning_rate, run.batch_size, clock.after_epoch, run.seed)
    return clock.rows, sum(np.prod(v.shape) for v in model.trainable_variables) + 1 + recipe.latent_dim * model.binary


def ends_within(rows, seconds):
    """A Markdown table of PSNR: the last row of each training that lies within the time, mean over seeds.

    Evaluations of TVAE end its cycles, and so its last one may lie beyond the time.
    """
    ends = rows[rows["seconds"] <= seconds].groupby("run", sort=False).tail(1)
    keys = ["method", "parameters", "learning_rate"]
    table = ends.pivot_table("psnr", keys, "image", dropna=False).dropna(how="all").round(2).reset_index()
    table["method"] = table["method"].map(METHODS)
    rate = table["learning_rate"].map("{:g}".format).replace("nan", "its cycles")
    return markdown_table(list(table.columns), table.assign(learning_rate=rate).to_numpy())


def best_rates(rows):
    """{method: the learning rate with the greatest free energy at the end, mean over pictures and seeds}"""
    ends = rows.dropna(subset="learning_rate").groupby("run", sort=False).tail(1)
    means = ends.groupby(["method", "learning_rate"])["free_energy"].mean()
    return dict(means.groupby("method").idxmax().tolist())


def draw(rows, path):
    """PSNR against CPU seconds, a panel an image; learning rates that are not the best by the bound are faint."""
    from matplotlib import pyplot as plt

    from common.runs.figures import save

    images, best = list(dict.fromkeys(rows["image"])), best_rates(rows)
    figure, axes = plt.subplots(1, len(images), figsize=(4.6 * len(images), 3.6), squeeze=False, layout="constrained")
    for axis, image in zip(axes[0], images):
        for number, (method, name) in enumerate(METHODS.items()):
            own = rows[(rows["image"] == image) & (rows["method"] == method)]
            labels = {name if method not in best else f"{name}, rate {best[method]:g}"}
            for _, one in own.groupby("run", sort=False):
                chosen = one["learning_rate"].iloc[0] == best.get(method) or method not in best
                style = {"ms": 4, "label": labels.pop() if labels else None} if chosen else {"ms": 1, "alpha": 0.3}
                axis.plot(one["seconds"], one["psnr"], ".-", color=f"C{number}", **style)
        axis.set(title=image, xlabel="CPU seconds of one core", ylabel="PSNR, dB (higher is better)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="lower right")
    sigmas = ", ".join(f"{sigma:g}" for sigma in sorted(set(rows["sigma"])))
    title = f"One noisy image (sigma {sigmas}), one decoder, with and without an encoder (faint: other rates)"
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--image", type=Path, nargs="+", default=[Path("china"), Path("camera")], help="pictures (both)"
    )
    parser.add_argument("--sigma", type=cli.positive_float, default=25.0, help="of the noise, of 255 (25)")
    parser.add_argument("--method", choices=METHODS, nargs="+", default=list(METHODS), help="(all)")
    parser.add_argument("--seconds", type=cli.positive_float, default=120.0, help="CPU seconds of each training (120)")
    parser.add_argument("--encoder-hidden", type=cli.positive_int, nargs="+", default=[128, 128], help="(128 128)")
    parser.add_argument(
        "--learning-rate",
        type=cli.positive_float,
        nargs="+",
        default=RATES,
        help="of VAEs with an encoder, one after the other (0.0001 0.0003 0.001 0.003)",
    )
    parser.add_argument("--batch-size", type=cli.positive_int, default=64, help="of VAEs with an encoder (64)")
    parser.add_argument("--seeds", type=cli.seed, nargs="+", default=[0], help="of noise and models (0)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), help="(results/)")
    parser.add_argument(
        "--only-show", action="store_true", help="train nothing: table and figure of the rows there are"
    )
    args = parser.parse_args()
    folder = args.results_dir / "08_denoise"
    if not args.only_show:
        measure(args, folder)
    rows = of_settings(args, folder / "amortised.csv")
    draw(rows, folder / "amortised.png")
    print(ends_within(rows, args.seconds))


def settings(args):
    """What all trainings of a call share."""
    shared = dict(patch=denoising.PATCH, stride=denoising.half(denoising.PATCH), sigma=args.sigma)
    shared |= dict(recipe=dataclasses.replace(Recipe(), epochs=0), encoder_hidden=tuple(args.encoder_hidden))
    return shared | dict(seconds=args.seconds, batch_size=args.batch_size)


def of_settings(args, table):
    """The rows of a table whose trainings share this call's settings: unlike ones are not averaged.

    Raises:
        InputError: there are none.
    """
    own = {"image": "", "fingerprint": "", "method": "", "learning_rate": None, "seed": 0}
    asked = without(AmortisedRun(**own, **settings(args)).stored(), own)
    rows, records = read_rows(table), read_records(table)
    rows = rows[[digest(without(records[run], own)) == digest(asked) for run in rows["run"]]]
    if rows.empty:
        raise InputError(f"{table} has no rows of these settings: run without --only-show")
    return rows


def measure(args, folder):
    shared = settings(args)
    variants = [(m, rate) for m in args.method for rate in ([None] if m == "direct" else args.learning_rate)]
    for path in args.image:
        picture, name = inputs.load(path)
        fingerprint = patches.fingerprint(picture.pixels)
        for seed, (method, rate) in itertools.product(args.seeds, variants):
            cells = {"image": name, "method": method, "learning_rate": rate, "seed": seed}
            run = AmortisedRun(**cells, fingerprint=fingerprint, **shared)
            cells |= {"sigma": args.sigma}
            rows, parameters = train(run, picture.pixels)
            cells |= {"run": run, "parameters": int(parameters), "trained_at": commit(), "evaluated_at": commit()}
            put_rows(folder / "amortised.csv", [cells | row for row in rows], COLUMNS, ["epoch"])
            at, last = f" at {rate:g}" if rate else "", rows[-1]
            print(f"{name}, {method}{at}, seed {seed}: {last['psnr']:.2f} dB, {last['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    cli.run_script(main)
