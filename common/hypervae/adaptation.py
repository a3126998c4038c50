"""From a few images of a new task to its VAE: u is fitted to them, then the weights that u hands out are tuned.

q(u|D) gives a u at once. A few gradient steps on u alone code the images shorter; some more on all weights go where no
u leads.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from common.hypervae import density
from common.hypervae.fitting import adam
from common.hypervae.vae import VAE

FIT_STEPS, FIT_RATE = 50, 0.1
JUDGED_BY = 8  # draws of z by which a fitted u is compared with where it began
TUNING_RATE = 3e-4
# {images: steps on all weights, for so many and more}. Each is the median over the folds of MNIST of what was best, at
# this rate or at 1e-3, for classes that a HyperVAE of 2,000 steps had not seen (unseen.csv, hypervae_tuned_finetuned).
STEPS_BY_IMAGES = {1: 0, 2: 5, 5: 10, 10: 20, 100: 80}
PROGRAMS = 4  # of tuning, one a number of images: as many are kept
TOGETHER = 20  # images a step: fewer are repeated, each copy with a z of its own, so that most sizes share a program


def tuning_steps_for(number, steps_by_images=None):
    """Steps on all weights that `number` images of a new task call for, by a table such as STEPS_BY_IMAGES."""
    steps = STEPS_BY_IMAGES if steps_by_images is None else dict(steps_by_images)
    return steps[max(size for size in steps if size <= number)]


def repeated(images):
    """Images (tasks, N, ...) as often as they fit into TOGETHER, once at least; and how often that is."""
    copies = max(1, TOGETHER // images.shape[1])
    return tf.tile(images, (1, copies) + (1,) * (len(images.shape) - 2)), copies


def shorter_u(model, images, start, steps, seed, rate=FIT_RATE, copies=1.0, mask=None):
    """u of tasks, moved by Adam from `start` so that their images and u itself get shorter codes; inside a program.

    u minimises sum_i -ELBO(x_i|theta(u)) - log N(u; 0, I). No task gets one that codes worse than its start: the two
    are compared by the same JUDGED_BY draws of z.

    Args:
        model: a HyperVAE.
        images: (tasks, N, H, W, channels) float32; start: (tasks, hyper_latent_dim).
        steps, rate: of Adam; seed: stateless, (2,).
        copies: how often each image is repeated; mask: which images are real, (tasks, N) bool, None: all.
    """
    member = 1.0 if mask is None else tf.cast(mask, tf.float32)

    def nats(u, own_seed, num_samples=1):
        own = density.code_length(model.body, model.generate(u), images, own_seed, 0.0, num_samples)
        of_images = tf.reduce_sum(member * (own.reconstruction + own.kl_z), 1) / copies
        return of_images - density.standard_normal(u).log_prob(u)

    fitted = adam(nats, start, steps, rate, seed)
    judge = tf.random.fold_in(seed, steps)
    before, after = (nats(u, judge, JUDGED_BY) for u in (start, fitted))
    return tf.where((after < before)[:, None], fitted, start)


class UFitter:
    """Fits u of some tasks to their images by `shorter_u`, from the mean of q(u|D).

    It is compiled once for each number of tasks and of repeated images.

    Args:
        model: a HyperVAE.
        rate: of Adam.
    """

    def __init__(self, model, rate=FIT_RATE, compiled=True):
        self.model = model

        @tf.function(jit_compile=compiled, autograph=False)
        def fit(start, images, copies, steps, seed):
            return shorter_u(model, images, start, steps, seed, rate, copies)

        self._fit = fit

    def __call__(self, images, seed=0, steps=FIT_STEPS):
        """u (tasks, hyper_latent_dim) of images (tasks, N, H, W, 1); never one worse than q(u)'s mean."""
        images = tf.cast(images, tf.float32)
        start = self.model.infer_u(images).mean()
        images, copies = repeated(images)
        seed = tf.constant([seed, 1], tf.int32)
        return self._fit(start, images, tf.constant(copies, tf.float32), tf.constant(steps), seed)


class Tuner:
    """Tunes all weights of a plain VAE to the images of its task, by Keras' `fit` with Adam; one program a batch size.

    Args:
        body: the VAE's networks, as VAE has them.
    """

    def __init__(self, image_shape, latent_dim, body, hidden, compiled=True):
        self._make = functools.partial(VAE, image_shape, latent_dim, body=body, hidden=hidden)
        self._compiled = compiled
        self._of_size = {}  # Keras would make one program of several shapes, and its dimensions would be unknown

    def _vae(self, number):
        """A compiled VAE for so many images, and its optimizer's variables as they were before any step."""
        if number not in self._of_size:
            if len(self._of_size) == PROGRAMS:
                del self._of_size[next(iter(self._of_size))]  # the oldest
            vae = self._make()
            vae.compile(optimizer=keras.optimizers.Adam(TUNING_RATE), jit_compile=self._compiled)
            vae.optimizer.build(vae.trainable_variables)
            self._of_size[number] = vae, [variable.numpy() for variable in vae.optimizer.variables]
        return self._of_size[number]

    def __call__(self, theta, images, steps, rate=TUNING_RATE):
        """Yield the weights {name: array} after each of `steps`, an increasing list, of training on all images at once.

        Args:
            theta: {name: array} of one VAE, without an axis of tasks.
            images: (N, H, W, C), 0 to body.white.
            rate: of Adam.
        """
        images, _ = repeated(tf.cast(images, tf.float32)[None])
        vae, fresh = self._vae(images.shape[1])
        for name, value in theta.items():
            vae.theta[name].assign(value)
        for variable, value in zip(vae.optimizer.variables, fresh):
            variable.assign(value)
        vae.optimizer.learning_rate = rate
        batches = tf.data.Dataset.from_tensors((images, np.zeros(1, np.int32))).repeat()
        done = 0
        for number in steps:
            if number > done:
                vae.fit(batches, steps_per_epoch=number - done, shuffle=False, verbose=0)
                done = number
            yield {name: weight.numpy() for name, weight in vae.theta.items()}


def tuner_of(model, compiled=True):
    """The Tuner of a model's networks: one in a process, since what it compiles knows no weights."""
    body = model.body
    return _tuner(type(body), body.image_shape, body.latent_dim, model.body_name, body.hidden, compiled)


@functools.lru_cache(maxsize=4)
def _tuner(_, *networks):
    return Tuner(*networks)
