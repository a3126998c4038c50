"""Data sets by name or .npz path: checked arrays, static binarization, splits (section 4.1).

Images are (number, height, width, 1 or 3) uint8: 0 to 255 as read, 0 or 1 once binarized; phase matrices float32.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import fingerprints, image_sets
from common.errors import InputError

BINARIZATION_SEED = 2021  # the static draw is part of the data set, not of a run
SPLIT_SEED = 0
VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test parts of images (N, H, W, 1) uint8 with integer class labels (N,).

    The validation part is a tenth of each training class. No model trains on it: settings are chosen
    and scores are calibrated on it.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple
    x_validation: np.ndarray
    y_validation: np.ndarray
    body: str = "conv"  # the kind of networks that fit it, one of bodies.BODIES

    def part(self, name):
        """Images and labels of the "test" or the "validation" part."""
        return (self.x_test, self.y_test) if name == "test" else (self.x_validation, self.y_validation)

    @property
    def image_shape(self):
        return self.x.shape[1:]

    @property
    def num_classes(self):
        return int(max(self.y.max(), self.y_test.max())) + 1

    def fingerprint(self):
        """Short digest of pixels and labels: what the data set is, whatever it is called."""
        parts = (self.x, self.y, self.x_validation, self.y_validation, self.x_test, self.y_test)
        return fingerprints.fingerprint(*parts)


def load(name, data_dir, binarize="bernoulli", size=None, colour=False):
    """Read a data set, set its validation part aside and binarize it.

    Args:
        name: one of image_sets.NAMES, or the path of an .npz with x (N, H, W) or (N, H, W, 1) and y (N,), and
            optionally x_test and y_test (else a fifth of each class is set aside as test part), or a folder of
            pictures, each sub-folder a class.
        data_dir: folder with the standard files of the named sets.
        binarize: "bernoulli" draws each pixel once with its grey level as probability, from a fixed
            seed (a plain VAE then has the paper's KL(z) near 18.8); "threshold" cuts at one half; "none" leaves
            the grey levels, 0 to 255.
        size: (H, W) that a folder's pictures are brought to; None wants all of one size.
        colour: see folders.in_channels.

    Raises:
        InputError: unknown name, missing, truncated or malformed file, bad pixels or labels.
    """
    raw = image_sets.read(name, Path(data_dir), size, colour)
    x, y, x_test, y_test = raw.x, raw.y, raw.x_test, raw.y_test
    _check_sizes(raw)
    if x_test is None:
        x, y, x_test, y_test = stratified_split(x, y, raw.test_fraction)
    _check(raw.name, x, y, x_test, y_test)
    rng = np.random.default_rng(BINARIZATION_SEED)
    x, x_test = _binarize(x, binarize, rng), _binarize(x_test, binarize, rng)
    x, y, x_validation, y_validation = stratified_split(x, y, VALIDATION_FRACTION)
    return Dataset(raw.name, x, y, x_test, y_test, raw.class_names, x_validation, y_validation)


def restrict(data, classes):
    """The same data set with some of its classes only, numbered anew from 0 up.

    Raises:
        InputError: a class that the set does not have, or none at all.
    """
    classes = sorted(set(classes))
    unknown = sorted(set(classes) - set(range(data.num_classes)))
    if unknown or not classes:
        raise InputError(
            f"{data.name} has classes 0 to {data.num_classes - 1}, not {unknown or 'an empty list'}: choose among them"
        )

    def part(x, y):
        chosen = np.isin(y, classes)
        return x[chosen], np.searchsorted(classes, y[chosen])

    x, y = part(data.x, data.y)
    x_validation, y_validation = part(data.x_validation, data.y_validation)
    names = tuple(data.class_names[c] for c in classes) if data.class_names else ()
    chosen = ",".join(map(str, classes))
    name = f"{data.name}-{chosen if len(chosen) < 40 else f'{len(classes)}-classes'}"
    return Dataset(name, x, y, *part(data.x_test, data.y_test), names, x_validation, y_validation, data.body)


def without(data, *classes):
    """The same data set without some of its classes, numbered anew from 0 up; for training, where they are held out."""
    return restrict(data, [label for label in range(data.num_classes) if label not in classes])


def stratified_split(x, y, fraction):
    """Set aside `fraction` of each class (at least one image of it), drawn from a fixed seed."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        if len(members) < 2:
            raise InputError(f"class {label} has one image only: no part can be set aside; add more")
        held[members[: max(1, round(fraction * len(members)))]] = True
    return x[~held], y[~held], x[held], y[held]


def binarize_each(x, how):
    """Images (N, H, W, 1) of 0 to 255 as `load` binarizes them, but each one by a draw of its own.

    The same image has the same pixels, whatever stands beside it.
    """
    if how == "threshold":
        return _above_half(x)
    draws = [
        np.random.default_rng(int(fingerprints.fingerprint(image), 16)).random(image.shape, np.float32) for image in x
    ]
    return (np.stack(draws) * 255 < x).astype(np.uint8)


def _above_half(x):
    return (x >= 128).astype(np.uint8)


def _binarize(x, how, rng):
    if how == "none":
        return x
    if how == "threshold":
        return _above_half(x)
    if how != "bernoulli":
        raise InputError(f"unknown binarization '{how}': choose bernoulli or threshold")
    out = np.empty_like(x)
    for start in range(0, len(x), 10_000):  # bounds the memory of the float draws
        block = x[start : start + 10_000]
        out[start : start + 10_000] = rng.random(block.shape, np.float32) * 255 < block
    return out


def _check_sizes(raw):
    """Every class that has images needs one for each part that is cut off, and one to train on."""
    parts = ("training", "validation") if raw.x_test is not None else ("training", "validation", "test")
    labels, numbers = np.unique(raw.y, return_counts=True)
    if len(labels) and numbers.min() < len(parts):
        label, number = labels[numbers.argmin()], numbers.min()
        has = f"{number} image{'s' if number > 1 else ''}, {len(parts)} are needed"
        raise InputError(f"{raw.name}: class {label} has {has}, one for each of {', '.join(parts)}: add more")


def _check(name, x, y, x_test, y_test):
    num_classes = 0
    for images, labels, part in ((x, y, "training"), (x_test, y_test, "test")):
        if len(images) == 0 or len(images) != len(labels):
            raise InputError(
                f"{name}: {len(images)} {part} images but {len(labels)} labels: fetch or write the set again"
            )
        if labels.min() < 0 or labels.max() > 9_999:
            raise InputError(
                f"{name}: {part} labels reach from {labels.min()} to {labels.max()}: number classes 0, 1, 2, ..."
            )
        num_classes = max(num_classes, int(labels.max()) + 1)
    for labels, part in ((y, "training"), (y_test, "test")):
        empty = np.flatnonzero(np.bincount(labels, minlength=num_classes) == 0)
        if len(empty):
            raise InputError(f"{name}: class {empty[0]} has no {part} images: number classes 0, 1, 2, ... without gaps")
    if x.shape[1:] != x_test.shape[1:]:
        raise InputError(f"{name}: training images are {x.shape[1:]}, test images {x_test.shape[1:]}")
