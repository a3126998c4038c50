"""Gradient steps on a few numbers of each row, inside a compiled program: a task's u, or an image's q(z|x)."""

import tensorflow as tf


def adam(loss, start, steps, rate, seed):
    """Rows (n, ...) moved from `start` by Adam (Kingma & Ba 2015), each row's steps depending on that row alone.

    Args:
        loss: loss(rows, seed) gives (n, ...) numbers, each of which depends on its own row.
        steps: how many, a tensor or number; rate: of Adam.
        seed: stateless, shape (2,); step i draws by fold_in(seed, i).
    """

    def step(i, now, first, second):
        with tf.GradientTape() as tape:
            tape.watch(now)
            found = loss(now, tf.random.fold_in(seed, i))
        gradient = tape.gradient(found, now)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        t = tf.cast(i + 1, tf.float32)
        move = first / (1 - 0.9**t) / (tf.sqrt(second / (1 - 0.999**t)) + 1e-7)
        return i + 1, now - rate * move, first, second

    zeros = tf.zeros_like(start)
    return tf.while_loop(lambda i, *_: i < steps, step, (tf.constant(0), start, zeros, zeros))[1]
