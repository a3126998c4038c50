"""Reader of delimited text, as Excel, R, pandas and instruments write it: numbers, or one line on what is in the way.

What is read differently from what stands in the file is told in `notes`, in words for the user.
"""

import csv
import io
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.errors import InputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # in any case
BOOLEANS = {"true": 1.0, "false": 0.0}
MOST_CATEGORIES = 50
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
DECIMAL_COMMA, DECIMAL_POINT = re.compile(r"[+-]?\d+,\d+"), re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Columns:
    """A table as read: inputs (N, d) and target (N,) as float64, the inputs' names, and what was done, in words.

    `encoders` are pairs of an input column's name and what makes numbers (N, k) of cells under it, see `read_new`.
    """

    x: np.ndarray
    y: np.ndarray
    names: tuple
    notes: tuple
    encoders: tuple = ()


def read(path, target, missing="refuse", text="refuse"):
    """Read a table with a header line.

    Args:
        path: of the file.
        target: name of the column to predict.
        missing: of missing inputs: "refuse", "drop" (their rows), or "median" (of the column, over all rows). Rows
            without a target are refused or dropped.
        text: of input columns with words: "refuse", or "one-hot" (at most MOST_CATEGORIES different words).

    Raises:
        InputError: names the file, and column and line where the cause has them.
    """
    notes = []
    table = _cells(path, _decoded(path, notes), notes)
    if target not in table:
        have = ", ".join(table.columns[:20]) + (", ..." if table.shape[1] > 20 else "")
        raise InputError(f"{path} has the columns {have}: name one of them with --target")
    table = _without_row_numbers(table, target, notes)
    table = _with_decimal_points(path, table, notes)
    table = _without_missing(path, table, target, missing, notes)
    y = _numbers(path, table[target], notes)
    if len(y) and np.all(y == y[0]):
        raise InputError(f"{path}: {target} is {y[0]:g} in every row: there is nothing to predict")
    inputs = [_encoded(path, table[name], missing, text, notes) for name in table.columns.drop(target)]
    if not inputs:
        raise InputError(f"{path} has no column beside {target}: inputs are needed")
    x = np.concatenate([part for part, _, _ in inputs], 1)
    encoders = tuple(zip(table.columns.drop(target), (encode for *_, encode in inputs)))
    return Columns(x, y, tuple(name for _, own, _ in inputs for name in own), tuple(notes), encoders)


def read_new(path, columns):
    """Read rows without a target, as the table of `columns` was read: its words and medians encode them.

    Returns:
        inputs (N, d) float64, the line of each row in the file (N,), and notes.

    Raises:
        InputError: as `read`; a column that is not there, or a word that the table does not have.
    """
    notes = []
    words = [name for name, encode in columns.encoders if isinstance(encode, _Words)]
    table = _cells(path, _decoded(path, notes), notes, words)
    names = [name for name, _ in columns.encoders]
    missing = [name for name in names if name not in table]
    if missing:
        have = ", ".join(table.columns[:20])
        raise InputError(f"{path} has the columns {have}: it also needs {', '.join(missing)}, as the table has them")
    left = [name for name in table if name not in names]
    if left:
        notes.append(f"{path}: not used: {', '.join(left)}")
    table = _with_decimal_points(path, table[names], notes)
    x = np.concatenate([encode(path, table[name], notes) for name, encode in columns.encoders], 1)
    return x, table.index.to_numpy(), tuple(notes)


def _decoded(path, notes):
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: give the path of a CSV with a header line") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give the path of a CSV with a header line"
        ) from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")
    if b"\0" in raw and encodings[0] != "utf-16":
        raise InputError(f"{path} is no text (it holds zero bytes): save the table as CSV")
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding not in ("utf-8-sig", "utf-16"):
            notes.append(f"{path} is not UTF-8: read as {encoding}")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise InputError(f"{path} is cut off within a letter: save it again as UTF-8")


