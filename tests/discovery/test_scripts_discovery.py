"""The discovery scripts as a user calls them."""

import functools
import runpy
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from common.data import datasets
from common.discovery import alloy_options, alloy_search, alloying, alloys, calphad, digits, inverse_map, runs
from common.discovery.alloy_files import write_classes
from common.discovery.distances import cosine_distance
from common.discovery.options import add_search_options
from common.discovery.search import TargetSearch
from common.hypervae import density, options
from common.runs import results


@pytest.fixture
def call(monkeypatch, capsys, uncompiled_searches, untraced_trainings, rough_figures):
    """Calls a script in this process, with trainings of two steps; returns what it printed."""
    few_starts = functools.partialmethod(TargetSearch.by_gradients, num_starts=3)
    monkeypatch.setattr(TargetSearch, "by_gradients", few_starts)

    def run_here(script, *options):
        small = ["--latent-dim", 3, "--hyper-latent-dim", 2]
        small += ["--iterations", 2, "--batch-size", 8, "--tasks-per-step", 2]
        if "regressors" in options:  # which train no such models
            small = []
        monkeypatch.setattr(sys, "argv", [script, *map(str, [*options, *small])])
        runpy.run_path(str(ROOT / script), run_name="__main__")
        return capsys.readouterr().out

    return run_here


@pytest.fixture
def refused(monkeypatch, capsys):
    """Calls a script in this process; bad input ends it with exit code 2 and one line, which is returned."""

    def run_here(script, *options):
        monkeypatch.setattr(sys, "argv", [script, *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert ended.value.code == 2 and len(lines) == 1
        return lines[0]

    return run_here


def test_an_unseen_class_is_searched_for_and_a_second_call_repeats_nothing(digits_8x8, call):
    results_dir = digits_8x8.parent / "discovery"
    options = ["--dataset", digits_8x8, "--results-dir", results_dir, "--held-out", "1", "--target-index", 3]
    options += ["--evaluations", 9, "--target-pixels", "grey"]
    assert "| closer than VAE + BO |" in call("04_discover_digits.py", *options)
    folder = results_dir / "04_discover_digits"
    table = results.read_rows(folder / "figure3a.csv")
    assert list(table.columns) == ["run", *digits.FIGURE3A, "trained_at", "evaluated_at", "experiment"]
    assert set(table["target_index"]) == {3} and set(table["digit"]) == {1}
    assert (table.groupby(["digit", "method"]).size() == 9).all() and table["method"].nunique() == 8
    assert table["cosine_distance"].between(0, 1).all() and (table["best_so_far"] <= table["cosine_distance"]).all()
    pd.testing.assert_frame_equal(results.read_rows(folder / "figure3a.csv.gz"), table)
    bounds = results.read_rows(folder / "bounds.csv").set_index("method")["cosine_distance"]
    assert bounds["vae"] <= table[table["method"] == "vae"]["best_so_far"].min() + 1e-6
    protocol = pd.read_csv(folder / "summary.csv")["protocol"].unique().item()
    (figures,) = folder.glob("*/")
    assert figures.name == f"small.npz_grey-{protocol}"
    assert [path.name[:8] for path in sorted(figures.iterdir())] == ["figure2-", "figure3a"]
    assert "## Novelty discovery" in (results_dir / "README.md").read_text()
    # The models have not seen the class.
    (record,) = results.read_records(folder / "bounds.csv").values()
    data = datasets.load(digits_8x8, digits_8x8.parent)
    rest = datasets.restrict(data, [0, *range(2, 10)]).fingerprint()
    assert (
        record["vae"]["fingerprint"] == record["hypervae"]["fingerprint"] == rest
        and record["data"] == data.fingerprint()
    )
    checkpoints = [path.name.rpartition("-")[0] for path in (results_dir / "checkpoints").iterdir()]
    assert sorted(checkpoints) == ["discovery", "hypervae", "vae"]
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    call("04_discover_digits.py", *options)
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--held-out", "12"], "classes 0 to 9, not 12"),
        (["--held-out", "4-1"], "did you mean 1-4"),
        (["--held-out", "1", "--target-index", "900"], "not 900: choose --target-index"),
        (["--held-out", "1", "--evaluations", "2"], "raise --evaluations"),
        (["--held-out", "1", "--steps", "1"], "give 2 or more"),
        (["--held-out", "1", "--model", "vae"], "leave --model out"),
    ],
)
def test_bad_searches_are_one_line_and_exit_code_2(tmp_path, digits_8x8, refused, options, message):
    line = refused("04_discover_digits.py", "--dataset", digits_8x8, "--results-dir", tmp_path / "results", *options)
    assert message in line and not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def few_alloys(tmp_path_factory):
    """A file of made-up phase matrices, three classes of eight "alloys"."""
    rng = np.random.default_rng(0)
    designations = np.repeat(["1100", "2024", "6061"], 8)
    shares = np.concatenate([rng.dirichlet(np.arange(1, 5) * scale, (8, 32)) for scale in (1, 3, 9)])
    matrices = np.zeros((24, len(calphad.PHASES), 32), np.float16)
    matrices[:, :4] = shares.transpose(0, 2, 1)
    path = tmp_path_factory.mktemp("alloys") / "few.npz"
    compositions = rng.uniform(0.1, 2, (24, len(alloying.ELEMENTS)))
    write_classes(path, {"matrices": matrices, "compositions": compositions, "designations": designations})
    return path


