"""Characters that no training saw, of a few drawings each: the published few-shot comparison on Omniglot.

Of each unseen character the first drawings of a fixed order are the context, the last ones are coded: the same for
every context and model. What a context's theta codes is -log p(x|context): no KL(u) is paid.
"""

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common.data import characters
from common.data.blocks import blocks, spread
from common.errors import InputError
from common.hypervae import density
from common.hypervae.adaptation import FIT_RATE, FIT_STEPS
from common.hypervae.density import Evaluator
from common.hypervae.runs import trained
from common.hypervae.task_mixture import Coder, TaskMixture
from common.hypervae.told import family
from common.hypervae.training import measured_once
from common.runs.identity import Record

CONTEXTS = (0, 1, 2, 3, 4, 9)  # drawings
SET_SIZES = (2, 5, 10, 20)
COLUMNS = ["dataset", "method", "num_context", "part", "seed", "neg_elbo", "nll_is", "parameters", "num_images"]
COLUMNS += ["iterations", "recipe"]
BOUND_COLUMNS = ["dataset", "method", "set_size", "part", "seed", "neg_elbo", "reconstruction", "kl_z", "kl_u"]
BOUND_COLUMNS += ["parameters", "num_images", "iterations", "recipe"]
BLOCK = 40  # characters that a program takes at once


@dataclass(frozen=True)
class Context(Record):
    """What a row of characters.csv is: a training, and how unseen characters are coded given a context."""

    training: Record
    part: str  # "test": the unseen alphabets, or "validation": those held out of the ones to learn from
    num_context: int
    fitted: bool  # u is fitted to the context; else it is q(u)'s mean
    num_importance_samples: int
    num_characters: int  # spread over all of the part; 0: all
    num_samples: int = 4
    largest_context: int = max(CONTEXTS)  # what stands behind it in a character's order is coded
    prior_draws: int = 32  # of u, where there is no context
    fit_steps: int = FIT_STEPS
    fit_rate: float = FIT_RATE
    draw_seed: int = 2021
    evaluation_seed: int = 1


@dataclass(frozen=True)
class SetBound(Record):
    """What a row of characters_bound.csv is: -ELBO of sets of one character, with KL(u) of the set's own, drawn u."""

    training: Record
    part: str
    set_size: int
    num_samples: int = 4
    evaluation_seed: int = 1


def method(record):
    """The name of a row: "vae", "hypervae", "hypervae_fitted"."""
    return family(record.training) + "_fitted" * getattr(record, "fitted", False)


def plan(settings, part, num_importance_samples, num_characters):
    """The records of one training. A VAE has no use for a context; without one there is nothing to fit to."""
    if settings.model == "vae":
        return [Context(settings, part, 0, False, num_importance_samples, num_characters), SetBound(settings, part, 20)]
    kinds = [(fitted, number) for fitted in (False, True) for number in CONTEXTS if number or not fitted]
    contexts = [
        Context(settings, part, number, fitted, num_importance_samples, num_characters) for fitted, number in kinds
    ]
    return contexts + [SetBound(settings, part, size) for size in SET_SIZES]


def split(x, y, record):
    """Contexts (characters, num_context, H, W, 1) and targets (characters, n, H, W, 1), disjoint, of images and labels.

    Contexts are nested: a smaller one is the beginning of a larger one. Targets are the same for all of them.
    """
    labels = np.unique(y)
    if record.num_characters:
        labels = spread(labels, record.num_characters)
    least = np.bincount(y)[labels].min()
    if least <= record.largest_context:
        raise InputError(f"a character has {least} drawings: more than {record.largest_context} are needed of each")
    orders = [
        np.random.default_rng([record.draw_seed, int(label)]).permutation(np.flatnonzero(y == label))[:least]
        for label in labels
    ]
    images = x[np.stack(orders)]
    return images[:, : record.num_context], images[:, record.largest_context :]