def _cells(path, text, notes, words=()):
    """The rows, indexed by the lines that they end on; a column is of numbers or booleans where all cells are.

    Args:
        words: names of columns that are text, whatever stands in them.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)  # of equal counts the first: a comma
    if delimiter != ",":
        notes.append(f"{path}: fields are separated by {DELIMITERS[delimiter]}")
    names, lines, last_empty = None, [], True
    options = {"delimiter": delimiter, "skipinitialspace": True}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **options)
    try:  # a first pass that keeps nothing: pandas does not say where a row has another number of fields
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if names is None:
                names = [name.strip() for name in row]
            elif len(row) != len(names):
                hint = " (a comma as decimal mark? then separate the fields by semicolons)" if delimiter == "," else ""
                where = f"line {reader.line_num} has {len(row)} fields, the header {len(names)}"
                raise InputError(f"{path}: {where}{hint}")
            else:
                lines.append(reader.line_num)
                last_empty = last_empty and not row[-1].strip()
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}: mend the quotes there") from error
    if not lines:
        raise InputError(f"{path} is empty: it needs a header line and rows")
    filled = [name or f"column {number}" for number, name in enumerate(names, 1)]
    doubled = next((name for name in filled if filled.count(name) > 1), None)
    if doubled is not None:
        raise InputError(f"{path} has two columns named {doubled}: rename one")
    options |= {"names": filled, "header": 0, "index_col": False, "na_filter": False}
    options["dtype"] = {name: str for name in words if name in filled}
    table = pd.read_csv(io.StringIO(text, newline=""), low_memory=False, **options)
    if len(names) > 1 and not names[-1] and last_empty:  # a delimiter at each line's end
        table = table.iloc[:, :-1]
    for name in table:
        if not _is_numeric(table[name]):
            table[name] = table[name].astype(str).str.strip()
    if len(table) != len(lines):
        raise InputError(f"{path} has {len(lines)} rows by its quotes, {len(table)} by its lines: mend the quotes")
    return table.set_axis(lines)


def _is_numeric(column):
    return pd.api.types.is_numeric_dtype(column)  # booleans too


def _without_row_numbers(table, target, notes):
    """pandas and R write row numbers as a first column without a name; in a sorted table they give the target away."""
    for name in table.columns.drop(target):
        if len(table) < 2 or not pd.api.types.is_integer_dtype(table[name]) or (np.diff(table[name]) != 1).any():
            continue
        if name == "column 1" == table.columns[0]:
            notes.append("the first column has no name and counts the rows: left out")
            table = table.drop(columns=name)
        else:
            notes.append(f"column {name} counts the rows: if it is a row number, drop it")
    return table


def _with_decimal_points(path, table, notes):
    """Decimal commas become points where no number of the table has a point."""
    words = [name for name in table if not _is_numeric(table[name])]
    commas = {name: table[name].str.fullmatch(DECIMAL_COMMA) for name in words}
    commas = {name: found for name, found in commas.items() if found.any()}
    if not commas:
        return table
    points = [name for name in table if pd.api.types.is_float_dtype(table[name])]
    points += [name for name in words if table[name].str.fullmatch(DECIMAL_POINT).any()]
    if points:
        name, found = next(iter(commas.items()))
        places = f"column {name}, line {found.idxmax()}, and points in column {points[0]}"
        raise InputError(f"{path} has decimal commas in {places}: write all numbers alike")
    cells = {name: table.loc[found, name] for name, found in commas.items()}
    if all(own.str.fullmatch(THOUSANDS).all() for own in cells.values()):
        name, own = next(iter(cells.items()))
        grouped, number = own.iloc[0], own.iloc[0].replace(",", "")
        where = f"'{grouped}' in column {name}, line {own.index[0]}"
        raise InputError(f"{path}: {where}, may be {number} or a decimal comma: write numbers without commas")
    notes.append(f"{path}: decimal commas read as points")
    return table.assign(
        **{
            name: table[name].where(~found, table[name].str.replace(",", ".", regex=False))
            for name, found in commas.items()
        }
    )


def _is_missing(column):
    return column.isna() if _is_numeric(column) else column.str.lower().isin(MISSING)


def _without_missing(path, table, target, missing, notes):
    """Refuses, or drops rows; with "median" only rows without a target are dropped here."""
    gaps = table.apply(_is_missing)
    if not gaps.any(axis=None):
        return table
    if missing == "refuse":
        name = gaps.any().idxmax()
        number = int(gaps.any(axis=1).sum())
        places = f"column {name}, line {gaps[name].idxmax()}" + (f", and in {number - 1} more rows" * (number > 1))
        raise InputError(f"{path} has no value in {places}: fill them, or give --missing drop or --missing median")
    dropped = gaps.any(axis=1) if missing == "drop" else gaps[target]
    if dropped.any():
        notes.append(f"{int(dropped.sum())} of {len(table)} rows have missing values: left out")
    if dropped.all():
        raise InputError(f"{path} has a missing value in every row: fill them")
    return table[~dropped]


def _numbers(path, column, notes, gaps_allowed=False):
    """A column as float64 (N,), booleans as 0 and 1, gaps as NaN where they are allowed."""
    cells = column[~_is_missing(column)] if gaps_allowed else column
    if not _is_numeric(cells) and len(cells) and cells.str.lower().isin(BOOLEANS).all():
        cells = cells.str.lower().map(BOOLEANS).astype(bool)
    if pd.api.types.is_bool_dtype(cells):
        notes.append(f"column {column.name}: true and false read as 1 and 0")
    numbers = pd.to_numeric(cells, errors="coerce").astype(np.float64)
    bad = ~np.isfinite(numbers.to_numpy())
    if bad.any():
        line = cells.index[bad.argmax()]
        remedy = "encode or drop it, or give --text one-hot" if pd.isna(numbers[line]) else "drop that row"
        where = f"'{cells[line]}' in column {column.name}, line {line}"
        raise InputError(f"{path}: {where}, is no finite number: {remedy}")
    return numbers.reindex(column.index).to_numpy()


def _encoded(path, column, missing, text, notes):
    """An input column as numbers (N, k) with k names, itself or its words one-hot; and what encodes other cells so."""
    try:
        values = _numbers(path, column, notes, gaps_allowed=missing == "median")[:, None]
    except InputError:
        if text == "refuse" or _is_numeric(column):
            raise
        return _one_hot(path, column, notes)
    if np.isnan(values).all():
        raise InputError(f"{path}: column {column.name} has no value at all: drop it")
    from sklearn.impute import SimpleImputer

    imputer = SimpleImputer(strategy="median").fit(values)

    def encode(path, cells, notes):
        gaps = _is_missing(cells)
        if gaps.any() and missing != "median":
            where = f"column {cells.name}, line {gaps.idxmax()}"
            raise InputError(f"{path} has no value in {where}: fill it, or give --missing median")
        return filled(_numbers(path, cells, notes, gaps_allowed=True)[:, None], notes)

    def filled(numbers, notes):
        gaps = int(np.isnan(numbers).sum())
        if gaps:
            notes.append(f"column {column.name}: {gaps} missing values filled with its median")
        return imputer.transform(numbers)

    return filled(values, notes), [column.name], encode


def _one_hot(path, column, notes):
    kinds = column.nunique()
    if kinds > MOST_CATEGORIES:
        raise InputError(
            f"{path}: column {column.name} has {kinds} different words, more than {MOST_CATEGORIES}: drop it"
        )
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(drop="if_binary", sparse_output=False)
    values = encoder.fit_transform(column.to_numpy(object)[:, None])
    notes.append(f"column {column.name}: {kinds} different words, one-hot encoded")
    return values, encoder.get_feature_names_out([column.name]).tolist(), _Words(encoder)


@dataclass(frozen=True)
class _Words:
    """Encodes other cells under a column of words, by the encoder that has learned these."""

    encoder: object

    def __call__(self, path, cells, notes):
        words = cells.to_numpy(object)
        new = ~np.isin(words, self.encoder.categories_[0])
        if new.any():
            where = f"'{words[new.argmax()]}' in column {cells.name}, line {cells.index[new.argmax()]}"
            raise InputError(f"{path}: {where}, is no word that the table has there: nothing was learned about it")
        return self.encoder.transform(words[:, None])
