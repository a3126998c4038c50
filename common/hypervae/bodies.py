"""The main VAE's networks as pure functions of their weights theta (section 4.2).

A body holds no variables: `encode(theta, x)` and `decode(theta, z)` take a dictionary of weights, so a
VAE's own variables, MetaVAE's decoders and HyperVAE's generated weights run through the same lines.
Stride-2 convolutions are matrix products on 3x3 patches: that is what lets every
task have its own kernel without a loop, and XLA runs it as fast as a library convolution on a CPU.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.interpolate import BSpline

from common.hypervae import likelihoods
from common.layers.kernels import add_bias, apply_kernel, linear

tfd = tfp.distributions


def patches_3x3(x):
    """Patches of a stride-2 "same" 3x3 convolution: (..., 2h, 2w, c) to (..., h, w, 9c)."""
    lead, (height, width, channels) = tuple(x.shape[:-3]), x.shape[-3:]
    x = tf.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
    even_even, even_odd = x[:, :, 0, :, 0], x[:, :, 0, :, 1]
    odd_even, odd_odd = x[:, :, 1, :, 0], x[:, :, 1, :, 1]

    def below(t):
        return tf.pad(t[:, 1:], [[0, 0], [0, 1], [0, 0], [0, 0]])

    def right(t):
        return tf.pad(t[:, :, 1:], [[0, 0], [0, 0], [0, 1], [0, 0]])

    taps = [even_even, even_odd, right(even_even), odd_even, odd_odd, right(odd_even)]
    taps += [below(even_even), below(even_odd), below(right(even_even))]
    return tf.reshape(tf.concat(taps, -1), lead + (height // 2, width // 2, 9 * channels))


def scatter_3x3(x):
    """The transpose of `patches_3x3`: (..., h, w, 9c) to (..., 2h, 2w, c), overlaps summed."""
    lead, (height, width, channels) = tuple(x.shape[:-3]), x.shape[-3:]
    channels //= 9
    x = tf.reshape(x, (-1, height, width, 3, 3, channels))
    from_above = tf.pad(x[:, :-1, :, 2], [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]])
    x = tf.stack([x[:, :, :, 0] + from_above, x[:, :, :, 1]], 2)
    x = tf.reshape(x, (-1, 2 * height, width, 3, channels))
    from_left = tf.pad(x[:, :, :-1, 2], [[0, 0], [0, 0], [1, 0], [0, 0]])
    x = tf.stack([x[:, :, :, 0] + from_left, x[:, :, :, 1]], 3)
    return tf.reshape(x, lead + (2 * height, 2 * width, channels))


class Body:
    """What the bodies share: the heads, and theta as one dictionary.

    A body has encoder_shapes(), decoder_shapes(), features(), decode() to the parameters of p(x|z), and likelihood() of
    them.

    Args:
        image_shape: (H, W, channels).
        latent_dim: dimensions of z.
        hidden: units of the dense layers; None means the paper's 100.
    """

    default_hidden = 100
    white = 1.0  # the largest value of a pixel; the least is 0

    def __init__(self, image_shape, latent_dim, hidden=None):
        self.image_shape, self.latent_dim = tuple(image_shape), latent_dim
        self.hidden = hidden or self.default_hidden

    @property
    def binary(self):
        """Whether pixels are 0 or 1."""
        return self.white == 1

    def shapes(self):
        """Shapes of all of theta, encoder first."""
        return {**self.encoder_shapes(), **self.decoder_shapes()}

    def head_shapes(self, latent_dim):
        """The last two layers of an encoder of z, or with another `latent_dim` of the hyper-encoder."""
        latent_dim = self.latent_dim if latent_dim is None else latent_dim
        return {
            "encoder/mean/kernel": (self.hidden, latent_dim),
            "encoder/mean/bias": (latent_dim,),
            "encoder/log_var/kernel": (self.hidden, latent_dim),
            "encoder/log_var/bias": (latent_dim,),
        }

    def heads(self, theta, features):
        """Mean and log variance of the posterior, each (..., latent_dim)."""
        return linear(theta, "encoder/mean", features), linear(theta, "encoder/log_var", features)

    def encode(self, theta, x):
        return self.heads(theta, self.features(theta, x))


class ConvBody(Body):
    """Section 4.2: two 3x3 convolutions (32 and 64 filters, stride 2), dense 100, heads; and its mirror.

    Pixels are 0 or 1.

    Image sides that are no multiple of 4 are padded with zeros inside and cropped again, so the
    public shapes are always the data's.
    """

    filters = (32, 64)
    outputs_a_channel = 1  # parameters of p(x|z) for each channel of a pixel

    def __init__(self, image_shape, latent_dim, hidden=None):
        super().__init__(image_shape, latent_dim, hidden)
        height, width, _ = self.image_shape
        self._grid = (-(-height // 4), -(-width // 4))

    def encoder_shapes(self, latent_dim=None):
        """Weight shapes of the encoder; `latent_dim` other than z's gives the hyper-encoder's."""
        first, second = self.filters
        flat = self._grid[0] * self._grid[1] * second
        return {
            "encoder/conv1/kernel": (9 * self.image_shape[-1], first),
            "encoder/conv1/bias": (first,),
            "encoder/conv2/kernel": (9 * first, second),
            "encoder/conv2/bias": (second,),
            "encoder/dense/kernel": (flat, self.hidden),
            "encoder/dense/bias": (self.hidden,),
            **self.head_shapes(latent_dim),
        }

    def decoder_shapes(self):
        first, second = self.filters
        flat, outputs = self._grid[0] * self._grid[1] * second, self.image_shape[-1] * self.outputs_a_channel
        return {
            "decoder/dense/kernel": (self.latent_dim, self.hidden),
            "decoder/dense/bias": (self.hidden,),
            "decoder/unflatten/kernel": (self.hidden, flat),
            "decoder/unflatten/bias": (flat,),
            "decoder/conv1/kernel": (second, 9 * first),
            "decoder/conv1/bias": (first,),
            "decoder/conv2/kernel": (first, 9 * outputs),
            "decoder/conv2/bias": (outputs,),
        }

    def features(self, theta, x):
        """Images (..., H, W, 1) to the encoder's last hidden layer (..., 100)."""
        height, width, _ = self.image_shape
        pad = [[0, 0]] * (len(x.shape) - 3) + [[0, 4 * self._grid[0] - height], [0, 4 * self._grid[1] - width], [0, 0]]
        x = tf.pad(x / self.white, pad)
        for name in ("encoder/conv1", "encoder/conv2"):
            x = tf.nn.relu(linear(theta, name, patches_3x3(x)))
        x = tf.reshape(x, tuple(x.shape[:-3]) + (-1,))
        return tf.nn.relu(linear(theta, "encoder/dense", x))

    def decode(self, theta, z):
        """Codes (..., latent_dim) to the parameters of p(x|z): Bernoulli logits (..., H, W, 1)."""
        x = tf.nn.relu(linear(theta, "decoder/dense", z))
        x = tf.nn.relu(linear(theta, "decoder/unflatten", x))
        x = tf.reshape(x, tuple(x.shape[:-1]) + self._grid + (self.filters[1],))
        x = scatter_3x3(apply_kernel(x, theta["decoder/conv1/kernel"]))
        x = tf.nn.relu(add_bias(x, theta["decoder/conv1/bias"]))
        x = scatter_3x3(apply_kernel(x, theta["decoder/conv2/kernel"]))
        x = add_bias(x, theta["decoder/conv2/bias"])
        return x[..., : self.image_shape[0], : self.image_shape[1], :]

    def likelihood(self, logits):
        """p(x|z): independent Bernoulli pixels over the last three axes."""
        return tfd.Independent(tfd.Bernoulli(logits=logits), 3)


