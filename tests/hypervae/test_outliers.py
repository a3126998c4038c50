"""Outlier scores against a loop over images, and Table 4's measures against counting."""

import dataclasses
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypervae.toy import Rule, hypervae, level_of, marked, of_one_level, still
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, spearmanr
from sklearn.base import clone
from sklearn.model_selection import KFold

from common.data import datasets
from common.errors import InputError
from common.hypervae import baselines, measures, outlier_jobs, outlier_records, outlier_sets, outliers, rules
from common.hypervae.density import code_length
from common.hypervae.hypervae import HyperVAE
from common.hypervae.metavae import MetaVAE
from common.hypervae.vae import VAE
from common.layers.kernels import dense_theta

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
SMALL = dict(image_shape=(8, 8, 1), latent_dim=3)
X = (np.random.default_rng(0).random((7, 8, 8, 1)) < 0.4).astype(np.uint8)


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
    table = outliers.image_statistics(model, average_vae=average, batch_size=7)(X, (0, 0))
    other = outliers.image_statistics(average, batch_size=7)(X, (0, 0))
    own = table["reconstruction"] + table["kl_z"]
    np.testing.assert_allclose(table["regret"], other["reconstruction"] + other["kl_z"] - own, rtol=1e-5)
    assert set(other.columns) == {"reconstruction", "kl_z", "norm_z", "code_z0", "code_z1", "code_z2"}


def test_metavae_averages_over_all_decoders():
    model = still(MetaVAE(num_tasks=3, **SMALL))
    table = outliers.metavae_statistics(model, num_samples=4, batch_size=5)(X, (0, 0))
    expected = []
    for task in range(3):
        theta, _ = model.weights_for(tf.cast(X[None], tf.float32), tf.constant([task]))
        expected.append(code_length(model.body, theta, tf.cast(X[None], tf.float32), tf.constant([5, 6])))
    np.testing.assert_allclose(table["kl_z"], expected[0].kl_z[0], rtol=1e-4)
    np.testing.assert_allclose(table["neg_elbo_all_decoders"], np.mean([e.neg_elbo[0] for e in expected], 0), rtol=1e-4)


def test_draws_are_the_images_and_the_seeds_own():
    """A set's numbers depend on its images and its seed, not on what is scored before, beside or after it."""
    statistics = outliers.image_statistics(VAE(**SMALL), num_samples=2, batch_size=4)
    first = statistics(X, (1, 0))
    assert not np.allclose(first["reconstruction"], statistics(X, (1, 1))["reconstruction"])
    assert not np.allclose(first["reconstruction"], statistics(X, (2, 0))["reconstruction"])
    pd.testing.assert_frame_equal(first, statistics(X, (1, 0)))
    pd.testing.assert_frame_equal(first[:4], statistics(X[:4], (1, 0)))
    assert not np.allclose(*statistics(np.repeat(X[:1], 8, 0), (1, 0))["reconstruction"].to_numpy().reshape(2, 4))


def test_scores_are_their_formulas():
    rng = np.random.default_rng(1)
    columns = ["reconstruction", "kl_z", "norm_z", "kl_u", "norm_u", "regret", "png", "zlib", "context", "code_z0"]
    validation, t = (pd.DataFrame(rng.random((200, len(columns))), columns=columns) for _ in range(2))
    found = {name: score(t) for name, score in rules.rules(validation).items()}
    np.testing.assert_allclose(found["description_length"], t["reconstruction"] + t["kl_z"])
    np.testing.assert_allclose(found["description_length_with_u"], t["reconstruction"] + t["kl_z"] + t["kl_u"])
    np.testing.assert_allclose(found["complexity_adjusted_png"], t["reconstruction"] + t["kl_z"] - t["png"])
    states = rules.DensityOfStates(validation.drop(columns="code_z0"))
    np.testing.assert_allclose(found["density_of_states"], states(t))
    np.testing.assert_allclose(found[outlier_records.HEADLINE], rules.DensityOfStates(validation)(t))
    assert set(outlier_records.RULES) < set(found)
    of_a_vae = rules.rules(validation.drop(columns=["regret", "kl_u", "norm_u"]))
    assert set(found) - set(of_a_vae) == {"description_length_with_u"}


