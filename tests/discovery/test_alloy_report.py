"""Table 5 from hand-made rows: medians over seeds, and all methods at equal seeds."""

import dataclasses

from test_records import SEARCH, Training, discovery
from test_search_report import COMMITS, digit_rows

from common.discovery import alloy_report, alloy_search
from common.discovery.records import FoundAlloys, Target, ThroughCalphad, columns
from common.discovery.search_summary import COMPARED
from common.runs.results import read_records


def alloy_rows(alloy, seed, error, through=None):
    """Rows of table5.csv of one class and seed: errors from `error` percent up, through CALPHAD `through`."""
    models = {name: Training(f"without {alloy}", name, seed) for name in ("vae", "hypervae")}
    search = dataclasses.replace(SEARCH, seed=seed)
    target = dict(target=Target(alloy, "mean", alloy), target_kind="mean", objective="cosine", known_tasks=True)
    found = FoundAlloys(discovery(**models, search=search, **target), "ridge", "t")
    cells = columns(found.discovery) | {"alloy": alloy, "objective": "cosine", "likelihood": "multinomial"} | COMMITS
    cells |= {"regressor": "ridge", "phase_error": 1.0, "in_class": error <= 20}
    rows = []
    for number, method in enumerate(("vae", *COMPARED, "nearest_known", "own_alloy")):
        own = {"run": found, "method": method, "element_error": error + number, "calphad_evaluations": 0}
        rows.append(cells | own | {"cosine_distance": 0.1 - 0.01 * number})
    if through is not None:
        own = {"run": ThroughCalphad(found, 100), "method": "hypervae_calphad", "calphad_evaluations": 100}
        rows.append(cells | own | {"element_error": through, "cosine_distance": 0.01})
    return rows


def cells_of(text):
    """{(first cell, column): cell} of a Markdown table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    header, _, *body = lines
    return {(row[0], name): cell for row in body for name, cell in zip(header, row)}


def test_table5_has_a_second_table_at_the_seeds_of_the_searches_through_calphad(tmp_path):
    rows = [row for seed in (0, 1, 2) for row in alloy_rows("2024", seed, 10.0 + 10 * seed, 5.0 if seed == 0 else None)]
    _, table = alloy_search.write_tables(tmp_path, *digit_rows_as_alloys(), rows)
    text = alloy_report.table5(table, read_records(tmp_path / "table5.csv"))
    every, same = (part for part in text.split("\n\n") if part.startswith("| alloy |"))
    every, same = cells_of(every), cells_of(same)
    through = "hypervae_calphad, 1,200 + 100 evaluations"  # of four searches, and its own
    assert every["seeds", "vae"] == "3" and every["seeds", through] == "1" == same["seeds", "vae"]
    assert every["2024", "vae"] == "20.0 / 1.0" and same["2024", "vae"] == "10.0 / 1.0"  # median over seeds; seed 0
    assert every["2024", through] == same["2024", through] == "5.0 / 1.0"
    assert every["2024", alloy_report.CLOSEST] == "24.0 / 1.0"  # the joint search ends closest
    assert every["within 20 %", "vae"] == "1 of 1" and every["within 20 %", "hypervae_once"] == "0 of 1"
    assert every["2024", "paper"] == "31.5 / 3.5"
    assert "at the seeds of the searches through CALPHAD (0)" in text


def digit_rows_as_alloys():
    """(rows of figure3b.csv, of bounds.csv) that stand for an alloy's."""
    curves, bounds = digit_rows((1, 5), 0, 4)
    more = {"alloy": "2024", "objective": "cosine", "likelihood": "multinomial"}
    return [row | more for row in curves], [row | more for row in bounds]


def test_no_tables_no_sections(tmp_path):
    assert alloy_report.sections(tmp_path) == [] and alloy_report.headline(tmp_path) == []
