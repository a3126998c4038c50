"""Bayesian optimization by GPyOpt, as ask / evaluate / tell with a history that can be resumed (sections 3.5, 4.5).

GPyOpt was archived in 2023. What breaks or misleads with today's packages is worked round in this file alone:
its import silences all later warnings; numpy 2 has no `np.linalg.linalg`, which hides true errors; it draws
from numpy's global random state; and its acquisition optimiser starts from uniform points, where in ten
dimensions the expected improvement has underflowed after some 60 evaluations, so that it falls back to random search.
"""

import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from common.discovery.limits import best_first, kept, ranks
from common.errors import InputError
from common.runs.storage import read_json, write_json

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


class BayesianOptimizer:
    """Minimises a black box over a box. The next point is a function of the arguments and the history alone.

    Args:
        bounds: (dimensions, 2), lowest and highest value of each coordinate.
        seed: of the initial design and of the search for the acquisition's maximum.
        acquisition: "EI", "LCB" or "MPI".
        num_initial: points drawn uniformly before the first model.
        first: points (k, dimensions) to evaluate before those, e.g. a known good design.
        known: (points (k, dimensions), values (k,)) evaluated elsewhere: the model learns from them, the history does
            not hold them.
        trust_region: look for the next point in a box round the best one, which doubles after two gains in a row and
            halves after as many failures as there are dimensions, at least five (TuRBO, Eriksson et al. 2019): where
            300 evaluations are few for the number of dimensions.
        history: file that holds every evaluation; a run that was cut off goes on from it.
        num_limits: how many limits a point must keep; the acquisition is then the expected feasible improvement
            (Gardner et al. 2014), and until a point keeps all of them the probability that it does.

    Raises:
        InputError: a history that is damaged or of another problem.
    """

    def __init__(
        self,
        bounds,
        seed=0,
        acquisition="EI",
        num_initial=5,
        first=(),
        known=None,
        trust_region=False,
        history=None,
        num_limits=0,
    ):
        self.bounds = np.asarray(bounds, np.float64)
        self.seed, self.acquisition, self.trust_region = seed, acquisition, trust_region
        low, high = self.bounds.T
        uniform = np.random.default_rng(seed).random((num_initial, len(low))) * (high - low) + low
        self.known = known or (np.empty((0, len(low))), np.empty(0))
        self.design = np.concatenate([np.reshape(first, (-1, len(low))), uniform])
        self.x, self.y, self.seconds = np.empty((0, len(low))), np.empty(0), np.empty(0)
        self.excess = np.empty((0, num_limits))
        self.asked = time.perf_counter()
        self.kernel = None  # [variance, length scale] of the last fit, where the next one starts
        self.history = None if history is None else Path(history)
        if self.history is not None and self.history.exists():
            self._load()

    @property
    def best(self):
        """(x, y) of the lowest value so far among points that keep every limit; if none does, of the least excess."""
        at = int(best_first(self.y, self.excess)[0])
        return self.x[at], float(self.y[at])

    def ask(self):
        """The next point to evaluate, (dimensions,)."""
        number, self.asked = len(self.y), time.perf_counter()
        if number < len(self.design):
            return self.design[number]
        low, high = self.bounds.T
        known_x, known_y = self.known
        unit, y = (np.concatenate([known_x, self.x]) - low) / (high - low), np.concatenate([known_y, self.y])[:, None]
        # Threads cost more than they bring on matrices of a few hundred rows.
        with threadpool_limits(1), _own_random_state(self.seed, number) as rng, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "overflow", RuntimeWarning)  # of paramz, on the way to the optimum
            space = GPyOpt.Design_space(
                [{"name": "x", "type": "continuous", "domain": (0, 1), "dimensionality": len(low)}]
            )
            # The objective is exact: a fitted noise would let the model explain small gains away.
            model = GPyOpt.models.GPModel(exact_feval=True, optimize_restarts=1, verbose=False)
            if self.kernel is not None:
                import GPy

                variance, length_scale = self.kernel
                model.kernel = GPy.kern.Matern52(len(low), variance=variance, lengthscale=length_scale)
            order = best_first(y[:, 0], self.excess) if self.excess.size else np.argsort(y[:, 0], kind="stable")
            optimizer = _StartsAlsoFromTheBest(space, unit, unit[order[:5]], self._side(), rng)
            if self.excess.size:
                acquisition = _ExpectedFeasibleImprovement(model, space, optimizer, unit, self.excess)
            else:
                acquisition = ACQUISITIONS[self.acquisition](model, space, optimizer)
            evaluator = GPyOpt.core.evaluators.Sequential(acquisition)
            loop = GPyOpt.methods.ModularBayesianOptimization(model, space, None, acquisition, evaluator, unit, y)
            chosen = loop.suggest_next_locations()[0]
            self.kernel = [float(model.model.kern.variance[0]), float(model.model.kern.lengthscale[0])]
        return np.clip(chosen, 0, 1) * (high - low) + low

    def tell(self, x, y, excess=()):
        """Record the value y of the point x (dimensions,), and by how much it exceeds each limit, if there are any.

        Args:
            excess: (num_limits,), at most 0 where a limit is kept; of size 1 where much is missing.

        Raises:
            InputError: y or an excess is not a finite number; the history keeps what was told before.
        """
        if np.ndim(np.squeeze(y)) or not np.isfinite(np.squeeze(y)):
            raise InputError(f"the objective gave {y} at {_shown(x)}: it must be one finite number")
        if np.shape(excess) != self.excess.shape[1:] or not np.all(np.isfinite(excess)):
            raise InputError(f"the limits gave {excess} at {_shown(x)}: {self.excess.shape[1]} finite numbers are due")
        self.excess = np.vstack([self.excess, np.reshape(excess, (1, -1))])
        self.x, self.y = np.vstack([self.x, x]), np.append(self.y, float(np.squeeze(y)))
        self.seconds = np.append(self.seconds, time.perf_counter() - self.asked)
        if self.history is not None:
            record = {"bounds": self.bounds.tolist(), "x": self.x.tolist(), "y": self.y.tolist(), "kernel": self.kernel}
            record["seconds"] = self.seconds.tolist()
            if self.excess.size:
                record["excess"] = self.excess.tolist()
            write_json(self.history, record)

    def run(self, objective, budget):
        """Ask, evaluate and tell until `budget` evaluations are in the history; returns `best`.

        Args:
            objective: objective(x) gives y, or with limits (y, excess), see `tell`.

        Raises:
            InputError: the objective raised, or gave no finite number; names the point.
        """
        while len(self.y) < budget:
            x = self.ask()
            try:
                y = objective(x)
            except Exception as error:  # whatever a black box raises; the cause stays chained
                raise InputError(f"the objective failed at {_shown(x)} ({type(error).__name__}: {error})") from error
            self.tell(x, *(y if self.excess.shape[1] else (y,)))
        return self.best

    def _side(self):
        """Side of the trust region as a fraction of the box; a function of the history."""
        if not self.trust_region:
            return None
        start, patience = 0.4, max(5, len(self.bounds))
        side, gains, failures = start, 0, 0
        best = (self.excess.shape[1] > 0, float(self.known[1].min(initial=np.inf)))
        for number, value in enumerate(ranks(self.y, self.excess)):
            before, best = best, min(best, value)
            if number < len(self.design):
                continue
            gained = value[0] < before[0] or value[0] == before[0] and value[1] < before[1] - 1e-3 * abs(before[1])
            gains, failures = (gains + 1, 0) if gained else (0, failures + 1)
            if gains == 2:
                side, gains = min(2 * side, 1.0), 0
            elif failures == patience:
                side, failures = side / 2, 0
            if side < 0.5**7:
                side = start
        return side

    def _load(self):
        remedy = "delete it and run again"
        record = read_json(self.history, remedy)
        try:
            bounds = np.asarray(record["bounds"], np.float64)
            x, y = np.asarray(record["x"], np.float64), np.asarray(record["y"], np.float64)
            seconds = np.asarray(record["seconds"], np.float64)
            fits = x.shape == (len(y), len(bounds)) and np.all(np.isfinite(x)) and np.all(np.isfinite(y))
            fits = fits and seconds.shape == y.shape
            excess = np.asarray(record.get("excess", [[]] * len(y)), np.float64)
            fits = fits and excess.shape == (len(y), self.excess.shape[1]) and np.all(np.isfinite(excess))
            self.kernel = record["kernel"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.history} is damaged: {remedy}") from error
        if not fits or not np.array_equal(bounds, self.bounds):
            raise InputError(f"{self.history} is the history of another search: {remedy}")
        self.x, self.y, self.seconds, self.excess = x, y, seconds, excess


