"""HyperVAE in scikit-learn's terms: its own checks, thresholds that hold, scores of an image alone, and files."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import often
from hypervae.toy import Rule, bars, level_of, marked, of_one_level
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from common.errors import InputError
from common.hypervae import estimators, scoring
from common.hypervae.estimators import HyperVAEDensity, HyperVAEDetector

SMALL = dict(n_tasks=2, latent_dim=2, hyper_latent_dim=2, num_samples=1)
DETECTOR = HyperVAEDetector(**SMALL, iterations=0, max_false_positive_rate=0.4)
DENSITY = HyperVAEDensity(**SMALL, iterations=0)
# scikit-learn's own data are no images: the least and the largest number stand for black and white.
OF_ANY_NUMBERS = [clone(own).set_params(value_range="data", binarize="threshold") for own in (DETECTOR, DENSITY)]


@pytest.fixture(autouse=True)
def quick(small_networks):
    """Most of what is asked is how an estimator behaves, not what it has learned: small networks, nothing compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


# A fit of a HyperVAE takes a second even of small networks. These checks run always; `make checks` runs all of them.
ALWAYS = {
    *("check_estimator_cloneable", "check_estimator_repr", "check_valid_tag_types", "check_mixin_order"),
    *("check_no_attributes_set_in_init", "check_estimators_unfitted", "check_estimators_empty_data_messages"),
    *("check_fit_score_takes_y", "check_estimators_pickle", "check_n_features_in", "check_fit2d_1sample"),
    "check_methods_sample_order_invariance",
}


def own_checks():
    for plain in OF_ANY_NUMBERS:
        for estimator, check in estimator_checks_generator(plain, mark="skip"):
            function = getattr(check, "func", check)
            marks = [] if function.__name__ in ALWAYS else [pytest.mark.slow]
            yield pytest.param(estimator, check, marks=marks, id=f"{type(plain).__name__}-{function.__name__}")


@pytest.mark.parametrize(("estimator", "check"), own_checks())
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def images():
    return bars().x[..., 0]


def test_a_score_depends_on_its_image_alone_whatever_its_form(images):
    fitted = clone(DETECTOR).fit(images)
    scores = fitted.score_samples(images[:7])
    np.testing.assert_array_equal(fitted.score_samples(images[[4, 2]]), scores[[4, 2]])
    np.testing.assert_array_equal(fitted.score_samples(images[:7].reshape(7, 64)), scores)
    np.testing.assert_array_equal(fitted.score_samples(images[:7].astype(bool)), scores)
    np.testing.assert_array_equal(fitted.decision_function(images[:7]), scores - fitted.offset_)


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_what_is_called_an_outlier_is_what_its_p_value_says(images, rate):
    fitted = clone(DETECTOR).set_params(max_false_positive_rate=rate).fit(images)
    random = np.random.default_rng(0).random((30, 8, 8)) < np.linspace(0, 1, 30)[:, None, None]
    for x in (images, random):
        np.testing.assert_array_equal(fitted.predict(x) == -1, fitted.p_values(x) <= rate)
    assert np.mean(-fitted.normal_scores_ < fitted.offset_) <= rate


def test_a_detectors_rule_and_its_threshold_see_the_parts_that_are_theirs(monkeypatch):
    """The validation part fits the rule and makes the average VAE; the test part alone says what scores are large."""
    fitted_to, averaged = [], []
    monkeypatch.setattr(HyperVAEDetector, "_train", lambda self, X, y: setattr(self, "model_", None) or marked())
    monkeypatch.setattr(scoring, "statistics", lambda model, x, *_: averaged.append(x) or level_of)
    own_rule = lambda table, seed: fitted_to.append(table["level"]) or Rule(table)  # noqa: E731
    monkeypatch.setattr(estimators, "own_rule", own_rule)
    fitted = clone(DETECTOR).fit(marked().x)
    assert [of_one_level(own, 2, 7) for own in (*fitted_to, *averaged)] == [True, True]
    assert of_one_level(fitted.normal_scores_, 3, 8) and fitted.offset_ == -3


def test_a_detector_of_another_rule_is_refused(images, tmp_path):
    fitted = clone(DETECTOR).fit(images)
    del fitted.rule_  # as earlier versions saved it
    fitted.save(tmp_path / "old.npz")
    with pytest.raises(InputError, match="fitted by an earlier version, to another rule: fit it again"):
        HyperVAEDetector.load(tmp_path / "old.npz").predict(images)


