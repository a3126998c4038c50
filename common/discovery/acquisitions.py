"""What Bayesian optimization asks for next: GPyOpt's acquisitions, one that keeps limits, and how they are maximised.

GPyOpt is imported here alone, see bayesopt.py.
"""

import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import norm

from common.discovery.constraints import keeps_all

if not hasattr(np.linalg, "linalg"):
    np.linalg.linalg = np.linalg  # GPy and GPyOpt catch np.linalg.linalg.LinAlgError
with warnings.catch_warnings():  # importing GPyOpt ends with warnings.filterwarnings("ignore")
    import GPyOpt
    from GPyOpt.optimization.acquisition_optimizer import AcquisitionOptimizer

SAME_POINT = 1e-6  # distance, in sides of the box, within which two points are one
ACQUISITIONS = {
    "EI": lambda *parts: GPyOpt.acquisitions.AcquisitionEI(*parts, jitter=0.01),
    "LCB": lambda *parts: GPyOpt.acquisitions.AcquisitionLCB(*parts, exploration_weight=2),
    "MPI": lambda *parts: GPyOpt.acquisitions.AcquisitionMPI(*parts, jitter=0.01),
}


class ExpectedFeasibleImprovement(GPyOpt.acquisitions.base.AcquisitionBase):
    """Logarithm of the expected improvement times the probability that every limit is kept (Gardner et al. 2014).

    Each limit has a Gaussian process of its own. While no point keeps all limits, the probability alone. Logarithms,
    since products of many small factors underflow.
    """

    analytical_gradient_prediction = True

    def __init__(self, model, space, optimizer, x, excess):
        super().__init__(model, space, optimizer)
        self.kept = keeps_all(excess)
        self.limits = []
        for own in np.arcsinh(excess.T):  # what misses by far says no more than that
            mean, deviation = own.mean(), own.std()
            if np.ptp(own) > 1e-6 * max(1.0, np.abs(own).max()):  # else the limit tells no two points apart
                process = GPyOpt.models.GPModel(exact_feval=True, optimize_restarts=1, verbose=False)
                process.updateModel(x, (own[:, None] - mean) / deviation, None, None)
                self.limits.append((process, -mean / deviation))

    def _compute_acq(self, x):
        return self._compute_acq_withGradients(x)[0]

    def _compute_acq_withGradients(self, x):
        x = np.atleast_2d(x)
        value, gradient = np.zeros((len(x), 1)), np.zeros_like(x)
        if self.kept.any():
            best = self.model.model.Y[self.kept].min()
            mean, deviation, by_mean, by_deviation = self.model.predict_withGradients(x)
            u = (best - mean) / deviation
            improvement, slope = log_improvement(u)
            value += np.log(deviation) + improvement
            gradient += by_deviation / deviation - slope * (by_mean + u * by_deviation) / deviation
        for process, threshold in self.limits:
            mean, deviation, by_mean, by_deviation = process.predict_withGradients(x)
            u = (threshold - mean) / deviation
            log_probability = norm.logcdf(u)
            value += log_probability
            far = np.minimum(u, -10.0)  # where the ratio of two tiny numbers is that of Mills
            slope = np.where(u < -10, -far - 1 / far, np.exp(norm.logpdf(u) - norm.logcdf(np.maximum(u, -10.0))))
            gradient -= slope * (by_mean + u * by_deviation) / deviation
        return value, gradient


def log_improvement(u):
    """log(phi(u) + u Phi(u)) and its derivative, for any u; far below 0 by the first terms of Mills' ratio."""
    far = np.minimum(u, -10.0)
    near = np.maximum(u, -10.0)
    direct = norm.pdf(near) + near * norm.cdf(near)
    value = np.where(u < -10, norm.logpdf(far) - 2 * np.log(-far) + np.log1p(-3 / far**2), np.log(direct))
    return value, np.where(u < -10, -far - 2 / far + 6 / far**3, norm.cdf(near) / direct)


class StartsAlsoFromTheBest(AcquisitionOptimizer):
    """Maximises the acquisition from uniform points and from perturbations of the best five evaluated points.

    It never returns an evaluated point.

    Args:
        known: all evaluated points (n, dimensions).
        best: the best five of them.
        side: of the trust region round the best point, as a fraction of the box; None means the whole box.
    """

    def __init__(self, space, known, best, side, rng):
        super().__init__(space)
        self.known, self.best, self.rng = known, best, rng
        self.low, self.high = np.zeros(known.shape[1]), np.ones(known.shape[1])
        if side is not None:
            self.low, self.high = np.clip(self.best[0] - side / 2, 0, 1), np.clip(self.best[0] + side / 2, 0, 1)

    def optimize(self, f=None, df=None, f_df=None, duplicate_manager=None):
        dimensions, width = len(self.low), self.high - self.low
        scale = self.rng.choice([0.01, 0.03, 0.1], (500, 1))
        near = self.best[self.rng.integers(len(self.best), size=500)]
        near = near + scale * width * self.rng.standard_normal((500, dimensions))
        candidates = np.concatenate(
            [self.low + width * self.rng.random((1000, dimensions)), near.clip(self.low, self.high)]
        )
        starts = candidates[np.argsort(f(candidates)[:, 0], kind="stable")[:3]]

        def value_and_gradient(x):
            value, gradient = f_df(x[None])
            return float(value[0, 0]), gradient[0]

        box = list(zip(self.low, self.high))
        polished = [minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=box) for start in starts]
        found = min(polished, key=lambda result: result.fun)
        if self._to_known(found.x[None]) > SAME_POINT:
            return found.x[None], np.array([[found.fun]])
        # The objective is exact, so an evaluated point teaches nothing. A model that asks for one, as for the best
        # corner when its length scale is huge, has nothing better to offer: look where nothing is known, anywhere.
        anywhere = self.rng.random((1000, dimensions))
        farthest = anywhere[[np.argmax(self._to_known(anywhere))]]
        return farthest, f(farthest)

    def _to_known(self, x):
        """Distances (n,) of points (n, dimensions) to the nearest evaluated one each."""
        return cdist(x, self.known).min(1)
