"""The cells of delimited text, as Excel, R, pandas and instruments write it: encodings, separators, decimal commas."""

import csv
import io
import re

import pandas as pd

from common.errors import InputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
EXPONENT = r"([eE][+-]?\d+)?"
DECIMAL_COMMA, DECIMAL_POINT = re.compile(r"[+-]?\d+,\d+" + EXPONENT), re.compile(r"[+-]?\d*\.\d+" + EXPONENT)
WHOLE = re.compile(r"[+-]?\d+")
QUOTED = re.compile(r'"[^"]*"')


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


def read_cells(path, notes, words=()):
    """The rows, indexed by the lines that they end on; a column is of numbers or booleans where all cells are.

    Args:
        notes: what is read differently is added, in words; words: columns that are text, whatever stands in them.

    Raises:
        InputError: names the file, and the line where the cause has one.
    """
    text = _decoded(path, notes)
    first = next((line for line in text.splitlines() if line.strip()), "")
    # Of equal counts the first, a comma; what stands within quotes separates nothing.
    delimiter = max(DELIMITERS, key=QUOTED.sub("", first).count)
    if delimiter != ",":
        notes.append(f"{path}: fields are separated by {DELIMITERS[delimiter]}")
    options = {"delimiter": delimiter, "skipinitialspace": True}
    names, lines, closed = _layout(path, text, options, notes)
    filled = [name or f"column {number}" for number, name in enumerate(names, 1)]
    doubled = next((name for name in filled if filled.count(name) > 1), None)
    if doubled is not None:
        raise InputError(f"{path} has two columns named {doubled}: rename one")
    options |= {"names": filled, "header": 0, "index_col": False, "na_filter": False}
    options["dtype"] = {name: str for name in words if name in filled}
    table = pd.read_csv(io.StringIO(text, newline=""), low_memory=False, **options)
    if closed:
        table = table.iloc[:, :-1]
    for name in table:
        if not is_numeric(table[name]):
            table[name] = table[name].astype(str).str.strip()
    if len(table) != len(lines):
        raise InputError(f"{path} has {len(lines)} rows by its quotes, {len(table)} by its lines: mend the quotes")
    return table.set_axis(lines)


def _layout(path, text, options, notes):
    """A first pass that keeps no cell: pandas does not say where a row has another number of fields.

    Args:
        options: of csv.reader; path, notes: as of `read_cells`.

    Returns:
        the header's names; the lines that rows end on; whether a delimiter at the end closes each line.
    """
    names, lines, empty, last_empty = None, [], [], True
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **options)
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                empty.append(reader.line_num)
            elif names is None:
                names = [name.strip() for name in row]
            elif len(row) != len(names):
                comma = options["delimiter"] == ","
                hint = " (a comma as decimal mark? then separate the fields by semicolons)" if comma else ""
                where = f"line {reader.line_num} has {len(row)} fields, the header {len(names)}"
                raise InputError(f"{path}: {where}{hint}")
            else:
                lines.append(reader.line_num)
                last_empty = last_empty and not row[-1].strip()
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}: mend the quotes there") from error
    if not lines:
        raise InputError(f"{path} is empty: it needs a header line and rows")
    gaps = [line for line in empty if lines[0] < line < lines[-1]]
    if len(names) == 1 and gaps:  # of more columns a row without values has separators
        notes.append(f"{path}: empty lines are no rows: {len(gaps)} left out, line {gaps[0]} is the first")
    return names, lines, len(names) > 1 and not names[-1] and last_empty


def is_numeric(column):
    return pd.api.types.is_numeric_dtype(column)  # booleans too


def with_decimal_points(path, table, notes):
    """Decimal commas become points where no number of the table has a point."""
    words = [name for name in table if not is_numeric(table[name])]
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
    grouped = {name: own for name, own in cells.items() if own.str.fullmatch(THOUSANDS).all()}
    # Of a column with whole numbers beside those, others say nothing.
    beside = [name for name in grouped if table[name].str.fullmatch(WHOLE).any()]
    if len(grouped) == len(cells) or beside:
        name = (beside or list(grouped))[0]
        own = grouped[name]
        cell, number = own.iloc[0], own.iloc[0].replace(",", "")
        where = f"'{cell}' in column {name}, line {own.index[0]}"
        raise InputError(f"{path}: {where}, may be {number} or a decimal comma: write numbers without commas")
    notes.append(f"{path}: decimal commas read as points")
    return table.assign(
        **{
            name: table[name].where(~found, table[name].str.replace(",", ".", regex=False))
            for name, found in commas.items()
        }
    )
