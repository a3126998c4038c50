"""Summaries and intervals of regressions from hand-made rows."""

import numpy as np
import pytest
from implicit.test_settings import regression_run
from scipy import stats

from common.implicit import regression, regression_report
from common.runs import results

FOLDER = "06_regression"


def regression_rows(run, rmse, held_out=1.0):
    """Rows of Table 1 with these test errors of the splits."""
    shared = {"run": run, "trained_at": "c", "evaluated_at": "c", "num_splits": run.splits, "num_train": 90}
    shared |= {"num_test": 10, "seconds": 1.0, "setting": run.setting}
    shared |= {name: getattr(run, name) for name in ("dataset", "method", "recipe", "epochs", "seed", "num_samples")}
    shared |= {"rmse_held_out": held_out}
    return [shared | {"split": k, "rmse": value} for k, value in enumerate(rmse)]


def put(tmp_path, *parts):
    """Write rows; returns them with their summary."""
    path = tmp_path / FOLDER / "table1.csv"
    rows = results.put_rows(path, sum(parts, []), regression.TABLE1, ["split"], regression.ORDER)
    return rows, regression_report.summarise_regression(rows, results.read_records(path))


def test_held_out_rows_choose_setting_and_epochs_and_test_rows_do_not(tmp_path):
    held_out = {("sgd", 0.01, 30): 0.5, ("sgd", 0.01, 100): 0.7, ("sgd", 0.02, 30): 0.6}
    held_out |= {("hypernet", 0.01, 30): 0.6, ("hypernet", 0.02, 100): 0.4}
    parts = []
    for (method, rate, epochs), error in held_out.items():
        run = regression_run(method, learning_rate=rate, epochs=epochs)
        parts.append(regression_rows(run, 1 - error + np.array([0.0, 0.1, 0.3]), error))
    rows, summary = put(tmp_path, *parts)
    chosen = summary[summary["chosen"]]
    assert set(zip(chosen["method"], chosen["epochs"])) == {("sgd", 30), ("hypernet", 100)}
    assert sorted(chosen["rmse_held_out_mean"]) == pytest.approx([0.4, 0.5])
    assert regression_report.regression_table(summary).count("| own |") == 2
    trials = regression_report.regression_trials(summary)
    assert "30: 0.500, 0.633 *; 100: 0.700, 0.433 |" in trials and trials.count("| own |") == 4
    differences = regression_report.regression_differences(rows, summary)
    assert differences["mean"].tolist() == pytest.approx([0.1]) and differences["low"].tolist() == pytest.approx([0.1])
    assert "1 are clear of 0: own (ours)" in regression_report.verdict(differences)


def test_each_split_can_choose_by_its_own_held_out_rows_alone(tmp_path):
    """Over both splits 30 epochs have the least held-out error; the second split's own rows choose 100."""
    held_out = {30: [0.1, 0.5], 100: [0.4, 0.3]}
    rmse = {
        ("sgd", 30): [1.0, 2.0],
        ("sgd", 100): [3.0, 4.0],
        ("hypernet", 30): [5.0, 6.0],
        ("hypernet", 100): [7.0, 9.0],
    }
    parts = []
    for (method, epochs), errors in rmse.items():
        own = regression_rows(regression_run(method, epochs=epochs, splits=2), errors)
        parts.append([row | {"rmse_held_out": value} for row, value in zip(own, held_out[epochs])])
    rows, summary = put(tmp_path, *parts)
    assert summary.loc[summary["chosen"], "epochs"].tolist() == [30, 30]
    found = regression_report.regression_differences(rows, summary).iloc[0]
    assert (found["sgd"], found["hypernet"], found["sgd_pooled"], found["hypernet_pooled"]) == (2.5, 7.0, 1.5, 5.5)
    assert found["mean"] == 4.5 and found["mean_pooled"] == 4.0
    expected = regression_report.corrected_interval(np.array([4.0, 5.0]), 90, 10)
    assert (found["low"], found["high"]) == pytest.approx(expected)


