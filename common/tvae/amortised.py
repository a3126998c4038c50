"""VAEs with an encoder on the patches of one image: what direct optimization of binary latents is compared with.

The decoder is that of `BinaryVAE`, and sigma^2 and pi have the same closed forms after each epoch. In place of sets of
states there is an encoder, and latents that gradients pass through: concrete ones (Maddison et al. 2017; Jang et al.
2017), a relaxation of binary latents, or Gaussian ones.
"""

import math

import keras
import numpy as np
import tensorflow as tf

LATENTS = ("concrete", "gaussian")
TEMPERATURE = 0.5  # of concrete latents
SAMPLES = 16  # of the posterior, whose mean the estimate is


class AmortisedVAE(keras.Model):
    """p(z) Bernoulli(pi) or N(0, I), p(x|z) = N(x; mu(z), sigma^2 I), and q(z|x) by an encoder.

    Args:
        data: (N, D) patches; their mean and spread scale what the encoder gets and the decoder gives.
        latents: one of LATENTS.
        latent_dim: H.
        hidden: units of the decoder's hidden layers.
        encoder_hidden: of the encoder's.
        seed: of weights and samples.
    """

    def __init__(self, data, latents, latent_dim, hidden, encoder_hidden, seed=0):
        super().__init__()
        if latents not in LATENTS:
            raise ValueError(f"latents is one of {LATENTS}")
        self.binary, self.mean, self.scale = latents == "concrete", float(data.mean()), float(data.std())
        num_data, data_dim = data.shape

        def network(sizes, first):
            kernels = [keras.initializers.GlorotNormal(seed + first + i) for i in range(len(sizes) - 1)]
            layers = [keras.layers.Dense(size, "relu", kernel_initializer=k) for size, k in zip(sizes[1:-1], kernels)]
            last = keras.layers.Dense(sizes[-1], kernel_initializer=kernels[-1])
            return keras.Sequential([keras.Input((sizes[0],)), *layers, last])

        outputs = latent_dim * (1 if self.binary else 2)
        self.encoder = network([data_dim, *encoder_hidden, outputs], 1000)
        self.decoder = network([latent_dim, *hidden, data_dim], 0)
        self.variance = self.add_weight(shape=(), initializer="ones", trainable=False, name="variance")
        start = keras.initializers.Constant(1 / latent_dim)
        self.pi = self.add_weight(shape=(latent_dim,), initializer=start, trainable=False, name="pi")
        self.ones = self.add_weight(shape=(latent_dim,), initializer="zeros", trainable=False, name="ones")
        self.squares = self.add_weight(shape=(), initializer="zeros", trainable=False, name="squares")
        self.draws, self.size = keras.random.SeedGenerator(seed), num_data * data_dim
        self.bound = keras.metrics.Mean(name="free_energy")

    @property
    def metrics(self):
        return [self.bound]

    def posterior(self, x, hard=False):
        """A sample of z (B, H), KL(q(z|x) || p(z)) in nats (B,), and E_q[z] (B, H), of patches x (B, D).

        Args:
            hard: binary samples in place of relaxed ones.
        """
        code = self.encoder((x - self.mean) / self.scale)
        if not self.binary:
            mean, log_variance = tf.split(code, 2, -1)
            noise = keras.random.normal(tf.shape(mean), seed=self.draws)
            kl = 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1 - log_variance, -1)
            return mean + tf.exp(0.5 * log_variance) * noise, kl, mean
        uniform = keras.random.uniform(tf.shape(code), 1e-6, 1 - 1e-6, seed=self.draws)
        logistic = tf.math.log(uniform) - tf.math.log1p(-uniform)
        sample = tf.cast(code + logistic > 0, code.dtype) if hard else tf.sigmoid((code + logistic) / TEMPERATURE)
        on, log_on, log_off = tf.sigmoid(code), -tf.nn.softplus(-code), -tf.nn.softplus(code)
        kl = on * (log_on - tf.math.log(self.pi)) + (1 - on) * (log_off - tf.math.log1p(-self.pi))
        return sample, tf.reduce_sum(kl, -1), on

    def log_likelihood(self, x, z):
        """log p(x|z) in nats (B,), and the squared errors (B, D) in units of the scaled patches."""
        squares = tf.square((x - self.mean) / self.scale - self.decoder(z))
        log_variance = tf.math.log(2 * math.pi * self.variance) + 2 * math.log(self.scale)
        return -0.5 * tf.reduce_sum(squares / self.variance + log_variance, -1), squares

    @tf.autograph.experimental.do_not_convert  # traced in half the time; nothing here branches on tensors
    def train_step(self, x):
        with tf.GradientTape() as tape:
            z, kl, expected = self.posterior(x)
            likelihood, squares = self.log_likelihood(x, z)
            bound = likelihood - kl
            loss = -tf.reduce_mean(bound)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.ones.assign_add(tf.reduce_sum(expected, 0))
        self.squares.assign_add(tf.reduce_sum(squares))
        self.bound.update_state(bound)
        return {"free_energy": self.bound.result()}

    def update_prior_and_variance(self):
        """Closed forms after an epoch, as those of `BinaryVAE`."""
        number = self.size / self.decoder.output_shape[-1]
        self.pi.assign(tf.clip_by_value(self.ones / number, 1e-5, 1 - 1e-5))
        self.variance.assign(tf.maximum(self.squares / self.size, 1e-6))
        self.ones.assign(tf.zeros_like(self.ones))
        self.squares.assign(0.0)

    def reconstruct(self, data):
        """E_q[mu(z)] (N, D) of patches, by samples of the posterior; binary latents are binary here."""
        total = sum(self.decoder(self.posterior(tf.constant(data), hard=True)[0]).numpy() for _ in range(SAMPLES))
        return total / SAMPLES * self.scale + self.mean

    @property
    def sigma(self):
        """The learned standard deviation of the noise."""
        return float(self.variance.numpy()) ** 0.5 * self.scale


def fit(model, data, learning_rate, batch_size, after_epoch, seed=0):
    """Train until after_epoch(epochs done, logs) gives True."""
    model.compile(keras.optimizers.Adam(learning_rate), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices(data).shuffle(len(data), seed=seed).batch(batch_size)

    class After(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            model.update_prior_and_variance()
            model.stop_training = bool(after_epoch(epoch + 1, logs))

    model.fit(batches, epochs=np.iinfo(np.int32).max, callbacks=[After()], verbose=0)