class GreyBody(ConvBody):
    """The same networks for pixels of 256 levels, 0 to 255, of one channel or three.

    p(x|z) of each is a mixture of `components` discretized logistics (Salimans et al. 2017, without their
    autoregression between the channels).
    """

    white = float(likelihoods.WHITE)

    def __init__(self, image_shape, latent_dim, hidden=None, components=1):
        self.components = components
        self.outputs_a_channel = likelihoods.PARAMETERS * components
        super().__init__(image_shape, latent_dim, hidden)

    def likelihood(self, parameters):
        """p(x|z) over the last three axes, of levels (..., H, W, channels)."""
        shape = (*self.image_shape, self.components * likelihoods.PARAMETERS)
        return likelihoods.Levels(tf.reshape(parameters, tuple(parameters.shape[:-3]) + shape))


ATOMS = 100.0
SPLINES = 16  # of the 32 temperatures of our diagrams


class MatrixBody(Body):
    """Section 4.2 for phase diagrams: matrix layers Y = relu(U X V + B), dense 100, heads; and its mirror.

    Args:
        image_shape: (phases, temperatures, 1).
        latent_dim, hidden: as every Body's.
        likelihood: "multinomial" or "continuous_bernoulli", see `likelihood`.
        atoms: of the multinomial, see `likelihood`.
        splines: number of cubic B-splines over temperature that each phase's logits are a sum of; 0: every temperature
            has logits of its own.
    """

    sizes = ((200, 200), (50, 50))  # the paper gives 200 x 200; a second of that size would be 40 % of all arithmetic

    def __init__(self, image_shape, latent_dim, hidden=None, likelihood="multinomial", atoms=ATOMS, splines=0):
        super().__init__(image_shape, latent_dim, hidden)
        self.likelihood_name, self.atoms = likelihood, atoms
        phases, temperatures, _ = self.image_shape
        self._splines = _cubic_splines(splines, temperatures) if splines else None
        self._decoded_shape = (phases, splines or temperatures)

    def _matrix_shapes(self, name, from_shape, to_shape):
        return {
            f"{name}/left/kernel": (from_shape[0], to_shape[0]),
            f"{name}/right/kernel": (from_shape[1], to_shape[1]),
            f"{name}/bias": (math.prod(to_shape),),
        }

    def encoder_shapes(self, latent_dim=None):
        first, second = self.sizes
        return {
            **self._matrix_shapes("encoder/matrix1", self.image_shape, first),
            **self._matrix_shapes("encoder/matrix2", first, second),
            "encoder/dense/kernel": (math.prod(second), self.hidden),
            "encoder/dense/bias": (self.hidden,),
            **self.head_shapes(latent_dim),
        }

    def decoder_shapes(self):
        first, second = self.sizes
        return {
            "decoder/dense/kernel": (self.latent_dim, self.hidden),
            "decoder/dense/bias": (self.hidden,),
            "decoder/unflatten/kernel": (self.hidden, math.prod(second)),
            "decoder/unflatten/bias": (math.prod(second),),
            **self._matrix_shapes("decoder/matrix1", second, first),
            **self._matrix_shapes("decoder/matrix2", first, self._decoded_shape),
        }

    def features(self, theta, x):
        """Phase matrices (..., phases, temperatures, 1) to the encoder's last hidden layer (..., 100)."""
        x = x[..., 0]
        for name in ("encoder/matrix1", "encoder/matrix2"):
            x = tf.nn.relu(_matrix_layer(theta, name, x))
        x = tf.reshape(x, tuple(x.shape[:-2]) + (-1,))
        return tf.nn.relu(linear(theta, "encoder/dense", x))

    def decode(self, theta, z):
        """Codes (..., latent_dim) to logits (..., phases, temperatures, 1)."""
        x = tf.nn.relu(linear(theta, "decoder/dense", z))
        x = tf.nn.relu(linear(theta, "decoder/unflatten", x))
        x = tf.reshape(x, tuple(x.shape[:-1]) + self.sizes[1])
        x = tf.nn.relu(_matrix_layer(theta, "decoder/matrix1", x))
        x = _matrix_layer(theta, "decoder/matrix2", x)
        return (x if self._splines is None else tf.linalg.matmul(x, self._splines))[..., None]

    def likelihood(self, logits):
        """p(x|z) of proportions over the last three axes.

        "multinomial": of so many atoms drawn at each temperature, the share in each phase; its mean's columns sum to 1
        as a phase matrix's do. The more atoms, the smaller the shares that count. "continuous_bernoulli": every
        proportion on its own in [0, 1] (Loaiza-Ganem & Cunningham 2019).
        """
        if self.likelihood_name == "continuous_bernoulli":
            return tfd.Independent(tfd.ContinuousBernoulli(logits=logits), 3)
        return AtomCounts(logits, self.atoms)


