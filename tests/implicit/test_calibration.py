"""Predictive measures against closed forms, brute force and hand-made cases."""

import numpy as np
from scipy.stats import norm

from common.implicit import calibration


def test_log_likelihood_is_that_of_the_mixture():
    rng = np.random.default_rng(0)
    samples, y = rng.normal(size=(7, 5)), rng.normal(size=5)
    brute = [np.log(np.mean([norm.pdf(y[i], m, 0.3) for m in samples[:, i]])) for i in range(5)]
    np.testing.assert_allclose(calibration.log_likelihood(samples, y, 0.3), brute)


def test_far_targets_do_not_underflow():
    found = calibration.log_likelihood(np.zeros((3, 1)), np.array([1e4]), 1.0)
    np.testing.assert_allclose(found, norm.logpdf(1e4))


def test_best_sigma_is_the_closed_form_for_one_sample():
    y = np.random.default_rng(1).normal(2.0, 3.0, 400)
    np.testing.assert_allclose(
        calibration.best_sigma(np.full((1, 400), 2.0), y), np.sqrt(np.mean((y - 2) ** 2)), rtol=1e-4
    )
    assert calibration.best_sigma(np.ones((2, 3)), np.ones(3)) > 0


def test_coverage_against_simulated_predictions():
    rng = np.random.default_rng(2)
    samples, y = rng.normal(0, 2, (6, 40)), rng.normal(0, 2, 40)
    drawn = samples[rng.integers(6, size=200_000)] + rng.normal(0, 0.5, (200_000, 40))
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    assert calibration.coverage(samples, y, 0.5) == 100 * np.mean((low <= y) & (y <= high))


def test_expected_calibration_error_by_hand():
    # Two images at confidence 0.9, one right; two at 0.6, both right.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    assert np.isclose(
        calibration.expected_calibration_error(probabilities, np.array([0, 1, 0, 1])), 100 * (0.5 * 0.4 + 0.5 * 0.4)
    )
    certain = np.eye(3)[[0, 1, 2, 1]]
    assert calibration.expected_calibration_error(certain, np.array([0, 1, 2, 1])) == 0
    bins, confidence, accuracy, number = calibration.reliability(probabilities, np.array([0, 1, 0, 1]))
    assert list(bins) == [9, 13]  # of 15: 0.6 and 0.9
    np.testing.assert_allclose(confidence, [0.6, 0.9])
    np.testing.assert_allclose(accuracy, [1.0, 0.5])
    assert list(number) == [2, 2]


def test_rejection_keeps_the_least_entropy():
    rng = np.random.default_rng(3)
    probabilities, y = rng.dirichlet(np.ones(4), 30), rng.integers(4, size=30)
    entropy = [sum(-p * np.log(p) for p in row) for row in probabilities]
    np.testing.assert_allclose(calibration.entropy(probabilities), entropy)
    found = calibration.accuracy_rejection(probabilities, y)
    order = np.argsort(entropy)
    for rejected in (0, 7, 29):
        kept = order[: 30 - rejected]
        assert np.isclose(found[rejected], 100 * np.mean(probabilities[kept].argmax(1) == y[kept]))
    assert calibration.entropy(np.array([[1.0, 0.0]])) == 0
