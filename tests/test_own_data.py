"""Runs on a user's own data only add: all that was committed stays as it is, beside rows in a section of their own."""

import shutil
from collections import Counter

import numpy as np
import pytest
from conftest import ROOT

from common import names, report
from common.runs.results import of_own_data, read_rows

SHORT = [
    "--model",
    "vae",
    "--iterations",
    4,
    "--batch-size",
    20,
    "--latent-dim",
    3,
]


def committed(folder):
    """{file: its bytes, or of a table the number of each of its lines} of all but the records and the report."""
    files = [path for path in folder.glob("[0-9]*/**/*") if path.is_file() and "checkpoints" not in path.parts]
    kept = {path: path.read_bytes() for path in files if path.suffix in (".csv", ".png")}
    return {path: Counter(raw.splitlines()) if path.suffix == ".csv" else raw for path, raw in kept.items()}


@pytest.fixture
def reference(tmp_path):
    """A copy of the committed results; figures are stood in for by empty files."""
    folder = tmp_path / "results"
    large = ["figure2.csv.gz"]  # 400,000 rows that take long to read, and no table is made of
    ignored = shutil.ignore_patterns("*.png", "checkpoints", "demo", ".lock", *large)
    shutil.copytree(ROOT / "results", folder, ignore=ignored)
    for figure in (ROOT / "results").glob("[0-9]*/**/*.png"):
        path = folder / figure.relative_to(ROOT / "results")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.slow
def test_only_rows_of_their_own_are_added(
    reference, on_own_data, call, small_networks, uncompiled, untraced_trainings, monkeypatch
):
    from common.hypervae import timing

    monkeypatch.setattr(timing, "table3", lambda record: {"x": 1.0, "total": 2.0})
    before, report_before = committed(reference), (reference / "README.md").read_text()
    write_report = report.write_report
    for script, stem, *options in (  # files by the names of the sets that the papers' numbers stand beside
        ("01_train.py", "mnist", *SHORT),
        ("02_density.py", "mnist", "--num-importance-samples", 4, *SHORT),
        ("03_outliers.py", "mnist", "--normal-classes", 0, "--num-bootstrap", 3, *SHORT),
        ("06_regression.py", "boston", "--epochs", 3, "--splits", 2),
        ("08_denoise.py", "house", "--epochs", 2, "--half-cycle", 1),
    ):
        # The whole report is written once, by the last of them.
        monkeypatch.setattr(report, "write_report", write_report if script.startswith("08") else lambda folder: None)
        done = call(script, *on_own_data(script, stem), *options, "--results-dir", reference)
        assert done.returncode == 0, done.stderr
    after = committed(reference)
    for path, content in before.items():
        assert content <= after[path] if path.suffix == ".csv" else content == after[path], path

    tables = [path for path in after if path.suffix == ".csv" and {"run"} & set(path.open().readline().split(","))]
    added = {path.parent.name: of_own_data(read_rows(path)).sum() for path in tables}
    assert all(added[stage] for stage in ("01_train", "02_density", "03_outliers", "06_regression", "08_denoise"))
    reference_part, own_part = (reference / "README.md").read_text().split(f"\n## {report.OWN}\n")
    assert reference_part.replace(f"- [{report.OWN}](#your-own-data)\n", "").strip() == report_before.strip()
    for words in ("mnist.npz", "boston.csv", "house.png", "### Table 1: density", "### Table 4", "### Figures"):
        assert words in own_part
    assert "106.8" not in own_part and "3.72 +- 1.05" not in own_part  # the papers' MNIST and Boston


@pytest.mark.slow
def test_a_set_that_comes_with_the_project_is_known_by_its_contents(tmp_path, call):
    """The same numbers under a file's name are the same run, and its row keeps the set's name."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    np.savez(tmp_path / "again.npz", x=x, y=y)
    options = ["--method", "sgd", "--epochs", 1, "--splits", 5, "--results-dir", tmp_path / "results"]
    for dataset in ("diabetes", tmp_path / "again.npz"):
        assert call("06_regression.py", "--dataset", dataset, *options).returncode == 0
    rows = read_rows(tmp_path / "results" / "06_regression" / "table1.csv")
    assert set(rows["dataset"]) == {"diabetes"}


@pytest.mark.parametrize("name", ["photos.npz", "PHOTOS", "ä b|c.csv", "\udcff.npz", "x" * 200 + ".npz", "a\nb.csv"])
def test_a_file_has_a_name_that_no_set_of_ours_has(name, tmp_path):
    found = names.name_of_file(tmp_path / name)
    assert names.is_file_name(found) and found.isprintable() and len(found.encode()) < 128
    assert names.is_file_name(f"{found}-0,1") and not names.is_file_name("mnist-0,1,2")


def test_a_folder_is_named_by_itself(tmp_path, monkeypatch):
    (tmp_path / "alloys").mkdir()
    monkeypatch.chdir(tmp_path / "alloys")
    assert names.name_of_file(".") == names.name_of_file("../alloys") == "alloys.folder"
