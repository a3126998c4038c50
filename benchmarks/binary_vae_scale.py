"""How a TVAE's epoch grows with latents H, states S and patches N: seconds on one core, and memory.

Patches of 12 x 12 of scikit-image's camera (512 x 512) with noise of sigma 25, a decoder H-H-144, batches of 32. A step
is the median of a few after compilation; an epoch is its N / 32 steps. Memory is that of the model: states, estimates,
weights. Machines differ: what counts is the ratio to the first size of the same run. Writes
RESULTS_DIR/08_denoise/scale.csv and scale.png.

  python benchmarks/binary_vae_scale.py
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import cli
from common.runs.identity import Record
from common.runs.results import put_rows
from common.runs.storage import commit

SIGMA = 25.0
GRID = {"latent_dim": (64, 128, 256, 512), "states": (32, 64, 128, 256), "stride": (8, 4, 2)}
LABELS = {"latent_dim": "latents H (hidden units too)", "states": "states S a patch", "patches": "patches N"}
COLUMNS = ["latent_dim", "states", "patches", "step_ms", "seconds_an_epoch", "memory_mib"]


@dataclass(frozen=True)
class ScaleRun(Record):
    """One size."""

    latent_dim: int = 64
    states: int = 64
    stride: int = 8
    patch: int = 12
    batch_size: int = 32


def measure(run, noisy, rounds):
    """A row of the table."""
    import numpy as np
    import tensorflow as tf

    from common.tvae import patches
    from common.tvae.recipe import Recipe
    from common.tvae.training import build

    data = np.float32(patches.cut(noisy, run.patch, run.stride))
    recipe = Recipe(latent_dim=run.latent_dim, hidden=(run.latent_dim,), states=run.states)
    model = build(recipe, data.shape, 0, float(data.var(0).mean()))
    model.fit(data, 0, batch_size=run.batch_size, verbose=0)  # makes the optimizer
    batch, times = (tf.range(run.batch_size), tf.constant(data[: run.batch_size])), []
    for _ in range(rounds + 1):  # the first one compiles
        started = time.process_time()
        model.train_step(batch)
        times.append(time.process_time() - started)
    step = statistics.median(times[1:])
    memory = sum(np.prod(variable.shape) * 4 for variable in model.variables) / 2**20
    cells = {"run": run, "latent_dim": run.latent_dim, "states": run.states, "patches": len(data)}
    cells |= {"step_ms": 1000 * step, "seconds_an_epoch": step * -(-len(data) // run.batch_size), "memory_mib": memory}
    return cells | {"trained_at": commit(), "evaluated_at": commit()}


def draw(rows, path):
    """Seconds an epoch and memory against each size, the others as in the first row."""
    from matplotlib import pyplot as plt

    from common.runs.figures import save

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    first = rows[0]
    for axis, (name, label) in zip(axes, LABELS.items()):
        own = [row for row in rows if all(row[other] == first[other] for other in LABELS if other != name)]
        own = sorted(own, key=lambda row: row[name])
        sizes = [row[name] for row in own]
        seconds, memory = ([row[column] for row in own] for column in ("seconds_an_epoch", "memory_mib"))
        axis.loglog(sizes, seconds, "o-", color="C0", label="seconds an epoch, one core")
        axis.loglog(sizes, memory, "s--", color="C1", label="memory of the model, MiB")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.set_yscale("log", base=2)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set(xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds, or MiB")
    axes[0].legend(fontsize=8)
    fixed = f"H {first['latent_dim']}, S {first['states']}, N {first['patches']}"
    figure.suptitle(f"An epoch of TVAE, patches of 12 x 12, H-H-144; what a panel does not vary: {fixed}", fontsize=10)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=cli.positive_int, default=10, help="steps measured of each size (10)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), help="(results/)")
    args = parser.parse_args()

    import numpy as np
    from skimage.data import camera

    from common.runs.jobs import limit_threads
    from common.tvae.patches import add_noise

    limit_threads(1)
    noisy, rows = add_noise(camera().astype(np.float32), SIGMA, 0), []
    for run in dict.fromkeys(ScaleRun(**{name: value}) for name, values in GRID.items() for value in values):
        rows.append(measure(run, noisy, args.rounds))
        row, ratio = rows[-1], rows[-1]["seconds_an_epoch"] / rows[0]["seconds_an_epoch"]
        size = f"H {row['latent_dim']}, S {row['states']}, N {row['patches']}"
        took = f"{row['seconds_an_epoch']:.2f} s an epoch ({ratio:.1f} x), {row['memory_mib']:.0f} MiB"
        print(f"{size}: {took}", flush=True)
    put_rows(args.results_dir / "08_denoise" / "scale.csv", rows, COLUMNS)
    draw(rows, args.results_dir / "08_denoise" / "scale.png")


if __name__ == "__main__":
    cli.run_script(main)
