"""The distance between a design and what is looked for."""

import numpy as np


def cosine_distance(x, target):
    """1 - cos(x, target) of images x (..., H, W, 1) and a target (H, W, 1), in [0, 2]; 1 for an empty image."""
    axes = (-3, -2, -1)
    norms = np.sqrt(np.sum(np.square(x), axes) * np.sum(np.square(target)))
    return 1 - np.sum(x * target, axes) / np.maximum(norms, 1e-12)
