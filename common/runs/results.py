"""CSV tables whose rows are keyed by the run that made them; the runs' records stand beside them."""

import csv
import gzip
import io
import zlib
from pathlib import Path

import pandas as pd

from common import names
from common.errors import InputError
from common.runs import identity
from common.runs.storage import locked, read_dictionary, write_atomically, write_settings

COMMITS = ["trained_at", "evaluated_at"]  # the code's commit at training and at evaluation
# Columns that hold text, whatever it looks like: 2024 is an alloy, 0001 a picture, 12e4567890 a commit.
TEXT = {"run", *COMMITS, *names.COLUMNS, "alloy", "held_out", "model", "method", "score", "recipe", "setting"}
TEXT |= {"binarize", "summary", "generator", "schedule", "architecture", "regressor", "likelihood"}
TEXT |= {"objective", "told", "mode", "specification"}
NUMBER_FORMAT = "%.6g"


def _settings_file(table):
    return Path(table).with_name("settings.json")


def read_records(table):
    """{run: stored record} of the runs whose rows stand in a folder's tables; empty where nothing was written yet.

    Raises:
        InputError: the file is damaged, or a record is not the one that its run is named by.
    """
    path, remedy = _settings_file(table), "restore it, or delete it with the tables beside it"
    records = read_dictionary(path, remedy) if path.exists() else {}
    for run, record in records.items():
        if not isinstance(record, dict) or identity.digest(record) != run:
            raise InputError(f"{path} is damaged (it holds another record than that of run {run}): {remedy}")
    return records


def _as_text(text):
    """The rows of a CSV with every cell as the text that stands in the file.

    Raises:
        ValueError: it is no CSV with a header and rows of equal length.
    """
    header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    short = [number for number, row in enumerate(rows, 2) if len(row) != len(header)]
    if not header or short:
        raise ValueError(f"row {short[0]} has not {len(header)} cells" if short else "it is empty")
    return pd.DataFrame(rows, columns=header, dtype=str)


def _parsed(path):
    """The rows of a CSV (or .csv.gz) of ours as text.

    Raises:
        InputError: it is damaged.
    """
    try:
        raw = Path(path).read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        if not text.endswith("\n"):
            raise ValueError("it ends within a row")
        return _as_text(text)
    except OSError as error:
        if not isinstance(error, gzip.BadGzipFile):
            raise InputError(f"{path} cannot be read ({error.strerror}): make it a file that you may read") from error
        raise InputError(f"{path} is damaged ({error}): restore it, or delete it and run again") from error
    except (ValueError, csv.Error, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): restore it, or delete it and run again") from error


def _read_text(path, columns, keys):
    """The rows of a results CSV as text, with exactly these columns; empty if there is none yet.

    Raises:
        InputError: it is damaged, has a column more, or lacks one of the keys: rows would be taken for one.
    """
    path = Path(path)
    if not path.exists():
        return pd.DataFrame(columns=columns, dtype=str)
    rows = _parsed(path)
    unknown = [name for name in rows if name not in columns]
    if unknown or not {"run", *keys} <= set(rows):
        raise InputError(f"{path} has other columns than this version writes: move it away and run again")
    return rows.reindex(columns=columns, fill_value="")  # a later version may have more columns


def read_summary(path, key, text=()):
    """The rows of a table that was made of others, numbers as numbers but for the columns `text`.

    Args:
        key: a column that it must have.

    Raises:
        InputError: it is damaged.
    """
    rows = _parsed(path)
    if key not in rows:
        raise InputError(f"{path} is damaged (it has no column {key}): delete it, and run the script that writes it")
    return _typed(rows, {key, *text})


def _typed(rows, more=frozenset()):
    """Rows of text with numbers as numbers; an empty cell of a text column, or one of `more`, stays an empty text."""
    texts = [name for name in rows if name in TEXT | more]
    missing = {name: [""] for name in rows if name not in texts}  # in texts NA and None are words like others
    text = io.StringIO(rows.to_csv(index=False))
    return pd.read_csv(text, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=missing)


def with_experiment(rows, records, where=""):
    """Rows with the column `experiment`: the digest of everything but the seed, from each run's own record.

    Data have one name in an experiment.

    Raises:
        InputError: a run without a record.
    """
    unknown = set(rows["run"]) - set(records)
    if unknown:
        raise InputError(
            f"settings.json beside {where} lacks run {min(unknown)}: restore it, or delete that run's rows"
        )
    experiments = {run: identity.experiment(records[run]) for run in rows["run"].unique()}
    rows = rows.assign(experiment=rows["run"].map(experiments))
    # A renamed file's runs are repetitions of the old one's. (What depends on no data, as Table 2, keeps each name.)
    knows_data = rows["run"].map({run: identity.knows_data(records[run]) for run in experiments}).astype(bool)
    for name in set(names.COLUMNS) & set(rows):
        renamed = knows_data & (rows.groupby("experiment")[name].transform("nunique") > 1)
        rows.loc[renamed, name] = rows[renamed].groupby("experiment")[name].transform(names.common_name)
    return rows


