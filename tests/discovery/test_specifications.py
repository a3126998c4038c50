"""Specifications: what is read and refused, and how far an alloy is off, by hand."""

import numpy as np
import pytest
from conftest import ROOT

from common.discovery import alloys
from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import PHASES, TEMPERATURES
from common.discovery.specification_files import read_specification
from common.discovery.specifications import NOT_FOUND, Limit
from common.errors import InputError

TEXT = """
name = "an alloy"
[elements]
Mg = [0.4, 1.2]
si = [0.3, 1.0]
Fe = [0.2, 0.2]
[melting]
solidus = { min = 870 }
freezing_range = { min = 5, max = 60 }
[[phases]]
of = ["MG2SI_B", "theta_al2cu"]
temperature = 455
min = 0.01
[[phases]]
of = "precipitates"
temperature = 810
max = 0.002
[cost]
Mg = 2
"""


class Stub:
    """Equilibria that are known beforehand: fractions of some phases at any temperature."""

    def __init__(self, ends=(930.0, 880.0), **fractions):
        self.ends, self.fractions = ends, fractions

    def melting_range(self, composition, present):
        return self.ends

    def matrix(self, composition, temperatures, present):
        matrix = np.zeros((len(PHASES), len(temperatures)))
        for phase, at in self.fractions.items():
            matrix[PHASES.index(phase)] = [at(temperature) for temperature in temperatures]
        return matrix


@pytest.fixture
def wanted(tmp_path):
    (tmp_path / "an.toml").write_text(TEXT)
    return read_specification(tmp_path / "an.toml")


def composition(**wt):
    return np.array([wt.get(element, 0.0) for element in ELEMENTS])


def test_what_is_read(wanted):
    assert wanted.name == "an alloy" and wanted.present == ("FE", "MG", "SI")
    assert list(map(str, wanted.limits)) == [
        "solidus at least 870 K",
        "freezing_range at least 5 K",
        "freezing_range at most 60 K",
        "MG2SI_B + THETA_AL2CU at 455 K at least 0.01 mole fraction",
        "precipitates at 810 K at most 0.002 mole fraction",
    ]
    np.testing.assert_array_equal(wanted.box[ELEMENTS.index("FE")], [0.2, 0.2])
    np.testing.assert_array_equal(wanted.box[ELEMENTS.index("ZN")], [0, 0])
    kept = wanted.clipped(composition(MG=2.0, SI=0.5, ZN=3.0)[None])[0]
    np.testing.assert_array_equal(kept, composition(MG=1.2, SI=0.5, FE=0.2))


def test_a_specification_is_its_limits_and_not_its_name(tmp_path, wanted):
    (tmp_path / "other.toml").write_text(TEXT.replace("an alloy", "another"))
    assert read_specification(tmp_path / "other.toml").digest == wanted.digest
    for old, new in (
        ("870", "871"),
        ("455", "456"),
        ("1.2", "1.3"),
        ("Mg = 2", "Mg = 3"),
        ("max = 0.002", "min = 0.002"),
    ):
        (tmp_path / "other.toml").write_text(TEXT.replace(old, new))
        assert read_specification(tmp_path / "other.toml").digest != wanted.digest


def test_excess_by_hand(wanted):
    diagrams = Stub(MG2SI_B=lambda t: 0.008 if t == 455 else 0.001, FCC_A1=lambda t: 0.9, LIQUID=lambda t: 0.1)
    excess = wanted.excess(diagrams, composition(MG=1.0))
    np.testing.assert_allclose(excess, [-1.0, -4.5, -1.0, 0.2, -0.1], atol=1e-12)
    assert wanted.objective(composition(MG=0.7, SI=1.0), excess) == pytest.approx(1.4)
    nothing = wanted.excess(Stub(ends=(np.nan, np.nan)), composition(MG=1.0))
    assert list(nothing[:3]) == [NOT_FOUND] * 3 and nothing[3] == pytest.approx(1)


def test_without_costs_the_widest_margin_is_wanted(tmp_path):
    (tmp_path / "an.toml").write_text(TEXT[: TEXT.index("[cost]")])
    assert read_specification(tmp_path / "an.toml").objective(composition(), np.array([-3.0, -0.5])) == np.arcsinh(-0.5)


@pytest.mark.parametrize("at_least", [True, False])
def test_a_value_is_found_again_from_its_excess(at_least):
    limit = Limit("solidus", (), None, at_least, 870.0)
    assert limit.value(limit.excess(881.0)) == pytest.approx(881) and limit.margin(881.0) == (11 if at_least else -11)
    assert np.isnan(limit.value(limit.excess(np.nan)))


