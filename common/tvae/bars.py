"""The bars test (Drefs et al. 2022): data whose generating parameters and likelihood are known."""

import math

import numpy as np


def draw(number, seed, variance=0.01):
    """Images of 4 x 4: sums of eight bars, each present with probability 2/8, and Gaussian noise.

    Returns:
        data (number, 16) float32, the bars (8, 16), and the mean log-likelihood of the data under these very parameters,
        in nats, over all 256 states.
    """
    rng = np.random.default_rng(seed)
    lines = np.eye(4)
    truth = np.concatenate([np.kron(lines, np.ones(4)), np.kron(np.ones(4), lines)])
    states = (np.arange(256)[:, None] >> np.arange(8)) & 1
    data = (rng.random((number, 8)) < 0.25) @ truth + math.sqrt(variance) * rng.standard_normal((number, 16))
    prior = states.sum(1) * math.log(0.25) + (8 - states.sum(1)) * math.log(0.75)
    squares = np.square(data[:, None] - states @ truth).sum(-1)
    joint = prior - 8 * math.log(2 * math.pi * variance) - squares / (2 * variance)
    return data.astype(np.float32), truth, float(np.logaddexp.reduce(joint, 1).mean())
