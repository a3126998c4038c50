"""The scripts as a user calls them: end to end on small real images, and on bad input."""

import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_sample_image

from common import calphad, patches
from conftest import ROOT


def run(script, *options, cwd=None):
    command = [sys.executable, str(ROOT / script), *map(str, options)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=600)


@pytest.fixture(scope="module")
def digits_8x8(tmp_path_factory):
    """scikit-learn's digits as a user's own file, at their own 8 x 8."""
    bunch = load_digits()
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x=bunch.images / 16, y=bunch.target)
    return path


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
    table = pd.read_csv(results / "02_density" / "table1.csv").set_index("model")
    assert list(table.reset_index().columns[1:2]) == ["dataset"] and set(table.index) == {"vae", "metavae", "hypervae"}
    expected = ["recipe", "summary", "seed", "neg_elbo", "reconstruction", "kl_z", "kl_u", "nll_is"]
    expected += ["num_importance_samples", "iterations", "images_seen", "seconds", "commit"]
    assert list(pd.read_csv(results / "02_density" / "table1.csv", nrows=0).columns[:15]) == ["dataset", "model"] + expected
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
    states = {p: p.stat().st_mtime_ns for p in results.glob("checkpoints/**/*.h5")}
    table = (results / "02_density" / "table1.csv").read_bytes()
    done = run("02_density.py", *options)
    assert done.returncode == 0 and len(states) == 3
    assert {p: p.stat().st_mtime_ns for p in results.glob("checkpoints/**/*.h5")} == states
    assert (results / "02_density" / "table1.csv").read_bytes() == table


def test_train_draws_its_figures_from_the_same_checkpoints(density_run, digits_8x8):
    results, options, _ = density_run
    done = run("01_train.py", "--dataset", digits_8x8, "--results-dir", results, "--iterations", 300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(results.glob("checkpoints/**/*.h5"))) == 3
    folder = results / "01_train" / "small"
    for name in ("loss_curves", "reconstructions", "generated_vaes", "walk"):
        assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert len(pd.read_csv(results / "01_train" / "training.csv")) == 3
    assert not list(results.rglob(".*"))  # no temporary file is left behind


def test_outliers_are_scored_and_a_second_call_repeats_nothing(digits_8x8):
    results = digits_8x8.parent / "outliers"
    options = ["--normal", digits_8x8, "--normal-classes", "0-4", "--results-dir", results, "--iterations", 100]
    options += ["--num-bootstrap", 20, "--jobs", 2]
    done = run("03_outliers.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "03_outliers" / "table4.csv")
    columns = ["normal", "outlier", "model", "score", "seed", "auc", "fpr", "fnr", "average_precision", "ci_low", "ci_high"]
    assert list(table.columns[:15]) == columns + ["num_normal", "num_outlier", "num_samples", "commit"]
    assert set(table["normal"]) == {"small-0-1-2-3-4"} and set(table["outlier"]) == {"small-others"}
    scored = {model: set(own["score"]) for model, own in table.groupby("model")}
    both = {"description_length", "kl", "density_of_states", "density_of_states_and_codes"}
    both |= {f"complexity_adjusted_{compressor}" for compressor in ("png", "zlib", "context")}
    assert scored["vae"] == both and scored["hypervae"] == both | {"description_length_with_u", "regret"}
    assert scored["metavae"] == {"kl", "description_length"} and len(scored) == 8
    assert np.isfinite(table.select_dtypes("number")).all(axis=None) and table["auc"].between(0, 100).all()
    assert (table["num_outlier"] == round(0.2 * table["num_normal"][0])).all()
    assert table.query("model == 'local_outlier_factor'")["auc"].item() > 80
    figures = sorted(p.name for p in results.glob("03_outliers/*/*.png"))
    assert figures == ["extremes_density_of_states_and_codes.png", "extremes_description_length.png", "histograms.png", "roc.png"]
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
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and re.search(message, lines[0]) and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_an_unseen_class_is_searched_for_and_a_second_call_repeats_nothing(digits_8x8):
    results = digits_8x8.parent / "discovery"
    options = ["--dataset", digits_8x8, "--results-dir", results, "--iterations", 100, "--held-out", "1,4"]
    options += ["--target-index", 3, "--evaluations", 15, "--target-pixels", "grey", "--jobs", 2]
    done = run("04_discover_digits.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = results / "04_discover_digits"
    table = pd.read_csv(folder / "figure3a.csv")
    columns = ["digit", "target_index", "method", "seed", "evaluation", "step", "cosine_distance", "best_so_far", "seconds"]
    assert list(table.columns[:9]) == columns and set(table["target_index"]) == {3} and set(table["digit"]) == {1, 4}
    assert (table.groupby(["digit", "method"]).size() == 15).all() and table["method"].nunique() == 7
    assert table["cosine_distance"].between(0, 1).all() and (table["best_so_far"] <= table["cosine_distance"]).all()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "figure3a.csv.gz"), table)
    bounds = pd.read_csv(folder / "bounds.csv").set_index(["digit", "method"])["cosine_distance"]
    final = table.groupby(["digit", "method"])["best_so_far"].min()
    assert all(bounds[digit, "vae"] <= final[digit, "vae"] + 1e-6 for digit in (1, 4))
    assert sorted(p.name for p in folder.glob("*/*.png")) == ["figure2.png", "figure3a.png"]
    assert "## Novelty discovery" in (results / "README.md").read_text()
    # The models have not seen the class: 9 tasks, none of its images.
    assert len(list(results.glob("checkpoints/small-0-2-3-4-5-6-7-8-9/*/*/seed0/state.weights.h5"))) == 2
    before = (folder / "figure3a.csv").read_bytes()
    again = run("04_discover_digits.py", *options)
    assert again.returncode == 0 and (folder / "figure3a.csv").read_bytes() == before


