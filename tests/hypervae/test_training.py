"""Seeds, resume after SIGKILL, checkpoints that refuse what they do not fit."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from common.data.datasets import Dataset
from common.errors import InputError
from common.hypervae import training
from common.hypervae.training import Settings, fit_or_load

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
# Three classes that a network tells apart: a bar at another place, with noise.
X = (RNG.random((60, 8, 8, 1)) < 0.1).astype(np.uint8)
X[np.arange(60), :, 2 * Y + 1] = 1
DATA = Dataset("bars", X, Y, X[:30], Y[:30], (), X[30:], Y[30:])
SETTINGS = Settings(
    dataset="bars",
    fingerprint=DATA.fingerprint(),
    model="hypervae",
    recipe="custom",
    seed=3,
    iterations=35,
    batch_size=12,
    learning_rate=1e-3,
    kl_warmup=0.2,
    schedule="cosine",
    tasks_per_step=3,
    latent_dim=2,
    hyper_latent_dim=2,
    summary="set",
    generator="block",  # compiles fastest
    binarize="threshold",
)


def weights(run):
    return [v.numpy() for v in run.model.trainable_variables]


def assert_equal_runs(first, second):
    for ours, theirs in zip(weights(first), weights(second)):
        np.testing.assert_array_equal(ours, theirs)
    columns = ["iteration", "neg_elbo", "reconstruction", "kl_z", "kl_u"]
    pd.testing.assert_frame_equal(first.log[columns], second.log[columns])


def test_one_seed_one_result_and_a_finished_run_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    first = fit_or_load(SETTINGS, DATA, tmp_path / "a", verbose=0)
    second = fit_or_load(SETTINGS, DATA, tmp_path / "b", verbose=0)
    assert_equal_runs(first, second)
    assert list(first.log["iteration"]) == [10, 20, 30, 35]
    assert first.log["neg_elbo"].iloc[-1] < first.log["neg_elbo"].iloc[0]
    changed = os.stat(first.folder / "state.weights.h5").st_mtime_ns
    again = fit_or_load(SETTINGS, DATA, tmp_path / "a", verbose=0)
    assert os.stat(again.folder / "state.weights.h5").st_mtime_ns == changed
    assert_equal_runs(first, again)
    other = fit_or_load(dataclasses.replace(SETTINGS, seed=4), DATA, tmp_path / "a", verbose=0)
    assert np.abs(weights(other)[0] - weights(first)[0]).max() > 0


@pytest.mark.parametrize("model", ["vae", "metavae"])
def test_the_other_models_train(tmp_path, model):
    settings = dataclasses.replace(SETTINGS, model=model, iterations=40)
    run = fit_or_load(settings, DATA, tmp_path, verbose=0)
    assert run.log["kl_u"].iloc[-1] == 0 and np.isfinite(run.log["neg_elbo"]).all()
    assert settings.summary == settings.generator == "none"


def test_other_settings_get_another_folder(tmp_path):
    folders = {
        dataclasses.replace(SETTINGS, **change).folder(tmp_path)
        for change in ({}, {"seed": 1}, {"iterations": 36}, {"summary": "mean"}, {"fingerprint": "x"})
    }
    assert len(folders) == 5
    # What a plain VAE has no use for does not part its checkpoints.
    plain = dataclasses.replace(SETTINGS, model="vae")
    assert plain.folder(tmp_path) == dataclasses.replace(plain, summary="mean", tasks_per_step=1).folder(tmp_path)


def test_damaged_checkpoints_are_named(tmp_path):
    settings = dataclasses.replace(SETTINGS, model="vae", iterations=4)
    run = fit_or_load(settings, DATA, tmp_path, verbose=0)
    state = run.folder / "state.weights.h5"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="state.weights.h5 is damaged.*delete the folder"):
        fit_or_load(settings, DATA, tmp_path, verbose=0)
    (run.folder / "settings.json").write_text("{")
    with pytest.raises(InputError, match="settings.json is damaged"):
        fit_or_load(settings, DATA, tmp_path, verbose=0)


def test_impossible_settings():
    with pytest.raises(InputError, match="no multiple"):
        fit_or_load(dataclasses.replace(SETTINGS, tasks_per_step=5), DATA, "unused", verbose=0)


CHILD = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from common.hypervae import training
training.CHECKPOINT_EVERY = 10
from test_training import DATA, SETTINGS
import dataclasses
run = training.fit_or_load(dataclasses.replace(SETTINGS, iterations=300), DATA, {folder!r}, verbose=0)
print("finished")
"""


def test_killed_at_random_moments_ends_as_if_never_killed(tmp_path, monkeypatch):
    """A real process, SIGKILL at random moments, started again until it finishes."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    settings = dataclasses.replace(SETTINGS, iterations=300)
    whole = fit_or_load(settings, DATA, tmp_path / "whole", verbose=0)
    script = CHILD.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path / "killed"))
    log = settings.folder(tmp_path / "killed") / "training_log.csv"
    rng = np.random.default_rng()
    kills = 0
    while True:
        start = log.stat().st_size if log.exists() else 0
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        # Wait until training is under way, then let it go on for a random while.
        while child.poll() is None and time.monotonic() < deadline and kills < 2:
            if log.exists() and log.stat().st_size > start:
                time.sleep(rng.uniform(0, 0.3))
                child.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        if child.wait(timeout=240) == 0:
            break
    assert kills >= 1
    resumed = fit_or_load(settings, DATA, tmp_path / "killed", verbose=0)
    assert list(resumed.log["iteration"]) == list(range(10, 301, 10))
    assert_equal_runs(whole, resumed)
