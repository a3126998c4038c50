"""Likelihoods of pixels of 256 levels: mixtures of discretized logistics (Salimans et al. 2017, PixelCNN++)."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

WHITE = 255
PARAMETERS = 3  # of a component: weight, location, scale (the weight of a single one has no effect)
MIXED = 5  # components of "logistic_mixture"
LEAST_LOG_SCALE = -7.0  # in half ranges of the levels: a tenth of a level, as in PixelCNN++
LARGEST_LOG_SCALE = 3.0  # as good as uniform; without it one step too far ends in numbers that are none
START_LOG_SCALE = -1.0  # where the network's output is 0


class Pixels:
    """Mixtures of discretized logistics, one for each pixel and channel.

    A component is a logistic distribution F, cut at half levels: P(x) = F(x + 1/2) - F(x - 1/2), and the tails belong
    to 0 and 255, so that the 256 probabilities sum to one.

    Args:
        parameters: (..., 3 * components): weights, locations, log scales, as offsets to where training begins.
    """

    def __init__(self, parameters):
        weights, locations, scales = tf.split(parameters, PARAMETERS, -1)
        # Components begin at levels from black to white.
        start = tf.linspace(-1.0, 1.0, weights.shape[-1]) if weights.shape[-1] > 1 else tf.zeros(1)
        half = WHITE / 2
        self.location = half * (1 + locations + start)
        self.scale = half * tf.exp(tf.clip_by_value(scales + START_LOG_SCALE, LEAST_LOG_SCALE, LARGEST_LOG_SCALE))
        self.weights = weights

    def log_prob(self, x):
        """Nats of levels x (...)."""
        x = x[..., None]
        upper, lower = (x + 0.5 - self.location) / self.scale, (x - 0.5 - self.location) / self.scale
        # F(a) - F(b) = F(a) F(-b) (1 - exp(b - a)): no difference of nearly equal numbers, and finite gradients, which
        # tfp's QuantizedDistribution has not far from the location.
        below = tf.where(x < WHITE, tf.math.log_sigmoid(upper), 0.0)
        above = tf.where(x > 0, tf.math.log_sigmoid(-lower), 0.0)
        width = tf.where((x > 0) & (x < WHITE), tf.math.log(-tf.math.expm1(-1 / self.scale)), 0.0)
        return tf.reduce_logsumexp(tf.nn.log_softmax(self.weights) + below + above + width, -1)

    def mean(self):
        """(...): the sum over levels of P(x > level)."""
        shares = tf.exp(tf.nn.log_softmax(self.weights))  # oneDNN's tf.nn.softmax takes five axes at most

        def beyond(total, level):
            return total + tf.reduce_sum(shares * tf.sigmoid((self.location - level - 0.5) / self.scale), -1)

        return tf.foldl(beyond, tf.range(WHITE, dtype=tf.float32), tf.zeros(shares.shape[:-1]))

    def sample(self, seed):
        """Levels drawn, (...); seed: a stateless one, (2,)."""
        logistics = tfd.Logistic(self.location, self.scale)
        drawn = tfd.MixtureSameFamily(tfd.Categorical(logits=self.weights), logistics).sample(seed=seed)
        return tf.clip_by_value(tf.round(drawn), 0.0, float(WHITE))


class Levels:
    """p(x) of images whose pixels are levels 0 to 255, all independent.

    Args:
        parameters: (..., H, W, channels, 3 * components), see Pixels.

    Attributes:
        distribution: of the single pixels.
    """

    def __init__(self, parameters):
        self.distribution = Pixels(parameters)

    def log_prob(self, x):
        """Nats of images x (..., H, W, channels), levels 0 to 255."""
        return tf.reduce_sum(self.distribution.log_prob(x), (-3, -2, -1))

    def mean(self):
        """Mean level of each pixel, (..., H, W, channels)."""
        return self.distribution.mean()

    def sample(self, seed):
        """Levels drawn for each pixel, (..., H, W, channels); seed: a stateless one, (2,)."""
        return self.distribution.sample(seed)
