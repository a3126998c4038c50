"""Unseen characters: contexts and targets are disjoint and nested, lengths are those of a loop, tables name it all."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypervae.toy import bars, settings, still

from common.hypervae import characters
from common.hypervae.hypervae import HyperVAE
from common.hypervae.vae import VAE

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
SMALL = dict(image_shape=(8, 8, 1), latent_dim=2)
OWN = settings(summary="mean", generator="layerwise")


def context(**changes):
    record = characters.Context(OWN, "test", 2, False, 3, 0, largest_context=4)
    return dataclasses.replace(record, **changes)


def test_contexts_are_nested_and_no_targets():
    ids = np.arange(60)[:, None, None, None]
    y = np.repeat(np.arange(6), [12, 8, 10, 10, 10, 10])
    small, targets = characters.split(ids, y, context())
    large, same = characters.split(ids, y, context(num_context=4))
    np.testing.assert_array_equal(targets, same)
    np.testing.assert_array_equal(large[:, :2], small)
    assert targets.shape[:2] == (6, 4)  # the smallest character has eight drawings
    for label in range(6):
        assert not set(large[label].ravel()) & set(targets[label].ravel())
        assert set(y[np.concatenate([large[label].ravel(), targets[label].ravel()])]) == {label}
    few, _ = characters.split(ids, y, context(num_characters=2))
    np.testing.assert_array_equal(few, small[[0, 5]])  # spread over all


@pytest.mark.parametrize("fitted", [False, True])
def test_targets_are_coded_by_what_their_own_context_makes(fitted, monkeypatch):
    monkeypatch.setattr(characters, "BLOCK", 2)  # the last block is filled up
    model, data, record = still(HyperVAE(summary="mean", hyper_latent_dim=2, **SMALL)), bars(), context(fitted=fitted)
    contexts, targets = characters.split(data.x_test, data.y_test, record)
    coder = characters.ContextCoder(model, record.num_samples, record.num_importance_samples)
    lengths, nll = coder(contexts, targets, record)
    assert lengths.shape == nll.shape == targets.shape[:2] == (3, 6)
    if not fitted:
        for own, given, coded in zip(lengths, contexts, targets):
            vae = model.vae_for(given)
            by_hand = -vae.decode(vae.encode(coded).mean()).log_prob(tf.cast(coded, tf.float32))
            kl = characters.density.kl_to_prior(vae.encode(coded))
            np.testing.assert_allclose(own, by_hand + kl, rtol=1e-4)
    found = characters.measure(record, model, data, coder)
    assert found["neg_elbo"] == pytest.approx(lengths.mean()) and found["num_images"] == 18


def test_without_a_context_a_vae_is_itself_and_a_hypervae_its_prior():
    data, record = bars(), context(num_context=0, num_importance_samples=0, prior_draws=1)
    vae = still(VAE(**SMALL))
    _, targets = characters.split(data.x_test, data.y_test, record)
    x = tf.cast(targets.reshape(-1, 8, 8, 1), tf.float32)
    expected = characters.density.kl_to_prior(vae.encode(x)) - vae.decode(vae.encode(x).mean()).log_prob(x)
    found = characters.measure(record, vae, data)
    assert found["neg_elbo"] == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-4) and np.isnan(found["nll_is"])
    model = still(HyperVAE(summary="mean", hyper_latent_dim=2, **SMALL))
    draw = model.plain_vae(model.generate(tf.random.stateless_normal((1, 2), (1, 0))))
    expected = characters.density.kl_to_prior(draw.encode(x)) - draw.decode(draw.encode(x).mean()).log_prob(x)
    assert characters.measure(record, model, data)["neg_elbo"] == pytest.approx(
        float(tf.reduce_mean(expected)), rel=1e-4
    )


def test_sets_pay_for_their_u():
    model, data = HyperVAE(summary="mean", hyper_latent_dim=2, **SMALL), bars()
    bounds = [characters.measure(characters.SetBound(OWN, "test", size), model, data) for size in (2, 10)]
    for bound in bounds:
        terms = bound["reconstruction"] + bound["kl_z"] + bound["kl_u"]
        assert bound["neg_elbo"] == pytest.approx(terms) and bound["kl_u"] > 0
    assert bounds[1]["kl_u"] < bounds[0]["kl_u"]  # shared by more


def test_a_plan_has_what_a_model_can_do():
    records = characters.plan(OWN, "test", 3, 0)
    assert len({record.digest for record in records}) == len(records) == 6 + 5 + 4
    assert {characters.method(record) for record in records} == {"hypervae", "hypervae_fitted"}
    assert len(characters.plan(settings(model="vae"), "test", 3, 0)) == 2
