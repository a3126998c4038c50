"""The tasks of a training as one model of images whose task nobody tells.

p(x) = sum_k p_k p(x|theta_k). theta_k and p_k belong to the model, as its other weights do: no KL(u) is paid.
"""

import numpy as np
import tensorflow as tf

from common.data.blocks import blocks
from common.hypervae import density
from common.layers.kernels import dense_theta

BLOCK = 1_000  # images under one VAE, or one under a thousand VAEs: what a compiled program takes at most
FEWEST = 3  # a block of images under one VAE is as large as under so many: of most tasks there are few
MIXTURE_IMAGES = 300  # training images of a task that its u comes from
MIXTURE_SAMPLES = 32  # draws of z: the mixture of noisy lengths is shorter than that of the lengths themselves
# A task that is so many nats behind an image's best one by a few draws is coded by these alone: of K tasks that far all
# together have e^-FAR K of the image's probability at most, less than a thousandth of a nat.
FEW, FAR = 4, 15


class Coder:
    """Lengths of images under several VAEs of one body; programs are compiled once for a number of VAEs.

    All VAEs see the same noise, z = mean + deviation * noise, so that what tells their lengths apart is not its draw.
    """

    def __init__(self, body, compiled=True):
        self.body = body

        def for_each(tasks, images):
            return tf.broadcast_to(tf.cast(images, tf.float32)[None], (tasks, *images.shape))

        @tf.function(jit_compile=compiled, autograph=False)
        def lengths_of(theta, tasks, images, noise):
            x = for_each(tasks, images)
            q_z = density.posterior(*body.encode(theta, x))

            def reconstruction(own):
                z = q_z.mean() + q_z.stddev() * own
                return -body.likelihood(body.decode(theta, z)).log_prob(x)

            draws = tf.map_fn(reconstruction, noise, fn_output_signature=x.dtype)
            return tf.reduce_mean(draws, 0) + density.kl_to_prior(q_z)

        @tf.function(jit_compile=compiled, autograph=False)
        def nll_of(theta, tasks, images, seed, number):
            weights = density.log_importance_weights(body, theta, for_each(tasks, images), seed, number)
            return density.importance_sampled_nll(weights)

        self._lengths_of, self._nll_of = lengths_of, nll_of

    def noise(self, number, seed=0, num_samples=MIXTURE_SAMPLES, shared_noise=False):
        """Noise of all draws of z for so many images, (num_samples, number, latent_dim); the first draws of more.

        `shared_noise`: all images get the first one's, so that no length depends on the images beside it.
        """
        seeds = tf.unstack(tf.random.split((seed, 0), num_samples))
        if shared_noise:
            return np.repeat(self.noise(1, seed, num_samples), number, 1)
        return np.stack([tf.random.stateless_normal((number, self.body.latent_dim), own) for own in seeds])

    def code_lengths(self, theta, tasks, x, noise):
        """-ELBO of each image under each VAE, nats, (tasks, N).

        Args:
            theta: weights, those that differ by task with a first axis of `tasks`; x: images (N, H, W, 1).
            noise: of z, (draws, N, latent_dim), the same for all VAEs.
        """
        found = [self._lengths_of(theta, tasks, x[i], noise[:, i]) for i in blocks(len(x), _block_size(tasks))]
        return _together(found, len(x))

    def neg_log_likelihoods(self, theta, tasks, x, seed=0, num_importance_samples=100):
        """Importance-sampled -log p(x|theta_k), nats, (tasks, N); arguments as of `code_lengths`."""
        found = []
        for block, i in enumerate(blocks(len(x), _block_size(tasks))):
            draws = tf.constant([seed, block], tf.int32)
            found.append(self._nll_of(theta, tasks, x[i], draws, num_importance_samples))
        return _together(found, len(x))


