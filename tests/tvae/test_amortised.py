"""VAEs with an encoder against closed expressions, and what they learn of patches."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import often
from scipy.stats import multivariate_normal, norm

from common.tvae import amortised

RNG = np.random.default_rng(0)
DATA = (100 + 40 * (RNG.random((64, 2)) < 0.5) @ RNG.standard_normal((2, 9)) + 5 * RNG.standard_normal((64, 9))).astype(
    np.float32
)


@pytest.fixture(autouse=True)
def eager():
    """Nothing is compiled: small models take less than their compilation would."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def model(latents, **options):
    return amortised.AmortisedVAE(DATA, latents, 3, (8,), (8,), **options)


def test_the_divergence_of_binary_latents_is_that_of_bernoulli_distributions():
    built = model("concrete")
    built.pi.assign([0.2, 0.5, 0.7])
    z, kl, on = (part.numpy() for part in built.posterior(tf.constant(DATA)))
    assert ((z > 0) & (z < 1)).all()
    pi = built.pi.numpy()
    expected = on * np.log(on / pi) + (1 - on) * np.log((1 - on) / (1 - pi))
    np.testing.assert_allclose(kl, expected.sum(1), rtol=1e-3, atol=1e-5)
    hard = np.mean([built.posterior(tf.constant(DATA), hard=True)[0] for _ in range(400)], 0)
    np.testing.assert_allclose(hard, on, atol=0.12)


def test_the_divergence_of_gaussian_latents_is_that_of_a_sample_mean():
    built = model("gaussian")
    mean, log_variance = np.split(built.encoder((DATA - built.mean) / built.scale).numpy(), 2, -1)
    _, kl, _ = built.posterior(tf.constant(DATA))
    z = mean + np.exp(0.5 * log_variance) * RNG.standard_normal((4000, *mean.shape))
    ratio = norm.logpdf(z, mean, np.exp(0.5 * log_variance)) - norm.logpdf(z)
    np.testing.assert_allclose(kl, ratio.sum(-1).mean(0), atol=0.2)


@pytest.mark.parametrize("latents", often("gaussian", rest=amortised.LATENTS))
def test_the_likelihood_is_in_the_units_of_the_patches_and_the_bound_rises(latents):
    built = model(latents)
    built.variance.assign(0.3)
    z, *_ = built.posterior(tf.constant(DATA))
    mean = built.decoder(z).numpy() * built.scale + built.mean
    expected = [multivariate_normal.logpdf(x, m, 0.3 * built.scale**2) for x, m in zip(DATA, mean)]
    np.testing.assert_allclose(built.log_likelihood(DATA, z)[0], expected, rtol=1e-4)
    bounds = []

    def after_epoch(epoch, logs):
        bounds.append(logs["free_energy"])
        return epoch == 25

    amortised.fit(built, DATA, 0.01, 32, after_epoch)
    assert len(bounds) == 25 and bounds[-1] > bounds[1] + 1
    assert built.reconstruct(DATA).shape == DATA.shape and 0 < built.sigma < DATA.std()
