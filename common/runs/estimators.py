"""scikit-learn estimators that hold a trained Keras model: saved as one .npz of arrays and JSON, nothing is pickled."""

import io
import json
import numbers
import os
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from common.errors import InputError
from common.runs.storage import commit, write_npz

FORMAT = 1  # of saved files
ABOUT, WEIGHTS, ARRAYS = "about", "weights/", "fitted/"


def whole_numbers(estimator, **least):
    """Parameters of an estimator as Python's integers, {name: value}; `least`: the smallest allowed of each.

    Raises:
        InputError: one is no whole number (NumPy's are), or too small.
    """
    found = {}
    for name, smallest in least.items():
        value = getattr(estimator, name)
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < smallest:
            raise InputError(f"{name} is {value!r}: give a whole number, {smallest} or more")
        found[name] = int(value)
    return found


def _plain(value):
    """NumPy's scalars as Python's, and paths as text, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} is no number or text")


class KerasEstimator(BaseEstimator):
    """Base of estimators whose `fit` sets `model_`, a Keras model, beside attributes that arrays and JSON can hold.

    Subclasses have `_untrained()`: a model like model_, made of parameters and fitted attributes alone.
    """

    _made_when_needed = ("_scorer", "_mixture")  # of the other attributes

    def save(self, path):
        """Write the fitted estimator as one .npz, which `load` of the same class reads in any process.

        Raises:
            InputError: the file cannot be written, or a parameter cannot be stored.
        """
        check_is_fitted(self)
        plain, arrays = {}, {}
        for name, value in vars(self).items():
            if name.startswith("_"):  # made of the others when it is needed
                continue
            if name == "model_":
                arrays |= {f"{WEIGHTS}{i}": np.asarray(variable) for i, variable in enumerate(value.variables)}
            elif isinstance(value, np.ndarray):
                arrays[ARRAYS + name] = value.astype(str) if value.dtype == object else value
            else:
                plain[name] = value
        about = {"format": FORMAT, "estimator": type(self).__name__, "commit": commit(), "attributes": plain}
        try:
            arrays[ABOUT] = np.array(json.dumps(about, default=_plain))
        except TypeError as error:
            raise InputError(f"{type(self).__name__} cannot be saved: {error}; give plain parameters") from None
        write_npz(path, arrays, "give another path")

    @classmethod
    def load(cls, path):
        """The estimator that `save` wrote; it predicts what the saved one predicts, to the last bit.

        Raises:
            InputError: no such file, a damaged one, or one of another estimator or format.
        """
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): give a file that save() wrote") from None
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            about = json.loads(str(arrays.pop(ABOUT)))
            written = about["format"], about["estimator"]
        except Exception as error:  # zip, NumPy, JSON and missing keys: all mean the same here
            raise _damaged(path, error) from error
        if written[0] != FORMAT:
            remedy = f"fit it again, or use the version of commit {about.get('commit', 'unknown')}"
            raise InputError(f"{path} has format {written[0]}, this version reads {FORMAT}: {remedy}")
        if written[1] != cls.__name__:
            raise InputError(f"{path} holds a {written[1]}: load it by {written[1]}.load")
        estimator = cls()
        try:
            for name, value in about["attributes"].items():
                setattr(estimator, name, tuple(value) if isinstance(value, list) else value)
            for name in [name for name in arrays if name.startswith(ARRAYS)]:
                setattr(estimator, name.removeprefix(ARRAYS), arrays.pop(name))
            if hasattr(estimator, "feature_names_in_"):
                estimator.feature_names_in_ = estimator.feature_names_in_.astype(object)
            estimator._assign([arrays[f"{WEIGHTS}{i}"] for i in range(len(arrays))])
        except Exception as error:
            raise _damaged(path, error) from error
        return estimator

    def _assign(self, weights):
        self.model_ = self._untrained()
        for variable, weight in zip(self.model_.variables, weights, strict=True):
            variable.assign(weight)

    def __getstate__(self):
        """For copies to other processes (joblib): the model as its weights."""
        state = {name: value for name, value in vars(self).items() if name not in self._made_when_needed}
        if "model_" in state:
            state["model_"] = [np.asarray(variable) for variable in state["model_"].variables]
        return state

    def __setstate__(self, state):
        state = dict(state)
        weights = state.pop("model_", None)
        vars(self).update(state)
        if weights is not None:
            self._assign(weights)


def _damaged(path, error):
    return InputError(f"{path} is damaged ({type(error).__name__}: {error}): save it again")
