"""The networks' matrix form against Keras' own convolutions, and weights of many tasks against a loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import multinomial

from common.hypervae.bodies import BODIES, ConvBody, ResnetBody, patches_3x3, patches_3x3_same, scatter_3x3
from common.hypervae.matrix_body import MatrixBody
from common.layers.kernels import FactoredKernel, apply_kernel, dense_theta

RNG = np.random.default_rng(0)


def normal(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


def random_theta(shapes, tasks=None):
    lead = () if tasks is None else (tasks,)
    return {name: 0.2 * normal(*lead, *shape) for name, shape in shapes.items()}


def keras_decoder_kernel(kernel, outputs):
    """(in, 9 out) as Conv2DTranspose keeps it, (3, 3, out, in)."""
    return np.transpose(np.reshape(kernel, (-1, 3, 3, outputs)), (1, 2, 3, 0))


@pytest.mark.parametrize("height, width", [(8, 12), (2, 6), (6, 10)])  # the smaller side's grid is even, 1, odd
def test_patches_and_scatter_are_keras_convolutions(height, width):
    x, kernel = normal(2, height, width, 3), normal(27, 5)
    conv = keras.layers.Conv2D(5, 3, 2, "same", use_bias=False)
    conv.build(x.shape)
    conv.set_weights([tf.reshape(kernel, (3, 3, 3, 5))])
    np.testing.assert_allclose(apply_kernel(patches_3x3(x), kernel), conv(x), atol=1e-5)
    x, kernel = normal(2, height // 2, width // 2, 3), normal(3, 45)
    transpose = keras.layers.Conv2DTranspose(5, 3, 2, "same", use_bias=False)
    transpose.build(x.shape)
    transpose.set_weights([keras_decoder_kernel(kernel, 5)])
    np.testing.assert_allclose(scatter_3x3(apply_kernel(x, kernel)), transpose(x), atol=1e-5)


def test_a_residual_block_is_keras_layers():
    body = ResnetBody((8, 12, 1), 3)
    theta = random_theta(body.block_shapes("encoder/block2", 4))
    assert set(theta) == {f"encoder/block2/conv{i}/{part}" for i in (1, 2) for part in ("kernel", "bias")}
    x = normal(2, 5, 3, 4)
    same = [keras.layers.Conv2D(4, 3, 1, "same") for _ in range(2)]
    for layer, name in zip(same, ("conv1", "conv2")):
        layer.build(x.shape)
        own = {part: theta[f"encoder/block2/{name}/{part}"] for part in ("kernel", "bias")}
        layer.set_weights([tf.reshape(own["kernel"], (3, 3, 4, 4)), own["bias"]])
    expected = tf.nn.relu(x + same[1](tf.nn.relu(same[0](x))))
    np.testing.assert_allclose(body.block(theta, "encoder/block2", x), expected, atol=1e-5)
    np.testing.assert_allclose(patches_3x3_same(x)[..., 16:20], x)  # the middle of each patch is the pixel itself


@pytest.mark.parametrize("height, width", [(28, 28), (10, 6), (9, 7)])  # the last two are filled up inside: to 12 x 8
def test_the_whole_vae_equals_keras_layers(height, width):
    """Section 4.2 written with Keras' stock layers, given the same weights; odd sides, too."""
    body = ConvBody((height, width, 1), 10)
    theta = random_theta(body.shapes())
    w = {name: value.numpy() for name, value in theta.items()}
    layers = keras.layers
    relu = dict(activation="relu")
    rows, columns = -(-height // 4), -(-width // 4)
    margin = ((0, 4 * rows - height), (0, 4 * columns - width))
    encoder = keras.Sequential(
        [
            layers.Input((height, width, 1)),
            layers.ZeroPadding2D(margin),
            layers.Conv2D(32, 3, 2, "same", **relu),
            layers.Conv2D(64, 3, 2, "same", **relu),
            layers.Flatten(),
            layers.Dense(100, **relu),
            layers.Dense(20),
        ]
    )
    encoder.set_weights(
        [
            w["encoder/conv1/kernel"].reshape(3, 3, 1, 32),
            w["encoder/conv1/bias"],
            w["encoder/conv2/kernel"].reshape(3, 3, 32, 64),
            w["encoder/conv2/bias"],
            w["encoder/dense/kernel"],
            w["encoder/dense/bias"],
            np.concatenate([w["encoder/mean/kernel"], w["encoder/log_var/kernel"]], 1),
            np.concatenate([w["encoder/mean/bias"], w["encoder/log_var/bias"]]),
        ]
    )
    decoder = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(100, **relu),
            layers.Dense(64 * rows * columns, **relu),
            layers.Reshape((rows, columns, 64)),
            layers.Conv2DTranspose(32, 3, 2, "same", **relu),
            layers.Conv2DTranspose(1, 3, 2, "same"),
            layers.Cropping2D(margin),
        ]
    )
    decoder.set_weights(
        [
            w["decoder/dense/kernel"],
            w["decoder/dense/bias"],
            w["decoder/unflatten/kernel"],
            w["decoder/unflatten/bias"],
            keras_decoder_kernel(w["decoder/conv1/kernel"], 32),
            w["decoder/conv1/bias"],
            keras_decoder_kernel(w["decoder/conv2/kernel"], 1),
            w["decoder/conv2/bias"],
        ]
    )
    x, z = normal(3, height, width, 1), normal(3, 10)
    np.testing.assert_allclose(tf.concat(body.encode(theta, x), -1), encoder(x), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(body.decode(theta, z), decoder(z), rtol=1e-4, atol=1e-3)
    assert sum(int(np.prod(s)) for s in body.shapes().values()) == encoder.count_params() + decoder.count_params()


@pytest.mark.parametrize("kind, image_shape", [(ConvBody, (28, 28, 1)), (ConvBody, (9, 7, 1)), (ResnetBody, (9, 7, 1))])
def test_weights_of_many_tasks_equal_a_loop(kind, image_shape):
    body, tasks = kind(image_shape, 4), 3
    theta = random_theta(body.shapes(), tasks)
    x, z = normal(tasks, 5, *image_shape), normal(tasks, 5, 4)
    mean, log_var = body.encode(theta, x)
    logits = body.decode(theta, z)
    assert logits.shape == (tasks, 5, *image_shape)
    for t in range(tasks):
        own = {name: value[t] for name, value in theta.items()}
        one_mean, one_log_var = body.encode(own, x[t])
        np.testing.assert_allclose(mean[t], one_mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(log_var[t], one_log_var, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(logits[t], body.decode(own, z[t]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("body", ["resnet_logistic", "resnet_logistic_mixture"])
def test_residual_networks_have_grey_pixels_too(body):
    plain, own = BODIES[body.replace("resnet", "conv")]((9, 7, 3), 2), BODIES[body]((9, 7, 3), 2)
    theta = {name: 0 * value for name, value in random_theta(own.shapes()).items()}
    blocks = {name for name in theta if "/block" in name}
    assert theta.keys() - blocks == plain.shapes().keys() and len(blocks) == 16
    x = 255 * tf.cast(normal(4, 9, 7, 3) > 0, tf.float32)
    of_both = [b.likelihood(b.decode(theta, normal(4, 2))).log_prob(x) for b in (plain, own)]
    np.testing.assert_allclose(*of_both)  # of weights of 0 the blocks change nothing


@pytest.mark.parametrize("images", [1, 400])  # few images: never formed; many: formed once a task
def test_factored_kernels_equal_formed_ones(images):
    kernel = FactoredKernel(normal(30, 40), normal(30, 5), normal(3, 5, 5), normal(5, 40))
    x = normal(3, images, 30)
    np.testing.assert_allclose(apply_kernel(x, kernel), apply_kernel(x, kernel.dense()), rtol=1e-4, atol=1e-3)
    by_hand = kernel.base.numpy() + kernel.left.numpy() @ kernel.core.numpy() @ kernel.right.numpy()
    np.testing.assert_allclose(dense_theta({"w": kernel})["w"], by_hand, atol=1e-4)


def test_matrix_layers_are_u_x_v_plus_b():
    body = MatrixBody((7, 5, 1), 3)
    theta = random_theta(body.shapes())
    w = {name: value.numpy().astype(float) for name, value in theta.items()}

    def layer(name, x, shape):
        return w[f"{name}/left/kernel"].T @ x @ w[f"{name}/right/kernel"] + w[f"{name}/bias"].reshape(shape)

    x = RNG.random((4, 7, 5, 1))
    hidden = np.maximum(layer("encoder/matrix1", x[..., 0], (200, 200)), 0)
    hidden = np.maximum(layer("encoder/matrix2", hidden, (50, 50)), 0).reshape(4, -1)
    hidden = np.maximum(hidden @ w["encoder/dense/kernel"] + w["encoder/dense/bias"], 0)
    mean = hidden @ w["encoder/mean/kernel"] + w["encoder/mean/bias"]
    np.testing.assert_allclose(body.encode(theta, tf.constant(x, tf.float32))[0], mean, rtol=2e-3, atol=1e-2)
    z = RNG.normal(size=(4, 3))
    hidden = np.maximum(z @ w["decoder/dense/kernel"] + w["decoder/dense/bias"], 0)
    hidden = np.maximum(hidden @ w["decoder/unflatten/kernel"] + w["decoder/unflatten/bias"], 0).reshape(4, 50, 50)
    hidden = np.maximum(layer("decoder/matrix1", hidden, (200, 200)), 0)
    logits = layer("decoder/matrix2", hidden, (7, 5))
    ours = body.decode(theta, tf.constant(z, tf.float32))
    np.testing.assert_allclose(ours[..., 0], logits, rtol=2e-3, atol=2e-3 * np.abs(logits).max())


def test_splines_are_those_of_cox_and_de_boor_and_smooth_the_logits():
    number, points = 6, 9
    knots = np.concatenate([[0] * 3, np.linspace(0, 1, number - 2), [1] * 3])

    def spline(i, degree, t):
        if not degree:
            return float(knots[i] <= t < knots[i + 1])
        ends = (
            (knots[i + degree] - knots[i], t - knots[i]),
            (knots[i + degree + 1] - knots[i + 1], knots[i + degree + 1] - t),
        )
        return sum(top / length * spline(j, degree - 1, t) for j, (length, top) in zip((i, i + 1), ends) if length)

    at = [min(t, 1 - 1e-12) for t in np.linspace(0, 1, points)]
    basis = np.array([[spline(i, 3, t) for t in at] for i in range(number)])
    body = MatrixBody((7, points, 1), 3, splines=number)
    theta = {name: normal(*shape) for name, shape in body.decoder_shapes().items()}
    free = MatrixBody((7, number, 1), 3).decode(theta, z := normal(4, 3))
    np.testing.assert_allclose(body.decode(theta, z)[..., 0], free[..., 0].numpy() @ basis, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("body", "atoms"), [("matrix", 100), ("matrix_1000", 1_000)])
def test_the_likelihood_of_proportions_is_scipys_multinomial_of_atoms(body, atoms):
    logits = normal(2, 4, 3, 1)
    counts = RNG.multinomial(atoms, [0.4, 0.3, 0.2, 0.1], (2, 3)).transpose(0, 2, 1)  # (matrices, phases, temperatures)
    p = BODIES[body]((4, 3, 1), 2).likelihood(logits)
    share = p.mean().numpy()[..., 0].astype(float)
    np.testing.assert_allclose(share.sum(1), 1, atol=1e-6)
    share /= share.sum(1, keepdims=True)
    expected = [sum(multinomial.logpmf(counts[i, :, t], atoms, share[i, :, t]) for t in range(3)) for i in range(2)]
    np.testing.assert_allclose(p.log_prob(tf.constant(counts[..., None] / atoms, tf.float32)), expected, rtol=1e-4)
