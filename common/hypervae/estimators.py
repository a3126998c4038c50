"""HyperVAE as scikit-learn's estimators: which images are odd, and how likely images are, told nothing of their task.

Images come as (N, H, W), of colour as (N, H, W, 3), or flattened with `image_shape`. Tasks come as y, or are found.
"""

import numbers

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, OutlierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from common.errors import InputError
from common.hypervae import options, outliers, scoring
from common.hypervae.adaptation import FIT_STEPS
from common.hypervae.image_estimator import ImageEstimator
from common.hypervae.outlier_records import OWN_RULE
from common.hypervae.outlier_sets import EVALUATION_SEED
from common.hypervae.piles import fewest_calibrating
from common.hypervae.rules import own_rule


class HyperVAEDetector(OutlierMixin, ImageEstimator):
    """Which images are odd? Told normal ones alone.

    The score is that of 03_outliers.py --score. A fifth of the images is not learned from: one half fits the rule, the
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
        offset_: threshold of score_samples; rule_: the name of the rule that makes them.
        normal_scores_: of the calibrating images, sorted (nats, larger is odder).
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
        self.normal_scores_, self.rule_ = scorer.normal, OWN_RULE
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
        parts = (self.statistics_validation_, self.statistics_normal_)
        validation, normal = (pd.DataFrame(own, columns=self.statistics_names_) for own in parts)
        return scoring.Scorer(table_of, own_rule(validation, self.random_state), normal)

    def _own_scorer(self):
        check_is_fitted(self)
        if getattr(self, "rule_", None) != OWN_RULE:  # its threshold is of other scores
            raise InputError("this detector was fitted by an earlier version, to another rule: fit it again")
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


class HyperVAEDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, ImageEstimator):
    """How likely is an image, whichever task it is of? p(x) = sum_k p_k p(x|theta(u_k)) over the fit's tasks.

    Args:
        as of HyperVAEDetector, which has max_false_positive_rate and contamination besides.

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
        return -mixture.mixed(mixture.code_lengths(x, EVALUATION_SEED, self.num_samples, shared_noise=True))

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
        table = outliers.image_statistics(self.model_, 1, shared_noise=True)(x, (EVALUATION_SEED, 0))
        codes = [f"code_u{i}" for i in range(self.hyper_latent_dim)] + [f"code_z{i}" for i in range(self.latent_dim)]
        return table[codes].to_numpy(np.float64)

    @property
    def _n_features_out(self):
        return self.hyper_latent_dim + self.latent_dim

    def adapt(self, X, fit_steps=FIT_STEPS, tuning_steps=None):
        """The plain Keras VAE of a new task, of a few of its images; see HyperVAE.adapt."""
        x = self._seen(X)
        return self.model_.adapt(x, fit_steps, tuning_steps, seed=self.random_state)
