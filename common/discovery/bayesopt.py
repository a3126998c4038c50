"""Bayesian optimization by GPyOpt, as ask / evaluate / tell with a history that can be resumed (sections 3.5, 4.5).

GPyOpt was archived in 2023. What breaks or misleads with today's packages is worked round here and in acquisitions.py
alone: its import silences all later warnings; numpy 2 has no `np.linalg.linalg`, which hides true errors; it draws
from numpy's global random state; and its acquisition optimiser starts from uniform points, where in ten
dimensions the expected improvement has underflowed after some 60 evaluations, so that it falls back to random search.
"""

import time
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from common.discovery.acquisitions import ACQUISITIONS, ExpectedFeasibleImprovement, GPyOpt, StartsAlsoFromTheBest
from common.discovery.constraints import best_first, ranks
from common.errors import InputError
from common.runs.random_state import own_random_state
from common.runs.storage import REMEDY, read_json, write_json


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
        history: file that holds every evaluation; a run that was cut off goes on from it. Its bounds and first points
            may differ in their last digits: a network computed them, perhaps with another number of threads.
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
        with threadpool_limits(1), own_random_state(), warnings.catch_warnings():
            np.random.seed([self.seed, number])  # which GPy draws from
            rng = np.random.default_rng([self.seed, number])
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
            optimizer = StartsAlsoFromTheBest(space, unit, unit[order[:5]], self._side(), rng)
            if self.excess.size:
                acquisition = ExpectedFeasibleImprovement(model, space, optimizer, unit, self.excess)
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

    def run(self, objective, budget, shown=""):
        """Ask, evaluate and tell until `budget` evaluations are in the history; returns `best`.

        Args:
            objective: objective(x) gives y, or with limits (y, excess), see `tell`.
            shown: the name of a bar that shows how many evaluations are done; "" shows none.

        Raises:
            InputError: the objective raised, or gave no finite number; names the point.
        """
        done, left = len(self.y), len(self.y) < budget
        with tqdm(desc=shown, total=budget, initial=done, disable=not (shown and left), leave=False) as bar:
            while len(self.y) < budget:
                x = self.ask()
                try:
                    y = objective(x)
                except Exception as error:  # whatever a black box raises; the cause stays chained
                    said = f"{type(error).__name__}: {error}"
                    raise InputError(f"the objective failed at {_shown(x)} ({said})") from error
                self.tell(x, *(y if self.excess.shape[1] else (y,)))
                bar.update()
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
        record = read_json(self.history, REMEDY)
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
            raise InputError(f"{self.history} is damaged: {REMEDY}") from error
        begun = min(len(y), len(self.design))
        if not fits or not self._alike(bounds.T, self.bounds.T) or not self._alike(x[:begun], self.design[:begun]):
            raise InputError(f"{self.history} is the history of another search: {REMEDY}")
        self.bounds, self.x, self.y, self.seconds, self.excess = bounds, x, y, seconds, excess

    def _alike(self, points, others):
        """Whether points (k, dimensions) agree but for the rounding of networks."""
        low, high = self.bounds.T
        return points.shape == others.shape and bool(np.all(np.abs(points - others) <= 1e-3 * (high - low)))


def _shown(x):
    return "[" + ", ".join(f"{value:.6g}" for value in np.ravel(x)) + "]"
