"""Sections of results/README.md on searches: for digits (Figures 2 and 3a) and for alloys (Figure 3b).

Searches of one protocol (all settings but the target, the images that training left out for it, and the seeds; derived
from their records) stand in one table. Unlike protocols are never averaged.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from common.discovery.records import METHOD_NAMES, SHOWN, shared_settings, with_protocol
from common.runs.identity import differences
from common.runs.results import read_records, read_rows, read_summary, write_table
from common.runs.storage import locked
from common.runs.summaries import all_commits, count, markdown_table, median_interval

DIGITS, ALLOYS = "04_discover_digits", "05_discover_alloys"
HINDSIGHT = "best HyperVAE search (in hindsight)"
RIVAL = "vae"  # the search that the others are compared with: VAE + BO
RIVALS = (RIVAL, "vae_restarts")  # in paired differences; the second has an iterated search's evaluations in any budget
COMPARED = ("hypervae_once", "hypervae_iterated", "hypervae_iterated_vae_init", "hypervae_joint")
PAPERS = "hypervae_iterated"  # the paper's method, so chosen beforehand
LEVEL = 0.95
GRADIENTS = {
    "bound_vae": "gradients: VAE",
    "bound_hypervae_once": "gradients: one theta(u)",
    "bound_hypervae_joint": "gradients: (u, z)",
}
BY_GRADIENTS = (
    "The last columns hold the least distance that gradients found, which know the target, among the designs of the "
    "VAE, of one theta(u) and of all (u, z); a lower one may exist."
)


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
        "final": grouped["final"].median(),
        "final_low": grouped["final"].quantile(0.25),
        "final_high": grouped["final"].quantile(0.75),
        "wins": grouped["win"].sum(),
        "past_vae_bound": grouped["past"].sum(min_count=1),
        "evaluations_to_vae": grouped["reached"].median().replace(np.inf, np.nan),
        **{name: grouped[name].median() for name in least.columns},
        "seconds_an_evaluation": grouped["seconds"].mean(),
    }
    columns |= {name: all_commits(table, keys, name) for name in ("trained_at", "evaluated_at")}
    return pd.DataFrame(columns).reset_index()


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
        the same of classes, by their mean log ratios; p_sign of a two-sided sign test over classes (ties left out) and
        p_holm, corrected for the number of methods; ratio, the median over classes of final distances over the
        rival's, with ratio_low and ratio_high, an interval which holds for all methods at once (Bonferroni).
    """
    rows, keys = [], ["protocol", "rival", "method"]
    for key, own in target_ratios(final, by).groupby(keys, sort=False):
        ratios = own.groupby(by)["log_ratio"].mean().to_numpy()
        wins, losses = int((ratios < 0).sum()), int((ratios > 0).sum())
        p = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        low, high = median_interval(ratios, 1 - (1 - LEVEL) / len(COMPARED))
        row = {"num_targets": len(own), "wins": int((own["log_ratio"] < 0).sum())}
        row |= {"num_classes": len(ratios), "class_wins": wins, "p_sign": p}
        row |= {"ratio": np.exp(np.median(ratios)), "ratio_low": np.exp(low), "ratio_high": np.exp(high)}
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
        others = [
            part.replace("_", " ")
            for part in words[row.protocol].split(", ")
            if part.partition(" ")[0] not in ("", "target_kind", "objective", "evaluations", "budget")
        ]
        found[row.protocol] = ", ".join([row.dataset, *named, *others])
    return found


def in_order(methods):
    """The distinct methods, in the order of METHOD_NAMES; those that it does not have come last."""
    known = list(METHOD_NAMES)
    return sorted(dict.fromkeys(methods), key=lambda name: known.index(name) if name in known else len(known))


def discovery_table(summary, by):
    """Markdown: median final distance by held-out class (rows) and method (columns), then the count of classes won.

    Args:
        summary: of `summarise`, of one protocol.
    """
    methods = in_order(summary["method"])
    wide = summary.pivot(index=by, columns="method", values="final")[methods]
    wide[HINDSIGHT] = wide[[m for m in methods if m.startswith("hypervae")]].min(axis=1)
    bounds = summary.groupby(by)[list(GRADIENTS)].first().dropna(axis="columns", how="all")
    decimals = {"digit": 3, "alloy": 5}[by]  # phase diagrams differ by little more than their smallest phases
    body = [[key, *(f"{v:.{decimals}f}" for v in [*wide.loc[key], *bounds.loc[key]])] for key in wide.index]
    n = len(wide)
    below = wide.lt(wide[RIVAL], axis=0).sum()
    blank = [""] * bounds.shape[1]
    body.append(["closer than VAE + BO", *("" if m == RIVAL else f"{below[m]} of {n}" for m in wide), *blank])
    if "bound_vae" in bounds:
        past = wide.lt(bounds["bound_vae"], axis=0).sum()
        body.append(["closer than gradients found in the VAE", *(f"{past[m]} of {n}" for m in wide), *blank])
    # Of the classes where it gets there alone, so their number belongs to it.
    reached = summary.groupby("method")["evaluations_to_vae"].agg(["median", "count"])
    cells = (
        f"{reached['median'][m]:.0f} ({reached['count'][m]} of {n})" if reached["count"][m] else "" for m in methods
    )
    body.append(["evaluations to VAE + BO's end (classes where it gets there)", *cells, "", *blank])
    return markdown_table(["class held out", *wide, *(GRADIENTS[name] for name in bounds)], body)


