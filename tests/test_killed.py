"""A script that is killed at every stage, and called again each time, ends as if it had never been killed."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image
from sklearn.datasets import load_sample_image

MOMENTS = {
    "01_train.py": [
        ("settings.json", "after"),  # the run's own record: nothing is trained yet
        (r"epoch\d+.npz", "before"),
        (r"epoch\d+.npz", "during"),
        (r"epoch\d+.npz", "after"),  # weights without their progress
        ("progress.json", "after"),
        ("training.csv", "during"),
        ("training.csv", "after"),
        ("reconstructions.png", "during"),
    ],
    # Training is the same code: what 01 stands.
    "06_regression.py": [
        (r"epoch\d+.npz", "after"),
        ("table1.csv", "before"),  # records of rows that are not there
        ("figure2.csv.gz", "during"),  # figure2.csv is there
        ("summary.csv", "during"),
    ],
    "08_denoise.py": [
        (r"epoch\d+.npz", "after"),
        ("psnr.csv", "during"),
        ("restored.png", "during"),
        ("README.md", "during"),
    ],
}


def options_of(script, tmp_path, write_npz):
    """A short run on a user's own file."""
    random = np.random.default_rng(0)
    if script.startswith("01"):
        path = write_npz("own.npz")
        return ["--dataset", path, "--model", "vae", "--iterations", 230, "--batch-size", 20, "--tasks-per-step", 2]
    if script.startswith("06"):
        path = tmp_path / "own.csv"
        pd.DataFrame(random.random((40, 3)), columns=["a", "b", "price"]).to_csv(path, index=False)
        return ["--dataset", path, "--target", "price", "--method", "sgd", "--epochs", 30, "--splits", 2]
    # Something to learn: the SSIM of a picture of noise is rounding alone.
    Image.fromarray(load_sample_image("flower.jpg")[100:142:2, 300:352:2]).save(tmp_path / "own.png")
    small = ["--patch", 6, "--stride", 3, "--latent-dim", 12, "--hidden", 12, "--states", 16, "--half-cycle", 2]
    return ["--image", tmp_path / "own.png", "--epochs", 12, *small]


def tables(folder):
    """Every table, without the time that it took."""
    found = {path.relative_to(folder): pd.read_csv(path) for path in folder.glob("0*/*.csv")}
    return {path: table[[name for name in table if "seconds" not in name]] for path, table in found.items()}


@pytest.mark.parametrize("script", MOMENTS)
def test_killed_at_every_stage(script, tmp_path, call, write_npz, request):
    if script.startswith("01"):
        for small in ("small_networks", "uncompiled"):
            request.getfixturevalue(small)
    options = [*map(str, options_of(script, tmp_path, write_npz))]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(script, *options, "--results-dir", whole).returncode == 0
    for pattern, moment in MOMENTS[script]:
        command = [sys.executable, ROOT / "tests" / "killing.py", pattern, moment, script, *options]
        done = subprocess.run([*command, "--results-dir", killed], capture_output=True, text=True)
        assert done.returncode == -9, (pattern, moment, done.stderr[-1000:])
    done = call(script, *options, "--results-dir", killed)
    assert done.returncode == 0, done.stderr
    expected, found = tables(whole), tables(killed)
    assert expected and found.keys() == expected.keys()
    for path, table in expected.items():
        pd.testing.assert_frame_equal(found[path], table)
    names = [sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) for folder in (killed, whole)]
    assert names[0] == names[1]  # nothing is left over, nothing is missing
