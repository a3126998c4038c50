"""Stochastic maximum likelihood by implicit hypernetworks (Sheikh, Rasul, Merentitis & Bergmann 2017).

A hypernetwork g(eps; Theta) turns noise into all weights w of a main network f(x; w). Theta maximises the likelihood of
the targets with one w for each data point (Eq. 3); predictions average over draws of w (Eq. 4). Several independent
models, the `members` (one for each train/test split), run side by side: every variable has a leading axis for them.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from common.implicit.weight_sources import Hypernetwork, PointWeights, inverse_softplus
from common.layers.kernels import dense_theta, linear
from common.runs.checkpoints import Checkpoint, check_loss, resume

EVALUATION_SEED = 20171
LAST_EPOCHS = 20  # over which the paper averages the test error; of short runs, a fifth
DIVERGED = "lower --learning-rate"  # the remedy
PHILOX = "philox"  # by its name: what "auto_select" compiles to gives the same numbers in ten times the time on a CPU


def main_shapes(sizes):
    """Shapes of the main network's weights; sizes = (inputs, hidden units ..., outputs)."""
    shapes = {}
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
        shapes |= {f"layer{i}/kernel": (inputs, outputs), f"layer{i}/bias": (outputs,)}
    return shapes


def main_network(theta, x):
    """f(x; w): ReLU layers, the last one linear; x (groups, rows, inputs), each group with weights of its own."""
    depth = len(theta) // 2
    for i in range(1, depth):
        x = tf.nn.relu(linear(theta, f"layer{i}", x))
    return linear(theta, f"layer{depth}", x)