def paired_table(pairs):
    """Markdown of `paired`, of one protocol."""
    body = [
        [
            row.method,
            METHOD_NAMES[row.rival],
            f"{row.wins} of {row.num_targets}",
            f"{row.class_wins} of {row.num_classes}",
            f"{row.p_sign:.2g}",
            f"{row.p_holm:.2g}",
            f"{row.ratio:.2f}",
            "" if np.isnan(row.ratio_low) else f"{row.ratio_low:.2f} to {row.ratio_high:.2f}",
        ]
        for row in pairs.itertuples()
    ]
    header = ["search", "beside", "targets where it ends closer", "classes", "p of classes (sign test)"]
    header += ["p, corrected (Holm)", "ratio of distances, median of classes", "95 % for all searches at once"]
    return markdown_table(header, body)


def count_words(summary):
    """ "5 targets a class, 1 seed" """
    target, seed = (count(summary[f"num_{name}s"].max(), name) for name in ("target", "seed"))
    return f"{target} a class, {seed}"


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    found = []
    for stage, by, title in (
        (DIGITS, "digit", "Novelty discovery on digits: Figures 2 and 3a"),
        (ALLOYS, "alloy", "Discovery of alloys: Figure 3b"),
    ):
        summary, *others = _summaries(results_dir / stage, by, own)
        if len(summary):
            found.append((title, _searches(by, summary, *others)))
    return found


def _summaries(folder, by, own=False):
    """The rows of summary.csv and of paired.csv, and {protocol: title}, on a user's data or on ours."""
    if not (folder / "summary.csv").exists():
        return pd.DataFrame(), pd.DataFrame(), {}
    records = read_records(folder / "bounds.csv")
    words = titles(with_protocol(read_rows(folder / "bounds.csv", own), records), records)
    tables = [read_summary(folder / f"{name}.csv", "protocol", [by]) for name in ("summary", "paired")]
    return *(table[table["protocol"].isin(words)] for table in tables), words


def _searches(by, summary, pairs, words):
    parts = [
        "Cosine distance between the target, of a class that no model has seen, and the best design found; median over "
        f"targets and seeds. {BY_GRADIENTS} The best HyperVAE search in hindsight is chosen class by class with these "
        "numbers in view."
    ]
    if by == "alloy":
        parts[0] += " With the objective scaled_cosine each phase counts relative to its largest share in known alloys."
    for protocol, own in summary.groupby("protocol", sort=False):
        parts += [f"**{words[protocol]}**; {count_words(own)}:", discovery_table(own, by)]
        parts += [
            "Against the VAE's search (seeds averaged; targets of one class share their models, so classes count):"
        ]
        parts += [paired_table(pairs[pairs["protocol"] == protocol])]
    return "\n\n".join(part.strip() for part in parts)


def headline(results_dir):
    """Rows [result, measure, ours, strongest baseline, paper]; HyperVAE's search is the paper's, chosen beforehand."""
    rows = []
    for stage, by in ((DIGITS, "digit"), (ALLOYS, "alloy")):
        summary, pairs, words = _summaries(results_dir / stage, by)
        for protocol, own in summary.groupby("protocol", sort=False) if words else ():
            median = own.groupby("method")["final"].median()
            pair = pairs[(pairs["protocol"] == protocol) & (pairs["method"] == PAPERS)]
            per_step = own["budget"].iloc[0] == "per-step"  # then the rival is who has as many evaluations
            pair = pair[pair["rival"] == RIVALS[per_step and RIVALS[1] in set(pair["rival"])]].iloc[0]
            wins = f"closer on {pair['wins']} of {pair['num_targets']} targets"
            if pair["num_classes"] < pair["num_targets"]:
                wins += f" and {pair['class_wins']} of {pair['num_classes']} classes"
            ours = f"{median[PAPERS]:.3g}; {wins} (p {pair['p_holm']:.2g})"
            measure = "cosine distance after the search, median of classes"
            paper = "figure only: HyperVAE below VAE"
            rival = f"{METHOD_NAMES[pair['rival']]} {median[pair['rival']]:.3g}"
            rows.append([f"search for an unseen {by}: {words[protocol]}", measure, ours, rival, paper])
    return rows
