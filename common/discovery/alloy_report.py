"""Sections of results/README.md on alloys: what was found as compositions (Table 5), the inverse map, likelihoods."""

import numpy as np
import pandas as pd

from common.discovery.alloy_files import NOTICE
from common.discovery.alloys import PAPER_TABLE_5
from common.discovery.records import IN_CLASS, METHOD_NAMES, evaluations_before, with_protocol
from common.discovery.search_report import in_order
from common.discovery.search_summary import ALLOYS, COMPARED, RIVAL, titles
from common.runs.results import of_own_data, tables
from common.runs.summaries import markdown_table, settings_in_words

CLOSEST = "hypervae_closest"
WITHOUT_HYPERVAE = (RIVAL, "vae_restarts", "nearest_known")  # of one search's evaluations, or none


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    makers = {
        "table5.csv": ("Discovery of alloys: Table 5", table5),
        "inverse_map.csv": ("Alloys: from phases to composition", _inverse_maps),
        "likelihoods.csv": ("Alloys: likelihoods", _likelihoods),
    }
    there = tables(results_dir / ALLOYS, makers, own)
    return [(title, make(rows, records)) for (title, make), rows, records in there]


def table5(rows, records):
    """Markdown: element / phase error in percent of the alloys found, median over seeds, beside the paper's Table 5.

    Where searches through CALPHAD have fewer seeds than the others, all methods at these seeds follow.
    """
    rows = with_protocol(rows, records)
    words = titles(rows, records)
    parts = [
        "Element error / phase error in percent. Values are equilibrium mole fractions. "
        f"{CLOSEST} is what that search of HyperVAE's found which ended closest to its target: the searcher sees that "
        "distance, and not the composition wanted. own_alloy is the class's own alloy of median distance to it. A "
        "search through CALPHAD begins with the best designs of its family's others, all of whose evaluations are "
        "named before its own: HyperVAE's begins with four searches, the VAE's with one. Where a diagram is a real "
        "alloy's (the searches through CALPHAD, all where designs are realised, nearest_known, own_alloy), the phase "
        "error is what traces of absent elements (each diagram holds 1e-5 of every element) and the rounding of stored "
        "fractions leave: a phase near the least share that counts may be there in one diagram and not in the other."
    ]
    if not of_own_data(rows).all():
        parts[0] += f" {NOTICE} The paper's database and phase names differ."
    for protocol, own in rows.groupby("protocol", sort=False):
        parts += [f"**{words[protocol]}**, median over seeds:", _table5_of(own)]
        real = own[own["calphad_evaluations"] > 0]
        seeds = sorted(real["seed"].unique())
        if len(real) and set(seeds) != set(own["seed"]):
            same = ", ".join(map(str, seeds))
            parts += [f"**{words[protocol]}**, all methods at the seeds of the searches through CALPHAD ({same}):"]
            parts += [_table5_of(own[own["seed"].isin(seeds)])]
    return "\n\n".join(part.strip() for part in parts)


def with_closest(rows):
    """Table 5's rows and CLOSEST: of each class and seed, what that search of COMPARED found which ended closest."""
    searches = rows[rows["method"].isin(COMPARED)]
    closest = searches.loc[searches.groupby(["alloy", "seed"])["cosine_distance"].idxmin()].assign(method=CLOSEST)
    rows = pd.concat([rows, closest], ignore_index=True)
    return rows.assign(method=[_with_cost(row) for row in rows.itertuples()])


def _with_cost(row):
    """The method, and where it goes on from other searches how many designs these and it judged."""
    if not row.calphad_evaluations:
        return row.method
    before = evaluations_before(row.method, row.budget, row.evaluations, row.steps)
    return f"{row.method}, {before:,} + {row.calphad_evaluations} evaluations"


def medians5(complete):
    """Medians over seeds of Table 5's errors and distances, by alloy and method; of `with_closest`, of one protocol."""
    measures = ["element_error", "phase_error", "cosine_distance"]
    return complete.groupby(["alloy", "method"])[measures].median()


def _table5_of(rows):
    complete = with_closest(rows)
    medians = medians5(complete)
    methods = in_order(complete["method"])

    def cell(alloy, method):
        errors = medians.loc[(alloy, method)][:2] if (alloy, method) in medians.index else []
        return " / ".join("-" if pd.isna(error) else f"{error:.1f}" for error in errors)

    seeds = complete.groupby("method")["seed"].nunique()
    beside = {} if of_own_data(rows).all() else PAPER_TABLE_5
    body = [["seeds", *(seeds[m] for m in methods), ""]]
    for alloy in dict.fromkeys(rows["alloy"]):
        paper = " / ".join(map(str, beside.get(alloy, ())))
        body.append([alloy, *(cell(alloy, m) for m in methods), paper])
    errors, distances = medians["element_error"].unstack("method"), medians["cosine_distance"].unstack("method")
    within = [f"{int((errors[m] <= IN_CLASS).sum())} of {errors[m].count()}" for m in methods]
    body.append([f"within {IN_CLASS:g} %", *within, "4 of 8" if beside else ""])
    near = distances.lt(distances["nearest_known"], axis=0).sum()
    alloys = ("nearest_known", "own_alloy")
    closer = ["" if m in alloys else f"{near[m]} of {distances[m].count()}" for m in methods]
    body.append(["closer than the nearest known alloy", *closer, ""])
    return markdown_table(["alloy", *methods, "paper"], body)