def test_the_headline_and_the_verdict_are_by_the_choice_of_each_split(tmp_path):
    """Over all splits 100 epochs are chosen, where the hypernetwork is ahead; each split alone chooses 30, SGD's."""
    held_out = {30: [0.4, 0.4, 9.0], 100: [0.5, 0.5, 0.5]}
    rmse = {("sgd", 30): 1.0, ("sgd", 100): 3.0, ("hypernet", 30): 2.0, ("hypernet", 100): 2.0}
    noise = np.array([0.0, 0.01, 0.02])
    parts = []
    for (method, epochs), error in rmse.items():
        own = regression_rows(regression_run(method, epochs=epochs, dataset="boston"), error + noise)
        parts.append([row | {"rmse_held_out": value} for row, value in zip(own, held_out[epochs])])
    rows, summary = put(tmp_path, *parts)
    assert summary.loc[summary["chosen"], "epochs"].tolist() == [100, 100]
    found = regression_report.regression_differences(rows, summary)
    assert found["mean"].item() == pytest.approx((1 + 1 - 1) / 3) and found["mean_pooled"].item() == pytest.approx(-1)
    assert regression_report.verdict(found) == "Of 1 differences none is clear of 0."
    assert regression_report.verdict(found, pooled=True).startswith("Of 1 differences by the pooled choice 1 are clear")
    clean, pooled = regression_report.headline(tmp_path)
    assert clean[1].endswith("each split choosing by its own held-out rows") and clean[2:4] == ["0 (0)", "SGD 1 (0)"]
    assert pooled[1].endswith("pooled choice") and pooled[2:4] == ["1 (1)", "SGD 0 (0)"]
    assert "| **1.68** | 2.01 |" in regression_report.differences_table(found)


def test_protocols_are_never_averaged(tmp_path):
    """Draws, splits, data of one name and recipes stand apart; seeds are averaged before splits are compared."""
    many, few = regression_run(num_samples=100), regression_run(num_samples=1)
    parts = [regression_rows(run, [value] * 3) for run, value in ((many, 1.0), (few, 2.0))]
    parts.append(regression_rows(regression_run(num_samples=100, seed=1), [3.0] * 3))
    parts.append(regression_rows(regression_run(splits=1), [5.0]))
    parts.append(regression_rows(regression_run(fingerprint="other"), [7.0] * 3))
    parts.append(regression_rows(regression_run("sgd"), [0.5, 0.6, 0.7]))
    _, summary = put(tmp_path, *parts)
    found = summary[summary["method"] == "hypernet"].set_index(["dataset", "num_samples", "num_splits"])["rmse_mean"]
    assert found.to_dict() == {
        ("own (f)", 100, 3): 2.0,
        ("own (f)", 1, 3): 2.0,
        ("own (f)", 100, 1): 5.0,
        ("own (other)", 100, 3): 7.0,
    }
    assert summary["chosen"].all() and summary["experiment"].is_unique


def test_without_overlap_the_corrected_interval_is_students():
    differences = np.random.default_rng(0).normal(1.0, 2.0, 20)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    np.testing.assert_allclose(regression_report.corrected_interval(differences, 90, 0), expected)


def test_overlapping_splits_widen_the_interval():
    differences = np.array([0.1, 0.3, 0.2, 0.4])
    low, high = regression_report.corrected_interval(differences, 90, 10)
    half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + 1 / 9) * differences.var(ddof=1))
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half))


def test_headline_counts_tables_whose_difference_stands(tmp_path):
    noise = np.array([-0.01, 0.0, 0.01])
    parts = []
    for name, gain in (("boston", 1.0), ("yacht", 0.0), ("mine", 1.0)):
        for method, value in (("sgd", 3.0), ("hypernet", 3.0 - gain)):
            run = regression_run(method, dataset=name, fingerprint=name)
            parts.append(regression_rows(run, value + noise * (1 if method == "sgd" else -1)))
    put(tmp_path, *parts)
    row, _ = regression_report.headline(tmp_path)
    assert row[1].startswith("tables of 2 ") and row[2:4] == ["1 (1)", "SGD 0 (0)"]
    titles = [title for title, _ in regression_report.sections(tmp_path)]
    assert titles == ["Regression by implicit hypernetworks", "Regression: all that was tried"]
    body = regression_report.sections(tmp_path)[0][1]
    assert "| boston | ours | 3.00 +- 0.01 | 2.00 +- 0.01 | 4.32 +- 0.29 |" in body and "mine (ours)" in body


def test_missing_tables_give_nothing(tmp_path):
    assert regression_report.sections(tmp_path) == [] and regression_report.headline(tmp_path) == []
