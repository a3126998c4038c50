"""The discovery scripts as a user calls them."""

import numpy as np
import pandas as pd
import pytest
from conftest import TDB, assert_refused, needs_tdb, run

from common.discovery import alloys, calphad


def test_an_unseen_class_is_searched_for_and_a_second_call_repeats_nothing(digits_8x8):
    results = digits_8x8.parent / "discovery"
    options = ["--dataset", digits_8x8, "--results-dir", results, "--iterations", 100, "--held-out", "1,4"]
    options += ["--target-index", 3, "--evaluations", 15, "--target-pixels", "grey", "--jobs", 2]
    done = run("04_discover_digits.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = results / "04_discover_digits"
    table = pd.read_csv(folder / "figure3a.csv")
    columns = [
        "digit",
        "target_index",
        "method",
        "seed",
        "evaluation",
        "step",
        "cosine_distance",
        "best_so_far",
        "seconds",
    ]
    assert list(table.columns[:9]) == columns and set(table["target_index"]) == {3} and set(table["digit"]) == {1, 4}
    assert (table.groupby(["digit", "method"]).size() == 15).all() and table["method"].nunique() == 7
    assert table["cosine_distance"].between(0, 1).all() and (table["best_so_far"] <= table["cosine_distance"]).all()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "figure3a.csv.gz"), table)
    bounds = pd.read_csv(folder / "bounds.csv").set_index(["digit", "method"])["cosine_distance"]
    final = table.groupby(["digit", "method"])["best_so_far"].min()
    assert all(bounds[digit, "vae"] <= final[digit, "vae"] + 1e-6 for digit in (1, 4))
    assert sorted(p.name for p in folder.glob("*/*.png")) == ["figure2.png", "figure3a.png"]
    assert "## Novelty discovery" in (results / "README.md").read_text()
    # The models have not seen the class: 9 tasks, none of its images.
    assert len(list(results.glob("checkpoints/small-0-2-3-4-5-6-7-8-9/*/*/seed0/state.weights.h5"))) == 2
    before = (folder / "figure3a.csv").read_bytes()
    again = run("04_discover_digits.py", *options)
    assert again.returncode == 0 and (folder / "figure3a.csv").read_bytes() == before