def _compared(rows, records, labels, measures):
    """A Markdown table of means over seeds: a line for each experiment and `labels`, measures {column: format}."""
    body = []
    for key, alike in rows.groupby(labels, sort=False):
        words = settings_in_words(alike, records)  # where the labels do not tell two experiments apart
        for name, own in alike.groupby("experiment", sort=False):
            means = {measure: own[measure].mean() for measure in measures}
            means = ["" if np.isnan(mean) else f"{mean:{measures[measure]}}" for measure, mean in means.items()]
            body.append([*key, words[name], own["seed"].nunique(), *means])
    return markdown_table([*labels, "settings", "seeds", *measures], body)


def _inverse_maps(rows, records):
    return (
        "On rows and on whole classes not seen: R2, and the main elements' relative error in percent; means.\n\n"
        + _compared(rows, records, ["dataset", "regressor", "held_out"], {"r2": ".3f", "element_error": ".1f"})
    )


def _likelihoods(rows, records):
    measures = {"neg_elbo": ".1f", "absolute_error": ".4f", "phase_error": ".1f", "element_error": ".1f"}
    measures["column_sum_error"] = ".2g"
    rows = rows.reindex(columns=rows.columns.union(measures, sort=False))  # older ones lack some
    return (
        "Test alloys of known classes; means over seeds. -ELBO is in nats a diagram, of different densities, so only "
        "the errors can be compared: the mean absolute one of the fractions, and column B's of Table 5 in percent, "
        "here of what the model makes of real alloys: no design is likely to be nearer. The element error is column "
        "A's, of what the ridge reads off these, of classes that it has not seen. A phase matrix's columns sum to 1."
        "\n\n" + _compared(rows, records, ["dataset", "likelihood", "model", "recipe", "iterations"], measures)
    )


def headline(results_dir):
    """Rows [result, measure, ours, compared with, paper] of Table 5: what CLOSEST found, beside VAE + BO and whatever
    without HyperVAE has most of the same classes within IN_CLASS.
    """
    found = []
    for _, table, records in tables(results_dir / ALLOYS, {"table5.csv": None}, own=False):
        table = with_protocol(table, records)
        words = titles(table, records)
        for protocol, own in table.groupby("protocol", sort=False):
            errors = medians5(with_closest(own))["element_error"].unstack("method")
            within = (errors[errors.columns[errors.notna().all()]] <= IN_CLASS).sum()
            rivals = within[[method for method in WITHOUT_HYPERVAE if method in within]]
            shown = dict.fromkeys([RIVAL, rivals.idxmax()])
            measure = f"classes of {len(errors)} with an element error within {IN_CLASS:g} %"
            measure += f"; HyperVAE: the closest of {len(COMPARED)} searches, each of as many evaluations as a rival's"
            cells = [f"{within[CLOSEST]}", ", ".join(f"{METHOD_NAMES[method]} {within[method]}" for method in shown)]
            found.append([f"Table 5: {words[protocol]}", measure, *cells, "4 of 8"])
    return found


def _shown_designs(searches, errors, through):
    """{method: (diagram, cosine distance)} for a figure, the target first, of what `discover` gave for a job."""
    shown = {"target": (np.array(searches["designs"]["target"]["designs"][0]), 0.0)}
    for part in (errors, through or {"rows": []}):
        shown |= {
            row["method"]: (np.array(part["designs"][row["method"]]), row["cosine_distance"]) for row in part["rows"]
        }
    return shown


def draw(protocol, discovered, loaded, folder):
    """Figure 3b of one protocol, and the diagrams that this call found under it beside their targets."""
    from common.discovery import figures

    first = protocol.rows.iloc[0]
    own = folder / "figures" / f"{first['dataset']}_{first['objective']}-{protocol.digest}"
    figures.discovery_curves(protocol, own / "figure3b.png", "alloy")
    drawn = set()
    for job, *found in discovered:
        alloy, record = job.record.target.held_out, job.through_calphad or job.found
        if alloy in drawn:  # the first seed's stand for the others
            continue
        drawn.add(alloy)
        designs = _shown_designs(*found)
        data, title = loaded[job.source], f"alloy {alloy}, {protocol.title}, seed {job.record.search.seed}"
        path = own / f"{alloy}-{record.digest}.png"
        figures.phase_diagrams(figures.panels_of(designs), data.phases, data.temperatures, title, path)
