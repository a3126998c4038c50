"""The map from phase matrices back to compositions, learned from known alloys."""

import warnings

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from common.discovery.alloys import FRACTION_ERROR, element_error
from common.discovery.calphad import TEMPERATURES

BANDS = 8  # of temperatures, in which `phase_features` takes means
GP_FIT = 500  # alloys by which a Gaussian process chooses its kernel; it is fitted to all


class NoisyFractions(StandardScaler):
    """Scales fractions by the standard deviation that they would have were each off by FRACTION_ERROR.

    A trace of a phase that no known alloy has is then no infinity of standard deviations away, and the map
    extrapolates sanely.
    """

    def fit(self, X, y=None):
        super().fit(X)
        self.scale_ = np.sqrt(self.var_ + FRACTION_ERROR**2)
        return self


def phase_features(matrices):
    """Each phase's mean in BANDS bands of temperature, its most, and what there is of it at the lowest temperature.

    Args:
        matrices: (N, phases * temperatures).

    Returns:
        (N, phases * (BANDS + 2)).
    """
    matrices = np.reshape(matrices, (len(matrices), -1, len(TEMPERATURES)))
    bands = [band.mean(2) for band in np.array_split(matrices, BANDS, axis=2)]
    return np.concatenate([*bands, matrices.max(2), matrices[:, :, 0]], axis=1)


class LinearAndSmooth(GaussianProcessRegressor):
    """A Gaussian process whose kernel is linear plus squared exponential, chosen by GP_FIT of the alloys."""

    def fit(self, X, y):
        few = np.random.default_rng(self.random_state).permutation(len(X))[:GP_FIT]
        wanted = ConstantKernel(1.0) * DotProduct(1.0) + ConstantKernel(1.0) * RBF(20.0) + WhiteKernel(0.01)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # a part of the kernel that nothing needs ends at a bound
            chosen = GaussianProcessRegressor(wanted, normalize_y=True).fit(X[few], y[few]).kernel_
        self.set_params(kernel=chosen, optimizer=None, normalize_y=True)
        return super().fit(X, y)


class InverseMap:
    """Phase matrix to composition in wt%, by one of REGRESSORS fitted to known alloys (the paper's [16] learns one)."""

    def __init__(self, kind, matrices, compositions, seed=0):
        self.regressor = REGRESSORS[kind](seed)
        self.regressor.fit(matrices.reshape(len(matrices), -1), compositions)

    def __call__(self, matrices):
        """Compositions (N, len(ELEMENTS)) in wt%, none negative, of matrices (N, phases, temperatures)."""
        return self._predicted(matrices).clip(0)

    def _predicted(self, matrices):
        return self.regressor.predict(np.reshape(matrices, (len(matrices), -1)))

    def refined(self, matrix, realise, steps):
        """A composition (len(ELEMENTS),) in wt%, corrected by what its own diagram looks like to the map.

        A regressor is off by the same much for a diagram and for the real one of its answer: the answer moves by the
        difference of their images, `steps` times, and of all answers that counts whose image is the nearest.

        Args:
            matrix: (phases, temperatures).
            realise: realise(composition) gives its real diagram (phases, temperatures); called once more than `steps`.
        """
        return self.refinements(matrix, realise, steps)[-1]

    def refinements(self, matrix, realise, steps):
        """The answers of `refined` after 0, 1, ... and `steps` steps."""
        wanted = self._predicted(matrix[None])[0]
        answer, least, best = wanted.clip(0), np.inf, []
        for _ in range(steps + 1):
            off = wanted - self._predicted(realise(answer)[None])[0]
            closer = np.abs(off).sum() < least
            least = min(least, np.abs(off).sum())
            best.append(answer if closer else best[-1])
            answer = (answer + off).clip(0)
        return best


def try_refinement(kind, data, realise, steps, seed=0):
    """As the rows of `try_inverse_map`, of one alloy of each class that the map has not seen, less and more refined."""
    rng, found, real = np.random.default_rng(seed), [], []
    for label, name in enumerate(data.names):
        own = int(rng.choice(np.flatnonzero(data.y == label)))
        rest = data.without(name)
        inverse = InverseMap(kind, rest.matrices, rest.compositions, seed)
        found.append(inverse.refinements(data.matrices[own], realise, steps))
        real.append(data.compositions[own])
    rows = []
    for step, compositions in enumerate(zip(*found)):
        held_out = "classes, one alloy of each" + f", refined {step} times" * bool(step)
        rows.append({"held_out": held_out} | _errors(np.array(compositions), np.array(real)))
    return rows


def try_inverse_map(kind, data, seed=0):
    """R2 and main elements' relative error (percent) of a regressor, on rows and on whole classes it has not seen."""
    rows = KFold(5, shuffle=True, random_state=seed).split(data.y)
    found = {
        "rows": _read_by_others(kind, data, data.matrices, rows, seed),
        "classes": read_unseen(kind, data, data.matrices, seed),
    }
    return [{"held_out": held_out} | _errors(read, data.compositions) for held_out, read in found.items()]


def read_unseen(kind, data, matrices, seed=0):
    """Compositions (N, len(ELEMENTS)) in wt% that a regressor reads off diagrams of classes that it has not seen.

    Args:
        data: AlloyData, whose diagrams it learns from: those of other classes, four fifths of all.
        matrices: (N, phases, temperatures), for each alloy of `data` what is read: its diagram, or a decoded one.
    """
    folds = GroupKFold(min(5, len(data.names))).split(data.y, groups=data.y)
    return _read_by_others(kind, data, matrices, folds, seed)


def _read_by_others(kind, data, matrices, folds, seed):
    """Compositions of all alloys, each by a regressor fitted to the others of its fold."""
    found = np.empty_like(data.compositions)
    for train, test in folds:
        found[test] = InverseMap(kind, data.matrices[train], data.compositions[train], seed)(matrices[test])
    return found


def _errors(found, real):
    """R2, over elements, and the mean of main elements' relative errors of compositions (n, len(ELEMENTS))."""
    varying = real.std(0) > 0
    r2 = r2_score(real[:, varying], found[:, varying], multioutput="variance_weighted")
    errors = [element_error(*pair) for pair in zip(found, real)]
    return {"r2": r2, "element_error": float(np.mean(errors)), "num_alloys": len(real)}


def _features():
    return FunctionTransformer(phase_features), NoisyFractions()


REGRESSORS = {
    "ridge": lambda seed: make_pipeline(NoisyFractions(), Ridge(1.0)),
    "kernel_ridge": lambda seed: make_pipeline(StandardScaler(), KernelRidge(alpha=1e-3, kernel="rbf", gamma=1e-4)),
    "ridge_features": lambda seed: make_pipeline(*_features(), Ridge(1.0)),
    # One model an element, each with phases and bands of its own.
    "lasso": lambda seed: make_pipeline(*_features(), MultiOutputRegressor(Lasso(1e-4, max_iter=100_000))),
    "gaussian_process": lambda seed: make_pipeline(*_features(), LinearAndSmooth(random_state=seed)),
    "extra_trees": lambda seed: ExtraTreesRegressor(200, random_state=seed),
    "mlp": lambda seed: make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(100,), max_iter=500, early_stopping=True, random_state=seed)
    ),
}
