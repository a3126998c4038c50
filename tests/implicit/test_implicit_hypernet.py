"""Implicit hypernetworks: the vectorised program against plain loops, Eq. 4 by hand, and training."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import often

from common.errors import InputError
from common.implicit import model as implicit
from common.implicit.model import ImplicitHypernet
from common.implicit.weight_sources import Hypernetwork, inverse_softplus
from common.layers.kernels import dense_theta
from common.runs.identity import Record


def table(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(2.0, 3.0, (rows, 3))
    return x, 5 + 2 * x[:, 0] - x[:, 1] * x[:, 2]


def build(method="hypernet", streams=(0, 2, 4), **options):
    x, y = table()
    statistics = [np.tile(value, (len(streams), 1)) for value in (x.mean(0), x.std(0))]
    statistics += [np.full(len(streams), value) for value in (y.mean(), y.std())]
    return ImplicitHypernet(
        (3, 6, 1), "regression", method, statistics, streams, **{"hidden": (8, 5), "noise_dim": 4} | options
    )


def relu(values):
    return np.maximum(values, 0)


def plain_weights(model, member, noise, keep=None):
    """w for one eps by plain matrix products."""
    source = model.source
    h = noise * np.log1p(np.exp(source.noise_scale.numpy()[member]))
    for i, (kernel, bias) in enumerate(zip(source.kernels, source.biases)):
        h = relu(h @ kernel.numpy()[member] + bias.numpy()[member])
        if keep is not None:
            h = h * keep[i] * 2
    flat, start, theta = h @ source.last_kernel.numpy()[member] + source.last_bias.numpy()[member], 0, {}
    for name, shape in source.shapes.items():
        theta[name] = flat[start : start + np.prod(shape)].reshape(shape)
        start += np.prod(shape)
    return theta


def plain_network(theta, x):
    hidden = relu(x @ theta["layer1/kernel"] + theta["layer1/bias"])
    return hidden @ theta["layer2/kernel"] + theta["layer2/bias"]


@pytest.mark.parametrize("draws", [0, 1, 2])
def test_objective_of_all_members_equals_a_loop_over_members_and_data(draws):
    model = build(weights_per_step=draws)
    x, y = table()
    batch = np.array([[0, 5, 9, 11], [3, 3, 1, 2], [8, 30, 31, 59]])
    losses = model.member_losses(tf.constant(x[batch], tf.float32), tf.constant(y[batch], tf.float32), 7).numpy()
    noise, keep, input_noise = (tf.nest.map_structure(lambda t: t.numpy(), part) for part in model._train_draws(4, 7))
    mean, scale, y_mean, y_scale = (values.numpy() for values in model.statistics)
    for m in range(3):
        errors = []
        for n in range(4):
            own = n * (draws or 4) // 4  # neighbours share a draw of the weights, where there are fewer draws than rows
            theta = plain_weights(model, m, noise[m, own], [part[m, own] for part in keep])
            inputs = (x[batch[m, n]] - mean[m]) / scale[m] + 0.5 * input_noise[m, n]
            errors.append(((y[batch[m, n]] - y_mean[m]) / y_scale[m] - plain_network(theta, inputs)[0]) ** 2)
        np.testing.assert_allclose(losses[m], np.mean(errors), rtol=1e-4)
    assert 0.2 < np.mean([part.mean() for part in keep]) < 0.8


def test_prediction_averages_over_a_two_point_distribution(monkeypatch):
    """Eq. 4 where eps, and so w, takes two values only."""
    model = build(streams=(0,), hidden=(2,), noise_dim=1)
    source = model.source
    rng = np.random.default_rng(5)
    two = rng.normal(size=(2, source.last_kernel.shape[-1]))
    source.kernels[0].assign([[[1.0, -1.0]]])  # eps = 1 picks the first row, eps = -1 the second
    source.noise_scale.assign([[inverse_softplus(1.0)]])
    source.last_kernel.assign(two[None])
    source.last_bias.assign(np.zeros((1, two.shape[1])))
    monkeypatch.setattr(model, "draw_noise", lambda number, seed=0: tf.constant([[1.0], [-1.0]]))
    x, y = table()
    samples = model.predict_samples(x[None], 2)
    inputs = (x - x.mean(0)) / x.std(0)
    by_hand = []
    for flat in two:
        theta = {"layer1/kernel": flat[:18].reshape(3, 6), "layer1/bias": flat[18:24]}
        theta |= {"layer2/kernel": flat[24:30, None], "layer2/bias": flat[30:]}
        by_hand.append(plain_network(theta, inputs)[:, 0] * y.std() + y.mean())
    np.testing.assert_allclose(samples[:, 0], by_hand, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(samples.mean(0)[0], (by_hand[0] + by_hand[1]) / 2, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(model.sample_weights(2)[:, 0], two, rtol=1e-6)


def test_classes_average_in_probability():
    shapes = [np.zeros((1, 3)), np.ones((1, 3))]
    model = ImplicitHypernet((3, 6, 4), "classification", "hypernet", shapes, hidden=(8, 5), noise_dim=4)
    samples = model.predict_samples(table()[0][None], 5)
    assert samples.shape == (5, 1, 60, 4) and not np.allclose(samples[0], samples[1])
    np.testing.assert_allclose(samples.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("method", ["sgd", "hypernet"])
@pytest.mark.parametrize("generator", ["dense", "matrix"])
def test_gradient_reaches_every_variable(method, generator):
    streams = (0,) if generator == "matrix" else (0, 2, 4)
    model = build(method, streams=streams, **({"generator": generator} if method == "hypernet" else {}))
    x, y = table()
    batch = np.tile(np.arange(30), (len(streams), 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(
            model.member_losses(tf.constant(x[batch], tf.float32), tf.constant(y[batch], tf.float32), 0)
        )
    variables = model.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables])):
        assert gradient is not None and np.abs(gradient.numpy()).max() > 0, variable.path


def test_matrix_weights_factored_equal_them_multiplied_out():
    model = build(streams=(0,), generator="matrix")
    noise, keep, _ = model._train_draws(9, 3)
    theta = model.source(noise, keep)
    x = tf.random.stateless_normal((9, 1, 3), (0, 1))
    factored, dense = (implicit.main_network(weights, x) for weights in (theta, dense_theta(theta)))
    np.testing.assert_allclose(factored, dense, rtol=1e-4, atol=1e-5)
    assert model.num_parameters == sum(np.prod(v.shape) for v in model.trainable_variables)
    with pytest.raises(ValueError, match="members"):
        build(generator="matrix")


@dataclass(frozen=True)
class Run(Record):
    epochs: int
    batch_size: int = 5
    learning_rate: float = 0.01
    schedule: str = "cosine"


def odd_epochs(epoch):
    return {"x": epoch} if epoch % 2 else None


def train(tmp_path, streams, method="hypernet", epochs=3, measure=odd_epochs):
    x, y = table()
    model = build(method, streams)
    rows = [np.random.default_rng(stream).permutation(60)[: 50 - stream] for stream in streams]
    folder = tmp_path / f"{method}{streams}"
    return model, implicit.train(model, x, y, rows, Run(epochs), folder, measure)


@pytest.mark.parametrize("method", often("hypernet", rest=["sgd"]))
def test_one_split_alone_becomes_what_it_does_beside_others(tmp_path, method):
    (together, _), (alone, _) = train(tmp_path, (4, 0, 2), method), train(tmp_path, (0,), method)
    assert together.sample_weights(3).shape[1] == 3
    np.testing.assert_allclose(together.sample_weights(3)[:, 1], alone.sample_weights(3)[:, 0], rtol=1e-3, atol=1e-5)
    assert np.abs(together.sample_weights(3)[:, 0] - alone.sample_weights(3)[:, 0]).max() > 0.1


def test_what_was_interrupted_ends_as_what_was_not(tmp_path):
    whole, progress = train(tmp_path / "whole", (0, 2), epochs=6)

    class Stop(Exception):
        pass

    def stop(epoch):
        if epoch == 4:
            raise Stop
        return odd_epochs(epoch)

    with pytest.raises(Stop):
        train(tmp_path / "cut", (0, 2), epochs=6, measure=stop)
    again, resumed = train(tmp_path / "cut", (0, 2), epochs=6)
    np.testing.assert_array_equal(whole.sample_weights(2), again.sample_weights(2))
    for found in (progress, resumed):
        assert [row["epoch"] for row in found["rows"]] == [1, 3, 5] and found["epoch"] == 6


def test_training_fits_and_the_draws_contract(tmp_path):
    x, y = table()
    model = build(streams=(0,), spread=0.5)
    before = model.sample_weights(10).std(0).mean()
    implicit.train(model, x, y, [np.arange(60)], Run(200, batch_size=4), tmp_path, lambda epoch: None)
    errors = model.predict_samples(x[None], 10).mean(0)[0] - y
    assert np.sqrt(np.mean(errors**2)) < 0.35 * y.std()
    assert model.sample_weights(10).std(0).mean() < before / 2


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("generator", ["dense", "matrix"])
def test_of_the_variance_of_glorots_weights_spread_comes_from_the_noise(generator, spread):
    noise = tf.random.stateless_normal((1, 100, 50), (0, 1))
    changed, whole = [], []
    for seed in range(10):  # one initial hypernetwork is by a third off what all are on average
        source = Hypernetwork({"layer1/kernel": (60, 80)}, (100, 50), 50, generator, spread, seed, (0,))
        kernels = dense_theta(source(noise, None))["layer1/kernel"].numpy().reshape(100, -1)
        base = source.last_bias if generator == "dense" else source.generator.matrix_layers[0].base
        changed.append(np.mean((kernels - base.numpy().ravel()) ** 2))
        whole.append(np.mean(kernels**2))
    assert np.mean(changed) / (2 / (60 + 80)) == pytest.approx(spread, rel=0.2)
    assert np.mean(whole) / (2 / (60 + 80)) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("generator", ["dense", "matrix"])
def test_a_kernel_rate_changes_steps_and_not_the_start(generator):
    x, y = (tf.constant(part[None], tf.float32) for part in table())
    starts, steps = [], []
    for rate in (1.0, 0.1):
        model = build(streams=(0,), generator=generator, spread=0.5, kernel_rate=rate)
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        model.optimizer.build(model.trainable_variables)
        before = rate * model.source.last_kernel.numpy()
        starts.append(dense_theta(model.source(tf.ones((1, 3, 4)), None))["layer1/kernel"])
        model.train_step((x, y))
        steps.append(np.abs(rate * model.source.last_kernel.numpy() - before).max())
    np.testing.assert_allclose(starts[0], starts[1], atol=1e-6)
    assert steps == pytest.approx([0.01, 0.001], rel=0.02)  # Adam's first step is the learning rate


def test_settled_epochs_are_the_last_20_or_a_fifth():
    assert [implicit.settled_after(epochs) for epochs in (1, 4, 30, 100, 2000)] == [0, 3, 24, 80, 1980]


def test_a_damaged_state_is_named(tmp_path):
    train(tmp_path, (0,), "sgd")
    next(tmp_path.rglob("epoch3.npz")).write_bytes(b"broken")
    with pytest.raises(InputError, match="is damaged"):
        train(tmp_path, (0,), "sgd")


def test_noise_and_dropout_bits_are_independent():
    """Under one seed they are made of the same bits: the sign of the first eps would be the 64th mask bit's."""
    model, steps = build(streams=(0,)), 4000

    @tf.function
    def draw(step):
        noise, keep, inputs = model._train_draws(8, step)
        flat = [tf.reshape(part, (-1,)) for part in (noise, inputs)]
        masks = tf.concat([tf.reshape(part, (8, -1)) for part in keep], 1)  # hidden layers of one draw side by side
        return tf.concat(flat, 0) > 0, tf.reshape(masks, (-1,)) > 0

    signs, bits = (2.0 * np.array(part) - 1 for part in zip(*(draw(tf.constant(step)) for step in range(steps))))
    assert signs.shape == (steps, 8 * 4 + 8 * 3) and bits.shape == (steps, 8 * 13)
    assert np.abs(signs.mean(0)).max() < 0.1 and np.abs(bits.mean(0)).max() < 0.1
    # By chance none of 5,824 correlations over 4,000 steps (standard deviation 0.016) reaches 0.1.
    assert np.abs(signs.T @ bits / steps).max() < 0.1
    assert np.abs(signs[1:].T @ bits[:-1] / steps).max() < 0.1


def test_equal_seeds_give_equal_models_and_others_do_not():
    first, second, other = build(), build(), build(seed=1)
    np.testing.assert_array_equal(first.sample_weights(2), second.sample_weights(2))
    assert np.abs(first.sample_weights(2) - other.sample_weights(2)).max() > 0.1