@pytest.mark.parametrize(
    "options, message",
    [
        (["--held-out", "12"], "classes 0 to 9, not 12"),
        (["--held-out", "1", "--target-index", "900"], "not 900: choose --target-index"),
        (["--held-out", "1", "--evaluations", "2"], "raise --evaluations"),
        (["--held-out", "1", "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers"),
    ],
)
def test_bad_searches_are_one_line_and_exit_code_2(tmp_path, digits_8x8, options, message):
    done = run("04_discover_digits.py", "--dataset", digits_8x8, "--results-dir", tmp_path / "results", *options)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def few_alloys(tmp_path_factory):
    """A file of made-up phase matrices, three classes of eight "alloys"."""
    rng = np.random.default_rng(0)
    designations = np.repeat(["1100", "2024", "6061"], 8)
    shares = np.concatenate([rng.dirichlet(np.arange(1, 5) * scale, (8, 32)) for scale in (1, 3, 9)])
    matrices = np.zeros((24, len(calphad.PHASES), 32), np.float16)
    matrices[:, :4] = shares.transpose(0, 2, 1)
    path = tmp_path_factory.mktemp("alloys") / "few.npz"
    compositions = rng.uniform(0.1, 2, (24, len(calphad.ELEMENTS)))
    alloys._write_npz(path, {"matrices": matrices, "compositions": compositions, "designations": designations})
    return path


def test_an_unseen_alloy_is_searched_for_and_a_second_call_repeats_nothing(few_alloys):
    results = few_alloys.parent / "results"
    options = ["--alloys", few_alloys, "--results-dir", results, "--iterations", 10, "--held-out", "2024", "--evaluations", 9]
    done = run("05_discover_alloys.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no --tdb" in done.stdout
    folder = results / "05_discover_alloys"
    table = pd.read_csv(folder / "figure3b.csv")
    assert (table.groupby(["alloy", "method"]).size() == 9).all() and table["method"].nunique() == 7
    alloy = pd.read_csv(folder / "table5.csv").set_index("method")
    assert len(alloy) == 6 and alloy["phase_error"].isna().all() and (alloy["element_error"] > 0).all()
    assert ((alloy["element_error"] <= 20) == alloy["in_class"]).all()
    # The nearest known alloy is one of the other classes, found by brute force.
    data = alloys.load(few_alloys)
    mean = data.matrices[data.y == 1].mean(0).ravel()
    others = data.matrices[data.y != 1].reshape(16, -1)
    cosine = others @ mean / np.linalg.norm(others, axis=1) / np.linalg.norm(mean)
    assert alloy.loc["nearest_known", "cosine_distance"] == pytest.approx(1 - cosine.max(), rel=1e-3)
    assert sorted(p.name for p in folder.glob("figures/*.png")) == ["2024.png", "figure3b.png"]
    assert "Table 5" in (results / "README.md").read_text()
    before = (folder / "table5.csv").read_bytes()
    again = run("05_discover_alloys.py", *options)
    assert again.returncode == 0 and (folder / "table5.csv").read_bytes() == before


SMALL_TDB = "ELEMENT AL FCC_A1 26.98 4577 28.3 !\nPHASE FCC_A1 % 1 1 !\nCONSTITUENT FCC_A1 :AL: !\n"
HEADER = "designation,element,min_wt,max_wt,set\n"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--held-out", "9999"], "no alloy class 9999: choose"),
        (["--through-calphad"], "name it with --tdb"),
        (["--tdb", "none.tdb"], "none.tdb is missing"),
        (["--tdb", "small.tdb"], "no element CR"),
        (["--make-data"], "name it with --tdb"),
        (["--make-data", "--tdb", "small.tdb", "--limits", "over.csv"], "over 100 wt%"),
        (["--make-data", "--tdb", "small.tdb", "--limits", "good.csv", "--held-out", "9999"], "no composition limits for 9999"),
        (["--make-data", "--tdb", "small.tdb", "--limits", "good.csv"], "no element CU"),
    ],
)
def test_bad_alloys_are_one_line_and_exit_code_2(tmp_path, few_alloys, options, message):
    (tmp_path / "small.tdb").write_text(SMALL_TDB)
    (tmp_path / "over.csv").write_text(HEADER + "2024,Cu,3,60,main30\n2024,Mg,1,50,main30\n")
    (tmp_path / "good.csv").write_text(HEADER + "2024,Cu,3.8,4.9,main30\n")
    done = run("05_discover_alloys.py", "--alloys", few_alloys, "--results-dir", tmp_path / "results", *options, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.npz"))


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A colour corner of scikit-learn's flower.jpg, 21 x 26."""
    path = tmp_path_factory.mktemp("images") / "flower.png"
    patches.write_image(path, load_sample_image("flower.jpg")[100:142:2, 300:352:2].astype(float))
    return path


QUICK = ["--patch", 6, "--stride", 3, "--latent-dim", 12, "--hidden", 12, "--states", 16, "--half-cycle", 2]


def test_denoising_goes_on_where_it_was_killed(photo):
    results = photo.parent / "whole"
    options = ["--image", photo, "--epochs", 12, *QUICK]
    done = run("08_denoise.py", *options, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "08_denoise" / "psnr.csv")
    columns = ["image", "sigma", "method", "setting", "seed", "epoch", "psnr", "ssim", "free_energy", "learned_sigma", "seconds", "commit"]
    assert list(table.columns) == columns and set(table["method"]) == {"tvae", "tv", "wavelet", "nlm", "noisy"}
    tvae = table[table["method"] == "tvae"]
    assert list(tvae["epoch"]) == [2, 4, 6, 8, 10, 12] and tvae["free_energy"].iloc[-1] > tvae["free_energy"].iloc[0]
    assert patches.read_image(results / "08_denoise" / "flower_25" / "tvae_seed0.png").shape == (21, 26, 3)
    other = photo.parent / "killed"
    command = [sys.executable, str(ROOT / "08_denoise.py"), *map(str, options), "--results-dir", str(other)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    record = None
    while process.poll() is None and record is None:
        record = next(other.glob("checkpoints/tvae/*/seed0/record.json"), None)
        time.sleep(0.02)
    process.kill()
    process.wait()
    again = run("08_denoise.py", *options, "--results-dir", other)
    assert again.returncode == 0, again.stderr[-2000:]
    columns.remove("seconds")
    pd.testing.assert_frame_equal(pd.read_csv(other / "08_denoise" / "psnr.csv")[columns], table[columns])


@pytest.mark.parametrize(
    "options",
    [["--noisy"], ["--inpaint", 0.5, "--sigma", 0], ["--sigma", 0], ["--image", "flat.png"], ["--image", "pixel.png", "--patch", 1, "--stride", 1]],
)
def test_odd_images_give_a_result_without_nan(tmp_path, photo, options):
    patches.write_image(tmp_path / "flat.png", np.full((20, 20), 90.0))
    patches.write_image(tmp_path / "pixel.png", np.full((1, 1), 90.0))
    done = run("08_denoise.py", "--image", photo, *QUICK, "--epochs", 3, "--results-dir", tmp_path, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(tmp_path / "08_denoise" / "psnr.csv")
    tvae = table[table["method"] == "tvae"]
    assert np.isfinite(tvae[["free_energy", "learned_sigma"]]).all(axis=None)
    assert tvae["psnr"].isna().all() if "--noisy" in options else np.isfinite(tvae["psnr"]).all()


def test_the_bars_test_runs(tmp_path):
    done = run("08_denoise.py", "--task", "bars", "--epochs", 20, "--results-dir", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    row = pd.read_csv(tmp_path / "08_denoise" / "bars.csv").iloc[0]
    assert row["free_energy"] < row["generating_log_likelihood"] and 9 < row["generating_log_likelihood"] < 10


@pytest.mark.parametrize(
    "options, message",
    [
        (["--image", "none.png"], "none.png is missing"),
        (["--image", "text.png"], "cannot be read as an image"),
        (["--image", "pixel.png"], "smaller than a patch"),
        (["--states", 64, "--latent-dim", 4], "change --states"),
        (["--inpaint", 1], "lower --inpaint"),
    ],
)
def test_bad_images_are_one_line_and_exit_code_2(tmp_path, options, message):
    (tmp_path / "text.png").write_text("hello")
    patches.write_image(tmp_path / "pixel.png", np.full((1, 1), 90.0))
    done = run("08_denoise.py", "--results-dir", tmp_path / "results", *options, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def measurements(tmp_path_factory):
    """A user's CSV: scikit-learn's diabetes, 120 rows of four columns."""
    path = tmp_path_factory.mktemp("table") / "own.csv"
    frame = load_diabetes(as_frame=True).frame.iloc[:120]
    frame[["bmi", "bp", "s5", "target"]].to_csv(path, index=False)
    return path


def without_time(path):
    return pd.read_csv(path).drop(columns="seconds")


def test_regression_goes_on_where_it_was_killed_and_repeats_nothing(measurements):
    options = ["--dataset", measurements, "--target", "target", "--splits", 3, "--epochs", 60, "--num-samples", 5]
    results, other = measurements.parent / "whole", measurements.parent / "killed"
    done = run("06_regression.py", *options, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "06_regression" / "table1.csv")
    expected = ["dataset", "method", "split", "rmse", "log_likelihood", "coverage_90", "epochs", "seconds", "commit"]
    assert list(table.columns[:9]) == expected and list(table["split"]) == [0, 1, 2] * 2
    targets = load_diabetes(as_frame=True).frame["target"][:120]
    assert (table["rmse"] < 1.1 * targets.std()).all() and np.isfinite(table.select_dtypes("number")).all(axis=None)
    assert table["coverage_90"].between(40, 100).all()
    curve = pd.read_csv(results / "06_regression" / "figure2.csv")
    last = curve[curve["epoch"] > 40].groupby(["method", "split"])["rmse"].mean()
    np.testing.assert_allclose(table.set_index(["method", "split"])["rmse"], last.reindex(zip(table["method"], table["split"])), rtol=1e-4)
    assert (curve.loc[curve["method"] == "sgd", "spread"] == 0).all() and (curve.loc[curve["method"] == "hypernet", "spread"] > 0).all()
    assert (results / "06_regression" / "figure2_own.png").exists() and "own" in (results / "README.md").read_text()
    command = [sys.executable, str(ROOT / "06_regression.py"), *map(str, options), "--results-dir", str(other)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(other.glob("checkpoints/implicit_hypernet/own/sgd*/seed0/record.json")):
        time.sleep(0.02)
    process.kill()
    process.wait()
    again = run("06_regression.py", *options, "--results-dir", other)
    assert again.returncode == 0, again.stderr[-2000:]
    pd.testing.assert_frame_equal(without_time(other / "06_regression" / "table1.csv"), without_time(results / "06_regression" / "table1.csv"))
    saved = {path: path.stat().st_mtime_ns for path in other.rglob("*.weights.h5")}
    repeated = run("06_regression.py", *options, "--results-dir", other)
    assert repeated.returncode == 0 and saved == {path: path.stat().st_mtime_ns for path in other.rglob("*.weights.h5")}


@pytest.mark.parametrize(
    "options, message",
    [
        (["--dataset", "boston", "--data-dir", "."], "is missing"),
        (["--dataset", "own.csv"], "name one of them with --target"),
        (["--dataset", "own.csv", "--target", "price"], "has the columns bmi, bp, s5, target"),
        (["--batch-size", "5000"], "lower it"),
        (["--weights-per-step", "3"], "must divide"),
        (["--results-dir", "file/results", "--epochs", "1", "--splits", "1"], "choose another --results-dir"),
    ],
)
def test_bad_tables_are_one_line_and_exit_code_2(tmp_path, measurements, options, message):
    shutil.copy(measurements, tmp_path)
    (tmp_path / "file").write_text("not a folder")
    done = run("06_regression.py", *options, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("table1.csv"))


def test_classification_with_both_generators(digits_8x8):
    results = digits_8x8.parent / "classified"
    options = ["--dataset", digits_8x8, "--architecture", "2x30", "--generator", "dense", "matrix", "--epochs", 25, "--num-samples", 5]
    options += ["--ood", digits_8x8, "--weights-per-step", 128, "--batch-size", 128, "--learning-rate", 0.002]
    done = run("07_classification.py", *options, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = results / "07_classification"
    table = pd.read_csv(folder / "table2.csv", keep_default_na=False).set_index(["method", "generator"])
    expected = ["dataset", "architecture", "seed", "error_percent", "nll", "ece", "ood_auc", "epochs", "seconds", "commit"]
    assert list(table.columns[:10]) == expected
    assert set(table.index) == {("sgd", "none"), ("hypernet", "dense"), ("hypernet", "matrix")}
    assert (table["error_percent"] < 30).all() and table["ece"].between(0, 100).all()
    assert np.allclose(table["ood_auc"], 50)  # the outliers are the very test images
    sizes = table["num_parameters"]
    # 64-30-30-10 network: 3,190 weights; the dense generator takes 51 numbers for each.
    assert sizes["sgd", "none"] == 3190 + 1 and sizes["hypernet", "dense"] > 51 * 3190 > sizes["hypernet", "matrix"]
    bins = pd.read_csv(folder / "reliability.csv", keep_default_na=False)
    assert (bins.groupby("generator")["number"].sum() == bins["number"].sum() / 3).all()
    kept = pd.read_csv(folder / "rejection.csv").groupby("rejected_percent")["accuracy"].mean()
    assert kept[50] > kept[0]
    assert (folder / "calibration_small.png").exists() and "2x30" in (results / "README.md").read_text()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--dataset", "imagenet"], "unknown data set"),
        (["--ood", "small.npz", "--epochs", "1"], "another size"),
        (["--weights-per-step", "7", "--epochs", "1", "--method", "hypernet", "--architecture", "1x5"], "must divide"),
    ],
)
def test_bad_classifications_are_one_line_and_exit_code_2(tmp_path, digits_8x8, options, message):
    shutil.copy(digits_8x8, tmp_path)
    done = run("07_classification.py", *options, "--results-dir", tmp_path / "results", cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.csv"))


SCRIPTS = ["01_train.py", "02_density.py", "03_outliers.py", "04_discover_digits.py", "05_discover_alloys.py"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_has_examples(script):
    done = run(script, "--help")
    assert done.returncode == 0 and "examples:" in done.stdout and "--summary" in done.stdout


@pytest.mark.parametrize("script, option", [("06_regression.py", "--target"), ("07_classification.py", "--ood"), ("08_denoise.py", "--sigma")])
def test_help_of_the_other_systems_has_examples(script, option):
    done = run(script, "--help")
    assert done.returncode == 0 and "examples:" in done.stdout and option in done.stdout


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
        "unwritable": ["--dataset", folder / "good.npz", "--results-dir", folder / "file" / "results", "--iterations", 1],
        "batch": ["--dataset", folder / "good.npz", "--batch-size", 7, "--model", "hypervae", "--results-dir", folder],
    }


@pytest.mark.parametrize(
    "case", ["unknown set", "missing file", "truncated file", "NaN", "wrong shape", "unwritable", "batch"]
)
@pytest.mark.parametrize("script", ["01_train.py", "02_density.py"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, script, case):
    options = bad_inputs(tmp_path)[case]
    done = run(script, *options, cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.parametrize("option", [["--iterations", "0"], ["--learning-rate", "-1"], ["--seeds", "x"], ["--summary", "max"]])
def test_bad_options_are_refused_by_name(option):
    done = run("01_train.py", *option)
    assert done.returncode == 2 and option[0].split("s")[0] in done.stderr and "Traceback" not in done.stderr
