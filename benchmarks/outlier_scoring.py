"""Scoring images with weights of their own: one program over a batch, against a loop over images and a plain VAE.

    python benchmarks/outlier_scoring.py [--images 10000] [--loop-images 50] [--threads 2] [--rounds 3] [--body conv]

All in one process, in turn, on the same images; ratios are medians over rounds of ratios within a round. The first
loop is what a user would write: `vae_for` each image and its description length. The second is the harder rival: the
compiled program itself, called with one image at a time. Likelihood regret (100 steps on q(z|x) of each image) stands
beside the scoring of the same model.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--loop-images", type=int, default=50, help="images of the loops, which are timed by the image")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--num-samples", type=int, default=16)
    bodies = ("conv", "conv_logistic")
    parser.add_argument("--body", choices=bodies, default="conv", help="of binary pixels (default) or grey levels")
    args = parser.parse_args()

    import tensorflow as tf

    from common.hypervae import density, outliers
    from common.hypervae.hypervae import HyperVAE
    from common.hypervae.vae import VAE
    from common.runs.jobs import limit_threads

    limit_threads(args.threads)
    x = (np.random.default_rng(0).random((args.images, 28, 28, 1)) < 0.2).astype(np.uint8)
    hypervae, vae = HyperVAE(summary="mean", body=args.body), VAE(body=args.body)
    x = x * np.uint8(vae.body.white)
    seed = tf.constant([0, 0])

    def loop():
        started = time.perf_counter()
        for i in range(args.loop_images):
            own = hypervae.vae_for(x[i : i + 1])
            theta = {name: w.value for name, w in own.theta.items()}
            density.code_length(own.body, theta, tf.cast(x[i : i + 1], tf.float32), seed, num_samples=args.num_samples)
        return (time.perf_counter() - started) / args.loop_images

    def batched(model, batch_size, images=x, statistics_of=outliers.image_statistics):
        marks = []

        def progress(batches):  # the first batch compiles, and is not timed
            for number, batch in enumerate(batches):
                if number == 1:
                    marks.append(time.perf_counter())
                yield batch

        statistics_of(model, args.num_samples, batch_size=batch_size)(images, (0, 0), progress)
        return (time.perf_counter() - marks[0]) / (len(images) - batch_size)

    some = x[: max(100, args.images // 10)]  # regret takes longer
    regret = {"batch_size": 50, "images": some, "statistics_of": outliers.likelihood_regret}
    rounds = [
        {
            "HyperVAE, one program": batched(hypervae, 50),
            "plain VAE, one program": batched(vae, 50),
            "HyperVAE, loop with vae_for": loop(),
            "HyperVAE, one image at a time, compiled": batched(hypervae, 1, x[: 10 * args.loop_images]),
            "HyperVAE, likelihood regret": batched(hypervae, **regret),
            "plain VAE, likelihood regret": batched(vae, **regret),
        }
        for _ in range(args.rounds)
    ]
    print(f"| {args.num_samples} draws of z, {args.threads} threads | ms an image | ratio to HyperVAE, one program |")
    print("| --- | --- | --- |")
    for name in rounds[0]:
        ratio = statistics.median(r[name] / r["HyperVAE, one program"] for r in rounds)
        print(f"| {name} | {1e3 * statistics.median(r[name] for r in rounds):.2f} | {ratio:.2f} |")
    for model in ("HyperVAE", "plain VAE"):
        ratio = statistics.median(r[f"{model}, likelihood regret"] / r[f"{model}, one program"] for r in rounds)
        print(f"likelihood regret of the {model}: {ratio:.1f} times its scoring")


if __name__ == "__main__":
    main()
