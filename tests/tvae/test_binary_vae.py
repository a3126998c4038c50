"""The binary-latent VAE against brute force over all its states, and against closed expressions."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from common.tvae.evolution import DUPLICATE, Evolution, pack, unpack
from common.tvae.model import BinaryVAE, Triangular

tfd = tfp.distributions
H, D, N = 6, 5, 7
ALL = np.array(list(itertools.product([0.0, 1.0], repeat=H)))
X = np.random.default_rng(0).normal(size=(N, D))


def model(num_states, **options):
    """A small float64 model with parameters away from their start."""
    built = BinaryVAE(N, D, H, (8,), num_states=num_states, variance=0.5, dtype="float64", **options)
    rng = np.random.default_rng(1)
    for variable in built.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    built.pi.assign(rng.uniform(0.1, 0.6, H))
    return built


def brute_force(built):
    """log p(x, z) for every data point and every state, by TFP's distributions, (N, 2^H)."""
    mean = built.decode(tf.constant(ALL))
    prior = tfd.Independent(tfd.Bernoulli(probs=built.pi.value, dtype=tf.float64), 1).log_prob(ALL)
    scale = tf.sqrt(built.variance.value) * tf.ones(D, tf.float64)
    return (tfd.MultivariateNormalDiag(mean, scale).log_prob(X[:, None]) + prior).numpy()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 100])
