"""A run of 06 or 07 is all of its settings: any of them makes another folder and another row."""

import argparse
import dataclasses
import pickle

import numpy as np
import pytest

from common.data import tabular
from common.errors import InputError
from common.implicit import classification, regression
from common.implicit.classification import ClassificationEvaluation, ClassificationRun
from common.implicit.regression import RegressionRun
from common.implicit.settings import OF_HYPERNETWORKS
from common.runs import results
from common.runs.identity import experiment

SHARED = dict(
    dataset="own", fingerprint="f", seed=0, epochs=30, batch_size=16, learning_rate=0.003, schedule="cosine",
    hyper_units=(100, 50), noise_dim=50, spread=0.1, kernel_rate=1.0, weights_per_step=16, num_samples=100,
)  # fmt: skip


def regression_run(method="hypernet", **options):
    return RegressionRun(**SHARED | {"method": method, "recipe": "ours", "hidden_units": 50, "splits": 3} | options)


def classification_run(method="hypernet", **options):
    own = {"method": method, "evaluate_on": "test", "architecture": "2x30", "generator": "matrix"}
    return ClassificationRun(**SHARED | own | options)


def changed(value):
    if isinstance(value, str):
        return value + "x"
    return (*value, 1) if isinstance(value, tuple) else value + 1


@pytest.mark.parametrize("make", [regression_run, classification_run])
@pytest.mark.parametrize("method", ["sgd", "hypernet"])
def test_each_setting_that_counts_makes_another_folder_and_another_row(tmp_path, make, method):
    run = make(method)
    rows, digests = [{"run": run, "dataset": "own", "value": 1}], {run.digest}
    for field in dataclasses.fields(run):
        if field.name == "method":
            continue
        other = make(method, **{field.name: changed(getattr(make("hypernet"), field.name))})
        unused = method == "sgd" and field.name in (*OF_HYPERNETWORKS, "generator")
        is_name = field.name in ("dataset", "recipe")
        assert (other.digest == run.digest) == (unused or is_name), field.name
        assert (other.folder("c") == run.folder("c")) == (unused or is_name), field.name
        alike = experiment(other.stored()) == experiment(run.stored())
        assert alike == (unused or is_name or field.name == "seed"), field.name
        digests.add(other.digest)
        rows.append({"run": other, "dataset": other.dataset, "value": 1})
    assert len(results.put_rows(tmp_path / "t.csv", rows, ["dataset", "value"])) == len(digests)


def test_images_of_another_kind_belong_to_the_evaluation_alone():
    run = classification_run()
    one, two = (ClassificationEvaluation(run, name, name) for name in ("a", "b"))
    assert one.digest != two.digest and one.training.folder("c") == two.training.folder("c")
    assert dataclasses.replace(one, ood_dataset="renamed").digest == one.digest


def test_settings_read_as_one_cell():
    assert regression_run("sgd").setting == "50, batch 16, lr 0.003 cosine"
    assert regression_run().setting == "50 by 50-100-50 spread 0.1, batch 16, lr 0.003 cosine"
    few = regression_run(weights_per_step=1, kernel_rate=0.02).setting
    assert few == "50 by 50-100-50 spread 0.1 kernel rate 0.02, 1 draws of w a step, batch 16, lr 0.003 cosine"
    assert classification_run("sgd").setting == "lr 0.003 cosine, batch 16, 30 epochs"
    assert classification_run().setting == "50-100-50 spread 0.1, lr 0.003 cosine, batch 16, 30 epochs"


def options_of_06(**given):
    names = ["epochs", "batch_size", "learning_rate", "schedule", "spread", "kernel_rate", "hidden_units", "splits"]
    names += ["weights_per_step"]
    own = {"method": "all", "recipe": "ours", "seeds": [0], "hyper_units": [100, 50], "noise_dim": 50, "num_samples": 9}
    return argparse.Namespace(**dict.fromkeys(names) | own | given)


def table(rows, name="own"):
    rng = np.random.default_rng(rows)
    return tabular.Table(name, rng.normal(size=(rows, 2)), rng.normal(size=rows), *tabular.standard_splits(rows))


def test_recipes_go_by_the_number_of_rows():
    small = [run for run, _ in regression.planned_runs(options_of_06(), [table(40)])]
    assert [run.epochs for run in small] == [30, 100, 300, 1000] * 2
    assert {(run.batch_size, run.learning_rate, run.splits) for run in small} == {(16, 0.003, 5)}
    assert {(run.num_samples, run.kernel_rate) for run in small} == {(1, 0.0), (9, 1.0)}  # sgd draws nothing
    large = [run for run, _ in regression.planned_runs(options_of_06(learning_rate=0.01), [table(5001, "power")])]
    assert [(run.batch_size, run.learning_rate, run.kernel_rate, run.splits) for run in large] == [
        (128, 0.01, 0.0, 20),
        (128, 0.01, 0.02, 20),
    ]
    paper = [run for run, _ in regression.planned_runs(options_of_06(recipe="paper", seeds=[3, 3]), [table(40)])]
    assert [(run.method, run.epochs, run.batch_size, run.schedule, run.seed) for run in paper] == [
        ("sgd", 2000, 1, "constant", 3),
        ("hypernet", 2000, 1, "constant", 3),
    ]


def test_two_tables_of_one_name_are_two_and_one_table_of_two_names_is_one():
    one, two, renamed = table(40, "data"), table(60, "data"), table(40, "copy")
    runs = [run for run, _ in regression.planned_runs(options_of_06(epochs=[5], method="sgd"), [one, two, renamed])]
    assert runs[0].digest != runs[1].digest and runs[0].digest == runs[2].digest


def test_jobs_are_light_and_travel():
    run = regression_run()
    job = (run, ("diabetes", "data", None, "refuse", "refuse"), "checkpoints")
    assert pickle.loads(pickle.dumps((regression.measured, job))) == (regression.measured, job)
    job = (ClassificationEvaluation(classification_run(), "", ""), "digits", "none", "data", "checkpoints")
    assert pickle.loads(pickle.dumps((classification.measured, job))) == (classification.measured, job)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"batch_size": 50}, "more than the 32 rows to train on"),
        ({"weights_per_step": 3}, "must divide the batch size 16"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_it_is_planned(given, message):
    with pytest.raises(InputError, match=message):
        regression.planned_runs(options_of_06(**given), [table(40)])