def test_held_out_scores_know_nothing_of_their_own_image():
    """A formula's are its own; a density's come from fits without the image, so that the odd one stands out."""
    rng = np.random.default_rng(8)
    table = pd.DataFrame(rng.normal(size=(60, 2)), columns=["reconstruction", "kl_z"])
    table.loc[7] = [9.0, -9.0]
    found = rules.rules(table)
    np.testing.assert_allclose(found["description_length"].held_out, table["reconstruction"] + table["kl_z"])
    states = found["density_of_states"]
    assert states.held_out[7] > 3 * np.delete(states.held_out, 7).max() and states.held_out[7] > states(table)[7]
    folds = list(KFold(5, shuffle=True, random_state=0).split(table))
    for rest, own in folds:
        refitted = clone(states._fitted).fit(table.iloc[rest][states._columns].to_numpy())
        np.testing.assert_allclose(states.held_out[own], -refitted.score_samples(table.iloc[own].to_numpy()), rtol=1e-6)


def test_classes_may_come_one_after_the_other():
    """A class that a fold lacks would look odd: the number of Gaussians would be one, the threshold far too high."""
    rng = np.random.default_rng(2)
    centres = np.repeat(8 * np.arange(5.0), 80)
    by_class = pd.DataFrame({"a": centres + rng.normal(size=400), "b": rng.normal(size=400)})
    states = rules.DensityOfStates(by_class)
    assert states._fitted[-1].n_components >= 4
    fresh = pd.DataFrame({"a": centres + rng.normal(size=400), "b": rng.normal(size=400)})
    exceeding = np.mean(states(fresh) > np.quantile(states.held_out, 0.95))
    assert 0.02 < exceeding < 0.09


def test_surprise_is_minus_the_log_of_the_share_that_scores_as_high():
    normal = np.random.default_rng(3).permutation(np.arange(400.0))
    for score in (0, 17.5, 200, 379):
        at_least = sum(other >= score for other in normal)
        np.testing.assert_allclose(rules.surprise(normal, np.array([score])), -np.log((1 + at_least) / 401))
    # Beyond the normal images it still rises, by the tail's mean excess.
    start = np.quantile(normal, 0.95)
    step = normal[normal > start].mean() - start
    far = rules.surprise(normal, start + step * np.array([40.0, 41.0]))
    np.testing.assert_allclose(far, [40 + np.log(20), 41 + np.log(20)])
    assert (np.diff(rules.surprise(normal, np.linspace(-10, 900, 300))) > -1e-9).all()
    assert np.isfinite(rules.surprise(np.zeros(30), np.array([0.0, 1.0, 2.0]))).all()


def test_a_rank_does_not_hang_on_rounding():
    normal = np.random.default_rng(0).normal(size=50)
    for noise in (-1e-11, 1e-11):
        found = rules.surprise(normal, normal + noise)
        np.testing.assert_allclose(found, rules.surprise(normal, normal), atol=1e-9)
    alike = 0.1 + 1e-12 * np.arange(9)
    assert (rules.surprise(alike, np.array([0.1, 5.0])) < 9).all()  # their spread is no scale


def test_a_tail_of_exponential_scores_is_theirs():
    normal = np.random.default_rng(5).exponential(3.0, 20_000)
    np.testing.assert_allclose(rules.surprise(normal, np.array([1.0, 8.0, 30.0])), [1 / 3, 8 / 3, 10], rtol=0.1)


@pytest.mark.parametrize("third", ["context", "webp"])
def test_combined_scores_are_sums_of_surprises(third):
    rng = np.random.default_rng(2)
    columns = ["reconstruction", "kl_z", "norm_z", third, "code_z0", "local_outlier_factor"]
    validation, t = (pd.DataFrame(rng.normal(size=(80, len(columns))), columns=columns) for _ in range(2))
    alone = rules.rules(validation.drop(columns="local_outlier_factor"))
    of_each = {
        name: rules.surprise(alone[rule].held_out, alone[rule](t))
        for name, rule in (
            ("density_of_states", "density_of_states"),
            (outlier_records.HEADLINE, outlier_records.HEADLINE),
            ("complexity_adjusted", f"complexity_adjusted_{third}"),
        )
    }
    of_each["local_outlier_factor"] = rules.surprise(validation.local_outlier_factor, t.local_outlier_factor)
    found = rules.combined_rules(validation)
    np.testing.assert_allclose(found.pop("combined")(t), sum(of_each.values()))
    assert set(found) == {f"combined_without_{name}" for name in of_each}
    for name, own in of_each.items():
        rest = found[f"combined_without_{name}"]
        np.testing.assert_allclose(rest(t) + own, sum(of_each.values()))
        assert rest.held_out.shape == (80,) and np.isfinite(rest.held_out).all()
    own = rules.own_rule(validation.drop(columns="local_outlier_factor"))
    np.testing.assert_array_equal(own(t), found[outlier_records.OWN_RULE](t))


