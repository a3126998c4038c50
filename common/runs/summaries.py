"""What reports make of rows: means over seeds, numbers with their spread, Markdown."""

import numpy as np
import pandas as pd
import scipy

from common.names import common_name
from common.runs.identity import differences
from common.runs.results import COMMITS

LEVEL = 0.95  # of the intervals that reports show


def over_seeds(rows, measures, by=(), over="seed"):
    """Mean and standard deviation (n - 1) of each measure over the seeds (or splits) of one experiment.

    Rows are grouped by `experiment` (everything but the seed, derived from their records) and the columns `by`, so rows
    of unlike settings are never averaged. Of the other columns those stay which are constant in every group.

    Returns:
        one row a group, with num_<over>s, <measure>_mean, <measure>_std, trained_at and evaluated_at.
    """
    keys = ["experiment", *by]
    # By number: an index that holds NaN, a sigma that is not known, does not find itself again.
    group = rows.groupby(keys, sort=False, dropna=False).ngroup().rename("group")
    grouped = rows.groupby(group, sort=False)
    table = grouped[measures].agg(["mean", "std"])
    table.columns = [f"{measure}_{statistic}" for measure, statistic in table.columns]
    table.insert(0, f"num_{over}s", grouped[over].nunique())
    left = [name for name in rows if name not in {*keys, *measures, over, "run", *COMMITS}]
    constant = [name for name in left if (grouped[name].nunique(dropna=False) == 1).all()]
    first = rows.drop_duplicates(keys)[[*keys, *constant]].set_index(table.index)  # in the order of their first rows
    table = pd.concat([first, table], axis=1)
    for name in COMMITS:
        table[name] = all_commits(rows.assign(group=group), ["group"], name)
    return table.reset_index(drop=True)


def all_commits(rows, keys, name):
    """The commits in a column of each group's rows, each once, in one text; a Series by the columns `keys`."""
    distinct = rows.drop_duplicates([*keys, name])
    several = distinct.duplicated(keys, keep=False)  # few groups have: most time goes where Python joins texts
    joined = distinct[several].sort_values(name).groupby(keys, sort=False, dropna=False)[name].agg(" ".join)
    return pd.concat([distinct[~several].set_index(keys)[name], joined])


def with_fingerprint(rows, fingerprints):
    """Rows with their data's fingerprint and one name for each data set (ours, or else the last file's).

    Where two data sets share a name, the fingerprint follows.

    Args:
        fingerprints: {run: fingerprint of its data}.
    """
    rows = rows.assign(fingerprint=[fingerprints[run] for run in rows["run"]])
    rows["dataset"] = rows.groupby("fingerprint")["dataset"].transform(common_name)
    shared = rows.groupby("dataset")["fingerprint"].transform("nunique") > 1
    rows.loc[shared, "dataset"] += " (" + rows["fingerprint"] + ")"
    return rows


def settings_in_words(rows, records):
    """{experiment: the settings that tell it from the other experiments among the rows}.

    Args:
        records: {run: stored record}, of `results.read_records`.
    """
    first = rows.drop_duplicates("experiment")
    return differences({row.experiment: records[row.run] for row in first.itertuples()})


def words_apart(table, records, by):
    """What tells the groups of a table apart that are alike in the columns `by`, in words, one text a row.

    Args:
        records: {value of the table's column `experiment` or `method`: stored record}.
    """
    key = "method" if "method" in table else "experiment"
    words = {}
    for _, part in table.groupby(by, sort=False, dropna=False):
        words |= differences({name: records[name] for name in part[key]})
    return table[key].map(words)


def settings_column(table, records, by):
    """Settings in words: what tells rows of one recipe apart; of a custom one, what tells it from all others."""
    within, among = words_apart(table, records, [*by, "recipe"]), words_apart(table, records, by)
    return within.where(table["recipe"] != "custom", among)


def count(number, what):
    """ "1 seed", "2,000 images"."""
    return f"{number:,.0f} {what}" + ("" if number == 1 else "s")


def mean_interval(values, level):
    """Student's t interval (low, high) of the mean of values (n,); of one value nothing is known."""
    if len(values) < 2:
        return np.nan, np.nan
    mean, error = np.mean(values), scipy.stats.sem(values)
    return scipy.stats.t.interval(level, len(values) - 1, mean, error) if error else (mean, mean)


def median_interval(values, level):
    """Interval (low, high) of the median of values (n,) by their ranks, as a sign test has it.

    NaN where there are too few values for one of this level: for 95 % five or fewer.
    """
    found = scipy.stats.quantile_test(values, p=0.5).confidence_interval(level)
    return (found.low, found.high) if np.isfinite([found.low, found.high]).all() else (np.nan, np.nan)


def plus_minus(mean, spread=np.nan, decimals=1):
    """ "93.1 +- 1.0"; without the spread where there is none, and empty where there is no mean."""
    if mean is None or pd.isna(mean):
        return ""
    return f"{mean:.{decimals}f}" if pd.isna(spread) else f"{mean:.{decimals}f} +- {spread:.{decimals}f}"


def markdown_table(header, rows):
    """A Markdown table of cells that str() can show."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
