"""The main VAE's networks as pure functions of their weights theta (section 4.2).

A body holds no variables: `encode(theta, x)` and `decode(theta, z)` take a dictionary of weights, so a
VAE's own variables, MetaVAE's decoders and HyperVAE's generated weights run through the same lines.
Stride-2 convolutions are matrix products on 3x3 patches: that is what lets every
task have its own kernel without a loop, and XLA runs it as fast as a library convolution on a CPU.
"""

import tensorflow as tf
import tensorflow_probability as tfp

from common.hypervae import likelihoods
from common.hypervae.body import Body
from common.hypervae.matrix_body import SPLINES, MatrixBody
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


def patches_3x3_same(x):
    """Patches of a stride-1 "same" 3x3 convolution: (..., h, w, c) to (..., h, w, 9c)."""
    height, width = x.shape[-3:-1]
    x = tf.pad(x, [[0, 0]] * (len(x.shape) - 3) + [[1, 1], [1, 1], [0, 0]])
    return tf.concat([x[..., i : i + height, j : j + width, :] for i in range(3) for j in range(3)], -1)


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
            **self.block_shapes("encoder/block1", first),
            "encoder/conv2/kernel": (9 * first, second),
            "encoder/conv2/bias": (second,),
            **self.block_shapes("encoder/block2", second),
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
            **self.block_shapes("decoder/block1", second),
            "decoder/conv1/kernel": (second, 9 * first),
            "decoder/conv1/bias": (first,),
            **self.block_shapes("decoder/block2", first),
            "decoder/conv2/kernel": (first, 9 * outputs),
            "decoder/conv2/bias": (outputs,),
        }

    def block_shapes(self, name, channels):
        """Weight shapes of what stands between two convolutions: of nothing here."""
        return {}

    def block(self, theta, name, x):
        """What stands between two convolutions, on x (..., h, w, channels)."""
        return x

    def features(self, theta, x):
        """Images (..., H, W, 1) to the encoder's last hidden layer (..., 100)."""
        height, width, _ = self.image_shape
        pad = [[0, 0]] * (len(x.shape) - 3) + [[0, 4 * self._grid[0] - height], [0, 4 * self._grid[1] - width], [0, 0]]
        x = tf.pad(x / self.white, pad)
        for number in (1, 2):
            x = tf.nn.relu(linear(theta, f"encoder/conv{number}", patches_3x3(x)))
            x = self.block(theta, f"encoder/block{number}", x)
        x = tf.reshape(x, tuple(x.shape[:-3]) + (-1,))
        return tf.nn.relu(linear(theta, "encoder/dense", x))

    def decode(self, theta, z):
        """Codes (..., latent_dim) to the parameters of p(x|z): Bernoulli logits (..., H, W, 1)."""
        x = tf.nn.relu(linear(theta, "decoder/dense", z))
        x = tf.nn.relu(linear(theta, "decoder/unflatten", x))
        x = tf.reshape(x, tuple(x.shape[:-1]) + self._grid + (self.filters[1],))
        x = self.block(theta, "decoder/block1", x)
        x = scatter_3x3(apply_kernel(x, theta["decoder/conv1/kernel"]))
        x = tf.nn.relu(add_bias(x, theta["decoder/conv1/bias"]))
        x = self.block(theta, "decoder/block2", x)
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


class ResnetBody(ConvBody):
    """The same with a residual block (He et al. 2016) behind each of its layers of filters but the last.

    relu(x + conv(relu(conv(x)))), convolutions 3x3 of stride 1: 6.7 times ConvBody's products at 28 x 28.
    """

    def block_shapes(self, name, channels):
        shapes = [(f"{name}/{layer}", channels) for layer in ("conv1", "conv2")]
        kernels = {f"{layer}/kernel": (9 * size, size) for layer, size in shapes}
        return kernels | {f"{layer}/bias": (size,) for layer, size in shapes}

    def block(self, theta, name, x):
        change = tf.nn.relu(linear(theta, f"{name}/conv1", patches_3x3_same(x)))
        return tf.nn.relu(x + linear(theta, f"{name}/conv2", patches_3x3_same(change)))


class GreyResnetBody(GreyBody, ResnetBody):
    """That of grey levels and colours."""


BODIES = {
    "conv": ConvBody,
    "resnet": ResnetBody,
    "resnet_logistic": GreyResnetBody,
    "resnet_logistic_mixture": lambda *args: GreyResnetBody(*args, components=likelihoods.MIXED),
    "conv_logistic": GreyBody,
    "conv_logistic_mixture": lambda *args: GreyBody(*args, components=likelihoods.MIXED),
    "matrix": MatrixBody,
    "matrix_continuous_bernoulli": lambda *args: MatrixBody(*args, likelihood="continuous_bernoulli"),
    "matrix_1000": lambda *args: MatrixBody(*args, atoms=1_000.0),
    "matrix_10000": lambda *args: MatrixBody(*args, atoms=10_000.0),
    "matrix_splines": lambda *args: MatrixBody(*args, splines=SPLINES),
}
