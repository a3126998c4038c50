"""Tasks: mini-batches of one class (section 3.3, "mini-batches as tasks")."""

import numpy as np
import tensorflow as tf


def training_batches(x, y, tasks_per_step, images_per_task, seed, start, stop, mixed, distinct=False):
    """tf.data pipeline of the gradient steps start, start + 1, ..., stop - 1.

    A batch is a pure function of (seed, step), so a resumed run sees what an uninterrupted one sees.
    Classes are drawn in proportion to their size: over time every model sees every image alike often.

    Args:
        x, y: images (N, H, W, 1) uint8 and labels (N,).
        mixed: draw all images from the whole set (the plain VAE's batches) instead of one class a task.
        distinct: no image stands in a task twice; every class has enough.

    Returns:
        A dataset of (images (tasks, images, H, W, 1) uint8, labels (tasks,) int32).
    """
    by_class = tf.constant(np.argsort(y, kind="stable"), tf.int32)
    counts = np.bincount(y)
    if distinct and counts[counts > 0].min() < images_per_task:
        raise ValueError(f"a class has fewer than {images_per_task} images: none may stand in a task twice")
    counts_t = tf.constant(counts, tf.int32)
    offsets = tf.constant(np.concatenate([[0], np.cumsum(counts)[:-1]]), tf.int32)
    images, labels = tf.constant(x), tf.constant(y, tf.int32)
    shape, largest = (tasks_per_step, images_per_task), int(counts.max())

    def batch(step):
        step = tf.cast(step, tf.int32)
        first = tf.random.stateless_uniform(shape[:1], (seed, 2 * step), 0, len(y), tf.int32)
        label = tf.gather(labels, first)
        count = tf.gather(counts_t, label)[:, None]
        own_seed = (seed, 2 * step + 1)
        if mixed:
            index = tf.cast(tf.random.stateless_uniform(shape, own_seed) * len(y), tf.int32)
        else:
            if distinct:  # those of the class that are first when all are shuffled
                keys = tf.random.stateless_uniform((tasks_per_step, largest), own_seed)
                keys = tf.where(tf.range(largest)[None] < count, keys, -1.0)
                within = tf.math.top_k(keys, images_per_task).indices
            else:
                draw = tf.random.stateless_uniform(shape, own_seed)
                within = tf.cast(draw * tf.cast(count, tf.float32), tf.int32)
            index = tf.gather(by_class, tf.gather(offsets, label)[:, None] + within)
        return tf.ensure_shape(tf.gather(images, index), shape + x.shape[1:]), label

    return tf.data.Dataset.range(start, stop).map(batch, num_parallel_calls=1).prefetch(8)


def evaluation_tasks(y, size, seed):
    """Same-class index batches over a test part (section 4.3), each image in exactly one.

    Returns:
        A list of (label, indices (size,), mask (size,) bool). Short batches are filled up with images
        of their own and masked, so that every batch has one shape and compiles once.
    """
    rng = np.random.default_rng(seed)
    batches = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        for first in range(0, len(members), size):
            part = members[first : first + size]
            batches.append((int(label), np.resize(part, size), np.arange(size) < len(part)))
    return batches
