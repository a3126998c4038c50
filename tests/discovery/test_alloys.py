"""Alloys: compositions, equilibria against plain pycalphad and handbooks, files."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ALLOYS, ROOT, TDB, needs_tdb

from common.discovery import alloy_making, alloying, alloys, calphad
from common.discovery.alloy_files import write_classes
from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import PHASES, TEMPERATURES
from common.discovery.records import file_fingerprint
from common.errors import InputError

LIMITS = ALLOYS / "alloy_limits.csv"
SHIPPED = ROOT / "alloys" / "main30_100.npz"
TABLE = "designation,element,min_wt,max_wt,set\n"


@pytest.fixture(scope="module")
def diagrams():
    return calphad.phase_diagrams(TDB)  # as the code under test has it: the file is read once


def composition(**wt):
    return np.array([wt.get(element, 0.0) for element in ELEMENTS])


def test_a_scaled_phase_counts_relative_to_its_largest_share():
    matrices = np.zeros((2, 3, 4))
    matrices[0, 0], matrices[1, 1, 2], matrices[0, 2, 1] = 0.9, 0.5, 0.001
    np.testing.assert_allclose(
        alloys.phase_scale(matrices)[:, 0, 0], [1 / 0.9, 2, 100]
    )  # a trace within the decoder's error


def test_mole_fractions_by_hand():
    x = alloying.mole_fractions(composition(CU=10.0, MG=1e-5))
    moles = 90 / 26.9815, 10 / 63.546
    assert list(x) == ["AL", "CU", "MG"]  # what is absent is left out
    assert x["CU"] == pytest.approx(moles[1] / sum(moles), rel=1e-5)
    assert x["MG"] == 1e-5  # a trace is floored


def test_column_a_by_hand():
    """Each main element by its own amount: 4 read as 5 is 25 %, 1 read as 0.5 is 50 %; traces do not count."""
    target, found = composition(CU=4.0, MG=1.0, SI=0.05), composition(CU=5.0, MG=0.5, SI=1.0)
    assert alloys.element_error(found, target) == pytest.approx(37.5)
    assert alloys.element_error(composition(SI=0.3), composition(SI=0.2)) == pytest.approx(50)  # its most abundant


@pytest.mark.parametrize("bad", [composition(CU=60, MG=40), composition(CU=-1), composition(CU=np.nan), np.ones(3)])
def test_impossible_compositions_are_refused(bad):
    with pytest.raises(InputError, match="wt%"):
        alloying.mole_fractions(bad)


def test_drawn_compositions_keep_their_limits_and_their_prefix(tmp_path):
    (tmp_path / "limits.csv").write_text(
        TABLE + "6053,Si,0.495,0.91,main30\n6053,Mg,1.1,1.4,main30\n6053,V,0,1,main30\n"
    )
    limits = alloying.read_limits(tmp_path / "limits.csv")
    assert limits == {"6053": {"SI": (0.495, 0.91), "MG": (1.1, 1.4)}}
    drawn = alloying.draw_compositions("6053", limits["6053"], 200, 0)
    si, mg = drawn[:, ELEMENTS.index("SI")], drawn[:, ELEMENTS.index("MG")]
    assert mg.min() >= 1.1 and mg.max() <= 1.4 and (si >= 0.45 * mg).all() and (si <= 0.65 * mg).all()
    assert drawn.sum() == pytest.approx(si.sum() + mg.sum())
    np.testing.assert_array_equal(alloying.draw_compositions("6053", limits["6053"], 5, 0), drawn[:5])


def test_designations_may_have_letters_and_a_table_needs_no_sets(tmp_path):
    text = "designation,element,min_wt,max_wt\nAlSi10Mg,Si,9,11\nEN-AW.6060, si,0.3,0.6\n007,SI,1,2\n7,SI,1,2\n"
    (tmp_path / "limits.csv").write_text(text)
    limits = alloying.read_limits(tmp_path / "limits.csv")
    assert limits["EN-AW.6060"] == {"SI": (0.3, 0.6)} and list(limits) == ["AlSi10Mg", "EN-AW.6060", "007", "7"]
    silicon = ELEMENTS.index("SI")
    places = {  # where in its limits each alloy's first draw lies: no two alike
        name: (alloying.draw_compositions(name, own, 1, 0)[0, silicon] - own["SI"][0]) / np.ptp(own["SI"])
        for name, own in limits.items()
    }
    assert len({round(place, 9) for place in places.values()}) == 4
    drawn = alloying.draw_compositions("7", limits["7"], 1, 0)[0, silicon]
    assert drawn == np.random.default_rng([0, 7, 0]).uniform(1, 2)


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,2\n", "no table of limits"),
        (TABLE + "1100,Si,0,x,main30\n", "no table of limits"),
        (TABLE + "1100,Si,0,1,extra\n", "no alloys of set"),
        (TABLE + "1100,Pb,0,1,main30\n", "element Pb"),
        (TABLE + "1100,NA,0,1,main30\n", "element NA"),
        (TABLE + "../x,Si,0,1,main30\n", "designation '../x'"),
        (TABLE + ",Si,0,1,main30\n", "designation ''"),
        (TABLE + "1100,Si,2,1,main30\n", "no interval"),
        (TABLE + "1100,Si,0,60,main30\n1100,Cu,0,40,main30\n", "over 100 wt%"),
    ],
)
def test_bad_limits_are_one_line(tmp_path, text, message):
    (tmp_path / "limits.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        alloying.read_limits(tmp_path / "limits.csv")
    with pytest.raises(InputError, match="missing"):
        alloying.read_limits(tmp_path / "none.csv")


def test_the_papers_classes_are_asked_for_by_one_word():
    data = alloys.load(SHIPPED)
    asked = alloys.asked_for(["paper", "2024", "1100"], data)
    assert len(asked) == 10 and asked[-1] == "1100" and set(alloys.PAPER_TABLE_5) | {"6463"} == set(asked[:9])
    assert alloys.asked_for(None, data) == alloys.hardest_classes(data)


@needs_tdb
def test_equilibria_agree_with_plain_pycalphad(diagrams):
    from pycalphad import equilibrium
    from pycalphad import variables as v

    own = composition(CU=4.4, MG=1.5, MN=0.6)  # 2024's main elements
    temperatures = TEMPERATURES[[0, 12, 24, 27, 31]]
    matrix = diagrams.matrix(own)
    assert matrix.shape == (len(PHASES), len(TEMPERATURES))
    np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-6)
    x = alloying.mole_fractions(own)
    conditions = {v.T: temperatures, v.P: 101325, v.N: 1} | {v.X(e): value for e, value in x.items() if e != "AL"}
    plain = equilibrium(diagrams.database, [*x, "VA"], list(PHASES), conditions)
    for column, temperature in zip(matrix.T[np.isin(TEMPERATURES, temperatures)], temperatures):
        at = plain.sel(T=temperature)
        expected = np.zeros(len(PHASES))
        for name, amount in zip(at.Phase.values.ravel(), at.NP.values.ravel()):
            if name:
                expected[PHASES.index(name)] += amount
        np.testing.assert_allclose(column, expected, atol=2e-3)
    assert matrix[PHASES.index("S_PHASE")].max() > 0.01 and matrix[PHASES.index("LIQUID"), -1] > 0.999


@needs_tdb
def test_melting_ranges_are_the_handbooks(diagrams):
    # Its main elements; the same models as above.
    liquidus, solidus = diagrams.melting_range(composition(CU=4.4, MG=1.5, MN=0.6), tolerance=2)
    assert abs(liquidus - calphad.TEXTBOOK["2024"][0]) < 5 and abs(solidus - calphad.TEXTBOOK["2024"][1]) < 20


def test_of_two_processes_that_compute_a_class_none_loses_an_alloy(tmp_path, monkeypatch):
    """The other one, played within the first one's equilibria, is ahead."""
    path, limits = tmp_path / "6061.npz", {"MG": (0.8, 1.2), "SI": (0.4, 0.8)}
    (tmp_path / "a.tdb").write_text("a database")
    matrix = np.tile(np.eye(len(PHASES))[:, :1], len(TEMPERATURES))
    asked = []

    def equilibrium(composition):
        asked.append(composition)
        if len(asked) == 1:
            alloy_making.compute_class(tmp_path / "a.tdb", "6061", limits, 100, 0, path)
        return matrix

    monkeypatch.setattr(alloy_making, "phase_diagrams", lambda tdb: SimpleNamespace(matrix=equilibrium))
    assert alloy_making.compute_class(tmp_path / "a.tdb", "6061", limits, 20, 0, path) == 0
    assert len(alloys.load(path).matrices) == 100 and len(asked) == 1 + 100 + 19


