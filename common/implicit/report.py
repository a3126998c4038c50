"""Sections of results/README.md on the two systems beside HyperVAE: implicit hypernetworks and the binary-latent VAE."""

import numpy as np
import pandas as pd

from common.runs.results import markdown_table, over_seeds

# Table 1 of Sheikh et al., test RMSE: (VI, PBP, Dropout, VMG, SGD, their method), means and what it calls standard errors.
PAPER_REGRESSION = {
    "boston": ("4.32 +- 0.29", "3.01 +- 0.18", "2.97 +- 0.85", "2.70 +- 0.13", "3.73 +- 0.67", "3.72 +- 1.05"),
    "concrete": ("7.19 +- 0.12", "5.67 +- 0.09", "5.23 +- 0.53", "4.89 +- 0.12", "5.29 +- 0.87", "4.74 +- 0.64"),
    "energy": ("2.65 +- 0.08", "1.80 +- 0.05", "1.66 +- 0.19", "0.54 +- 0.02", "0.95 +- 0.13", "0.87 +- 0.10"),
    "kin8nm": ("0.10", "0.10", "0.10", "0.08", "0.08", "0.08"),
    "naval": ("0.01", "0.01", "0.01", "0.00", "0.00", "0.00"),
    "power": ("4.33 +- 0.04", "4.12 +- 0.03", "4.02 +- 0.18", "4.04 +- 0.04", "4.06 +- 0.25", "4.02 +- 0.18"),
    "protein": ("4.84 +- 0.03", "4.73 +- 0.01", "4.36 +- 0.04", "4.13 +- 0.02", "4.37 +- 0.03", "4.65 +- 0.19"),
    "wine-red": ("0.65 +- 0.01", "0.64 +- 0.01", "0.62 +- 0.04", "0.63 +- 0.01", "0.80 +- 0.05", "0.62 +- 0.04"),
    "yacht": ("6.89 +- 0.67", "1.02 +- 0.05", "1.11 +- 0.38", "0.71 +- 0.05", "0.77 +- 0.25", "0.57 +- 0.21"),
}
# Table 2, test error in percent on MNIST: (SGD, their method).
PAPER_CLASSIFICATION = {"2x400": (1.43, 1.26), "2x800": (1.64, 1.37), "3x150": (1.71, 1.49)}
REGRESSION_GROUP = ["dataset", "method", "recipe", "setting", "num_samples", "epochs"]
REGRESSION_CHOICE = ["dataset", "method", "recipe", "num_samples", "num_splits"]  # of all else, held-out rows choose
REGRESSION_MEASURES = ["rmse", "rmse_held_out", "rmse_early_stopped", "log_likelihood", "coverage_90", "sigma"]
CLASSIFICATION_GROUP = [
    "dataset",
    "architecture",
    "method",
    "generator",
    "weights_per_step",
    "setting",
    "num_parameters",
    "ood_dataset",
]
CLASSIFICATION_MEASURES = ["error_percent", "nll", "ece", "ood_auc"]


def sections(results_dir):
    """The Markdown parts for whatever these systems' scripts have written to that folder."""
    parts = []
    regression = results_dir / "06_regression" / "summary.csv"
    if regression.exists():
        summary = pd.read_csv(regression)
        parts.append(
            "## Regression by implicit hypernetworks\n\nTest RMSE (mean over the last 20 epochs, of short runs the last fifth), "
            "log-likelihood (nats a row) and coverage of the 90 % interval (percent); mean over splits +- standard error (standard "
            "deviation). The paper's \"standard errors\" are standard deviations in size. Of the settings tried with a method on a table, and "
            "of their numbers of epochs, the one with the least error on rows held out of its companions' training stands here; sigma "
            "comes from those rows too, never from test rows; \"stopped\" is the test RMSE at the epoch of that run that each companion's "
            "held-out rows choose.\n\n" + regression_table(summary) + "\n\nHypernetwork minus SGD, split by split:\n\n"
            + regression_differences(pd.read_csv(regression.with_name("table1.csv")), summary)
            + "\n\nAll that was tried:\n\n" + regression_trials(summary)
        )  # fmt: skip
    classification = results_dir / "07_classification" / "summary.csv"
    if classification.exists():
        parts.append(
            "## Classification by implicit hypernetworks\n\nTest error, expected calibration error and out-of-distribution AUC of the predictive entropy in "
            "percent, NLL in nats an image; mean over seeds +- standard deviation.\n\n"
            + classification_table(pd.read_csv(classification))
        )
    denoising = results_dir / "08_denoise"
    if (denoising / "psnr.csv").exists():
        parts.append(_denoising_section(pd.read_csv(denoising / "psnr.csv", keep_default_na=False, na_values=[""])))
    if (denoising / "bars.csv").exists():
        parts.append(_bars_section(pd.read_csv(denoising / "bars.csv")))
    return parts


def hypernetwork_in_words(noise_dim, hidden, spread, kernel_rate):
    """For the column `setting`: sizes, and what its start and its training depend on."""
    rate = f" kernel rate {kernel_rate:g}" if kernel_rate != 1 else ""
    return f"{'-'.join(map(str, [noise_dim, *hidden]))} spread {spread:g}{rate}"


