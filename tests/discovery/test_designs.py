"""Searches by specification: limits against brute force, resumed searches, known alloys, and the script."""

import dataclasses
import functools
import re

import numpy as np
import pandas as pd
import pytest
from conftest import TDB, needs_tdb
from toy import SPECIFICATION
from toy import TDB as TOY

from common.discovery import alloys, calphad, design_report, designs
from common.discovery.alloying import ELEMENTS
from common.discovery.specification_files import read_specification
from common.runs import results


@pytest.fixture
def toy(tmp_path):
    """(database, specification) of three elements, as files."""
    (tmp_path / "toy.tdb").write_text(TOY)
    (tmp_path / "toy.toml").write_text(SPECIFICATION)
    return tmp_path / "toy.tdb", tmp_path / "toy.toml"


def job(tdb, wanted, folder, method="composition", evaluations=20, seed=0):
    options = type("Options", (), {"likelihood": "multinomial", "regressor": "ridge", "tdb": tdb})
    options.evaluations = evaluations
    data = alloys.load(alloys.SHIPPED)
    (found,) = designs.jobs_for(alloys.SHIPPED, data, wanted, [method], {}, options, seed, None, folder)
    return found


def brute_force(diagrams, wanted, steps=15):
    """(cost of the cheapest alloy of a grid that keeps all limits, the share of the grid that does)."""
    copper, magnesium = (np.linspace(*wanted.box[ELEMENTS.index(element)], steps) for element in ("CU", "MG"))
    costs = []
    for cu in copper:
        for mg in magnesium:
            own = np.zeros(len(ELEMENTS))
            own[[ELEMENTS.index("CU"), ELEMENTS.index("MG")]] = cu, mg
            excess = wanted.excess(diagrams, own)
            if np.all(excess <= 0):
                costs.append(wanted.objective(own, excess))
    return min(costs), len(costs) / steps**2


def test_limits_are_kept_as_brute_force_finds_them(tmp_path, toy):
    wanted = read_specification(toy[1])
    diagrams = calphad.phase_diagrams(toy[0])
    least, share = brute_force(diagrams, wanted)
    assert 0.05 < share < 0.5  # limits that bind, and can be kept
    _, found = designs.search(job(toy[0], wanted, tmp_path / "c"))
    excess, costs = np.array(found["excess"]), np.array(found["objective"])
    kept = np.all(excess <= 0, 1)
    assert costs[kept].min() < 1.02 * least  # the grid's own step is some 8 % of its cost
    for composition, own in zip(np.array(found["compositions"])[kept][:3], excess[kept]):
        np.testing.assert_allclose(wanted.excess(diagrams, composition), own, atol=1e-9)
        assert np.all(wanted.clipped(composition) == composition)
    _, random = designs.search(job(toy[0], wanted, tmp_path / "c", "random"))
    costs = np.array(random["objective"])[np.all(np.array(random["excess"]) <= 0, 1)]
    assert costs.min(initial=np.inf) > 1.02 * least


def test_a_search_that_was_cut_off_ends_as_a_whole_one(tmp_path, toy, monkeypatch):
    wanted = read_specification(toy[1])
    whole = designs.search(job(toy[0], wanted, tmp_path / "whole", evaluations=14))[1]
    measured, calls = type(wanted).excess, []

    def cut_off(self, *args):
        calls.append(1)
        if len(calls) in (4, 13):  # among the known alloys, and later
            raise KeyboardInterrupt
        return measured(self, *args)

    monkeypatch.setattr(type(wanted), "excess", cut_off)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            designs.search(job(toy[0], wanted, tmp_path / "part", evaluations=14))
    part = designs.search(job(toy[0], wanted, tmp_path / "part", evaluations=14))[1]
    assert len(calls) == 14 + 2  # nothing is computed twice but what was cut off
    for name in ("compositions", "excess", "objective"):
        assert part[name] == whole[name]


