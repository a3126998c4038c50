"""What searches found: summary.csv and paired.csv of digits (Figures 2 and 3a) and of alloys (Figure 3b).

Searches of one protocol (all settings but the target, the images that training left out for it, and the seeds; derived
from their records) stand in one table. Unlike protocols are never averaged.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from common.discovery.records import SHOWN, shared_settings, with_protocol
from common.runs.identity import differences
from common.runs.results import COMMITS, read_records, read_rows, write_table
from common.runs.storage import locked
from common.runs.summaries import LEVEL, all_commits, median_interval

DIGITS, ALLOYS = "04_discover_digits", "05_discover_alloys"
RIVAL = "vae"  # the search that the others are compared with: VAE + BO
RIVALS = (RIVAL, "vae_restarts")  # in paired differences; the second has an iterated search's evaluations in any budget
COMPARED = ("hypervae_once", "hypervae_iterated", "hypervae_iterated_vae_init", "hypervae_joint")


def summarise(rows, bounds, by, records):
    """One row a protocol, held-out class (column `by`) and method: final distances, and how they stand to VAE + BO.

    Medians are over targets and seeds; `wins` counts those where the method ends closer than VAE + BO,
    `past_vae_bound` those where it ends closer than gradients found any z of the VAE; `evaluations_to_vae` is the
    median number of evaluations after which it has VAE + BO's final distance (empty where half of the searches never
    do). `bound_*` are medians of the least distance that gradients found; of searches whose designs are judged by what
    they really are (`realised`) gradients, which see decoded ones, give no bound.
    """
    final = finals(rows, records)
    realised = bounds["run"].map({run: bool(stored.get("realised")) for run, stored in records.items()})
    bounds = bounds.assign(cosine_distance=bounds["cosine_distance"].mask(realised))
    least = bounds.pivot_table("cosine_distance", "run", "method", dropna=False).add_prefix("bound_")
    final = final.join(final[final["method"] == RIVAL].set_index("run")["final"].rename("rival"), "run")
    joined = rows[["run", "method", "evaluation", "best_so_far"]].merge(final[["run", "method", "rival"]])
    reached = joined[joined["best_so_far"] <= joined["rival"]].groupby(["run", "method"])["evaluation"].min()
    table = final.join(least, "run").join(reached.rename("reached"), ["run", "method"])
    table["reached"] = table["reached"].fillna(np.inf)
    table["win"] = table["final"] < table["rival"]
    table["past"] = (table["final"] < table["bound_vae"]).astype("Int64").where(table["bound_vae"].notna())
    keys = ["protocol", by, "method"]
    grouped = table.groupby(keys, sort=False)
    shown = [name for name in (*SHOWN, "likelihood", "objective") if name in table]
    columns = {name: grouped[name].first() for name in shown}
    columns |= {
        "num_targets": grouped["target"].nunique(),
        "num_seeds": grouped["seed"].nunique(),
        "num_searches": grouped.size(),  # a seed may have fewer targets
        "final": grouped["final"].median(),
        "final_low": grouped["final"].quantile(0.25),
        "final_high": grouped["final"].quantile(0.75),
        "wins": grouped["win"].sum(),
        "past_vae_bound": grouped["past"].sum(min_count=1),
        "evaluations_to_vae": grouped["reached"].median().replace(np.inf, np.nan),
        **{name: grouped[name].median() for name in least.columns},
        "seconds_an_evaluation": grouped["seconds"].mean(),
    }
    columns |= {name: all_commits(table, keys, name) for name in COMMITS}
    return pd.DataFrame(columns).loc[columns["final"].index].reset_index()  # in the order of the rows


def finals(rows, records):
    """One row a run and method: the `final` distance and the mean seconds."""
    grouped = rows.groupby(["run", "method"], sort=False)
    final = grouped.first().drop(columns=["evaluation", "step", "cosine_distance", "best_so_far", "seconds"])
    final["final"], final["seconds"] = grouped["best_so_far"].min(), grouped["seconds"].mean()
    return with_protocol(final.reset_index(), records)


def target_ratios(final, by):
    """One row a protocol, one of RIVALS, method of COMPARED and target: log ratio of distances, mean over seeds."""
    compared, parts = final[final["method"].isin(COMPARED)], []
    for rival in [name for name in RIVALS if (final["method"] == name).any()]:
        theirs = final[final["method"] == rival].set_index("run")["final"]
        own = compared[compared["run"].isin(theirs.index)]
        parts.append(own.assign(rival=rival, log_ratio=np.log(own["final"] / own["run"].map(theirs))))
    keys = ["protocol", "rival", "method", by, "target"]
    return pd.concat(parts).groupby(keys, sort=False)["log_ratio"].mean().reset_index()


def paired(final, by):
    """How each search of HyperVAE's stands against the VAE's, class by class: targets of a class share their models.

    Returns:
        one row a protocol, one of RIVALS and method of COMPARED: num_targets, and wins, those where it ends closer;
        the same of classes, by their mean log ratios, and class_share_low and class_share_high, Clopper and Pearson's
        interval of their share (ties left out), for all methods at once (Bonferroni); p_sign of a two-sided sign test
        over classes and p_holm, corrected for the number of methods; ratio, the median over classes of final distances
        over the rival's, with ratio_low and ratio_high, an interval which holds for all methods at once (Bonferroni).
    """
    rows, keys = [], ["protocol", "rival", "method"]
    for key, own in target_ratios(final, by).groupby(keys, sort=False):
        ratios = own.groupby(by)["log_ratio"].mean().to_numpy()
        wins, losses = int((ratios < 0).sum()), int((ratios > 0).sum())
        test = scipy.stats.binomtest(wins, wins + losses) if wins + losses else None
        share = test.proportion_ci(1 - (1 - LEVEL) / len(COMPARED)) if test else (np.nan, np.nan)
        low, high = median_interval(ratios, 1 - (1 - LEVEL) / len(COMPARED))
        row = {"num_targets": len(own), "wins": int((own["log_ratio"] < 0).sum())}
        row |= {"num_classes": len(ratios), "class_wins": wins}
        row |= {"p_sign": test.pvalue if test else 1.0}
        row |= {"ratio": np.exp(np.median(ratios)), "ratio_low": np.exp(low), "ratio_high": np.exp(high)}
        row |= {"class_share_low": share[0], "class_share_high": share[1]}
        rows.append(dict(zip(keys, key)) | row)
    table = pd.DataFrame(rows)
    table.insert(8, "p_holm", table.groupby(["protocol", "rival"])["p_sign"].transform(holm))
    return table


def holm(p):
    """p-values (n,) of n tests made together, corrected by Holm's step-down method."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