@pytest.mark.parametrize("number", [2, 4, 9])
def test_few_images_make_a_rule_too(number):
    columns = ["reconstruction", "kl_z", "norm_z", "context", "code_z0"]
    validation, t = (pd.DataFrame(np.random.default_rng(i).normal(size=(number, 5)), columns=columns) for i in (0, 1))
    assert np.isfinite(rules.own_rule(validation)(t)).all()


def test_likelihood_regret_is_what_a_fitted_posterior_saves():
    """Against SciPy's minimum over the Gaussian of one code, its nats by quadrature; no regret without a step."""
    model = HyperVAE(image_shape=(8, 8, 1), latent_dim=1, summary="mean")
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (7, i)))
    images = X[:3]
    tasks = tf.cast(images[:, None], tf.float32)
    theta = dense_theta(model.weights_for(tasks, None)[0])
    points, weights = np.polynomial.hermite_e.hermegauss(40)

    @tf.function
    def log_prob(z, image, own):
        return model.decode(z[None, :, None], own).log_prob(image[None])[0]

    def neg_elbo(i, mean, log_std):
        own = {name: value[i : i + 1] for name, value in theta.items()}
        found = log_prob(tf.cast(mean + np.exp(log_std) * points, tf.float32), tasks[i], own)
        return -np.average(found, weights=weights) + 0.5 * (mean**2 + np.exp(2 * log_std) - 1) - log_std

    q_z = model.encode(tasks, theta)
    starts = np.stack([q_z.mean().numpy()[:, 0, 0], np.log(q_z.stddev().numpy()[:, 0, 0])], 1)
    expected = [
        neg_elbo(i, *start) - minimize(lambda g, i=i: neg_elbo(i, *g), start, method="Nelder-Mead").fun
        for i, start in enumerate(starts)
    ]
    found = outliers.likelihood_regret(model, num_samples=60, steps=400)(images, (0, 0))["likelihood_regret"]
    assert max(expected) > 0.1 and (found >= 0).all()
    np.testing.assert_allclose(found, expected, atol=0.15 * max(expected))
    assert not outliers.likelihood_regret(model, steps=0)(images, (0, 0))["likelihood_regret"].any()


OUTLIERS = np.full((4, 8, 8, 1), 4, np.uint8)


class AverageVAE:
    """Stands for a HyperVAE; keeps what its average VAE is made of."""

    body, has_u = SimpleNamespace(binary=True), True
    averaged = None

    def average_vae(self, x):
        AverageVAE.averaged = x
        return "average"


@pytest.mark.parametrize("kind", ["usual", "combined"])
def test_fits_and_thresholds_see_the_parts_that_are_theirs(kind, monkeypatch):
    """Rules are fitted to the validation part, neighbours are those of training, the test part is scored alone."""
    neighbours = []
    regrets = []
    statistics = lambda model, number, average=None, **options: regrets.append(average) or level_of  # noqa: E731
    monkeypatch.setattr(outliers, "image_statistics", statistics)
    monkeypatch.setattr(outliers, "compressed_lengths", lambda x, binary: pd.DataFrame(index=range(len(x))))
    for name in ("rules", "combined_rules"):
        monkeypatch.setattr(outliers, name, lambda table, seed: {"rule": Rule(table)})
    near = lambda x, seed: neighbours.append(x) or (lambda own: np.zeros(len(own)))  # noqa: E731
    monkeypatch.setattr(outliers, "local_outlier_factor", near)
    found = outliers.scorer(AverageVAE(), marked(), 0)(kind, OUTLIERS)["rule"]
    assert of_one_level(found["held_out"], 2, 7) and of_one_level(found["normal"], 3, 8)
    assert of_one_level(found["outlier"], 4, 4)
    assert regrets == ["average"] and of_one_level(AverageVAE.averaged, 2, 7)
    assert len(neighbours) == (kind == "combined") and all(of_one_level(x, 1, 6) for x in neighbours)


