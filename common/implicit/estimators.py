"""Implicit hypernetworks as scikit-learn's estimators: predictions that say how sure they are (Sheikh et al. 2017).

They stand in a Pipeline or GridSearchCV like any other. Weights of the main network are drawn anew for a prediction,
which averages over the draws (Eq. 4).
"""

import itertools

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from common.errors import InputError
from common.implicit import calibration, classification, regression
from common.implicit.estimator_base import ImplicitHypernetEstimator
from common.implicit.members import is_constant, statistics

HELD_OUT = 0.1  # of a regression's rows: they give sigma


class ImplicitHypernetRegressor(RegressorMixin, ImplicitHypernetEstimator):
    """Regression with error bars.

    The predictive distribution of a row is a mixture of N(f(x; w_s), sigma^2) over draws w_s. A companion of the
    model, trained at the same time on nine tenths of the rows, gives sigma by the rest of them, and chooses the number
    of epochs where several are given.

    Args:
        hidden_units: of the main network's hidden layers.
        method: "hypernet", or "sgd" for plain weights.
        epochs: a number, or several to choose among; None and the other Nones: as 06_regression.py has them, by the
            number of rows.
        hyper_units, noise_dim, spread, kernel_rate: of the hypernetwork, see `Hypernetwork`.
        weights_per_step: draws of w in a step; None: one a row (Eq. 3).
        num_samples: draws of w for a prediction.
        folder: where the training's state is kept, so that a fit that was cut off goes on; None: nowhere.
        random_state: a whole number.

    Attributes:
        sigma_: of the noise, in the target's units.
        epochs_: as chosen; held_out_rmse_: of the companion, in the target's units.
        coverage_: percent of held-out targets within their 90 % interval, sigma taken from the other half of them.
    """

    _task = "regression"

    def __init__(
        self, hidden_units=(50,), *, method="hypernet", epochs=None, batch_size=None, learning_rate=None,
        schedule=None, hyper_units=(100, 50), noise_dim=50, spread=None, kernel_rate=None, weights_per_step=None,
        num_samples=100, folder=None, random_state=0,
    ):  # fmt: skip
        self.hidden_units = hidden_units
        self.method = method
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.hyper_units = hyper_units
        self.noise_dim = noise_dim
        self.spread = spread
        self.kernel_rate = kernel_rate
        self.weights_per_step = weights_per_step
        self.num_samples = num_samples
        self.folder = folder
        self.random_state = random_state

    def fit(self, X, y):
        """Train on X (N, d) and y (N,); N is 3 at least."""
        given = self._numbers()
        x, y = validate_data(
            self, X, column_or_1d(y, warn=True), dtype=np.float64, y_numeric=True, ensure_min_samples=3
        )
        y = y.astype(np.float64)
        # Single precision would lose the digits in which numbers far from 0 differ.
        self.x_mean_, self.y_mean_ = x.mean(0), float(y.mean())
        constant = is_constant(x), is_constant(y)  # of the numbers as they are: centred ones are all rounding
        x, y = np.where(constant[0], 0.0, x - self.x_mean_), np.where(constant[1], 0.0, y - self.y_mean_)
        held = max(1, round(HELD_OUT * len(y)))
        order = np.random.default_rng(self.random_state).permutation(len(y))
        rows, held_rows = [order, order[:-held]], order[-held:]
        measures = statistics(x, y, rows)
        data = (x, y, rows, held_rows, measures)
        tried = [self._fit_once(given, *data, epochs) for epochs in self._epochs(given, len(y))]
        run, model, samples, self.held_out_rmse_ = min(tried, key=lambda found: found[-1])
        self.sigma_ = calibration.best_sigma(samples, y[held_rows])
        self.coverage_ = _coverage_by_halves(samples, y[held_rows])
        # The final model has the statistics of all rows, of which the mean is 0. The weights of a constant column are
        # as they were drawn: whatever stands there in new rows is divided away.
        self._keep(run, model, np.where(constant[0], np.inf, measures[1][0]), measures[3][0])
        return self

    @property
    def _lists(self):
        return (*super()._lists, *["epochs"] * np.iterable(self.epochs))

    def _epochs(self, given, rows):
        found = given.get("epochs", regression.recipe_for("ours", rows).epochs)
        return found if np.iterable(found) else (found,)

    def _fit_once(self, given, x, y, rows, held_rows, measures, epochs):
        recipe = vars(regression.recipe_for("ours", len(y)))
        batch = min(given.get("batch_size", recipe["batch_size"]), len(rows[1]))
        own = dict(sizes=(x.shape[1], *given["hidden_units"], 1), generator="dense", held_out=len(held_rows))
        own |= dict(standardize=True, batch_size=batch, epochs=int(epochs))
        run = self._settings(given, x, y, recipe, **own, weights_per_step=given.get("weights_per_step", batch))
        model = self._trained(run, measures, x, y, rows)
        samples = model.predict_samples(np.stack([x[held_rows]] * 2), run.num_samples)[:, 1]
        return run, model, samples, float(np.sqrt(np.mean((samples.mean(0) - y[held_rows]) ** 2)))

    def predict(self, X, return_std=False):
        """Mean of the predictive distribution, (N,); with return_std also its standard deviation, the noise's included.

        Both are in the target's units.
        """

        def moments(samples):
            return np.stack([samples.mean(0), np.sqrt(samples.var(0) + self.sigma_**2)], 1).astype(np.float64)

        mean, deviation = self._samples(X, moments).T
        mean = mean + self.y_mean_
        return (mean, deviation) if return_std else mean

    def predict_interval(self, X, coverage=0.9):
        """Ends of the central interval that holds so much of the predictive distribution, (N, 2), target's units.

        Raises:
            InputError: a coverage that is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage is {coverage}: give a number between 0 and 1, such as 0.9")
        return self.y_mean_ + self._samples(X, lambda own: calibration.interval(own, self.sigma_, coverage))


def _coverage_by_halves(samples, y, level=0.9):
    """Percent of targets within their interval; sigma comes from the half of them that is not counted. NaN of one."""
    halves = [np.arange(start, len(y), 2) for start in (0, 1)]
    found = [
        calibration.coverage(samples[:, half], y[half], calibration.best_sigma(samples[:, other], y[other]), level)
        for half, other in itertools.permutations(halves)
        if len(half) and len(other)
    ]
    return float(np.mean(found)) if found else float("nan")


class ImplicitHypernetClassifier(ClassifierMixin, ImplicitHypernetEstimator):
    """Classification whose probabilities are an average over networks.

    Args:
        hidden_units: of the main network's hidden layers.
        generator: of the weights: "matrix" (few parameters) or "dense" (the paper's).
        standardize: inputs; False of images in [0, 1].
        others: as of ImplicitHypernetRegressor; None: as 07_classification.py has them.
    """

    _task = "classification"

    def __init__(
        self, hidden_units=(100,), *, method="hypernet", generator="matrix", epochs=None, batch_size=256,
        learning_rate=None, schedule="cosine", hyper_units=(100, 50), noise_dim=50, spread=0.001, kernel_rate=None,
        weights_per_step=None, num_samples=10, standardize=True, folder=None, random_state=0,
    ):  # fmt: skip
        self.hidden_units = hidden_units
        self.method = method
        self.generator = generator
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.hyper_units = hyper_units
        self.noise_dim = noise_dim
        self.spread = spread
        self.kernel_rate = kernel_rate
        self.weights_per_step = weights_per_step
        self.num_samples = num_samples
        self.standardize = standardize
        self.folder = folder
        self.random_state = random_state

    def fit(self, X, y):
        """Train on X (N, d) and labels y (N,) of any kind."""
        given = self._numbers()
        x, y = validate_data(self, X, column_or_1d(y, warn=True), dtype=np.float64)
        check_classification_targets(y)
        self.classes_, y = np.unique(y, return_inverse=True)
        rows = [np.arange(len(y))]
        self.x_mean_, scale, *_ = (part[0] for part in statistics(x, y.astype(float), rows))
        if not self.standardize:
            self.x_mean_, scale = np.zeros_like(scale), np.ones_like(scale)
        x = x - self.x_mean_
        batch = min(given["batch_size"], len(y))
        generator = self.generator if self.method == "hypernet" else "none"
        defaults = {
            "epochs": classification.EPOCHS["large" if len(y) >= classification.LARGE else "small"],
            "learning_rate": classification.LEARNING_RATE[generator],
            "kernel_rate": classification.KERNEL_RATE[generator],
        }
        own = dict(sizes=(x.shape[1], *given["hidden_units"], len(self.classes_)), generator=generator, held_out=0)
        own |= dict(standardize=self.standardize, batch_size=batch)
        draws = given.get("weights_per_step", 1 if generator == "dense" else batch)
        run = self._settings(given, x, y, defaults, **own, weights_per_step=draws)
        model = self._trained(run, [[np.zeros_like(scale)], [scale]], x, y, rows)
        self._keep(run, model, scale)
        return self

    def predict_proba(self, X):
        """Class probabilities (N, classes), in the order of classes_: Eq. 4."""
        probabilities = self._samples(X, lambda own: own.mean(0)).astype(np.float64)
        return probabilities / probabilities.sum(1, keepdims=True)

    def predict(self, X):
        """The likeliest class of each row, (N,)."""
        likeliest = self.predict_proba(X).argmax(1)
        return self.classes_[likeliest]
