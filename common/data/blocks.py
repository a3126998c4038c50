"""Many rows, some at a time: blocks of one shape, so that one compiled program serves them all; or some of them."""

import numpy as np


def blocks(number, size):
    """Indices of so many things, `size` at a time, (size,) each; the last are filled up: one shape is one program."""
    return [np.resize(np.arange(start, min(start + size, number)), size) for start in range(0, number, size)]


def block_size(number, smallest, largest):
    """A power of two times `smallest` that holds so many things, `largest` at most: few sizes for any number."""
    size = smallest
    while size < min(number, largest):
        size *= 2
    return min(size, largest)


def spread(x, most):
    """At most so many rows of x, spread over all of them."""
    return x[np.linspace(0, len(x) - 1, min(len(x), most)).round().astype(int)]
