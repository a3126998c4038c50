"""Sections of results/README.md on searches: for digits (Figures 2 and 3a) and for alloys (Figure 3b)."""

import numpy as np
import pandas as pd

from common.discovery.records import METHOD_NAMES, with_protocol
from common.discovery.search_summary import ALLOYS, DIGITS, RIVAL, RIVALS, titles
from common.runs.results import read_records, read_rows, read_summary
from common.runs.summaries import count, markdown_table

HINDSIGHT = "best HyperVAE search (in hindsight)"
PAPERS = "hypervae_iterated"  # the paper's method, so chosen beforehand
GRADIENTS = {
    "bound_vae": "gradients: VAE",
    "bound_hypervae_once": "gradients: one theta(u)",
    "bound_hypervae_joint": "gradients: (u, z)",
}
BY_GRADIENTS = (
    "The last columns hold the least distance that gradients found, which know the target, among the designs of the "
    "VAE, of one theta(u) and of all (u, z); a lower one may exist."
)


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
    searches = summary.pivot(index=by, columns="method", values="num_searches")
    # Medians over other searches than VAE + BO's say nothing of which is closer.
    alike = searches.eq(searches[RIVAL], axis=0).reindex(columns=[*wide], fill_value=True)
    values = wide.join(bounds)
    body = [[key, *("" if np.isnan(v) else f"{v:.{decimals}f}" for v in values.loc[key])] for key in wide.index]
    known = (wide.notna() & alike).sum()
    below = (wide.lt(wide[RIVAL], axis=0) & alike).sum()
    blank = [""] * bounds.shape[1]
    body.append(["closer than VAE + BO", *("" if m == RIVAL else _of(below[m], known[m]) for m in wide), *blank])
    if "bound_vae" in bounds:
        past = (wide.lt(bounds["bound_vae"], axis=0) & alike).sum()
        body.append(["closer than gradients found in the VAE", *(_of(past[m], known[m]) for m in wide), *blank])
    # Of the classes where it gets there alone, so their number belongs to it.
    reached = summary.groupby("method")["evaluations_to_vae"].agg(["median", "count"])
    cells = (
        f"{reached['median'][m]:.0f} ({reached['count'][m]} of {known[m]})" if known[m] and reached["count"][m] else ""
        for m in methods
    )
    body.append(["evaluations to VAE + BO's end (classes where it gets there)", *cells, "", *blank])
    names = [m if alike[m].all() else f"{m} (searches a class: {searches[m].max():.0f})" for m in wide]
    return markdown_table(["class held out", *names, *(GRADIENTS[name] for name in bounds)], body)


def _of(number, all_of_them):
    return f"{number} of {all_of_them}" if all_of_them else ""


SHARE = ("class_share_low", "class_share_high")


def paired_table(pairs):
    """Markdown of `paired`, of one protocol."""
    body = [
        [
            row.method,
            METHOD_NAMES[row.rival],
            f"{row.wins} of {row.num_targets}",
            f"{row.class_wins} of {row.num_classes}" + _share(row),
            f"{row.p_sign:.2g}",
            f"{row.p_holm:.2g}",
            f"{row.ratio:.2f}",
            "" if np.isnan(row.ratio_low) else f"{row.ratio_low:.2f} to {row.ratio_high:.2f}",
        ]
        for row in pairs.itertuples()
    ]
    header = [
        "search",
        "beside",
        "targets where it ends closer",
        "classes (their share without ties, 95 % for all at once)",
        "p of classes (sign test)",
    ]
    header += ["p, corrected (Holm)", "ratio of distances, median of classes", "95 % for all searches at once"]
    return markdown_table(header, body)


def _share(row):
    """ " (35 to 93 %)": the interval of the share of classes where a search ends closer."""
    low, high = (getattr(row, name) for name in SHARE)
    return "" if np.isnan(low) else f" ({100 * low:.0f} to {100 * high:.3g} %)"


def count_words(summary):
    """ "5 targets a class, 1 seed"; "7 searches a class, of 5 targets and 2 seeds" where not every seed has all."""
    targets, seeds, searches = (summary[f"num_{name}"].max() for name in ("targets", "seeds", "searches"))
    if searches == targets * seeds:
        return f"{count(targets, 'target')} a class, {count(seeds, 'seed')}"
    return f"{searches} searches a class, of {count(targets, 'target')} and {count(seeds, 'seed')}"


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
    tables[1] = tables[1].reindex(columns=[*dict.fromkeys([*tables[1], *SHARE])])  # of an older version's folder
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
    """Rows [result, measure, ours, compared with, paper]; HyperVAE's search is the paper's, chosen beforehand."""
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
            searches = {name: part[[by, "num_searches"]].values.tolist() for name, part in own.groupby("method")}
            rivals = [pair["rival"]] if per_step else RIVALS
            alike = [name for name in rivals if searches.get(name) == searches[pair["rival"]]]
            rival = ", ".join(f"{METHOD_NAMES[name]} {median[name]:.3g}" for name in alike)
            rows.append([f"search for an unseen {by}: {words[protocol]}", measure, ours, rival, paper])
    return rows