def _block_size(tasks):
    return max(1, BLOCK // max(tasks, FEWEST))


def _together(blocks, number):
    return np.concatenate(blocks, 1)[:, :number].astype(np.float64)


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

    def code_lengths(self, x, seed=0, num_samples=MIXTURE_SAMPLES, shared_noise=False):
        """-ELBO of each image (N, H, W, 1) under each task's VAE, nats, (K, N).

        By all draws where the task matters to the image, else by FEW. `shared_noise`: see Coder.noise.
        """
        noise = self.coder.noise(len(x), seed, num_samples, shared_noise)
        found = self.coder.code_lengths(self.theta, len(self.log_shares), x, noise[:FEW])
        if num_samples > FEW:
            self._code(x, self._near(found), noise, found)
        return found

    def code_lengths_where(self, x, matters, seed=0, num_samples=FEW):
        """As `code_lengths`, where an image matters to a task, (K, N) bool; infinite elsewhere."""
        found = np.full(matters.shape, np.inf)
        self._code(x, _indices(matters), self.coder.noise(len(x), seed, num_samples), found)
        return found

    def _code(self, x, pairs, noise, found):
        """Write lengths into `found` (K, N): of each (task, indices of images) of `pairs`."""
        for task, own in pairs:
            found[task, own] = self.coder.code_lengths(self.theta_of(task), 1, x[own], noise[:, own])

    def neg_log_likelihoods(self, x, seed=0, num_importance_samples=100):
        """Importance-sampled -log p(x|theta_k), nats, (K, N), of images (N, H, W, 1); -ELBO where a task is far off."""
        found = self.code_lengths(x, seed, FEW)
        for task, near in self._near(found):
            found[task, near] = self.neg_log_likelihoods_of(task, x[near], seed, num_importance_samples)
        return found

    def neg_log_likelihoods_of(self, task, x, seed=0, num_importance_samples=100):
        """Importance-sampled -log p(x|theta_k), nats, (N,), of one task and images (N, H, W, 1)."""
        return self.coder.neg_log_likelihoods(self.theta_of(task), 1, x, seed + task, num_importance_samples)[0]

    def _near(self, lengths):
        """[(task, indices of the images to which it matters)] by lengths (K, N)."""
        behind = lengths - self.log_shares[:, None]
        return _indices(behind <= behind.min(0) + FAR)

    def theta_of(self, task):
        """Weights of one task's VAE, those that differ by task with a first axis of 1."""
        shapes = self.coder.body.shapes()
        own = {name: len(weight.shape) > len(shapes[name]) for name, weight in self.theta.items()}
        return {name: weight[task : task + 1] if own[name] else weight for name, weight in self.theta.items()}

    def mixed(self, lengths):
        """-log sum_k p_k exp(-length_k), nats, (N,): what an image costs where its task is not told.

        Of -ELBOs (K, N) it is a bound of -log p(x), of -log p(x|theta_k) that itself: up to the noise of the estimates,
        which makes it too small (the variance of a length by few draws, some 0.1 nats at 4).
        """
        return -np.logaddexp.reduce(self.log_shares[:, None] - lengths, axis=0)


def _indices(matters):
    """[(task, indices of the images that matter to it)] of (K, N) bool."""
    return [(task, np.flatnonzero(own)) for task, own in enumerate(matters) if own.any()]


def of_classes(model, y, coder=None):
    """The TaskMixture of a model that is told the class (MetaVAE, CVAE); shares are those of the labels y (N,).

    `coder`: as of `of_dataset`.
    """
    counts = np.bincount(y)
    labels = tf.range(len(counts))
    theta, _ = model.weights_for(tf.zeros((len(counts), 1, *model.body.image_shape)), labels)
    return TaskMixture(theta, counts, coder or Coder(model.body))


def of_dataset(model, data, images=MIXTURE_IMAGES, coder=None):
    """The TaskMixture of a model that knows tasks, from the training part of a Dataset alone.

    Args:
        images: so many of each task, at most, HyperVAE's u comes from.
        coder: a Coder of the model's body, whose programs may be compiled already; a new one where not given.
    """
    if not model.has_u:
        return of_classes(model, data.y, coder)
    return model.task_mixture(images_of_tasks(data, images), np.bincount(data.y), coder)


def images_of_tasks(data, images=MIXTURE_IMAGES):
    """So many training images of each task of a Dataset, at most: a list of (N, H, W, C)."""
    return [data.x[data.y == label][:images] for label in range(data.num_classes)]
