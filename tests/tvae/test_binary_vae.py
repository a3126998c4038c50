"""The binary-latent VAE against brute force over all its states, and against closed expressions."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from conftest import often
from scipy.special import xlog1py, xlogy
from scipy.stats import chisquare, norm

from common.tvae import bars
from common.tvae.evolution import DUPLICATE, Evolution, distinct_positions, pack, unpack
from common.tvae.model import BinaryVAE, Triangular

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


def log_joint(x, states, mean, built):
    """log p(x, z) by SciPy's normal distribution, of x (..., D), states (..., H) and their means (..., D)."""
    pi, sigma = built.pi.numpy(), np.sqrt(built.variance.numpy())
    prior = (xlogy(states, pi) + xlog1py(1 - states, -pi)).sum(-1)
    return norm.logpdf(x, mean, sigma).sum(-1) + prior


def brute_force(built):
    """log p(x, z) for every data point and every state, (N, 2^H)."""
    return log_joint(X[:, None], ALL, built.decode(tf.constant(ALL)).numpy(), built)


@pytest.fixture
def eager():
    """Nothing is compiled: small models take less than their compilation would."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


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
        {"selection": "fitness", "num_generations": 3, "mutation": "flip"},
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


@pytest.mark.parametrize("number, length", [(1, 1), (2, 5), (4, 6), (5, 5)])
def test_positions_are_distinct_and_all_subsets_equally_likely(number, length):
    drawn = np.sort(distinct_positions((200, 50), number, length, tf.constant([3, 1])), -1).reshape(-1, number)
    assert drawn.min() >= 0 and drawn.max() < length and (np.diff(drawn) > 0).all()
    subsets, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(subsets) == math.comb(length, number)
    if len(subsets) > 1:
        assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("mutation", ["floyd_flip", "flip"])
def test_children_of_a_parent_differ_from_it_in_one_bit_each_another_one(mutation):
    parents = tf.constant((np.random.default_rng(0).random((9, 2, 7)) < 0.4).astype(np.float32))
    children = Evolution(2, 4, mutation=mutation).children(parents, 1.0, tf.constant([0, 1]))
    flips = np.reshape(children, (9, 2, 4, 7)) != parents.numpy()[:, :, None]
    assert (flips.sum(-1) == 1).all() and (flips.any(2).sum(-1) == 4).all()


def test_each_parent_is_crossed_with_its_neighbour_at_one_point_before_bits_flip():
    """Up to the point the bits are a parent's own, then those of the one before it; the first follows the last."""
    length, parents = 9, tf.constant((np.random.default_rng(0).random((200, 3, 9)) < 0.5).astype(np.float32))
    children = Evolution(3, 4, mutation="crossover").children(parents, 1.0, tf.constant([0, 1]))
    children, parents = np.reshape(children, (200, 3, 4, length)), parents.numpy()
    crossed = (children.mean(2) > 0.5).astype(float)  # another child has another bit flipped: most are as they were
    flips = children != crossed[:, :, None]
    assert (flips.sum(-1) == 1).all() and (flips.any(2).sum(-1) == 4).all()
    points = np.arange(1, length)
    mixed = np.where(np.arange(length) < points[:, None], parents[:, :, None], np.roll(parents, 1, 1)[:, :, None])
    fits = (mixed == crossed[:, :, None]).all(-1)  # by point; several do where the two have bits in common
    assert fits.any(-1).all()
    assert (crossed != parents).any(-1).mean() > 0.8
    alone = fits[fits.sum(-1) == 1]
    assert chisquare(alone.sum(0)[1:-1]).pvalue > 1e-3 and alone.any(0).all()