class ImplicitHypernet(keras.Model):
    """Members, each a main network with weights from a hypernetwork, or with weights of its own ("sgd").

    Args:
        sizes: of the main network, (inputs, hidden units ..., outputs).
        task: "regression" (squared error of a standardised target, one output) or "classification" (cross-entropy).
        method: "hypernet" or "sgd".
        statistics: mean and standard deviation of inputs, (members, inputs) each, and for a regression of targets,
            (members,) each; inputs come in their own units, and predictions go out in theirs.
        streams: a number for each member, which with the seed decides its initial weights and its noise: what a member
            becomes does not depend on the members beside it.
        hidden, noise_dim, generator, spread, kernel_rate: see `Hypernetwork`.
        weights_per_step: draws of w in one step; 0 is one for each data point (Eq. 3).
    """

    def __init__(
        self, sizes, task, method, statistics, streams=(0,), hidden=(100, 50), noise_dim=50, generator="dense",
        spread=1.0, kernel_rate=1.0, weights_per_step=0, seed=0, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.sizes, self.task, self.method, self.seed = tuple(sizes), task, method, seed
        self.streams, self.noise_dim, self.weights_per_step = tuple(streams), noise_dim, weights_per_step
        self.statistics = [tf.constant(values, tf.float32) for values in statistics]
        shapes = main_shapes(sizes)
        if method == "sgd":
            self.source = PointWeights(shapes, seed, self.streams)
        else:
            self.source = Hypernetwork(shapes, hidden, noise_dim, generator, spread, seed, self.streams, kernel_rate)
        initial = keras.initializers.Constant(inverse_softplus(0.5))
        self.input_noise = self.add_weight(shape=(len(self.streams),), name="input_noise", initializer=initial)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.built = True

    @property
    def metrics(self):
        return [self.loss_tracker]

    @property
    def num_parameters(self):
        """Trainable numbers of one member."""
        return sum(math.prod(v.shape) for v in self.trainable_variables) // len(self.streams)

    def _standardised(self, x):
        mean, scale = self.statistics[:2]
        return (x - mean[:, None]) / scale[:, None]

    def _train_draws(self, rows, step):
        """A step's eps, dropout masks and input noise of each member, from the seed, its stream and the step."""
        members, inputs = len(self.streams), self.sizes[0]
        draws = (self.weights_per_step or rows) if self.source.stochastic else 0
        counts = [draws * self.noise_dim, rows * inputs]
        # TensorFlow's seeds have 32 bits.
        seeds = [[(self.seed * 100_003 + stream) % (2**31 - 1), step] for stream in self.streams]
        normal = tf.stack([tf.random.stateless_normal((sum(counts),), seed, alg=PHILOX) for seed in seeds])
        noise, input_noise = tf.split(normal, counts, 1)
        input_noise = tf.reshape(input_noise, (members, rows, inputs))
        if not draws:
            return None, None, input_noise
        # Random bits are a third of the price of random numbers; weight_sources.DROPOUT is one half. Their streams are
        # those of steps below 0: under the seeds of the noise they would be the very bits that the noise is made of.
        words = -(-draws * sum(self.source.hidden) // 32)
        bit_seeds = [[stream, -1 - step] for stream, step in seeds]
        bits = tf.stack(
            [tf.random.stateless_uniform((words,), seed, None, None, tf.int32, alg=PHILOX) for seed in bit_seeds]
        )
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits[..., None], tf.range(32)), 1)
        bits = tf.reshape(bits, (members, -1))[:, : draws * sum(self.source.hidden)]
        keep = tf.split(tf.reshape(bits, (members, draws, -1)), self.source.hidden, 2)
        return tf.reshape(noise, (members, draws, -1)), keep, input_noise

    def member_losses(self, x, y, step):
        """The objective per data point (Eq. 3's sum over n, divided by the batch), (members,).

        Args:
            x: (members, rows, inputs) in their own units; y: (members, rows), a class number in a classification.
        """
        members, rows = x.shape[:2]
        noise, keep, input_noise = self._train_draws(rows, step)
        x = self._standardised(x) + tf.nn.softplus(self.input_noise.value)[:, None, None] * input_noise
        theta = self.source(noise, keep)
        groups = members if noise is None else members * noise.shape[1]
        outputs = main_network(theta, tf.reshape(x, (groups, -1, x.shape[-1])))
        outputs = tf.reshape(outputs, (members, rows, -1))
        if self.task == "classification":
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y, tf.int32), outputs)
        else:
            mean, scale = self.statistics[2:]
            losses = tf.square((y - mean[:, None]) / scale[:, None] - outputs[..., 0])
        return tf.reduce_mean(losses, 1)

    @tf.autograph.experimental.do_not_convert  # traced in half the time; nothing here branches on tensors
    def train_step(self, batch):
        x, y = batch
        step = tf.cast(self.optimizer.iterations.value, tf.int32)
        with tf.GradientTape() as tape:
            losses = self.member_losses(x, y, step)
            loss = tf.reduce_sum(losses)  # members share no weight: each gets its own gradient
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        self.loss_tracker.update_state(losses)
        return {"loss": self.loss_tracker.result()}

    def draw_noise(self, num_samples, seed=EVALUATION_SEED):
        """eps of `num_samples` draws, the same for all members: (draws, noise_dim); one for "sgd", which needs none."""
        return tf.random.stateless_normal((num_samples if self.source.stochastic else 1, self.noise_dim), (seed, 0))

    def _theta(self, eps):
        return self.source(tf.broadcast_to(eps, (len(self.streams), 1, self.noise_dim)), None)

    @tf.function(jit_compile=True, autograph=False)
    def _predict_once(self, x, eps):
        outputs = main_network(self._theta(eps), self._standardised(x))
        if self.task == "classification":
            return tf.nn.softmax(outputs)
        mean, scale = self.statistics[2:]
        return outputs[..., 0] * scale[:, None] + mean[:, None]

    def predict_samples(self, x, num_samples, seed=EVALUATION_SEED):
        """f(x; w_s) for draws w_s: (samples, members, rows), or class probabilities (samples, members, rows, classes).

        Their mean over samples is Eq. 4. There is no noise on inputs and no dropout.

        Args:
            x: (members, rows, inputs).
        """
        x = tf.constant(x, tf.float32)
        return np.stack([self._predict_once(x, eps).numpy() for eps in self.draw_noise(num_samples, seed)])

    @tf.function(jit_compile=True, autograph=False)
    def _flat_weights(self, eps):
        theta = dense_theta(self._theta(eps))
        return tf.concat([tf.reshape(weight, (len(self.streams), -1)) for weight in theta.values()], 1)

    def sample_weights(self, num_samples, seed=EVALUATION_SEED):
        """Draws of w, (samples, members, number of weights)."""
        return np.stack([self._flat_weights(eps).numpy() for eps in self.draw_noise(num_samples, seed)])


