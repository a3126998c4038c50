"""Layers as functions of weights theta that may differ from task to task.

A kernel is a matrix (inputs, outputs), one such matrix a task (tasks, inputs, outputs), a `FactoredKernel` or a
`ScaledKernel`.
"""

import math
from dataclasses import dataclass

import keras
import tensorflow as tf


@dataclass(frozen=True)
class FactoredKernel:
    """W = base + left core right, one `core` a task, not yet multiplied out (section 3.4)."""

    base: tf.Tensor  # (inputs, outputs)
    left: tf.Tensor  # (inputs, rank)
    core: tf.Tensor  # (tasks, rank, rank)
    right: tf.Tensor  # (rank, outputs)

    @property
    def shape(self):
        """(tasks, inputs, outputs), as `dense` has it."""
        return (self.core.shape[0], *self.base.shape)

    def dense(self):
        """The kernels themselves, (tasks, inputs, outputs)."""
        return self.base + tf.matmul(tf.matmul(self.left, self.core), self.right)


@dataclass(frozen=True)
class ScaledKernel:
    """W = base diag(scale), one `scale` a task: what a hypernetwork generates that makes scales and biases only."""

    base: tf.Tensor | FactoredKernel  # (inputs, outputs), or one a task
    scale: tf.Tensor  # (tasks, outputs)

    @property
    def shape(self):
        """(tasks, inputs, outputs), as `dense` has it."""
        return (self.scale.shape[0], *self.base.shape[-2:])

    def dense(self):
        """The kernels themselves, (tasks, inputs, outputs)."""
        base = self.base.dense() if isinstance(self.base, FactoredKernel) else self.base
        return base * self.scale[:, None]


def dense_theta(theta):
    """The same weights with every factored kernel multiplied out: for weights used many times."""
    return {name: w.dense() if isinstance(w, FactoredKernel | ScaledKernel) else w for name, w in theta.items()}


def single_theta(theta, shapes):
    """theta of a batch of one task without its task axis: plain weights of the given shapes."""
    return {name: w[0] if len(w.shape) > len(shapes[name]) else w for name, w in dense_theta(theta).items()}


def stacked_theta(theta, shapes, tasks):
    """theta of a batch of tasks, every weight multiplied out and with a first axis of tasks, shared ones repeated."""
    return {
        name: w if len(w.shape) > len(shapes[name]) else tf.broadcast_to(w, (tasks, *shapes[name]))
        for name, w in dense_theta(theta).items()
    }


def apply_kernel(x, kernel):
    """x (..., inputs) times a kernel; where kernels differ by task, x's first axis is the tasks."""
    if isinstance(kernel, ScaledKernel):
        x = apply_kernel(x, kernel.base)
        return x * _beside(x, kernel.scale)
    if isinstance(kernel, FactoredKernel):
        tasks, inputs, outputs = kernel.shape
        rows = math.prod(x.shape[:-1])
        if tasks == 1 or tasks * inputs * outputs <= rows * (inputs + outputs):
            return apply_kernel(x, kernel.dense())
        # x (B + U H V) = x B + ((x U) H) V: the kernels of the tasks are never formed.
        low_rank = apply_kernel(apply_kernel(x, kernel.left), kernel.core)
        return apply_kernel(x, kernel.base) + apply_kernel(low_rank, kernel.right)
    if len(kernel.shape) == 3 and kernel.shape[0] == 1:
        kernel = kernel[0]
    if len(kernel.shape) == 2:
        flat = tf.reshape(x, (-1, x.shape[-1]))
    else:
        flat = tf.reshape(x, (kernel.shape[0], -1, x.shape[-1]))
    return tf.reshape(tf.matmul(flat, kernel), tuple(x.shape[:-1]) + (kernel.shape[-1],))


def add_bias(x, bias):
    """Add a bias (outputs,) or one a task (tasks, outputs) to x (..., outputs)."""
    return x + _beside(x, bias)


def _beside(x, vector):
    """A vector (outputs,) or (tasks, outputs), in the shape in which it meets x (tasks, ..., outputs)."""
    if len(vector.shape) == 1:
        return vector
    return tf.reshape(vector, (vector.shape[0],) + (1,) * (len(x.shape) - 2) + (vector.shape[1],))


def linear(theta, name, x):
    return add_bias(apply_kernel(x, theta[f"{name}/kernel"]), theta[f"{name}/bias"])


def initializer(name):
    """Keras' defaults: Glorot uniform kernels, zero biases. Convolutions keep the fans of their 3x3 form."""
    if name.endswith("bias"):
        return "zeros"
    if "conv" not in name:
        return "glorot_uniform"

    def glorot_3x3(shape, dtype=None):
        rows, columns = shape[-2:]
        patches = name.startswith("encoder") or "block" in name  # of inputs; else of outputs
        inputs, outputs = (rows // 9, columns) if patches else (rows, columns // 9)
        limit = math.sqrt(6 / (9 * (inputs + outputs)))
        return keras.random.uniform(shape, -limit, limit, dtype)

    return glorot_3x3
