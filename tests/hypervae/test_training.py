"""Seeds, resume after kills at any moment, two processes at one run, the held-out curve."""

import dataclasses
import json
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypervae.toy import bars, settings

from common.errors import InputError
from common.hypervae import density, training
from common.hypervae.runs import trained
from common.hypervae.training import HELD_OUT, MEASURES, fit_or_load
from common.runs import checkpoints, storage

PLAIN = settings(model="vae")  # what does not differ between models is tested with the one that is built fastest
pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(training, "LEAST_ROWS", 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """whole(settings): weights and log of a training without a break, done by the first test that asks."""
    found = {}

    def get(wanted):
        if wanted.digest not in found:
            run = fit_or_load(wanted, bars(), tmp_path_factory.mktemp("whole"))
            found[wanted.digest] = (weights(run.model), run.log)
        return found[wanted.digest]

    return get


def weights(model):
    return [np.asarray(v) for v in model.trainable_variables]


def assert_as_if_never_killed(run, whole):
    expected, log = whole(run.settings)
    for ours, theirs in zip(weights(run.model), expected):
        np.testing.assert_array_equal(ours, theirs)
    columns = ["iteration", *MEASURES, HELD_OUT]
    pd.testing.assert_frame_equal(run.log[columns], log[columns])


def test_data_that_changed_since_they_were_planned_with_are_refused(tmp_path):
    args = SimpleNamespace(results_dir=tmp_path, tensorboard=False)
    with pytest.raises(InputError, match="has changed since this command began"):
        trained(args, dataclasses.replace(PLAIN, fingerprint="0123"), bars())
    assert not list(tmp_path.iterdir())


def test_one_seed_one_result_and_a_finished_run_is_not_repeated(tmp_path, whole):
    first = fit_or_load(PLAIN, bars(), tmp_path)
    assert_as_if_never_killed(first, whole)
    assert list(first.log["iteration"]) == [10, 20, 30, 35]
    assert first.log["neg_elbo"].iloc[-1] < first.log["neg_elbo"].iloc[0]
    before = {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir() if path.name != "settings.json"}
    again = fit_or_load(PLAIN, bars(), tmp_path)
    assert_as_if_never_killed(again, whole)
    assert before == {p.name: p.stat().st_mtime_ns for p in again.folder.iterdir() if p.name != "settings.json"}
    one, other = (weights(training.build_model(settings(seed=seed), bars())) for seed in (3, 4))
    assert np.abs(one[0] - other[0]).max() > 0


def test_a_log_that_was_begun_under_a_former_name_is_one_log(tmp_path, whole):
    path = fit_or_load(PLAIN, bars(), tmp_path).folder / "progress.json"
    progress = storage.read_json(path, "")
    for row in progress["rows"][:2]:
        row["kl_u"] = row.pop("kl_u_of_task")
    storage.write_json(path, progress)
    assert_as_if_never_killed(fit_or_load(PLAIN, bars(), tmp_path), whole)


def test_a_short_training_has_a_curve(tmp_path, monkeypatch, whole):
    expected, _ = whole(PLAIN)
    monkeypatch.setattr(training, "LEAST_ROWS", 10)
    run = fit_or_load(PLAIN, bars(), tmp_path)
    assert list(run.log["iteration"]) == [*range(3, 36, 3), 35]
    np.testing.assert_array_equal(weights(run.model)[0], expected[0])  # its rows change nothing


def test_the_held_out_curve_is_table_1s_and_changes_no_training(tmp_path, monkeypatch, whole):
    expected, log = whole(PLAIN)
    assert log[HELD_OUT].notna().all()  # fewer epochs than tenths: one value an epoch
    monkeypatch.setattr(training, "held_out_curve", lambda model, data, total: lambda epoch: {})
    run = fit_or_load(PLAIN, bars(), tmp_path)
    x, y = training.held_out_part(bars())
    measured = density.evaluate(run.model, x, y, seed=training.HELD_OUT_SEED, num_importance_samples=0, task_size=10)
    assert run.log[HELD_OUT].isna().all() and np.isclose(log[HELD_OUT].iloc[-1], measured["neg_elbo"], rtol=1e-6)
    for ours, theirs in zip(weights(run.model), expected):
        np.testing.assert_array_equal(ours, theirs)


def test_held_out_images_are_few_and_of_every_class_and_the_curve_has_ten_points(monkeypatch):
    monkeypatch.setattr(training, "HELD_OUT_IMAGES", 7)
    x, y = training.held_out_part(bars())
    assert len(x) == 6 and np.bincount(y).tolist() == [2, 2, 2]
    monkeypatch.setattr(density.Evaluator, "__call__", lambda *_: {"neg_elbo": 1.0})
    curve = training.held_out_curve(training.build_model(PLAIN, bars()), bars(), total=37)
    due = [epoch for epoch in range(1, 38) if curve(epoch)]
    assert len(due) == 10 and due[-1] == 37 and set(np.diff(due)) == {3, 4}


def test_a_metavae_trains(tmp_path):
    run = fit_or_load(settings(model="metavae"), bars(), tmp_path)
    assert run.log["kl_u_of_task"].iloc[-1] == 0 and np.isfinite(run.log[[*MEASURES, HELD_OUT]]).all(axis=None)
    assert run.folder.name.startswith("metavae-") and run.seconds > 0


class Killed(BaseException):
    """What SIGKILL is to a process: nothing after it is done."""


def kill_before_the_first_checkpoint(monkeypatch):
    def killed(*_):
        raise Killed

    monkeypatch.setattr(checkpoints.Checkpoint, "_save", killed)


def kill_between_weights_and_progress(monkeypatch):
    write, calls = checkpoints.write_json, []

    def killed(path, content):
        calls.append(path.name)
        if calls.count("progress.json") == 2:  # the second checkpoint's weights are written, its progress is not
            raise Killed
        write(path, content)

    monkeypatch.setattr(checkpoints, "write_json", killed)


def kill_before_old_weights_are_deleted(monkeypatch):
    """After the second checkpoint's progress was written."""
    save = checkpoints.Checkpoint._save

    def killed(self, done):
        save(self, done)
        if done == 2:
            (self.folder / "epoch1.npz").write_bytes(b"left over")
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoint, "_save", killed)