def test_limits_of_an_element_that_stand_twice_are_refused(tmp_path):
    (tmp_path / "limits.csv").write_text(TABLE + "9999,SI,0.1,0.2,main30\n9999,Si,5,6,main30\n")
    with pytest.raises(InputError, match="9999 has limits of SI twice"):
        alloying.read_limits(tmp_path / "limits.csv")


@needs_tdb
def test_a_class_that_was_cut_off_is_finished_and_read(tmp_path, monkeypatch):
    limits = {"MG": (0.8, 1.2), "SI": (0.4, 0.8)}
    monkeypatch.setattr(alloy_making, "SAVE_EVERY", 2)
    path = tmp_path / "parts" / "6061.npz"
    assert alloy_making.compute_class(TDB, "6061", limits, 2, 0, path) == 0
    first = path.stat().st_mtime_ns
    assert alloy_making.compute_class(TDB, "6061", limits, 2, 0, path) == 0 and path.stat().st_mtime_ns == first
    monkeypatch.setattr(calphad.PhaseDiagrams, "matrix", fail_on(calphad.PhaseDiagrams.matrix, 2))
    assert alloy_making.compute_class(TDB, "6061", limits, 4, 0, path) == 1
    data = alloys.load(tmp_path / "parts")
    assert data.names == ("6061",) and len(data.matrices) == 3 and data.failed == (("6061", 1),)
    np.testing.assert_allclose(data.matrices.sum(1), 1, atol=1e-5)
    assert data.phases[:3] == ("LIQUID", "FCC_A1", "SI_DIAMOND_A4") and data.matrices.shape[1] == len(
        data.phases
    ) < len(PHASES)
    alloy_making.pack(tmp_path / "parts", tmp_path / "packed.npz", 4)
    np.testing.assert_array_equal(alloys.load(tmp_path / "packed.npz").matrices, data.matrices)
    with pytest.raises(InputError, match="fewer than 5"):
        alloy_making.pack(tmp_path / "parts", tmp_path / "packed.npz", 5)
    with pytest.raises(InputError, match="other alloys"):
        alloy_making.compute_class(TDB, "6061", limits, 4, 1, path)
    (tmp_path / "other.tdb").write_bytes(TDB.read_bytes() + b"\n$ another version\n")
    with pytest.raises(InputError, match="computed by another database than .*other.tdb"):
        alloy_making.compute_class(tmp_path / "other.tdb", "6061", limits, 5, 0, path)