def test_pixels_add_up_and_tell_where(images):
    costs = clone(DETECTOR).fit(images).explain(images[:3])
    assert costs.shape == (3, 8, 8) and (costs > 0).all()


@pytest.mark.parametrize(
    ("likelihood", "channels"),
    often(("logistic_mixture", ()), ("discretized_logistic", (3,)), rest=[("discretized_logistic", ())]),
)
def test_grey_and_colour_images_keep_their_levels(images, tmp_path, likelihood, channels):
    """Nats of 256 levels, samples that are pictures again, and the same from a file."""
    levels = np.random.default_rng(0).integers(0, 56, (*images.shape, *channels)) + 200 * images.reshape(
        *images.shape, *(1 for _ in channels)
    )
    levels = levels.astype(np.uint8)
    fitted = clone(DENSITY).set_params(likelihood=likelihood).fit(levels, bars().y)
    assert fitted.image_shape_ == (8, 8, *(channels or (1,)))
    scores = fitted.score_samples(levels[:5])
    of_rows = levels.reshape(len(levels), -1) / 255  # the same, flattened and from 0 to 1
    flat = clone(fitted).set_params(image_shape=fitted.image_shape_).fit(of_rows, bars().y)
    np.testing.assert_array_equal(flat.score_samples(of_rows[:5]), scores)
    # An untrained model knows little: some bits less than eight for each level.
    assert (np.abs(scores / levels[0].size / -np.log(256) - 1) < 0.5).all()
    drawn, _ = fitted.sample(6)
    assert drawn.shape == (6, 8, 8, *channels) and drawn.dtype == np.uint8 and len(np.unique(drawn)) > 20
    detector = clone(DETECTOR).set_params(likelihood=likelihood).fit(levels)
    assert detector.explain(levels[:2]).shape == (2, 8, 8)
    detector.save(tmp_path / "own.npz")
    again = HyperVAEDetector.load(tmp_path / "own.npz")
    np.testing.assert_array_equal(again.score_samples(levels[:5]), detector.score_samples(levels[:5]))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.zeros((5, 8, 8)), {}, "minimum of 6 is required"),
        (np.full((40, 8, 8), 3.0), {}, "neither .* nor 0..255|value_range"),
        (np.zeros((40, 8, 8, 3)), {}, "grey ones"),
        (np.zeros((40, 60)), {"image_shape": (8, 8)}, "64 values, an image of X 60"),
        (np.zeros((40, 8, 8, 2)), {"likelihood": "logistic_mixture"}, "grey ones"),
        (np.zeros((40, 8, 8)), {"likelihood": "gaussian"}, "'gaussian': give one of bernoulli"),
        (np.zeros((40, 8, 8)), {"max_false_positive_rate": 0.01}, "99 are needed"),
        (np.zeros((40, 8, 8)), {"max_false_positive_rate": 5}, "give a share between 0 and 1"),
        (np.zeros((40, 8, 8)), {"binarize": "Threshold"}, "give 'bernoulli' or 'threshold'"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        clone(DETECTOR).set_params(**options).fit(x)


def test_numbers_beyond_the_range_of_the_fit_are_refused(images):
    fitted = clone(DENSITY).fit(images / 1.0)
    with pytest.raises(InputError, match="black and white are 0 and 1"):
        fitted.score_samples(images * 255.0)
    of_bytes = clone(DENSITY).fit(images * 255)
    with pytest.raises(InputError, match="the images of the fit in .0, 255."):
        of_bytes.score_samples(images / 1.0)
    of_bytes.score_samples(np.zeros_like(images))  # black is black
    sixteen = clone(DENSITY).set_params(value_range=(0, 16)).fit(images * 16)
    np.testing.assert_array_equal(sixteen.score_samples(images * 16), fitted.score_samples(images / 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_false_positive_rate": 0.01}, "held-out images calibrate, 99 are needed"),
        ({"contamination": "auto"}, "contamination is 'auto': give a share"),
        ({"contamination": 0.7}, "contamination is 0.7: give a share above 0 and up to 0.5"),
        ({"num_samples": 0}, "num_samples is 0: give a whole number, 1 or more"),
        ({"num_samples": 2.5}, "num_samples is 2.5"),
        ({"iterations": -1}, "iterations is -1: give a whole number, 0 or more"),
        ({"hyper_latent_dim": 0}, "hyper_latent_dim is 0"),
        ({"random_state": None}, "random_state is None"),
    ],
)
def test_what_cannot_serve_is_refused_before_any_training(changes, message, images, monkeypatch):
    monkeypatch.setattr("common.hypervae.training.fit_or_load", None)
    with pytest.raises(InputError, match=message):
        clone(DETECTOR).set_params(**changes).fit(images)
    with pytest.raises(ValueError, match="1d array"):
        clone(DETECTOR).fit(images, np.zeros((len(images), 2)))


def test_numpys_numbers_are_numbers(images, tmp_path):
    """As a grid of settings has them."""
    whole = {name: np.int64(DETECTOR.get_params()[name]) for name in (*SMALL, "iterations", "random_state")}
    fitted, plain = clone(DETECTOR).set_params(**whole).fit(images), clone(DETECTOR).fit(images)
    np.testing.assert_array_equal(fitted.score_samples(images[:3]), plain.score_samples(images[:3]))
    fitted.save(tmp_path / "own.npz")
    np.testing.assert_array_equal(HyperVAEDetector.load(tmp_path / "own.npz").predict(images), fitted.predict(images))


def test_fit_predict_has_the_tasks_as_well(images, monkeypatch):
    seen = []
    monkeypatch.setattr(HyperVAEDetector, "fit", lambda self, X, y=None: seen.append(y) or self)
    monkeypatch.setattr(HyperVAEDetector, "predict", lambda self, X: X)
    assert clone(DETECTOR).fit_predict(images, "tasks") is images and seen == ["tasks"]


def test_the_density_is_the_mixture_of_its_tasks(images):
    """log sum_k p_k exp(-length_k), the lengths by the plain VAEs of the tasks' codes."""
    fitted = clone(DENSITY).set_params(num_samples=4).fit(images, bars().y)
    assert fitted.task_codes_.shape == (3, 2) and fitted.task_shares_.sum() == pytest.approx(1)
    mixture = fitted.model_.mixture_of_codes(tf.constant(fitted.task_codes_), fitted.task_shares_)
    lengths = mixture.code_lengths(images[:4, ..., None], 1, 4, shared_noise=True)
    expected = np.log((fitted.task_shares_[:, None] * np.exp(-lengths)).sum(0))
    np.testing.assert_allclose(fitted.score_samples(images[:4]), expected, rtol=1e-6)
    assert fitted.score(images[:4]) == pytest.approx(expected.mean())


def test_samples_are_images_of_the_tasks(images):
    fitted = clone(DENSITY).fit(images, bars().y)
    drawn, tasks = fitted.sample(5)
    assert drawn.shape == (5, 8, 8) and set(np.unique(drawn)) <= {0, 1} and set(tasks) <= {0, 1, 2}
    assert set(fitted.sample(4, task=1)[1]) == {1}
    with pytest.raises(InputError, match="no task 3"):
        fitted.sample(1, task=3)
    vae = fitted.adapt(images[:4], fit_steps=1)
    assert vae(images[:2, ..., None].astype(np.float32)).shape == (2, 8, 8, 1)


@pytest.mark.parametrize("plain", [DETECTOR, DENSITY])
def test_a_saved_estimator_says_the_same(plain, images, tmp_path):
    fitted = clone(plain).fit(images)
    fitted.save(tmp_path / "own.npz")
    again = type(plain).load(tmp_path / "own.npz")
    np.testing.assert_array_equal(again.score_samples(images[:9]), fitted.score_samples(images[:9]))
    assert again.get_params() == fitted.get_params()
    if plain is DETECTOR:
        np.testing.assert_array_equal(again.predict(images), fitted.predict(images))


def test_a_trained_detector_finds_what_is_odd(images, tmp_path):
    fitted = clone(DETECTOR).set_params(iterations=4, folder=str(tmp_path)).fit(images)
    noise = (np.random.default_rng(1).random((10, 8, 8)) < 0.5).astype(np.uint8)
    assert np.median(fitted.score_samples(noise)) < np.median(fitted.score_samples(images))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*/*.npz")}
    again = clone(fitted).fit(images)
    assert written and written == {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*/*.npz")}
    np.testing.assert_array_equal(again.score_samples(noise), fitted.score_samples(noise))
