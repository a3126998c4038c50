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
from threadpoolctl import threadpool_limits

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

    Raises:
        InputError: a history that is damaged or of another problem.
    """

    def __init__(
        self, bounds, seed=0, acquisition="EI", num_initial=5, first=(), known=None, trust_region=False, history=None
    ):
        self.bounds = np.asarray(bounds, np.float64)
        self.seed, self.acquisition, self.trust_region = seed, acquisition, trust_region
        low, high = self.bounds.T
        uniform = np.random.default_rng(seed).random((num_initial, len(low))) * (high - low) + low
        self.known = known or (np.empty((0, len(low))), np.empty(0))
        self.design = np.concatenate([np.reshape(first, (-1, len(low))), uniform])
        self.x, self.y, self.seconds = np.empty((0, len(low))), np.empty(0), np.empty(0)
        self.asked = time.perf_counter()
        self.kernel = None  # [variance, length scale] of the last fit, where the next one starts
        self.history = None if history is None else Path(history)
        if self.history is not None and self.history.exists():
            self._load()

    @property
    def best(self):
        """(x, y) of the lowest value so far."""
        at = int(np.argmin(self.y))
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
        with threadpool_limits(1), _own_random_state(self.seed, number) as rng:
            space = GPyOpt.Design_space(
                [{"name": "x", "type": "continuous", "domain": (0, 1), "dimensionality": len(low)}]
            )
            # The objective is exact: a fitted noise would let the model explain small gains away.
            model = GPyOpt.models.GPModel(exact_feval=True, optimize_restarts=1, verbose=False)
            if self.kernel is not None:
                import GPy

                variance, length_scale = self.kernel
                model.kernel = GPy.kern.Matern52(len(low), variance=variance, lengthscale=length_scale)
            optimizer = _StartsAlsoFromTheBest(space, unit, y[:, 0], self._side(), rng)
            acquisition = ACQUISITIONS[self.acquisition](model, space, optimizer)
            evaluator = GPyOpt.core.evaluators.Sequential(acquisition)
            loop = GPyOpt.methods.ModularBayesianOptimization(model, space, None, acquisition, evaluator, unit, y)
            chosen = loop.suggest_next_locations()[0]
            self.kernel = [float(model.model.kern.variance[0]), float(model.model.kern.lengthscale[0])]
        return np.clip(chosen, 0, 1) * (high - low) + low

    def tell(self, x, y):
        """Record the value y of the point x (dimensions,).

        Raises:
            InputError: y is not a finite number; the history keeps what was told before.
        """
        if np.ndim(np.squeeze(y)) or not np.isfinite(np.squeeze(y)):
            raise InputError(f"the objective gave {y} at {_shown(x)}: it must be one finite number")
        self.x, self.y = np.vstack([self.x, x]), np.append(self.y, float(np.squeeze(y)))
        self.seconds = np.append(self.seconds, time.perf_counter() - self.asked)
        if self.history is not None:
            record = {"bounds": self.bounds.tolist(), "x": self.x.tolist(), "y": self.y.tolist(), "kernel": self.kernel}
            record["seconds"] = self.seconds.tolist()
            write_json(self.history, record)

    def run(self, objective, budget):
        """Ask, evaluate and tell until `budget` evaluations are in the history; returns `best`.

        Raises:
            InputError: the objective raised, or gave no finite number; names the point.
        """
        while len(self.y) < budget:
            x = self.ask()
            try:
                y = objective(x)
            except Exception as error:  # whatever a black box raises; the cause stays chained
                raise InputError(f"the objective failed at {_shown(x)} ({type(error).__name__}: {error})") from error
            self.tell(x, y)
        return self.best

    def _side(self):
        """Side of the trust region as a fraction of the box; a function of the history."""
        if not self.trust_region:
            return None
        start, patience = 0.4, max(5, len(self.bounds))
        side, gains, failures = start, 0, 0
        for number in range(len(self.design), len(self.y)):
            best = min(self.y[:number].min(initial=np.inf), self.known[1].min(initial=np.inf))
            gained = self.y[number] < best - 1e-3 * abs(best)
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
            self.kernel = record["kernel"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.history} is damaged: {remedy}") from error
        if not fits or not np.array_equal(bounds, self.bounds):
            raise InputError(f"{self.history} is the history of another search: {remedy}")
        self.x, self.y, self.seconds = x, y, seconds


class _StartsAlsoFromTheBest(AcquisitionOptimizer):
    """Maximises the acquisition from uniform points and from perturbations of the best five evaluated points.

    It never returns an evaluated point. `side` is that of the trust region round the best point, as a fraction of the
    box; None means the whole box.
    """

    def __init__(self, space, x, y, side, rng):
        super().__init__(space)
        self.known, self.best, self.rng = x, x[np.argsort(y, kind="stable")[:5]], rng
        self.low, self.high = np.zeros(x.shape[1]), np.ones(x.shape[1])
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
