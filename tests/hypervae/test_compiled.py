"""What users run is compiled by XLA; the other tests run the same programs as plain graphs."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from conftest import plain_programs
from hypervae.toy import bars, hypervae, settings

from common.discovery.families import Family
from common.hypervae import density, outliers, training
from common.hypervae.density import code_length

pytestmark = pytest.mark.usefixtures("small_convolutions")
X = (np.random.default_rng(0).random((7, 8, 8, 1)) < 0.4).astype(np.uint8)


def test_per_image_weights_equal_a_loop_over_images():
    model = hypervae()
    table = outliers.image_statistics(model, num_samples=3, batch_size=4)(X, (0, 0))
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


def test_a_familys_programs_are_those_that_searches_are_tested_with():
    model = hypervae()
    family, target = Family(model), X[0].astype(float)
    u, z = (np.random.default_rng(i).standard_normal((3, n)).astype(np.float32) for i, n in enumerate((10, 3)))
    plain = {name: functools.partial(program.python_function, family) for name, program in plain_programs().items()}
    np.testing.assert_allclose(family.decode(u, z), plain["_decode"](u, z), rtol=1e-4)
    x = tf.cast(X[0][None, None], tf.float32)
    np.testing.assert_allclose(family.encode(u[0], target), plain["_encode"](u[:1], x)[0], rtol=1e-3, atol=1e-5)
    place = [tf.constant(own, tf.float32) for own in (u[0], z[0], target, np.ones_like(target))]
    compiled, expected = (run(*place) for run in (family._distance_and_gradient, plain["_distance_and_gradient"]))
    np.testing.assert_allclose(compiled[0], expected[0], rtol=1e-4)
    for ours, theirs in zip(compiled[1], expected[1]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-6)


def test_trainings_and_measures_are_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(training, "LEAST_ROWS", 2)
    run = training.fit_or_load(settings(summary="mean", iterations=20), bars(), tmp_path)
    assert run.model.jit_compile and run.log["neg_elbo"].iloc[-1] < run.log["neg_elbo"].iloc[0]
    x, y = bars().part("test")
    compiled, plain = (
        density.Evaluator(run.model, 10, num_importance_samples=0, compiled=compiled)(x, y)
        for compiled in (True, False)
    )
    np.testing.assert_allclose(compiled["kl_z"], plain["kl_z"], rtol=1e-4)  # the draws of z differ
    np.testing.assert_allclose(compiled["neg_elbo"], plain["neg_elbo"], rtol=0.05)
