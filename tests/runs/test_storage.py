"""Files: whole, old or new, whatever happens to the process that writes them."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from common.errors import InputError
from common.runs import storage


def test_of_two_that_make_the_same_the_first_ones_stays(tmp_path):
    def make():
        storage.write_json(tmp_path / "r.json", {"a": 1})  # by another process
        return {"a": 2}

    assert storage.made_once(tmp_path / "r.json", make) == {"a": 1}


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path):
    storage.write_json(tmp_path / "r.json", {"a": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_atomically(tmp_path / "r.json", fail)
    assert storage.made_once(tmp_path / "r.json", lambda: {"a": 2}) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_what_a_killed_process_left_is_swept_at_the_next_start(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "import os, signal; from common.runs import storage\n"
    code += f"path = {str(tmp_path / 'a.json')!r}\n"
    code += "storage.write_atomically(path, lambda t: (t.write_text('half'), os.kill(os.getpid(), signal.SIGKILL)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    mine = tmp_path / f".{storage._HOST}.{os.getpid()}.b.json"  # one that is being written now
    mine.touch()
    storage.write_json(tmp_path / "c.json", {"a": 1})
    assert {path.name for path in tmp_path.iterdir()} == {"c.json", mine.name}


def test_a_second_process_waits_and_a_killed_one_blocks_nobody(tmp_path):
    code = f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from common.runs.storage import exclusive\n"
    code += f"with exclusive({str(tmp_path)!r}):\n    print('inside', flush=True)\n    time.sleep(600)"
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "inside\n"
    started = time.monotonic()
    os.kill(first.pid, signal.SIGSTOP)
    waiter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = ""
    while "waiting for it" not in said and time.monotonic() - started < 60:
        said += waiter.stdout.readline()
        assert said != "inside\n"
    os.kill(first.pid, signal.SIGKILL)
    assert waiter.stdout.readline() == "inside\n"
    waiter.kill()
    first.wait()
    waiter.wait()
    with storage.exclusive(tmp_path):
        pass


@pytest.mark.parametrize("lock", [storage.locked, storage.exclusive])
def test_a_folder_that_cannot_be_locked_is_named(tmp_path, lock):
    (tmp_path / ".lock").mkdir()  # as where nothing can be written
    with pytest.raises(InputError, match="cannot write to .*: choose another --results-dir"), lock(tmp_path):
        raise AssertionError


def test_nothing_is_written_over_what_is_read(tmp_path):
    data, other = tmp_path / "data.npz", tmp_path / "other.npz"
    data.touch()
    (tmp_path / "link.npz").symlink_to(data)
    storage.check_apart(None, {"--dataset": data}, "name another")
    storage.check_apart(other, {"--dataset": data, "--tdb": None, "--limits": "missing.csv"}, "name another")
    for output, read in ((data, data), (tmp_path / "link.npz", data), (other, tmp_path), (data, tmp_path / "link.npz")):
        with pytest.raises(InputError, match="would write over --dataset .*: name another"):
            storage.check_apart(output, {"--dataset": read}, "name another")
