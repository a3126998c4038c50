"""Sections of results/README.md on regressions by implicit hypernetworks: Table 1 of Sheikh et al. beside ours."""

import numpy as np
import pandas as pd
import scipy

from common.runs.results import read_records, read_rows
from common.runs.summaries import LEVEL, markdown_table, over_seeds, plus_minus, with_fingerprint

# Table 1 of Sheikh et al., test RMSE: (VI, PBP, Dropout, VMG, SGD, their method); "standard errors" as it calls them.
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
PAPER_METHODS = ("VI", "PBP", "Dropout", "VMG", "SGD", "hypernet")
REGRESSION_MEASURES = ["rmse", "rmse_held_out", "rmse_early_stopped", "log_likelihood", "coverage_90", "sigma"]
PROTOCOL = ["fingerprint", "recipe", "num_splits"]  # whose SGD and hypernetworks are compared
CHOICE = [*PROTOCOL, "method", "num_samples"]  # of all else, held-out rows choose
DIFFERENCES = ["dataset", "recipe", "num_samples", "splits", "sgd", "hypernet", "mean", "standard_error", "low", "high"]
DIFFERENCES += [f"{name}_pooled" for name in ("sgd", "hypernet", "mean", "low", "high")]
BY_SPLIT = "each split choosing by its own held-out rows"
POOLED = "pooled choice"
DIFFERENCES_TEXT = """\
Settings and numbers of epochs are chosen among all that was tried with a method on a table (see below). Two rules:
each split chooses by its own held-out rows, a tenth of the rows, so that none of its test rows has a say; or the
held-out rows of all splits together choose one setting for all (pooled choice), where a test row of one split is a
held-out row of others, and has a say. What is compared here, the verdict and the headline are by the first rule; the
second stands beside it.

Hypernetwork minus SGD in test RMSE, split by split. The splits of a table share most of their rows, so that the plain
standard error of the mean is too small. The interval allows for it (Nadeau & Bengio 2003: variance of the mean (1/n +
n_test / n_train) s^2, t distribution with n - 1 degrees of freedom).
"""
BESIDE_PAPER_TEXT = """\
Test RMSE, mean +- standard deviation over splits, each of which chooses by its own held-out rows, beside the paper's
Table 1, whose "standard errors" are standard deviations in size:
"""
REGRESSION_TEXT = """\
The pooled choice: of the settings tried with a method on a table, and of their numbers of epochs, the one with the
least error on rows held out of its companions' training, over all splits, stands here; test rows have a say in it, as
said above. Test RMSE (mean over the last 20 epochs, of short runs the last fifth), log-likelihood (nats a row) and
coverage of the 90 % interval (percent); mean over splits +- standard error (standard deviation). sigma comes from a
split's own held-out rows, never from its test rows; "stopped" is the test RMSE at the epoch of that run that each
companion's held-out rows choose (before the last epochs, errors are those of the mean of ten draws).
"""
TRIALS_TEXT = """\
For each number of epochs the RMSE on held-out rows and on test rows; * is the pooled choice, of the held-out
rows of all splits.
"""


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    found = []
    rows, summary = _regressions(results_dir, own)
    if len(rows):
        found.append(("Regression by implicit hypernetworks", _regression_section(rows, summary)))
        found.append(("Regression: all that was tried", f"{TRIALS_TEXT}\n{regression_trials(summary)}"))
    return found


def _regression_section(rows, summary):
    differences = regression_differences(rows, summary)
    return "\n".join(
        [
            DIFFERENCES_TEXT,
            differences_table(differences),
            f"{verdict(differences)} {verdict(differences, pooled=True)}\n",
            BESIDE_PAPER_TEXT,
            beside_paper(rows, summary),
            REGRESSION_TEXT,
            regression_table(summary),
        ]
    )


def headline(results_dir):
    """Rows [result, measure, ours, compared with, paper] on the paper's own tables, one for each rule of choice."""
    found = []
    rows, summary = _regressions(results_dir)
    if len(rows):
        differences = regression_differences(rows, summary)
        own = differences[differences["dataset"].isin(PAPER_REGRESSION) & (differences["recipe"] == "ours")]
        # One protocol for each table: the most splits, then the most draws.
        own = own.sort_values(["splits", "num_samples"], kind="stable").drop_duplicates("dataset", keep="last")
        if len(own):
            theirs = [PAPER_REGRESSION[name][-2:] for name in own["dataset"]]
            lower = sum(float(hypernet.split()[0]) <= float(sgd.split()[0]) for sgd, hypernet in theirs)
            paper = f"{lower} of these {len(own)} with a lower mean, or the same"
            for rule, suffix in ((BY_SPLIT, ""), (POOLED, "_pooled")):
                measure = f"tables of {len(own)} with a lower mean RMSE (corrected 95 % interval clear of 0), {rule}"
                mean, low, high = (own[f"{name}{suffix}"] for name in ("mean", "low", "high"))
                ours, sgd = f"{(mean < 0).sum()} ({(high < 0).sum()})", f"SGD {(mean > 0).sum()} ({(low > 0).sum()})"
                found.append(["Regression by hypernetworks", measure, ours, sgd, paper])
    return found


