"""The networks in exact arithmetic: the same bits on every machine, at any number of threads, in batches of any size.

Weights and values are multiples of powers of two, held as float64. Every product and every sum in a layer is then a
whole multiple of 2**-(WEIGHT_BITS + VALUE_BITS) below 2**53 of them, and so exact: in whatever order a library adds, it
gets the same number. Only then is a value rounded, by an operation that IEEE 754 defines. exp and log come from tables
made by `decimal`, which rounds correctly. A sender and a receiver can thus both compute q(z|x) or theta(u).
"""

import functools
import hashlib
import math
from decimal import Decimal, localcontext

import numpy as np

from common.errors import InputError

WEIGHT_BITS, VALUE_BITS = 16, 12
LARGEST_VALUE = 2.0**10  # values of a layer are clipped to it
# Inputs' weights of one output sum to less, in size. A pixel of a transposed convolution sums up four such.
LARGEST_SUM = 2.0**53 / 2**WEIGHT_BITS / 2**VALUE_BITS / LARGEST_VALUE / 8
CHUNK = 32  # images in a layer at a time: what fits into a cache
# Rounded log variances and logits are held as whole numbers of these steps.
LOG_VAR_STEPS, LEAST_LOG_VAR, LARGEST_LOG_VAR = 64, -10, 0
LOGIT_STEPS, LARGEST_LOGIT = 256, 16
TABLE_BITS = 20  # of entries that are summed up
LARGEST_MEAN = 8.0  # of q(z|x) and q(u|D)


def on_grid(x, bits=VALUE_BITS):
    """The nearest multiples of 2**-bits."""
    return np.rint(np.asarray(x, np.float64) * 2.0**bits) * 2.0**-bits


def _table(function, first, last, steps, bits=None):
    """function(i / steps) for whole i from first * steps to last * steps, correctly rounded."""
    with localcontext() as context:
        context.prec = 40
        values = [float(function(Decimal(i) / steps)) for i in range(first * steps, last * steps + 1)]
    return np.array(values) if bits is None else on_grid(values, bits)


@functools.cache
def variances():
    """Variance and standard deviation at each step of the log variance."""
    span = (LEAST_LOG_VAR, LARGEST_LOG_VAR, LOG_VAR_STEPS)
    return _table(Decimal.exp, *span, TABLE_BITS), _table(lambda v: (v / 2).exp(), *span)


@functools.cache
def pixel_costs():
    """-log p(x|logit) in nats at each step of the logit, times -1 where x = 1: softplus."""
    return _table(lambda v: (1 + v.exp()).ln(), -LARGEST_LOGIT, LARGEST_LOGIT, LOGIT_STEPS, TABLE_BITS)


@functools.cache
def probabilities():
    """p(x = 1) at each step of the logit."""
    return _table(lambda v: 1 / (1 + (-v).exp()), -LARGEST_LOGIT, LARGEST_LOGIT, LOGIT_STEPS)


WEIGHT_STEPS, LEAST_WEIGHT = 16, -20  # of log weights, the largest of which is 0


def weights(logs):
    """exp of logs (..., K), that of the last axis' largest being 1; sums of them are exact."""
    steps = np.rint((logs - logs.max(-1, keepdims=True)) * WEIGHT_STEPS).astype(int)
    return _weights()[np.maximum(steps - LEAST_WEIGHT * WEIGHT_STEPS, 0)]


@functools.cache
def _weights():
    return _table(Decimal.exp, LEAST_WEIGHT, 0, WEIGHT_STEPS, 30)


def log(numbers):
    """Natural logarithms of positive whole numbers (K,), multiples of 2**-TABLE_BITS."""
    return on_grid([float(Decimal(int(number)).ln()) for number in numbers], TABLE_BITS)


def _steps(x, steps, least, largest):
    """Whole steps of values, counted from the least."""
    return (np.clip(np.rint(x * steps), least * steps, largest * steps) - least * steps).astype(np.int64)


def _settled(x):
    """A layer's sums after ReLU, rounded and clipped; in place."""
    np.maximum(x, 0, out=x)
    x *= 2.0**VALUE_BITS
    np.rint(x, out=x)
    x *= 2.0**-VALUE_BITS
    return np.minimum(x, LARGEST_VALUE, out=x)


def _linear(theta, name, x):
    return x @ theta[f"{name}/kernel"] + theta[f"{name}/bias"]


