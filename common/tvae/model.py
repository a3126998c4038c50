"""TVAE: a VAE with binary latents and no encoder, trained by direct evolutionary optimization (Drefs et al. 2022).

Each data point keeps a set K_n of distinct binary states. Its posterior is the exact one, restricted to K_n and
renormalised, so the bound needs no sampling and no relaxation:

    F = sum_n logsumexp_{z in K_n} log p(x_n, z)  <=  log-likelihood.

An evolutionary step replaces members of K_n by better ones (F never falls), a gradient step trains the decoder, and
pi and sigma^2 have closed forms.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from common.tvae.evolution import Evolution, pack, unpack

EVOLUTION = Evolution()
LEAST_VARIANCE = 1e-6  # a constant image would have none
POINTS_AT_ONCE = 256  # of a bound that is not a training step's: bounds the memory


class Triangular(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from `least` to `most` in `half` steps, falls back in as many, and repeats."""

    def __init__(self, least, most, half):
        self.least, self.most, self.half = least, most, half

    def __call__(self, step):
        phase = tf.cast(step, tf.float32) % (2.0 * self.half) / self.half
        return self.least + (self.most - self.least) * (1 - tf.abs(phase - 1))

    def get_config(self):
        return {"least": self.least, "most": self.most, "half": self.half}


