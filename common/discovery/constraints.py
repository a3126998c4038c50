"""Constraint handling: which of some points is the best where limits must be kept."""

import numpy as np


def best_first(y, excess):
    """Numbers of points, best first: those that keep every limit by their y (n,), then the others by their excess.

    Args:
        excess: (n, limits), see `BayesianOptimizer.tell`; without limits (n, 0).
    """
    return np.array(sorted(range(len(y)), key=ranks(y, excess).__getitem__), int)


def ranks(y, excess):
    """[(whether a limit is not kept, y or the excess all in all)] of points; less is better."""
    return [(True, float(much)) if much > 0 else (False, float(value)) for value, much in zip(y, total_excess(excess))]


def total_excess(excess):
    """Excess over all limits that are not kept, (n,); 0 where all are."""
    return np.maximum(excess, 0).sum(1)


def keeps_all(excess):
    """Which points (n,) keep every limit."""
    return np.all(excess <= 0, 1)