def test_searches_begin_with_the_nearest_alloy_of_each_class(toy):
    wanted = read_specification(toy[1])
    data = alloys.load(alloys.SHIPPED)
    near = designs.nearest_known(wanted, data)
    assert len({data.names[data.y[row]] for row in near}) == len(near) == designs.NUM_KNOWN
    estimated = wanted.estimated_excess(data)
    assert estimated[near[0]] == estimated.min() and np.all(np.diff(estimated[near]) >= 0)
    for row in near:
        assert estimated[row] == estimated[data.y == data.y[row]].min()
    name, distance = designs.known_alloy(data.compositions[5], data)
    assert name == data.names[data.y[5]] and distance == 0


@needs_tdb
def test_what_6061_meets_is_met_at_less_cost_than_any_known_alloy(tmp_path):
    """The limits are 6061's own properties; its main elements alone, so that models are soon built.

    The search begins with known alloys, of which some keep the limits: what it proposes itself must be cheaper.
    """
    data = alloys.load(alloys.SHIPPED)
    own = alloys.class_means(data)[1][data.names.index("6061")]
    kept = [ELEMENTS.index(element) for element in ("MG", "SI", "CU")]
    own = np.where(np.isin(np.arange(len(ELEMENTS)), kept), own, 0)
    (tmp_path / "6061.toml").write_text(
        "[elements]\nMg = [0.5, 1.5]\nSi = [0.3, 1.0]\nCu = [0.0, 0.5]\n"
        '[[phases]]\nof = "LIQUID"\ntemperature = 860\nmax = 0.0\n'
        '[[phases]]\nof = ["MG2SI_B", "Q_ALCUMG", "Q_PHASE_L"]\ntemperature = 450\nmin = 0.01\n'
        "[cost]\nMg = 2.5\nSi = 1.0\nCu = 6.0\n"
    )
    wanted = read_specification(tmp_path / "6061.toml")
    diagrams = calphad.phase_diagrams(TDB)
    assert np.all(wanted.excess(diagrams, own) <= 0)
    _, found = designs.search(job(TDB, wanted, tmp_path / "c", evaluations=designs.NUM_KNOWN + 6))
    cost = np.where(np.all(np.array(found["excess"]) <= 0, 1), found["objective"], np.inf)
    known, proposed = cost[: designs.NUM_KNOWN].min(), cost[designs.NUM_KNOWN :].min()
    assert proposed < 0.8 * known and known < wanted.objective(own, None)


SMALL = ["--latent-dim", 3, "--hyper-latent-dim", 2, "--iterations", 2, "--batch-size", 8, "--tasks-per-step", 2]


def specify(call, toy, folder, *options):
    return call("05_discover_alloys.py", "--tdb", toy[0], "--spec", toy[1], "--results-dir", folder, *options)


@pytest.fixture
def coarse_castings(monkeypatch):
    as_cast = functools.partialmethod(calphad.PhaseDiagrams.as_cast, step=20.0)
    monkeypatch.setattr(calphad.PhaseDiagrams, "as_cast", as_cast)


