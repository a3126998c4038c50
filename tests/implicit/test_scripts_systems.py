"""The scripts of the two systems beside HyperVAE as a user calls them."""

import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, assert_refused, run
from sklearn.datasets import load_diabetes, load_sample_image

from common.implicit import report as report_systems
from common.tvae import patches


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
    columns = [
        "image",
        "sigma",
        "method",
        "setting",
        "seed",
        "epoch",
        "psnr",
        "ssim",
        "free_energy",
        "learned_sigma",
        "seconds",
        "commit",
    ]
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
    [
        ["--noisy"],
        ["--inpaint", 0.5, "--sigma", 0],
        ["--sigma", 0],
        ["--image", "flat.png"],
        ["--image", "pixel.png", "--patch", 1, "--stride", 1],
    ],
)
def test_odd_images_give_a_result_without_nan(tmp_path, photo, options):
    patches.write_image(tmp_path / "flat.png", np.full((20, 20), 90.0))
    patches.write_image(tmp_path / "pixel.png", np.full((1, 1), 90.0))
    done = run(
        "08_denoise.py", "--image", photo, *QUICK, "--epochs", 3, "--results-dir", tmp_path, *options, cwd=tmp_path
    )
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
    assert_refused(done, message)
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
    options = [
        "--dataset",
        measurements,
        "--target",
        "target",
        "--splits",
        3,
        "--num-samples",
        5,
        "--kernel-rate",
        0.5,
        "--epochs",
        60,
    ]
    results, other = measurements.parent / "whole", measurements.parent / "killed"
    done = run("06_regression.py", *options, 2, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "06_regression" / "table1.csv")
    expected = ["dataset", "method", "split", "rmse", "log_likelihood", "coverage_90", "epochs", "seconds", "commit"]
    assert list(table.columns[:9]) == expected and list(table["split"]) == [0, 1, 2] * 4
    summary = pd.read_csv(results / "06_regression" / "summary.csv").set_index(["method", "epochs"])
    assert list(summary.index[summary["chosen"]]) == [
        ("hypernet", 60),
        ("sgd", 60),
    ]  # two epochs are too few for anyone
    table = table[table["epochs"] == 60]
    targets = load_diabetes(as_frame=True).frame["target"][:120]
    assert (table["rmse"] < 1.1 * targets.std()).all() and np.isfinite(table.select_dtypes("number")).all(axis=None)
    assert table["coverage_90"].between(40, 100).all()
    curve = pd.read_csv(results / "06_regression" / "figure2.csv")
    curve = curve[curve["epochs"] == 60]
    last = curve[curve["epoch"] > 48].groupby(["method", "split"])["rmse"].mean()
    np.testing.assert_allclose(
        table.set_index(["method", "split"])["rmse"], last.reindex(zip(table["method"], table["split"])), rtol=1e-4
    )
    assert (curve.loc[curve["method"] == "sgd", "spread"] == 0).all() and (
        curve.loc[curve["method"] == "hypernet", "spread"] > 0
    ).all()
    assert (results / "06_regression" / "figure2_own.png").exists() and "own" in (results / "README.md").read_text()
    command = [sys.executable, str(ROOT / "06_regression.py"), *map(str, options), "--results-dir", str(other)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(other.glob("checkpoints/implicit_hypernet/own/sgd*/seed0/record.json")):
        time.sleep(0.02)
    process.kill()
    process.wait()
    again = run("06_regression.py", *options, "--results-dir", other)
    assert again.returncode == 0, again.stderr[-2000:]
    pd.testing.assert_frame_equal(
        without_time(other / "06_regression" / "table1.csv"), table.drop(columns="seconds").reset_index(drop=True)
    )
    saved = {path: path.stat().st_mtime_ns for path in other.rglob("*.weights.h5")}
    repeated = run("06_regression.py", *options, "--results-dir", other)
    assert repeated.returncode == 0 and saved == {path: path.stat().st_mtime_ns for path in other.rglob("*.weights.h5")}


def test_held_out_rows_choose_setting_and_epochs_and_test_rows_do_not():
    row = {"dataset": "own", "recipe": "ours", "num_samples": 5, "seconds": 1.0, "commit": "c", "seed": 0}
    row |= dict.fromkeys(("log_likelihood", "coverage_90", "sigma", "rmse_early_stopped"), 0.0)
    held_out = {
        ("sgd", "a", 30): 0.5,
        ("sgd", "a", 100): 0.7,
        ("sgd", "b", 30): 0.6,
        ("hypernet", "a", 30): 0.6,
        ("hypernet", "b", 100): 0.4,
    }
    rows = [
        row | {"method": m, "setting": s, "epochs": e, "split": k, "rmse_held_out": error + 0.1 * k, "rmse": 1 - error + (0.1 * k if m == "sgd" else 0.2)}
        for (m, s, e), error in held_out.items() for k in range(3)
    ]  # fmt: skip
    summary = report_systems.summarise_regression(pd.DataFrame(rows))
    chosen = summary[summary["chosen"]][["method", "setting", "epochs"]].itertuples(index=False, name=None)
    assert set(chosen) == {("sgd", "a", 30), ("hypernet", "b", 100)}
    assert report_systems.regression_table(summary).count("| own |") == 2
    trials = report_systems.regression_trials(summary)
    assert "30: 0.600, 0.600 *; 100: 0.800, 0.400 |" in trials and trials.count("| own |") == 4
    # 0.8 minus 0.5, 0.6 and 0.7.
    assert "| own | ours | 3 | +0.2 | 0.058 | +3.5 |" in report_systems.regression_differences(
        pd.DataFrame(rows), summary
    )


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
    assert_refused(done, message)
    assert not list(tmp_path.rglob("table1.csv"))


def test_classification_with_both_generators(digits_8x8):
    results = digits_8x8.parent / "classified"
    options = [
        "--dataset",
        digits_8x8,
        "--architecture",
        "2x30",
        "--generator",
        "dense",
        "matrix",
        "--epochs",
        25,
        "--num-samples",
        5,
    ]
    options += ["--ood", digits_8x8, "--weights-per-step", 128, "--batch-size", 128, "--learning-rate", 0.002]
    done = run("07_classification.py", *options, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = results / "07_classification"
    table = pd.read_csv(folder / "table2.csv", keep_default_na=False).set_index(["method", "generator"])
    expected = [
        "dataset",
        "architecture",
        "seed",
        "error_percent",
        "nll",
        "ece",
        "ood_auc",
        "epochs",
        "seconds",
        "commit",
    ]
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
    assert_refused(done, message)
    assert not list(tmp_path.rglob("*.csv"))
