"""The tasks that a file lists: found in images that nobody sorted, and rounded to what the file holds of them."""

import math

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from common.hypervae.compression import SHARE_BITS, Mixture

CANDIDATES = 3  # tasks that an image may be coded by: those whose u is nearest to its own
LISTED_BITS = 4  # steps of u
# The search for tasks: how many, by k-means on so many images at most, of which so many are coded.
NUMBERS_OF_TASKS, MOST_GROUPED, MOST_MEASURED = (1, 5, 10, 20, 40), 2_000, 400
RESTARTS = 4  # of k-means, as in found_tasks.py, which loads TensorFlow


def listed_tasks(model, codes, shares):
    """The Mixture of a HyperVAE's VAEs at codes (K, d), multiples of 2**-exact.VALUE_BITS."""

    def nearest(x):
        distances = np.square(model.single_u(model.features(x))[:, None] - codes).sum(-1)
        return np.argsort(distances, 1, kind="stable")[:, :CANDIDATES]

    find = nearest if len(codes) > 1 else None
    return Mixture(model.vae, [model.theta_of(u) for u in codes], shares, find)


def find_tasks(model, x, seed=0):
    """Tasks in images that nobody sorted: k-means of the images' own u, as many groups as make the whole file shortest.

    Args:
        model: the exact.ExactModel of a HyperVAE; x: images (N, H, W, 1) in {0, 1}; seed: of the sample and k-means.

    Returns:
        codes (K, d), multiples of 2**-LISTED_BITS, and shares (K,) for `listed_tasks`.
    """
    sample = x[np.random.default_rng(seed).permutation(len(x))[:MOST_GROUPED]]
    with threadpool_limits(1):  # products this small: two threads wait for each other
        codes = model.single_u(model.features(sample))
        distinct, best = len(np.unique(codes, axis=0)), (np.inf, None)
        for number in [number for number in NUMBERS_OF_TASKS if number <= distinct]:
            means = KMeans(number, n_init=RESTARTS, random_state=seed).fit(codes)
            found = listed_codes(means.cluster_centers_), shares_of(np.bincount(means.labels_))
            nats = listed_tasks(model, *found).posterior(sample[:MOST_MEASURED], measured=True).nats
            total = nats.mean() * len(x) + number * (8 * codes.shape[1] + SHARE_BITS) * math.log(2)
            best = min(best, (total, found), key=lambda pair: pair[0])
    return best[1]


def listed_codes(u):
    """Codes u (K, d) as they are listed in a file: a byte each."""
    return np.clip(np.rint(u * 2.0**LISTED_BITS), -127, 127) * 2.0**-LISTED_BITS


def shares_of(counts):
    """Whole numbers (K,), at least 1, that sum to 2**SHARE_BITS, about as counts (K,) do."""
    shares = np.maximum(1, np.floor(counts / counts.sum() * (1 << SHARE_BITS))).astype(int)
    shares[shares.argmax()] += (1 << SHARE_BITS) - shares.sum()
    return shares
