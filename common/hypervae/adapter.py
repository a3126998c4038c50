"""One trained model, adapted to a few images of a new task, and what images cost by what comes out.

HyperVAE's u is fitted and its weights are tuned; a VAE is tuned; either may stand beside the VAEs of its known tasks.
"""

import functools

import numpy as np

from common.hypervae.adaptation import FIT_STEPS, tuner_of
from common.hypervae.task_mixture import FEW, Coder, TaskMixture, of_dataset
from common.layers.kernels import stacked_theta

KNOWN_IMAGES = 300  # training images of a task, at most, that its u in a mixture comes from


class Adapter:
    """Adapts one trained model to contexts, and codes targets with what comes out; programs are compiled once.

    Args:
        model: a VAE, a class-told one, or a HyperVAE.
        seen: the Dataset that it was trained on.
    """

    def __init__(self, model, seen, fit_steps=FIT_STEPS, compiled=True):
        self.model, self.fit_steps = model, fit_steps
        self.coder, self.tuner = Coder(model.body, compiled), tuner_of(model, compiled)
        self._seen = seen

    @functools.cached_property
    def known(self):
        """The TaskMixture of the tasks of training; a VAE's only one is itself."""
        if self.model.knows_tasks:
            return of_dataset(self.model, self._seen, KNOWN_IMAGES, self.coder)
        return TaskMixture({name: weight[None] for name, weight in self.model.theta.items()}, [1.0], self.coder)

    def start(self, contexts, fitted, seed):
        """Weights {name: (repeats, ...)} for contexts (repeats, k, H, W, 1); where k is 0, those of u = 0.

        Of a model without u those of the known task that codes the context shortest.
        """
        repeats, number = contexts.shape[:2]
        if not self.model.has_u:
            one = len(self.known.log_shares) == 1
            nearest = [0 if one else self.known.code_lengths(x, seed, FEW).sum(1).argmin() for x in contexts]
            found = [stacked_theta(self.known.theta_of(task), self.model.body.shapes(), 1) for task in nearest]
            return {name: np.concatenate([own[name] for own in found]) for name in found[0]}
        if not number:
            theta = self.model.generate(np.zeros((repeats, self.model.hyper_latent_dim), np.float32))
        else:
            theta = self.model.generate(self.model.fit_u(contexts, seed, self.fit_steps if fitted else 0))
        stacked = stacked_theta(theta, self.model.body.shapes(), repeats)
        return {name: np.asarray(weight) for name, weight in stacked.items()}

    def tuned(self, theta, contexts, steps, rate):
        """Yield the weights after each of `steps`; contexts without images cannot be tuned to."""
        runs = [
            list(self.tuner({name: value[i] for name, value in theta.items()}, images, steps, rate))
            for i, images in enumerate(contexts)
        ]
        for states in zip(*runs):
            yield {name: np.stack([state[name] for state in states]) for name in theta}

    def lengths(self, theta, x, seed, num_samples, share=1.0):
        """-ELBO of targets x (N, H, W, 1), nats, (contexts, N); `share` as of `beside_known`, of 0 (N,)."""
        noise = self.coder.noise(len(x), seed, num_samples)
        adapted = self.coder.code_lengths(theta, _number(theta), x, noise) if share else np.inf
        known = self.known_lengths(x, seed, num_samples) if share < 1 else np.inf
        return beside_known(adapted, known, share)

    def known_lengths(self, x, seed, num_samples):
        """-ELBO under the mixture of the known tasks, nats, (N,)."""
        return self.known.mixed(self.known.code_lengths(x, seed, num_samples))

    def nll(self, theta, x, seed, number, share=1.0):
        """-log p(x) by `number` importance samples, nats, otherwise as `lengths`."""
        adapted = self.coder.neg_log_likelihoods(theta, _number(theta), x, seed, number) if share else np.inf
        known = self.known.mixed(self.known.neg_log_likelihoods(x, seed, number)) if share < 1 else np.inf
        return beside_known(adapted, known, share)


def _number(theta):
    return len(next(iter(theta.values())))


def beside_known(adapted, known, share):
    """-log (share e^-adapted + (1 - share) e^-known), nats: what an image costs where two models share it."""
    with np.errstate(divide="ignore"):  # a share of 0 is no model
        return -np.logaddexp(np.log(share) - adapted, np.log1p(-share) - known)
