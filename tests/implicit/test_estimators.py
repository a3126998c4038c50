"""Implicit hypernetworks in scikit-learn's terms: its own checks, intervals by brute force, and files."""

import io
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from scipy.special import ndtr
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from common.errors import InputError
from common.implicit import calibration
from common.implicit.estimators import ImplicitHypernetClassifier, ImplicitHypernetRegressor

SMALL = dict(hidden_units=(8,), hyper_units=(4,), noise_dim=3, num_samples=2, batch_size=64)
# Most of scikit-learn's checks ask how an estimator behaves, not what it has learned: untrained ones will do.
REGRESSOR = ImplicitHypernetRegressor(**SMALL, epochs=0)
CLASSIFIER = ImplicitHypernetClassifier(**SMALL, epochs=0)
# Those that ask for a score have as few steps as reach it.
LONG = {
    ImplicitHypernetRegressor: dict(epochs=6, batch_size=32),
    ImplicitHypernetClassifier: dict(epochs=8, batch_size=100),
}
ABOUT_SCORES = (
    "check_regressors_train",
    "check_regressors_int",
    "check_classifiers_train",
    "check_classifiers_classes",
)


@pytest.fixture(autouse=True)
def step_by_step():
    """Nothing is compiled: that takes longer than a test."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def own_checks():
    """All of them; `make checks` runs those that ask for a score."""
    for plain in (REGRESSOR, CLASSIFIER):
        for estimator, check in estimator_checks_generator(plain):
            name, again = check.func.__name__, "readonly_memmap" in check.keywords
            marks = [pytest.mark.slow] if name in ABOUT_SCORES else []
            yield pytest.param(estimator, check, marks=marks, id=f"{type(plain).__name__}-{name}{'-memmap' * again}")


@pytest.mark.parametrize(("estimator", "check"), own_checks())
def test_scikit_learns_own_checks(estimator, check):
    if check.func.__name__ in ABOUT_SCORES:
        estimator = clone(estimator).set_params(**LONG[type(estimator)], learning_rate=0.1)
    check(estimator)


@pytest.fixture(scope="module")
def diabetes():
    x, y = load_diabetes(return_X_y=True, scaled=False)
    return x[:150], y[:150]


@pytest.fixture
def regressor(diabetes):
    return clone(REGRESSOR).set_params(epochs=(1, 2)).fit(*diabetes)


def test_an_interval_holds_its_share_of_the_mixture_and_calibration_agrees(regressor, diabetes):
    samples = np.random.default_rng(0).normal(0, 2, (5, 30))
    for level in (0.5, 0.9):
        low, high = calibration.interval(samples, 0.7, level).T
        below = [ndtr((end - samples) / 0.7).mean(0) for end in (low, high)]
        np.testing.assert_allclose(below, [np.full(30, 0.5 - level / 2), np.full(30, 0.5 + level / 2)], atol=1e-6)
        y = np.linspace(-4, 4, 30)
        assert calibration.coverage(samples, y, 0.7, level) == 100 * np.mean((low <= y) & (y <= high))
    x = diabetes[0]
    mean, deviation = regressor.predict(x, return_std=True)
    (low, high), (wide_low, wide_high) = regressor.predict_interval(x, 0.5).T, regressor.predict_interval(x, 0.95).T
    assert (deviation >= regressor.sigma_).all()
    assert (wide_low < low).all() and (low < mean).all() and (mean < high).all() and (high < wide_high).all()


def test_predictions_are_in_the_targets_units_and_do_not_mind_where_its_zero_is(diabetes):
    x, y = diabetes
    one, other = (clone(REGRESSOR).set_params(epochs=2).fit(x, own) for own in (y, 1e6 + 1000 * y))
    np.testing.assert_allclose(other.predict(x), 1e6 + 1000 * one.predict(x), rtol=1e-6)
    np.testing.assert_allclose(other.sigma_, 1000 * one.sigma_, rtol=1e-3)


def test_epochs_are_chosen_by_rows_that_the_companion_has_not_seen(regressor, diabetes):
    alone = [clone(REGRESSOR).set_params(epochs=epochs).fit(*diabetes) for epochs in (1, 2)]
    best = min(alone, key=lambda own: own.held_out_rmse_)
    assert regressor.epochs_ == best.epochs_ and regressor.held_out_rmse_ == best.held_out_rmse_
    np.testing.assert_array_equal(regressor.predict(diabetes[0]), best.predict(diabetes[0]))


def test_error_bars_come_from_rows_that_the_companion_has_not_seen(diabetes, monkeypatch):
    """sigma_, held_out_rmse_ and coverage_ by hand; the first member, which has seen all rows, says something else."""
    plain, seen = ImplicitHypernetRegressor._trained, []

    def trained(self, run, measures, x, y, rows):
        model = plain(self, run, measures, x, y, rows)
        held = np.array([row for row in rows[0] if row not in rows[1]])
        seen.append((model.predict_samples(np.stack([x[held]] * 2), 2), y[held]))
        assert len(held) == 15 and len(rows[1]) == 135 and set(rows[0]) == set(range(150))
        return model

    monkeypatch.setattr(ImplicitHypernetRegressor, "_trained", trained)
    found = clone(REGRESSOR).set_params(epochs=1).fit(*diabetes)
    ((samples, y),) = seen
    (full, own), halves = samples.swapaxes(0, 1), (slice(0, None, 2), slice(1, None, 2))
    sigma = calibration.best_sigma(own, y)
    assert found.sigma_ == sigma and abs(calibration.best_sigma(full, y) - sigma) > 1e-3
    assert found.held_out_rmse_ == pytest.approx(np.sqrt(np.mean((own.mean(0) - y) ** 2)))
    sigmas = [calibration.best_sigma(own[:, half], y[half]) for half in halves]
    covered = [calibration.coverage(own[:, half], y[half], sigma) for half, sigma in zip(halves, sigmas[::-1])]
    assert found.coverage_ == pytest.approx(np.mean(covered))


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "SGD"}, {"schedule": "cosin"}, {"random_state": None}, {"num_samples": 0}, {"epochs": -1},
        {"epochs": []}, {"hidden_units": 4}, {"hyper_units": (4, 0.5)}, {"batch_size": 0}, {"weights_per_step": "one"},
        {"generator": "Matrix"}, {"spread": 5}, {"spread": -1}, {"learning_rate": "a"}, {"learning_rate": 0},
        {"kernel_rate": np.inf},
    ],
)  # fmt: skip
def test_parameters_of_another_kind_are_refused_by_name(diabetes, wrong):
    ((name, _),) = wrong.items()
    plain, y = (CLASSIFIER, diabetes[1] > 150) if name == "generator" else (REGRESSOR, diabetes[1])
    with pytest.raises(InputError, match=f"{name} is "):
        clone(plain).set_params(**wrong).fit(diabetes[0], y)


def test_numpys_numbers_are_numbers_and_a_fit_is_kept(diabetes, tmp_path):
    changes = dict(noise_dim=np.int64(3), random_state=np.int64(1), epochs=np.array([1, 2]), folder=tmp_path)
    found = clone(REGRESSOR).set_params(**changes, hidden_units=np.array([8])).fit(*diabetes)
    plain = clone(REGRESSOR).set_params(random_state=1, epochs=(1, 2)).fit(*diabetes)
    np.testing.assert_array_equal(found.predict(diabetes[0]), plain.predict(diabetes[0]))
    found.save(tmp_path / "found.npz")
    copied = pickle.loads(pickle.dumps(found.set_params(folder=None).set_params(num_samples=2)))
    np.testing.assert_array_equal(copied.predict(diabetes[0]), plain.predict(diabetes[0]))


def test_a_column_that_differs_by_rounding_alone_has_no_say(diabetes, tmp_path):
    x = np.column_stack([diabetes[0][:, 0], np.where(np.arange(len(diabetes[1])) % 2, 0.3, 0.1 + 0.2)])
    found = clone(REGRESSOR).set_params(epochs=1).fit(x, diabetes[1])
    new = np.array([[x[0, 0], 0.31], [x[0, 0], 1e9]])
    assert (found.predict(new) == found.predict(x[:1])).all()  # its weights were never trained
    found.save(tmp_path / "found.npz")
    assert (ImplicitHypernetRegressor.load(tmp_path / "found.npz").predict(new) == found.predict(x[:1])).all()


def test_in_a_pipeline_and_a_grid_search(diabetes):
    pipeline = make_pipeline(StandardScaler(), clone(REGRESSOR))
    grid = {"implicithypernetregressor__epochs": [1, 2]}
    found = GridSearchCV(pipeline, grid, cv=2).fit(*diabetes)
    assert len(found.cv_results_["mean_test_score"]) == 2 and np.isfinite(found.cv_results_["mean_test_score"]).all()


def test_saved_estimators_predict_the_same_in_a_fresh_process(diabetes, tmp_path):
    x, y = diabetes
    regressor = clone(REGRESSOR).set_params(epochs=1).fit(x, y)
    classifier = clone(CLASSIFIER).set_params(epochs=1).fit(x, np.where(y > 150, "high", "low"))
    np.savez(tmp_path / "x.npz", x=x)
    code = """
