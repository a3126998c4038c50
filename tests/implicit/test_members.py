"""What the models that are trained side by side may see, and what they are measured on."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.data import tabular
from common.implicit import calibration, regression
from common.implicit.members import Members, statistics


def small(rows=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 3)), rng.normal(size=rows)


def test_statistics_of_tiny_units_are_those_of_others_in_these_units():
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (20, 2)), rng.normal(1, 3, 20)
    for found, tiny in zip(statistics(x, y, [np.arange(15)]), statistics(x * 1e-14, y * 1e-14, [np.arange(15)])):
        np.testing.assert_allclose(tiny, found * 1e-14, rtol=1e-9)


def test_statistics_know_nothing_of_rows_that_are_measured_on():
    x, y = small()
    table = tabular.Table("t", x, y, *tabular.standard_splits(40))
    members = Members(table, 3)
    for k, (rows, stream) in enumerate(zip(members.rows, members.streams)):
        measured = table.test_index[k % 3] if k < 3 else table.train_index[k % 3][-4:]
        assert not set(rows) & set(measured) and not set(rows) & set(table.test_index[k % 3])
        np.testing.assert_array_equal(members.x[k], x[measured])
        changed = x.copy()
        changed[measured] = 1e6
        for before, after in zip(members.statistics, statistics(changed, y, members.rows)):
            np.testing.assert_array_equal(before[k], after[k])
        np.testing.assert_allclose(members.statistics[0][k], x[rows].mean(0))
        assert stream == (2 * k if k < 3 else 2 * (k - 3) + 1)


def test_constant_columns_are_not_divided_by_zero():
    x = np.column_stack([np.full(10, 0.1), np.arange(10.0)])
    _, deviation, _, target = statistics(x, np.full(10, 3.3), [np.arange(10)])
    assert deviation[0, 0] == 1 and target[0] == 1 and np.isclose(deviation[0, 1], np.arange(10).std())


def test_companions_of_a_users_sorted_table_do_not_hold_out_its_tail(tmp_path):
    x, _ = small(200)
    y = np.arange(200.0)
    test = np.arange(0, 200, 10)
    train = np.setdiff1d(np.arange(200), test)
    np.savez(tmp_path / "sorted.npz", x=x, y=y, train_index=[train, train], test_index=[test, test])
    table = tabular.load(str(tmp_path / "sorted.npz"), "")
    members = Members(table, 2)
    for k in range(2):
        held_out, trained = members.y[2 + k], members.rows[2 + k]
        assert sorted([*held_out, *trained]) == train.tolist()
        assert held_out.min() < 60 and held_out.max() > 140  # as y is its row's number
    assert not np.array_equal(members.y[2], members.y[3])


def test_rows_of_standard_splits_keep_their_order(tmp_path):
    x, y = small()
    np.savez(tmp_path / "own.npz", x=x, y=y)
    table = tabular.load(str(tmp_path / "own.npz"), "")
    train, test = tabular.standard_splits(40)
    np.testing.assert_array_equal(table.train_index, train)
    np.testing.assert_array_equal(table.test_index, test)


def test_a_splits_sigma_and_early_stop_come_from_its_companion_alone():
    """Members 0 and 1 are measured on test rows, 2 and 3 are their companions; test rows choose nothing."""
    rng = np.random.default_rng(0)
    y, sizes = rng.normal(size=(4, 50)), np.array([1.0, 2.0, 5.0, 9.0])  # of each member's errors
    samples = y + sizes[:, None] * rng.normal(size=(3, 4, 50))
    epochs = np.arange(1, 101)
    lowest = np.array([70, 20, 30, 60])  # the epoch of each member's smallest error
    curve = [{"epoch": epoch, "rmse": sizes + np.abs(epoch - lowest)} for epoch in epochs]
    found = regression._measures(samples, SimpleNamespace(splits=2, y=y), curve, settled=90)
    for k, own in enumerate(found):
        sigma = calibration.best_sigma(samples[:, 2 + k], y[2 + k])
        assert own["sigma"] == sigma and sigma / sizes[2 + k] == pytest.approx(1, abs=0.5)
        assert own["log_likelihood"] == calibration.log_likelihood(samples[:, k], y[k], sigma).mean()
        assert own["coverage_90"] == calibration.coverage(samples[:, k], y[k], sigma)
        last = np.mean([abs(epoch - lowest) for epoch in range(91, 101)], 0)
        assert (own["rmse"], own["rmse_held_out"]) == pytest.approx((sizes[k] + last[k], sizes[2 + k] + last[2 + k]))
        stopped = sizes[k] + abs(lowest[2 + k] - lowest[k])
        assert own["rmse_early_stopped"] == pytest.approx(stopped, abs=1)  # the held-out curve is smoothed
