"""Whatever file of ours is damaged, the same command either does without it or ends with one line that names it."""

import itertools
import re
import shutil

import pytest
from conftest import assert_refused, often

SHORT = ["--iterations", 4, "--batch-size", 20, "--tasks-per-step", 2, "--model", "vae", "hypervae"]


COMMANDS = {  # 02 has all files of 01 but one table
    "02_density.py": ["--num-importance-samples", 4, *SHORT],
    "03_outliers.py": ["--num-bootstrap", 3, "--normal-classes", 0, *SHORT],
    "06_regression.py": ["--epochs", 3, "--splits", 2, "--method", "sgd"],
    "08_denoise.py": ["--epochs", 2, "--half-cycle", 1],
}
DAMAGE = {
    "empty": lambda raw: b"",
    "halved": lambda raw: raw[: len(raw) // 2],
    "null": lambda raw: b"null\n",
    "a list": lambda raw: b"[]\n",
    "another record": lambda raw: b'{"a": 1}\n',
    "binary": lambda raw: bytes(range(256)),
    "flipped": lambda raw: bytes(255 - byte if i % 97 == 50 else byte for i, byte in enumerate(raw)),
}


@pytest.mark.parametrize("script", often("02_density.py", rest=COMMANDS))
def test_damaged_files(
    script, tmp_path, call, on_own_data, small_networks, uncompiled, untraced_trainings, monkeypatch
):
    """One file of each sort, each with the next kind of damage."""
    if script.startswith("03"):
        from common.hypervae import outlier_figures

        for draw in ("roc_curves", "score_histograms", "extremes"):
            monkeypatch.setattr(outlier_figures, draw, lambda *_: None)
    if script.startswith("02"):
        from common.hypervae import timing

        monkeypatch.setattr(timing, "table3", lambda record: {"x": 1.0, "total": 2.0})
    options = on_own_data(script) + COMMANDS[script]
    whole, folder = tmp_path / "whole", tmp_path / "damaged"
    assert call(script, *options, "--results-dir", whole).returncode == 0
    ours = (".json", ".csv", ".npz", ".gz", ".md")
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.suffix in ours)
    # Every model and baseline has a folder of its own, with the same files.
    sorts = {re.sub(r"[0-9a-f]{12}|(?<=checkpoints/)[a-z_]+", "", str(name)): name for name in names}
    for name, (kind, damage) in zip(sorts.values(), itertools.cycle(DAMAGE.items())):
        shutil.copytree(whole, folder)
        (folder / name).write_bytes(damage((whole / name).read_bytes()))
        done = call(script, *options, "--results-dir", folder)
        if done.returncode:
            assert_refused(done, str(folder / name.parent))
        shutil.rmtree(folder)
        assert done.returncode in (0, 2), (name, kind)