@pytest.mark.parametrize(
    "selection, values, shares",
    [
        ("fitness", [-3.0, -1.0, -2.0], [3, 5, 4]),
        ("fitness", [3.0, 1.0, 2.0], [3, 1, 2]),
        ("fitness", [-4.0, 4.0, 0.0], [1, 3, 2]),
        ("uniform", [-3.0, -1.0, -2.0], [1, 1, 1]),
        ("best", [-3.0, -1.0, -2.0], [0, 1, 1]),
    ],
)
def test_parents_are_chosen_as_their_selection_says(selection, values, shares):
    """In proportion to fitness: the log-joint less twice the least one of a data point, where that is negative."""
    pool = tf.tile(tf.eye(3)[None], (4000, 1, 1))
    chosen = Evolution(2, 1, selection=selection).parents(pool, tf.tile([values], (4000, 1)), tf.constant([0, 1]))
    counts, expected = chosen.numpy().sum((0, 1)), 8000 * np.array(shares) / sum(shares)
    assert (counts == expected).all() if selection == "best" else chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.parametrize("ones", [0, 1, 3, 12, 20])
def test_sparse_flips_move_the_number_of_ones_toward_the_wanted_one(ones):
    parents = tf.constant(np.arange(20) < ones, tf.float64)[None, None]
    wanted, evolution = 2.0, Evolution(1, 4000, mutation="sparse_flips", flips=1.0)
    children = evolution.children(parents, tf.constant(wanted, tf.float64), tf.constant([0, 1])).numpy()[0]
    mean = children.sum(-1).mean()
    assert abs(mean - wanted) < max(abs(ones - wanted) - 0.8, 0.1)  # by the one flip, or as far as it is away
    assert (children != parents.numpy()[0]).sum(-1).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("mutation", ["crossover", "sparse_flips", "floyd_flip"])
def test_states_of_one_bit_have_children(mutation):
    children = Evolution(2, 1, mutation=mutation).children(tf.zeros((3, 2, 1)), 1.0, tf.constant([0, 1]))
    assert children.shape == (3, 2, 1)


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


def test_prior_and_variance_have_their_closed_forms_after_an_epoch(eager):
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
    expected = log_joint(X[1, kept], states[1].numpy(), built.decode(states[1]).numpy()[:, kept], built)
    np.testing.assert_allclose(ours[1], expected, rtol=1e-9)


def test_the_best_states_alone_give_nearly_the_same_step_and_the_bound_stays_that_of_all(eager):
    found = {}
    for number in (None, 10, 3):
        built = model(10, seed=3, gradient_states=number)
        built.compile(optimizer="sgd", run_eagerly=True)
        before = [v.numpy() for v in built.trainable_variables]
        _, estimate, bound = built._improve(tf.constant(X), built.words.value, None)
        step = np.concatenate([(v.numpy() - old).ravel() for v, old in zip(built.trainable_variables, before)])
        found[number] = step, estimate.numpy(), bound.numpy()
    for whole, same in zip(found[None], found[10]):
        np.testing.assert_allclose(whole, same, rtol=1e-9)
    np.testing.assert_allclose(found[3][2], found[None][2], rtol=1e-9)
    step, few = found[None][0], found[3][0]
    assert 0 < np.linalg.norm(few - step) and few @ step > 0.9 * np.linalg.norm(few) * np.linalg.norm(step)


def parameters(built):
    return [*built.trainable_variables, built.pi, built.variance]


def linear(data, **options):
    """A linear model that begins with the true bars."""
    built = BinaryVAE(*data.shape, 8, (), num_states=64, evolution=Evolution(3, 2), dtype="float64", **options)
    built.layers_[0][0].assign(bars.draw(1, 1, 0)[1])
    return built


@pytest.mark.parametrize("missing", often(0.6, rest=[0, 0.3]))
def test_the_noise_level_is_learned_whatever_is_missing(eager, missing):
    data, *_ = bars.draw(500, 0.5, 0)
    mask = (np.random.default_rng(1).random(data.shape) >= missing).astype(float)
    built = linear(data, variance=1.0)
    options = dict(mask=mask, batch_size=100, learning_rate=(1e-4, 3e-3), half_cycle=2, verbose=0)
    built.fit(np.where(mask > 0, data, 1e3), 8, **options)
    assert float(built.variance.numpy()) ** 0.5 == pytest.approx(0.5, rel=0.04)


