"""A new task: fitted u never codes its images worse than q(u)'s mean; tuning begins with the VAE that it is given."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import ROOT
from hypervae.toy import BODIES, SmallBody, bars, hypervae

from common.hypervae import adaptation, density, outliers
from common.hypervae.adaptation import (
    FIT_RATE,
    JUDGED_BY,
    TOGETHER,
    UFitter,
    repeated,
    tuner_of,
    tuning_steps_for,
)
from common.hypervae.hypervae import HyperVAE

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
SMALL = dict(image_shape=(8, 8, 1), latent_dim=2)
TASKS = np.stack([bars().x[bars().y == k][:5] for k in range(3)]).astype(np.float32)


def code_length(model, u, images, seed=5):
    lengths = density.code_length(model.body, model.generate(u), images, tf.constant([seed, 0]), 0.0, 64)
    return tf.reduce_sum(lengths.reconstruction + lengths.kl_z, 1) + 0.5 * tf.reduce_sum(u**2, 1)


@pytest.fixture(scope="module")
def model():
    """No test changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BODIES, "conv", SmallBody)
        keras.utils.set_random_seed(0)
        return HyperVAE(summary="mean", hyper_latent_dim=3, **SMALL)


@pytest.fixture(scope="module")
def fit(model):
    """With the rate that users have; traced once for each number of tasks."""
    return UFitter(model, compiled=False)


def test_tuning_takes_as_many_steps_as_unseen_classes_called_for():
    rows = pd.read_csv(ROOT / "results" / "09_new_tasks" / "unseen.csv")
    own = rows[(rows["dataset"] == "mnist") & (rows["method"] == "hypervae_tuned_finetuned") & (rows["seed"] == 0)]
    own = own[own["iterations"] == 2_000]
    of_folds = own.groupby(["num_context", "fold"])["tuning_steps"].first()
    for images, steps in of_folds.groupby(level=0).median().items():
        assert tuning_steps_for(images) == steps
    assert (tuning_steps_for(4), tuning_steps_for(99), tuning_steps_for(10**6)) == (5, 20, 80)


def test_fitted_u_codes_its_images_shorter(model, fit):
    x = tf.constant(TASKS)
    start = model.infer_u(x).mean()
    fitted = fit(TASKS, steps=60)
    assert (code_length(model, fitted, x) < code_length(model, start, x)).numpy().all()


@pytest.mark.parametrize("steps, rate", [(1, FIT_RATE), (3, 100.0), (5, 1.0)])
def test_fitted_u_is_never_worse_by_the_draws_that_judge(model, fit, steps, rate):
    """A rate that throws u far away: then q(u)'s mean is what comes back."""
    x, start = tf.constant(TASKS), model.infer_u(tf.constant(TASKS)).mean()
    fitter = fit if rate == FIT_RATE else UFitter(model, rate, compiled=False)
    fitted = fitter(TASKS, 3, steps)
    judge = tf.random.fold_in(tf.constant([3, 1]), steps)

    def judged(u):
        images, copies = repeated(x)
        own = density.code_length(model.body, model.generate(u), images, judge, 0.0, JUDGED_BY)
        return tf.reduce_sum(own.reconstruction + own.kl_z, 1) / copies - density.standard_normal(u).log_prob(u)

    assert (judged(fitted) <= judged(start) + 1e-3).numpy().all()
    if rate == 100.0:
        np.testing.assert_array_equal(fitted, start)


def test_tasks_are_fitted_each_on_its_own(model, fit):
    together, alone = fit(TASKS, steps=10), fit(TASKS[:1], steps=10)
    # Their draws of z differ with the shape; their ends do so little.
    assert np.abs(together[0] - alone[0]).max() < 0.5 * np.abs(together - model.infer_u(TASKS).mean()).max() + 0.2


def test_a_fitted_posterior_moves_its_mean_alone_and_no_step_moves_nothing(model):
    x, seed = tf.constant(TASKS), tf.constant([0, 3])
    before, after = model.infer_u(x), model.fit_q_u(x, 30, seed)
    np.testing.assert_array_equal(model.fit_q_u(x, 0, seed).mean(), before.mean())
    np.testing.assert_allclose(after.stddev(), before.stddev(), rtol=1e-5)
    assert (code_length(model, after.mean(), x) < code_length(model, before.mean(), x)).numpy().all()


