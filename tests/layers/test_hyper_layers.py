"""Generated weights: the paper's parameter count, plain numpy, the start of training, gradients."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.hypervae.bodies import ConvBody
from common.hypervae.hypervae import HyperVAE
from common.hypervae.matrix_body import MatrixBody
from common.layers.generators import (
    GENERATED,
    GENERATORS,
    BlockGenerator,
    ConcatenationGenerator,
    LayerwiseGenerator,
    MatrixHyperLayer,
)
from common.layers.kernels import ScaledKernel, apply_kernel, dense_theta, linear

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


@pytest.mark.parametrize("kind", ["layerwise", "block"])
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


def test_what_is_not_generated_is_shared():
    """Every choice beside a plain loop: which weights differ between tasks, and how."""
    bodies = {"conv": SHAPES, "matrix": MatrixBody((7, 5, 1), 3).shapes()}
    for (kind, shapes), generate in itertools.product(bodies.items(), GENERATED):
        generator = LayerwiseGenerator(shapes, generate=generate)
        theta = generator(H)
        layers = iter(generator.matrix_layers)
        for name, shape in shapes.items():
            part, what = name.split("/")[0], name.split("/")[-1]
            vectors = generate in ("scale_bias", "bias") and what == "bias"
            if generate in ("all", "all_scaled", part) or vectors:
                layer = next(layers)
                kernels = np.stack([layer.left @ h @ layer.right + layer.base for h in H]).reshape(3, *shape)
            elif name in generator.scales:
                kernels = np.stack([generator.shared[name]] * 3)
            else:
                assert theta[name] is generator.shared[name].value
                continue
            if name in generator.scales:
                scale = generator.scales[name](H).numpy()
                assert (
                    isinstance(theta[name], ScaledKernel) and np.abs(scale - 1).max() < 0.5 and np.std(scale, 0).any()
                )
                kernels = kernels * np.tile(scale, (1, shape[1] // scale.shape[1]))[:, None]
            np.testing.assert_allclose(dense_theta(theta)[name], kernels, atol=1e-5)
            if what == "kernel":
                x = np.random.default_rng(0).random((3, 4, shape[0])).astype(np.float32)
                for task in range(3):
                    ours = apply_kernel(tf.constant(x), theta[name])[task]
                    np.testing.assert_allclose(ours, x[task] @ kernels[task], atol=1e-4)
        assert next(layers, None) is None
        scaled = generate in ("scale_bias", "all_scaled") and sum(name.endswith("kernel") for name in shapes)
        assert kind == "matrix" or len(generator.scales) == scaled


def test_vectors_may_change_more_than_kernels():
    plain, more = (LayerwiseGenerator(SHAPES, generate="all_scaled", vector_scale=scale) for scale in (None, 1.0))
    spread = [{layer.name: np.std(layer.right) for layer in generator.matrix_layers} for generator in (plain, more)]
    for name in spread[0]:
        expected = 10 if name.endswith("bias") else 1
        assert spread[1][name] / spread[0][name] == pytest.approx(expected, rel=0.5)


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="generate is one of"):
        LayerwiseGenerator(SHAPES, generate="nothing")


def test_a_bias_linear_in_u_is_a_concatenated_input():
    """For matched weights: dense([x, u]) of one wider kernel."""
    generator = ConcatenationGenerator(SHAPES, 4)
    u = tf.random.stateless_normal((3, 4), (0, 5))
    theta = generator(u)
    x = tf.random.stateless_normal((3, 6, 10), (0, 6))
    wide = np.concatenate([theta["decoder/dense/kernel"], generator.columns["decoder/dense/bias"]])
    both = np.concatenate([x, np.repeat(u[:, None], 6, 1)], -1)
    expected = both @ wide + generator.shared["decoder/dense/bias"].numpy()
    np.testing.assert_allclose(linear(theta, "decoder/dense", x), expected, atol=1e-5)
    differing = [name for name, w in theta.items() if len(w.shape) > len(SHAPES[name])]
    assert differing == ["encoder/dense/bias", "decoder/dense/bias"]


KINDS = [*GENERATORS, *(kind for kind in GENERATED if kind != "all")]


@pytest.mark.parametrize(
    "kind, summary", [*((kind, "mean") for kind in KINDS), ("layerwise", "draw"), ("block", "set")]
)
def test_gradient_reaches_every_variable(kind, summary):
    from common.hypervae import density

    choice = {"generator": kind} if kind in GENERATORS else {"generate": kind}
    model = HyperVAE(image_shape=(8, 8, 1), latent_dim=3, summary=summary, **choice)
    x = tf.cast(tf.random.stateless_uniform((2, 6, 8, 8, 1), (0, 2)) < 0.4, tf.float32)
    with tf.GradientTape() as tape:
        theta, kl_u = model.weights_for(x, None, tf.constant([0, 1]))
        lengths = density.code_length(model.body, theta, x, tf.constant([0, 3]), kl_u[:, None] / 6)
        loss = tf.reduce_mean(lengths.neg_elbo)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path
