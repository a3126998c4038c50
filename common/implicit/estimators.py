"""Implicit hypernetworks as scikit-learn's estimators: predictions that say how sure they are (Sheikh et al. 2017).

They stand in a Pipeline or GridSearchCV like any other. Weights of the main network are drawn anew for a prediction,
which averages over the draws (Eq. 4).
"""

import itertools
import numbers
from dataclasses import dataclass

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from common.data.blocks import block_size, blocks
from common.data.fingerprints import fingerprint
from common.errors import InputError
from common.implicit import calibration, classification, regression
from common.implicit.members import is_constant, statistics
from common.implicit.settings import METHODS, ImplicitRun, check_step
from common.runs.estimators import KerasEstimator, whole_numbers
from common.runs.random_state import own_random_state

HELD_OUT = 0.1  # of a regression's rows: they give sigma
SCHEDULES, GENERATORS = (None, "constant", "cosine"), ("matrix", "dense")
ROWS_AT_ONCE = 16_384  # of a prediction: bounds the memory


@dataclass(frozen=True)
class EstimatorRun(ImplicitRun):
    """One fit: whatever decides its numbers."""

    sizes: tuple  # of the main network: inputs, hidden units, outputs
    generator: str  # "dense" or "matrix"
    held_out: int  # rows that the companion of a regression leaves out
    standardize: bool  # inputs

    @property
    def kind(self):
        return "fitted"


class _ImplicitHypernet(KerasEstimator):
    """What a regression and a classification share."""

    _lists = ("hidden_units", "hyper_units")  # parameters of several whole numbers

    def _numbers(self):
        """Whole numbers among the parameters that are not None, NumPy's as Python's.

        Raises:
            InputError: a parameter is of another kind; it is named before a training.
        """
        given = [name for name in ("epochs", "batch_size", "weights_per_step") if getattr(self, name) is not None]
        least = {name: int(name != "epochs") for name in given if name not in self._lists}
        found = whole_numbers(self, noise_dim=1, num_samples=1, random_state=0, **least)
        for name, known in (("method", METHODS), ("schedule", SCHEDULES), ("generator", GENERATORS)):
            if hasattr(self, name) and getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}: give one of {', '.join(map(repr, known))}")
        for name in self._lists:
            value = getattr(self, name)
            if value is not None:
                own = list(value) if np.iterable(value) and not isinstance(value, str) else [None]
                if not own or not all(isinstance(n, numbers.Integral) and n >= (name != "epochs") for n in own):
                    raise InputError(f"{name} is {value!r}: give whole numbers from 1 up, such as (50,)")
                found[name] = tuple(map(int, own))
        return found

    def _settings(self, given, x, y, task_defaults, **more):
        """The EstimatorRun of training data: parameters (`given`: see `_numbers`), for those that are None defaults."""
        names = ("epochs", "batch_size", "learning_rate", "schedule", "spread", "kernel_rate", "hyper_units")
        chosen = {name: given.get(name, getattr(self, name)) for name in names}
        chosen |= {name: task_defaults[name] for name in names if chosen[name] is None}
        shared = dict(dataset="X", fingerprint=fingerprint(x, y), method=self.method, seed=given["random_state"])
        own = shared | chosen | more
        check_step(own["batch_size"], own["batch_size"], own["weights_per_step"], self.method)
        return EstimatorRun(**own, noise_dim=given["noise_dim"], num_samples=given["num_samples"])

    def _network(self, run, measures, streams):
        from common.implicit import model as implicit

        options = run.of_hypernetwork()
        options |= {"generator": run.generator} if options else {}
        options |= {"seed": run.seed}
        with own_random_state():
            return implicit.ImplicitHypernet(run.sizes, self._task, run.method, measures, streams, **options)

    def _untrained(self):
        run = EstimatorRun.restored(self.settings_)
        measures = [[np.zeros(run.sizes[0])], [self.x_scale_]]
        measures += [[0.0], [self.y_scale_]] if self._task == "regression" else []
        return self._network(run, measures, (0,))

    def _trained(self, run, measures, x, y, rows):
        """Members, one for each list of `rows`; with a folder, a fit that was cut off goes on."""
        from common.implicit import model as implicit
        from common.runs.storage import exclusive

        model = self._network(run, measures, tuple(range(len(rows))))
        if self.folder is None:
            implicit.fit(model, x, y, rows, run)
            return model
        folder = run.folder(self.folder)
        with exclusive(folder):
            implicit.train(model, x, y, rows, run, folder, lambda epoch: None)
        return model

    def _keep(self, run, model, x_scale, y_scale=None):
        """Keep the first member, and the settings it was trained with."""
        self.settings_ = run.stored()
        self.x_scale_, self.epochs_ = x_scale, run.epochs
        if y_scale is not None:
            self.y_scale_ = float(y_scale)
        alone = len(model.streams) == 1
        self._assign([variable.numpy() if alone else variable.numpy()[:1] for variable in model.variables])

    def _samples(self, X, reduce):
        """reduce(predictions of a block of rows, (draws, rows, ...)) of all blocks, one after the other."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64) - self.x_mean_
        draws = EstimatorRun.restored(self.settings_).num_samples
        of_blocks = blocks(len(x), block_size(len(x), 16, ROWS_AT_ONCE))
        found = [reduce(self.model_.predict_samples(x[None, own], draws)[:, 0]) for own in of_blocks]
        return np.concatenate(found)[: len(x)]


class ImplicitHypernetRegressor(RegressorMixin, _ImplicitHypernet):
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
        # The final model has the statistics of all rows, of which the mean is 0.
        self._keep(run, model, measures[1][0], measures[3][0])
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


class ImplicitHypernetClassifier(ClassifierMixin, _ImplicitHypernet):
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