@pytest.mark.slow
def test_alloys_by_specification(tmp_path, toy, call, uncompiled_searches, untraced_trainings, coarse_castings):
    folder, methods = tmp_path / "results", ("composition", "hypervae")
    options = ["--search-by", *methods, "--evaluations", 12, *SMALL]
    done = specify(call, toy, folder, *options)
    assert done.returncode == 0 and re.search(r"a toy: \d+ of \d+ alloys keep all limits", done.stdout)
    (own,) = (folder / "05_discover_alloys").glob("main30_100_a_toy-*")
    assert sorted(p.name for p in own.iterdir()) == ["alloys.csv", "diagrams.png", "finalists.json", "settings.json"]
    table = pd.read_csv(own / "alloys.csv")
    assert table["rank"].tolist() == list(range(1, len(table) + 1)) and 12 <= len(table) <= 24
    kept = table["keeps all limits"] == "yes"
    assert kept.any() and not kept[kept.sum() :].any()  # the best come first ...
    assert table["cost"][kept].is_monotonic_increasing and table["breaks"][kept].isna().all()
    margins = table.filter(like="margin to").to_numpy()
    np.testing.assert_array_equal(np.all(margins >= 0, 1), kept)
    wt = table[list(design_report.WT.values())]
    np.testing.assert_allclose(wt.sum(axis=1) + table["Al [wt%]"], 100, atol=1e-3)
    assert table["Cu [wt%]"].between(0.5, 6).all() and (table["Zn [wt%]"] == 0).all()
    assert table["solid as cast (Scheil) [K]"].notna().sum() == design_report.FINALISTS
    rows = results.read_rows(folder / "05_discover_alloys" / "designs.csv")
    assert set(rows["method"]) == set(methods) and (rows["evaluations"] == 12).all()
    assert (rows["parameters"] > 0).tolist() == [method == "hypervae" for method in rows["method"]]
    assert "## Alloys by specification" in (folder / "README.md").read_text()
    before = {path: path.read_bytes() for path in own.iterdir()}
    specify(call, toy, folder, *options)
    assert {path: path.read_bytes() for path in own.iterdir()} == before


@pytest.mark.slow
def test_the_same_specification_twice_is_one(tmp_path, toy, call, coarse_castings):
    """By another name, too; and the answer's folder does not depend on the order of what was asked."""
    (tmp_path / "other.toml").write_text(SPECIFICATION.replace('"a toy"', '"NA"'))
    folder = tmp_path / "results"
    other = (toy[0], tmp_path / "other.toml")
    options = ["--evaluations", 3, "--search-by"]
    twice = ["--spec", other[1], toy[1], "--tdb", toy[0], "--results-dir", folder]
    done = call("05_discover_alloys.py", *twice, *options, "random", "composition")
    assert done.returncode == 0 and done.stdout.count("NA: ") == 1 and "a toy" not in done.stdout
    specify(call, other, folder, *options, "composition", "random", "random")
    assert len(list((folder / "05_discover_alloys").glob("main30_100_NA-*"))) == 1
    rows = results.read_rows(folder / "05_discover_alloys" / "designs.csv")
    assert len(rows) == 2 and set(rows["specification"]) == {"NA"} and "| NA |" in (folder / "README.md").read_text()


@needs_tdb
@pytest.mark.slow
def test_a_casting_goes_on_where_the_first_solid_has_taken_an_element(monkeypatch):
    """Titanium is soon gone from the melt, and `scheil` finds no equilibrium near none of it."""
    diagrams, parts = calphad.phase_diagrams(TDB), []
    alone = calphad.PhaseDiagrams._solidified

    def counted(self, melt, *rest):
        parts.append(set(melt))
        return alone(self, melt, *rest)

    monkeypatch.setattr(calphad.PhaseDiagrams, "_solidified", counted)
    solids = {}
    for titanium in (0.0, 0.1):
        composition = np.zeros(len(ELEMENTS))
        composition[[ELEMENTS.index(element) for element in ("CU", "MN", "TI")]] = 5.0, 0.9, titanium
        _, temperatures, solid = diagrams.as_cast(composition, step=4.0)
        assert (np.diff(solid) > -1e-6).all() and (np.diff(temperatures) <= 0).all() and solid[-1] == pytest.approx(1)
        at = [890.0, 870.0, 850.0, 830.0]
        solids[titanium] = np.interp(at, temperatures[::-1], solid[::-1])
    assert parts == [{"AL", "CU", "MN"}, {"AL", "CU", "MN", "TI"}, {"AL", "CU", "MN"}]
    np.testing.assert_allclose(solids[0.1], solids[0.0], atol=0.02)