def fail_on(matrix, call):
    """PhaseDiagrams.matrix, whose equilibria are not found at its call-th call."""
    calls = []

    def failing(self, *args):
        calls.append(args)
        found = matrix(self, *args)
        return np.full_like(found, np.nan) if len(calls) == call else found

    return failing


def two_alloys():
    good = {"compositions": np.zeros((2, len(ELEMENTS))), "designations": "1100"}
    return good | {"matrices": np.eye(len(PHASES), len(TEMPERATURES), dtype=np.float16)[None].repeat(2, 0)}


def test_alloys_of_one_database_alone_are_read_and_judged_by_it(tmp_path):
    (tmp_path / "parts").mkdir()
    for name in ("one", "other"):
        (tmp_path / f"{name}.tdb").write_text(name)
    own, other = (tmp_path / f"{name}.tdb" for name in ("one", "other"))
    files = [tmp_path / "parts" / f"{name}.npz" for name in ("1100", "2024")]
    for file in files:
        write_classes(file, two_alloys() | {"designations": file.stem, "database": file_fingerprint(own)})
    assert alloys.load(tmp_path / "parts", own).names == ("1100", "2024")
    alloy_making.pack(tmp_path / "parts", tmp_path / "packed.npz", 2)
    for path in (tmp_path / "parts", tmp_path / "packed.npz"):  # packing keeps the database
        with pytest.raises(InputError, match="another database than .*other.tdb"):
            alloys.load(path, other)
    making = {"1100": {}}, 2, 0, tmp_path / "parts"
    with pytest.raises(InputError, match="1100.npz was computed by another database"):
        alloy_making.make_data(other, *making)
    with pytest.raises(InputError, match="one more class"):
        alloy_making.make_data(own, *making, packed=tmp_path / "parts" / "all.npz")
    write_classes(files[1], two_alloys() | {"designations": "2024", "database": file_fingerprint(other)})
    for read in (alloys.load, lambda path: alloy_making.pack(path, tmp_path / "packed.npz", 2)):
        with pytest.raises(InputError, match="by 2 databases"):
            read(tmp_path / "parts")