class BinaryVAE(keras.Model):
    """p(z) = prod Bernoulli(z_h; pi_h), p(x|z) = N(x; mu(z), sigma^2 I), mu a small fully connected network.

    Args:
        num_data: data points N; each keeps its own set of states.
        data_dim: D.
        latent_dim: H, binary units.
        hidden: units of the decoder's hidden layers.
        num_states: S, members of each K_n; at most 2^H.
        evolution: how the E-step makes new states.
        variance: sigma^2 to begin with.
        leaky: LeakyReLU of slope 0.01 in place of ReLU.
        gradient_states: how many of a set's best states the M-step and the estimate take; None: all. The E-step and the
            bound F have all of them. Where nearly all of q lies in few states this is nearly the same, and cheaper.
        seed: of the initial weights, the initial states and the mutations; step k of a run always draws the same.
    """

    def __init__(
        self,
        num_data,
        data_dim,
        latent_dim,
        hidden=(64,),
        num_states=64,
        evolution=EVOLUTION,
        variance=0.01,
        leaky=False,
        gradient_states=None,
        seed=0,
        dtype="float32",
    ):
        super().__init__(dtype=dtype)
        evolution.check(num_states, latent_dim)
        self.num_data, self.data_dim, self.latent_dim, self.num_states = num_data, data_dim, latent_dim, num_states
        self.evolution, self.leaky, self.seed, self.gradient_states = evolution, leaky, seed, gradient_states
        initial = keras.initializers.GlorotNormal(seed=seed)
        sizes = [latent_dim, *hidden, data_dim]
        self.layers_ = [
            (
                self.add_weight(shape=(a, b), initializer=initial.clone(), name=f"kernel{i}"),
                self.add_weight(shape=(b,), initializer="zeros", name=f"bias{i}"),
            )
            for i, (a, b) in enumerate(zip(sizes, sizes[1:]))
        ]
        fixed = dict(trainable=False)
        self.pi = self.add_weight(
            shape=(latent_dim,), initializer=keras.initializers.Constant(1 / latent_dim), name="pi", **fixed
        )
        self.variance = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(variance), name="variance", **fixed
        )
        states = self._initial_states()
        self.words = self.add_weight(
            shape=(num_data, *states.shape), dtype="int32", name="words", **fixed,
            initializer=lambda shape, dtype=None: tf.broadcast_to(states, shape),
        )  # fmt: skip
        self.estimate = self.add_weight(shape=(num_data, data_dim), initializer="zeros", name="estimate", **fixed)
        self.averaged = self.add_weight(shape=(num_data, data_dim), initializer="zeros", name="averaged", **fixed)
        self.num_averaged = self.add_weight(shape=(), initializer="zeros", name="num_averaged", **fixed)
        self.ones = self.add_weight(shape=(latent_dim,), initializer="zeros", name="ones", **fixed)
        self.squares = self.add_weight(shape=(), initializer="zeros", name="squares", **fixed)
        self.observed = self.add_weight(shape=(), initializer="zeros", name="observed", **fixed)
        self.bound = keras.metrics.Mean(name="free_energy")
        self.built = True

    def _initial_states(self):
        """One set of distinct random states, each bit on with probability 1 / H, for all data points."""
        rng, found = np.random.default_rng(self.seed), {}
        rate = 1 / self.latent_dim
        while len(found) < self.num_states:
            for state in rng.random((self.num_states, self.latent_dim)) < rate:
                found.setdefault(state.tobytes(), state)
            rate = min(0.5, rate * 1.1)  # few sparse states exist where H is small
        return pack(tf.constant(np.array(list(found.values()))[: self.num_states]))

    @property
    def metrics(self):
        return [self.bound]

    def decode(self, states):
        """mu(z) (..., D) of states (..., H)."""
        x = states
        for i, (kernel, bias) in enumerate(self.layers_):
            x = tf.tensordot(x, kernel.value, 1) + bias.value
            if i < len(self.layers_) - 1:
                x = tf.nn.leaky_relu(x, 0.01) if self.leaky else tf.nn.relu(x)
        return x

    def single_units(self):
        """mu of each unit alone, (H, D), as NumPy: of the prior's most likely state with that one unit flipped.

        Where all rates are below 1/2 that state is 0. A unit that learned its bit the other way round, at a rate above
        1/2, is the same model and gives the same here.
        """
        alone = tf.eye(self.latent_dim, dtype=tf.bool) ^ (self.pi.value > 0.5)
        return self.decode(tf.cast(alone, self.dtype)).numpy()

    def log_joint(self, x, states, mu=None, mask=None):
        """log p(x, z) in nats, (..., S), of data (..., D) and states (..., S, H).

        Args:
            mu: decode(states), where it is known already.
            mask: which entries of x are observed, (..., D); the others are left out of the likelihood.
        """
        mu = self.decode(states) if mu is None else mu
        squares = tf.square(x[..., None, :] - mu)
        observed = tf.cast(self.data_dim, x.dtype)
        if mask is not None:
            squares *= mask[..., None, :]
            observed = tf.reduce_sum(mask, -1)[..., None]
        likelihood = -0.5 * (
            observed * tf.math.log(2 * math.pi * self.variance) + tf.reduce_sum(squares, -1) / self.variance
        )
        odds = tf.math.log(self.pi) - tf.math.log1p(-self.pi)
        return likelihood + tf.linalg.matvec(states, odds) + tf.reduce_sum(tf.math.log1p(-self.pi))

    def evolve(self, x, states, seed, mask=None):
        """The E-step for data (B, D), states (B, S, H): the S best of old and new ones, and their log-joint (B, S)."""
        return self.evolution.improve(states, lambda s: self.log_joint(x, s, mask=mask), tf.reduce_sum(self.pi), seed)

    @tf.autograph.experimental.do_not_convert  # traced in half the time; nothing here branches on tensors
    def train_step(self, batch):
        """E-step, then one gradient step on -F / B through the logsumexp, for data points (index, x[, mask])."""
        index, x, *mask = batch
        # The sets of all data points are updated in place here; inside a compiled program they would be copied.
        words = tf.gather(self.words.value, index)
        words, estimate, bound = self._improve(x, words, mask[0] if mask else None)
        self.words._value.scatter_nd_update(index[:, None], words)
        self.estimate._value.scatter_nd_update(index[:, None], estimate)
        self.bound.update_state(bound)
        return {"free_energy": self.bound.result()}

    @tf.function(jit_compile=True, autograph=False)
    def _improve(self, x, words, mask):
        seed = tf.stack([self.seed, tf.cast(self.optimizer.iterations.value, tf.int32)])
        kept, kept_values = self.evolve(x, unpack(words, self.latent_dim, x.dtype), seed, mask)
        with tf.GradientTape() as tape:
            states = kept[:, : self.gradient_states]
            mu = self.decode(states)
            values = self.log_joint(x, states, mu, mask)
            bound = tf.reduce_logsumexp(values, -1)
            loss = -tf.reduce_mean(bound)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        q = tf.nn.softmax(values)
        estimate = tf.einsum("bs,bsd->bd", q, mu)
        squares, observed = tf.square(x[:, None] - mu), tf.cast(tf.size(x), x.dtype)
        if mask is not None:  # a missing entry tells nothing of the noise
            squares, observed = squares * mask[:, None], tf.reduce_sum(mask)
        self.ones.assign_add(tf.einsum("bs,bsh->h", q, states))
        self.squares.assign_add(tf.einsum("bs,bsd->", q, squares))
        self.observed.assign_add(observed)
        self.optimizer.apply(gradients, variables)
        if self.gradient_states is not None:  # the bound is that of all states
            bound = tf.reduce_logsumexp(kept_values, -1)
        return pack(kept), estimate, bound

    def update_prior_and_variance(self):
        """Closed forms after an epoch: pi_h = mean E_q[z_h], sigma^2 = mean E_q[(x - mu)^2] of observed entries."""
        self.pi.assign(tf.clip_by_value(self.ones / self.num_data, 1e-5, 1 - 1e-5))
        self.variance.assign(tf.maximum(self.squares / self.observed, LEAST_VARIANCE))
        for total in (self.ones, self.squares, self.observed):
            total.assign(tf.zeros_like(total))

    def fit(
        self, x, epochs, mask=None, batch_size=32, learning_rate=(1e-4, 0.01), half_cycle=10, initial_epoch=0, **options
    ):
        """Train on x (N, D) floats; `mask` (N, D) is 1 where x is observed. Returns Keras' History.

        Args:
            learning_rate: least and most of the triangular schedule; half_cycle: epochs of its rise. Estimates are best
                read at the end of a cycle.
            initial_epoch: epochs done before, of a model whose weights were loaded.
            options: of keras.Model.fit (callbacks, verbose).
        """
        if x.shape != (self.num_data, self.data_dim):
            raise ValueError(f"x has shape {x.shape}, the model was made for {(self.num_data, self.data_dim)}")
        steps = -(-self.num_data // batch_size)
        if not self.compiled:
            self.compile(
                optimizer=keras.optimizers.Adam(Triangular(*learning_rate, half_cycle * steps)),
                steps_per_execution=steps,
            )
            self.optimizer.build(self.trainable_variables)
        parts = [tf.constant(part, self.dtype) for part in ((x,) if mask is None else (x, mask))]

        def one_epoch(epoch):
            key = tf.stack([tf.cast(self.seed, tf.int64), epoch])
            order = tf.random.experimental.stateless_shuffle(tf.range(self.num_data), key)
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

        batches = tf.data.Dataset.range(initial_epoch, epochs).flat_map(one_epoch)
        batches = batches.map(lambda index: (index, *(tf.gather(part, index) for part in parts))).prefetch(8)
        closing = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self.update_prior_and_variance())
        options["callbacks"] = [closing, *options.get("callbacks", ())]
        return super().fit(
            batches, epochs=epochs, initial_epoch=initial_epoch, steps_per_epoch=steps, shuffle=False, **options
        )

    def start_from(self, other, nearest):
        """Take another model's decoder, prior and variance, and for each data point its `nearest` (N,) one's states."""
        for ours, theirs in zip(
            (*self.trainable_variables, self.pi, self.variance), (*other.trainable_variables, other.pi, other.variance)
        ):
            ours.assign(theirs)
        self.words.assign(tf.gather(other.words.value, nearest))

    def posterior(self, x, index, mask=None):
        """States (B, S, H) of the data points `index`, and their probabilities q (B, S) given their data x (B, D)."""
        states = unpack(tf.gather(self.words.value, index), self.latent_dim, self.dtype)
        return states, tf.nn.softmax(self.log_joint(tf.constant(x, self.dtype), states, mask=mask))

    def free_energy(self, x, mask=None):
        """The bound F in nats, (N,), of the training data under the present parameters and states."""
        parts = []
        for start in range(0, self.num_data, POINTS_AT_ONCE):
            own = slice(start, start + POINTS_AT_ONCE)
            states = unpack(self.words.value[own], self.latent_dim, self.dtype)
            observed = None if mask is None else tf.constant(mask[own], self.dtype)
            parts.append(
                tf.reduce_logsumexp(self.log_joint(tf.constant(x[own], self.dtype), states, mask=observed), -1)
            )
        return np.concatenate(parts)

    @property
    def sigma(self):
        """The learned standard deviation of the noise."""
        return float(self.variance.numpy()) ** 0.5

    def reconstruct(self):
        """E_q[mu(z)] (N, D) of the training data, as collected during the last epoch."""
        return self.estimate.numpy()

    def average_in(self):
        """Let the last epoch's estimate count in `averaged`, the mean of those that were averaged in."""
        self.num_averaged.assign_add(1.0)
        self.averaged.assign_add((self.estimate - self.averaged) / self.num_averaged)
