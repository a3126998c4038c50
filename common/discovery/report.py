"""Sections of results/README.md on novelty discovery: digits (Figures 2 and 3a) and alloys (Figure 3b and Table 5)."""

import pandas as pd

from common.runs.results import markdown_table

PROTOCOL = [
    "dataset",
    "target_pixels",
    "budget",
    "evaluations",
    "steps",
    "acquisition",
    "recipe",
    "iterations",
    "binarize",
]
ALLOY_PROTOCOL = [*PROTOCOL, "likelihood", "objective"]
COMPARISONS = {
    "inverse_map.csv": "## Alloys: from phases to composition\n\nOn rows and on whole classes not seen: R2, and the main elements' relative error in percent.",
    "likelihoods.csv": "## Alloys: likelihoods\n\nTest alloys of known classes. -ELBO is in nats a diagram, of different densities: the errors of the fractions can be compared.",
}


def sections(results_dir):
    """The Markdown parts for whatever the discovery scripts have written to that folder."""
    parts = []
    digits, found = results_dir / "04_discover_digits" / "summary.csv", results_dir / "05_discover_alloys"
    if digits.exists():
        parts.append(
            "## Novelty discovery on digits: Figures 2 and 3a\n\n" + _discovery_section(pd.read_csv(digits), "digit")
        )
    if (found / "summary.csv").exists():
        parts.append(
            "## Discovery of alloys: Figure 3b and Table 5\n\n"
            + _discovery_section(pd.read_csv(found / "summary.csv"), "alloy")
        )
        parts.append(table5(pd.read_csv(found / "table5.csv")))
    for name, title in COMPARISONS.items():
        if (found / name).exists():
            parts.append(_comparison(pd.read_csv(found / name), title))
    return parts


def summarise_discovery(rows, bounds, by):
    """One row a held-out class (column `by`) and method: the final cosine distance and how it stands against VAE + BO.

    Medians are over targets and seeds; `wins` counts those where the method ends closer than VAE + BO, `past_vae_bound`
    those where it ends closer than any z of the VAE; `evaluations_to_vae` is the median number of evaluations after which
    it has VAE + BO's final distance (empty where half of the searches never do).
    """
    protocol = _protocol(rows)
    one = [column for column in (*protocol, by, "target_index", "seed") if column in rows]
    final = rows.groupby([*one, "method"])["best_so_far"].min().rename("final").reset_index()
    vae = final[final["method"] == "vae"].set_index(one)["final"].rename("vae_final")
    limits = bounds.pivot_table("cosine_distance", one, "method").add_prefix("bound_")
    joined = rows.join(vae, one)
    reached = (
        joined[joined["best_so_far"] <= joined["vae_final"]]
        .groupby([*one, "method"])["evaluation"]
        .min()
        .rename("reached")
    )
    table = final.join(vae, one).join(limits, one).join(reached, [*one, "method"]).fillna({"reached": float("inf")})
    table["win"], table["past"] = table["final"] < table["vae_final"], table["final"] < table["bound_vae"]
    grouped = table.groupby([*protocol, by, "method"], sort=False)
    columns = {
        "num_targets": grouped["target_index"].nunique() if "target_index" in one else 1,
        "num_seeds": grouped["seed"].nunique(),
        "final": grouped["final"].median(),
        "final_low": grouped["final"].quantile(0.25),
        "final_high": grouped["final"].quantile(0.75),
        "wins": grouped["win"].sum(),
        "past_vae_bound": grouped["past"].sum(),
        "evaluations_to_vae": grouped["reached"].median().replace(float("inf"), float("nan")),
    }
    columns |= {bound: grouped[bound].median() for bound in limits.columns}
    columns["seconds_an_evaluation"] = rows.groupby([*protocol, by, "method"], sort=False)["seconds"].mean()
    columns["commit"] = rows.groupby([*protocol, by, "method"])["commit"].agg(lambda c: " ".join(sorted(set(c))))
    return pd.DataFrame(columns).reset_index()


HINDSIGHT = "best HyperVAE search (in hindsight)"


def discovery_table(summary, by):
    """Markdown: median final distance by held-out class (rows) and method (columns), then the count of classes won."""
    methods = list(dict.fromkeys(summary["method"]))
    wide = summary.pivot_table("final", by, "method")[methods]
    wide[HINDSIGHT] = wide[[m for m in methods if m.startswith("hypervae")]].min(axis=1)
    bounds = summary.groupby(by)[["bound_vae", "bound_hypervae_once", "bound_hypervae_joint"]].first()
    decimals = {"digit": 3, "alloy": 5}[by]  # phase diagrams differ by little more than their smallest phases
    body = [[key, *(f"{v:.{decimals}f}" for v in [*wide.loc[key], *bounds.loc[key]])] for key in wide.index]
    n = len(wide)
    below = wide.lt(wide["vae"], axis=0).sum()
    past = wide.lt(bounds["bound_vae"], axis=0).sum()
    body.append(["closer than VAE + BO", *(f"{below[m]} of {n}" for m in wide), "", "", ""])
    body.append(["past the VAE's bound", *(f"{past[m]} of {n}" for m in wide), "", "", ""])
    # Of the classes where it gets there alone, so their number belongs to it.
    reached = summary.groupby("method")["evaluations_to_vae"].agg(["median", "count"])
    cells = (
        f"{reached['median'][m]:.0f} ({reached['count'][m]} of {n})" if reached["count"][m] else "" for m in methods
    )
    body.append(["evaluations to VAE + BO's end (classes where it gets there)", *cells, "", "", "", ""])
    return markdown_table(["class held out", *wide, "bound: VAE", "bound: one theta(u)", "bound: (u, z)"], body)


