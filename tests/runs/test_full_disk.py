"""A full disk: one line says so, nothing is half-written, and the run goes on when there is room."""

import os
import subprocess

import keras
import numpy as np
import pytest
from test_checkpoints import EPOCHS, Run, train

from common.errors import InputError
from common.runs import results
from common.runs.checkpoints import Checkpoint, resume


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB (a tmpfs), where this machine lets us make one; resize(size) makes it larger."""
    options = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    try:
        made = subprocess.run(options, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(folder, keep):
    """Fill the disk but for `keep` bytes."""
    state = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, state.f_bavail * state.f_bsize - keep)))


def test_a_run_goes_on_when_there_is_room_again(small_disk):
    run = small_disk / "run"
    with pytest.raises(KeyboardInterrupt):
        train(run, stop_after=3)
    fill(small_disk, keep=0)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(InputError, match="No space left on device"):
        train(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    (small_disk / "filler").unlink()
    model, progress = train(run)
    assert progress["epoch"] == EPOCHS and np.isfinite(model.get_weights()[0]).all()


def test_weights_that_do_not_fit_leave_no_half_file(small_disk):
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(200)])  # 160 kB
    model.compile(optimizer="sgd", loss="mse")
    model.optimizer.build(model.trainable_variables)
    progress = resume(small_disk, Run(), model)
    callback = Checkpoint(small_disk, progress, 1, 1, lambda *_: None, "loss", "lower the rate")
    callback.set_model(model)
    with pytest.raises(InputError, match=r"cannot write .*epoch1\.npz .*No space left"):
        callback.on_epoch_end(0, {"loss": 1.0})
    assert [path.name for path in small_disk.iterdir()] == ["settings.json"]


def test_a_table_keeps_its_rows(small_disk):
    from test_results import put, row

    put(small_disk / "t.csv", [row()])
    before = (small_disk / "t.csv").read_bytes()
    fill(small_disk, keep=0)
    with pytest.raises(InputError, match="No space left on device"):
        put(small_disk / "t.csv", [row(part=f"part {i}") for i in range(500)])
    assert (small_disk / "t.csv").read_bytes() == before
    (small_disk / "filler").unlink()
    assert len(put(small_disk / "t.csv", [row(part="y")])) == 2
    assert results.read_records(small_disk / "t.csv")
