"""06_regression.py and 07_classification.py as a user calls them."""

import numpy as np
import pandas as pd
import pytest
from conftest import assert_refused
from implicit.test_settings import options_of_06
from sklearn.datasets import load_diabetes

from common.data import tabular
from common.errors import InputError
from common.implicit import classification, model, regression

SMALL = ["--hyper-units", 8, 5, "--noise-dim", 4, "--hidden-units", 6]


@pytest.fixture(scope="module")
def measurements(tmp_path_factory):
    """A user's CSV: scikit-learn's diabetes, 120 rows of four columns."""
    path = tmp_path_factory.mktemp("table") / "own.csv"
    frame = load_diabetes(as_frame=True).frame.iloc[:120]
    frame[["bmi", "bp", "s5", "target"]].to_csv(path, index=False)
    return path


def test_regression_with_both_methods_and_nothing_repeated(measurements, monkeypatch, call):
    options = ["--dataset", measurements, "--target", "target", "--splits", 3, "--num-samples", 5, "--kernel-rate", 0.5]
    options += [*SMALL, "--epochs", 60]
    results = measurements.parent / "whole"
    done = call("06_regression.py", *options, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = results / "06_regression"
    table = pd.read_csv(folder / "table1.csv", dtype={"run": str, "trained_at": str, "evaluated_at": str})  # not 40e9
    assert list(table) == ["run", *regression.TABLE1, "trained_at", "evaluated_at"]
    assert list(table["split"]) == [0, 1, 2] * 2 and table["run"].nunique() == 2
    assert list(pd.read_csv(folder / "summary.csv")["method"]) == ["hypernet", "sgd"]
    targets = load_diabetes(as_frame=True).frame["target"][:120]
    assert (table["rmse"] < 1.1 * targets.std()).all() and np.isfinite(table.select_dtypes("number")).all(axis=None)
    assert table["coverage_90"].between(40, 100).all()
    curve = pd.read_csv(folder / "figure2.csv")
    last = curve[curve["epoch"] > 48].groupby(["method", "split"])["rmse"].mean()
    rmse = table.set_index(["method", "split"])["rmse"]
    np.testing.assert_allclose(rmse, last.reindex(rmse.index), rtol=1e-4)
    spread = curve.groupby("method")["spread"]
    assert (spread.get_group("sgd") == 0).all() and (spread.get_group("hypernet") > 0).all()
    (figure,) = folder.glob("figure2_own.csv-*.png")
    assert figure.name in (results / "README.md").read_text()

    monkeypatch.setattr(model, "ImplicitHypernet", None)  # a finished run builds no model
    files = {
        path: path.read_bytes() for path in results.rglob("*.*") if path.suffix in (".csv", ".npz", ".json", ".md")
    }
    assert call("06_regression.py", *options, "--results-dir", results).returncode == 0
    assert files == {path: path.read_bytes() for path in files}


@pytest.mark.slow
def test_fewer_draws_of_the_weights_are_another_run(tmp_path):
    table = tabular.load("diabetes", "")
    found = {}
    for number in (50, 1):  # the fewer later: nothing of the first may be taken for them
        options = options_of_06(
            epochs=[1], splits=1, num_samples=number, batch_size=128, hyper_units=[4, 3], noise_dim=2
        )
        for own, _ in regression.planned_runs(options, [table]):
            rows, _ = regression.measured((own, ("diabetes", ""), tmp_path))
            found[own.method, number] = rows[0]
    fewer, more = found["hypernet", 1], found["hypernet", 50]
    assert (fewer["num_samples"], more["num_samples"]) == (1, 50)
    assert all(fewer[name] != more[name] for name in ("rmse", "log_likelihood", "sigma"))
    assert found["sgd", 1] == found["sgd", 50]  # it draws nothing: one run
    assert len(list(tmp_path.glob("regression-*"))) == 3


def test_a_table_that_changes_while_jobs_wait_is_refused(tmp_path, measurements):
    table = tabular.load(str(measurements), "", "target")
    own, _ = regression.planned_runs(options_of_06(epochs=[1], method="sgd"), [table])[0]
    other = tmp_path / "own.csv"
    other.write_text(measurements.read_text().replace("0.0", "0.1"))
    with pytest.raises(InputError, match="has changed"):
        regression.measured((own, (str(other), "", "target"), tmp_path / "checkpoints"))


@pytest.mark.parametrize(
    "options, message",
    [
        (["--dataset", "own.csv"], "name one of them with --target"),
        (["--dataset", "own.csv", "--target", "price"], "has the columns bmi, bp, s5, target"),
        (["--batch-size", "5000"], "lower it"),
        (["--weights-per-step", "3"], "must divide"),
        (
            ["--dataset", "own.csv", "--target", "target", "--predict", "own.csv", "--weights-per-step", "3"],
            "must divide",
        ),
        (
            ["--method", "sgd", "--num-samples", "50", "--predict", "own.csv"],
            "--num-samples changes nothing in the models",
        ),
        (["--results-dir", "own.csv/results", "--epochs", "1", "--splits", "1"], "choose another --results-dir"),
    ],
)
def test_bad_tables_are_refused_before_any_training(measurements, monkeypatch, call, options, message):
    monkeypatch.chdir(measurements.parent)
    assert_refused(call("06_regression.py", *options), message)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--dataset", "imagenet"], "unknown data set"),
        (["--ood", "small.npz"], "bring them to one size"),
        (["--weights-per-step", "7", "--method", "hypernet", "--architecture", "1x5"], "must divide"),
    ],
)
def test_bad_classifications_are_refused_before_any_training(digits_8x8, monkeypatch, call, options, message):
    monkeypatch.chdir(digits_8x8.parent)
    assert_refused(call("07_classification.py", *options, "--results-dir", "unused"), message)
    assert not (digits_8x8.parent / "unused").exists()


