"""Generated weights: the paper's parameter count, plain numpy, the start of training, gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.hypervae.bodies import ConvBody
from common.hypervae.hypervae import HyperVAE
from common.layers.generators import GENERATORS, BlockGenerator, LayerwiseGenerator, MatrixHyperLayer
from common.layers.kernels import dense_theta

SHAPES = ConvBody((28, 28, 1), 10).shapes()
H = tf.random.stateless_uniform((3, 20, 20), (0, 1))


def test_parameter_count_of_the_papers_example():
    """Section 3.4: 176 thousand parameters for 400 x 400, against 64.16 million of a dense layer."""
    assert MatrixHyperLayer((400, 400)).count_params() == 176_000
    dense = keras.layers.Dense(400 * 400)
    dense.build((None, 400))
    assert dense.count_params() == 64_160_000


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (30, 7), (11,)])
def test_matrix_layer_is_sigma_of_uhv_plus_b(shape):
    layer = MatrixHyperLayer(shape, activation="tanh", base_initializer="random_normal")
    u, v, b = layer.left.numpy(), layer.right.numpy(), layer.base.numpy()
    expected = np.tanh(u @ H.numpy() @ v + b).reshape((3, *shape))
    np.testing.assert_allclose(layer(H), expected, atol=1e-6)
    clone = MatrixHyperLayer.from_config(layer.get_config())
    assert clone.target_shape == shape and clone(H).shape == (3, *shape)
    with pytest.raises(ValueError, match="identity"):
        layer.factors(H)


@pytest.mark.parametrize("kind", GENERATORS)
def test_generated_weights_start_near_a_plain_vaes(kind):
    """U H V near zero: kernels keep Glorot's spread, tasks differ, biases are small."""
    theta = dense_theta(GENERATORS[kind](SHAPES)(H))
    assert {name: tuple(w.shape[1:]) for name, w in theta.items()} == SHAPES
    for name, w in theta.items():
        between_tasks = np.std(w.numpy() - w.numpy().mean(0))
        assert between_tasks > 0
        if name.endswith("bias"):
            assert np.abs(w).max() < 0.3
        elif "conv" not in name:
            limit = np.sqrt(6 / sum(SHAPES[name]))
            assert np.isclose(np.std(w), limit / np.sqrt(3), rtol=0.15)
            assert between_tasks < 0.3 * np.std(w)


def test_block_generation_is_one_batched_matrix_network():
    generator = BlockGenerator(SHAPES, block=100)
    padded = [-(-int(np.prod(shape)) // 16) * 16 for shape in SHAPES.values()]
    assert generator.num_blocks == -(-sum(padded) // 10_000)
    blocks = [
        generator.left.numpy()[i] @ H.numpy()[1] @ generator.right.numpy()[i] + generator.base.numpy()[i]
        for i in range(generator.num_blocks)
    ]
    flat = np.concatenate([block.ravel() for block in blocks])
    several, alone = generator(H), generator(H[1:2])
    for (name, shape), start in zip(SHAPES.items(), np.cumsum([0, *padded])):
        expected = flat[start : start + np.prod(shape)].reshape(shape)
        np.testing.assert_allclose(several[name][1], expected, atol=1e-5)
        np.testing.assert_allclose(alone[name][0], expected, atol=1e-5)


@pytest.mark.parametrize("tasks", [1, 3])
def test_gradient_of_block_generation_is_that_of_a_difference_quotient(tasks):
    """Through cutting up the blocks (a gradient of our own) and the matrix products."""
    shapes = {"a/kernel": (5, 3), "a/bias": (3,), "b/kernel": (7, 4)}  # none fills its lines
    generator = BlockGenerator(shapes, (4, 4), block=8)
    h = tf.random.stateless_normal((tasks, 4, 4), (0, 3))
    wanted = {
        name: tf.random.stateless_normal((tasks, *shape), (1, n)) for n, (name, shape) in enumerate(shapes.items())
    }

    def loss():
        return sum(tf.reduce_sum(w * wanted[name]) for name, w in generator(h).items())

    with tf.GradientTape() as tape:
        value = loss()
    variables = [v.value for v in generator.trainable_variables]
    for variable, gradient in zip(variables, tape.gradient(value, variables)):
        step = tf.random.stateless_normal(variable.shape, (2, 0))
        variable.assign_add(step)  # the loss is linear in each variable alone
        np.testing.assert_allclose(loss() - value, tf.reduce_sum(gradient * step), rtol=1e-3, atol=1e-3)  # float32
        variable.assign_sub(step)


def test_layerwise_generation_is_one_matrix_layer_a_weight():
    generator = LayerwiseGenerator(SHAPES)
    theta = dense_theta(generator(H))
    for layer, name in zip(generator.matrix_layers, SHAPES):
        np.testing.assert_allclose(theta[name], layer(H), atol=1e-5)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("summary", ["draw", "mean", "set"])
def test_gradient_reaches_every_variable(kind, summary):
    from common.hypervae import density

    model = HyperVAE(image_shape=(8, 8, 1), latent_dim=3, summary=summary, generator=kind)
    x = tf.cast(tf.random.stateless_uniform((2, 6, 8, 8, 1), (0, 2)) < 0.4, tf.float32)
    with tf.GradientTape() as tape:
        theta, kl_u = model.weights_for(x, None, tf.constant([0, 1]))
        lengths = density.code_length(model.body, theta, x, tf.constant([0, 3]), kl_u[:, None] / 6)
        loss = tf.reduce_mean(lengths.neg_elbo)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path
