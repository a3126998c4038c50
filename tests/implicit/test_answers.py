"""06 and 07 --predict as a user calls them: an answer for each new row or image, or one line that says why not."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import assert_refused
from sklearn.datasets import load_diabetes, load_digits

from common.data import delimited
from common.errors import InputError
from common.implicit import calibration

SMALL = ["--hyper-units", 8, "--noise-dim", 4, "--epochs", 2, "--num-samples", 3]


@pytest.fixture(autouse=True)
def step_by_step():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def tables(tmp_path):
    """Rows to learn from, with words, and new ones in another order of columns, without the target."""
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame["kind"] = np.where(frame.pop("sex") > 1, "a", "b")
    frame[:150].to_csv(tmp_path / "own.csv", index=False)
    frame[150:170].drop(columns="target").iloc[:, ::-1].assign(id=1).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path


def test_new_rows_get_a_mean_and_an_interval_and_nothing_is_trained_twice(tables, call):
    """Of a target that lies far from 0 all digits are written in which rows differ."""
    far = 1.7e9
    own = pd.read_csv(tables / "own.csv")
    own.assign(target=own["target"] + far).to_csv(tables / "own.csv", index=False)
    options = ["--dataset", tables / "own.csv", "--target", "target", "--text", "one-hot", "--hidden-units", 6, *SMALL]
    options += ["--results-dir", tables / "r", "--predict"]
    done = call("06_regression.py", *options, tables / "new.csv")
    assert done.returncode == 0, done.stderr
    assert "not used: id" in done.stdout and "lie within their 90% interval" in done.stdout
    (path,) = tables.glob("r/06_regression/own.csv_new.csv-*/predictions.csv")
    found = pd.read_csv(path)
    assert list(found["row"]) == [f"line {line}" for line in range(2, 22)]
    low, mean, high = (found[f"target ({name})"] for name in ("90% interval, low", "mean", "90% interval, high"))
    assert (low < mean).all() and (mean < high).all() and (mean - far).between(0, 400).all() and mean.nunique() > 10
    assert not (path.parent.parent / "table1.csv").exists()
    weights = {path: path.stat().st_mtime_ns for path in tables.glob("r/checkpoints/*/*.npz")}
    pd.read_csv(tables / "new.csv")[:3].to_csv(tables / "few.csv", index=False)
    assert call("06_regression.py", *options, tables / "few.csv").returncode == 0
    assert weights == {path: path.stat().st_mtime_ns for path in tables.glob("r/checkpoints/*/*.npz")}
    (path,) = tables.glob("r/06_regression/own.csv_few.csv-*/predictions.csv")
    pd.testing.assert_frame_equal(pd.read_csv(path), found[:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda new: new.drop(columns=["bmi", "age"]), "it also needs age, bmi"),
        (lambda new: new.assign(kind="c"), "'c' in column kind, line 2"),
        (lambda new: new.assign(bmi=[np.nan, *new["bmi"][1:]]), "no value in column bmi, line 2"),
        (lambda new: new.assign(bmi="much"), "'much' in column bmi, line 2"),
    ],
)
def test_rows_that_do_not_fit_the_table_are_refused_before_any_training(tables, call, change, message):
    change(pd.read_csv(tables / "new.csv")).to_csv(tables / "new.csv", index=False)
    options = ["--dataset", tables / "own.csv", "--target", "target", "--text", "one-hot", *SMALL]
    done = call("06_regression.py", *options, "--results-dir", tables / "r", "--predict", tables / "new.csv")
    assert_refused(done, message)
    assert not (tables / "r" / "checkpoints").exists()


def test_new_rows_are_encoded_as_the_table_was(tables):
    table = delimited.read(tables / "own.csv", "target", "median", "one-hot")
    x, lines, _ = delimited.read_new(tables / "own.csv", table)
    np.testing.assert_array_equal(x, table.x)
    new = pd.read_csv(tables / "new.csv")
    new.loc[4, "bmi"] = np.nan
    new.to_csv(tables / "new.csv", index=False)
    x, lines, notes = delimited.read_new(tables / "new.csv", table)
    assert x[4, 1] == np.median(table.x[:, 1]) and lines[4] == 6 and "1 missing values" in notes[-1]
    with pytest.raises(InputError, match="--missing median"):
        delimited.read_new(tables / "new.csv", delimited.read(tables / "own.csv", "target", "drop", "one-hot"))


def test_new_images_get_a_class_and_those_that_are_not_known_are_told(tmp_path, call):
    bunch = load_digits()
    images = bunch.images / 16
    np.savez(tmp_path / "own.npz", x=images[:300], y=bunch.target[:300])
    np.savez(tmp_path / "new$_$.npz", x=np.concatenate([images[300:340], np.zeros((2, 8, 8))]))
    options = ["--dataset", tmp_path / "own.npz", "--architecture", "1x20", "--method", "sgd"]
    options += ["--learning-rate", 0.05, "--epochs", 20, "--max-error", 0.4, "--results-dir", tmp_path / "r"]
    options += ["--predict"]
    done = call("07_classification.py", *options, tmp_path / "new$_$.npz")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("r/07_classification/own.npz_new$_$.npz-*/predictions.csv")
    found = pd.read_csv(path)
    assert list(found) == ["image", "class", "probability", "entropy (nats)", "known (at most 40.00% wrong)"]
    assert len(found) == 42 and found["probability"].between(0.1, 1).all()
    assert (found["class"][:40] == bunch.target[300:340]).mean() > 0.3  # by chance a tenth
    known = found.iloc[:, -1]
    assert known.any() == (found["entropy (nats)"].min() <= found["entropy (nats)"][known].max())
    np.savez(tmp_path / "other.npz", x=np.zeros((2, 9, 8)))
    assert_refused(call("07_classification.py", *options, tmp_path / "other.npz"), "9x8 and 8x8")


def classes(number, random):
    """Probabilities (number, 4) and classes drawn by them: a model that is calibrated."""
    probabilities = random.dirichlet(np.full(4, 0.05), number)
    return probabilities, (random.random((number, 1)) > probabilities.cumsum(1)).sum(1)


@pytest.mark.parametrize("number, rate", [(360, 0.05), (1000, 0.01), (2000, 0.05)])
def test_known_images_are_wrong_in_no_more_than_the_share_that_was_asked_for(number, rate):
    """In nine of ten samples at least, as was said; a limit that the share of the sample itself sets fails in half."""
    random = np.random.default_rng(0)
    new, truth = classes(40_000, random)
    entropies, wrong = calibration.entropy(new), new.argmax(1) != truth
    limits = [calibration.entropy_limit(*classes(number, random), rate) for _ in range(200)]
    shares = [wrong[entropies <= limit].mean() if (entropies <= limit).any() else 0 for limit in limits]
    assert np.mean(np.array(shares) > rate) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / len(limits))
    assert np.mean(np.isfinite(limits)) > 0.5


def test_nothing_is_known_where_too_little_was_seen_or_all_is_wrong():
    sure = np.eye(3)[np.zeros(200, int)]
    assert calibration.entropy_limit(np.eye(3), np.arange(3), 0.1) == -np.inf  # three right ones say little
    assert calibration.entropy_limit(sure, np.zeros(200, int), 0.1) == calibration.entropy(sure)[0]
    assert calibration.entropy_limit(sure, np.ones(200, int), 0.1) == -np.inf
