"""Tables: rows are keyed by their run, nothing is lost or doubled, whoever writes at the same time."""

import gzip
import os
import subprocess
import sys
from dataclasses import dataclass, replace

import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from common.runs import results, storage
from common.runs.identity import Record, label


@dataclass(frozen=True)
class Run(Record):
    dataset: str = label()
    rate: float
    seed: int


COLUMNS = ["dataset", "part", "value"]
RUN = Run("a", 0.1, 0)


def row(run=RUN, part="x", value=1.0):
    return {"run": run, "dataset": run.dataset, "part": part, "value": value, "trained_at": "c1", "evaluated_at": "c2"}


def put(path, rows, **options):
    return results.put_rows(path, rows, COLUMNS, ["part"], **options)


def test_a_row_of_the_same_run_and_keys_is_replaced(tmp_path):
    put(tmp_path / "t.csv", [row(), row(part="y")])
    rows = put(tmp_path / "t.csv", [row(value=1 / 3), row(replace(RUN, rate=0.2))])
    assert len(rows) == 3
    assert rows.set_index(["run", "part"])["value"][RUN.digest, "x"] == 0.333333  # as in the file, rounded
    assert results.read_records(tmp_path / "t.csv")[RUN.digest] == RUN.stored()
    pd.testing.assert_frame_equal(results.read_rows(tmp_path / "t.csv"), rows)


keys = st.sampled_from(["", "0001", "1e5", "nan", "NA", "a,b", 'say "x"', "1.10", "é", "None", "TRUE"]) | st.text(
    st.characters(exclude_categories=("Cc", "Cs")), max_size=5
)


@settings(max_examples=40)
@given(st.lists(st.tuples(keys, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=6))
def test_the_same_rows_twice_stand_there_once(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("twice") / "t.csv"
    rows = [row(part=part, value=value) for part, value in pairs]
    first = put(path, rows)
    text = path.read_bytes()
    assert len(first) == len({part for part, _ in pairs})
    put(path, rows)
    assert path.read_bytes() == text


def test_rows_that_are_not_replaced_keep_their_very_text(tmp_path):
    path = tmp_path / "t.csv"
    put(path, [row()])
    odd = path.read_text() + f"{RUN.digest},a,y,0.10000000000000001,007,1e9\n"
    path.write_text(odd)
    put(path, [row(part="z")])
    assert path.read_text().startswith(odd)
    read = results.read_rows(path).set_index("part").loc["y"]
    assert (read["trained_at"], read["evaluated_at"]) == ("007", "1e9")  # commits are text, whatever they look like


def test_two_processes_lose_no_row(tmp_path):
    code = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
import test_results as t
for i in range(20):
    t.put({path!r}, [t.row(part=sys.argv[1] + str(i))])
"""
    code = code.format(root=str(ROOT), tests=str(ROOT / "tests" / "runs"), path=str(tmp_path / "t.csv"))
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"}
    writers = [subprocess.Popen([sys.executable, "-c", code, name], env=environment) for name in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert len(results.read_rows(tmp_path / "t.csv")) == 40


def test_a_packed_table_alone_keeps_its_rows(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    put(path, [row(part="a")], packed=True)
    first = (tmp_path / "t.csv.gz").read_bytes()
    path.unlink()  # as in a fresh clone
    put(path, [row(part="b")], packed=True)
    assert list(results.read_rows(path)["part"]) == list(results.read_rows(f"{path}.gz")["part"]) == ["a", "b"]
    path.unlink()
    (tmp_path / "t.csv.gz").write_bytes(first)
    put(path, [row(part="a")], packed=True)
    assert (tmp_path / "t.csv.gz").read_bytes() == first  # equal rows, equal bytes
    monkeypatch.setattr(storage, "_HOST", "elsewhere")  # wherever they were written
    put(path, [row(part="a")], packed=True)
    assert (tmp_path / "t.csv.gz").read_bytes() == first


@pytest.mark.parametrize("newer, kept", [("t.csv", 1.0), ("t.csv.gz", 2.0)])
def test_rows_that_were_pulled_are_not_lost(tmp_path, newer, kept):
    """git pull brings the packed table alone; the other one is not committed."""
    path, packed = tmp_path / "t.csv", tmp_path / "t.csv.gz"
    put(path, [row(part="a", value=2.0), row(part="pulled")], packed=True)
    pulled = packed.read_bytes()
    path.unlink()
    packed.unlink()
    put(path, [row(part="a"), row(part="own")], packed=True)
    packed.write_bytes(pulled)
    os.utime(tmp_path / newer, ns=(packed.stat().st_mtime_ns + 10**9,) * 2)
    put(path, [row(part="new")], packed=True)
    for table in (path, packed):
        values = results.read_rows(table).set_index("part")["value"]
        assert values.to_dict() == {"a": kept, "new": 1.0, "own": 1.0, "pulled": 1.0}


def test_an_older_table_gets_the_new_columns(tmp_path):
    path = tmp_path / "t.csv"
    results.put_rows(path, [row()], ["dataset", "part"], ["part"])
    assert put(path, [row(part="y")])["value"].tolist()[1:] == [1.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,other\n", "other columns"),
        # Without a key two rows of one run would be taken for one.
        (b"run,dataset,value,trained_at,evaluated_at\nabc,a,1,c,c\nabc,a,2,c,c\n", "other columns"),
        (b"", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"run,dataset,part,value,trained_at,evaluated_at\nabc,a,x,1.", "damaged.*ends within a row"),
        (b"run,dataset,part,value,trained_at,evaluated_at\nabc,a,x\n", "damaged.*row 2"),
    ],
)
def test_a_damaged_table_is_named_and_left_as_it_is(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"t.csv.*{message}"):
        put(path, [row()])
    assert path.read_bytes() == content
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="cannot be read .*: make it a file that you may read"):  # it is not damaged
        put(tmp_path / "folder.csv", [row()])
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(b"name,value")[:8])
    with pytest.raises(InputError, match="damaged"):
        put(tmp_path / "u.csv", [row()], packed=True)


@pytest.mark.parametrize("content", ["", "null", "[]", '{"a": ', "\0"])
def test_damaged_records_are_named(tmp_path, content):
    put(tmp_path / "t.csv", [row()])
    (tmp_path / "settings.json").write_text(content)
    for act in (lambda: put(tmp_path / "t.csv", [row()]), lambda: results.read_rows(tmp_path / "t.csv")):
        with pytest.raises(InputError, match=r"settings\.json is damaged"):
            act()


def test_a_row_without_a_record_is_named(tmp_path):
    put(tmp_path / "t.csv", [row()])
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(InputError, match=f"lacks run {RUN.digest}"):
        results.read_rows(tmp_path / "t.csv")


def test_a_summary_holds_what_another_process_has_added(tmp_path):
    put(tmp_path / "t.csv", [row()])
    put(tmp_path / "t.csv", [row(part="y")])  # by another, after the first has got its rows

    def parts(rows, records):
        assert set(records) == {RUN.digest}
        return rows[["part"]]

    assert list(results.write_summary(tmp_path / "s.csv", tmp_path / "t.csv", parts)["part"]) == ["x", "y"]
    assert (tmp_path / "s.csv").read_text().split() == ["part", "x", "y"]
