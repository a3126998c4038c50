"""Summaries of classifications from hand-made rows."""

from implicit.test_settings import classification_run

from common.implicit import classification, classification_report
from common.implicit.classification import ClassificationEvaluation
from common.runs import results


def test_missing_tables_give_nothing(tmp_path):
    assert classification_report.sections(tmp_path) == [] and classification_report.headline(tmp_path) == []


def classification_rows(evaluation, error):
    run = evaluation.training
    names = ("dataset", "architecture", "method", "generator", "weights_per_step", "setting", "seed", "epochs")
    row = {name: getattr(run, name) for name in (*names, "num_samples")}
    row |= {"run": evaluation, "evaluated_on": run.evaluate_on, "ood_dataset": evaluation.ood_dataset}
    row |= {"nll": error / 20, "ece": 1.0, "ood_auc": None, "seconds": 1.0, "num_parameters": 1000, "num_train": 10}
    return row | {"error_percent": error, "trained_at": "c", "evaluated_at": "c"}


def test_classifications_of_unlike_protocols_stand_apart(tmp_path):
    path = tmp_path / "07_classification" / "table2.csv"
    mnist = {"dataset": "mnist", "architecture": "2x400"}
    runs = [(classification_run(seed=seed, **mnist), 1.0 + seed) for seed in (0, 1, 2)]
    runs += [(classification_run("sgd", **mnist), 4.0), (classification_run(num_samples=3, **mnist), 5.0)]
    runs += [(classification_run(evaluate_on="validation", **mnist), 6.0)]
    rows = [classification_rows(ClassificationEvaluation(run, "", ""), error) for run, error in runs]
    rows = results.put_rows(path, rows, classification.TABLE2, order=classification.LABELS)
    summary = classification_report.summarise_classification(rows, results.read_records(path))
    assert sorted(summary["error_percent_mean"]) == [2.0, 4.0, 5.0, 6.0]
    (row,) = classification_report.headline(tmp_path)
    assert row[1:] == ["test error, %", "2.00 +- 1.00", "SGD 4.00", "1.26 (SGD 1.43)"]
    sections = dict(classification_report.sections(tmp_path))
    assert "| 2.00 +- 1.00 |" in sections["Classification by implicit hypernetworks"]
    tried = sections["Classification: what was tried on validation images"]
    assert "| 6.00 |" in tried and "paper" not in tried
