"""What the bodies of the main VAE share (bodies.py says what a body is): the heads, and theta as one dictionary."""

from common.layers.kernels import linear


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