def test_missing_images_of_another_kind_are_said_before_any_training(monkeypatch):
    def grey(name, *_):
        if name == "fashion_mnist":
            raise InputError("fashion_mnist is missing")
        return name

    monkeypatch.setattr(classification, "grey", grey)
    with pytest.raises(InputError, match="fashion_mnist is missing; or --ood NAME or none"):
        classification.with_outliers(["mnist"], None, "")
    (pair,) = classification.with_outliers(["mnist"], "none", "")
    assert pair.other is None


def test_classification_with_both_generators(digits_8x8, call):
    results = digits_8x8.parent / "classified"
    options = ["--dataset", digits_8x8, "--architecture", "2x12", "--epochs", 20, "--learning-rate", 0.005]
    options += ["--batch-size", 128]
    both = ["--num-samples", 3, "--spread", 0.01, "--weights-per-step", 128]
    with np.load(digits_8x8) as own:
        np.savez(digits_8x8.with_name("mirrored.npz"), x=own["x"][:, :, ::-1], y=own["y"])
    both += ["--generator", "dense", "matrix", "--ood", digits_8x8.with_name("mirrored.npz")]
    done = call("07_classification.py", *options, *both, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = results / "07_classification"
    table = pd.read_csv(folder / "table2.csv", keep_default_na=False)
    assert list(table) == ["run", *classification.TABLE2, "trained_at", "evaluated_at"]
    table = table.set_index("generator").loc[["none", "dense", "matrix"]]
    assert list(table["method"]) == ["sgd", "hypernet", "hypernet"]
    assert (table["error_percent"] < 40).all() and table["ece"].between(0, 100).all()
    assert table["ood_auc"].between(50, 100).all()
    sizes = table["num_parameters"]
    # 64-12-12-10 network: 1,066 weights; the dense generator takes 51 numbers for each.
    assert sizes["none"] == 1066 + 1 and sizes["dense"] > 51 * 1066
    bins = pd.read_csv(folder / "reliability.csv", keep_default_na=False)
    assert (bins.groupby("generator")["number"].sum() == bins["number"].sum() / 3).all()
    kept = pd.read_csv(folder / "rejection.csv").groupby("rejected_percent")["accuracy"].mean()
    assert kept[50] > kept[0]
    assert len(list(folder.glob("calibration_small.npz-*.png"))) == 1 and "2x12" in (results / "README.md").read_text()

    # Other images of another kind: the trained network is measured again, and nothing else is done again.
    weights = {path: path.stat().st_mtime_ns for path in results.rglob("*.npz")}
    sgd = [*options, "--method", "sgd", "--ood", "none", "--results-dir", results]
    assert call("07_classification.py", *sgd).returncode == 0
    again = pd.read_csv(folder / "table2.csv", keep_default_na=False)
    assert list(again["generator"]).count("none") == 2 and len(again) == 4
    alone = again[again["ood_dataset"] == ""].iloc[0]
    assert alone["ood_auc"] == "" and alone["nll"] == pytest.approx(table["nll"]["none"], rel=1e-3)
    assert weights == {path: path.stat().st_mtime_ns for path in results.rglob("*.npz")}
    assert len(pd.read_csv(folder / "reliability.csv")) == len(bins)