def test_the_mixture_of_tasks_is_that_of_the_training_part(monkeypatch):
    """-log sum_k p_k exp(-length_k), the lengths by a loop over tasks whose theta comes from training images alone."""
    rng = np.random.default_rng(1)
    rates = np.array([0.1, 0.6])
    y = rng.permutation(np.repeat([0, 1], [9, 5]))
    x, x_validation, x_test, outlier = (
        (rng.random((len(own), 8, 8, 1)) < rates[own][:, None, None, None]).astype(np.uint8)
        for own in (y, y[:6], y[:7], y[:5])
    )
    data = datasets.Dataset("tasks", x, y, x_test, y[:7], (), x_validation, y[:6])
    model = hypervae()
    monkeypatch.setattr(outliers, "MIXED_AT_ONCE", 4)
    found = outliers.task_mixture_scorer(model, data, num_samples=2)("task_mixture", outlier)
    assert set(found) == {"task_mixture", "task_mixture_adjusted_context"}
    of_task = []
    for task in range(2):
        theta = model.generate(model.infer_u(tf.cast(x[y == task][None], tf.float32)).mean())
        lengths = [
            code_length(model.body, theta, tf.cast(image[None, None], tf.float32), (0, 0), 0.0).neg_elbo[0, 0]
            for image in outlier
        ]
        of_task.append(np.mean(y == task) * np.exp(-np.array(lengths, np.float64)))
    expected = -np.log(sum(of_task))
    np.testing.assert_allclose(found["task_mixture"]["outlier"], expected, rtol=1e-4)
    context = baselines.compressed_lengths(outlier)["context"]
    adjusted = found["task_mixture_adjusted_context"]["outlier"]
    np.testing.assert_allclose(adjusted, expected - context, atol=1e-4 * expected.max())
    assert [len(found["task_mixture"][part]) for part in ("normal", "held_out")] == [7, 6]


def test_metavaes_scores_have_their_names(monkeypatch):
    def table(x, *_):
        level = level_of(x)["level"]
        return pd.DataFrame({"kl_z": level, "neg_elbo_all_decoders": 10 * level})

    monkeypatch.setattr(outliers, "metavae_statistics", lambda *_: table)
    found = outliers.metavae_scorer(None, marked())("usual", OUTLIERS)
    for name, times in (("kl", 1), ("description_length", 10)):
        levels = {part: set(values) for part, values in found[name].items()}
        assert levels == {"normal": {3 * times}, "held_out": {2 * times}, "outlier": {4 * times}}


def test_baselines_learn_from_training_images_and_their_threshold_from_the_validation_part(monkeypatch):
    learned = []
    fit = lambda x, seed: learned.append(x) or (lambda own: own.mean((1, 2, 3)))  # noqa: E731
    monkeypatch.setitem(baselines.BASELINES, "pca", fit)
    monkeypatch.setattr(outlier_jobs, "_score", lambda args, scored, name, scorer, columns: scorer(marked())[1])
    baseline = outlier_records.Baseline("m", "threshold", "", "pca", 0)
    found = outlier_jobs.score_baseline((SimpleNamespace(likelihood="bernoulli"), baseline, "m"))(None, OUTLIERS)[
        "score"
    ]
    assert of_one_level(learned[0], 1, 6) and of_one_level(found["held_out"], 2, 7)
    assert of_one_level(found["normal"], 3, 8) and of_one_level(found["outlier"], 4, 4)


