"""ZS-N2N, a neural denoiser of one image (Mansour and Heckel, "Zero-Shot Noise2Noise", CVPR 2023), as a rival.

Two fixed filters take the two diagonals of each 2 x 2 block: two halves of the image with independent noise (Eq. 5). A
network of three convolutions learns the noise: each half without it should be the other one (Eq. 7), and halving the
denoised image should be denoising the halves (Eq. 8). It is not told the noise level.
"""

import keras
import numpy as np
import tensorflow as tf

WIDTH = 48  # channels of the hidden layers


def halves(images):
    """Means of the two diagonals of each 2 x 2 block of images (N, H, W, C): two of (N, H // 2, W // 2, C)."""
    height, width = images.shape[1] // 2 * 2, images.shape[2] // 2 * 2
    images = images[:, :height, :width]
    one = (images[:, ::2, 1::2] + images[:, 1::2, ::2]) / 2
    other = (images[:, ::2, ::2] + images[:, 1::2, 1::2]) / 2
    return one, other


def network(channels, seed):
    """Noise of an image (N, H, W, channels): two 3 x 3 convolutions with LeakyReLU of slope 0.2, then one of 1 x 1."""
    initial = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed)
    layers = [keras.Input((None, None, channels))]
    for size, width in ((3, WIDTH), (3, WIDTH), (1, channels)):
        layers.append(keras.layers.Conv2D(width, size, padding="same", kernel_initializer=initial.clone()))
        layers.append(keras.layers.LeakyReLU(0.2))
    return keras.Sequential(layers[:-1])


def loss(model, noisy):
    """Residual and consistency losses (Eqs. 7 and 8) of a noisy image (1, H, W, C)."""
    halved = halves(noisy)
    denoised = [half - model(half) for half in halved]
    whole = halves(noisy - model(noisy))

    def mean_square(a, b):
        return tf.reduce_mean(tf.square(a - b))

    residual = mean_square(denoised[0], halved[1]) + mean_square(denoised[1], halved[0])
    consistency = mean_square(denoised[0], whole[0]) + mean_square(denoised[1], whole[1])
    return (residual + consistency) / 2


def denoise(noisy, steps=2000, learning_rate=1e-3, drop_every=1500, seed=0):
    """An image (H, W[, C]) in 0..1 without the noise that is learned from it alone; float64, clipped to 0..1.

    Args:
        steps: of Adam, whose rate is halved every `drop_every` of them, as in the authors' code.
    """
    shaped = tf.constant(np.reshape(noisy, (1, *noisy.shape[:2], -1)), tf.float32)
    model = network(shaped.shape[-1], seed)
    rate = keras.optimizers.schedules.ExponentialDecay(learning_rate, drop_every, 0.5, staircase=True)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=not tf.config.functions_run_eagerly(), autograph=False)
    def step():
        with tf.GradientTape() as tape:
            value = loss(model, shaped)
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return value

    for _ in range(steps):
        step()
    return np.clip(np.float64(shaped - model(shaped)), 0, 1).reshape(noisy.shape)