def test_known_alloys_are_judged_by_their_diagrams(wanted):
    """One that keeps all limits, one without the compound, one with other elements than are asked for."""
    phases = ("LIQUID", "FCC_A1", "MG2SI_B")
    liquid = np.interp(TEMPERATURES, [890, 910], [0, 1])
    compound = np.interp(TEMPERATURES, [450, 470], [0.04, 0.0])  # 0.03 at 455 K
    good = np.stack([liquid, 1 - liquid - compound, compound])
    poor = np.stack([liquid, 1 - liquid, 0 * liquid])
    fitting, off = composition(MG=1.0, SI=0.5, FE=0.2), composition(MG=1.3, SI=0.5, FE=0.2, ZN=0.1)
    data = alloys.AlloyData(
        "two", np.stack([good, poor, good]), np.stack([fitting, fitting, off]), np.array([0, 1, 2]), ("a", "b", "c"),
        phases, TEMPERATURES, (),
    )  # fmt: skip
    np.testing.assert_allclose(wanted.estimated_excess(data), [0, 1, 2], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[melting]", "[meltin]", "did you mean melting"),
        ("solidus", "solidos", "did you mean solidus"),
        ("min = 870", "min = 597", "solidus of 597 is below 690 K: give it in K"),
        ("Mg = [", "Xx = [", "'XX' is no element"),
        ("[0.4, 1.2]", "0.4", "must be a range in wt%"),
        ("[0.4, 1.2]", "[1.2, 0.4]", "exchange the numbers"),
        ("[0.4, 1.2]", "[0.4, nan]", "not a number from 0 to 100"),
        ("[0.4, 1.2]", '["a", 1.2]', "not a number from 0 to 100"),
        ("[0.4, 1.2]", f"[0.4, 0x{'f' * 6000}]", "too large, not a number from 0 to 100"),
        ("[0.4, 1.2]", "[0.4, 99]", "over 100 wt%"),
        ("si = [", "MG = [", "stands there twice"),
        ("{ min = 870 }", "870", "solidus = {min = 850}"),
        ("{ min = 870 }", "{}", "neither min nor max"),
        ("{ min = 870 }", "{ mim = 870 }", "did you mean min"),
        ("{ min = 870 }", "{ min = true }", "not a number"),
        ("{ min = 5, max = 60 }", "{ min = 70, max = 60 }", "min above its max"),
        ('"MG2SI_B"', '"MG2SI"', "did you mean MG2SI_B"),
        ('"MG2SI_B"', '"MgZn2"', "did you mean LC14_ZN2MG"),  # and not MG2ZN11, the nearest word
        ('"MG2SI_B"', '"Al2Cu"', "did you mean THETA_AL2CU"),
        ('["MG2SI_B", "theta_al2cu"]', "7", "must say of which"),
        ("[[phases]]", "liquidus = { max = 860 }\n[[phases]]", "the solidus must be above what the liquidus"),
        ("temperature = 455", "", "at which temperature"),
        ("temperature = 455", "temperature = 20", "not a number from 330"),
        ("[[phases]]\nof = [", "[phases]\nof = [", "cannot be read as TOML"),
        ("[cost]\nMg", "[cost]\nZn", "element of [elements]"),
        ("Mg = 2", "Mg = -2", "not a number from 0"),
        ("[cost]\nMg", "[cost]\nMG = 3\nMg", "[cost] stands there twice"),
        ("Mg = 2", "Mg = inf", "not a number from 0"),
        ("Mg = 2", f"Mg = {'9' * 400}", "not a number from 0"),
        ("Mg = 2", f"Mg = {'[' * 3000}{']' * 3000}", "cannot be read as TOML"),
        ("Mg = [", '"a\\nb" = [', "is no element"),
        ('name = "an alloy"', "name = 3", "name must be a line of text"),
        ('name = "an alloy"', 'name = "a\\nb"', "name must be a line of text"),
        ('name = "an alloy"', 'name = "a $^$"', "name must be a line of text"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "an.toml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_specification(tmp_path / "an.toml")
    assert message in str(caught.value) and "\n" not in str(caught.value) and "an.toml" in str(caught.value)


def test_what_asks_for_nothing_is_refused(tmp_path):
    for text, message in (
        ("[elements]\nMg = [0, 1]\n", "limits no property"),
        ("[elements]\nMg = [1, 1]\n[melting]\nsolidus = {min = 850}\n", "no element may vary"),
        ("", "no element may vary"),
        ("elements = 3", "write [elements]"),
    ):
        (tmp_path / "an.toml").write_text(text)
        with pytest.raises(InputError, match=message.replace("[", r"\[")):
            read_specification(tmp_path / "an.toml")
    with pytest.raises(InputError, match="missing"):
        read_specification(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "specifications").glob("*.toml")), ids=lambda p: p.stem)
def test_worked_specifications_can_be_read(path):
    assert read_specification(path).cost is not None