def settled_after(epochs):
    """The epoch after which a run's test errors are averaged."""
    return epochs - min(LAST_EPOCHS, max(1, epochs // 5))


def train(model, x, y, rows, run, folder, measure):
    """Train on the rows that each member may see, continue a run that was cut off, or load a finished one.

    Args:
        x, y, rows, run: see `fit`; run is a Record.
        folder: of the run's state; the caller sees to it that no other process trains there.
        measure: measure(epoch) gives a row of the progress, or None.

    Returns:
        the progress {epoch, seconds, rows, trained_at}.
    """
    _compile(model, rows, run)
    progress = resume(folder, run, model)
    if progress["epoch"] < run.epochs:
        options = dict(total=run.epochs, every=max(1, run.epochs // 20), monitor="loss", remedy=DIVERGED)
        checkpoint = Checkpoint(folder, progress, measure=lambda _, epoch, logs: measure(epoch), **options)
        _go_on(model, x, y, rows, run, progress["epoch"], [checkpoint])
    return progress


def fit(model, x, y, rows, run):
    """Train with Keras on the rows that each member may see; nothing is written.

    Args:
        x: (N, inputs); y: (N,).
        rows: a list with the row numbers of each member. An epoch is as long as the longest list (what does not fill a
            batch waits for another epoch's order); shorter lists are gone through again.
        run: has epochs, batch_size, learning_rate and schedule ("constant" or "cosine").

    Raises:
        InputError: the training diverged.
    """
    if run.epochs:
        _compile(model, rows, run)
        check = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: check_loss(logs["loss"], epoch + 1, DIVERGED)
        )
        _go_on(model, x, y, rows, run, 0, [check])


def _steps(rows, run):
    return max(map(len, rows)) // run.batch_size


def _compile(model, rows, run):
    rate, steps = run.learning_rate, _steps(rows, run)
    if run.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, run.epochs * steps)
    model.compile(optimizer=keras.optimizers.Adam(rate), jit_compile=True, steps_per_execution=steps)
    model.optimizer.build(model.trainable_variables)


def _go_on(model, x, y, rows, run, first, callbacks):
    """Epochs `first` to the last of a compiled model."""
    steps = _steps(rows, run)
    x, y = tf.constant(x, tf.float32), tf.constant(y, tf.float32)
    shape = (steps, len(rows), run.batch_size)

    def order(epoch):
        """Row numbers of an epoch's steps, from the seed, the members' streams and the epoch."""
        orders = []
        for stream, own in zip(model.streams, rows):
            # Epoch 0's stream is that of the initial weights, too (a last 0 in a seed counts for nothing). One permutes
            # rows, the other draws weights: no harm, and another seed would change all rows of 06 and 07.
            random = np.random.default_rng([model.seed, stream, int(epoch)])
            rounds = -(-steps * run.batch_size // len(own))
            orders.append(np.concatenate([random.permutation(own) for _ in range(rounds)])[: steps * run.batch_size])
        return np.reshape(orders, (len(rows), steps, run.batch_size)).swapaxes(0, 1).astype(np.int32)

    def one_epoch(epoch):
        index = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int32), shape)
        return tf.data.Dataset.from_tensor_slices(index)

    batches = tf.data.Dataset.range(first, run.epochs).flat_map(one_epoch)
    batches = batches.map(lambda index: (tf.gather(x, index), tf.gather(y, index))).prefetch(8)
    options = dict(initial_epoch=first, epochs=run.epochs, steps_per_epoch=steps, callbacks=callbacks)
    model.fit(batches, verbose=0, shuffle=False, **options)
