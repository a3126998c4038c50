"""Tables: rows are replaced by their keys, nothing is half-written, packed tables keep their rows."""

import gzip

import pandas as pd
import pytest

from common.errors import InputError
from common.runs import results

COLUMNS, KEYS = ["name", "value"], ["name"]


def test_rows_with_equal_keys_are_replaced(tmp_path):
    results.put_rows(tmp_path / "t.csv", [{"name": "b", "value": 1.5}, {"name": "a", "value": 2.5}], COLUMNS, KEYS)
    rows = results.put_rows(tmp_path / "t.csv", [{"name": "b", "value": 1 / 3}], COLUMNS, KEYS)
    assert rows.to_numpy().tolist() == [["a", 2.5], ["b", 0.333333]]  # as in the file, rounded
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), rows)


def test_a_packed_table_alone_keeps_its_rows(tmp_path):
    path = tmp_path / "t.csv"
    results.put_rows_packed(path, [{"name": "a", "value": 1.0}], COLUMNS, KEYS)
    first = (tmp_path / "t.csv.gz").read_bytes()
    path.unlink()  # as in a fresh clone
    results.put_rows_packed(path, [{"name": "b", "value": 2.0}], COLUMNS, KEYS)
    assert list(pd.read_csv(path)["name"]) == list(pd.read_csv(f"{path}.gz")["name"]) == ["a", "b"]
    path.unlink()
    (tmp_path / "t.csv.gz").write_bytes(first)
    results.put_rows_packed(path, [{"name": "a", "value": 1.0}], COLUMNS, KEYS)
    assert (tmp_path / "t.csv.gz").read_bytes() == first  # equal rows, equal bytes


def test_a_damaged_table_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("name,other\n")
    with pytest.raises(InputError, match="other columns"):
        results.put_rows(tmp_path / "t.csv", [{"name": "a", "value": 1}], COLUMNS, KEYS)
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(b"name,value")[:8])
    with pytest.raises(InputError, match="damaged"):
        results.put_rows_packed(tmp_path / "u.csv", [], COLUMNS, KEYS)


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path):
    results.write_json(tmp_path / "r.json", {"a": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.write_atomically(tmp_path / "r.json", fail)
    assert results.stored(tmp_path / "r.json", lambda: {"a": 2}) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_equal_settings_have_equal_digests():
    assert (
        results.digest({"a": 1, "b": [2]}) == results.digest({"b": [2], "a": 1}) != results.digest({"a": 1, "b": [3]})
    )