def read_rows(path, own=None):
    """The rows of a results CSV (or .csv.gz), numbers as numbers, and the column `experiment` (see `with_experiment`).

    Args:
        own: True for the rows on a user's own files alone, False for those on sets that come with the project (all).

    Raises:
        InputError: no such file, damaged, or no CSV of ours.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} is missing: run the script that writes it")
    rows = _parsed(path)
    if "run" not in rows:
        raise InputError(f"{path} is no table of ours (it has no column run): move it away and run again")
    rows = _typed(rows)
    if own is not None:
        rows = rows[of_own_data(rows) == own].reset_index(drop=True)
    return with_experiment(rows, read_records(path), path)


def tables(folder, makers, own=None):
    """Of the tables of a folder that are there and have rows: (title or what else goes with it, rows, records).

    Args:
        makers: {name of a table: what goes with it}; own: see `read_rows`.
    """
    for name, goes_with in makers.items():
        path = Path(folder) / name
        rows = read_rows(path, own) if path.exists() else ()
        if len(rows):
            yield goes_with, rows, read_records(path)


def of_own_data(rows):
    """Which rows (N,) are about a user's own files."""
    named = rows[[name for name in rows if name in names.COLUMNS]]
    return named.map(names.is_file_name).any(axis=1)


def write_table(path, rows, float_format=NUMBER_FORMAT):
    """Write rows as CSV, atomically; as .csv.gz equal rows are equal bytes (no time and no name stands in the file)."""
    raw = rows.to_csv(index=False, float_format=float_format).encode()
    raw = gzip.compress(raw, mtime=0) if Path(path).suffix == ".gz" else raw
    write_atomically(path, lambda temporary: temporary.write_bytes(raw))


def write_summary(path, table, summarise):
    """Write what `summarise(rows, records)` makes of all rows of a table, under its lock; returns it.

    What another process adds in the meantime is in this summary, or in the one that it writes.
    """
    with locked(Path(table).parent):
        summary = summarise(read_rows(table), read_records(table))
        write_table(path, summary)
    return summary


def _are_equal(path, packed_path):
    try:
        return gzip.decompress(packed_path.read_bytes()) == path.read_bytes()
    except (OSError, EOFError, zlib.error):  # damaged: who reads it says so
        return False


def _read_both(path, packed_path, columns, keys):
    """The rows of a table and of its packed copy, as `_read_text`; of a row that both have, that of the newer file."""
    there = sorted((own for own in (path, packed_path) if own.exists()), key=lambda own: own.stat().st_mtime_ns)
    if len(there) == 2 and _are_equal(path, packed_path):
        there = [path]
    parts = [_read_text(own, columns, keys) for own in there or [path]]
    return pd.concat(parts, ignore_index=True).drop_duplicates(keys, keep="last")


def _sort_key(column):
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers


def put_rows(path, new, columns, keys=(), order=None, packed=False):
    """Add rows to a results CSV under a lock. A row of the same run and keys is replaced; all others keep their text.

    Args:
        new: dictionaries; "run" is the Record of what made the row, and is written to settings.json beside the table.
        columns: the table's columns between `run` and COMMITS.
        keys: columns that tell the rows of one run apart.
        order: columns that the rows are sorted by (the first of `columns`, and the keys).
        packed: also write the same table as .csv.gz (a whole experiment is too large for a repository). Rows that only
            one of the two has are kept, as after `git clone` or `git pull`.

    Returns:
        all rows, as `read_rows` gives them.
    """
    path, columns, keys = Path(path), ["run", *columns, *COMMITS], ["run", *keys]
    packed_path = Path(f"{path}.gz")
    distinct = {id(row["run"]): row["run"] for row in new}  # a run may have thousands of rows
    digests = {key: run.digest for key, run in distinct.items()}
    records = {digests[key]: run.stored() for key, run in distinct.items()}
    new = pd.DataFrame([{**row, "run": digests[id(row["run"])]} for row in new], columns=columns)
    new = _as_text(new.to_csv(index=False, float_format=NUMBER_FORMAT))
    with locked(path.parent):
        rows = _read_both(path, packed_path, columns, keys) if packed else _read_text(path, columns, keys)
        known = read_records(path)
        # Where a user's file holds the data of a set that comes with the project, that set's row stays as it is.
        parts = [part[of_own_data(part) == own] for own in (True, False) for part in (rows, new)]
        rows = pd.concat(parts, ignore_index=True).drop_duplicates(keys, keep="last")
        rows = rows.sort_values([*(order or columns[1:2]), *keys], key=_sort_key, kind="stable", ignore_index=True)
        known |= {run: record for run, record in records.items() if run not in known}
        complete = with_experiment(_typed(rows), known, path)
        # The record first: a kill between the two leaves a record without rows, never rows without a record.
        write_settings(_settings_file(path), known)
        write_table(path, rows)
        if packed:
            write_table(packed_path, rows)
    return complete