def test_a_threshold_is_set_by_images_beside_the_mixture(monkeypatch, tmp_path):
    """What `measures` gets for held-out scores are those of the validation part."""
    scores = {"rule": {"normal": [3.0], "outlier": [4.0], "held_out": [2.0]}}
    seen = []
    drawn = SimpleNamespace(name="o", fingerprint="theirs", drawn=lambda wanted, seed: OUTLIERS)
    monkeypatch.setattr(outlier_jobs, "mixture_parts", lambda args, name: (marked(), [drawn], 4))
    monkeypatch.setattr(measures, "measures", lambda *parts: seen.append(parts[:3]) or {"auc": 50.0})
    args = SimpleNamespace(
        likelihood="bernoulli", binarize="threshold", scores=["usual"], fit_u=0, outlier_fraction=0.2
    )
    args.num_samples, args.num_bootstrap, args.results_dir = 4, 2, tmp_path
    baseline = outlier_records.Baseline("m", "threshold", marked().fingerprint(), "pca", 0)
    outlier_jobs._score(args, baseline, "m", lambda data: ("a", lambda kind, x: scores), {})
    assert seen == [([3.0], [4.0], [2.0])]


def test_the_dearest_pixel_is_dearer_than_those_of_so_many_images(monkeypatch):
    costs = np.zeros((100, 8, 8))
    costs[:, 3, 3] = np.arange(100)
    monkeypatch.setattr(outliers, "pixel_nats", lambda model, x, fit_u: costs)
    assert (costs.max((1, 2)) > outliers.dearest_pixel(None, X, 0.05)).mean() == 0.05


def test_changed_images_are_the_normal_ones_turned():
    data = datasets.load("digits", "nowhere")
    for name, turned in (("flip_horizontal", np.fliplr), ("flip_vertical", np.flipud), ("rotated", np.rot90)):
        found = outlier_sets.changed_images(data, name)
        np.testing.assert_array_equal(found.x[3, ..., 0], turned(data.x_test[3, ..., 0]))
        assert found.fingerprint != data.fingerprint()
    wide = dataclasses.replace(data, x=data.x[:, :4], x_test=data.x_test[:, :4])
    assert outlier_sets.changed_images(wide, "flip_vertical").x.shape[1:3] == (4, 28)
    with pytest.raises(InputError, match="4x28, a quarter turn needs square ones"):
        outlier_sets.changed_images(wide, "rotated")


def test_compressed_lengths_of_grey_images_follow_structure():
    noise = np.random.default_rng(2).integers(0, 256, (1, 28, 28, 1), np.uint8)
    slope = np.broadcast_to(np.arange(28, dtype=np.uint8)[:, None, None] * 9, (1, 28, 28, 1))
    lengths = baselines.compressed_lengths(np.concatenate([noise, slope]), binary=False)
    assert list(lengths) == ["png", "zlib", "webp"] and (lengths.iloc[0] > 3 * lengths.iloc[1]).all()
    assert (lengths.iloc[0] > 784 * np.log(256) * 0.98).all()  # no compressor shortens noise
    colour = np.repeat(slope, 3, -1)
    assert (baselines.compressed_lengths(colour, binary=False) > 0).all(axis=None)


def test_compressed_lengths_follow_structure():
    noise = (np.random.default_rng(2).random((1, 28, 28, 1)) < 0.5).astype(np.uint8)
    stripes = np.zeros((1, 28, 28, 1), np.uint8)
    stripes[:, ::2] = 1
    lengths = baselines.compressed_lengths(np.concatenate([noise, stripes]))
    assert (lengths.iloc[0] > 1.2 * lengths.iloc[1]).all() and list(lengths) == ["png", "zlib", "context"]
    packed = zlib.compress(np.packbits(noise.astype(bool)).tobytes(), 9)
    assert np.isclose(lengths["zlib"][0], 8 * len(packed) * np.log(2))


def test_context_code_is_a_code_and_adapts():
    """Its lengths are those of a probability over all images (they sum to 1), and follow by-hand counting."""
    every = ((np.arange(2**9)[:, None] >> np.arange(9)) & 1).astype(np.uint8).reshape(-1, 3, 3, 1)
    np.testing.assert_allclose(np.exp(-baselines.context_lengths(every)).sum(), 1)
    row = np.array([1, 1, 1, 0], np.uint8).reshape(1, 1, 4, 1)  # contexts: nothing, then west = 1 three times
    np.testing.assert_allclose(baselines.context_lengths(row), -np.log([1 / 2 * 1 / 2 * 3 / 4 * 1 / 6]))
    noise = (np.random.default_rng(6).random((20, 28, 28, 1)) < 0.5).astype(np.uint8)
    assert np.all(baselines.context_lengths(noise) > 784 * np.log(2) * 0.97)
    assert baselines.context_lengths(np.ones((1, 28, 28, 1), np.uint8))[0] < 30


