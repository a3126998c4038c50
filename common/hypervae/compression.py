"""Bits-back coding of binary images (section 3.3, Eqs. 5 to 9): the description length as bits on a stack.

A block of images is coded on one stack of asymmetric numeral systems (Townsend et al. 2019, BB-ANS). z of each image
is *popped* from q(z|x): bits that are there already choose it, and a receiver, who computes the same q(z|x) from the
decoded image, puts them back. Then x is pushed under p(x|z, theta) and z under its prior. Around all images of a set, u
of its VAE is popped from q(u|D) and pushed under its prior. Where an image may be of several tasks, its task is popped
from q(k|x) and pushed under p_k. Where the order of a set is free, which image is next is popped, too (Severo et al.
2021). The first bits of a stack are a digest of the images: they cost what any initial bits do, and tell whether what
was decoded is what was packed.
"""

import bisect
import functools
import hashlib
import math
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
from common.hypervae import exact
from common.hypervae.code_stack import MODELS, RanDryError, Stack

LARGEST_BATCH, GROWTH = 256, 4  # images whose z are popped at once: at most, and as this part of those before them
MOST_WORDS = 1 << 15  # of 32 bits, with which a stack begins
SHARE_BITS = 16  # tasks' shares are whole numbers of 2**-SHARE_BITS

_PIXELS, _TASKS, _CHOICES = MODELS.Bernoulli(perfect=False), MODELS.Categorical(perfect=False), MODELS.Uniform()


@functools.cache
def _probabilities():
    return exact.probabilities().astype(np.float32)


@dataclass(frozen=True)
class Posterior:
    """q(k, z|x) of N images that may be of M tasks each.

    Attributes:
        tasks, weights: which, and q(k|x), (N, M).
        mean, log_var: of q(z|x, theta_k), (N, M, d), as `exact` has them.
        nats: (N,) -log sum_k p_k exp(-length), about what an image costs; nothing is coded by it.
    """

    tasks: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    log_var: np.ndarray
    nats: np.ndarray

    def __getitem__(self, part):
        return Posterior(*(getattr(self, name)[part] for name in self.__dataclass_fields__))

    def pop(self, stack):
        """Tasks (N,) and codes z (N, d), chosen by the stack's bits."""
        place = stack.pop(_TASKS, self.weights) if self.tasks.shape[1] > 1 else 0
        own = np.arange(len(self.tasks)), place
        return self.tasks[own], stack.pop_codes(self.mean[own], self.log_var[own])

    def push(self, stack, tasks, z):
        """Give the bits back."""
        place = (self.tasks == tasks[:, None]).argmax(1)
        own = np.arange(len(self.tasks)), place
        stack.push_codes(z, self.mean[own], self.log_var[own])
        if self.tasks.shape[1] > 1:
            stack.push(place, _TASKS, self.weights)


class Mixture:
    """VAEs that images are coded by: one, or those of K tasks of a HyperVAE.

    Args:
        vae: the exact.ExactVAE; thetas: weights, one set a task.
        shares: (K,) whole numbers that sum to 2**SHARE_BITS: how often a task is used.
        find: images (N, H, W, 1) to the tasks that they may be of, (N, M).
    """

    first_words = 4  # of initial bits; more where a stack would run dry

    def __init__(self, vae, thetas, shares=(1 << SHARE_BITS,), find=None):
        self.vae, self.thetas = vae, thetas
        self._shares = (np.asarray(shares) * 2.0**-SHARE_BITS).astype(np.float32)
        self._log_shares = exact.log(shares) - exact.log([1 << SHARE_BITS])
        self._find = find or (lambda x: np.zeros((len(x), 1), int))
        self.latent_dim = len(thetas[0]["decoder/dense/kernel"])

    def posterior(self, x, measured=False):
        """The Posterior of images (N, H, W, 1); `measured`: its nats are wanted where there is one task, too."""
        tasks = self._find(x)
        shape = (*tasks.shape, self.latent_dim)
        mean, log_var, lengths = np.zeros(shape), np.zeros(shape, int), np.zeros(tasks.shape)
        for task, theta in enumerate(self.thetas):
            own = np.nonzero(tasks == task)
            if len(own[0]):
                mean[own], log_var[own] = found = self.vae.encode(theta, x[own[0]])
                if measured or len(self.thetas) > 1:
                    lengths[own] = self.vae.lengths(theta, x[own[0]], found)
        logs = self._log_shares[tasks] - lengths
        weights = exact.weights(logs)
        weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
        return Posterior(tasks, weights, mean, log_var, -np.logaddexp.reduce(logs, 1))

    def pixel_probabilities(self, tasks, z):
        """p(x = 1) of codes z (N, d) by their tasks' VAEs (N,): (N * H * W,)."""
        steps = np.zeros((len(z), self.vae.image_shape[0] * self.vae.image_shape[1]), int)
        for task in np.unique(tasks):
            own = tasks == task
            steps[own] = self.vae.decode(self.thetas[task], z[own])
        return _probabilities()[steps].ravel()

    def push(self, stack, x, is_set=False):
        """Code images (N, H, W, 1) in {0, 1}; of a set their order is not.

        Raises:
            RanDryError: the stack has too few bits.
        """
        posterior, left = self.posterior(x), _Sorted(x) if is_set else None
        for batch in _batches(len(x)):
            batch = left.pop(stack, batch.stop - batch.start) if is_set else batch
            tasks, z = posterior[batch].pop(stack)
            stack.push(x[batch].ravel(), _PIXELS, self.pixel_probabilities(tasks, z))
            stack.push_prior(z)
            if len(self.thetas) > 1:
                stack.push(tasks, _TASKS, np.tile(self._shares, (len(z), 1)))

    def pop(self, stack, number, is_set=False):
        """Undo `push`: so many images, those of a set in any order."""
        found, left = [], _Sorted() if is_set else None
        for batch in list(_batches(number))[::-1]:
            size = batch.stop - batch.start
            tasks = np.zeros(size, int)
            if len(self.thetas) > 1:
                tasks = stack.pop(_TASKS, np.tile(self._shares, (size, 1)))
            z = stack.pop_prior(size, self.latent_dim)
            x = stack.pop(_PIXELS, self.pixel_probabilities(tasks, z)).astype(np.uint8)
            found.append(x.reshape(size, *self.vae.image_shape))
            self.posterior(found[-1]).push(stack, tasks, z)
            if is_set:
                left.push(stack, found[-1])
        return np.concatenate(found[::-1])


