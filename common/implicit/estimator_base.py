"""What the estimators of implicit hypernetworks share: the record of a fit, checked parameters, and the network."""

import numbers
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from common.data.blocks import block_size, blocks
from common.data.fingerprints import fingerprint
from common.errors import InputError
from common.implicit.settings import METHODS, ImplicitRun, check_step
from common.runs.estimators import KerasEstimator, whole_numbers
from common.runs.random_state import own_random_state

SCHEDULES, GENERATORS = (None, "constant", "cosine"), ("matrix", "dense")
REAL_NUMBERS = (  # parameters, and what they may be
    ("learning_rate", lambda value: 0 < value < np.inf, "a positive number"),
    ("kernel_rate", lambda value: 0 < value < np.inf, "a positive number"),
    ("spread", lambda value: 0 <= value <= 1, "a number from 0 to 1"),
)
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


class ImplicitHypernetEstimator(KerasEstimator):
    """Base of the regression and the classification, which `fit`; `_task` is "regression" or "classification"."""

    _lists = ("hidden_units", "hyper_units")  # parameters of several whole numbers

    def _numbers(self):
        """Numbers among the parameters that are not None, NumPy's as Python's.

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
        for name, is_right, wanted in REAL_NUMBERS:
            value = getattr(self, name)
            if value is not None:
                if not isinstance(value, numbers.Real) or isinstance(value, bool) or not is_right(value):
                    raise InputError(f"{name} is {value!r}: give {wanted}")
                found[name] = float(value)
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
        with np.errstate(over="ignore"):  # networks have single precision
            large = ~np.isfinite((x / np.where(self.x_scale_ > 0, self.x_scale_, 1)).astype(np.float32)).all(1)
        if large.any():
            raise InputError(f"row {large.argmax()} of X is too far from those of fit to compute with: correct it")
        draws = EstimatorRun.restored(self.settings_).num_samples
        of_blocks = blocks(len(x), block_size(len(x), 16, ROWS_AT_ONCE))
        found = [reduce(self.model_.predict_samples(x[None, own], draws)[:, 0]) for own in of_blocks]
        return np.concatenate(found)[: len(x)]
