"""Answers to a specification: alloys ranked, the best of them solidified and drawn, and how the searches compare."""

import re

import numpy as np
import pandas as pd
from tqdm import tqdm

from common.discovery import calphad, constraints
from common.discovery.alloy_files import NOTICE
from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import MOLTEN, PHASES, TEMPERATURES
from common.discovery.designs import METHODS, known_alloy
from common.discovery.records import file_fingerprint
from common.discovery.search_summary import ALLOYS
from common.runs.identity import digest
from common.runs.results import tables, write_table
from common.runs.storage import REMEDY, made_once, read_json, write_settings
from common.runs.summaries import markdown_table, settings_in_words

DESIGNS = ["specification", "method", "seed", "parameters", "evaluations", "num_kept", "first_kept"]
DESIGNS += ["best_objective", "least_excess", "seconds", "dataset", "regressor", "iterations", "recipe"]
WT = {element: f"{element.capitalize()} [wt%]" for element in ELEMENTS}  # columns of answers
FINALISTS = 3
CASTING = 2  # version of PhaseDiagrams.as_cast: it goes on without elements that are gone from the melt
APART = 0.05  # wt% in some element by which two finalists differ


def ranked(found, data):
    """Every alloy that some searches asked about, the best first, a row each; values by CALPHAD.

    Args:
        found: what `designs.search` gave for the searches of one specification.
        data: AlloyData; which of its alloys is nearest, and how far, stands in each row.
    """
    wanted = found[0][0].record.specification
    compositions, excess = (np.concatenate([part[key] for _, part in found]) for key in ("compositions", "excess"))
    y = np.concatenate([part["objective"] for _, part in found])
    order = constraints.best_first(y, excess)
    table = pd.DataFrame(
        {
            "keeps all limits": np.where(constraints.keeps_all(excess), "yes", "no"),
            "Al [wt%]": 100 - compositions.sum(1),
        }
    )
    table[list(WT.values())] = compositions
    for limit, own in zip(wanted.limits, excess.T):
        values = np.array([limit.value(each) for each in own])
        table[f"{limit.name} [{limit.unit}]"] = values
        table[f"margin to {limit} [{limit.unit}]"] = limit.margin(values)
    breaks = [[str(limit) for limit, own in zip(wanted.limits, row) if own > 0] for row in excess]
    table["breaks"] = ["; ".join(names) for names in breaks]
    if wanted.cost:
        table["cost"] = y
    nearest = [known_alloy(composition, data) for composition in compositions]
    table["nearest known alloy"], table["distance to it [wt%]"] = zip(*nearest)
    table["search"] = [METHODS[job.record.method] for job, part in found for _ in part["objective"]]
    table["seed"] = [job.record.seed for job, part in found for _ in part["objective"]]
    table["evaluation"] = [number for _, part in found for number in range(1, len(part["objective"]) + 1)]
    table = table.iloc[order].drop_duplicates(list(WT.values()), ignore_index=True)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


def finalists(table):
    """Rows of `ranked`, the first FINALISTS that are not nearly the same alloy."""
    wt, chosen = compositions_of(table), []
    for row, own in enumerate(wt):
        if len(chosen) < FINALISTS and all(np.abs(own - wt[other]).max() >= APART for other in chosen):
            chosen.append(row)
    return table.iloc[chosen]


def compositions_of(table):
    """wt% (n, len(ELEMENTS)) of rows of `ranked`."""
    return table[list(WT.values())].to_numpy()


def solidified(wanted, tdb, compositions, path):
    """Of some alloys, kept: {"diagrams": (n, phases, temperatures), "as_cast": [(liquidus, where a casting is solid)]}.

    By Scheil and Gulliver, in K; solid is what holds less liquid than one hundredth. None where that is not reached.

    Args:
        compositions: (n, len(ELEMENTS)) wt%; path: where it is kept. What stands there of other alloys, of another
            database or by other CASTING is made anew.
    """
    asked = {"compositions": np.round(compositions, 6).tolist(), "present": [*wanted.present]}
    of = digest(asked | {"tdb": file_fingerprint(tdb), "casting": CASTING})
    if path.exists() and read_json(path, REMEDY).get("of") != of:
        path.unlink()

    def made():
        diagrams = calphad.phase_diagrams(tdb)
        matrices = [diagrams.matrix(own, present=wanted.present) for own in compositions]
        ends = []
        for own in tqdm(compositions, "solidification (Scheil)"):
            liquidus, temperatures, solid = diagrams.as_cast(own)
            reached = np.flatnonzero(solid >= MOLTEN)
            solid_at = float(temperatures[reached[0]]) if len(reached) else None
            ends.append((liquidus if np.isfinite(liquidus) else None, solid_at))
        return {"of": of, "diagrams": np.round(np.nan_to_num(matrices), 6).tolist(), "as_cast": ends}

    return made_once(path, made)


def with_casting(table, chosen, made):
    """`ranked` with two more columns for the finalists: where a casting is solid, and how far below the liquidus."""
    table = table.copy()
    liquidus, solid = np.array(made["as_cast"], float).T  # None becomes NaN
    table.loc[chosen.index, "solid as cast (Scheil) [K]"] = solid
    table.loc[chosen.index, "freezing range as cast (Scheil) [K]"] = liquidus - solid
    return table


def draw(chosen, made, wanted, path):
    """The finalists' phase diagrams."""
    from common.discovery import figures

    panels = {}
    for (_, row), matrix in zip(chosen.iterrows(), made["diagrams"]):
        fate = (
            "keeps all limits" if row["keeps all limits"] == "yes" else "breaks " + row["breaks"].replace("; ", ",\n")
        )
        panels[f"rank {row['rank']}, {row['search']}:\n{fate}"] = np.array(matrix)
    figures.phase_diagrams(panels, PHASES, TEMPERATURES, wanted.name, path)


