"""What scripts write: files that are always whole, and CSV tables whose rows are keyed by the run that made them."""

import contextlib
import csv
import errno
import functools
import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import zlib
from pathlib import Path

import pandas as pd
from filelock import FileLock

from common import names
from common.errors import InputError
from common.runs import identity

COMMITS = ["trained_at", "evaluated_at"]  # the code's commit at training and at evaluation
# Columns that hold text, whatever it looks like: 2024 is an alloy, 0001 a picture, 12e4567890 a commit.
TEXT = {
    "run",
    *COMMITS,
    "dataset",
    "normal",
    "outlier",
    "image",
    "alloy",
    "model",
    "method",
    "score",
    "recipe",
    "setting",
}
TEXT |= {"binarize", "summary", "generator", "schedule", "architecture", "ood_dataset", "regressor", "likelihood"}
TEXT |= {"objective", "told", "mode"}
NUMBER_FORMAT = "%.6g"
CHECKSUM = "sha256"
_HOST = socket.gethostname().partition(".")[0] or "host"


def write_atomically(path, write, choose="another --results-dir"):
    """Call write(temporary path), then rename: the file at `path` is always whole, old or new.

    Args:
        choose: what an error tells the user to choose.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{_HOST}.{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        remedy = "make room, or choose" if error.errno == errno.ENOSPC else "choose"
        raise InputError(f"cannot write {path} ({error.strerror or error}): {remedy} {choose}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def sweep(folder):
    """Remove the temporary files that killed processes of this machine left in a folder."""
    for path in Path(folder).glob(f".{_HOST}.*"):
        process = path.name.removeprefix(f".{_HOST}.").partition(".")[0]
        if process.isdecimal() and not _is_alive(int(process)):
            path.unlink(missing_ok=True)


def make_folder(path):
    """Make a folder and those above it, before a long run that will write there; sweep what killed ones left.

    Raises:
        InputError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {path} ({error.strerror}): choose another --results-dir") from error
    sweep(path)


@contextlib.contextmanager
def locked(folder):
    """Only one process at a time is inside `with locked(folder)`; the lock ends with the process, however it ends.

    Raises:
        InputError: the folder cannot be made.
    """
    make_folder(folder)
    with FileLock(Path(folder) / ".lock"):
        yield


@functools.cache
def commit():
    """Short hash of the code's commit, "-dirty" where a source file differs from it, "unknown" outside git."""
    top = Path(__file__).resolve().parents[2]

    def git(*arguments):
        return subprocess.run(["git", "-C", os.fspath(top), *arguments], capture_output=True, text=True)

    try:
        head = git("rev-parse", "--short=10", "HEAD")
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    if head.returncode:
        return "unknown"
    changed = git("status", "--porcelain", "--", "*.py", "requirements.txt").stdout.strip()
    return head.stdout.strip() + ("-dirty" if changed else "")


def write_settings(path, content):
    """Write a stored record, or {run: stored record}, for people to read, too."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content) + "\n"))


def write_json(path, content):
    """Write a dictionary with a checksum, which `read_json` expects."""
    write_settings(path, content | {CHECKSUM: _checksum(content)})


def read_json(path, remedy):
    """The dictionary that `write_json` wrote.

    Raises:
        InputError: it cannot be read, or is not as it was written; `remedy` says what to do.
    """
    content = _read_dictionary(path, remedy)
    if content.pop(CHECKSUM, None) != _checksum(content):
        raise InputError(f"{path} is damaged, or an earlier version wrote it: {remedy}")
    return content


def _checksum(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _read_dictionary(path, remedy):
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): {remedy}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it holds no record): {remedy}")
    return content


def stored(path, make):
    """The dictionary in a JSON file; where there is none yet, make() gives it, and it is written there.

    Raises:
        InputError: the file is damaged.
    """
    path = Path(path)
    if not path.exists():
        write_json(path, make())
    return read_json(path, "delete it and run again")


def _settings_file(table):
    return Path(table).with_name("settings.json")


def read_records(table):
    """{run: stored record} of the runs whose rows stand in a folder's tables; empty where nothing was written yet.

    Raises:
        InputError: the file is damaged, or a record is not the one that its run is named by.
    """
    path, remedy = _settings_file(table), "restore it, or delete it with the tables beside it"
    records = _read_dictionary(path, remedy) if path.exists() else {}
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
    except (ValueError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): restore it, or delete it and run again") from error


def _read_text(path, columns):
    """The rows of a results CSV as text, with exactly these columns; empty if there is none yet."""
    path = Path(path)
    if not path.exists():
        return pd.DataFrame(columns=columns, dtype=str)
    rows = _parsed(path)
    unknown = [name for name in rows if name not in columns]
    if unknown or "run" not in rows:
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
    typed = pd.read_csv(io.StringIO(rows.to_csv(index=False)), dtype=dict.fromkeys(texts, str))
    return typed.fillna(dict.fromkeys(texts, ""))


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
        own = rows[knows_data]
        rows.loc[knows_data, name] = own.groupby("experiment")[name].transform(names.common_name)
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


def of_own_data(rows):
    """Which rows (N,) are about a user's own files."""
    named = rows[[name for name in rows if name in names.COLUMNS]]
    return named.map(names.is_file_name).any(axis=1)


def write_table(path, rows):
    """Write rows as CSV, atomically; as .csv.gz equal rows are equal bytes (no time and no name stands in the file)."""
    raw = rows.to_csv(index=False, float_format=NUMBER_FORMAT).encode()
    raw = gzip.compress(raw, mtime=0) if Path(path).suffix == ".gz" else raw
    write_atomically(path, lambda temporary: temporary.write_bytes(raw))


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
        packed: also write the same table as .csv.gz (a whole experiment is too large for a repository). Where only that
            one is there, as in a fresh clone, its rows are kept.

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
        rows = _read_text(packed_path if packed and not path.exists() else path, columns)
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
