"""What scripts write: CSV rows, atomically, and the papers' numbers to stand beside them."""

import os
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
        temporary.unlink(missing_ok=True)


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
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run again") from error
    if list(rows.columns) != list(columns):
        raise InputError(f"{path} has other columns than this version writes: delete it and run again")
    return rows


def write_table(path, rows, **options):
    """Write rows as CSV, atomically; `options` are pandas'."""
    write_atomically(path, lambda temporary: rows.to_csv(temporary, index=False, float_format="%.6g", **options))


def put_rows(path, new, columns, keys):
    """Add rows to a results CSV; a row with the same keys is replaced. Returns all rows, sorted by keys."""
    rows = read_rows(path, columns)
    new = pd.DataFrame(new, columns=columns)
    rows = new if rows.empty else pd.concat([rows, new])
    rows = rows.drop_duplicates(keys, keep="last").sort_values(keys, kind="stable")
    write_table(path, rows)
    return rows


def put_rows_packed(path, new, columns, keys):
    """As `put_rows`, and the same table beside it as .csv.gz: a whole experiment is too large for a repository, packed it is not."""
    rows = put_rows(path, new, columns, keys)
    write_table(f"{path}.gz", rows, compression={"method": "gzip", "mtime": 0})  # equal rows, equal bytes
    return rows
