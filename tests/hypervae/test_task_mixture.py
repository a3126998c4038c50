"""The mixture of tasks: against a plain sum over VAEs taken out of the models, and where one task is all there is."""

import numpy as np
import pytest
import tensorflow as tf
from hypervae.toy import still

from common.hypervae import density, task_mixture
from common.hypervae.cvae import CVAE
from common.hypervae.hypervae import HyperVAE
from common.hypervae.metavae import MetaVAE

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
SMALL = dict(image_shape=(8, 8, 1), latent_dim=3)
X = (np.random.default_rng(0).random((130, 8, 8, 1)) < 0.4).astype(np.uint8)
Y = np.arange(130) % 3


def lengths_by_hand(model, theta):
    """-ELBO of each image, where q(z|x) is so narrow that every draw is its mean."""
    x = tf.cast(X[None], tf.float32)
    q = model.encode(x, theta)
    return -(model.decode(q.mean(), theta).log_prob(x) - density.kl_to_prior(q)).numpy()[0]


@pytest.mark.parametrize("kind", [MetaVAE, CVAE])
def test_a_class_told_models_mixture_is_the_sum_over_its_classes(kind):
    model = still(kind(num_tasks=3, **SMALL))
    mixture = task_mixture.of_classes(model, np.repeat([0, 1, 2], [10, 30, 60]))
    expected = [
        lengths_by_hand(model, model.weights_for(tf.zeros((1, 1, 8, 8, 1)), tf.constant([k]))[0]) for k in range(3)
    ]
    lengths = mixture.code_lengths(X, num_samples=1)
    np.testing.assert_allclose(lengths, expected, rtol=1e-4)
    by_hand = -np.log(np.sum([[0.1], [0.3], [0.6]] * np.exp(-lengths + lengths.min()), 0)) + lengths.min()
    np.testing.assert_allclose(mixture.mixed(lengths), by_hand, rtol=1e-9)


@pytest.mark.parametrize("choice", [{}, {"generate": "scale_bias"}, {"generator": "concatenation"}])
def test_a_hypervaes_mixture_holds_the_vaes_that_it_hands_out(choice):
    model = still(HyperVAE(summary="mean", **choice, **SMALL))
    tasks = [X[Y == k].astype(np.float32) for k in range(3)]
    mixture = model.task_mixture(tasks)
    lengths = mixture.code_lengths(X, num_samples=1)
    for k, images in enumerate(tasks):
        vae = model.vae_for(images)
        np.testing.assert_allclose(lengths[k], lengths_by_hand(vae, None), rtol=1e-4)
    # One task alone is that task's VAE; the same one twice, too.
    alone = model.task_mixture(tasks[:1])
    np.testing.assert_allclose(alone.mixed(lengths[:1]), lengths[0], rtol=1e-9)
    twice = model.task_mixture([tasks[0], tasks[0]], shares=[1, 3])
    np.testing.assert_allclose(twice.mixed(lengths[[0, 0]]), lengths[0], rtol=1e-9)


def test_the_likelihood_lies_below_the_bound_and_on_it_for_one_draw():
    model = HyperVAE(summary="mean", **SMALL)
    mixture = model.task_mixture([X[Y == k].astype(np.float32) for k in range(2)])
    same = model.task_mixture([X.astype(np.float32)] * 4)
    lengths = same.code_lengths(X, num_samples=1)
    np.testing.assert_allclose(same.mixed(lengths), lengths[0], rtol=1e-4)  # all VAEs see the same noise
    bound = mixture.code_lengths(X, num_samples=64).mean()
    nll = [mixture.neg_log_likelihoods(X, num_importance_samples=n).mean() for n in (1, 64)]
    assert nll[1] < bound and abs(nll[0] - bound) < 0.3  # one draw is the bound, but for noise


def test_what_far_tasks_add_is_nothing(monkeypatch):
    """Whether all tasks are coded by all draws or those alone that matter: one mixture."""
    model = MetaVAE(num_tasks=4, **SMALL)
    model.decoders["decoder/dense/bias"].assign_add(tf.constant([0.0, 0.2, 3.0, 30.0])[:, None])
    mixture = task_mixture.of_classes(model, np.arange(40) % 4)
    found, pairs = [], []
    for far in (1e9, task_mixture.FAR, 0.0):
        monkeypatch.setattr(task_mixture, "FAR", far)
        lengths, nll = mixture.code_lengths(X), mixture.neg_log_likelihoods(X, num_importance_samples=64)
        found.append((mixture.mixed(lengths), mixture.mixed(nll)))
        pairs.append(sum(len(near) for _, near in mixture._near(lengths)))
    (lengths, nll), (near_lengths, near_nll), _ = found
    np.testing.assert_allclose(near_lengths, lengths, atol=1e-3)
    assert near_nll.mean() == pytest.approx(nll.mean(), abs=0.01)  # other draws
    assert pairs[0] == 4 * len(X) > pairs[1] > pairs[2] == len(X)
    # A task's share decides as its length does.
    mixture.log_shares = np.log([1e-30, 1.0, 1.0, 1.0])
    near = {task: set(images) for task, images in mixture._near(np.zeros((4, 3)))}
    assert not near.get(0) and near[1] == near[2] == near[3] == {0, 1, 2}
