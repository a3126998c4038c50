"""Where an epoch of the binary-latent VAE goes: milliseconds of a batch's parts, each compiled on its own, on one core.

Setting A of the denoising experiment: 3,969 patches of 8 x 8, 64-64-64, S states, 5 parents, 4 children, batch 32. The
parts overlap in what they compute; "the products alone" is a large matrix product with a whole step's operations.
"""

import argparse
import dataclasses
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BATCH, UNITS, PATCHES, FEW = 32, 64, 3969, 16


def milliseconds(function, rounds):
    function()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--states", type=int, default=64, help="a patch (64)")
    args = parser.parse_args()

    import numpy as np
    import tensorflow as tf

    from common.runs.jobs import limit_threads
    from common.tvae.evolution import Evolution, unpack
    from common.tvae.model import BinaryVAE

    limit_threads(1)
    data = (128 + 50 * np.random.default_rng(0).standard_normal((PATCHES, UNITS))).astype(np.float32)
    sizes = (PATCHES, UNITS, UNITS, (UNITS,), args.states, Evolution(5, 4))
    model, few = (BinaryVAE(*sizes, variance=2500.0, gradient_states=number) for number in (None, FEW))
    for one in (model, few):
        one.fit(data, 1, verbose=0)
    x, words = tf.constant(data[:BATCH]), model.words.value[:BATCH]
    states, seed = unpack(words, UNITS), tf.constant([0, 0])

    def compiled(function):
        return tf.function(function, jit_compile=True)

    evolve = compiled(lambda: model.evolve(x, states, seed))
    value = compiled(lambda: model.log_joint(x, states))

    def children(mutation):
        evolution = dataclasses.replace(model.evolution, mutation=mutation)
        parents = evolution.parents(states, tf.zeros((BATCH, args.states)), seed)
        return compiled(lambda: evolution.children(parents, 1.0, seed))

    drawn, by_sorting = children("floyd_flip"), children("flip")
    square = tf.random.normal((1024, 1024))
    product = compiled(lambda: tf.matmul(square, square))
    # Two layers; the sets forward, their children forward, the sets forward again and backward twice.
    operations = 2 * 2 * UNITS * UNITS * BATCH * (args.states * 4 + 20)
    parts = {
        "whole step (E and M)": milliseconds(lambda: model._improve(x, words, None)[2].numpy(), args.rounds),
        f"  of the {FEW} best states (--gradient-states)": milliseconds(
            lambda: few._improve(x, words, None)[2].numpy(), args.rounds
        ),
        "E-step": milliseconds(lambda: evolve()[1].numpy(), args.rounds),
        "  log-joint of the stored states": milliseconds(lambda: value().numpy(), args.rounds),
        "  making children": milliseconds(lambda: drawn().numpy(), args.rounds),
        "  the same by sorting (mutation flip)": milliseconds(lambda: by_sorting().numpy(), args.rounds),
        "the products alone": milliseconds(lambda: product().numpy(), 20) * operations / (2 * 1024**3),
    }
    for name, took in parts.items():
        print(f"{name:42} {took:6.2f} ms, {took / parts['whole step (E and M)']:5.0%}")
    steps = -(-PATCHES // BATCH)
    started = time.perf_counter()
    model.fit(data, 11, initial_epoch=1, verbose=0)
    epoch = (time.perf_counter() - started) / 10
    outside = 1 - steps * parts["whole step (E and M)"] / 1000 / epoch
    print(f"an epoch of {steps} steps: {epoch:.2f} s, of which outside the compiled step {outside:.0%}")


if __name__ == "__main__":
    main()