def summarise_regression(rows):
    """Mean, standard deviation and standard error over splits (first over seeds, where there are several).

    Of a method's runs on a table the one with the least error on held-out rows is `chosen`: no test row has a say.
    """
    rows = rows.groupby([*REGRESSION_GROUP, "split"], sort=False).agg(
        {**dict.fromkeys(REGRESSION_MEASURES, "mean"), "seconds": "sum", "commit": lambda c: " ".join(sorted(set(c)))}
    )
    rows = rows.reset_index()
    seconds = rows.groupby(REGRESSION_GROUP, sort=False)["seconds"].mean().reset_index(drop=True)
    table = over_seeds(rows, REGRESSION_GROUP, REGRESSION_MEASURES, "split")
    for measure in REGRESSION_MEASURES:
        table[f"{measure}_standard_error"] = table[f"{measure}_std"] / np.sqrt(table["num_splits"])
    table["seconds"] = seconds
    table["chosen"] = (
        table.groupby(REGRESSION_CHOICE)["rmse_held_out_mean"].transform("min") == table["rmse_held_out_mean"]
    )
    return table


def _digits(value):
    """Decimals that show three figures of an error, two at least."""
    return max(2, 2 - int(np.floor(np.log10(value)))) if value > 0 else 2


def regression_table(summary):
    """Markdown: Table 1 of Sheikh et al. beside ours, what held-out rows chose."""
    body = []
    for _, row in summary[summary["chosen"]].iterrows():

        def cell(measure, digits=_digits(row["rmse_mean"]), row=row):
            mean, error, spread = (row[f"{measure}_{kind}"] for kind in ("mean", "standard_error", "std"))
            return (
                f"{mean:.{digits}f}"
                if pd.isna(spread)
                else f"{mean:.{digits}f} +- {error:.{digits}f} ({spread:.{digits}f})"
            )

        cells = [
            row["dataset"],
            row["method"],
            row["recipe"],
            row["num_splits"],
            cell("rmse"),
            row["epochs"],
            cell("rmse_early_stopped"),
        ]
        cells += [cell("log_likelihood", 2), cell("coverage_90", 1), f"{row['seconds']:.0f}"]
        body.append([*cells, *PAPER_REGRESSION.get(row["dataset"], ("",) * 6), row["setting"]])
    header = [
        "data",
        "method",
        "recipe",
        "splits",
        "RMSE",
        "epochs",
        "RMSE, stopped",
        "log-likelihood",
        "coverage",
        "seconds",
    ]
    header += ["paper VI", "PBP", "Dropout", "VMG", "SGD", "hypernet", "setting"]
    return markdown_table(header, body)


def regression_differences(rows, summary):
    """Markdown: test RMSE of the chosen hypernetwork minus that of the chosen SGD, mean and standard error over common splits."""
    keys = [*REGRESSION_GROUP, "split"]
    per_split = (
        rows.groupby(keys)["rmse"]
        .mean()
        .reset_index()
        .merge(summary[summary["chosen"]][[*REGRESSION_GROUP, "num_splits"]])
    )
    body = []
    for (name, recipe, _), own in per_split.groupby(["dataset", "recipe", "num_splits"], sort=False):
        both = own.pivot_table(index="split", columns="method", values="rmse").dropna()
        if set(both) == {"sgd", "hypernet"} and len(both) > 1:
            difference = both["hypernet"] - both["sgd"]
            mean, error = difference.mean(), difference.sem()
            body.append([name, recipe, len(both), f"{mean:+.2g}", f"{error:.2g}", f"{mean / error:+.1f}"])
    return markdown_table(["data", "recipe", "splits", "difference", "standard error", "ratio"], body)


def regression_trials(summary):
    """Markdown: error on held-out rows and on test rows of every setting, by epochs; * is what the held-out rows chose."""
    body = []
    for (name, method, recipe, setting, _), own in summary.groupby(REGRESSION_GROUP[:-1], sort=False):
        digits = _digits(own["rmse_mean"].min())
        runs = [
            f"{r.epochs}: {r.rmse_held_out_mean:.{digits}f}, {r.rmse_mean:.{digits}f}{' *' * r.chosen}"
            for r in own.sort_values("epochs").itertuples()
        ]
        body.append([name, method, recipe, setting, "; ".join(runs)])
    return markdown_table(["data", "method", "recipe", "setting", "epochs: held-out RMSE, test RMSE"], body)


def summarise_classification(rows):
    """Mean and standard deviation over seeds."""
    rows = rows.fillna({"ood_dataset": ""})
    return over_seeds(rows, CLASSIFICATION_GROUP, CLASSIFICATION_MEASURES)


def classification_table(summary):
    """Markdown: Table 2 of Sheikh et al. beside ours."""
    body = []
    for _, row in summary.iterrows():

        def cell(measure, digits, row=row):
            mean, spread = row[f"{measure}_mean"], row[f"{measure}_std"]
            return (
                ""
                if pd.isna(mean)
                else f"{mean:.{digits}f}"
                if pd.isna(spread)
                else f"{mean:.{digits}f} +- {spread:.{digits}f}"
            )

        paper = PAPER_CLASSIFICATION.get(row["architecture"], ("", "")) if row["dataset"] == "mnist" else ("", "")
        shared = [row[name] for name in ("dataset", "architecture", "method", "generator", "weights_per_step")]
        measured = [cell("error_percent", 2), cell("nll", 4), cell("ece", 2), cell("ood_auc", 1)]
        body.append(
            [
                *shared,
                f"{row['num_parameters']:,}",
                row["num_seeds"],
                *measured,
                paper[row["method"] == "hypernet"],
                row["setting"],
            ]
        )
    header = [
        "data",
        "main network",
        "method",
        "generator",
        "draws of w a step",
        "parameters",
        "seeds",
        "error",
        "NLL",
        "ECE",
        "OOD AUC",
        "paper, error",
        "setting",
    ]
    return markdown_table(header, body)
