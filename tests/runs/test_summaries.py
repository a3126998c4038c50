"""What reports make of rows: unlike settings are never averaged."""

import numpy as np
import pandas as pd
import pytest
from test_results import COLUMNS, Run, row

from common.runs import results, summaries


def test_unlike_settings_are_never_averaged(tmp_path):
    runs = [Run("a", rate, seed) for rate in (0.1, 0.2) for seed in (0, 1)]
    rows = [row(run, value=10 * run.rate + run.seed) | {"seed": run.seed} for run in runs]
    path = tmp_path / "t.csv"
    table = summaries.over_seeds(results.put_rows(path, rows, [*COLUMNS, "seed"], ["part"]), ["value"], ["part"])
    assert table[["dataset", "num_seeds", "value_mean"]].to_numpy().tolist() == [["a", 2, 1.5], ["a", 2, 2.5]]
    np.testing.assert_allclose(table["value_std"], np.sqrt(0.5))
    words = summaries.settings_in_words(results.read_rows(path), results.read_records(path))
    assert sorted(words.values()) == ["rate 0.1", "rate 0.2"] and set(words) == set(table["experiment"])


def test_a_key_that_is_not_known_is_one_group():
    rows = pd.DataFrame({"experiment": ["e", "f", "e"], "sigma": [np.nan, 25.0, np.nan], "seed": [0, 0, 1]})
    rows = rows.assign(
        value=[1.0, 5.0, 3.0], run=["r", "s", "t"], name="n", trained_at="c", evaluated_at=["d", "d", "c"]
    )
    table = summaries.over_seeds(rows, ["value"], ["sigma"])
    assert table["value_mean"].tolist() == [2, 5] and table["num_seeds"].tolist() == [2, 1]
    assert table["name"].tolist() == ["n", "n"] and table["evaluated_at"].tolist() == ["c d", "d"]
    assert table["sigma"].isna().tolist() == [True, False]


def test_columns_that_vary_within_an_experiment_are_left_out():
    rows = pd.DataFrame(
        {"experiment": ["e", "e"], "seed": [0, 1], "seconds": [1.0, 2.0], "name": ["n", "n"], "value": [1, 3]}
    )
    rows = rows.assign(run=["r", "s"], trained_at="c", evaluated_at=["d", "c"])
    table = summaries.over_seeds(rows, ["value"])
    assert "seconds" not in table and table["name"].item() == "n" and table["evaluated_at"].item() == "c d"


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [(93.14, 0.98, "93.1 +- 1.0"), (93.14, np.nan, "93.1"), (np.nan, np.nan, ""), (None, np.nan, "")],
)
def test_one_formatter_of_mean_and_spread(mean, spread, text):
    assert summaries.plus_minus(mean, spread) == text


def test_markdown_has_a_line_a_row():
    assert summaries.markdown_table(["a", "b"], [[1, 2.5]]) == "| a | b |\n| --- | --- |\n| 1 | 2.5 |\n"
