"""Code lengths and likelihoods of images under a VAE with given weights (Eqs. 1, 8 and section 3.5)."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from common.hypervae.tasks import evaluation_tasks
from common.layers.kernels import single_theta
from common.runs.identity import Record, added

tfd = tfp.distributions
TASK_SIZE = 100  # images of one class that share theta in Table 1, at most


class CodeLength(NamedTuple):
    """The terms of a description length, nats per image; each of the images' shape (or broadcast to it)."""

    reconstruction: tf.Tensor  # E_q[-log p(x|z, theta)]
    kl_z: tf.Tensor  # KL(q(z|x, theta) || p(z))
    kl_u: tf.Tensor  # KL(q(u|D) || p(u)) / |D|, this image's share; 0 where theta costs nothing

    @property
    def neg_elbo(self):
        return self.reconstruction + self.kl_z + self.kl_u


def posterior(mean, log_var):
    """The diagonal Gaussian N(mean, exp(log_var)) over the last axis: q(z|x) and q(u|D)."""
    return tfd.Independent(tfd.Normal(mean, tf.exp(0.5 * log_var)), 1)


def standard_normal(like):
    """The prior N(0, I) over the last axis of a tensor's shape: p(z) and p(u)."""
    return tfd.Independent(tfd.Normal(tf.zeros_like(like), tf.ones_like(like)), 1)


def kl_to_prior(q):
    """KL(q || N(0, I)) in nats, summed over the latent dimensions."""
    return tfd.kl_divergence(q, standard_normal(q.distribution.loc))


def draws(q, seeds, shared_noise=False):
    """Draws of each code's Gaussian q, one a seed (n, 2), on an axis before the last.

    `shared_noise`: all codes by the same noise, so that none depends on those beside it.
    """
    # As q.sample of each seed, whose many steps take most of the time in which a program is traced.
    mean = q.mean()
    shape = q.event_shape if shared_noise else tf.shape(mean)
    noise = tf.stack([tf.random.stateless_normal(shape, seed) for seed in tf.unstack(seeds)], -2)
    return mean[..., None, :] + q.stddev()[..., None, :] * noise


def code_length(body, theta, x, seed, kl_u=0.0, num_samples=1, shared_noise=False):
    """Description length of each image (Eq. 8, and Eq. 9's share of KL(u)).

    Args:
        body: the main networks; theta: their weights (shared, or one set a task).
        x: images (..., H, W, 1) in {0, 1}; the first axis is the tasks where theta differs by task.
        seed: stateless seed, shape (2,), of the draws of z.
        kl_u: nats an image pays for its task's weights, broadcastable to x's leading axes.
        num_samples: draws of z to average the reconstruction term over.
        shared_noise: see `draws`.
    """
    return code_length_under(posterior(*body.encode(theta, x)), body, theta, x, seed, kl_u, num_samples, shared_noise)


def code_length_under(q_z, body, theta, x, seed, kl_u=0.0, num_samples=1, shared_noise=False):
    """As `code_length`, with any Gaussian q_z of the codes in place of q(z|x, theta)."""
    # The draws stand behind the images' axes, so that theta may still differ by the first one.
    z = draws(q_z, tf.random.split(seed, num_samples), shared_noise)
    log_likelihood = body.likelihood(body.decode(theta, z)).log_prob(x[..., None, :, :, :])
    return CodeLength(-tf.reduce_mean(log_likelihood, -1), kl_to_prior(q_z), kl_u)


def log_importance_weights(body, theta, x, seed, num_samples):
    """log p(x|z_i) p(z_i) / q(z_i|x, theta) for draws z_i ~ q: (num_samples, *leading axes of x).

    theta is one set of weights, or one for each of x's first axis. One draw of every image is decoded at a time: memory
    does not grow with num_samples, and what is decoded stays in the processor's cache.
    """
    q_z = posterior(*body.encode(theta, x))

    def log_weights(draw_seed):
        z = q_z.sample(seed=draw_seed)
        return body.likelihood(body.decode(theta, z)).log_prob(x) + standard_normal(z).log_prob(z) - q_z.log_prob(z)

    return tf.map_fn(log_weights, tf.random.split(seed, num_samples), fn_output_signature=x.dtype)


def importance_sampled_nll(log_weights):
    """-log (1/N) sum_i w_i over the first axis, in nats; the largest weight is factored out first."""
    return math.log(log_weights.shape[0]) - tf.reduce_logsumexp(log_weights, 0)


def bits_per_dim(nats, image_shape):
    """Nats an image as bits for each channel of a pixel, of images (H, W, channels)."""
    return nats / (math.prod(image_shape) * math.log(2))


@dataclass(frozen=True)
class ImportanceSampling(Record):
    """How a likelihood is importance-sampled."""

    num_importance_samples: int  # draws of z for an image
    num_images: int  # about how many of a test part, spread over all its tasks; 0 takes all