class Protocol(NamedTuple):
    """The tables of the searches of one protocol."""

    digest: str
    title: str
    rows: pd.DataFrame  # one an evaluation
    bounds: pd.DataFrame
    ratios: pd.DataFrame  # of `target_ratios`
    pairs: pd.DataFrame  # of `paired`
    summary: pd.DataFrame  # of `summarise`


def write_summaries(folder, curves, by):
    """Write summary.csv and paired.csv of tables of searches, `curves` and bounds.csv; returns a Protocol for each."""
    folder = Path(folder)
    with locked(folder):  # rows that another process adds are in these summaries, or in those that it writes
        rows, bounds = read_rows(folder / curves), read_rows(folder / "bounds.csv")
        records = read_records(folder / "bounds.csv")
        summary, final = summarise(rows, bounds, by, records), finals(rows, records)
        pairs = paired(final, by)
        write_table(folder / "summary.csv", summary)
        write_table(folder / "paired.csv", pairs)
    tables = [with_protocol(rows, records), with_protocol(bounds, records), target_ratios(final, by), pairs, summary]
    return [
        Protocol(protocol, title, *(table[table["protocol"] == protocol] for table in tables))
        for protocol, title in titles(tables[1], records).items()
    ]


IN_TITLES = ("", "target_kind", "objective", "evaluations", "budget", "iterations", "body")  # in words of their own
_A_STEP = " a step, so iterated and restarted searches have as many times more as they have steps"


def titles(rows, records):
    """{protocol: in words} of rows with the column `protocol`: what it is, and what else tells it from the others."""
    first = rows.drop_duplicates("protocol")
    words = differences({row.protocol: shared_settings(records[row.run]) for row in first.itertuples()})
    found = {}
    for row in first.itertuples():
        named = [
            f"{row.target_kind} target",
            f"{row.evaluations} evaluations" + _A_STEP * (row.budget == "per-step"),
            f"models of {row.iterations} iterations",
        ]
        named += [row.objective.replace("_", " ")] if "objective" in first else []
        if "likelihood" in first and first["likelihood"].nunique() > 1:
            named.append(row.likelihood.replace("_", " "))
        others = [
            part.replace("_", " ")
            for part in words[row.protocol].split(", ")
            # Both models have the same iterations and, by the likelihood, the same body.
            if part.partition(" ")[0].rpartition(".")[2] not in IN_TITLES
        ]
        found[row.protocol] = ", ".join([row.dataset, *named, *others])
    return found
