"""06_regression.py on a table of 515,345 rows and 90 columns, the shape of YearPredictionMSD: memory and time.

    python benchmarks/large_table.py [--epochs 2] [--method hypernet] [--threads 2]

The numbers are made up, by a function that a network can learn, and say nothing about the real set; UCI's split of
463,715 and 51,630 rows is kept. Who has UCI's file (YearPredictionMSD.txt, without a header; the year comes first) can
write it as an .npz with that split and run the script itself:

    data = pandas.read_csv("YearPredictionMSD.txt", header=None).to_numpy()
    rows = numpy.arange(len(data))[None]
    numpy.savez("year.npz", x=data[:, 1:], y=data[:, 0], train_index=rows[:, :463_715], test_index=rows[:, 463_715:])
    python 06_regression.py --dataset year.npz --method hypernet
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ROWS, TRAINING, COLUMNS = 515_345, 463_715, 90
MOST_MEMORY = 4.0  # GB


def made_up(path, seed=0):
    """Correlated inputs of unlike scales, as real ones are, and years that depend on some of them."""
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(ROWS, COLUMNS)) @ draws.normal(size=(COLUMNS, COLUMNS)) * draws.uniform(1, 1000, COLUMNS)
    standard = x / x.std(0)
    y = 1998 + 5 * np.tanh(standard[:, :5].sum(1)) + 3 * standard[:, 5] + 8 * draws.normal(size=ROWS)
    rows = np.arange(ROWS)[None]
    np.savez(path, x=x, y=y.round(), train_index=rows[:, :TRAINING], test_index=rows[:, TRAINING:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--method", choices=("hypernet", "sgd"), default="hypernet")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made_up(Path(folder) / "year.npz")
        command = [sys.executable, str(ROOT / "06_regression.py"), "--dataset", f"{folder}/year.npz"]
        command += ["--method", args.method, "--epochs", str(args.epochs), "--results-dir", f"{folder}/results"]
        threads = {"TF_NUM_INTRAOP_THREADS": str(args.threads), "OMP_NUM_THREADS": str(args.threads)}
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | threads)
        seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{ROWS:,} x {COLUMNS}, {args.method}, {args.epochs} epochs: {seconds:.0f} s, {memory:.2f} GB at most")
    if memory > MOST_MEMORY:
        sys.exit(f"more than {MOST_MEMORY:g} GB")


if __name__ == "__main__":
    main()
