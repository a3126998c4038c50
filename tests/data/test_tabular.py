"""Tables and their splits."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA

from common.data import tabular
from common.errors import InputError


def small(rows=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 3)), rng.normal(size=rows)


def test_diabetes_has_the_standard_protocol():
    table = tabular.load("diabetes", "nowhere")
    assert table.x.shape == (442, 10) and table.train_index.shape == (20, 398) and table.test_index.shape == (20, 44)
    for train, test in zip(table.train_index, table.test_index):
        assert sorted([*train, *test]) == list(range(442))
    assert len({tuple(test) for test in table.test_index}) == 20


@pytest.mark.parametrize("name", tabular.NAMES)
def test_stored_splits_are_the_protocols(name):
    if not (DATA / "uci").exists():
        pytest.skip("no UCI data: set HYPERVAE_DATA")
    table = tabular.load(name, DATA)
    train, test = tabular.standard_splits(len(table.y))
    np.testing.assert_array_equal(table.train_index, train)
    np.testing.assert_array_equal(table.test_index, test)


def test_csv_and_npz_of_one_table_agree(tmp_path):
    x, y = small()
    lines = ["a,b,price,c"] + [f"{r[0]!r},{r[1]!r},{t!r},{r[2]!r}" for r, t in zip(x.tolist(), y.tolist())]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    np.savez(tmp_path / "own.npz", x=x, price=y)
    tables = [tabular.load(str(tmp_path / name), "", "price") for name in ("own.csv", "own.npz")]
    assert tables[0].fingerprint() == tables[1].fingerprint() and [table.name for table in tables] == [
        "own.csv",
        "own.npz",
    ]
    renamed = dataclasses.replace(tables[0], name="other")
    assert renamed.fingerprint() == tables[0].fingerprint()  # a table is its numbers
    assert dataclasses.replace(tables[0], y=y + 1).fingerprint() != tables[0].fingerprint()
    np.testing.assert_array_equal(tables[0].x, x)


def test_large_offsets_keep_their_digits():
    x, y = small()
    far = tabular.Table("t", x + [1e9, 0, 0], y - 1e8, *tabular.standard_splits(40))
    found = tabular.centred(far)
    for before, after in ((far.x[:, 0], found.x[:, 0]), (far.y, found.y)):
        np.testing.assert_allclose(after.astype(np.float32), before - before.mean(), atol=1e-6)
    np.testing.assert_array_equal(found.x[:, 1:], x[:, 1:])
    constant = tabular.Table("t", np.full((40, 1), 0.998), y, *tabular.standard_splits(40))
    np.testing.assert_array_equal(tabular.centred(constant).x, constant.x)


def bad_tables(folder):
    x, y = small()
    train, test = tabular.standard_splits(40)

    def save(name, **arrays):
        np.savez(folder / name, **({"x": x, "y": y} | arrays))
        return str(folder / name), None

    def write(name, text, target="price"):
        (folder / name).write_text(text)
        return str(folder / name), target

    rows = "".join(f"{i},{i}\n" for i in range(30))
    cut = save("cut.npz")[0]
    Path(cut).write_bytes(Path(cut).read_bytes()[:500])
    return {
        "unknown": ("housing", None),
        "is missing": ("boston", None),
        "no.csv is missing": (str(folder / "no.csv"), "price"),
        "name one of them": write("column.csv", f"a,b\n{rows}"),
        "is no finite number": write("text.csv", f"a,price\n{rows}red,1\n"),
        "has 3 fields": write("ragged.csv", f"a,price\n{rows}1,2,3\n"),
        "no value in column price": write("nan.csv", f"a,price\n{rows}1,\n"),
        "2 rows": write("two.csv", "a,price\n1,2\n3,4\n"),
        "cannot be read as .npz": (cut, None),
        "has the arrays": (save("arrays.npz")[0], "cost"),
        "(N, d)": save("flat.npz", x=x[:, 0]),
        "outside 0 to 39": save("range.npz", train_index=train, test_index=test + 1),
        "both parts": save("both.npz", train_index=train, test_index=train[:, :4]),
        "must both be there": save("half.npz", train_index=train),
        "and 0 rows": save("empty.npz", train_index=train, test_index=train[:, :0]),
        "more are needed to train": save("few.npz", train_index=test, test_index=train),
        "nothing to predict": save("constant.npz", y=np.full(40, 2.0)),
        "numbers are needed": save("words.npz", y=np.array(["a"] * 40)),
    }


MESSAGES = ["unknown", "is missing", "no.csv is missing", "name one of them", "is no finite number", "has 3 fields"]
MESSAGES += [
    "no value in column price",
    "2 rows",
    "cannot be read as .npz",
    "has the arrays",
    "(N, d)",
    "outside 0 to 39",
]
MESSAGES += [
    "both parts",
    "and 0 rows",
    "more are needed to train",
    "must both be there",
    "numbers are needed",
    "nothing to predict",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_bad_tables_are_named_with_a_remedy(tmp_path, message):
    name, target = bad_tables(tmp_path)[message]
    with pytest.raises(InputError) as raised:
        tabular.load(name, tmp_path, target)
    assert message in str(raised.value) and "\n" not in str(raised.value)
