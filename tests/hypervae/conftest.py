"""What the tests of HyperVAE share: small networks, programs that XLA does not compile, scripts called in here."""

import runpy
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT


@pytest.fixture
def small_networks(monkeypatch):
    """Networks of few units: what is tested is the same, and it takes a fraction of the time."""
    from hypervae.toy import BODIES, SmallBody

    monkeypatch.setitem(BODIES, "conv", SmallBody)


@pytest.fixture
def uncompiled(monkeypatch):
    """The same programs as plain TensorFlow graphs."""
    from hypervae.toy import plain_function, tf

    monkeypatch.setattr(tf, "function", plain_function(tf.function))


@pytest.fixture
def call(monkeypatch, capsys):
    """call(script, *options) runs a script as a user does, but in this process: its exit code and output."""

    def call_script(script, *options):
        monkeypatch.setattr(sys, "argv", [script, *map(str, options)])
        code = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=captured.out, stderr=captured.err)

    return call_script


@pytest.fixture
def write_npz(tmp_path):
    """write_npz(name, seed=0, images=150) writes noisy bars of two classes, 8 x 8, as a user's own file."""

    def write(name, seed=0, images=150, height=8):
        y = np.arange(images) % 2
        x = (np.random.default_rng(seed).random((images, height, 8)) < 0.1).astype(float)
        x[np.arange(images), :, 2 * y + 1] = 1
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=x, y=y)
        return path

    return write
