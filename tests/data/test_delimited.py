"""Delimited text: read to the values that an independent reader gives, or refused with the true cause and place."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import delimited
from common.errors import InputError

ROWS = "1.5,2,10\n-0.25,3,20\n4.0,5,31\n"
EXPECTED = [[1.5, 2], [-0.25, 3], [4, 5]]


def write(folder, text, encoding="utf-8"):
    path = folder / "t.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a,b,y\n" + ROWS, None),
        ("\ufeffa,b,y\r\n" + ROWS.replace("\n", "\r\n"), None),
        ("a, b , y\n" + ROWS.replace(",", " , "), None),
        ('"a","b","y"\n' + ROWS, None),
        ("a,b,y,\n" + ROWS.replace("\n", ",\n"), None),
        ("\n\na,b,y\n\n" + ROWS + "\n\n", None),
        ("a;b;y\n" + ROWS.replace(",", ";"), "semicolons"),
        ("a\tb\ty\n" + ROWS.replace(",", "\t"), "tabs"),
        ("a;b;y\n" + ROWS.replace(",", ";").replace(".", ","), "decimal commas"),
        (",a,b,y\n" + "".join(f"{i},{line}\n" for i, line in enumerate(ROWS.splitlines())), "left out"),
        ('"",a,b,y\n' + "".join(f"{i + 1},{line}\n" for i, line in enumerate(ROWS.splitlines())), "left out"),
    ],
)
def test_dialects_read_to_the_same_numbers(tmp_path, text, note):
    table = delimited.read(write(tmp_path, text), "y")
    assert table.names == ("a", "b") and table.y.tolist() == [10, 20, 31] and table.x.tolist() == EXPECTED
    assert (note in " ".join(table.notes)) if note else not table.notes


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_other_encodings(tmp_path, encoding):
    table = delimited.read(write(tmp_path, "t °C,b,Größe\n" + ROWS, encoding), "Größe")
    assert table.names == ("t °C", "b") and table.x.tolist() == EXPECTED


def test_booleans_words_and_gaps_behind_options(tmp_path):
    path = write(tmp_path, "new,kind,b,y\nTrue,red,1,1\nfalse,blue,?,2\nTRUE,green,3,3\nFalse,red,5,\n")
    with pytest.raises(InputError, match="no value in column b, line 3, and in 1 more rows"):
        delimited.read(path, "y")
    with pytest.raises(InputError, match="'red' in column kind, line 2, is no finite number"):
        delimited.read(path, "y", missing="median")
    dropped = delimited.read(path, "y", missing="drop", text="one-hot")
    assert dropped.y.tolist() == [1, 3] and dropped.names[1:] == ("kind_red", "b")
    table = delimited.read(path, "y", missing="median", text="one-hot")
    assert table.names == ("new", "kind_blue", "kind_green", "kind_red", "b") and table.y.tolist() == [1, 2, 3]
    assert table.x.tolist() == [[1, 0, 0, 1, 1], [0, 1, 0, 0, 2], [1, 0, 1, 0, 3]]
    assert len(table.notes) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n1,2,3,4\n", "line 2 has 4 fields, the header 3"),
        ("a,b,y\n1,250,0,126,3\n" + ROWS, "decimal mark"),
        ("a,b,y\n1,2,3\n\n1,2\n", "line 4 has 2 fields"),
        ("a;b;y\n1,5;2;3\n1.5;2;4\n", "decimal commas in column a, line 2"),
        ("a,a,y\n1,2,3\n", "two columns named a"),
        ("a,y\n1,2\n2,2\n", "y is 2 in every row"),
        ("y\n1\n2\n", "no column beside y"),
        ("a,y\n1,2\nabc,3\n", "'abc' in column a, line 3"),
        ("a,y\n1,2\ninf,3\n", "'inf' in column a, line 3"),
        ("a,y\n1,x\n2,3\n", "'x' in column y, line 2"),
        ("a,y\n1,2\n2,\n", "no value in column y, line 3"),
        ("a,b\n1,2\n", "has the columns a, b: name one"),
        ('a,y\n1,"2\n', "line 2"),
        ("a,y\n", "is empty"),
        ("", "is empty"),
        (b"PK\x03\x04\0\0", "zero bytes"),
        (b"\xff\xfea", "cut off"),
    ],
)
def test_what_is_refused_names_cause_and_place(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        delimited.read(write(tmp_path, text), "y")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_named_row_number_is_told(tmp_path):
    table = delimited.read(write(tmp_path, "id,a,y\n7,1.5,2\n8,0.5,3\n9,2.5,5\n"), "y")
    assert table.names == ("id", "a") and "column id counts the rows" in table.notes[0]


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=2, max_size=5
    ),
    st.sampled_from([",", ";", "\t"]),
    st.booleans(),
)
def test_any_table_of_floats_reads_as_pythons_csv_and_float_do(tmp_path, rows, delimiter, comma):
    def cell(value):
        return repr(value).replace(".", ",") if comma and delimiter != "," else repr(value)

    path = tmp_path / "t.csv"
    with open(path, "w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([["a", "b", "y"], *[[cell(v) for v in row] for row in rows]])
    try:
        table = delimited.read(path, "y")
    except InputError as error:
        plain = any("e" in repr(v) for row in rows for v in row) and comma  # 1,5e-07 is no decimal comma that we know
        assert "in every row" in str(error) or plain
        return
    np.testing.assert_array_equal(np.column_stack([table.x, table.y]), rows)


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text(st.sampled_from('ay1,;\t|.-"\n\r eE?°'), max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_one_line(tmp_path, raw):
    try:
        table = delimited.read(write(tmp_path, b"a,y\n" + raw), "y", "median", "one-hot")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(table.x).all() and np.isfinite(table.y).all() and len(table.x) == len(table.y) > 0


@pytest.mark.parametrize("words", [("1", "2", "3a"), ("true", "false", "unknown"), ("01", "1", "x")])
def test_new_rows_have_words_though_all_of_them_look_like_numbers(tmp_path, words):
    path = write(tmp_path, "kind,y\n" + "".join(f"{word},{number}\n" for number, word in enumerate(words)))
    table = delimited.read(path, "y", text="one-hot")
    new = tmp_path / "new.csv"
    new.write_text(f"kind\n{words[0]}\n{words[1]}\n")
    np.testing.assert_array_equal(delimited.read_new(new, table)[0], table.x[:2])


@pytest.mark.parametrize("rows", ['"1,200",2\n"3,400",3\n', '5,"1,250"\n7,"12,500"\n', '"9,5","1,250"\n7,"12,500"\n'])
def test_separators_of_thousands_are_not_taken_for_decimal_commas(tmp_path, rows):
    """Whatever stands in other columns, where whole numbers stand beside them."""
    with pytest.raises(InputError, match="may be 1[0-9]* or a decimal comma: write numbers without commas"):
        delimited.read(write(tmp_path, "x,y\n950,1\n" + rows), "y")


def test_commas_are_decimal_where_one_of_a_column_must_be(tmp_path):
    text = 'x,y\n"9,5",1\n"1,200",2\n"1,5E-05","3,400"\n'
    found = delimited.read(write(tmp_path, text.replace('"3,400"', "3")), "y")
    np.testing.assert_array_equal(found.x[:, 0], [9.5, 1.2, 1.5e-5])
    with pytest.raises(InputError, match="'3,400' in column y, line 4, may be 3400"):
        delimited.read(write(tmp_path, text), "y")


def test_row_numbers_of_shuffled_rows_are_no_input(tmp_path):
    table = delimited.read(write(tmp_path, ",x,y\n2,5,1\n0,6,2\n1,7,3\n"), "y")
    assert table.names == ("x",) and "numbers the rows: left out" in table.notes[0]
    table = delimited.read(write(tmp_path, ",x,y\n2,5,1\n9,6,2\n4,7,3\n"), "y")  # as after dropna() or a sample
    assert table.names == ("x",) and "numbers the rows: left out" in table.notes[0]
    table = delimited.read(write(tmp_path, ",x,y\n2,5,1\n2,6,2\n4,7,3\n"), "y")
    assert table.names == ("column 1", "x") and "used as an input, column 1" in table.notes[0]


def test_separators_within_quotes_separate_nothing(tmp_path):
    table = delimited.read(write(tmp_path, '"a, b";"c, d";y\n1;2;3\n4;5;6\n'), "y")
    assert table.names == ("a, b", "c, d")


def test_empty_lines_between_rows_of_one_column_are_told(tmp_path):
    table = delimited.read(write(tmp_path, "x,y\n5,1\n6,2\n"), "y")
    (tmp_path / "new.csv").write_text("x\n1\n\n3\n\n")
    x, lines, notes = delimited.read_new(tmp_path / "new.csv", table)
    assert x[:, 0].tolist() == [1, 3] and lines.tolist() == [2, 4] and "1 left out, line 3" in notes[0]


def test_missing_words_are_one_word(tmp_path):
    path = write(tmp_path, "kind,y\nNA,1\n,2\na,3\nb,4\n")
    table = delimited.read(path, "y", missing="median", text="one-hot")
    assert table.x.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert "column kind: 2 missing values are a word of their own" in table.notes
    new = tmp_path / "new.csv"
    new.write_text("kind\n?\nb\n")
    assert delimited.read_new(new, table)[0].tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_target_of_words_is_not_told_to_encode_inputs(tmp_path):
    with pytest.raises(InputError, match="'high' in column y, line 2, is no finite number: a target is a number"):
        delimited.read(write(tmp_path, "x,y\n1,high\n2,low\n"), "y", text="one-hot")