class ContextCoder:
    """Codes targets under the VAE that a model makes of each character's context; programs are compiled once."""

    def __init__(self, model, num_samples, num_importance_samples, compiled=True):
        self.model, self.compiled = model, compiled

        @tf.function(jit_compile=compiled, autograph=False)
        def lengths_of(u, x, seed):
            theta = model.generate(u)
            length = density.code_length(model.body, theta, x, seed, 0.0, num_samples).neg_elbo
            if not num_importance_samples:
                return length, tf.fill(tf.shape(length), np.nan)
            weights = density.log_importance_weights(
                model.body, theta, x, tf.random.fold_in(seed, 1), num_importance_samples
            )
            return length, density.importance_sampled_nll(weights)

        self._lengths_of = lengths_of

    def __call__(self, contexts, targets, record):
        """(-ELBO, -log p), each (characters, n), nats."""
        found = []
        for index in blocks(len(targets), BLOCK):
            u = self.model.fit_u(contexts[index], record.evaluation_seed, record.fit_steps if record.fitted else 0)
            seed = tf.constant([record.evaluation_seed, index[0]], tf.int32)
            found.append(self._lengths_of(u, tf.cast(targets[index], tf.float32), seed))
        return [np.concatenate(part)[: len(targets)].astype(np.float64) for part in zip(*found)]


def measure(record, model, data, coder=None, compiled=True):
    """Nats an image: {neg_elbo, nll_is, num_images} of a Context, Table 1's terms of a SetBound."""
    x, y = data.part(record.part)
    if isinstance(record, SetBound):
        evaluator = Evaluator(model, record.set_size, record.num_samples, 0, compiled, draw_u=model.has_u)
        found = evaluator(x, y, record.evaluation_seed)
        return {name: found[name] for name in ("neg_elbo", "reconstruction", "kl_z", "kl_u")} | {"num_images": len(x)}
    contexts, targets = split(x, y, record)
    if record.num_context:
        lengths, nll = coder(contexts, targets, record)
    else:
        mixture, images = _of_prior(record, model, compiled), targets.reshape(-1, *targets.shape[2:])
        lengths = mixture.mixed(mixture.code_lengths(images, record.evaluation_seed, record.num_samples))
        samples, nll = record.num_importance_samples, np.array(np.nan)
        if samples:
            nll = mixture.mixed(mixture.neg_log_likelihoods(images, record.evaluation_seed, samples))
    return {"neg_elbo": lengths.mean(), "nll_is": nll.mean(), "num_images": lengths.size}


def _of_prior(record, model, compiled):
    """p(x) where nothing is known: the mixture of VAEs of u drawn from the prior; a VAE is itself."""
    if model.has_u:
        draws = (record.prior_draws, model.hyper_latent_dim)
        theta = model.generate(tf.random.stateless_normal(draws, (record.evaluation_seed, 0)))
        return TaskMixture(theta, np.ones(record.prior_draws), Coder(model.body, compiled))
    return TaskMixture(model.own_theta(), np.ones(1), Coder(model.body, compiled))


@functools.lru_cache(maxsize=1)
def load(data_dir, body):
    """The Dataset of characters for such networks, once in a process."""
    return dataclasses.replace(characters.load(data_dir), body=body)


def measured(job):
    """Train one run if it is missing and measure it; its rows of characters.csv and characters_bound.csv.

    Args:
        job: (options, Settings, records as of `plan`).

    Returns:
        (rows, rows of bounds)
    """
    args, settings, records = job
    data, rows, bounds = load(args.data_dir, args.body), [], []
    run = functools.cache(lambda: trained(args, settings, data))
    coder = functools.cache(lambda *sizes: ContextCoder(run().model, *sizes))

    def measures(record):
        sizes = (record.num_samples, getattr(record, "num_importance_samples", 0))
        return measure(record, run().model, data, None if settings.model == "vae" else coder(*sizes))

    for record in records:
        row = {"run": record, "dataset": data.name, "method": method(record), "part": record.part}
        row |= {key: getattr(settings, key) for key in ("seed", "recipe", "iterations")}
        row |= measured_once(args, record, run, measures)
        if isinstance(record, SetBound):
            bounds.append(row | {"set_size": record.set_size})
        else:
            rows.append(row | {"num_context": record.num_context})
    return rows, bounds