class AtomCounts:
    """Multinomial likelihood of proportions (..., phases, temperatures, 1): log_prob in nats a matrix, and the mean."""

    def __init__(self, logits, atoms=ATOMS):
        self.atoms = atoms
        self.logits = tf.linalg.matrix_transpose(logits[..., 0])  # (..., temperatures, phases)

    def log_prob(self, x):
        counts = self.atoms * tf.linalg.matrix_transpose(x[..., 0])
        return tf.reduce_sum(tfd.Multinomial(self.atoms, logits=self.logits).log_prob(counts), -1)

    def mean(self):
        return tf.linalg.matrix_transpose(tf.nn.softmax(self.logits))[..., None]


BODIES = {
    "conv": ConvBody,
    "conv_logistic": GreyBody,
    "conv_logistic_mixture": lambda *args: GreyBody(*args, components=likelihoods.MIXED),
    "matrix": MatrixBody,
    "matrix_continuous_bernoulli": lambda *args: MatrixBody(*args, likelihood="continuous_bernoulli"),
    "matrix_1000": lambda *args: MatrixBody(*args, atoms=1_000.0),
    "matrix_10000": lambda *args: MatrixBody(*args, atoms=10_000.0),
    "matrix_splines": lambda *args: MatrixBody(*args, splines=SPLINES),
}


def _cubic_splines(number, points):
    """(number, points) float32: B-splines of degree 3 with even knots, at even points; they sum to 1 at each."""
    knots = np.pad(np.linspace(0, 1, number - 2), 3, mode="edge")
    return BSpline.design_matrix(np.linspace(0, 1, points), knots, 3).toarray().T.astype(np.float32)


def _matrix_layer(theta, name, x):
    """U X V + B of matrices x (..., rows, columns)."""
    left, right = theta[f"{name}/left/kernel"], theta[f"{name}/right/kernel"]

    def from_left(x):
        return tf.linalg.matrix_transpose(apply_kernel(tf.linalg.matrix_transpose(x), left))

    inputs, outputs = right.shape[-2:]
    # The product from the left transposes: it takes the matrix of fewer columns.
    x = apply_kernel(from_left(x), right) if outputs > inputs else from_left(apply_kernel(x, right))
    flat = add_bias(tf.reshape(x, tuple(x.shape[:-2]) + (-1,)), theta[f"{name}/bias"])
    return tf.reshape(flat, x.shape)
