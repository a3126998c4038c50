"""The map from phase matrices back to compositions, learned from known alloys."""

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.discovery.alloys import FRACTION_ERROR, element_error


class NoisyFractions(StandardScaler):
    """Scales fractions by the standard deviation that they would have were each off by FRACTION_ERROR.

    A trace of a phase that no known alloy has is then no infinity of standard deviations away, and the map
    extrapolates sanely.
    """

    def fit(self, X, y=None):
        super().fit(X)
        self.scale_ = np.sqrt(self.var_ + FRACTION_ERROR**2)
        return self


class InverseMap:
    """Phase matrix to composition in wt%, by one of REGRESSORS fitted to known alloys (the paper's [16] learns one)."""

    def __init__(self, kind, matrices, compositions, seed=0):
        self.regressor = REGRESSORS[kind](seed)
        self.regressor.fit(matrices.reshape(len(matrices), -1), compositions)

    def __call__(self, matrices):
        """Compositions (N, len(ELEMENTS)) in wt%, none negative, of matrices (N, phases, temperatures)."""
        return self.regressor.predict(np.reshape(matrices, (len(matrices), -1))).clip(0)


def try_inverse_map(kind, data, seed=0):
    """R2 and main elements' relative error (percent) of a regressor, on rows and on whole classes it has not seen."""
    folds = {
        "rows": list(KFold(5, shuffle=True, random_state=seed).split(data.y)),
        "classes": list(GroupKFold(min(5, len(data.names))).split(data.y, groups=data.y)),
    }
    rows = []
    for held_out, splits in folds.items():
        found = np.empty_like(data.compositions)
        for train, test in splits:
            inverse = InverseMap(kind, data.matrices[train], data.compositions[train], seed)
            found[test] = inverse(data.matrices[test])
        varying = data.compositions.std(0) > 0
        r2 = r2_score(data.compositions[:, varying], found[:, varying], multioutput="variance_weighted")
        errors = [element_error(*pair) for pair in zip(found, data.compositions)]
        rows.append({"held_out": held_out, "r2": r2, "element_error": float(np.mean(errors))})
    return rows


REGRESSORS = {
    "ridge": lambda seed: make_pipeline(NoisyFractions(), Ridge(1.0)),
    "kernel_ridge": lambda seed: make_pipeline(StandardScaler(), KernelRidge(alpha=1e-3, kernel="rbf", gamma=1e-4)),
    "extra_trees": lambda seed: ExtraTreesRegressor(200, random_state=seed),
    "mlp": lambda seed: make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(100,), max_iter=500, early_stopping=True, random_state=seed)
    ),
}
