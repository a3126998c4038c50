"""A stack of bits by asymmetric numeral systems: symbols are popped and pushed, codes z and u among them."""

import functools
import math

import constriction
import numpy as np

from common.hypervae import exact

PRECISION = 8  # z and u are whole numbers of steps of 2**-PRECISION
LARGEST_CODE = 16  # at least the largest mean and a window's width
WINDOW = 6  # standard deviations to each side, at least

MODELS = constriction.stream.model
_PRIOR = MODELS.QuantizedGaussian(-LARGEST_CODE << PRECISION, (LARGEST_CODE << PRECISION) - 1, 0.0, 2.0**PRECISION)


class RanDryError(Exception):
    """A stack had too few bits to choose symbols by."""


class Stack:
    """Symbols are popped and pushed by distributions that both sides know.

    Args:
        words: (n,) uint32, what is on it; initial: whether they are initial bits, whose zeros at the end count.
    """

    def __init__(self, words, initial=False):
        self._coder = constriction.stream.stack.AnsCoder(words, seal=initial)

    def words(self, initial=False):
        """What is on the stack; `initial` where that must be the bits that it began with.

        Raises:
            AssertionError: more or less is on it.
        """
        return self._coder.get_compressed(unseal=initial)

    @property
    def bits(self):
        return self._coder.num_valid_bits()

    def pop(self, *distribution):
        symbols = self._coder.decode(*distribution)
        if self._coder.num_words() < 2:
            raise RanDryError
        return symbols

    def push(self, symbols, *distribution):
        self._coder.encode_reverse(np.asarray(symbols, np.int32), *distribution)

    def pop_codes(self, mean, log_var):
        """Codes (..., d), multiples of 2**-PRECISION, of a Gaussian; its log variance in steps of `exact`."""
        centre, parts = _windows(mean, log_var)
        steps = np.empty(centre.size)
        for own, *distribution in parts:
            steps[own] = self.pop(*distribution)
        return (centre + steps.reshape(mean.shape)) * 2.0**-PRECISION

    def push_codes(self, codes, mean, log_var):
        centre, parts = _windows(mean, log_var)
        steps = (codes * 2.0**PRECISION - centre).ravel()
        for own, *distribution in parts[::-1]:
            self.push(steps[own], *distribution)

    def pop_prior(self, *shape):
        """Codes of N(0, I), of a shape."""
        return self.pop(_PRIOR, math.prod(shape)).reshape(shape) * 2.0**-PRECISION

    def push_prior(self, codes):
        self.push(codes.ravel() * 2.0**PRECISION, _PRIOR)


@functools.cache
def _deviations():
    """Standard deviation in steps of a code at each step of the log variance, and the width of its window."""
    deviations = (exact.variances()[1] * 2.0**PRECISION).astype(np.float32)
    return deviations, np.searchsorted(2.0 ** np.arange(PRECISION + 4), WINDOW * deviations)


def _windows(mean, log_var):
    """Where Gaussians are coded, in steps of a code: the centres, and [(which of them, distribution, its parameters)].

    A coder with probabilities of 24 bits gives each symbol one unit at least. Over a window that is much wider than the
    Gaussian, so many units are a chance of one in a thousand to draw a code that decodes to noise.
    """
    centre = np.rint(mean * 2.0**PRECISION)
    rest = (mean * 2.0**PRECISION - centre).astype(np.float32).ravel()
    deviations, widths = (table[log_var.ravel()] for table in _deviations())
    parts = []
    for width in np.unique(widths):
        own = np.flatnonzero(widths == width)
        parts.append((own, _gaussian(int(width)), rest[own], deviations[own]))
    return centre, parts


@functools.cache
def _gaussian(width):
    return MODELS.QuantizedGaussian(-(1 << width), (1 << width) - 1)