import numpy as np, tensorflow as tf
tf.config.run_functions_eagerly(True)
from common.implicit import estimators
for kind in (estimators.ImplicitHypernetRegressor, estimators.ImplicitHypernetClassifier):
    found = kind.load(kind.__name__ + ".npz").predict(np.load("x.npz", allow_pickle=False)["x"])
    np.save(kind.__name__ + ".npy", found)
"""
    for fitted in (regressor, classifier):
        fitted.save(tmp_path / f"{type(fitted).__name__}.npz")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for fitted in (regressor, classifier):
        found = np.load(tmp_path / f"{type(fitted).__name__}.npy", allow_pickle=False)
        np.testing.assert_array_equal(found, fitted.predict(x))


def test_a_file_that_is_no_such_estimator_is_refused(regressor, tmp_path):
    path = tmp_path / "own.npz"
    regressor.save(path)
    with pytest.raises(InputError, match="holds a ImplicitHypernetRegressor"):
        ImplicitHypernetClassifier.load(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        ImplicitHypernetRegressor.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        ImplicitHypernetRegressor.load(tmp_path / "none.npz")
    with np.load(io.BytesIO(whole), allow_pickle=False) as archive:
        arrays = dict(archive)
    about = json.loads(str(arrays["about"]))
    np.savez(path, **arrays | {"about": np.array(json.dumps(about | {"format": 99}))})
    with pytest.raises(InputError, match="format 99.*fit it again"):
        ImplicitHypernetRegressor.load(path)


def test_a_fit_with_a_folder_goes_on_where_it_was(diabetes, tmp_path):
    alone = clone(REGRESSOR).set_params(epochs=2).fit(*diabetes)
    kept = clone(REGRESSOR).set_params(epochs=2, folder=str(tmp_path)).fit(*diabetes)
    (weights,) = tmp_path.glob("fitted-*/epoch2.npz")
    written = weights.stat().st_mtime_ns
    again = clone(kept).fit(*diabetes)
    assert weights.stat().st_mtime_ns == written
    for own in (kept, again):
        np.testing.assert_array_equal(own.predict(diabetes[0]), alone.predict(diabetes[0]))