def _regressions(results_dir, own=False):
    """Rows of 06's table1.csv and their summary; empty where there are none."""
    path = results_dir / "06_regression" / "table1.csv"
    rows = read_rows(path, own) if path.exists() else pd.DataFrame()
    return rows, summarise_regression(rows, read_records(path)) if len(rows) else rows


def summarise_regression(rows, records):
    """Mean, standard deviation and standard error over the splits of each experiment (first over seeds, where there are
    several).

    Of a method's experiments on a table the one with the least error on held-out rows of all splits is `chosen` (the
    pooled choice).

    Args:
        rows: of table1.csv, as `read_rows` gives them.
        records: {run: stored record}.
    """
    rows = with_fingerprint(rows, {run: record["fingerprint"] for run, record in records.items()})
    rows["recipe"] = rows.groupby("experiment")["recipe"].transform("last")
    measures = [*REGRESSION_MEASURES, "seconds"]
    per_split = over_seeds(rows, measures, by=["split"])
    per_split = per_split.rename(columns={f"{measure}_mean": measure for measure in measures})
    unused = ["num_splits", "num_seeds", *(f"{measure}_std" for measure in measures)]
    table = over_seeds(per_split.drop(columns=unused), measures, over="split")
    for measure in REGRESSION_MEASURES:
        table[f"{measure}_standard_error"] = table[f"{measure}_std"] / np.sqrt(table["num_splits"])
    best = table.groupby(CHOICE, sort=False)["rmse_held_out_mean"].idxmin()
    return table.assign(chosen=table.index.isin(best))


def _digits(value):
    """Decimals that show three figures of an error, two at least."""
    return max(2, 2 - int(np.floor(np.log10(value)))) if value > 0 else 2


def _with_error(row, measure, decimals):
    """ "2.81 +- 0.16 (0.72)": mean, standard error and standard deviation over splits."""
    spread = row[f"{measure}_std"]
    deviation = "" if pd.isna(spread) else f" ({plus_minus(spread, decimals=decimals)})"
    return plus_minus(row[f"{measure}_mean"], row[f"{measure}_standard_error"], decimals) + deviation


def regression_table(summary):
    """Markdown: the pooled choice."""
    body = []
    for _, row in summary[summary["chosen"]].iterrows():
        digits = _digits(row["rmse_mean"])
        cells = [row[name] for name in ("dataset", "method", "recipe", "num_splits", "num_samples")]
        cells += [_with_error(row, "rmse", digits), row["epochs"], _with_error(row, "rmse_early_stopped", digits)]
        cells += [_with_error(row, "log_likelihood", 2), _with_error(row, "coverage_90", 1)]
        body.append([*cells, f"{row['seconds_mean']:.0f}", row["setting"]])
    header = [
        "data",
        "method",
        "recipe",
        "splits",
        "draws",
        "RMSE",
        "epochs",
        "RMSE, stopped",
        "log-likelihood",
        "coverage",
        "seconds",
    ]
    return markdown_table([*header, "setting"], body)


def beside_paper(rows, summary):
    """Markdown: test RMSE where each split chooses beside the paper's Table 1, for the tables that stand there."""
    body = []
    names = summary.drop_duplicates("fingerprint").set_index("fingerprint")["dataset"]
    by_split = chosen_in_each_split(rows, summary).groupby(CHOICE, sort=False).agg(["mean", "std"]).reset_index()
    by_split = by_split.assign(dataset=by_split["fingerprint"].map(names))
    by_split = by_split[by_split["dataset"].isin(PAPER_REGRESSION)].sort_values("dataset", kind="stable")
    for (_, recipe, _), own in by_split.groupby(PROTOCOL, sort=False):
        name, cells = own["dataset"].iloc[0], {"sgd": [""], "hypernet": [""]}
        for method, part in own.groupby("method"):
            cells[method] = [plus_minus(row.mean, row.std, _digits(row.mean)) for row in part.itertuples(index=False)]
        body += [[name, recipe, *cells["sgd"], hypernet, *PAPER_REGRESSION[name]] for hypernet in cells["hypernet"]]
    header = ["data", "recipe", "SGD", "hypernet", *(f"paper: {name}" for name in PAPER_METHODS)]
    return markdown_table(header, body)


def corrected_interval(differences, num_train, num_test):
    """Interval of LEVEL (low, high) of the mean of paired differences over train/test splits that overlap.

    The variance of the mean of n differences with variance s^2 is taken as (1/n + num_test / num_train) s^2, under a t
    distribution with n - 1 degrees of freedom (Nadeau & Bengio 2003).

    Args:
        differences: (n,), of two splits at least.
        num_train, num_test: rows of a split's two parts.
    """
    n = len(differences)
    scale = np.std(differences, ddof=1) * np.sqrt(1 / n + num_test / num_train)
    return scipy.stats.t.interval(LEVEL, n - 1, loc=np.mean(differences), scale=max(scale, np.finfo(float).tiny))


