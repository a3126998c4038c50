"""What scikit-learn's estimators of images share: which images they take, and how their model is trained."""

import contextlib
import numbers
import tempfile
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from common.data import image_arrays
from common.data.datasets import Dataset, binarize_each
from common.errors import InputError
from common.hypervae import found_tasks, options, training
from common.hypervae.outlier_records import MOST_CALIBRATING
from common.hypervae.runs import settings_for, trained
from common.runs.estimators import KerasEstimator, whole_numbers
from common.runs.random_state import own_random_state

FEWEST = 6  # images: two each to learn from, to fit the rule by, and to calibrate
HELD_OUT, MOST_HELD_OUT = 0.1, MOST_CALIBRATING  # for each of the two parts that no model is trained on


class ImageEstimator(KerasEstimator):
    """Images to and from what the models take, and training.

    Args:
        as of HyperVAEDetector, which has max_false_positive_rate and contamination besides.
    """

    def __init__(
        self, *, image_shape=None, value_range=None, n_tasks="auto", likelihood="bernoulli", binarize="bernoulli",
        iterations=10_000, latent_dim=10, hyper_latent_dim=10, hidden=0, num_samples=16, folder=None, random_state=0,
    ):  # fmt: skip
        self.image_shape = image_shape
        self.value_range = value_range
        self.n_tasks = n_tasks
        self.likelihood = likelihood
        self.binarize = binarize
        self.iterations = iterations
        self.latent_dim = latent_dim
        self.hyper_latent_dim = hyper_latent_dim
        self.hidden = hidden
        self.num_samples = num_samples
        self.folder = folder
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _bytes(self, X, reset):
        """Images (N, H, W, channels) uint8 of what a user gives; `reset`: in `fit`, which learns shape and range."""
        given = X.shape[1:] if isinstance(X, np.ndarray) and X.ndim > 2 else None
        flat = X.reshape(len(X), -1) if given and len(X) else X
        least = FEWEST if reset else 1
        x = validate_data(self, flat, reset=reset, dtype="numeric", ensure_min_samples=least)
        if x.dtype == bool:
            x = x.astype(np.uint8)
        if reset:
            colour = "colour (N, H, W, 3) needs likelihood='discretized_logistic' or 'logistic_mixture'"
            self.image_shape_ = image_arrays.image_shape(
                given, self.image_shape, x.shape[1], options.has_levels(self), colour
            )
            self.value_range_ = image_arrays.value_range(x, self.value_range)
        elif given and (*given, 1)[:3] != self.image_shape_:
            raise InputError(f"images are {given}, those of the fit {self.image_shape_}: bring them to one shape")
        return image_arrays.levels(x, self.image_shape_, self.value_range_, self.value_range)

    def _seen(self, X, reset=False):
        """As models see them, (N, H, W, channels), binarized or of 256 levels; the same image always alike."""
        if not reset:
            check_is_fitted(self)
        levels = self._bytes(X, reset)
        return levels if options.has_levels(self) else binarize_each(levels, self.binarize)

    def _train(self, X, y):
        """Sets model_; returns the Dataset that it was trained on, with its tasks as labels."""
        if self.likelihood not in options.LIKELIHOODS:
            raise InputError(f"likelihood is {self.likelihood!r}: give one of {', '.join(options.LIKELIHOODS)}")
        least = {"iterations": 0, "latent_dim": 1, "hyper_latent_dim": 1, "hidden": 0, "num_samples": 1}
        own = whole_numbers(self, **least, random_state=0)
        seed, own = own["random_state"], {name: own[name] for name in least if name != "num_samples"}
        x = self._seen(X, reset=True)
        self._check_number(_held_out(len(x)))
        labels = np.zeros(len(x), int) if y is None else np.unique(column_or_1d(y), return_inverse=True)[1]
        if len(labels) != len(x):
            raise InputError(f"X has {len(x)} images, y {len(labels)} labels: give one for each")
        if self.n_tasks != "auto" and not (isinstance(self.n_tasks, numbers.Integral) and self.n_tasks > 0):
            raise InputError(f"n_tasks is {self.n_tasks!r}: give a number of tasks, or 'auto'")
        if self.binarize not in ("bernoulli", "threshold"):
            raise InputError(f"binarize is {self.binarize!r}: give 'bernoulli' or 'threshold'")
        data = _in_parts(x, labels, seed, options.body_of(self.likelihood))
        own |= {"binarize": self.binarize, "likelihood": self.likelihood}
        with contextlib.ExitStack() as stack, own_random_state():
            folder = self.folder or stack.enter_context(tempfile.TemporaryDirectory())
            args = options.defaults(**own, results_dir=Path(folder))
            if y is None:
                n_tasks = self.n_tasks if self.n_tasks == "auto" else int(self.n_tasks)
                found = found_tasks.asked_for(args, data, n_tasks, args.recipe[0])
                data = found_tasks.with_found_tasks(args, found, data)
            settings = settings_for(args, data, "hypervae", "ours", seed)
            self.settings_ = settings.stored()
            self.model_ = trained(args, settings, data).model
        return data

    def _check_number(self, number):
        """Refuse a number of held-out images that cannot serve, before any training."""

    def _untrained(self):
        with own_random_state():
            return training.networks_of(training.Settings.restored(self.settings_), self.image_shape_, 0)


def _held_out(number):
    """How many of so many images calibrate; as many fit the rules."""
    return min(max(round(HELD_OUT * number), min(10, number // 4), 2), MOST_HELD_OUT)


def _in_parts(x, y, seed, body):
    """A Dataset of which a tenth calibrates and a tenth fits the rules; tasks that are left without images go."""
    order, held = np.random.default_rng(seed).permutation(len(x)), _held_out(len(x))
    test, validation, train = np.split(order, [held, 2 * held])
    learned, y_train = np.unique(y[train], return_inverse=True)
    # Labels of the other parts serve nothing.
    others = [np.minimum(np.searchsorted(learned, y[part]), len(learned) - 1) for part in (test, validation)]
    return Dataset("X", x[train], y_train, x[test], others[0], (), x[validation], others[1], body)