def _patches_3x3(x):
    """As bodies.patches_3x3: (N, 2h, 2w, c) to (N, h, w, 9c)."""
    number, height, width, channels = x.shape
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    out = np.empty((number, height // 2, width // 2, 3, 3, channels))
    for row in range(3):
        for column in range(3):
            out[:, :, :, row, column] = padded[:, row : row + height : 2, column : column + width : 2]
    return out.reshape(number, height // 2, width // 2, 9 * channels)


def _scatter_3x3(x):
    """As bodies.scatter_3x3: (N, h, w, 9c) to (N, 2h, 2w, c)."""
    number, height, width, channels = x.shape
    x = x.reshape(number, height, width, 3, 3, channels // 9)
    out = np.zeros((number, 2 * height + 1, 2 * width + 1, channels // 9))
    for row in range(3):
        for column in range(3):
            out[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += x[:, :, :, row, column]
    return out[:, :-1, :-1]


def _in_chunks(function, x):
    """function of images or codes, CHUNK at a time; its arrays joined."""
    parts = [function(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)]
    return tuple(map(np.concatenate, zip(*parts))) if isinstance(parts[0], tuple) else np.concatenate(parts)


def checked(weights):
    """Weights on their grid.

    Raises:
        InputError: they are so large that sums of products would not be exact.
    """
    weights = {name: on_grid(value, WEIGHT_BITS) for name, value in weights.items()}
    largest = max(np.abs(value).sum(0).max() for value in weights.values() if value.ndim > 1)
    if not largest < LARGEST_SUM:
        raise InputError(f"a layer's weights sum up to {largest:g}: train longer, or with a lower --learning-rate")
    return weights


class ExactVAE:
    """A plain VAE (bodies.ConvBody) in exact arithmetic; it is given its weights theta, and holds none.

    Args:
        image_shape: (H, W, 1).
    """

    def __init__(self, image_shape):
        self.image_shape = tuple(image_shape)
        height, width, _ = self.image_shape
        self._grid = (-(-height // 4), -(-width // 4))

    def features(self, theta, x):
        """Images (N, H, W, 1) in {0, 1} to the encoder's last hidden layer (N, hidden)."""
        height, width, _ = self.image_shape
        pad = ((0, 0), (0, 4 * self._grid[0] - height), (0, 4 * self._grid[1] - width), (0, 0))

        def of_chunk(x):
            x = np.pad(np.asarray(x, np.float64), pad)
            for name in ("encoder/conv1", "encoder/conv2"):
                x = _settled(_linear(theta, name, _patches_3x3(x)))
            return _settled(_linear(theta, "encoder/dense", x.reshape(len(x), -1)))

        return _in_chunks(of_chunk, x)

    def heads(self, theta, features):
        """Mean (..., d) of the posterior, and its log variance in steps from the least."""
        mean = np.clip(on_grid(_linear(theta, "encoder/mean", features)), -LARGEST_MEAN, LARGEST_MEAN)
        log_var = _linear(theta, "encoder/log_var", features)
        return mean, _steps(log_var, LOG_VAR_STEPS, LEAST_LOG_VAR, LARGEST_LOG_VAR)

    def encode(self, theta, x):
        return self.heads(theta, self.features(theta, x))

    def decode(self, theta, z):
        """Codes (N, d), multiples of 2**-VALUE_BITS, to logits (N, H * W) in steps from the least."""
        height, width, _ = self.image_shape

        def of_chunk(z):
            x = _settled(_linear(theta, "decoder/dense", z))
            x = _settled(_linear(theta, "decoder/unflatten", x))
            x = x.reshape(len(x), *self._grid, -1)
            x = _settled(_scatter_3x3(x @ theta["decoder/conv1/kernel"]) + theta["decoder/conv1/bias"])
            x = _scatter_3x3(x @ theta["decoder/conv2/kernel"])[:, :height, :width] + theta["decoder/conv2/bias"]
            return _steps(x.reshape(len(x), -1), LOGIT_STEPS, -LARGEST_LOGIT, LARGEST_LOGIT)

        return _in_chunks(of_chunk, z)

    def lengths(self, theta, x, posterior):
        """Nats of each image (N,) at the mean of q(z|x), a multiple of 2**-TABLE_BITS: what -ELBO is nearly."""
        mean, log_var = posterior
        steps = self.decode(theta, mean)
        steps = np.where(x.reshape(len(x), -1) == 1, 2 * LARGEST_LOGIT * LOGIT_STEPS - steps, steps)
        kl = mean**2 + variances()[0][log_var] - 1 - (log_var / LOG_VAR_STEPS + LEAST_LOG_VAR)
        return pixel_costs()[steps].sum(1) + on_grid(kl.sum(1) / 2, TABLE_BITS)


class ExactModel:
    """A trained VAE or HyperVAE in exact arithmetic.

    Args:
        weights: {name: array}, as `exact` makes them; image_shape: (H, W, 1).

    Attributes:
        digest: sha256 of the weights on their grid, 32 bytes: what a model is.
        theta: a plain VAE's weights; of a HyperVAE None, its weights come from u by `theta_of`.
    """

    def __init__(self, weights, image_shape):
        self.weights, self.vae = checked(weights), ExactVAE(image_shape)
        sums = hashlib.sha256(repr(tuple(image_shape)).encode())
        for name, value in sorted(self.weights.items()):
            sums.update(f"{name}{value.shape}".encode())
            sums.update((value * 2.0**WEIGHT_BITS).astype("<i8").tobytes())
        self.digest = sums.digest()
        self.image_shape = self.vae.image_shape
        self._generated = sorted({name.rpartition("/")[0] for name in self.weights if name.endswith("/left")})
        self.theta = None if self._generated else self._under("theta/")
        self.hyper_latent_dim = len(self.weights["hyper_decoder/dense1/kernel"]) if self._generated else 0

    def _under(self, prefix):
        return {name.removeprefix(prefix): own for name, own in self.weights.items() if name.startswith(prefix)}

    def features(self, x):
        """Of each image (N, H, W, 1), the hyper-encoder's last hidden layer (N, hidden)."""
        return self.vae.features(self._under("hyper_encoder/"), x)

    def infer_u(self, features):
        """q(u|D) of a set with these features (N, hidden): mean (d,) and log variance in steps (d,)."""
        # Sums of values on the grid are exact, and so is each of the two roundings of their mean.
        return self.vae.heads(self._under("hyper_encoder/"), on_grid(features.sum(0) / len(features)))

    def single_u(self, features):
        """Mean of q(u|{x}) (N, d) of each image alone."""
        return self.vae.heads(self._under("hyper_encoder/"), features)[0]

    def theta_of(self, u):
        """The weights of the VAE of a code u (d,), a multiple of 2**-VALUE_BITS.

        Raises:
            InputError: as `checked`.
        """
        layers = self._under("hyper_decoder/")
        h = _settled(_linear(layers, "dense2", _settled(_linear(layers, "dense1", u[None]))))[0]
        h = h.reshape(math.isqrt(len(h)), -1)
        theta = self._under("theta/")
        for name in self._generated:
            own = self._under(f"{name}/")
            change = on_grid(own["left"] @ h) @ own["right"]
            theta[name] = (own["base"] + change).reshape(own["base"].shape if name.endswith("kernel") else -1)
        return checked(theta)


def exact(model):
    """The ExactModel of a trained Keras VAE or HyperVAE.

    Raises:
        InputError: networks that this module does not know.
    """
    settings = {"body": (model.body_name, "conv")}
    if model.has_u:
        settings |= {"generator": (model.generator_name, "layerwise"), "summary": (model.summary, "mean")}
        settings |= {"generate": (model.generate_name not in ("all_scaled", "scale_bias"), True)}
    unknown = [name for name, (own, known) in settings.items() if own != known]
    if unknown:
        raise InputError(f"there is no exact arithmetic for this --{unknown[0]}: leave it at its default (recipe ours)")

    def arrays(variables, prefix):
        return {f"{prefix}/{name}": np.asarray(variable, np.float64) for name, variable in variables.items()}

    if not model.has_u:
        return ExactModel(arrays(model.theta, "theta"), model.body.image_shape)
    weights = arrays(model.theta, "hyper_encoder")
    for name, layer in zip(("dense1", "dense2"), model.hyper_decoder.layers):
        weights |= arrays({f"{name}/kernel": layer.kernel, f"{name}/bias": layer.bias}, "hyper_decoder")
    generator = model.generator
    weights |= arrays(generator.shared, "theta")
    generated = [name for name in generator.names if name not in generator.shared]
    for name, layer in zip(generated, generator.matrix_layers):
        parts = {"left": layer.left, "right": layer.right, "base": layer.base}
        weights |= arrays(parts, name)
    return ExactModel(weights, model.body.image_shape)