def test_killed_at_any_moment_ends_as_if_never_killed(tmp_path, monkeypatch, whole):
    """The same run killed again and again, each time at a later moment."""
    moments = (
        (kill_before_the_first_checkpoint, 0),
        (kill_between_weights_and_progress, 1),
        (kill_before_old_weights_are_deleted, 2),
    )
    for kill, epoch in moments:
        with monkeypatch.context() as patch:
            kill(patch)
            with pytest.raises(Killed):
                fit_or_load(PLAIN, bars(), tmp_path)
        progress = PLAIN.folder(tmp_path) / "progress.json"
        assert (json.loads(progress.read_text())["epoch"] if progress.exists() else 0) == epoch
    assert_as_if_never_killed(fit_or_load(PLAIN, bars(), tmp_path), whole)


CHILD = """
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from hypervae import toy
toy.make_small()
from common.hypervae import training
training.CHECKPOINT_EVERY, training.LEAST_ROWS = 10, 3
folder, save = Path({folder!r}), training.Checkpoint._save

def wait(self, done):
    save(self, done)
    if done == 2:
        print("training", flush=True)
        while not (folder / "go").exists():
            time.sleep(0.02)
        (folder / "go").unlink()
        if self.folder.name.startswith("hypervae"):
            os.kill(os.getpid(), signal.SIGKILL)

training.Checkpoint._save = wait
for model in ("vae", "hypervae"):
    training.fit_or_load(toy.settings(model=model), toy.bars(), folder)
"""


def test_two_processes_at_one_run(tmp_path, capsys, whole):
    """One trains, the other waits and finds the run trained; where the first one is killed, the second goes on."""
    script = CHILD.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for model in ("vae", "hypervae"):
            assert child.stdout.readline() == b"training\n"
            go_on = threading.Timer(1.3, (tmp_path / "go").touch)  # longer than one waits before saying so
            go_on.start()
            run = fit_or_load(settings(model=model), bars(), tmp_path)
            go_on.join()
            assert f"another process is training {run.folder}" in capsys.readouterr().out
            assert [path.name for path in run.folder.glob("epoch*")] == ["epoch4.npz"]
            assert list(run.log["iteration"]) == [10, 20, 30, 35]
            assert len(list(tmp_path.glob(f"{model}-*"))) == 1
        assert child.wait(timeout=60) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
    assert_as_if_never_killed(run, whole)


def test_damaged_checkpoints_are_named(tmp_path):
    plain = settings(model="vae", iterations=10)
    run = fit_or_load(plain, bars(), tmp_path)
    state = run.folder / "epoch4.npz"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged.*epoch4.npz.*delete the folder"):
        fit_or_load(plain, bars(), tmp_path)
    (run.folder / "progress.json").write_text("{")
    with pytest.raises(InputError, match="progress.json is damaged.*delete the folder"):
        fit_or_load(plain, bars(), tmp_path)
