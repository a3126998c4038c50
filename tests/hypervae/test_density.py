"""Code lengths against hand computation, closed forms and quadrature."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logsumexp
from scipy.stats import norm

from common.hypervae import density
from common.hypervae.hypervae import HyperVAE
from common.hypervae.tasks import evaluation_tasks
from common.hypervae.vae import VAE

pytestmark = pytest.mark.usefixtures("small_networks")
X = tf.cast(tf.random.stateless_uniform((20, 8, 8, 1), (0, 1)) < 0.4, tf.float32)


def tiny_vae(latent_dim):
    model = VAE((8, 8, 1), latent_dim)
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (5, i)))
    return model


def own_theta(model):
    return model.weights_for(X[None], None)[0]


def test_kl_is_the_closed_form():
    mean, log_var = tf.constant([[0.3, -2.0], [0.0, 0.0]]), tf.constant([[0.5, -1.0], [0.0, 0.0]])
    by_hand = 0.5 * np.sum(np.exp(log_var) + mean.numpy() ** 2 - 1 - log_var.numpy(), -1)
    np.testing.assert_allclose(density.kl_to_prior(density.posterior(mean, log_var)), by_hand, rtol=1e-6)


def test_the_terms_by_hand():
    """Reconstruction by numpy at the very z that was drawn; KL in closed form; KL(u) shared."""
    model = tiny_vae(3)
    theta, seed = own_theta(model), tf.constant([4, 2])
    length = density.code_length(model.body, theta, X, seed, kl_u=0.25)
    mean, log_var = (t.numpy() for t in model.body.encode(theta, X))
    z = model.encode(X).sample(seed=tf.random.split(seed, 1)[0]).numpy()
    p = expit(model.body.decode(theta, tf.constant(z)).numpy())
    x = X.numpy()
    by_hand = -np.sum(np.where(x == 1, np.log(p), np.log1p(-p)), (1, 2, 3))
    np.testing.assert_allclose(length.reconstruction, by_hand, rtol=1e-4)
    kl = 0.5 * np.sum(np.exp(log_var) + mean**2 - 1 - log_var, -1)
    np.testing.assert_allclose(length.kl_z, kl, rtol=1e-4)
    np.testing.assert_allclose(length.neg_elbo, by_hand + kl + 0.25, rtol=1e-4)


def log_joint(model, z):
    """log p(x, z) for each image and each of the codes, float64 from numpy."""
    logits = model.body.decode(own_theta(model), tf.constant(z, tf.float32)).numpy().astype(np.float64)
    x = X.numpy().reshape(len(X), 1, -1)
    logits = logits.reshape(1, len(z), -1)
    return (x * logits - np.logaddexp(0, logits)).sum(-1) + norm.logpdf(z).sum(-1)


def log_weights(model, seed, num_samples):
    draw = tf.function(density.log_importance_weights, jit_compile=True, autograph=False)
    return draw(model.body, own_theta(model), X, tf.constant(seed), num_samples).numpy()


@pytest.mark.parametrize("latent_dim, points", [(1, 4001), (2, 161)])
def test_importance_sampling_agrees_with_quadrature(latent_dim, points):
    model = tiny_vae(latent_dim)
    axis = np.linspace(-8, 8, points)
    grid = np.stack(np.meshgrid(*[axis] * latent_dim), -1).reshape(-1, latent_dim)
    cell = (axis[1] - axis[0]) ** latent_dim
    exact = -logsumexp(log_joint(model, grid), axis=1) - np.log(cell)
    log_w = log_weights(model, [0, 9], 4096)
    estimate = density.importance_sampled_nll(log_w).numpy()
    w = np.exp(log_w - np.max(log_w, 0)).astype(np.float64)
    error = np.std(w, axis=0) / np.mean(w, axis=0) / np.sqrt(len(w))
    assert np.all(np.abs(estimate - exact) < 5 * error + 1e-3)
    assert error.max() < 0.2  # the check means something


def test_more_samples_tighten_the_bound():
    """-ELBO >= NLL_1 = -ELBO in expectation >= NLL_64 >= NLL_1024 >= exact."""
    model = tiny_vae(2)
    log_w = log_weights(model, [1, 1], 8192)
    neg_elbo = density.code_length(
        model.body, own_theta(model), X, tf.constant([1, 2]), num_samples=16
    ).neg_elbo.numpy()

    def mean_bound(k):
        groups = np.reshape(log_w, (-1, k, len(X))).swapaxes(0, 1)
        return np.mean(density.importance_sampled_nll(tf.constant(groups)))

    bounds = [mean_bound(k) for k in (1, 64, 1024)]
    assert abs(bounds[0] - neg_elbo.mean()) < 0.5
    assert bounds[0] > bounds[1] > bounds[2]


@pytest.mark.parametrize("compiled", [False, True])
def test_draws_are_those_of_the_distribution(compiled):
    q = density.posterior(*np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32))
    seeds = tf.constant([[1, 2], [3, 4]])
    both = tf.function(
        lambda: (density.draws(q, seeds), [q.sample(seed=seed) for seed in tf.unstack(seeds)]), jit_compile=compiled
    )
    drawn, expected = both()  # XLA draws by other streams
    assert drawn.shape == (3, 4, 2, 5)
    np.testing.assert_allclose(drawn, np.stack(expected, -2), rtol=1e-6, atol=1e-6)
    alike = density.draws(q, seeds, shared_noise=True)
    noise = (alike - q.mean()[..., None, :]) / q.stddev()[..., None, :]
    np.testing.assert_allclose(noise, np.broadcast_to(noise[:1, :1], noise.shape), atol=1e-5)


def test_log_sum_exp_does_not_overflow():
    log_w = tf.constant([[-1e4, 5e3], [-1e4, 5e3]], tf.float32)
    np.testing.assert_allclose(density.importance_sampled_nll(log_w), [1e4, -5e3])


def test_evaluation_tasks_cover_each_image_once_by_class():
    y = np.repeat([0, 1, 2], [250, 7, 100])
    tasks = evaluation_tasks(y, 100, seed=3)
    seen = np.concatenate([index[mask] for _, index, mask in tasks])
    assert sorted(seen) == list(range(len(y)))
    for label, index, mask in tasks:
        assert len(index) == len(mask) == 100 and mask[0] and np.all(y[index] == label)


@pytest.mark.parametrize(
    "model", [lambda: tiny_vae(2), lambda: HyperVAE(image_shape=(8, 8, 1), latent_dim=2, summary="mean")]
)
def test_evaluate_equals_its_parts(uncompiled, model):
    """The compiled, batched, masked evaluation against a plain loop over tasks, in float64 sums."""
    model = model()
    x, y = X.numpy().astype(np.uint8), np.repeat([0, 1], [13, 7])
    result = density.evaluate(model, x, y, seed=2, task_size=5, num_samples=8, num_importance_samples=64)
    terms = []
    for label, index, mask in evaluation_tasks(y, 5, 2):
        images = tf.cast(x[index[mask]], tf.float32)[None]
        theta, kl_u = model.weights_for(images, tf.constant([label]))
        length = density.code_length(model.body, theta, images, tf.constant([8, 8]), kl_u[:, None] / mask.sum(), 8)
        terms += list(np.stack([np.broadcast_to(term, (1, mask.sum()))[0] for term in length], -1))
    reconstruction, kl_z, kl_u = np.mean(terms, 0)
    assert np.isclose(result["kl_z"], kl_z, rtol=1e-4) and np.isclose(result["kl_u"], kl_u, rtol=1e-4)
    assert np.isclose(result["reconstruction"], reconstruction, rtol=2e-2)
    assert np.isclose(result["neg_elbo"], reconstruction + kl_z + kl_u, rtol=2e-2)
    assert result["nll_is"] < result["reconstruction"] + result["kl_z"] + 0.1 and result["nll_num_images"] == 20
    part = density.evaluate(model, x, y, seed=2, task_size=5, num_importance_samples=8, num_nll_images=10)
    assert part["nll_num_images"] == 5 + 5  # of tasks of 5, 5, 3, 5 and 2 images, two of each


def test_evaluation_depends_on_its_own_seed_only(uncompiled):
    x, y = X.numpy().astype(np.uint8), np.repeat([0, 1], 10)
    evaluator = density.Evaluator(tiny_vae(2), task_size=10, num_importance_samples=16)
    first = evaluator(x, y, seed=1)
    tf.random.normal((100,))
    assert first == evaluator(x, y, seed=1)
    assert first != evaluator(x, y, seed=2)


def test_an_evaluator_is_built_once(uncompiled):
    """The held-out curve of a training calls it again and again, on the weights of the moment."""
    model = tiny_vae(2)
    x, y = X.numpy().astype(np.uint8), np.repeat([0, 1], 10)
    evaluator = density.Evaluator(model, task_size=10, num_importance_samples=0)
    first = evaluator(x, y, seed=1)["neg_elbo"]
    model.trainable_variables[-1].assign_add([3.0])
    second = evaluator(x, y, seed=1)["neg_elbo"]
    assert second != first
    options = dict(seed=1, task_size=10, num_importance_samples=0)
    assert density.evaluate(model, x, y, **options)["neg_elbo"] == second
    assert evaluator._lengths_of.experimental_get_tracing_count() == 1


def test_an_evaluations_options_are_those_of_evaluate(uncompiled):
    model = tiny_vae(2)
    x, y = X.numpy().astype(np.uint8), np.repeat([0, 1], 10)
    likelihood = density.ImportanceSampling(num_importance_samples=8, num_images=6)
    for record in (density.Evaluation(likelihood, "test", likelihood), density.Evaluation(likelihood, "test")):
        found = density.evaluate(model, x, y, **record.options())
        assert found["nll_num_images"] == (6 if record.likelihood else 0)
        assert np.isnan(found["nll_is"]) == (record.likelihood is None)
