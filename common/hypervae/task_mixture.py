"""The tasks of a training as one model of images whose task nobody tells.

p(x) = sum_k p_k p(x|theta_k). theta_k and p_k belong to the model, as its other weights do: no KL(u) is paid.
"""

import numpy as np
import tensorflow as tf

from common.hypervae import density
from common.layers.kernels import dense_theta

BLOCK = 1_000  # images under one VAE, or one under a thousand VAEs: what a compiled program takes at once
MIXTURE_SAMPLES = 32  # draws of z: the mixture of noisy lengths is shorter than that of the lengths themselves


class Coder:
    """Lengths of images under several VAEs of one body; programs are compiled once for a number of VAEs.

    All VAEs see the same noise, z = mean + deviation * noise, so that what tells their lengths apart is not its draw.
    """

    def __init__(self, body, compiled=True):
        def for_each(tasks, images):
            return tf.broadcast_to(images[None], (tasks, *images.shape))

        @tf.function(jit_compile=compiled)
        def lengths_of(theta, images, seed, tasks, number):
            x = for_each(tasks, images)
            q_z = density.posterior(*body.encode(theta, x))

            def reconstruction(draw_seed):
                noise = tf.random.stateless_normal((len(images), body.latent_dim), draw_seed)
                z = q_z.mean() + q_z.stddev() * noise
                return -body.likelihood(body.decode(theta, z)).log_prob(x)

            draws = tf.map_fn(reconstruction, tf.random.split(seed, number), fn_output_signature=x.dtype)
            return tf.reduce_mean(draws, 0) + density.kl_to_prior(q_z)

        @tf.function(jit_compile=compiled)
        def nll_of(theta, images, seed, tasks, number):
            weights = density.log_importance_weights(body, theta, for_each(tasks, images), seed, number)
            return density.importance_sampled_nll(weights)

        self._lengths_of, self._nll_of = lengths_of, nll_of

    def code_lengths(self, theta, tasks, x, seed=0, num_samples=MIXTURE_SAMPLES):
        """-ELBO of each image under each VAE, nats, (tasks, N).

        Args:
            theta: weights, those that differ by task with a first axis of `tasks`; x: images (N, H, W, 1).
        """
        return self._in_blocks(self._lengths_of, theta, tasks, x, seed, num_samples)

    def neg_log_likelihoods(self, theta, tasks, x, seed=0, num_importance_samples=100):
        """Importance-sampled -log p(x|theta_k), nats, (tasks, N); arguments as of `code_lengths`."""
        return self._in_blocks(self._nll_of, theta, tasks, x, seed, num_importance_samples)

    def _in_blocks(self, program, theta, tasks, x, seed, number):
        theta, found, block = dense_theta(theta), [], max(1, BLOCK // tasks)
        for start in range(0, len(x), block):
            images = np.resize(x[start : start + block], (block, *x.shape[1:]))  # one shape: one program
            draws = tf.constant([seed, start], tf.int32)
            values = program(theta, tf.cast(images, tf.float32), draws, tasks, number).numpy()
            found.append(values[:, : len(x) - start])
        return np.concatenate(found, 1).astype(np.float64)


class TaskMixture:
    """The mixture of VAEs with given weights.

    Args:
        theta: their weights, those that differ by task with a first axis of K tasks.
        shares: p_k, (K,), which sum to 1.
        coder: the Coder of their body.
    """

    def __init__(self, theta, shares, coder):
        self.theta, self.coder = dense_theta(theta), coder
        self.log_shares = np.log(np.asarray(shares, np.float64) / np.sum(shares))

    def code_lengths(self, x, seed=0, num_samples=MIXTURE_SAMPLES):
        """-ELBO of each image (N, H, W, 1) under each task's VAE, nats, (K, N)."""
        return self.coder.code_lengths(self.theta, len(self.log_shares), x, seed, num_samples)

    def neg_log_likelihoods(self, x, seed=0, num_importance_samples=100):
        """Importance-sampled -log p(x|theta_k), nats, (K, N), of images (N, H, W, 1)."""
        return self.coder.neg_log_likelihoods(self.theta, len(self.log_shares), x, seed, num_importance_samples)

    def mixed(self, lengths):
        """-log sum_k p_k exp(-length_k), nats, (N,): what an image costs where its task is not told.

        Of -ELBOs (K, N) it is a bound of -log p(x), of -log p(x|theta_k) that itself: up to the noise of the estimates,
        which makes it too small (the variance of a length by few draws, some 0.1 nats at 4).
        """
        return -np.logaddexp.reduce(self.log_shares[:, None] - lengths, axis=0)

    def responsibilities(self, lengths):
        """p(k|x), (K, N), as the lengths (K, N) have it."""
        return np.exp(self.log_shares[:, None] - lengths + self.mixed(lengths))


def of_classes(model, y, compiled=True):
    """The TaskMixture of a model that is told the class (MetaVAE, CVAE); shares are those of the labels y (N,)."""
    counts = np.bincount(y)
    labels = tf.range(len(counts))
    theta, _ = model.weights_for(tf.zeros((len(counts), 1, *model.body.image_shape)), labels)
    return TaskMixture(theta, counts, Coder(model.body, compiled))