def test_packed_states_come_back_and_equal_words_mean_equal_states(length):
    states = (np.random.default_rng(length).random((4, 50, length)) < 0.3).astype(np.float32)
    words = pack(tf.constant(states))
    assert words.shape == (4, 50, -(-length // 32)) and words.dtype == tf.int32
    np.testing.assert_array_equal(unpack(words, length), states)
    flat, own = states.reshape(200, length), words.numpy().reshape(200, -1)
    np.testing.assert_array_equal((own[:, None] == own).all(-1), (flat[:, None] == flat).all(-1))


def test_with_every_state_the_bound_is_the_log_likelihood_and_q_the_posterior():
    built = model(2**H, evolution=Evolution(2, 2))
    joint = brute_force(built)
    likelihood = np.logaddexp.reduce(joint, 1)
    np.testing.assert_allclose(built.free_energy(X), likelihood, rtol=0, atol=1e-9)
    states, q = built.posterior(X, np.arange(N))
    index = (states.numpy() @ 2.0 ** np.arange(H)[::-1]).astype(int)
    np.testing.assert_allclose(q, np.take_along_axis(np.exp(joint - likelihood[:, None]), index, 1), atol=1e-9)
    assert (np.sort(index, 1) == np.arange(2**H)).all()  # all of them, each once


@pytest.mark.parametrize(
    "options",
    [
        {"selection": "best"},
        {"selection": "fitness", "num_generations": 3},
        {"selection": "uniform", "mutation": "sparse_flips", "flips": 1.5},
        {"selection": "best", "mutation": "crossover", "num_generations": 2},
    ],
    ids=["best", "fitness", "sparse_flips", "crossover"],
)
def test_e_steps_never_lower_the_bound_and_never_keep_a_state_twice(options):
    built = model(10, evolution=Evolution(4, 3, **options))
    joint = brute_force(built)
    states = unpack(built.words.value, H, tf.float64)
    bounds = [built.free_energy(X)]
    for step in range(30):
        states, values = built.evolve(tf.constant(X), states, tf.constant([0, step]))
        index = (states.numpy() @ 2.0 ** np.arange(H)[::-1]).astype(int)
        assert all(len(set(own)) == 10 for own in index)
        np.testing.assert_allclose(values, np.take_along_axis(joint, index, 1), atol=1e-9)
        bounds.append(np.logaddexp.reduce(values.numpy(), 1))
    assert (np.diff(bounds, axis=0) >= -1e-12).all()
    # Hardly anything is missing beside the ten best of all 64 states, which is the highest bound that ten can have.
    best = np.logaddexp.reduce(np.sort(joint, 1)[:, -10:], 1)
    assert (bounds[-1] <= best + 1e-12).all() and (bounds[-1] > best - 0.2).all() and (bounds[0] < best - 0.2).any()


def test_duplicates_are_left_out_even_where_few_states_are_new():
    built = model(2**H - 2, evolution=Evolution(10, 6))
    states, values = built.evolve(tf.constant(X), unpack(built.words.value, H, tf.float64), tf.constant([0, 0]))
    assert values.numpy().min() > DUPLICATE / 2
    assert all(len(np.unique(own, axis=0)) == 2**H - 2 for own in states.numpy())


def test_the_gradient_through_the_bound_is_the_expected_squared_errors():
    built = model(9)
    states = unpack(built.words.value, H, tf.float64)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(tf.reduce_logsumexp(built.log_joint(tf.constant(X), states), -1))
    through_bound = tape.gradient(loss, [v.value for v in built.trainable_variables])
    _, q = built.posterior(X, np.arange(N))
    with tf.GradientTape() as tape:
        squares = tf.reduce_sum(tf.square(X[:, None] - built.decode(states)), -1)
        loss = tf.reduce_sum(tf.stop_gradient(q) * squares) / (2 * built.variance.value)
    for ours, closed in zip(through_bound, tape.gradient(loss, [v.value for v in built.trainable_variables])):
        np.testing.assert_allclose(ours, closed, rtol=1e-9, atol=1e-9)


def test_prior_and_variance_have_their_closed_forms_after_an_epoch():
    built = model(8, seed=3)
    seen = []

    def improve(x, words, mask, original=built._improve):
        before = [v.numpy() for v in built.trainable_variables]
        found = original(x, words, mask)
        seen.append((x.numpy(), unpack(found[0], H, tf.float64).numpy(), before))
        return found

    built._improve = improve
    built.compile(optimizer="adam", run_eagerly=True)
    built.fit(X, epochs=1, batch_size=3, verbose=0)
    ones, squares = np.zeros(H), 0.0
    start = model(8, seed=3)
    for x, states, weights in seen:
        for variable, value in zip(start.trainable_variables, weights):
            variable.assign(value)
        q = tf.nn.softmax(start.log_joint(tf.constant(x), tf.constant(states))).numpy()
        ones += np.einsum("bs,bsh->h", q, states)
        squares += np.einsum("bs,bsd->", q, (x[:, None] - start.decode(tf.constant(states)).numpy()) ** 2)
    assert sum(len(x) for x, *_ in seen) == N
    np.testing.assert_allclose(built.pi, np.clip(ones / N, 1e-5, 1 - 1e-5), rtol=1e-9)
    np.testing.assert_allclose(built.variance, squares / (N * D), rtol=1e-9)


def test_only_observed_entries_count_and_the_estimate_fills_the_others():
    built = model(2**H, evolution=Evolution(2, 2))
    mask = (np.random.default_rng(2).random((N, D)) < 0.6).astype(float)
    mask[0] = 1
    states = unpack(built.words.value, H, tf.float64)
    ours = built.log_joint(tf.constant(X), states, mask=tf.constant(mask)).numpy()
    np.testing.assert_allclose(ours[0], built.log_joint(tf.constant(X), states)[0], rtol=1e-12)
    changed = np.where(mask > 0, X, 1e3)
    np.testing.assert_allclose(built.log_joint(tf.constant(changed), states, mask=tf.constant(mask)), ours, rtol=1e-12)
    kept = mask[1] > 0
    mean = built.decode(states[1]).numpy()[:, kept]
    scale = tf.sqrt(built.variance.value) * tf.ones(kept.sum(), tf.float64)
    prior = tfd.Independent(tfd.Bernoulli(probs=built.pi.value, dtype=tf.float64), 1).log_prob(states[1])
    np.testing.assert_allclose(ours[1], tfd.MultivariateNormalDiag(mean, scale).log_prob(X[1, kept]) + prior, rtol=1e-9)
    built.fit(changed, epochs=2, mask=mask, verbose=0)
    assert np.isfinite(built.reconstruct()).all() and np.abs(built.reconstruct()).max() < 100  # 1e3 was never seen


def test_the_learning_rate_is_a_triangle():
    rate = Triangular(1.0, 5.0, 4)
    np.testing.assert_allclose([float(rate(step)) for step in range(10)], [1, 2, 3, 4, 5, 4, 3, 2, 1, 2])


def test_a_run_continued_from_its_weights_equals_a_whole_one(tmp_path):
    whole, first = (BinaryVAE(N, D, H, (8,), num_states=10, evolution=Evolution(3, 2)) for _ in range(2))
    whole.fit(X, epochs=4, batch_size=3, verbose=0)
    first.fit(X, epochs=2, batch_size=3, verbose=0)
    first.save_weights(tmp_path / "state.weights.h5")
    second = BinaryVAE(N, D, H, (8,), num_states=10, evolution=Evolution(3, 2))
    second.fit(X, epochs=0, batch_size=3, verbose=0)  # compiles
    second.load_weights(tmp_path / "state.weights.h5")
    second.fit(X, epochs=4, initial_epoch=2, batch_size=3, verbose=0)
    np.testing.assert_array_equal(second.reconstruct(), whole.reconstruct())
    np.testing.assert_array_equal(second.words.numpy(), whole.words.numpy())
    assert (
        whole.free_energy(X).mean()
        > BinaryVAE(N, D, H, (8,), num_states=10, evolution=Evolution(3, 2)).free_energy(X).mean()
    )


def test_impossible_settings_are_refused():
    for num_states, evolution in ((65, Evolution()), (4, Evolution(num_parents=5)), (8, Evolution(num_children=7))):
        with pytest.raises(ValueError, match="not so many"):
            BinaryVAE(N, D, H, num_states=num_states, evolution=evolution)
    with pytest.raises(ValueError, match="selection"):
        Evolution(selection="worst")
    with pytest.raises(ValueError, match="shape"):
        model(8).fit(X[:3], epochs=1)
