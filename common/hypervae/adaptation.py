"""From a few images of a new task to its VAE: u is fitted to them, then the weights that u hands out are tuned.

q(u|D) gives a u at once. A few gradient steps on u alone code the images shorter; some more on all weights go where no
u leads.
"""

import keras
import numpy as np
import tensorflow as tf

from common.hypervae import density

FIT_STEPS, FIT_RATE = 50, 0.1
JUDGED_BY = 8  # draws of z by which a fitted u is compared with where it began
TUNING_RATE = 3e-4


class UFitter:
    """Fits u of some tasks to their images; its program is compiled once for each shape of images.

    u minimises the code length of the images and of itself, sum_i -ELBO(x_i|theta(u)) - log N(u; 0, I), by Adam from
    the mean of q(u|D).

    Args:
        model: a HyperVAE.
        steps: of Adam; rate: its learning rate.
    """

    def __init__(self, model, steps=FIT_STEPS, rate=FIT_RATE, compiled=True):
        self.model = model

        def length(u, images, seed, num_samples=1):
            """Nats a task, (tasks,)."""
            own = density.code_length(model.body, model.generate(u), images, seed, 0.0, num_samples)
            return tf.reduce_sum(own.reconstruction + own.kl_z, 1) - density.standard_normal(u).log_prob(u)

        def step(i, u, first, second, images, seed):
            """One step of Adam (Kingma & Ba 2015), each task's on its own."""
            with tf.GradientTape() as tape:
                tape.watch(u)
                loss = length(u, images, tf.random.fold_in(seed, i))
            gradient = tape.gradient(loss, u)
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            t = tf.cast(i + 1, tf.float32)
            move = first / (1 - 0.9**t) / (tf.sqrt(second / (1 - 0.999**t)) + 1e-7)
            return i + 1, u - rate * move, first, second, images, seed

        @tf.function(jit_compile=compiled)
        def fit(images, seed):
            start = model.infer_u(images).mean()
            zeros = tf.zeros_like(start)
            state = (tf.constant(0), start, zeros, zeros, images, seed)
            fitted = tf.while_loop(lambda i, *_: i < steps, step, state)[1]
            judge = tf.random.fold_in(seed, steps)
            before, after = (length(u, images, judge, JUDGED_BY) for u in (start, fitted))
            return tf.where((after < before)[:, None], fitted, start)

        self._fit = fit

    def __call__(self, images, seed=0):
        """u (tasks, hyper_latent_dim) of images (tasks, N, H, W, 1); never one that codes them worse than q(u)'s mean.

        The two are compared by the same draws of z.
        """
        return self._fit(tf.cast(images, tf.float32), tf.constant([seed, 1], tf.int32))


class Tuner:
    """Tunes all weights of plain VAEs to the images of their tasks, by Keras' `fit`; compiled once for each shape.

    Args:
        model: a VAE or one of its subclasses, whose networks the plain VAEs have.
        rate: of Adam.
    """

    def __init__(self, model, rate=TUNING_RATE, compiled=True):
        self.model, self.rate, self.compiled = model, rate, compiled
        self._of_size = {}  # Keras would make one program of several shapes, and its dimensions would be unknown

    def _vae(self, number, theta):
        """A compiled VAE for so many images, and its optimizer's variables as they were before any step."""
        if number not in self._of_size:
            vae = self.model.plain_vae(theta)
            vae.compile(optimizer=keras.optimizers.Adam(self.rate), jit_compile=self.compiled)
            vae.optimizer.build(vae.trainable_variables)
            self._of_size[number] = vae, [variable.numpy() for variable in vae.optimizer.variables]
        return self._of_size[number]

    def __call__(self, theta, images, steps):
        """Yield the VAE after each of `steps`, an increasing list, of training theta on all images at once.

        Args:
            theta: {name: array} of one VAE, without an axis of tasks.
            images: (N, H, W, 1) in [0, 1].
        """
        vae, fresh = self._vae(len(images), theta)
        for name, value in theta.items():
            vae.theta[name].assign(value)
        for variable, value in zip(vae.optimizer.variables, fresh):
            variable.assign(value)
        batch = np.asarray(images, np.float32)[None], np.zeros(1, np.int32)
        batches = tf.data.Dataset.from_tensors(batch).repeat()
        done = 0
        for number in steps:
            if number > done:
                vae.fit(batches, steps_per_epoch=number - done, shuffle=False, verbose=0)
                done = number
            yield vae