def _protocol(rows):
    return [column for column in ALLOY_PROTOCOL if column in rows]


def _by_protocol(rows):
    """(protocol in words, its rows) of each protocol."""
    protocol = _protocol(rows)
    for key, own in rows.groupby(protocol, sort=False):
        yield ", ".join(f"{name} {value}" for name, value in zip(protocol, key)), own


def _discovery_section(summary, by):
    parts = [
        "Cosine distance between the target, of a class that no model has seen, and the best design found; median over targets "
        "and seeds. A bound is the least distance that gradients, which know the target, find in the same space."
        + (
            " With the objective scaled_cosine, each phase counts relative to its largest share in known alloys.\n"
            if by == "alloy"
            else "\n"
        )
    ]
    for title, own in _by_protocol(summary):
        parts.append(
            f"{title}; {own['num_targets'].max()} target(s) a class, {own['num_seeds'].max()} seed(s):\n\n{discovery_table(own, by)}"
        )
    return "\n".join(parts)


PAPER_TABLE_5 = {  # percent: (element error, phase error) of the alloys that the paper's HyperVAE found
    "6053": (11.3, 3.0), "2219": (26.6, 3.0), "6951": (20.0, 0.4), "2024": (31.5, 3.5),
    "2014": (18.5, 1.4), "2025": (4.4, 2.9), "7076": (31.8, 2.5), "2618": (23.9, 3.6),
}  # fmt: skip


CLOSEST = "hypervae_closest"
IN_CLASS = 20.0  # percent of element error within which a found alloy belongs to the class


def table5(rows):
    """Markdown: element error / phase error in percent of the alloys found, median over seeds, beside the paper's Table 5.

    `hypervae_closest` is, for each seed, what that search of HyperVAE's found which ended closest to its target: the searcher
    sees that distance, and not the composition wanted.
    """
    parts = [f"{title}:\n\n{_table5_of(own)}" for title, own in _by_protocol(rows)]
    return (
        "Table 5, element error / phase error in percent. Made from mc_al v2.032 (MatCalc, TU Wien), Open Database License 1.0; "
        f"values are equilibrium mole fractions, the paper's database and phase names differ. {CLOSEST} is what that search of "
        "HyperVAE's found which ended closest to its target; own_alloy is the class's own alloy of median distance to it. Where a "
        "diagram is a real alloy's (hypervae_calphad, nearest_known, own_alloy), B is only what traces of "
        "absent elements and the rounding of stored fractions leave.\n\n" + "\n".join(parts)
    )


def _table5_of(rows):
    searches = rows[rows["method"].str.startswith("hypervae") & ~rows["method"].str.endswith("calphad")]
    closest = searches.loc[searches.groupby(["alloy", "seed"])["cosine_distance"].idxmin()].assign(method=CLOSEST)
    rows = pd.concat([rows, closest], ignore_index=True)
    methods = list(dict.fromkeys(rows["method"]))
    medians = rows.groupby(["alloy", "method"])[["element_error", "phase_error", "cosine_distance"]].median()

    def cell(alloy, method):
        errors = medians.loc[(alloy, method)][:2] if (alloy, method) in medians.index else []
        return " / ".join("-" if pd.isna(error) else f"{error:.1f}" for error in errors)

    seeds = rows.groupby("method")["seed"].nunique()
    body = [["seeds", *(seeds[m] for m in methods), ""]]
    for alloy in dict.fromkeys(rows["alloy"]):
        body.append(
            [alloy, *(cell(alloy, m) for m in methods), "{} / {}".format(*PAPER_TABLE_5.get(str(alloy), ("", "")))]
        )
    errors, distances = medians["element_error"].unstack("method"), medians["cosine_distance"].unstack("method")
    body.append(
        [
            f"within {IN_CLASS:g} %",
            *(f"{int((errors[m] <= IN_CLASS).sum())} of {errors[m].count()}" for m in methods),
            "4 of 8",
        ]
    )
    near = distances.lt(distances["nearest_known"], axis=0).sum()
    body.append(
        [
            "closer than the nearest known alloy",
            *("" if m in ("nearest_known", "own_alloy") else f"{near[m]} of {distances[m].count()}" for m in methods),
            "",
        ]
    )
    return markdown_table(["alloy", *methods, "paper"], body)


def _comparison(rows, title):
    body = [
        [f"{value:.3g}" if isinstance(value, float) else value for value in row]
        for row in rows.drop(columns="commit").itertuples(index=False)
    ]
    return f"{title}\n\n" + markdown_table(list(rows.columns.drop("commit")), body)