class _Sorted:
    """The images of a set that are not coded yet, sorted; which of them is coded next is drawn by the stack's bits.

    Equal images share a place; which of them was drawn goes back onto the stack.
    """

    def __init__(self, x=()):
        self._left = sorted((np.packbits(image).tobytes(), i) for i, image in enumerate(x))

    def _equal(self, key):
        """Where images equal to a key begin, and how many there are."""
        first = bisect.bisect_left(self._left, (key, -1))
        return first, bisect.bisect_left(self._left, (key + b"\0", -1)) - first

    def pop(self, stack, number):
        """Indices (number,) of images that the stack's bits choose."""
        return np.array([self._pop(stack) for _ in range(number)])

    def _pop(self, stack):
        (place,) = stack.pop(_CHOICES, np.array([len(self._left)], np.int32)) if len(self._left) > 1 else (0,)
        first, number = self._equal(self._left[place][0])
        if number > 1:
            stack.push([place - first], _CHOICES, np.array([number], np.int32))
        return self._left.pop(place)[1]

    def push(self, stack, x):
        """Undo `pop` of images, in their order."""
        for image in x[::-1]:
            key = np.packbits(image).tobytes()
            bisect.insort(self._left, (key, 0))
            place, number = self._equal(key)
            if number > 1:
                place += stack.pop(_CHOICES, np.array([number], np.int32))[0]
            if len(self._left) > 1:
                stack.push([place], _CHOICES, np.array([len(self._left)], np.int32))


def _batches(number):
    """Slices of 1, 1, ..., 2, 2, 3, ... images: z of a batch are chosen by what the images before it have left.

    Images of a few strokes leave little: a batch is a quarter of what stands before it.
    """
    start = 0
    while start < number:
        stop = min(number, start + min(LARGEST_BATCH, max(1, start // GROWTH)))
        yield slice(start, stop)
        start = stop


@dataclass(frozen=True)
class Hyper:
    """Codes sets of images by a HyperVAE: each has a u of its own, which is popped and pushed as all else is.

    Args:
        model: the exact.ExactModel.
    """

    model: exact.ExactModel
    first_words = 6

    def _mixture(self, u):
        return Mixture(self.model.vae, [self.model.theta_of(u)])

    def _posterior(self, x):
        return self.model.infer_u(self.model.features(x))

    def push(self, stack, x, is_set=False):
        u = stack.pop_codes(*self._posterior(x))
        self._mixture(u).push(stack, x, is_set)
        stack.push_prior(u)

    def pop(self, stack, number, is_set=False):
        u = stack.pop_prior(self.model.hyper_latent_dim)
        x = self._mixture(u).pop(stack, number, is_set)
        stack.push_codes(u, *self._posterior(x))
        return x


def packed_rows(x):
    """Images (N, H, W, 1) in {0, 1} as rows of bytes, eight pixels in each."""
    return np.packbits(x.reshape(len(x), math.prod(x.shape[1:])), axis=1)


def _digest(x, words, is_set):
    """Initial bits, as so many words: they stand for the images, those of a set in whatever order."""
    rows = packed_rows(x)
    content = b"".join(sorted(row.tobytes() for row in rows)) if is_set else rows.tobytes()
    return np.frombuffer(hashlib.shake_256(content).digest(4 * words), "<u4").astype(np.uint32)


def pack_block(coder, x, is_set=False):
    """Images (N, H, W, 1) in {0, 1}, N at least 1, as words (n,) uint32; and how many of them were initial bits.

    Args:
        coder: a Mixture or a Hyper.

    Raises:
        InputError: images of which so many tell so little that nothing can be had back.
    """
    initial = coder.first_words
    while initial <= MOST_WORDS:
        stack = Stack(_digest(x, initial, is_set), initial=True)
        try:
            coder.push(stack, x, is_set)
            return stack.words(), initial
        except RanDryError:
            initial += max(1, initial // 4)
    raise InputError(f"{len(x)} images leave too few bits to choose codes by: pack fewer of them, or others")


def unpack_block(coder, words, number, initial, is_set=False):
    """Undo `pack_block`: so many images (N, H, W, 1) uint8, those of a set sorted.

    Raises:
        InputError: they are not what was packed.
    """
    try:
        stack = Stack(words)
        x = coder.pop(stack, number, is_set)
        same = np.array_equal(stack.words(initial=True), _digest(x, initial, is_set))
    except (
        RanDryError,
        KeyError,
        AssertionError,
        ValueError,
    ):  # constriction's: of symbols, an end, words that end in 0
        same = False
    if not same:
        raise InputError(
            "the images that come out are not those that were packed: another machine's constriction computes otherwise"
        )
    return x
