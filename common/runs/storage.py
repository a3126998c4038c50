"""Files that are always whole, old or new; locks; and which version of the code writes."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from common.errors import InputError

CHECKSUM = "sha256"
ELSEWHERE = "choose another --results-dir"  # the remedy where a folder cannot be written
REMEDY = "delete it and run again"  # where a file that this code wrote is damaged
_HOST = socket.gethostname().partition(".")[0] or "host"


def write_atomically(path, write, elsewhere=ELSEWHERE):
    """Call write(temporary path), then rename: the file at `path` is always whole, old or new.

    Args:
        elsewhere: the remedy where the folder cannot be written.

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
        remedy = "make room, or " * (error.errno == errno.ENOSPC) + elsewhere
        raise InputError(f"cannot write {path} ({error.strerror or error}): {remedy}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sha256_of(path):
    """The SHA-256 checksum of a file's bytes, in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_apart(output, inputs, remedy):
    """Refuse to write over what is read.

    Args:
        output: a path, or None; inputs: {what it is called: path, name or None}; remedy: how to name another output.

    Raises:
        InputError: the output is one of the inputs, or lies in a folder that is one.
    """
    for name, path in inputs.items() if output is not None else ():
        if path is not None and Path(path).exists():
            read, written = Path(path).resolve(), Path(output).resolve()
            same = written.exists() and written.samefile(read)  # under another name, too
            if same or (read.is_dir() and read in written.parents):
                raise InputError(f"{output} would write over {name} {path}: {remedy}")


def write_npz(path, arrays, elsewhere=ELSEWHERE, compressed=True):
    """Write {name: array} as .npz, atomically; `elsewhere` and errors as of `write_atomically`.

    Returns:
        the file's `sha256_of`: what was written, whatever stands there later.
    """
    import numpy as np

    save, checksums = np.savez_compressed if compressed else np.savez, []

    def write(temporary):
        with open(temporary, "wb") as stream:  # given a name, NumPy would add its ending
            save(stream, **arrays)
        checksums.append(sha256_of(temporary))

    write_atomically(path, write, elsewhere)
    return checksums[0]


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
        raise InputError(f"cannot write to {path} ({error.strerror}): {ELSEWHERE}") from error
    sweep(path)


@contextlib.contextmanager
def locked(folder):
    """Only one process at a time is inside `with locked(folder)`; the lock ends with the process, however it ends.

    Raises:
        InputError: the folder cannot be made or written.
    """
    lock = _acquired(folder)
    try:
        yield
    finally:
        lock.release()


def _acquired(folder, timeout=-1):
    make_folder(folder)
    lock = FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(timeout=timeout)
    except Timeout:  # which is an OSError, too
        raise
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): {ELSEWHERE}") from error
    return lock


@contextlib.contextmanager
def exclusive(folder):
    """One process at a time trains a run; another one waits here, and then finds it trained.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        lock = _acquired(folder, timeout=1)
    except Timeout:
        tqdm.write(f"another process is training {folder}: waiting for it")
        lock = _acquired(folder)
    try:
        yield
    finally:
        lock.release()


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
    changed = git("status", "--porcelain", "--", "*.py", "common", "requirements.txt").stdout.strip()
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
    content = read_dictionary(path, remedy)
    if content.pop(CHECKSUM, None) != _checksum(content):
        raise InputError(f"{path} is damaged, or an earlier version wrote it: {remedy}")
    return content


def _checksum(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_dictionary(path, remedy):
    """The dictionary in a JSON file.

    Raises:
        InputError: it cannot be read, or is none; `remedy` says what to do.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): {remedy}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it holds no record): {remedy}")
    return content


def made_once(path, make):
    """The dictionary in a JSON file; where there is none yet, make() gives it, and it is written there.

    Of two processes that make it at once the first one's stays.

    Raises:
        InputError: the file is damaged.
    """
    path = Path(path)
    if not path.exists():
        made = make()
        if not path.exists():
            write_json(path, made)
    return read_json(path, REMEDY)
