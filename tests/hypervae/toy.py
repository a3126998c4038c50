"""A training of seconds, for tests and the processes they start: toy data, small networks, nothing compiled by XLA."""

import functools
import math

import numpy as np
import pandas as pd
import tensorflow as tf

from common.data.datasets import Dataset
from common.hypervae import likelihoods
from common.hypervae.bodies import BODIES, ConvBody, GreyBody
from common.hypervae.hypervae import HyperVAE
from common.hypervae.training import Settings
from common.layers.kernels import linear


class SmallConvBody(ConvBody):
    """The same networks with a tenth of the units."""

    filters = (4, 6)
    default_hidden = 10


class SmallBody(ConvBody):
    """Two dense layers each way, for what no convolution matters to: traced in half the time."""

    default_hidden = 10

    def encoder_shapes(self, latent_dim=None):
        pixels = math.prod(self.image_shape)
        dense = {"encoder/dense/kernel": (pixels, self.hidden), "encoder/dense/bias": (self.hidden,)}
        return dense | self.head_shapes(latent_dim)

    def decoder_shapes(self):
        outputs = math.prod(self.image_shape) * self.outputs_a_channel
        dense = {"decoder/dense/kernel": (self.latent_dim, self.hidden), "decoder/dense/bias": (self.hidden,)}
        return dense | {"decoder/pixels/kernel": (self.hidden, outputs), "decoder/pixels/bias": (outputs,)}

    def features(self, theta, x):
        flat = tf.reshape(x / self.white, (*x.shape[:-3], math.prod(self.image_shape)))
        return tf.nn.relu(linear(theta, "encoder/dense", flat))

    def decode(self, theta, z):
        x = linear(theta, "decoder/pixels", tf.nn.relu(linear(theta, "decoder/dense", z)))
        height, width, channels = self.image_shape
        return tf.reshape(x, (*x.shape[:-1], height, width, channels * self.outputs_a_channel))


class SmallGreyBody(SmallBody, GreyBody):
    """That of grey levels."""


SMALL_BODIES = {
    "conv": SmallBody,
    "conv_logistic": SmallGreyBody,
    "conv_logistic_mixture": lambda *args: SmallGreyBody(*args, components=likelihoods.MIXED),
}


def plain_function(function=tf.function):
    """tf.function without XLA, which takes longer to compile than a test takes to run."""
    return lambda *args, jit_compile=None, **options: function(*args, **options)


def make_small(body=SmallBody):
    """For a process of its own; tests have the fixtures of conftest."""
    BODIES["conv"], tf.function = body, plain_function()


@functools.cache
def bars():
    """Three classes that a network tells apart: a bar at another place, with noise; 8 x 8."""
    y = np.arange(60) % 3
    x = (np.random.default_rng(0).random((60, 8, 8, 1)) < 0.1).astype(np.uint8)
    x[np.arange(60), :, 2 * y + 1] = 1
    return Dataset("bars", x, y, x[:30], y[:30], (), x[30:], y[30:])


def settings(**changes):
    """Settings of a HyperVAE on `bars`."""
    base = dict(dataset="bars", recipe="custom", binarize="threshold", fingerprint=bars().fingerprint(), body="conv")
    base |= dict(model="hypervae", seed=3, iterations=35, batch_size=12, learning_rate=1e-3, schedule="cosine")
    base |= dict(kl_warmup=0.2, tasks_per_step=3, latent_dim=2, hyper_latent_dim=2, summary="set", generator="block")
    return Settings(**(base | changes))


SMALL = dict(image_shape=(8, 8, 1), latent_dim=3)


def still(model):
    """The model moved away from its start, with q(z|x) so narrow that every draw is its mean."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (7, i)))
    for variable in model.trainable_variables:
        if "log_var_bias" in variable.path and "left" not in variable.path and "right" not in variable.path:
            variable.assign(tf.fill(variable.shape, -30.0))
    return model


def hypervae():
    """A HyperVAE moved away from its start."""
    model = still(HyperVAE(summary="mean", **SMALL))
    # The hyper-encoder's own variance is not z's: KL(u) stays an ordinary number.
    model.theta["encoder/log_var/bias"].assign(tf.zeros(model.hyper_latent_dim))
    return model


PARTS = {"": 1, "_validation": 2, "_test": 3}  # a level that says of which part an image is; outliers have 4


def marked():
    """A Dataset whose images say of which part they are."""
    parts = {f"x{part}": np.full((5 + level, 8, 8, 1), level, np.uint8) for part, level in PARTS.items()}
    labels = {f"y{part}": np.zeros(5 + level, int) for part, level in PARTS.items()}
    return Dataset("m", **parts, **labels, class_names=())


def level_of(x, *_):
    """Stands for what a model says of images: their level."""
    return pd.DataFrame({"level": np.asarray(x, float).mean((1, 2, 3))})


class Rule:
    """Stands for a rule that is fitted to a table of `level_of`."""

    def __init__(self, table, seed=0):
        self.held_out = table["level"].to_numpy()

    def __call__(self, table):
        return table["level"].to_numpy()


def of_one_level(values, level, number):
    """Whether so many images, or their scores, are all of one part of `marked`."""
    values = np.asarray(values)
    return len(values) == number and bool(np.all(values == level))