def test_the_bound_of_what_is_observed_never_falls(eager):
    data, *_ = bars.draw(100, 0.5, 0)
    mask = (np.random.default_rng(1).random(data.shape) >= 0.5).astype(float)
    built = linear(data, variance=1.0)
    bounds = [built.free_energy(data, mask).mean()]
    for epoch in range(
        15
    ):  # the decoder stands still: each epoch is a step of EM in the states, the rates and the noise
        options = dict(mask=mask, batch_size=100, learning_rate=(1e-12, 1e-12), verbose=0)
        built.fit(data, epoch + 1, initial_epoch=epoch, **options)
        bounds.append(built.free_energy(data, mask).mean())
    assert (np.diff(bounds) >= -1e-9).all() and bounds[-1] > bounds[0] + 1


def test_a_pixel_that_is_never_seen_teaches_nothing(eager):
    data, *_ = bars.draw(100, 0.5, 0)
    mask = np.ones(data.shape)
    mask[:, 5] = 0
    built = linear(data, variance=1.0)
    before = built.layers_[0][0].numpy()
    built.fit(data, 2, mask=mask, batch_size=50, verbose=0)
    moved = np.abs(built.layers_[0][0].numpy() - before).max(0)
    assert moved[5] == 0 and np.delete(moved, 5).min() > 0


def test_the_bound_reaches_the_exact_likelihood_with_all_states_and_is_lower_with_fewer(eager):
    data, *_ = bars.draw(60, 0.5, 0)  # noisy enough that several states explain an image
    learned = linear(data, variance=0.5)
    learned.fit(data, 3, batch_size=20, verbose=0)
    states = bars.all_states(8)
    pi, means = learned.pi.numpy(), learned.decode(tf.constant(states, tf.float64)).numpy()
    prior = (xlogy(states, pi) + xlog1py(1 - states, -pi)).sum(1)
    exact = bars.log_likelihood(data, means, prior, float(learned.variance.numpy()))
    joint = log_joint(data[:, None], states, means, learned)
    best = np.argsort(-joint, 1)  # the most probable states of each image first
    bounds = []
    for number in (1, 4, 64, 256):
        built = BinaryVAE(*data.shape, 8, (), num_states=number, evolution=Evolution(1, 1), dtype="float64")
        for own, other in zip(parameters(built), parameters(learned)):
            own.assign(other)
        built.words.assign(pack(tf.constant(states[best[:, :number]])))
        bounds.append(built.free_energy(data))
    np.testing.assert_allclose(bounds[-1], exact, rtol=0, atol=1e-9)
    assert (np.diff(bounds, axis=0) >= 0).all() and (np.diff(np.mean(bounds, 1))[:2] > 1e-3).all()
    assert (learned.free_energy(data) <= exact + 1e-9).all()


def test_single_units_are_the_same_whichever_way_round_a_bit_was_learned():
    built, rates = model(64), np.full(H, 0.2)
    built.pi.assign(rates)
    before = built.single_units()
    np.testing.assert_array_equal(before, built.decode(np.eye(H)))
    (kernel, bias), *_ = built.layers_
    weights, other = kernel.numpy(), np.arange(H) == 1
    kernel.assign(np.where(other[:, None], -weights, weights))
    bias.assign(bias.numpy() + weights[1])
    built.pi.assign(np.where(other, 1 - rates, rates))
    np.testing.assert_allclose(built.single_units(), before, atol=1e-12)


def test_the_learning_rate_is_a_triangle():
    rate = Triangular(1.0, 5.0, 4)
    np.testing.assert_allclose([float(rate(step)) for step in range(10)], [1, 2, 3, 4, 5, 4, 3, 2, 1, 2])


@pytest.mark.slow
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