def in_words(table, wanted):
    """What was found, for the user: the best alloys, or by which limits the nearest miss fails."""
    kept = int((table["keeps all limits"] == "yes").sum())
    best = table.iloc[0]
    shown = ", ".join(f"{e.capitalize()} {best[name]:.2f}" for e, name in WT.items() if best[name] >= 0.005)
    if kept:
        price = f", cost {best['cost']:.3g}" if wanted.cost else ""
        return f"{wanted.name}: {kept} of {len(table)} alloys keep all limits; the first is {shown} wt%{price}"
    broken = []
    for limit in wanted.limits:
        margin = best[f"margin to {limit} [{limit.unit}]"]
        if not margin >= 0:
            broken.append(f"{limit} " + ("(not found)" if np.isnan(margin) else f"by {-margin:.3g} {limit.unit}"))
    words = f"{wanted.name}: no alloy of {len(table)} keeps all limits. The nearest miss, {shown} wt%, breaks "
    return words + "; ".join(broken)


def table_row(job, found):
    """The row of designs.csv of one search."""
    excess, y = np.array(found["excess"]), np.array(found["objective"])
    kept = np.flatnonzero(constraints.keeps_all(excess))
    record = job.record
    cells = {"specification": record.specification.name, "parameters": found["parameters"], "dataset": record.dataset}
    cells |= {name: getattr(record, name) for name in ("method", "seed", "evaluations", "regressor")}
    if record.training is not None:
        cells |= {name: getattr(record.training, name) for name in ("iterations", "recipe")}
    return cells | {
        "run": record,
        "num_kept": len(kept),  # of the evaluations: several codes may clip to one alloy
        "first_kept": kept[0] + 1 if len(kept) else np.nan,
        "best_objective": y[kept].min() if len(kept) else np.nan,
        "least_excess": constraints.total_excess(excess).min(),
        "seconds": sum(found["seconds"]),
        "trained_at": found["trained_at"],
        "evaluated_at": found["evaluated_at"],
    }


def sections(results_dir, own=False):
    """[(title, Markdown)]: how the searches for alloys by specification compare."""
    there = tables(results_dir / ALLOYS, {"designs.csv": "Alloys by specification"}, own)
    return [(title, compared(rows, records)) for title, rows, records in there]


def compared(rows, records):
    """Markdown: a line for each specification and search, means over seeds."""
    body = []
    for (name, method), own in rows.groupby(["specification", "method"], sort=False):
        words = settings_in_words(own, records)  # where these labels do not tell two experiments apart
        for experiment, alike in own.groupby("experiment", sort=False):
            kept = alike[alike["num_kept"] > 0]
            first, best = ("-", "-") if kept.empty else (
                f"{kept['first_kept'].mean():.0f}", f"{kept['best_objective'].mean():.3g}"
            )  # fmt: skip
            line = [name, METHODS[method], words[experiment], f"{alike['parameters'].iloc[0]:,}"]
            line.append(alike["evaluations"].iloc[0])
            line += [f"{len(kept)} of {len(alike)}", f"{alike['num_kept'].mean():.1f}", first, best]
            body.append([*line, f"{alike['least_excess'].mean():.2f}", f"{alike['seconds'].mean():.0f}"])
    header = ["specification", "search", "settings", "parameters", "evaluations", "seeds that found one"]
    header += ["evaluations that keep all", "first after", "best objective", "least excess", "seconds"]
    return (
        "Every composition is judged by CALPHAD. All searches are told the excess over each limit and the objective "
        "(cost, or without costs arcsinh of the largest excess) of each alloy that they ask about; those by BO begin "
        "with the same known alloys, ten at most, clipped to the limits of elements, in the models' spaces as these "
        "decode them. Means over seeds; the excess is in units of 10 K or a "
        f"hundredth of a mole, 0 where all limits are kept. {NOTICE}\n\n" + markdown_table(header, body)
    )


def answer(found, data, tdb, folder):
    """Write alloys.csv and diagrams.png for what some searches found for one specification, and what was asked.

    Args:
        found: what `designs.search` gave for these searches.
        data: AlloyData, of known alloys.
        folder: of the results of this script; the answer has a folder of its own there.

    Returns:
        where it is, in words; what was found is said at once, before minutes of solidification.
    """
    wanted, jobs = found[0][0].record.specification, [job.record for job, _ in found]
    name = re.sub(r"\W+", "_", wanted.name)[:30]
    own = folder / f"{jobs[0].dataset}_{name}-{digest(sorted(job.digest for job in jobs))}"
    table = ranked(found, data)
    chosen = finalists(table)
    write_settings(own / "settings.json", {job.digest: job.stored() for job in jobs})
    write_table(own / "alloys.csv", table)
    print(in_words(table, wanted), flush=True)
    made = solidified(wanted, tdb, compositions_of(chosen), own / "finalists.json")
    write_table(own / "alloys.csv", with_casting(table, chosen, made))
    draw(chosen, made, wanted, own / "diagrams.png")
    failed = [str(rank) for rank, (_, solid) in zip(chosen["rank"], made["as_cast"]) if solid is None]
    note = (
        f"solidification was not computed to its end for rank {', '.join(failed)}: its cells are empty\n"
        if failed
        else ""
    )
    return f"{note}all of them, and the best diagrams: {own}"


def headline(results_dir):
    """No rows: no paper has figures to compare with."""
    return []
