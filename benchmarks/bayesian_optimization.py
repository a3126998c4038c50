"""What the BO loop costs beside its objective, and what it finds, against GPyOpt called plainly.

The objective is the cosine distance between designs of a fixed random decoder: cheap, smooth, saturating, of 10
dimensions. One core; seconds an evaluation, and the ratio to plain GPyOpt within this run.
"""

import argparse
import os
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is loaded: plain GPyOpt would use every core
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

from common.discovery.acquisitions import GPyOpt  # noqa: E402
from common.discovery.bayesopt import BayesianOptimizer  # noqa: E402

BOUNDS = [(-5, 5)] * 10


def objective(seed):
    """A black box on [-5, 5]^10: the distance between a decoded design and one target of the same decoder."""
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((10, 50)), rng.standard_normal((50, 784))

    def decode(z):
        return 1 / (1 + np.exp(-np.maximum(z @ first, 0) @ second / 10))

    target = decode(rng.standard_normal(10))

    def distance(z):
        x = decode(np.ravel(z))
        return 1 - x @ target / np.sqrt(x @ x * (target @ target))

    return distance


def ours(distance, evaluations, seed, trust_region):
    optimizer = BayesianOptimizer(BOUNDS, seed, num_initial=10, trust_region=trust_region)
    return optimizer.run(distance, evaluations)[1]


def plain(distance, evaluations, seed):
    np.random.seed(seed)
    domain = [{"name": "z", "type": "continuous", "domain": (-5, 5), "dimensionality": 10}]
    optimizer = GPyOpt.methods.BayesianOptimization(
        lambda z: np.array([[distance(z)]]), domain, initial_design_numdata=10
    )
    optimizer.run_optimization(evaluations - 10, eps=-1)
    return optimizer.fx_opt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=300, help="of the objective (300)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    distance = objective(args.seed)
    random = min(distance(z) for z in np.random.default_rng(args.seed).uniform(-5, 5, (args.evaluations, 10)))
    print(f"{'random search':28} best distance {random:.4f}")
    variants = {
        "GPyOpt, plain": lambda: plain(distance, args.evaluations, args.seed),
        "this loop, whole box": lambda: ours(distance, args.evaluations, args.seed, False),
        "this loop, trust region": lambda: ours(distance, args.evaluations, args.seed, True),
    }
    reference = None
    for name, run in variants.items():
        started = time.perf_counter()
        best = run()
        each = (time.perf_counter() - started) / args.evaluations
        reference = reference or each
        print(
            f"{name:28} best distance {best:.4f}, {each:.3f} s an evaluation, {each / reference:.2f} of plain GPyOpt",
            flush=True,
        )


if __name__ == "__main__":
    main()
