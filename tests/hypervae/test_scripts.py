"""The scripts of HyperVAE as a user calls them: end to end on small real images, and on bad input."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import assert_refused, run

from common.runs.results import read_records


@pytest.fixture(scope="module")
def density_run(digits_8x8):
    """One run of 02 that trains all three models from nothing, in two worker processes."""
    results = digits_8x8.parent / "results"
    options = ["--dataset", digits_8x8, "--results-dir", results, "--iterations", 300]
    options += ["--num-importance-samples", 64, "--num-nll-images", 0, "--jobs", 2]
    return results, options, run("02_density.py", *options)


def test_density_trains_and_measures_every_model(density_run):
    results, _, done = density_run
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "02_density" / "table1.csv")
    expected = ["run", "dataset", "model", "recipe", "summary", "seed", "neg_elbo", "reconstruction", "kl_z", "kl_u"]
    assert list(table.columns[:10]) == expected and list(table.columns[-2:]) == ["trained_at", "evaluated_at"]
    assert set(table["run"]) <= set(read_records(results / "02_density" / "table1.csv"))
    table = table.set_index("model")
    assert set(table.index) == {"vae", "metavae", "hypervae"} and set(table["dataset"]) == {"small"}
    np.testing.assert_allclose(table["neg_elbo"], table["reconstruction"] + table["kl_z"] + table["kl_u"], rtol=1e-4)
    assert (table["nll_is"] < table["neg_elbo"]).all()
    assert table.loc["hypervae", "kl_u"] > 0 and table.loc["vae", "kl_u"] == 0
    # Training did something: 64 pixels at a coin's cost each are 44.4 nats.
    assert table["neg_elbo"].max() < 40
    assert set(pd.read_csv(results / "02_density" / "table2.csv")["model"]) == {"vae", "metavae", "hypervae"}
    times = pd.read_csv(results / "02_density" / "table3.csv").set_index(["model", "generator", "quantity"])
    assert (times["milliseconds"] > 0).all()
    for model, generator in (("vae", "none"), ("hypervae", "layerwise"), ("hypervae", "block")):
        parts = times.loc[(model, generator), "milliseconds"]
        assert np.isclose(parts["total"], parts.reindex(["x", "z", "theta", "u"]).sum(), rtol=1e-4)
    text = (results / "README.md").read_text()
    assert "## Table 1" in text and "## Table 2" in text and "## Table 3" in text


def test_a_second_call_repeats_nothing(density_run):
    results, options, _ = density_run
    states = {p: p.stat().st_mtime_ns for p in results.glob("checkpoints/*/*.npz")}
    table = (results / "02_density" / "table1.csv").read_bytes()
    done = run("02_density.py", *options)
    assert done.returncode == 0 and len(states) == 3
    assert {p: p.stat().st_mtime_ns for p in results.glob("checkpoints/*/*.npz")} == states
    assert (results / "02_density" / "table1.csv").read_bytes() == table


def test_train_draws_its_figures_from_the_same_checkpoints(density_run, digits_8x8):
    results, options, _ = density_run
    done = run("01_train.py", "--dataset", digits_8x8, "--results-dir", results, "--iterations", 300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(results.glob("checkpoints/*/*.npz"))) == 3
    (folder,) = (results / "01_train").glob("small-*/")
    for name in ("loss_curves", "reconstructions", "generated_vaes", "walk"):
        assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert len(pd.read_csv(results / "01_train" / "training.csv")) == 3
    assert {path.name for path in results.rglob(".*")} == {".lock"}  # no temporary file is left behind


def test_outliers_are_scored_and_a_second_call_repeats_nothing(digits_8x8):
    results = digits_8x8.parent / "outliers"
    options = ["--normal", digits_8x8, "--normal-classes", "0-4", "--results-dir", results, "--iterations", 100]
    options += ["--num-bootstrap", 20, "--jobs", 2]
    done = run("03_outliers.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "03_outliers" / "table4.csv")
    columns = ["run", "normal", "outlier", "model", "score", "seed", "auc", "fpr", "fnr", "average_precision"]
    assert list(table.columns[:10]) == columns and list(table.columns[-2:]) == ["trained_at", "evaluated_at"]
    assert set(table["normal"]) == {"small-0,1,2,3,4"} and set(table["outlier"]) == {"small-others"}
    scored = {model: set(own["score"]) for model, own in table.groupby("model")}
    both = {"description_length", "kl", "density_of_states", "density_of_states_and_codes"}
    both |= {f"complexity_adjusted_{compressor}" for compressor in ("png", "zlib", "context")}
    assert scored["vae"] == both and scored["hypervae"] == both | {"description_length_with_u", "regret"}
    assert scored["metavae"] == {"kl", "description_length"} and len(scored) == 8
    assert np.isfinite(table.select_dtypes("number")).all(axis=None) and table["auc"].between(0, 100).all()
    assert (table["num_outlier"] == round(0.2 * table["num_normal"][0])).all()
    assert table.query("model == 'local_outlier_factor'")["auc"].item() > 80
    figures = sorted(p.name for p in results.glob("03_outliers/*/*.png"))
    assert figures == [
        "extremes_density_of_states_and_codes.png",
        "extremes_description_length.png",
        "histograms.png",
        "roc.png",
    ]
    assert "## Table 4" in (results / "README.md").read_text()
    before = (results / "03_outliers" / "table4.csv").read_bytes()
    stored = {p: p.stat().st_mtime_ns for p in results.glob("checkpoints/**/*") if p.is_file()}
    again = run("03_outliers.py", *options)
    assert again.returncode == 0 and (results / "03_outliers" / "table4.csv").read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in results.glob("checkpoints/**/*") if p.is_file()} == stored


def bad_mixtures(folder):
    x, y = np.random.default_rng(0).random((40, 8, 8)), np.arange(40) % 2
    np.savez(folder / "large.npz", x=np.repeat(x, 2, 1), y=y)
    np.savez(folder / "few.npz", x=x[:10], y=y[:10])
    np.savez(folder / "gap.npz", x=x, y=2 * y)
    np.savez(folder / "nan.npz", x=np.where(x > 0.9, np.nan, x), y=y)
    return {
        "another size": (["--outlier", folder / "large.npz"], "16x8.*8x8.*resize"),
        "too few": (["--outlier", folder / "few.npz"], "2 test images, 72 outliers"),
        "empty class": (["--outlier", folder / "gap.npz"], "class 1 has no"),
        "NaN": (["--outlier", folder / "nan.npz"], "NaN"),
        "no outliers": ([], "no outliers: give --outlier"),
        "unknown class": (["--normal-classes", "5-12"], "classes 0 to 9"),
        "unknown set": (["--outlier", "imagenet"], "unknown data set"),
    }


@pytest.mark.parametrize(
    "case", ["another size", "too few", "empty class", "NaN", "no outliers", "unknown class", "unknown set"]
)
def test_bad_mixtures_are_one_line_and_exit_code_2(tmp_path, digits_8x8, case):
    options, message = bad_mixtures(tmp_path)[case]
    done = run("03_outliers.py", "--normal", digits_8x8, "--results-dir", tmp_path / "results", *options)
    assert_refused(done)
    assert re.search(message, done.stderr)
    assert not (tmp_path / "results").exists()


HELP = {"01_train.py": "--summary", "02_density.py": "--tables", "03_outliers.py": "--outlier"}
HELP |= {"04_discover_digits.py": "--held-out", "05_discover_alloys.py": "--tdb", "06_regression.py": "--target"}
HELP |= {"07_classification.py": "--ood", "08_denoise.py": "--sigma"}


@pytest.mark.parametrize("script", HELP)
def test_help_has_examples_and_every_script_shares_its_runs_out(script):
    done = run(script, "--help")
    assert done.returncode == 0 and "examples:" in done.stdout and not done.stderr
    for option in (HELP[script], "--jobs", "--scheduler", "--seeds"):
        assert option in done.stdout


def bad_inputs(folder):
    x, y = np.random.default_rng(0).random((20, 8, 8)), np.arange(20) % 2
    np.savez(folder / "nan.npz", x=np.where(x > 0.9, np.nan, x), y=y)
    np.savez(folder / "shape.npz", x=x.reshape(20, 64), y=y)
    np.savez(folder / "good.npz", x=x, y=y)
    (folder / "cut.npz").write_bytes((folder / "good.npz").read_bytes()[:700])
    (folder / "file").write_text("not a folder")
    return {
        "unknown set": ["--dataset", "imagenet"],
        "missing file": ["--dataset", folder / "none.npz"],
        "truncated file": ["--dataset", folder / "cut.npz"],
        "NaN": ["--dataset", folder / "nan.npz"],
        "wrong shape": ["--dataset", folder / "shape.npz"],
        "unwritable": ["--dataset", folder / "good.npz", "--results-dir", folder / "file" / "results"],
        "batch": ["--dataset", folder / "good.npz", "--batch-size", 7, "--model", "hypervae", "--results-dir", folder],
    }


@pytest.mark.parametrize(
    "case", ["unknown set", "missing file", "truncated file", "NaN", "wrong shape", "unwritable", "batch"]
)
@pytest.mark.parametrize("script", ["01_train.py", "02_density.py"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, script, case):
    options = bad_inputs(tmp_path)[case]
    done = run(script, *options, cwd=tmp_path)
    assert_refused(done)
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.parametrize(
    "option", [["--iterations", "0"], ["--learning-rate", "-1"], ["--seeds", "x"], ["--summary", "max"]]
)
def test_bad_options_are_refused_by_name(option):
    done = run("01_train.py", *option)
    assert done.returncode == 2 and option[0].split("s")[0] in done.stderr and "Traceback" not in done.stderr
