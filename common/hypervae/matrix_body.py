"""The main VAE's networks for phase diagrams (section 4.2): matrix layers, and the likelihood of proportions."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.interpolate import BSpline

from common.hypervae.body import Body
from common.layers.kernels import add_bias, apply_kernel, linear

tfd = tfp.distributions

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