def chosen_in_each_split(rows, summary):
    """Test RMSE where the held-out rows of each split choose among a method's settings and epochs: no test row does.

    Returns:
        a Series by CHOICE and split.
    """
    errors = rows.groupby(["experiment", "split"], as_index=False)[["rmse", "rmse_held_out"]].mean()
    errors = errors.dropna().merge(summary[["experiment", *CHOICE]], on="experiment")
    best = errors.groupby([*CHOICE, "split"], sort=False)["rmse_held_out"].idxmin()
    return errors.loc[best].set_index([*CHOICE, "split"])["rmse"].sort_index()


def regression_differences(rows, summary):
    """Test RMSE of hypernetworks minus that of SGD, over their common splits, each of which chooses among settings.

    Returns:
        dataset, recipe, num_samples, splits, then by the choice of each split (see `chosen_in_each_split`) sgd,
        hypernet, mean, standard_error, low, high (see `corrected_interval`), and by the pooled choice sgd_pooled,
        hypernet_pooled, mean_pooled, low_pooled, high_pooled; one row a pair.
    """
    rmse, by_split = rows.groupby(["experiment", "split"])["rmse"].mean(), chosen_in_each_split(rows, summary)
    found = []
    for _, own in summary[summary["chosen"]].groupby(PROTOCOL, sort=False):
        sgd, hypernets = (own[own["method"] == method] for method in ("sgd", "hypernet"))
        for hypernet in hypernets.itertuples() if len(sgd) else ():
            pairs = [
                [by_split.loc[tuple(row[name] for name in CHOICE)] for row in (sgd.iloc[0], hypernet._asdict())],
                [rmse[sgd["experiment"].item()], rmse[hypernet.experiment]],
            ]
            apart, pooled = ((theirs[1] - theirs[0]).dropna() for theirs in pairs)
            if min(len(apart), len(pooled)) < 2:
                continue
            sizes = (hypernet.num_train, hypernet.num_test)
            cells = [hypernet.dataset, hypernet.recipe, hypernet.num_samples, len(apart)]
            cells += [*(errors[apart.index].mean() for errors in pairs[0]), apart.mean(), scipy.stats.sem(apart)]
            cells += [*corrected_interval(apart, *sizes), *(errors[pooled.index].mean() for errors in pairs[1])]
            found.append([*cells, pooled.mean(), *corrected_interval(pooled, *sizes)])
    return pd.DataFrame(found, columns=DIFFERENCES)


def verdict(differences, pooled=False):
    """One sentence on how many differences stand, by the choice of each split or by the pooled choice."""
    low, high = (differences[f"{name}_pooled" if pooled else name] for name in ("low", "high"))
    clear = differences[(high < 0) | (low > 0)]
    names = ", ".join(f"{row.dataset} ({row.recipe})" for row in clear.itertuples())
    which = f"Of {len(differences)} differences" + f" by the {POOLED}" * pooled
    return f"{which} none is clear of 0." if clear.empty else f"{which} {len(clear)} are clear of 0: {names}."


def differences_table(differences):
    """Markdown of `regression_differences`; bold: the lower mean where each split chooses."""
    body = []
    for row in differences.itertuples():
        errors = [f"{error:.{_digits(error)}f}" for error in (row.sgd, row.hypernet)]
        if errors[0] != errors[1]:
            errors[row.mean < 0] = f"**{errors[row.mean < 0]}**"
        cells = [row.dataset, row.recipe, row.num_samples, row.splits, *errors, f"{row.mean:+.2g}"]
        cells += [f"{row.standard_error:.2g}", f"{row.low:+.2g} to {row.high:+.2g}"]
        cells += [f"{error:.{_digits(error)}f}" for error in (row.sgd_pooled, row.hypernet_pooled)]
        body.append([*cells, f"{row.mean_pooled:+.2g} ({row.low_pooled:+.2g} to {row.high_pooled:+.2g})"])
    header = ["data", "recipe", "draws", "splits", "each split choosing: SGD", "hypernetwork", "difference"]
    header += ["plain standard error", "corrected 95 % interval", f"{POOLED}: SGD", "hypernetwork"]
    return markdown_table([*header, "difference (corrected 95 %)"], body)


def regression_trials(summary):
    """Markdown: error on held-out and on test rows of every setting, by epochs; * is the pooled choice."""
    body = []
    groups = [*CHOICE, "dataset", "setting"]
    for key, own in summary.groupby(groups, sort=False):
        labels = dict(zip(groups, key))
        digits = _digits(own["rmse_mean"].min())
        runs = [
            f"{r.epochs}: {r.rmse_held_out_mean:.{digits}f}, {r.rmse_mean:.{digits}f}{' *' * r.chosen}"
            for r in own.sort_values("epochs").itertuples()
        ]
        shown = [labels[name] for name in ("dataset", "method", "recipe", "num_splits", "num_samples", "setting")]
        body.append([*shown, "; ".join(runs)])
    header = ["data", "method", "recipe", "splits", "draws", "setting", "epochs: held-out RMSE, test RMSE"]
    return markdown_table(header, body)