def test_a_fit_does_not_see_images_that_only_fill_a_task_up(model):
    mask = tf.constant([[True] * 3 + [False] * 2] * 3)
    other = np.concatenate([TASKS[:, :3], 1 - TASKS[:, 3:]], 1)
    fitted = [model.fit_q_u(tf.constant(x), 8, tf.constant([0, 3]), mask).mean() for x in (TASKS, other)]
    np.testing.assert_allclose(*fitted, atol=1e-5)
    assert np.abs(fitted[0] - model.infer_u(tf.constant(TASKS), mask).mean()).max() > 0.01


@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_image_that_is_repeated_counts_once_against_the_prior(number, monkeypatch):
    """What u minimises, sum_i -ELBO(x_i|theta(u)) - log N(u; 0, I), is over the task's own images."""
    own, images, seed = hypervae(), tf.constant(TASKS[:, :number]), tf.constant([5, 0])
    seen = []

    def adam(loss, start, *_):
        seen.append(loss(start, seed))
        return start

    monkeypatch.setattr(adaptation, "adam", adam)
    monkeypatch.setattr(tf, "function", lambda **_: lambda program: program)
    u = UFitter(own)(images)
    # q(z|x) is so narrow that a draw does not matter.
    lengths = density.code_length(own.body, own.generate(u), images, seed)
    expected = tf.reduce_sum(lengths.neg_elbo, 1) - density.standard_normal(u).log_prob(u)
    np.testing.assert_allclose(seen[0], expected, rtol=1e-4)


def test_evaluations_take_the_fitted_posterior(model):
    """Table 1 pays for the u that it takes; a score's theta(x), code and KL(u) are the fitted ones."""
    data = bars()
    plain, fitted = (
        density.evaluate(model, data.x, data.y, task_size=20, num_importance_samples=0, fit_u=steps)
        for steps in (0, 40)
    )
    assert fitted["neg_elbo"] < plain["neg_elbo"] and fitted["kl_u"] != pytest.approx(plain["kl_u"], rel=1e-3)
    plain, fitted = (outliers.image_statistics(model, fit_u=steps)(data.x[:20], (0, 0)) for steps in (0, 40))
    with_u = [table["reconstruction"] + table["kl_z"] + table["kl_u"] for table in (plain, fitted)]
    assert with_u[1].mean() < with_u[0].mean()
    assert np.abs(fitted["code_u0"] - plain["code_u0"]).max() > 0.1


def test_tuning_begins_with_the_given_weights_each_time(model):
    images = TASKS[1]
    vae = model.vae_for(images)
    theta = {name: weight.numpy() for name, weight in vae.theta.items()}
    tune = tuner_of(model)
    assert tuner_of(HyperVAE(summary="mean", **SMALL)) is tune  # a program knows no weights
    lengths = []
    for _ in range(2):
        own = []
        for tuned in tune(theta, images, [0, 5, 40], rate=1e-2):
            own.append(float(tf.reduce_mean(code_of(model.plain_vae(tuned), images))))
        lengths.append(own)
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-5)  # the second call is not the first one's continuation
    np.testing.assert_allclose(lengths[0][0], tf.reduce_mean(code_of(vae, images)), rtol=1e-5)
    assert lengths[0][0] > lengths[0][1] > lengths[0][2]
    for number in (1, 2, 3):  # contexts of other sizes
        assert len(list(tune(theta, images[:number], [0, 2]))) == 2
    assert len(tune._of_size) == 2  # of 20 and of 18 images
    for number in range(21, 24):
        (tuned,) = tune(theta, np.resize(images, (number, *images.shape[1:])), [0])
        np.testing.assert_array_equal(tuned["decoder/dense/bias"], theta["decoder/dense/bias"])
    assert list(tune._of_size) == [18, 21, 22, 23]  # as many as are kept


@pytest.mark.parametrize("number, total", [(1, 20), (5, 20), (3, 18), (20, 20), (21, 21), (250, 250)])
def test_few_images_are_repeated_a_whole_number_of_times(number, total):
    images, copies = repeated(tf.range(number)[None, :, None])
    assert images.shape[1] == total == copies * number and total <= max(TOGETHER, number)
    assert set(np.bincount(images.numpy().ravel())) == {copies}


def code_of(vae, images):
    lengths = density.code_length(vae.body, vae.own_theta(), tf.constant(images[None]), tf.constant([1, 2]), 0.0, 16)
    return lengths.reconstruction + lengths.kl_z