def nearest_known(data, scale=1.0):
    """Distance of class 2024's mean diagram to the nearest alloy of another class, by brute force."""
    target = (data.matrices[data.y == 1].mean(0) * scale).ravel()
    known = (data.matrices[data.y != 1] * scale).reshape(16, -1)
    cosine = known @ target / np.linalg.norm(known, axis=1) / np.linalg.norm(target)
    return 1 - cosine.max()


def test_an_unseen_alloy_is_searched_for_and_a_second_call_repeats_nothing(few_alloys, call, monkeypatch):
    results_dir, learned_from = few_alloys.parent / "results", []

    class Recorded(inverse_map.InverseMap):
        def __init__(self, kind, matrices, compositions, seed=0):
            learned_from.append(matrices)
            super().__init__(kind, matrices, compositions, seed)

    monkeypatch.setattr(inverse_map, "InverseMap", Recorded)
    options = ["--alloys", few_alloys, "--results-dir", results_dir, "--held-out", "2024", "--evaluations", 9]
    assert "no --tdb" in call("05_discover_alloys.py", *options)
    data = alloys.load(few_alloys)
    (known,) = learned_from  # the map has not seen the class
    np.testing.assert_array_equal(known, data.matrices[data.y != data.names.index("2024")])
    folder = results_dir / "05_discover_alloys"
    table = results.read_rows(folder / "figure3b.csv")
    assert (table.groupby(["alloy", "method"]).size() == 9).all() and table["method"].nunique() == 8
    alloy = results.read_rows(folder / "table5.csv").set_index("method")
    assert len(alloy) == 8 and alloy["phase_error"].isna().all() and (alloy["element_error"] > 0).all()
    assert ((alloy["element_error"] <= 20) == alloy["in_class"]).all()
    assert alloy.loc["nearest_known", "cosine_distance"] == pytest.approx(
        nearest_known(alloys.load(few_alloys)), rel=1e-3
    )
    found = [path.name.partition("-")[0] for path in folder.glob("figures/few.*_cosine-*/*.png")]
    assert sorted(found) == ["2024", "figure3b.png"]
    assert "Table 5" in (results_dir / "README.md").read_text()
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    models = [path for path in (results_dir / "checkpoints").iterdir() if not path.name.startswith("discovery-")]
    for path in models:
        path.rename(path.with_name(f"away-{path.name}"))
    call("05_discover_alloys.py", *options)
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == before
    assert len(models) == 2 and not any(path.exists() for path in models)  # what was found needs no model
    for path in models:
        path.with_name(f"away-{path.name}").rename(path)


class MadeUpDiagrams:
    """Stands for CALPHAD: diagrams that follow from compositions alone, of four phases."""

    def check(self, element_sets):
        pass

    def real_diagram(self, composition, phases):
        rates = np.outer(np.arange(1, 5), np.linspace(0.5, 1.5, 32)) * (1 + np.sum(composition))
        shares = np.zeros((len(phases), 32))
        shares[:4] = np.exp(-rates) / np.exp(-rates).sum(0)
        return shares


@pytest.fixture
def made_up_tdb(monkeypatch, tmp_path):
    """The path of a database whose diagrams are made up."""
    monkeypatch.setattr(calphad, "phase_diagrams", lambda tdb: MadeUpDiagrams())
    monkeypatch.setattr(alloy_options, "phase_diagrams", calphad.phase_diagrams)
    (tmp_path / "made_up.tdb").write_text("a database")
    return tmp_path / "made_up.tdb"


