"""Code lengths and likelihoods of images under a VAE with given weights (Eqs. 1, 8 and section 3.5)."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from common.hypervae.tasks import evaluation_tasks
from common.layers.kernels import single_theta

tfd = tfp.distributions


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


def code_length(body, theta, x, seed, kl_u=0.0, num_samples=1):
    """Description length of each image (Eq. 8, and Eq. 9's share of KL(u)).

    Args:
        body: the main networks; theta: their weights (shared, or one set a task).
        x: images (..., H, W, 1) in {0, 1}; the first axis is the tasks where theta differs by task.
        seed: stateless seed, shape (2,), of the draws of z.
        kl_u: nats an image pays for its task's weights, broadcastable to x's leading axes.
        num_samples: draws of z to average the reconstruction term over.
    """
    q_z = posterior(*body.encode(theta, x))
    # The draws stand behind the images' axes, so that theta may still differ by the first one.
    z = tf.stack([q_z.sample(seed=draw_seed) for draw_seed in tf.unstack(tf.random.split(seed, num_samples))], -2)
    log_likelihood = body.likelihood(body.decode(theta, z)).log_prob(x[..., None, :, :, :])
    return CodeLength(-tf.reduce_mean(log_likelihood, -1), kl_to_prior(q_z), kl_u)


def log_importance_weights(body, theta, x, seed, num_samples):
    """log p(x|z_i) p(z_i) / q(z_i|x, theta) for draws z_i ~ q: (num_samples, *leading axes of x).

    theta must be one set of weights shared by all images. One draw of every image is decoded at a time:
    memory does not grow with num_samples, and what is decoded stays in the processor's cache.
    """
    q_z = posterior(*body.encode(theta, x))

    def log_weights(draw_seed):
        z = q_z.sample(seed=draw_seed)
        return body.likelihood(body.decode(theta, z)).log_prob(x) + standard_normal(z).log_prob(z) - q_z.log_prob(z)

    return tf.map_fn(log_weights, tf.random.split(seed, num_samples), fn_output_signature=x.dtype)


def importance_sampled_nll(log_weights):
    """-log (1/N) sum_i w_i over the first axis, in nats; the largest weight is factored out first."""
    return math.log(log_weights.shape[0]) - tf.reduce_logsumexp(log_weights, 0)


def evaluate(
    model,
    x,
    y,
    seed=0,
    task_size=100,
    num_samples=4,
    num_importance_samples=1024,
    num_nll_images=None,
    progress=iter,
):
    """Table 1's measures: means over a test part, in nats per image.

    Tasks are same-class batches of `task_size`; each one's theta comes from the batch itself (section 3.5),
    and its images share KL(q(u|D) || p(u)) / |D|.

    Args:
        model: VAE, MetaVAE or HyperVAE.
        x, y: images (N, H, W, 1) in {0, 1} and labels (N,).
        seed: of the evaluation, apart from any training seed.
        num_samples: draws of z for the reconstruction term.
        num_importance_samples: draws of z for the likelihood; 0 leaves it out.
        num_nll_images: importance-sample about so many images, equally many of each task, drawn at random
            (smaller tasks have fewer); None means all.
        progress: wraps the list of tasks, e.g. tqdm.

    Returns:
        A dictionary with reconstruction, kl_z, kl_u, neg_elbo, nll_is (NaN if left out) and
        nll_num_images.
    """

    @tf.function(jit_compile=True)
    def lengths_of(images, label, mask, task_seed):
        theta, kl_u = model.weights_for(images, label, None, mask)
        share = kl_u[:, None] / tf.reduce_sum(tf.cast(mask, tf.float32), 1, keepdims=True)
        length = code_length(model.body, theta, images, task_seed, share, num_samples)
        return single_theta(theta, model.body.shapes()), tf.stack(
            [tf.broadcast_to(term, mask.shape)[0] for term in length], -1
        )

    @tf.function(jit_compile=True)
    def nll_of(theta, images, task_seed):
        own_seed = tf.random.fold_in(task_seed, 1)  # other draws than the description length's
        log_weights = log_importance_weights(model.body, theta, images, own_seed, num_importance_samples)
        return importance_sampled_nll(log_weights)

    tasks = evaluation_tasks(y, task_size, seed)
    first = task_size if num_nll_images is None else min(task_size, -(-num_nll_images // len(tasks)))
    terms, nll = [], []
    for number, (label, index, mask) in enumerate(progress(tasks)):
        images = tf.cast(x[index], tf.float32)
        task_seed = tf.constant([seed, number])
        theta, length = lengths_of(images[None], tf.constant([label]), tf.constant(mask[None]), task_seed)
        terms.append(length.numpy()[mask])
        if num_importance_samples:
            nll.append(nll_of(theta, images[:first], task_seed).numpy()[mask[:first]])
    reconstruction, kl_z, kl_u = np.concatenate(terms).mean(0, dtype=np.float64)
    nll = np.concatenate(nll) if nll else np.array([np.nan])
    return {
        "neg_elbo": reconstruction + kl_z + kl_u,
        "reconstruction": reconstruction,
        "kl_z": kl_z,
        "kl_u": kl_u,
        "nll_is": nll.mean(dtype=np.float64),
        "nll_num_images": len(nll) if num_importance_samples else 0,
    }
