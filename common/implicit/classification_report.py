"""Sections of results/README.md on classifications by implicit hypernetworks: Table 2 of Sheikh et al. beside ours."""

import pandas as pd

from common.runs.results import read_records, read_rows
from common.runs.summaries import markdown_table, over_seeds, plus_minus, with_fingerprint

# Table 2 of Sheikh et al., test error in percent on MNIST: (SGD, their method).
PAPER_CLASSIFICATION = {"2x400": (1.43, 1.26), "2x800": (1.64, 1.37), "3x150": (1.71, 1.49)}
CLASSIFICATION_MEASURES = ["error_percent", "nll", "ece", "ood_auc"]
CLASSIFICATION_TEXT = """\
Error on {part} images, expected calibration error and out-of-distribution AUC of the predictive entropy in percent, NLL
in nats an image; mean over seeds +- standard deviation.
"""
VALIDATION_TEXT = """\
By these runs settings were chosen: on a tenth of the training images, on which they were not trained.
"""


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    found = []
    summary = _classifications(results_dir, own)
    if len(summary):
        tested, tried = (summary[summary["evaluated_on"] == part] for part in ("test", "validation"))
        if len(tested):
            body = CLASSIFICATION_TEXT.format(part="test") + "\n" + classification_table(tested)
            found.append(("Classification by implicit hypernetworks", body))
        if len(tried):
            text = VALIDATION_TEXT + CLASSIFICATION_TEXT.format(part="validation")
            body = text + "\n" + classification_table(tried, beside_paper=False)
            found.append(("Classification: what was tried on validation images", body))
    return found


def headline(results_dir):
    """Rows [result, measure, ours, compared with, paper] on the paper's own networks."""
    found = []
    summary = _classifications(results_dir)
    if len(summary):
        tested = summary[(summary["evaluated_on"] == "test") & (summary["dataset"] == "mnist")]
        for shape, (paper_sgd, paper) in PAPER_CLASSIFICATION.items():
            own = tested[tested["architecture"] == shape].sort_values("num_seeds", kind="stable")
            ours, sgd = (own[own["generator"] == generator].tail(1) for generator in ("matrix", "none"))
            if len(ours) and len(sgd):
                means = [(part["error_percent_mean"].item(), part["error_percent_std"].item()) for part in (ours, sgd)]
                ours, sgd = (plus_minus(*mean, 2) for mean in means)
                paper = f"{paper} (SGD {paper_sgd})"
                found.append([f"MNIST by hypernetworks, {shape}", "test error, %", ours, f"SGD {sgd}", paper])
    return found


def _classifications(results_dir, own=False):
    """The summary of 07's table2.csv; empty where there are no rows."""
    path = results_dir / "07_classification" / "table2.csv"
    rows = read_rows(path, own) if path.exists() else pd.DataFrame()
    return summarise_classification(rows, read_records(path)) if len(rows) else rows


def summarise_classification(rows, records):
    """Mean and standard deviation over the seeds of each experiment.

    Args:
        rows: of table2.csv, as `read_rows` gives them.
        records: {run: stored record}.
    """
    rows = with_fingerprint(
        rows, {run: record["training"]["fingerprint"] for run, record in records.items() if "training" in record}
    )
    rows["ood_dataset"] = rows.groupby("experiment")["ood_dataset"].transform("last")
    return over_seeds(rows.drop(columns="seconds"), CLASSIFICATION_MEASURES)


def classification_table(summary, beside_paper=True):
    """Markdown: our Table 2, beside that of Sheikh et al."""
    body = []
    for _, row in summary.iterrows():
        paper = PAPER_CLASSIFICATION.get(row["architecture"], ("", "")) if row["dataset"] == "mnist" else ("", "")
        decimals = {"error_percent": 2, "nll": 4, "ece": 2, "ood_auc": 1}
        measured = [
            plus_minus(row[f"{name}_mean"], row[f"{name}_std"], decimals[name]) for name in CLASSIFICATION_MEASURES
        ]
        cells = [
            row[name] for name in ("dataset", "architecture", "method", "generator", "weights_per_step", "num_samples")
        ]
        cells += [f"{row['num_parameters']:,}", row["num_seeds"], *measured, row["ood_dataset"]]
        body.append([*cells, *[paper[row["method"] == "hypernet"]] * beside_paper, row["setting"]])
    header = [
        "data",
        "main network",
        "method",
        "generator",
        "draws of w a step",
        "draws in a prediction",
        "parameters",
        "seeds",
    ]
    header += ["error", "NLL", "ECE", "OOD AUC", "other images", *["paper, error"] * beside_paper, "setting"]
    return markdown_table(header, body)