@pytest.mark.parametrize(
    "options, message",
    [
        (["--held-out", "12"], "classes 0 to 9, not 12"),
        (["--held-out", "1", "--target-index", "900"], "not 900: choose --target-index"),
        (["--held-out", "1", "--evaluations", "2"], "raise --evaluations"),
        (["--held-out", "1", "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers"),
    ],
)
def test_bad_searches_are_one_line_and_exit_code_2(tmp_path, digits_8x8, options, message):
    done = run("04_discover_digits.py", "--dataset", digits_8x8, "--results-dir", tmp_path / "results", *options)
    assert_refused(done, message)
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def few_alloys(tmp_path_factory):
    """A file of made-up phase matrices, three classes of eight "alloys"."""
    rng = np.random.default_rng(0)
    designations = np.repeat(["1100", "2024", "6061"], 8)
    shares = np.concatenate([rng.dirichlet(np.arange(1, 5) * scale, (8, 32)) for scale in (1, 3, 9)])
    matrices = np.zeros((24, len(calphad.PHASES), 32), np.float16)
    matrices[:, :4] = shares.transpose(0, 2, 1)
    path = tmp_path_factory.mktemp("alloys") / "few.npz"
    compositions = rng.uniform(0.1, 2, (24, len(calphad.ELEMENTS)))
    alloys._write_npz(path, {"matrices": matrices, "compositions": compositions, "designations": designations})
    return path


def test_an_unseen_alloy_is_searched_for_and_a_second_call_repeats_nothing(few_alloys):
    results = few_alloys.parent / "results"
    options = [
        "--alloys",
        few_alloys,
        "--results-dir",
        results,
        "--iterations",
        10,
        "--held-out",
        "2024",
        "--evaluations",
        9,
    ]
    done = run("05_discover_alloys.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no --tdb" in done.stdout
    folder = results / "05_discover_alloys"
    table = pd.read_csv(folder / "figure3b.csv")
    assert (table.groupby(["alloy", "method"]).size() == 9).all() and table["method"].nunique() == 7
    alloy = pd.read_csv(folder / "table5.csv").set_index("method")
    assert len(alloy) == 7 and alloy["phase_error"].isna().all() and (alloy["element_error"] > 0).all()
    assert ((alloy["element_error"] <= 20) == alloy["in_class"]).all()
    # The nearest known alloy is one of the other classes, found by brute force.
    data = alloys.load(few_alloys)
    mean = data.matrices[data.y == 1].mean(0).ravel()
    others = data.matrices[data.y != 1].reshape(16, -1)
    cosine = others @ mean / np.linalg.norm(others, axis=1) / np.linalg.norm(mean)
    assert alloy.loc["nearest_known", "cosine_distance"] == pytest.approx(1 - cosine.max(), rel=1e-3)
    assert sorted(p.name for p in folder.glob("figures/cosine/*.png")) == ["2024.png", "figure3b.png"]
    assert "Table 5" in (results / "README.md").read_text()
    before = (folder / "table5.csv").read_bytes()
    again = run("05_discover_alloys.py", *options)
    assert again.returncode == 0 and (folder / "table5.csv").read_bytes() == before


@needs_tdb
def test_a_search_through_calphad_finds_real_diagrams(few_alloys):
    results = few_alloys.parent / "results"  # with the models of the test above, if it has run
    options = [
        "--alloys",
        few_alloys,
        "--results-dir",
        results,
        "--iterations",
        10,
        "--held-out",
        "2024",
        "--evaluations",
        3,
    ]
    options += ["--tdb", TDB, "--through-calphad", "--calphad-evaluations", 2, "--objective", "scaled_cosine"]
    done = run("05_discover_alloys.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "05_discover_alloys" / "table5.csv").set_index("method")
    table = table[table["objective"] == "scaled_cosine"]
    assert len(table) == 8 and (table["phase_error"] >= 0).all()
    # CALPHAD's own diagram of the composition, where a decoded one and made-up alloys are far from theirs.
    assert table.loc["hypervae_calphad", "phase_error"] < 1e-6
    assert (table.drop("hypervae_calphad")["phase_error"] > 1).all()
    data = alloys.load(few_alloys)
    scale = alloys.phase_scale(data.matrices[data.y != 1])[..., 0]
    target, known = (
        (data.matrices[data.y == 1].mean(0) * scale).ravel(),
        (data.matrices[data.y != 1] * scale).reshape(16, -1),
    )
    cosine = known @ target / np.linalg.norm(known, axis=1) / np.linalg.norm(target)
    assert table.loc["nearest_known", "cosine_distance"] == pytest.approx(1 - cosine.max(), rel=1e-3)


def test_regressors_and_likelihoods_are_compared(few_alloys):
    results = few_alloys.parent / "compared"
    options = ["--alloys", few_alloys, "--results-dir", results, "--iterations", 10]
    for what in ("regressors", "likelihoods"):
        done = run("05_discover_alloys.py", *options, "--compare", what)
        assert done.returncode == 0, done.stderr[-2000:]
    maps = pd.read_csv(results / "05_discover_alloys" / "inverse_map.csv")
    assert set(zip(maps["regressor"], maps["held_out"])) == {
        (r, h) for r in alloys.REGRESSORS for h in ("rows", "classes")
    }
    assert (
        np.isfinite(maps[["r2", "element_error"]]).all(axis=None) and (maps["r2"] < 0.5).all()
    )  # made-up alloys: nothing to learn
    found = pd.read_csv(results / "05_discover_alloys" / "likelihoods.csv").set_index(["likelihood", "model"])
    assert len(found) == 4 and (found.loc["multinomial", "column_sum_error"] < 1e-5).all()
    assert (found.loc["continuous_bernoulli", "column_sum_error"] > 1e-2).all()  # nothing there makes a column sum to 1
    text = (results / "README.md").read_text()
    assert "kernel_ridge" in text and "continuous_bernoulli" in text


SMALL_TDB = "ELEMENT AL FCC_A1 26.98 4577 28.3 !\nPHASE FCC_A1 % 1 1 !\nCONSTITUENT FCC_A1 :AL: !\n"
HEADER = "designation,element,min_wt,max_wt,set\n"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--held-out", "9999"], "no alloy class 9999: choose"),
        (["--through-calphad"], "name it with --tdb"),
        (["--tdb", "none.tdb"], "none.tdb is missing"),
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
def test_bad_alloys_are_one_line_and_exit_code_2(tmp_path, few_alloys, options, message):
    (tmp_path / "small.tdb").write_text(SMALL_TDB)
    (tmp_path / "over.csv").write_text(HEADER + "2024,Cu,3,60,main30\n2024,Mg,1,50,main30\n")
    (tmp_path / "good.csv").write_text(HEADER + "2024,Cu,3.8,4.9,main30\n")
    done = run(
        "05_discover_alloys.py", "--alloys", few_alloys, "--results-dir", tmp_path / "results", *options, cwd=tmp_path
    )
    assert_refused(done, message)
    assert not list(tmp_path.rglob("*.npz"))