def test_an_alloy_that_cannot_be_cast_has_no_such_value(tmp_path, toy, monkeypatch):
    wanted = read_specification(toy[1])
    ends = {1.0: (900.0, np.array([920.0, 880.0]), np.array([0.0, 0.995])), 2.0: (np.nan, np.empty(0), np.empty(0))}
    monkeypatch.setattr(calphad.PhaseDiagrams, "as_cast", lambda self, own: ends[own[ELEMENTS.index("CU")]])
    compositions = np.zeros((2, len(ELEMENTS)))
    compositions[:, ELEMENTS.index("CU")] = 1, 2
    made = design_report.solidified(wanted, toy[0], compositions, tmp_path / "made.json")
    assert made["as_cast"] == [[900.0, 880.0], [None, None]] or made["as_cast"] == [(900.0, 880.0), (None, None)]
    own = made
    for other in (compositions[::-1], compositions[:1]):  # are none of those
        made = design_report.solidified(wanted, toy[0], other, tmp_path / "made.json")
        assert [end[1] for end in made["as_cast"]] == [{1: 880.0, 2: None}[alloy.max()] for alloy in other]
    made = own
    table = pd.DataFrame({"rank": [1, 2]})
    cast = design_report.with_casting(table, table, made)
    assert cast.iloc[0, 1:].tolist() == [880, 20] and cast.iloc[1, 1:].isna().all()


def test_what_cannot_be_kept_gets_the_nearest_miss(tmp_path, toy, call, coarse_castings):
    toy[1].write_text(SPECIFICATION.replace("max = 0.03", "max = 0.0"))
    done = specify(call, toy, tmp_path / "results", "--search-by", "composition", "--evaluations", 11)
    assert done.returncode == 0 and "no alloy of" in done.stdout
    (path,) = tmp_path.rglob("alloys.csv")
    table = pd.read_csv(path)
    missed = -table["margin to THETA_AL2CU at 450 K at most 0 mole fraction [mole fraction]"][0]
    assert f"breaks THETA_AL2CU at 450 K at most 0 mole fraction by {missed:.3g} mole fraction\n" in done.stdout
    assert (table["keeps all limits"] == "no").all() and table["breaks"].notna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--held-out", "2024"], "--held-out changes nothing with --spec"),
        (["--recipe", "ours", "paper"], "--spec takes one --recipe"),
        (["--search-by", "random", "--rank", "3"], "--rank changes nothing"),
        (["--search-by", "random", "--regressor", "mlp"], "--regressor changes nothing in searches without a model"),
        (["--compare", "regressors"], "--compare changes nothing with --spec"),
    ],
)
def test_bad_requests_are_one_line(tmp_path, toy, call, options, message):
    done = specify(call, toy, tmp_path / "results", *options)
    assert done.returncode == 2 and done.stderr.count("error: ") == 1 and message in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_database_without_an_element_is_refused_before_any_training(tmp_path, toy, call):
    toy[1].write_text(SPECIFICATION.replace("Mg = [0.0", "Zn = [0.0").replace("Mg = 2", "Zn = 2"))
    done = specify(call, toy, tmp_path / "results")
    assert done.returncode == 2 and "has no element ZN" in done.stderr and not (tmp_path / "results").exists()
    toy[1].write_text(SPECIFICATION.replace("THETA_AL2CU", "S_PHASE"))
    done = specify(call, toy, tmp_path / "results")
    assert done.returncode == 2 and "has no phase S_PHASE" in done.stderr and not (tmp_path / "results").exists()
    done = call("05_discover_alloys.py", "--spec", toy[1], "--results-dir", tmp_path / "results")
    assert done.returncode == 2 and "--spec needs a thermodynamic database" in done.stderr


def test_records_differ_in_every_setting(tmp_path, toy):
    wanted = read_specification(toy[1])
    record = job(toy[0], wanted, tmp_path).record
    other = dataclasses.replace(wanted, cost=())
    changes = {
        "data": "x",
        "specification": other,
        "method": "random",
        "regressor": "mlp",
        "tdb": "x",
        "evaluations": 7,
    }
    digests = {dataclasses.replace(record, **{name: value}).digest for name, value in (changes | {"seed": 3}).items()}
    assert len(digests | {record.digest}) == len(changes) + 2