def test_bad_files_are_one_line(tmp_path):
    good = two_alloys()
    write_classes(tmp_path / "good.npz", good)
    write_classes(tmp_path / "sums.npz", good | {"matrices": good["matrices"] * np.float16(0.5)})
    assert len(alloys.load(tmp_path / "good.npz").matrices) == 2
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:300])
    write_classes(tmp_path / "shape.npz", good | {"compositions": np.zeros((3, len(ELEMENTS)))})
    write_classes(tmp_path / "phases.npz", good | {"phases": PHASES[::-1]})
    write_classes(tmp_path / "celsius.npz", good | {"temperatures": TEMPERATURES - 273})
    write_classes(tmp_path / "texts.npz", good | {"matrices": good["matrices"].astype(str)})
    write_classes(tmp_path / "negative.npz", good | {"compositions": good["compositions"] - 3})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has one class, .*, and none to learn from"):
        one = {name: array[:1] for name, array in good.items()}
        write_classes(tmp_path / "one.npz", one)
        alloys.load(tmp_path / "one.npz", least=2)
    cases = {"celsius.npz": "has other temperatures than the"}
    cases |= {"texts.npz": "do not fit", "negative.npz": "do not fit"}
    cases |= {"sums.npz": "sum to 1", "cut.npz": "no file", "shape.npz": "do not fit", "phases.npz": "other phases"}
    for name, message in (cases | {"empty": "no .npz", "none.npz": "missing"}).items():
        with pytest.raises(InputError, match=message):
            alloys.load(tmp_path / name)


def test_a_database_that_does_not_fit_is_one_line(tmp_path):
    with pytest.raises(InputError, match="missing"):
        calphad.PhaseDiagrams(tmp_path / "none.tdb")
    text = "$ mobilities at 25 °C\nELEMENT AL FCC_A1 26.98 4577.3 28.32 !\nPHASE LIQUID % 1 1.0 !\n"
    for encoding in ("utf-8", "cp1252"):  # MatCalc's own files are of single bytes
        (tmp_path / "degrees.tdb").write_bytes(text.encode(encoding))
        assert "AL" in calphad.PhaseDiagrams(tmp_path / "degrees.tdb").database.elements
    (tmp_path / "small.tdb").write_text(
        "ELEMENT AL FCC_A1 26.98 4577 28.3 !\nPHASE FCC_A1 % 1 1 !\nCONSTITUENT FCC_A1 :AL: !\n"
    )
    with pytest.raises(InputError, match="no element CU"):
        calphad.PhaseDiagrams(tmp_path / "small.tdb").matrix(composition(CU=1.0))


def test_the_set_that_ships_is_what_metallurgists_expect():
    data = alloys.load(SHIPPED)
    assert len(data.names) == 30 and len(data.y) == 2999 and data.failed == (("5005", 1),)
    np.testing.assert_allclose(data.matrices.sum(1), 1, atol=1e-5)
    most = dict(zip(data.phases, data.matrices.max(2).T))  # of each phase, in each alloy
    class_of = np.array(data.names)[data.y]
    expected = {"S_PHASE": ("2024", "2618"), "THETA_AL2CU": ("2219", "2025", "2014")}
    for phase, names in (expected | {"MG2SI_B": [name for name in data.names if name[0] == "6"]}).items():
        assert (most[phase][np.isin(class_of, names)] > 1e-3).all(), phase
    eta, t_phase = most["LC14_ZN2MG"] > 1e-3, most["MGALCUZN_T"] > 1e-3
    zinc_alloys = np.isin(class_of, ("7075", "7076"))
    assert (eta | t_phase)[zinc_alloys].all() and eta[zinc_alloys].mean() > 0.95  # most magnesium: T instead
    assert (data.matrices[:, data.phases.index("LIQUID"), -1] > 0.999).mean() > 0.85
    with np.load(SHIPPED, allow_pickle=False) as arrays:
        assert "Open Database License" in str(arrays["notice"])


@needs_tdb
def test_the_set_that_ships_is_computed_by_this_code(diagrams):
    limits = alloying.read_limits(LIMITS)
    with np.load(SHIPPED, allow_pickle=False) as arrays:
        for name in limits:
            own = arrays["compositions"][arrays["designations"] == name]
            np.testing.assert_array_equal(own, alloying.draw_compositions(name, limits[name], 100, 0))
        number = int(np.argmin((arrays["compositions"] > 0).sum(1)))  # of few elements: quick
        again = diagrams.matrix(arrays["compositions"][number])
        np.testing.assert_allclose(arrays["matrices"][number], again, atol=2e-3)
        # Column B of a design that is a known alloy, by its own elements (Table 5 has traces of the others, too).
        assert alloys.phase_error(arrays["matrices"][number].astype(float), again) < 0.02
