"""Grey levels: probabilities against scipy's logistic, gradients at the ends, pictures, and a training by them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import often
from hypervae.toy import bars, settings
from scipy.special import softmax
from scipy.stats import logistic

from common.errors import InputError
from common.hypervae import density, likelihoods
from common.hypervae.training import fit_or_load

LEVELS = np.arange(256.0, dtype=np.float32)
COMPONENTS = (1, likelihoods.MIXED)


def some(components, size=1.0):
    """Parameters of 40 pixels, (40, 1, 1, 3 * components)."""
    return np.random.default_rng(components).normal(0, size, (40, 1, 1, 3 * components)).astype(np.float32)


def each_level(parameters):
    """Log probabilities of all levels, (256, pixels)."""
    own = likelihoods.Levels(tf.constant(parameters)).distribution
    return np.stack([own.log_prob(np.full(parameters.shape[:-1], level)).numpy().ravel() for level in LEVELS])


@pytest.mark.parametrize("components", COMPONENTS)
def test_probabilities_are_scipys_and_sum_to_one(components):
    parameters = some(components)
    found = each_level(parameters)
    np.testing.assert_allclose(np.exp(found).sum(0), 1, atol=1e-4)
    weights, locations, scales = np.split(parameters[:, 0, 0].astype(float), 3, -1)
    start = np.linspace(-1, 1, components) if components > 1 else 0
    scale = np.exp(np.maximum(scales + likelihoods.START_LOG_SCALE, likelihoods.LEAST_LOG_SCALE))
    own = logistic(127.5 * (1 + locations + start), 127.5 * scale)
    upper = np.concatenate([LEVELS[:-1] + 0.5, [np.inf]])[:, None, None]
    lower = np.concatenate([[-np.inf], LEVELS[:-1] + 0.5])[:, None, None]
    by_hand = (softmax(weights, -1) * (own.cdf(upper) - own.cdf(lower))).sum(-1)
    np.testing.assert_allclose(np.exp(found), by_hand, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("components", COMPONENTS)
@pytest.mark.parametrize("size", [1.0, 30.0, 3000.0])
def test_gradients_are_finite_at_every_level_however_far_off_it_is(components, size):
    parameters = tf.constant(some(components, size))
    for level in (0, 1, 128, 254, 255):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            nats = likelihoods.Levels(parameters).log_prob(tf.fill(parameters.shape[:-1], float(level)))
        assert np.isfinite(nats).all() and np.isfinite(tape.gradient(nats, parameters)).all(), level


@pytest.mark.parametrize("components", COMPONENTS)
def test_means_and_draws_are_levels(components):
    parameters = some(components)
    own = likelihoods.Levels(tf.constant(parameters))
    mean = (np.exp(each_level(parameters)) * LEVELS[:, None]).sum(0)
    np.testing.assert_allclose(np.ravel(own.mean()), mean, atol=0.05)
    draws = likelihoods.Levels(tf.tile(parameters[None], (100,) + (1,) * parameters.ndim)).sample([0, 0]).numpy()
    assert draws.min() >= 0 and draws.max() <= 255 and (draws == draws.round()).all()
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - own.mean()) < 5 * error + 0.05).all()


@pytest.mark.parametrize("model", often("hypervae", rest=["vae", "metavae"]))
def test_models_of_grey_images_learn_and_their_means_are_pictures(model, small_networks, uncompiled, tmp_path):
    grey = {f"x{part}": grey_levels(getattr(bars(), f"x{part}")) for part in ("", "_test", "_validation")}
    data = dataclasses.replace(bars(), **grey, body="conv_logistic_mixture")
    own = {"body": data.body, "fingerprint": data.fingerprint(), "generator": "layerwise", "summary": "mean"}
    run = fit_or_load(settings(model=model, iterations=300, learning_rate=1e-2, **own), data, tmp_path)
    nats = density.evaluate(run.model, data.x_test, data.y_test, task_size=10, num_importance_samples=0)["neg_elbo"]
    assert nats < 64 * np.log(256) - 45  # all levels alike
    theta, _ = run.model.weights_for(tf.cast(data.x[None, :5], tf.float32), tf.constant([int(data.y[0])]))
    pictures = run.model.pictures(run.model.encode(data.x[None, :5], theta).mean(), theta)
    assert pictures.shape == (1, 5, 8, 8, 1) and 0 <= np.min(pictures) and np.max(pictures) <= 1
    if model == "hypervae":
        assert run.model.vae_for(data.x[:3]).pictures(np.zeros((2, 2), np.float32)).shape == (2, 8, 8, 1)
        with pytest.raises(InputError, match=r"\[0, 255\]"):
            run.model.vae_for(data.x[:3] + 255.0)


def grey_levels(x):
    """Binary images as grey ones with noise."""
    return (40 + 150 * x + np.random.default_rng(0).integers(0, 60, x.shape)).astype(np.uint8)


def test_nats_as_bits_for_each_dimension():
    assert density.bits_per_dim(28 * 28 * np.log(2), (28, 28, 1)) == pytest.approx(1)
    assert density.bits_per_dim(3 * np.log(256), (1, 1, 3)) == pytest.approx(8)
