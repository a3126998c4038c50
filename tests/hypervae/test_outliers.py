"""Outlier scores against a loop over images, and Table 4's measures against counting."""

import zlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.stats import multivariate_normal, spearmanr

from common.data import datasets
from common.errors import InputError
from common.hypervae import outliers
from common.hypervae.density import code_length
from common.hypervae.hypervae import HyperVAE
from common.hypervae.metavae import MetaVAE
from common.hypervae.vae import VAE
from common.layers.kernels import dense_theta

SMALL = dict(image_shape=(8, 8, 1), latent_dim=3)
X = (np.random.default_rng(0).random((7, 8, 8, 1)) < 0.4).astype(np.uint8)


def still(model):
    """The model moved away from its start, with q(z|x) so narrow that every draw is its mean."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (7, i)))
    for variable in model.trainable_variables:
        if "log_var_bias" in variable.path and "left" not in variable.path and "right" not in variable.path:
            variable.assign(tf.fill(variable.shape, -30.0))
    return model


def hypervae():
    model = HyperVAE(summary="mean", **SMALL)
    model = still(model)
    # The hyper-encoder's own variance is not z's: KL(u) stays an ordinary number.
    model.theta["encoder/log_var/bias"].assign(tf.zeros(model.hyper_latent_dim))
    return model


def test_per_image_weights_equal_a_loop_over_images():
    model = hypervae()
    table = outliers.statistics(model, {"x": X}, num_samples=3, batch_size=4)["x"]
    assert len(table) == 7  # one whole batch, and one that was filled up
    for i, row in table.iterrows():
        vae = model.vae_for(X[i : i + 1])
        theta = {name: w.value for name, w in vae.theta.items()}
        length = code_length(vae.body, theta, tf.cast(X[i : i + 1], tf.float32), tf.constant([5, 6]))
        np.testing.assert_allclose(row["reconstruction"], length.reconstruction[0], rtol=1e-4)
        np.testing.assert_allclose(row["kl_z"], length.kl_z[0], rtol=1e-4)
        np.testing.assert_allclose(
            row[["code_z0", "code_z1", "code_z2"]], vae.encode(X[i : i + 1]).mean()[0], rtol=1e-3
        )
        np.testing.assert_allclose(row["norm_z"], np.linalg.norm(vae.encode(X[i : i + 1]).mean()), rtol=1e-4)
        q_u = model.infer_u(tf.cast(X[None, i : i + 1], tf.float32)).distribution
        mean, std = q_u.loc.numpy()[0], q_u.scale.numpy()[0]
        np.testing.assert_allclose(row["kl_u"], 0.5 * np.sum(std**2 + mean**2 - 1 - 2 * np.log(std)), rtol=1e-4)
        np.testing.assert_allclose(row["norm_u"], np.linalg.norm(mean), rtol=1e-4)
        np.testing.assert_allclose(row["code_u9"], mean[9], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("generator", ["layerwise", "block"])
def test_average_vae_has_the_mean_of_all_thetas(generator):
    model = HyperVAE(summary="mean", generator=generator, **SMALL)
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (7, i)))
    theta, _ = model.weights_for(tf.cast(X[:, None], tf.float32))
    vae = model.average_vae(X, batch_size=3)
    for name, value in dense_theta(theta).items():
        np.testing.assert_allclose(vae.theta[name].numpy(), tf.reduce_mean(value, 0), atol=1e-5)


def test_regret_is_the_average_thetas_length_minus_the_own():
    model = hypervae()
    average = still(VAE(**SMALL))
    table = outliers.statistics(model, {"x": X}, average_vae=average, batch_size=7)["x"]
    other = outliers.statistics(average, {"x": X}, batch_size=7)["x"]
    own = table["reconstruction"] + table["kl_z"]
    np.testing.assert_allclose(table["regret"], other["reconstruction"] + other["kl_z"] - own, rtol=1e-5)
    assert set(other.columns) == {"reconstruction", "kl_z", "norm_z", "code_z0", "code_z1", "code_z2"}


def test_metavae_averages_over_all_decoders():
    model = still(MetaVAE(num_tasks=3, **SMALL))
    table = outliers.metavae_statistics(model, {"x": X}, num_samples=4, batch_size=5)["x"]
    expected = []
    for task in range(3):
        theta, _ = model.weights_for(tf.cast(X[None], tf.float32), tf.constant([task]))
        expected.append(code_length(model.body, theta, tf.cast(X[None], tf.float32), tf.constant([5, 6])))
    np.testing.assert_allclose(table["kl_z"], expected[0].kl_z[0], rtol=1e-4)
    np.testing.assert_allclose(table["neg_elbo_all_decoders"], np.mean([e.neg_elbo[0] for e in expected], 0), rtol=1e-4)


def test_scores_are_their_formulas():
    rng = np.random.default_rng(1)
    columns = ["reconstruction", "kl_z", "norm_z", "kl_u", "norm_u", "regret", "png", "zlib", "context"]
    tables = {name: pd.DataFrame(rng.random((200, 9)), columns=columns) for name in ("validation", "test", "other")}
    found = outliers.scores(tables)
    t = tables["other"]
    np.testing.assert_allclose(found["description_length"]["other"], t["reconstruction"] + t["kl_z"])
    np.testing.assert_allclose(found["description_length_with_u"]["other"], t["reconstruction"] + t["kl_z"] + t["kl_u"])
    np.testing.assert_allclose(found["complexity_adjusted_png"]["other"], t["reconstruction"] + t["kl_z"] - t["png"])
    assert all(set(by_set) == {"test", "other"} for by_set in found.values())
    assert "regret" not in outliers.scores({n: x.drop(columns=["regret", "kl_u"]) for n, x in tables.items()})


def test_compressed_lengths_follow_structure():
    noise = (np.random.default_rng(2).random((1, 28, 28, 1)) < 0.5).astype(np.uint8)
    stripes = np.zeros((1, 28, 28, 1), np.uint8)
    stripes[:, ::2] = 1
    lengths = outliers.compressed_lengths(np.concatenate([noise, stripes]))
    assert (lengths.iloc[0] > 1.2 * lengths.iloc[1]).all() and list(lengths) == list(outliers.COMPRESSORS)
    packed = zlib.compress(np.packbits(noise.astype(bool)).tobytes(), 9)
    assert np.isclose(lengths["zlib"][0], 8 * len(packed) * np.log(2))


def test_context_code_is_a_code_and_adapts():
    """Its lengths are those of a probability over all images (they sum to 1), and follow by-hand counting."""
    every = ((np.arange(2**9)[:, None] >> np.arange(9)) & 1).astype(np.uint8).reshape(-1, 3, 3, 1)
    np.testing.assert_allclose(np.exp(-outliers.context_lengths(every)).sum(), 1)
    row = np.array([1, 1, 1, 0], np.uint8).reshape(1, 1, 4, 1)  # contexts: nothing, then west = 1 three times
    np.testing.assert_allclose(outliers.context_lengths(row), -np.log([1 / 2 * 1 / 2 * 3 / 4 * 1 / 6]))
    noise = (np.random.default_rng(6).random((20, 28, 28, 1)) < 0.5).astype(np.uint8)
    assert np.all(outliers.context_lengths(noise) > 784 * np.log(2) * 0.97)
    assert outliers.context_lengths(np.ones((1, 28, 28, 1), np.uint8))[0] < 30


def test_density_of_states_ranks_as_the_true_density_and_catches_both_sides():
    rng = np.random.default_rng(3)
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    normal = pd.DataFrame(rng.multivariate_normal([50, -3], covariance, 3000), columns=["a", "b"])
    score = outliers.density_of_states(normal)
    points = pd.DataFrame(rng.multivariate_normal([50, -3], 3 * covariance, 500), columns=["a", "b"])
    truth = -multivariate_normal([50, -3], covariance).logpdf(points.to_numpy())
    assert spearmanr(score(points), truth).statistic > 0.97
    easy, hard, typical = score(pd.DataFrame({"b": [-3, -3, -3], "a": [40.0, 60.0, 50.0]}))
    assert easy > typical + 5 and hard > typical + 5


def test_measures_equal_counting():
    rng = np.random.default_rng(4)
    normal, outlier = np.round(rng.normal(0, 1, 60), 1), np.round(rng.normal(1.2, 1, 25), 1)  # rounded: ties
    row = outliers.measures(normal, outlier, num_bootstrap=200)
    pairs = (outlier[:, None] > normal[None]).mean() + 0.5 * (outlier[:, None] == normal[None]).mean()
    assert np.isclose(row["auc"], 100 * pairs)
    rates = [((normal >= t).mean(), (outlier < t).mean()) for t in np.unique(np.concatenate([normal, outlier, [9.0]]))]
    assert np.isclose(row["fpr"] + row["fnr"], 100 * min(f + m for f, m in rates))
    assert any(np.allclose((row["fpr"], row["fnr"]), (100 * f, 100 * m)) for f, m in rates)
    assert np.isclose(abs(row["fpr_equal_error"] - row["fnr_equal_error"]), 100 * min(abs(f - m) for f, m in rates))
    called = row["fpr_percentile_80"] * 60 + (100 - row["fnr_percentile_80"]) * 25
    assert abs(called / 85 - 20) < 4  # a fifth of the mixture is called outlying
    assert row["ci_low"] < row["auc"] < row["ci_high"] < row["ci_low"] + 30
    assert outliers.measures(-normal, -outlier, num_bootstrap=2)["auc"] < 50  # never flipped


@pytest.mark.parametrize("name", outliers.BASELINES)
def test_baselines_tell_noise_from_bars(name):
    rng = np.random.default_rng(5)
    bars = np.zeros((300, 8, 8, 1), np.uint8)
    bars[np.arange(300), :, rng.integers(0, 8, 300)] = 1
    noise = (rng.random((60, 8, 8, 1)) < 0.4).astype(np.uint8)
    score = outliers.BASELINES[name](bars[:250], seed=0)
    assert outliers.measures(score(bars[250:]), score(noise), num_bootstrap=2)["auc"] > 95
    np.testing.assert_array_equal(score(noise), outliers.BASELINES[name](bars[:250], seed=0)(noise))


def test_restrict_keeps_some_classes_and_numbers_them_anew():
    data = datasets.load("digits", "nowhere")
    part = datasets.restrict(data, [7, 2])
    assert part.num_classes == 2 and part.name == "digits-2-7" and part.fingerprint() != data.fingerprint()
    np.testing.assert_array_equal(part.x_test[part.y_test == 1], data.x_test[data.y_test == 7])
    with pytest.raises(InputError, match="classes 0 to 9"):
        datasets.restrict(data, [3, 11])