@dataclass(frozen=True)
class Evaluation(Record):
    """What a row of Table 1 is: a training, and all that decides how it is measured."""

    training: Record
    evaluate_on: str  # "test" or "validation"
    likelihood: ImportanceSampling | None = None  # None leaves it out
    num_samples: int = 4
    task_size: int = TASK_SIZE
    evaluation_seed: int = 1
    fit_u: int = added(0)  # steps on the mean of q(u|D); HyperVAE's alone

    def options(self):
        """The arguments of `evaluate` that this record holds."""
        options = {"seed": self.evaluation_seed, "task_size": self.task_size, "num_samples": self.num_samples}
        options |= {"fit_u": self.fit_u}
        if self.likelihood is None:
            return options | {"num_importance_samples": 0}
        options |= {"num_importance_samples": self.likelihood.num_importance_samples}
        return options | {"num_nll_images": self.likelihood.num_images}


class Evaluator:
    """Table 1's measures of one model, by programs that are built once however often it is called.

    Tasks are same-class batches of `task_size`; each one's theta comes from the batch itself (section 3.5), and its
    images share KL(q(u|D) || p(u)) / |D|.

    Args:
        num_samples: draws of z for the reconstruction term.
        num_importance_samples: draws of z for the likelihood; 0 leaves it out.
        compiled: by XLA, whose programs run faster but take seconds to make: too long for a few short evaluations.
        draw_u: theta comes from a draw of q(u|D) in place of its mean; HyperVAE's alone.
        fit_u: steps of Adam that move the mean of q(u|D) first, see HyperVAE.fit_q_u.
    """

    def __init__(
        self,
        model,
        task_size=TASK_SIZE,
        num_samples=4,
        num_importance_samples=1024,
        compiled=True,
        draw_u=False,
        fit_u=0,
    ):
        self.task_size, self.num_importance_samples = task_size, num_importance_samples

        @tf.function(jit_compile=compiled, autograph=False)
        def lengths_of(images, label, mask, task_seed):
            if draw_u or fit_u:
                q_u = model.fit_q_u(images, fit_u, tf.random.fold_in(task_seed, 3), mask)
                kl_u_of_task = kl_to_prior(q_u)
                u = q_u.sample(seed=tf.random.fold_in(task_seed, 2)) if draw_u else q_u.mean()
                theta = model.generate(u)
            else:
                theta, kl_u_of_task = model.weights_for(images, label, None, mask)
            share = kl_u_of_task[:, None] / tf.reduce_sum(tf.cast(mask, tf.float32), 1, keepdims=True)
            length = code_length(model.body, theta, images, task_seed, share, num_samples)
            terms = tf.stack([tf.broadcast_to(term, mask.shape)[0] for term in length], -1)
            return single_theta(theta, model.body.shapes()), terms

        @tf.function(jit_compile=compiled, autograph=False)
        def nll_of(theta, images, task_seed):
            own_seed = tf.random.fold_in(task_seed, 1)  # other draws than the description length's
            log_weights = log_importance_weights(model.body, theta, images, own_seed, num_importance_samples)
            return importance_sampled_nll(log_weights)

        self._lengths_of, self._nll_of = lengths_of, nll_of

    def __call__(self, x, y, seed=0, num_nll_images=0, progress=iter):
        """Means over a test part, in nats per image.

        Args:
            x, y: images (N, H, W, 1) and labels (N,), which form the tasks.
            seed: of tasks and draws.
            num_nll_images: about how many images to estimate the likelihood on, equally many of each task (smaller
                tasks have fewer); 0 means all.
            progress: wraps the list of tasks, e.g. tqdm.

        Returns:
            A dictionary with reconstruction, kl_z, kl_u (a task's KL(u) shared by its images), their sum neg_elbo,
            nll_is (without KL(u); NaN if left out) and nll_num_images.
        """
        tasks = evaluation_tasks(y, self.task_size, seed)
        first = _nll_images_a_task(tasks, self.task_size, num_nll_images)
        terms, nll = [], []
        for number, (label, index, mask) in enumerate(progress(tasks)):
            images = tf.cast(x[index], tf.float32)
            task_seed = tf.constant([seed, number])
            theta, length = self._lengths_of(images[None], tf.constant([label]), tf.constant(mask[None]), task_seed)
            terms.append(length.numpy()[mask])
            if self.num_importance_samples:
                nll.append(self._nll_of(theta, images[:first], task_seed).numpy()[mask[:first]])
        reconstruction, kl_z, kl_u = np.concatenate(terms).mean(0, dtype=np.float64)
        nll = np.concatenate(nll) if nll else np.array([np.nan])
        return {
            "neg_elbo": reconstruction + kl_z + kl_u,
            "reconstruction": reconstruction,
            "kl_z": kl_z,
            "kl_u": kl_u,
            "nll_is": nll.mean(dtype=np.float64),
            "nll_num_images": len(nll) if self.num_importance_samples else 0,
        }


def _nll_images_a_task(tasks, task_size, num_nll_images):
    return min(task_size, -(-num_nll_images // len(tasks))) if num_nll_images else task_size


def nll_subset(y, num_nll_images, seed):
    """Which images (M,) of a test part with labels y an `Evaluator` of TASK_SIZE estimates the likelihood on."""
    tasks = evaluation_tasks(y, TASK_SIZE, seed)
    first = _nll_images_a_task(tasks, TASK_SIZE, num_nll_images)
    return np.concatenate([index[:first][mask[:first]] for _, index, mask in tasks])


def evaluate(model, x, y, seed=0, num_nll_images=0, progress=iter, **options):
    """Table 1's measures of a model, once; arguments and result as in `Evaluator`, `options` those of its making."""
    return Evaluator(model, **options)(x, y, seed, num_nll_images, progress)