@pytest.mark.parametrize(("start", "begins"), [("6061", "6061"), ("1100", "1100"), ("alloy", None)])
def test_searches_begin_with_the_class_that_was_named(few_alloys, monkeypatch, start, begins):
    """Or with the nearest one, here by the distances of the classes' means."""
    data = alloys.load(few_alloys)
    image = alloy_search.target_of(data, "2024", "mean", 0)[0]
    record = SimpleNamespace(target=SimpleNamespace(held_out="2024"), objective="cosine", start=start, realised="")
    monkeypatch.setattr(runs, "target_search", lambda job, known, start, **options: (known[start], None))
    job = SimpleNamespace(record=record, source=few_alloys, image=image)
    found = alloy_search._Bench(job).search[..., 0]
    if begins is None:
        means = {name: data.matrices[data.y == label].mean(0) for label, name in enumerate(data.names)}
        begins = min(("1100", "6061"), key=lambda name: float(cosine_distance(means[name][..., None], image)))
    np.testing.assert_array_equal(found, data.matrices[data.y == data.names.index(begins)])


def test_column_b_counts_phases_that_no_known_alloy_has(few_alloys):
    data = alloys.load(few_alloys)
    decoded, real = data.matrices[0], np.zeros((len(calphad.PHASES), 32))
    real[:4] = 0.8 * data.matrices[0]
    assert alloys.in_all_phases(decoded, data.phases)[:4] == pytest.approx(decoded)
    known = alloys.phase_error(decoded, real[:4])
    real[-1] = 0.2
    whole = alloys.phase_error(alloys.in_all_phases(decoded, data.phases), real)
    assert 0 < known < 20 and whole == pytest.approx((4 * known + 100) / 5)


@pytest.mark.slow
def test_searches_through_calphad_find_real_diagrams(few_alloys, call, made_up_tdb):
    results_dir = few_alloys.parent / "results"  # with the models of the test above, if it has run
    options = ["--alloys", few_alloys, "--results-dir", results_dir, "--held-out", "2024", "--evaluations", 3]
    options += ["--tdb", made_up_tdb, "--through-calphad", "--calphad-evaluations", 4]
    call("05_discover_alloys.py", *options, "--objective", "scaled_cosine")
    table = results.read_rows(results_dir / "05_discover_alloys" / "table5.csv").set_index("method")
    table = table[table["objective"] == "scaled_cosine"]
    through = list(alloy_search.CALPHAD_STARTS)
    assert len(table) == 10 and (table["phase_error"] >= 0).all()
    assert table["calphad_evaluations"].to_dict() == {name: 4 if name in through else 0 for name in table.index}
    assert table["run"].nunique() == 2  # without CALPHAD's searches the others stand as they are
    # CALPHAD's own diagram of the composition, where a decoded one and made-up alloys are far from theirs.
    assert (table.loc[through, "phase_error"] < 1e-6).all()
    assert (table.drop(through)["phase_error"] > 1).all()
    data = alloys.load(few_alloys)
    scale = alloys.phase_scale(data.matrices[data.y != 1])[..., 0]
    assert table.loc["nearest_known", "cosine_distance"] == pytest.approx(nearest_known(data, scale), rel=1e-3)


@pytest.mark.slow
def test_every_design_is_judged_by_its_real_diagram(few_alloys, call, made_up_tdb):
    results_dir = few_alloys.parent / "results"  # with the models of the tests above, if they have run
    options = ["--alloys", few_alloys, "--results-dir", results_dir, "--held-out", "2024", "--evaluations", 4]
    call("05_discover_alloys.py", *options, "--tdb", made_up_tdb, "--realise", "--start", "nothing")
    records = results.read_records(results_dir / "05_discover_alloys" / "table5.csv")
    realised = [
        run for run, own in records.items() if own.get("discovery", {}).get("realised", "").startswith("ridge ")
    ]
    table = results.read_rows(results_dir / "05_discover_alloys" / "table5.csv")
    table = table[table["run"].isin(realised)].set_index("method")
    searches = [name for name in table.index if name not in ("nearest_known", "own_alloy")]
    assert len(searches) == 6 and (table.loc[searches, "phase_error"] < 1e-6).all()
    assert "start nothing" in (results_dir / "README.md").read_text()  # other protocols than the tests' above


SOME_LIKELIHOODS = ("multinomial", "multinomial_splines", "continuous_bernoulli")


