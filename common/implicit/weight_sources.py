"""Where the weights of main networks come from: a hypernetwork, or plain variables.

Every variable has a leading axis of members, independent models that are trained side by side.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from common.layers.generators import LayerwiseGenerator
from common.layers.kernels import apply_kernel

DROPOUT = 0.5  # of the hypernetwork's hidden units in training (section 4)


def inverse_softplus(value):
    return math.log(math.expm1(value))


class _PerMember(keras.layers.Layer):
    """A layer whose weights have a leading axis of members, each initialised from its own stream of random numbers."""

    def __init__(self, seed, streams, **kwargs):
        super().__init__(**kwargs)
        self.random = [np.random.default_rng([seed, stream]) for stream in streams]
        self.built = True

    def add(self, name, shape, draw):
        """A variable (members, *shape); draw(generator, shape) gives one member's values."""
        values = np.stack([np.broadcast_to(draw(random, shape), shape) for random in self.random]).astype(np.float32)
        return self.add_weight(shape=values.shape, name=name, initializer=lambda *_, **__: tf.constant(values))


def glorot(random, shape):
    """Glorot uniform kernels, zero biases (Keras' defaults)."""
    if len(shape) == 1:
        return np.zeros(shape)
    limit = math.sqrt(6 / sum(shape))
    return random.uniform(-limit, limit, shape)


def he(random, shape):
    return random.normal(0, math.sqrt(2 / shape[0]), shape) if len(shape) == 2 else np.zeros(shape)


class PointWeights(_PerMember):
    """Plain maximum likelihood ("SGD"): each member has one w, the variables themselves."""

    stochastic = False

    def __init__(self, shapes, seed, streams):
        super().__init__(seed, streams, name="weights")
        self.theta = {name: self.add(name.replace("/", "_"), shape, glorot) for name, shape in shapes.items()}

    def call(self, noise, keep):
        return {name: weight.value for name, weight in self.theta.items()}


class Hypernetwork(_PerMember):
    """g(eps; Theta): scaled noise through ReLU layers with dropout, then all weights of the main network.

    Args:
        shapes: of the main network's weights.
        hidden: units of the hidden layers.
        noise_dim: dimensions of eps.
        generator: "dense" gives w by one dense layer; "matrix" gives H, and each weight as U H V + B.
        spread: how much of the initial weights' variance comes from eps (1 is all of it).
        kernel_rate: how fast the kernel that makes H or w is trained (by Adam), as a share of the learning rate. With
            a rate of 1 a weight moves through each of the last hidden units, and so many times as far in a step as in
            "sgd".
    """

    stochastic = True

    def __init__(self, shapes, hidden, noise_dim, generator, spread, seed, streams, kernel_rate=1.0):
        super().__init__(seed, streams, name="hypernetwork")
        if generator == "matrix" and len(streams) > 1:
            raise ValueError("the matrix generator has no axis of members")
        self.shapes, self.hidden, self.kernel_rate = dict(shapes), tuple(hidden), kernel_rate
        self.noise_scale = self.add("noise_scale", (noise_dim,), lambda *_: inverse_softplus(1.0))
        units = [noise_dim, *hidden]
        self.kernels = [self.add(f"kernel{i}", shape, he) for i, shape in enumerate(zip(units, units[1:]))]
        self.biases = [self.add(f"bias{i}", (n,), he) for i, n in enumerate(units[1:])]
        self.generator = None
        if generator == "matrix":
            self.matrix_shape = (20, 20)
            keras.utils.set_random_seed(seed)
            # He's layers keep E[h^2] = 1, so H has unit variance, and U H V has `spread` of the variance of Glorot's
            # weights, which is 2 / (rows + columns).
            self.generator = LayerwiseGenerator(shapes, self.matrix_shape, math.sqrt(2 * spread))
            for layer in self.generator.matrix_layers:
                layer.base.assign(math.sqrt(1 - spread) * layer.base.value)
            outputs = math.prod(self.matrix_shape)
            last_bias = glorot

            def last_kernel(random, shape):
                return random.normal(0, shape[0] ** -0.5, shape)
        else:
            outputs = sum(math.prod(shape) for shape in shapes.values())

            def last_kernel(random, shape):
                # He's layers keep E[h^2] = 1: the sum over h of this has the standard deviation of Glorot's initial
                # weights.
                scale = np.concatenate(
                    [np.full(math.prod(s), math.sqrt(2 / sum(s)) if len(s) == 2 else 0.0) for s in shapes.values()]
                )
                return math.sqrt(spread / shape[0]) * scale * random.standard_normal(shape)

            def last_bias(random, shape):
                return math.sqrt(1 - spread) * np.concatenate([glorot(random, s).ravel() for s in shapes.values()])

        # Adam's steps do not depend on the scale of a gradient: what is divided here and multiplied in `call` moves
        # more slowly.
        self.last_kernel = self.add("last_kernel", (units[-1], outputs), lambda *draw: last_kernel(*draw) / kernel_rate)
        self.last_bias = self.add("last_bias", (outputs,), last_bias)

    def call(self, noise, keep):
        """Theta for eps `noise` (members, draws, noise_dim), weights with a leading axis of members times draws.

        Args:
            keep: masks of the hidden units, (members, draws, units) each, or None: no dropout.
        """
        h = noise * tf.nn.softplus(self.noise_scale.value)[:, None]
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases)):
            h = tf.nn.relu(apply_kernel(h, kernel.value) + bias.value[:, None])
            if keep is not None:
                h *= tf.cast(keep[i], h.dtype) / (1 - DROPOUT)
        flat = self.kernel_rate * apply_kernel(h, self.last_kernel.value) + self.last_bias.value[:, None]
        flat = tf.reshape(flat, (-1, flat.shape[-1]))
        if self.generator is not None:
            return self.generator(tf.reshape(flat, (-1, *self.matrix_shape)))
        parts = tf.split(flat, [math.prod(shape) for shape in self.shapes.values()], -1)
        return {name: tf.reshape(part, (-1, *shape)) for (name, shape), part in zip(self.shapes.items(), parts)}
