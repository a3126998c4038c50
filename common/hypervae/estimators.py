"""HyperVAE as scikit-learn's estimators: which images are odd, and how likely images are, told nothing of their task.

Images come as (N, H, W), of colour as (N, H, W, 3), or flattened with `image_shape`. Tasks come as y, or are found.
"""

import contextlib
import numbers
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, OutlierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from common.data import image_arrays
from common.data.datasets import Dataset
from common.errors import InputError
from common.hypervae import found_tasks, options, outliers, scoring, training
from common.hypervae.adaptation import FIT_STEPS
from common.hypervae.mixtures import MOST_CALIBRATING, fewest_calibrating
from common.hypervae.outlier_sets import EVALUATION_SEED
from common.runs.estimators import KerasEstimator, own_random_state, whole_numbers

FEWEST = 6  # images: two each to learn from, to fit the rule by, and to calibrate
HELD_OUT, MOST_HELD_OUT = 0.1, MOST_CALIBRATING  # for each of the two parts that no model is trained on


class _HyperVAE(KerasEstimator):
    """Images to and from what the models take, and training; Args: see HyperVAEDetector."""

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
        return levels if options.has_levels(self) else scoring.binarized(levels, self.binarize)

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
            settings = options.settings_for(args, data, "hypervae", "ours", seed)
            self.settings_ = settings.stored()
            self.model_ = options.trained(args, settings, data).model
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


class HyperVAEDetector(OutlierMixin, _HyperVAE):
    """Which images are odd? Told normal ones alone.

    The score is the rule of 03_outliers.py. A fifth of the images is not learned from: one half fits the rule, the
    other says how large scores of normal images are.

    Args:
        image_shape: (H, W) or (H, W, 3) of flattened images; None: square.
        value_range: (black, white); None: [0, 1] or 0 to 255, as the images have it; "data": the least and the largest
            value of the fit.
        max_false_positive_rate: the share of normal images that may be called outliers.
        contamination: in its place the share of the fit's images that are outliers, as scikit-learn has it.
        n_tasks: how many tasks are found where `fit` gets no y; "auto": as many as held-out images are cheapest by.
        likelihood: p(x|z) of binarized pixels ("bernoulli"), or of 256 levels, grey or colour ("discretized_logistic",
            "logistic_mixture"), as in 01_train.py.
        binarize: "bernoulli" or "threshold", of grey levels, where the likelihood is of binary pixels.
        iterations, latent_dim, hyper_latent_dim, hidden: of the training, as in 01_train.py.
        num_samples: draws of z for each image.
        folder: where trainings are kept, so that a fit that was cut off goes on; None: nowhere.
        random_state: a whole number.

    Attributes:
        offset_: threshold of score_samples. normal_scores_: of the calibrating images, sorted (nats, larger is odder).
    """

    def __init__(
        self, *, image_shape=None, value_range=None, max_false_positive_rate=0.05, contamination=None,
        n_tasks="auto", likelihood="bernoulli", binarize="bernoulli", iterations=10_000, latent_dim=10,
        hyper_latent_dim=10, hidden=0, num_samples=16, folder=None, random_state=0,
    ):  # fmt: skip
        super().__init__(
            image_shape=image_shape, value_range=value_range, n_tasks=n_tasks, likelihood=likelihood, binarize=binarize,
            iterations=iterations, latent_dim=latent_dim, hyper_latent_dim=hyper_latent_dim, hidden=hidden,
            num_samples=num_samples, folder=folder, random_state=random_state,
        )  # fmt: skip
        self.max_false_positive_rate = max_false_positive_rate
        self.contamination = contamination

    def fit(self, X, y=None):
        """Learn from normal images (N, H, W) or (N, H * W); y: their tasks, any labels, or None.

        Raises:
            InputError: images of another kind, or too few for the false-positive rate.
        """
        if self.contamination is None and not 0 < self.max_false_positive_rate < 1:
            given = self.max_false_positive_rate
            raise InputError(f"max_false_positive_rate is {given!r}: give a share between 0 and 1, as 0.05")
        share = self.contamination
        if share is not None and not (isinstance(share, numbers.Real) and 0 < share <= 0.5):
            raise InputError(f"contamination is {share!r}: give a share above 0 and up to 0.5, or None")
        data = self._train(X, y)
        self.x_validation_ = data.x_validation
        table_of = self._table_of()
        tables = [table_of(x) for x in (data.x_validation, data.x_test)]
        self.statistics_names_ = list(tables[0])
        self.statistics_validation_, self.statistics_normal_ = (table.to_numpy() for table in tables)
        self._scorer = scorer = self._make_scorer(table_of)
        self.normal_scores_ = scorer.normal
        if self.contamination is not None:
            self.offset_ = float(np.percentile(self.score_samples(X), 100 * self.contamination))
            return self
        self.offset_ = -float(scorer.normal[-self._most(len(scorer.normal))])
        return self

    def fit_predict(self, X, y=None):
        """`fit`, then `predict` of the same images; y as of `fit`."""
        return self.fit(X, y).predict(X)

    def _most(self, number):
        """How many of so many calibrating images may score as high, by the p-value of scoring.Scorer (n + 1 images)."""
        return int(self.max_false_positive_rate * (1 + number) + 1e-9)

    def _check_number(self, number):
        if self.contamination is None and not self._most(number):
            needed = fewest_calibrating(self.max_false_positive_rate)
            have = f"{number} held-out images calibrate, {needed} are needed"
            raise InputError(f"{have} for a false-positive rate of {self.max_false_positive_rate:g}: give more images")

    def _table_of(self):
        return scoring.statistics(self.model_, self.x_validation_, EVALUATION_SEED, self.num_samples)

    def _make_scorer(self, table_of):
        parts = {"validation": self.statistics_validation_, "normal": self.statistics_normal_}
        tables = {part: pd.DataFrame(own, columns=self.statistics_names_) for part, own in parts.items()}
        return scoring.Scorer(self.model_, table_of, tables, self.random_state)

    def _own_scorer(self):
        check_is_fitted(self)
        if not hasattr(self, "_scorer"):
            self._scorer = self._make_scorer(self._table_of())
        return self._scorer

    def score_samples(self, X):
        """(N,), nats: the larger, the more normal."""
        x = self._seen(X)
        return -self._own_scorer()(x)["score"].to_numpy()

    def p_values(self, X):
        """Share of normal images that score as high, (N,)."""
        x = self._seen(X)
        return self._own_scorer()(x)["p_value"].to_numpy()

    def decision_function(self, X):
        """score_samples less the threshold, (N,): negative of outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """1 of normal images, -1 of outliers, (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X):
        """Nats that each pixel costs, (N, H, W)."""
        x = self._seen(X)
        return outliers.pixel_nats(self.model_, x)


class HyperVAEDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, _HyperVAE):
    """How likely is an image, whichever task it is of? p(x) = sum_k p_k p(x|theta(u_k)) over the fit's tasks.

    Args:
        as of HyperVAEDetector.

    Attributes:
        task_codes_: u_k, the posterior mean of each task's images, (K, hyper_latent_dim); task_shares_: p_k, (K,).
    """

    def fit(self, X, y=None):
        """Learn from images (N, H, W) or (N, H * W); y: their tasks, any labels, or None.

        Raises:
            InputError: images of another kind.
        """
        data = self._train(X, y)
        tasks = [data.x[data.y == task] for task in np.unique(data.y)]
        self.task_codes_ = self.model_.task_codes(tasks).numpy()
        self.task_shares_ = np.array([len(images) / len(data.x) for images in tasks])
        self.__dict__.pop("_mixture", None)
        return self

    def _tasks(self):
        check_is_fitted(self)
        if not hasattr(self, "_mixture"):
            self._mixture = self.model_.mixture_of_codes(tf.constant(self.task_codes_), self.task_shares_)
        return self._mixture

    def score_samples(self, X):
        """A lower bound of log p(x), (N,), nats an image, of its pixels as the likelihood has them."""
        x = self._seen(X)
        mixture = self._tasks()
        return -mixture.mixed(mixture.code_lengths(x, EVALUATION_SEED, self.num_samples, alike=True))

    def score(self, X, y=None):
        """Mean of score_samples, nats an image."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples=1, task=None):
        """Images drawn from the model, (n_samples, H, W[, 3]), and the task of each, (n_samples,).

        Pixels are 0 or 1, or levels from 0 to 255, as the likelihood has them.

        Args:
            task: number of the task to draw from; None: by their shares.
        """
        check_is_fitted(self)
        random = np.random.default_rng(self.random_state)
        shares = self.task_shares_ / self.task_shares_.sum()
        tasks = random.choice(len(shares), n_samples, p=shares) if task is None else np.full(n_samples, int(task))
        if len(tasks) and not 0 <= tasks.min() <= tasks.max() < len(shares):
            raise InputError(f"there is no task {task}: choose among 0 to {len(shares) - 1}")
        z = tf.constant(random.standard_normal((n_samples, 1, self.latent_dim)), tf.float32)
        theta = self.model_.generate(tf.constant(self.task_codes_[tasks]))
        pixels = self.model_.decode(z, theta)
        if options.has_levels(self):
            drawn = pixels.sample(seed=tf.constant([self.random_state, n_samples])).numpy()[:, 0]
        else:
            shares = pixels.mean().numpy()[:, 0]
            drawn = random.random(shares.shape) < shares
        return (drawn[..., 0] if drawn.shape[-1] == 1 else drawn).astype(np.uint8), tasks

    def transform(self, X):
        """Codes of each image as a task of its own, (N, hyper_latent_dim + latent_dim): means of u, then of z."""
        x = self._seen(X)
        table = outliers.image_statistics(self.model_, 1, alike=True)(x, (EVALUATION_SEED, 0))
        codes = [f"code_u{i}" for i in range(self.hyper_latent_dim)] + [f"code_z{i}" for i in range(self.latent_dim)]
        return table[codes].to_numpy(np.float64)

    @property
    def _n_features_out(self):
        return self.hyper_latent_dim + self.latent_dim

    def adapt(self, X, fit_steps=FIT_STEPS, tuning_steps=0):
        """The plain Keras VAE of a new task, of a few of its images; see HyperVAE.adapt."""
        x = self._seen(X)
        return self.model_.adapt(x, fit_steps, tuning_steps, seed=self.random_state)