@pytest.mark.slow
def test_regressors_and_likelihoods_are_compared(few_alloys, call, monkeypatch):
    monkeypatch.setattr(density, "Evaluator", functools.partial(density.Evaluator, compiled=False))
    results_dir = few_alloys.parent / "compared"
    monkeypatch.setattr(alloys, "BODIES", {name: alloys.BODIES[name] for name in SOME_LIKELIHOODS})
    for what in ("regressors", "likelihoods"):
        call("05_discover_alloys.py", "--alloys", few_alloys, "--results-dir", results_dir, "--compare", what)
    maps = results.read_rows(results_dir / "05_discover_alloys" / "inverse_map.csv")
    assert len(maps) == len(alloy_options.REGRESSORS) * 2 and set(maps["held_out"]) == {"rows", "classes"}
    assert (maps["r2"] < 0.5).all()  # made-up alloys: nothing to learn
    found = results.read_rows(results_dir / "05_discover_alloys" / "likelihoods.csv")
    assert found["run"].nunique() == len(found) == 2 * len(SOME_LIKELIHOODS)
    found = found.set_index(["likelihood", "model"])
    for name in ("multinomial", "multinomial_splines"):
        assert (found.loc[name, "column_sum_error"] < 1e-5).all()
    assert (found.loc["continuous_bernoulli", "column_sum_error"] > 1e-2).all()  # nothing makes its columns sum to 1
    assert found["phase_error"].between(1, 100).all()
    # Weights of their own: each likelihood's folder has another body.
    bodies = [
        record["training"]["body"]
        for record in results.read_records(results_dir / "05_discover_alloys/x").values()
        if "training" in record
    ]
    assert sorted(set(bodies)) == sorted(alloys.BODIES.values())
    text = (results_dir / "README.md").read_text()
    assert "kernel_ridge" in text and "continuous_bernoulli" in text


def test_what_uses_an_option_is_said_of_each_of_the_script():
    parser = options.parser("", "", data_option="--alloys")
    shared = {action.dest for action in parser._actions}
    search = add_search_options(parser)
    options.add_fit_u(search)
    alloy_options.add_alloy_options(parser, search)
    own = {action.option_strings[0] for action in parser._actions if action.dest not in shared}
    everyone = {action.option_strings[0] for action in parser._actions}
    assert own < alloy_options.USED_BY.keys() <= everyone


SMALL_TDB = "ELEMENT AL FCC_A1 26.98 4577 28.3 !\nPHASE FCC_A1 % 1 1 !\nCONSTITUENT FCC_A1 :AL: !\n"
HEADER = "designation,element,min_wt,max_wt,set\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--held-out", "9999"], "no alloy class 9999: choose"),
        (["--held-out", "paper"], "no alloy class 6053: choose"),
        (["--through-calphad"], "--through-calphad needs a thermodynamic database"),
        (["--refine", "2"], "--refine needs a thermodynamic database"),
        (["--realise", "--refine", "2", "--tdb", "all.tdb"], "leave --refine out"),
        (["--realise"], "--realise needs a thermodynamic database"),
        (["--compare", "likelihoods", "--model", "metavae"], "leave --model out, or name one of these"),
        (["--start", "9999"], "--start 9999: give one of classes, nothing, alloy, or a class, "),
        (["--start", "2024", "--held-out", "2024"], "2024 is held out: searches for it cannot begin with it"),
        (["--binarize", "threshold"], "leave --binarize out"),
        (["--tdb", "none.tdb"], "none.tdb is missing"),
        (["--tdb", "none.tdb", "--spec", "limits.toml"], "none.tdb is missing"),
        (["--tdb", "small.tdb"], "no element CR"),
        (["--make-data"], "name it with --tdb"),
        (["--make-data", "--tdb", "small.tdb", "--limits", "over.csv"], "over 100 wt%"),
        (
            ["--make-data", "--tdb", "small.tdb", "--limits", "good.csv", "--held-out", "9999"],
            "no composition limits for 9999",
        ),
        (["--make-data", "--tdb", "small.tdb", "--limits", "good.csv"], "no element CU"),
    ],
)
def test_bad_alloys_are_one_line_and_exit_code_2(tmp_path, few_alloys, refused, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.tdb").write_text(SMALL_TDB)
    (tmp_path / "limits.toml").write_text("[elements]\nSi = [0, 1]\n")
    (tmp_path / "all.tdb").write_text("read after that")
    (tmp_path / "over.csv").write_text(HEADER + "2024,Cu,3,60,main30\n2024,Mg,1,50,main30\n")
    (tmp_path / "good.csv").write_text(HEADER + "2024,Cu,3.8,4.9,main30\n")
    where = ["--alloys", few_alloys, "--results-dir", tmp_path / "results"]
    if "--make-data" in options:
        where = ["--data-dir", tmp_path]
    line = refused("05_discover_alloys.py", *where, *options)
    assert message in line and not (tmp_path / "results").exists() and not list(tmp_path.rglob("*.npz"))