class _ExpectedFeasibleImprovement(GPyOpt.acquisitions.base.AcquisitionBase):
    """Logarithm of the expected improvement times the probability that every limit is kept (Gardner et al. 2014).

    Each limit has a Gaussian process of its own. While no point keeps all limits, the probability alone. Logarithms,
    since products of many small factors underflow.
    """

    analytical_gradient_prediction = True

    def __init__(self, model, space, optimizer, x, excess):
        super().__init__(model, space, optimizer)
        self.kept = kept(excess)
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
            improvement, slope = _log_improvement(u)
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


def _log_improvement(u):
    """log(phi(u) + u Phi(u)) and its derivative, for any u; far below 0 by the first terms of Mills' ratio."""
    far = np.minimum(u, -10.0)
    near = np.maximum(u, -10.0)
    direct = norm.pdf(near) + near * norm.cdf(near)
    value = np.where(u < -10, norm.logpdf(far) - 2 * np.log(-far) + np.log1p(-3 / far**2), np.log(direct))
    return value, np.where(u < -10, -far - 2 / far + 6 / far**3, norm.cdf(near) / direct)


class _StartsAlsoFromTheBest(AcquisitionOptimizer):
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


@contextmanager
def _own_random_state(seed, number):
    """A generator for this step; numpy's global state, which GPy draws from, is set likewise and put back."""
    before = np.random.get_state()
    try:
        np.random.seed([seed, number])
        yield np.random.default_rng([seed, number])
    finally:
        np.random.set_state(before)


def _shown(x):
    return "[" + ", ".join(f"{value:.6g}" for value in np.ravel(x)) + "]"
