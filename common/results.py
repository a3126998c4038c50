"""What scripts write: CSV rows, atomically, and the papers' numbers to stand beside them."""

import contextlib
import hashlib
import json
import os
import zlib
from pathlib import Path

import pandas as pd

from common.errors import InputError


def write_atomically(path, write):
    """Call write(temporary path), then rename: the file at `path` is always whole, old or new.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror or error}): choose another --results-dir") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_folder(path):
    """Make a folder and those above it, before a long run that will write there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {path} ({error.strerror}): choose another --results-dir") from error


def digest(settings):
    """Eight hex digits that stand for settings (anything that JSON can hold) in a file's name."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def write_json(path, record):
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(record) + "\n"))


def stored(path, make):
    """The record in a JSON file; where there is none yet, make() gives it, and it is written there."""
    if not path.exists():
        write_json(path, make())
    return json.loads(path.read_text())


def read_rows(path, columns):
    """The rows of a results CSV, empty if there is none yet.

    Raises:
        InputError: the file is not such a CSV.
    """
    path = Path(path)
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        rows = pd.read_csv(path, dtype={"alloy": str})  # 2024 is a name
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run again") from error
    if list(rows.columns) != list(columns):
        raise InputError(f"{path} has other columns than this version writes: delete it and run again")
    return rows


def write_table(path, rows, **options):
    """Write rows as CSV, atomically; `options` are pandas'."""
    write_atomically(path, lambda temporary: rows.to_csv(temporary, index=False, float_format="%.6g", **options))


def put_rows(path, new, columns, keys):
    """Add rows to a results CSV; a row with the same keys is replaced. Returns all rows, sorted by keys, rounded as in the file."""
    rows = read_rows(path, columns)
    new = pd.DataFrame(new, columns=columns)
    rows = new if rows.empty else pd.concat([rows, new])
    rows = rows.drop_duplicates(keys, keep="last").sort_values(keys, kind="stable")
    write_table(path, rows)
    return read_rows(path, columns)  # a summary made now equals one made from the file later


def put_rows_packed(path, new, columns, keys):
    """As `put_rows`, and the same table beside it as .csv.gz: a whole experiment is too large for a repository, packed it is not.

    Where only the packed table is there (a fresh clone), its rows are kept.
    """
    packed = Path(f"{path}.gz")
    if packed.exists() and not Path(path).exists():
        write_table(path, read_rows(packed, columns))
    rows = put_rows(path, new, columns, keys)
    write_table(packed, rows, compression={"method": "gzip", "mtime": 0})  # equal rows, equal bytes
    return rows


def markdown_table(header, rows):
    """A Markdown table of cells that str() can show."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def over_seeds(rows, keys, measures, over="seed"):
    """Mean and standard deviation (n - 1) over seeds (or splits) of each measure, one row for each setting of the keys."""
    grouped = rows.groupby(keys, sort=False)
    table = grouped[measures].agg(["mean", "std"])
    table.columns = [f"{measure}_{statistic}" for measure, statistic in table.columns]
    table.insert(0, f"num_{over}s", grouped[over].nunique())
    table["commit"] = grouped["commit"].agg(lambda commits: " ".join(sorted(set(commits))))
    return table.reset_index()
