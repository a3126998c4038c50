"""The bars test (Drefs et al. 2022): data whose generating parameters and likelihood are known."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import scipy

from common.runs.identity import Record, added
from common.tvae.recipe import Recipe
from common.tvae.training import train

NUM_BARS, SIDE, RATE = 8, 4, 0.25  # four horizontal and four vertical bars, each present with probability 2/8
FOUND = 0.01  # a bar is found where a unit's mean squared error is below this
FIRST_VARIANCE = 0.25  # far above that of the noise in the data: while it is large, a set of states is less greedy
RESTART_SEEDS = 1_000_003  # between the seeds of one draw's models
# The paper's decoder is 8-8-16; of 32 hidden units more trainings find all bars.
RECIPE = Recipe(latent_dim=8, hidden=(32,), parents=3, children=2, epochs=400, gradient_states=None)
COLUMNS = [
    *("seed", "setting", "free_energy", "generating_log_likelihood", "bars_found"),
    *("learned_sigma", "sum_pi", "epochs", "seconds"),
]
ORDER = ["setting", "epochs", "seed"]


@dataclass(frozen=True)
class BarsRun(Record):
    """One draw of the data, learned with one recipe."""

    recipe: Recipe = RECIPE
    num_images: int = 500
    sigma: float = 0.1  # of the noise in the data
    first_variance: float = FIRST_VARIANCE  # of the model's noise, to begin with
    seed: int = 0  # of the data and of the first training's model
    restarts: int = added(1)  # trainings from other models, of which the one with the highest bound counts
    restart: int = added(0)  # of a single training: its number

    @property
    def kind(self):
        return "bars"

    def trainings(self):
        """The runs of the single trainings; the first one is the run without restarts."""
        if self.restarts == 1:
            return [self]
        return [dataclasses.replace(self, restarts=1, restart=number) for number in range(self.restarts)]


def log_likelihood(data, means, log_prior, variance):
    """Exact log p(x) in nats, (N,), of data (N, D) by all K states: log sum_k p(k) N(x; means_k, variance I).

    Args:
        means: (K, D); log_prior: (K,).
    """
    squares = np.square(data[:, None] - means).sum(-1)
    joint = log_prior - 0.5 * (data.shape[1] * math.log(2 * math.pi * variance) + squares / variance)
    return np.logaddexp.reduce(joint, 1)


def all_states(length):
    """All binary states of `length` bits, (2^length, length)."""
    return (np.arange(2**length)[:, None] >> np.arange(length)) & 1


def draw(num_images, sigma, seed):
    """Images of 4 x 4: sums of bars of amplitude 1, and Gaussian noise.

    Returns:
        data (num_images, 16) float32, the bars (8, 16), and the mean log-likelihood of the data under these very
        parameters, in nats an image.
    """
    rng = np.random.default_rng(seed)
    lines = np.eye(SIDE)
    truth = np.concatenate([np.kron(lines, np.ones(SIDE)), np.kron(np.ones(SIDE), lines)])
    data = (rng.random((num_images, NUM_BARS)) < RATE) @ truth + sigma * rng.standard_normal((num_images, SIDE**2))
    states = all_states(NUM_BARS)
    prior = states @ np.full(NUM_BARS, math.log(RATE)) + (1 - states) @ np.full(NUM_BARS, math.log(1 - RATE))
    return data.astype(np.float32), truth, float(log_likelihood(data, states @ truth, prior, sigma**2).mean())


def match(fields, truth):
    """Pair units with bars, one to one, for the least squared errors.

    Args:
        fields: what single units make, (H, D); truth: the bars, (8, D).

    Returns:
        units, bars and mean squared errors of the pairs, each (min(H, 8),).
    """
    errors = np.mean((fields[:, None] - truth) ** 2, -1)
    units, bars = scipy.optimize.linear_sum_assignment(errors)
    return units, bars, errors[units, bars]


def bars_test(job):
    """Learn one draw of bars: of several trainings the one with the highest bound; the true bars have no say in it.

    Args:
        job: (BarsRun, folder of the checkpoints).

    Returns:
        the row of bars.csv, what single units make (H, 16), and the true bars (8, 16).
    """
    run, checkpoints = job
    data, truth, likelihood = draw(run.num_images, run.sigma, run.seed)

    def measure(model):
        found = int((match(model.single_units(), truth)[-1] < FOUND).sum())
        bound, ones = float(model.free_energy(data).mean()), float(model.pi.numpy().sum())
        return {"free_energy": bound, "bars_found": found, "sum_pi": ones}

    def learn(training):
        seed = (training.seed + RESTART_SEEDS * training.restart) % 2**31
        model, progress = train(training, data, run.first_variance, checkpoints, measure, seed=seed)
        return progress["rows"][-1] | {"trained_at": progress["trained_at"]}, model.single_units()

    trained = [learn(training) for training in run.trainings()]
    best, units = max(trained, key=lambda one: one[0]["free_energy"])
    row = {"run": run, "seed": run.seed, "setting": run.recipe.in_short(data.shape[1])}
    row |= {"generating_log_likelihood": likelihood} | best | {"seconds": sum(one["seconds"] for one, _ in trained)}
    return row | {"epochs": row.pop("epoch")}, units, truth