def test_density_of_states_ranks_as_the_true_density_and_catches_both_sides():
    rng = np.random.default_rng(3)
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    normal = pd.DataFrame(rng.multivariate_normal([50, -3], covariance, 3000), columns=["a", "b"])
    score = rules.DensityOfStates(normal)
    points = pd.DataFrame(rng.multivariate_normal([50, -3], 3 * covariance, 500), columns=["a", "b"])
    truth = -multivariate_normal([50, -3], covariance).logpdf(points.to_numpy())
    assert spearmanr(score(points), truth).statistic > 0.97
    easy, hard, typical = score(pd.DataFrame({"b": [-3, -3, -3], "a": [40.0, 60.0, 50.0]}))
    assert easy > typical + 5 and hard > typical + 5


def test_measures_equal_counting():
    rng = np.random.default_rng(4)
    normal, outlier = np.round(rng.normal(0, 1, 60), 1), np.round(rng.normal(1.2, 1, 25), 1)  # rounded: ties
    held_out = rng.normal(0, 1, 200)
    row = measures.measures(normal, outlier, held_out, num_bootstrap=200)
    pairs = (outlier[:, None] > normal[None]).mean() + 0.5 * (outlier[:, None] == normal[None]).mean()
    assert np.isclose(row["auc"], 100 * pairs)
    rates = [((normal >= t).mean(), (outlier < t).mean()) for t in np.unique(np.concatenate([normal, outlier, [9.0]]))]
    assert np.isclose(row["fpr"] + row["fnr"], 100 * min(f + m for f, m in rates))
    assert any(np.allclose((row["fpr"], row["fnr"]), (100 * f, 100 * m)) for f, m in rates)
    assert np.isclose(abs(row["fpr_equal_error"] - row["fnr_equal_error"]), 100 * min(abs(f - m) for f, m in rates))
    found = [f for f, m in rates if m <= 0.05]
    assert np.isclose(row["fpr_at_95_tpr"], 100 * min(found))
    limit = np.sort(held_out)[-11]  # ten of 200 lie above
    counted = 100 * np.array([(normal > limit).mean(), (outlier <= limit).mean()])
    np.testing.assert_allclose([row["fpr_held_out"], row["fnr_held_out"]], counted)
    called = row["fpr_percentile_80"] * 60 + (100 - row["fnr_percentile_80"]) * 25
    assert abs(called / 85 - 20) < 4  # a fifth of the mixture is called outlying
    assert row["ci_low"] < row["auc"] < row["ci_high"] < row["ci_low"] + 30
    assert measures.measures(-normal, -outlier, -held_out, num_bootstrap=2)["auc"] < 50  # never flipped


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_tell_noise_from_bars(name):
    rng = np.random.default_rng(5)
    bars = np.zeros((300, 8, 8, 1), np.uint8)
    bars[np.arange(300), :, rng.integers(0, 8, 300)] = 1
    noise = (rng.random((60, 8, 8, 1)) < 0.4).astype(np.uint8)
    score = baselines.BASELINES[name](bars[:250], seed=0)
    assert measures.measures(*map(score, (bars[250:], noise, bars[200:250])), num_bootstrap=2)["auc"] > 95
    np.testing.assert_array_equal(score(noise), baselines.BASELINES[name](bars[:250], seed=0)(noise))


def test_restrict_keeps_some_classes_and_numbers_them_anew():
    data = datasets.load("digits", "nowhere")
    part = datasets.restrict(data, [7, 2])
    assert part.num_classes == 2 and part.name == "digits-2,7" and part.fingerprint() != data.fingerprint()
    np.testing.assert_array_equal(part.x_test[part.y_test == 1], data.x_test[data.y_test == 7])
    with pytest.raises(InputError, match="classes 0 to 9"):
        datasets.restrict(data, [3, 11])
