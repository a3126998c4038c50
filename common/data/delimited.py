"""Tables of delimited text as numbers: or one line on what is in the way.

What is read differently from what stands in the file is told in `notes`, in words for the user.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.data.cells import is_numeric, read_cells, with_decimal_points
from common.errors import InputError

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # in any case
BOOLEANS = {"true": 1.0, "false": 0.0}
MOST_CATEGORIES = 50


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
    table = read_cells(path, notes)
    if target not in table:
        have = ", ".join(table.columns[:20]) + (", ..." if table.shape[1] > 20 else "")
        raise InputError(f"{path} has the columns {have}: name one of them with --target")
    table = _without_row_numbers(table, target, notes)
    table = with_decimal_points(path, table, notes)
    table = _without_missing(path, table, target, missing, notes)
    y = _numbers(path, table[target], notes, remedy="a target is a number: encode it, or drop that row")
    if len(y) and np.all(y == y[0]):
        raise InputError(f"{path}: {target} is {y[0]:g} in every row: there is nothing to predict")
    inputs = [_encoded(path, table[name], missing, text, notes) for name in table.columns.drop(target)]
    if not inputs:
        raise InputError(f"{path} has no column beside {target}: inputs are needed")
    x = np.concatenate([part for part, _, _ in inputs], 1)
    constant = [name for name in table.columns.drop(target) if len(table) > 1 and table[name].nunique() == 1]
    if constant:
        notes.append(f"{path}: the same in every row, and so without a say: {', '.join(constant)}")
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
    table = read_cells(path, notes, words)
    names = [name for name, _ in columns.encoders]
    missing = [name for name in names if name not in table]
    if missing:
        have = ", ".join(table.columns[:20])
        raise InputError(f"{path} has the columns {have}: it also needs {', '.join(missing)}, as the table has them")
    left = [name for name in table if name not in names]
    if left:
        notes.append(f"{path}: not used: {', '.join(left)}")
    table = with_decimal_points(path, table[names], notes)
    x = np.concatenate([encode(path, table[name], notes) for name, encode in columns.encoders], 1)
    return x, table.index.to_numpy(), tuple(notes)


def _without_row_numbers(table, target, notes):
    """pandas and R write row numbers as a first column without a name; in a sorted table they give the target away."""
    for name in table.columns.drop(target):
        whole = pd.api.types.is_integer_dtype(table[name])
        if name == "column 1" == table.columns[0]:
            # Rows that were shuffled, or of which some were dropped, keep their numbers.
            if whole and table[name].is_unique:
                notes.append("the first column has no name and numbers the rows: left out (give it a name to use it)")
                table = table.drop(columns=name)
            else:
                notes.append("the first column has no name: used as an input, column 1")
        elif len(table) > 1 and whole and (np.diff(table[name]) == 1).all():
            notes.append(f"column {name} counts the rows: if it is a row number, drop it")
    return table


def _is_missing(column):
    return column.isna() if is_numeric(column) else column.str.lower().isin(MISSING)


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


def _numbers(path, column, notes, gaps_allowed=False, remedy="encode or drop it, or give --text one-hot"):
    """A column as float64 (N,), booleans as 0 and 1, gaps as NaN where they are allowed; `remedy` of a word."""
    cells = column[~_is_missing(column)] if gaps_allowed else column
    if not is_numeric(cells) and len(cells) and cells.str.lower().isin(BOOLEANS).all():
        cells = cells.str.lower().map(BOOLEANS).astype(bool)
    if pd.api.types.is_bool_dtype(cells):
        notes.append(f"column {column.name}: true and false read as 1 and 0")
    numbers = pd.to_numeric(cells, errors="coerce").astype(np.float64)
    bad = ~np.isfinite(numbers.to_numpy())
    if bad.any():
        line = cells.index[bad.argmax()]
        remedy = remedy if pd.isna(numbers[line]) else "drop that row"
        where = f"'{cells[line]}' in column {column.name}, line {line}"
        raise InputError(f"{path}: {where}, is no finite number: {remedy}")
    return numbers.reindex(column.index).to_numpy()


def _encoded(path, column, missing, text, notes):
    """An input column as numbers (N, k) with k names, itself or its words one-hot; and what encodes other cells so."""
    try:
        values = _numbers(path, column, notes, gaps_allowed=missing == "median")[:, None]
    except InputError:
        if text == "refuse" or is_numeric(column):
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
    gaps = int(_is_missing(column).sum())
    if gaps:
        notes.append(f"column {column.name}: {gaps} missing values are a word of their own")
    column = _with_one_gap(column)
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


def _with_one_gap(column):
    """Words, in which every way to write a missing value is an empty one."""
    return column.mask(_is_missing(column), "")


@dataclass(frozen=True)
class _Words:
    """Encodes other cells under a column of words, by the encoder that has learned these."""

    encoder: object

    def __call__(self, path, cells, notes):
        words = _with_one_gap(cells).to_numpy(object)
        new = ~np.isin(words, self.encoder.categories_[0])
        if new.any():
            where = f"'{words[new.argmax()]}' in column {cells.name}, line {cells.index[new.argmax()]}"
            raise InputError(f"{path}: {where}, is no word that the table has there: nothing was learned about it")
        return self.encoder.transform(words[:, None])
