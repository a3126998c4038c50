"""Table 3: what generating x and theta, and inferring z and u, cost for a batch of images."""

import statistics
import time

import tensorflow as tf

from common.layers.kernels import dense_theta, single_theta

BATCH = 100  # images, the paper's


def median_milliseconds(function, *arguments, repeats=200, warm_up=10):
    """Median wall time of one call, after warm-up (TensorFlow's calls on a CPU return when they are done)."""
    for _ in range(warm_up):
        function(*arguments)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def table3(model, generator="none"):
    """Milliseconds for a batch of 100 images, by quantity; `generator` is "none" for a VAE or MetaVAE.

    x: decode 100 codes with given weights. z: q(z|x) of 100 images with given weights. u: q(u|d) of one task.
    theta: from u to all weights of the main VAE. total: their sum, as the paper has it. All are compiled by XLA;
    theta_uncompiled is the plain TensorFlow graph of theta, where the depth of layer-by-layer generation shows.
    """
    body = model.body
    images = tf.cast(tf.random.stateless_uniform((1, BATCH) + body.image_shape, (0, 1)) < 0.2, tf.float32)
    codes = tf.random.stateless_normal((1, BATCH, body.latent_dim), (0, 2))
    labels = tf.zeros(1, tf.int32)

    theta = single_theta(model.weights_for(images, labels)[0], body.shapes())
    compiled = tf.function(jit_compile=True)
    times = {
        "x": median_milliseconds(compiled(lambda z, weights: body.decode(weights, z)), codes, theta),
        "z": median_milliseconds(compiled(lambda x, weights: body.encode(weights, x)), images, theta),
    }
    if generator != "none":
        u = model.infer_u(images).mean()

        def generate(code):
            return dense_theta(model.generate(code))

        times["theta"] = median_milliseconds(compiled(generate), u)
        uncompiled = median_milliseconds(tf.function(generate), u)
        times["u"] = median_milliseconds(compiled(lambda x: model.infer_u(x).mean()), images)
    times["total"] = sum(times.values())
    return times if generator == "none" else {**times, "theta_uncompiled": uncompiled}
