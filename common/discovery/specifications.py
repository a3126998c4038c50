"""What an alloy must keep: limits on elements, melting and phases, read from a TOML file, and how far an alloy is off.

An alloy's excess over a limit is how much it misses, where 10 K and one hundredth of a mole count as 1; at most 0 where
the limit is kept.
"""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import HOTTER, LAST_LIQUID, MATRIX, MOLTEN, MOSTLY_SOLID, PHASES, TEMPERATURES
from common.errors import InputError
from common.names import name_of_file
from common.runs.identity import Record, label

SIZES = {"K": 10.0, "mole fraction": 0.01}  # by how much of a unit counts as an excess of 1
NOT_FOUND = 1000.0  # excess of an alloy whose property was not found
MELTING = ("solidus", "liquidus", "freezing_range")
PRECIPITATES = "precipitates"  # stands for all phases but MATRIX
OUTSIDE_WT = 0.1  # wt% outside an element's range that counts as an excess of 1, among known alloys


@dataclass(frozen=True)
class Limit(Record):
    """A bound on one property of an alloy."""

    quantity: str  # one of MELTING, or "phases"
    phases: tuple  # whose fractions add up; PRECIPITATES alone stands for all solids but aluminium
    temperature: float | None  # K, of phases
    at_least: bool
    bound: float  # K, or a mole fraction

    @property
    def name(self):
        """What is bounded, such as "solidus" or "MG2SI_B + THETA_AL2CU at 450 K"."""
        return self.quantity if self.quantity in MELTING else f"{' + '.join(self.phases)} at {self.temperature:g} K"

    @property
    def unit(self):
        return "K" if self.quantity in MELTING else "mole fraction"

    def __str__(self):
        return f"{self.name} at {'least' if self.at_least else 'most'} {self.bound:g} {self.unit}"

    def margin(self, value):
        """By how much a value is on the right side of the bound, in its unit."""
        return value - self.bound if self.at_least else self.bound - value

    def excess(self, value):
        """By how much a value misses the bound; see the module. NOT_FOUND where there is no value."""
        return -self.margin(value) / SIZES[self.unit] if np.isfinite(value) else NOT_FOUND

    def value(self, excess):
        """The value whose excess this is, NaN where none was found."""
        margin = -excess * SIZES[self.unit]
        return np.nan if excess == NOT_FOUND else self.bound + (margin if self.at_least else -margin)


@dataclass(frozen=True)
class Specification(Record):
    """What an alloy must keep, and what it costs."""

    name: str = label()
    elements: tuple  # (element, least, most wt%) of each that may be there; aluminium is the remainder
    limits: tuple  # of Limit
    cost: tuple  # (element, what a percent by weight of it costs); empty: the widest margin is looked for

    @property
    def present(self):
        """The elements that may be there; all are at least in traces, so that one set of models serves every alloy."""
        return tuple(element for element, _, most in self.elements if most > 0)

    @property
    def phases(self):
        """The phases that limits name."""
        return {phase for limit in self.limits for phase in limit.phases} - {PRECIPITATES}

    @property
    def box(self):
        """Least and most wt% (len(ELEMENTS), 2) of each element."""
        box = np.zeros((len(ELEMENTS), 2))
        for element, *ends in self.elements:
            box[ELEMENTS.index(element)] = ends
        return box

    def clipped(self, compositions):
        """Compositions (N, len(ELEMENTS)) in wt%, each element moved into its range."""
        return np.clip(compositions, *self.box.T)

    def objective(self, composition, excess):
        """What is minimised among alloys that keep all limits: the cost, or without costs the largest excess.

        The latter as its arcsinh, so that an alloy that is far off does not make the others look alike.
        """
        if not self.cost:
            return float(np.arcsinh(np.max(excess)))
        return float(sum(weight * composition[ELEMENTS.index(element)] for element, weight in self.cost))

    def excess(self, diagrams, composition):
        """Excess (limits,) of a composition (len(ELEMENTS),) in wt% over each limit, by CALPHAD."""
        temperatures = np.unique([limit.temperature for limit in self.limits if limit.temperature is not None])
        ends, matrix = (np.nan, np.nan), np.empty((len(PHASES), 0))
        if any(limit.quantity in MELTING for limit in self.limits):
            ends = diagrams.melting_range(composition, present=self.present)
        if len(temperatures):
            matrix = diagrams.matrix(composition, temperatures, self.present)
        return self._excess(ends, temperatures, matrix, PHASES)

    def estimated_excess(self, data):
        """Excess (N,), all in all, of known alloys over the limits and the elements' ranges, from their diagrams.

        Between the temperatures of the diagrams fractions are interpolated; nothing is computed.

        Args:
            data: AlloyData.
        """
        outside = np.abs(data.compositions - self.clipped(data.compositions)).sum(1) / OUTSIDE_WT
        liquid, own = data.phases.index("LIQUID"), [limit.temperature for limit in self.limits]
        temperatures = np.union1d(data.temperatures, [each for each in own if each is not None])
        found = np.empty(len(data.matrices))
        for number, matrix in enumerate(data.matrices):
            ends = [_crossing(data.temperatures, matrix[liquid], least) for least in (MOLTEN, LAST_LIQUID)]
            between = np.stack([np.interp(temperatures, data.temperatures, fractions) for fractions in matrix])
            found[number] = np.maximum(self._excess(ends, temperatures, between, data.phases), 0).sum()
        return found + outside

    def _excess(self, ends, temperatures, matrix, phases):
        """Excess (limits,) of an alloy of (liquidus, solidus) and fractions (phases, temperatures)."""
        liquidus, solidus = ends
        found = {"liquidus": liquidus, "solidus": solidus, "freezing_range": liquidus - solidus}
        for limit in self.limits:
            if limit.quantity not in MELTING:
                all_solids = limit.phases == (PRECIPITATES,)
                rows = [p not in MATRIX if all_solids else p in limit.phases for p in phases]
                found[limit.name] = (
                    matrix[rows][:, np.searchsorted(temperatures, limit.temperature)].sum() if any(rows) else 0.0
                )
        return np.array([limit.excess(found[limit.name]) for limit in self.limits])


def _crossing(temperatures, fractions, least):
    """Where fractions first reach `least`, linearly between temperatures; NaN where they do so nowhere or at once."""
    at = int(np.argmax(fractions >= least))
    if not at:
        return np.nan
    return float(np.interp(least, fractions[at - 1 : at + 1], temperatures[at - 1 : at + 1]))


def read_specification(path):
    """The Specification in a TOML file; `examples/specifications/` has some.

    Raises:
        InputError: no such file, no TOML, or a name or number that makes no sense, said in one line.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: name a specification, such as one of examples/specifications/") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as TOML ({str(error)[:200]}): correct it") from error
    return _Reader(path).specification(content)


class _Reader:
    """Reads the tables of one file; every refusal names it."""

    def __init__(self, path):
        self.path = path

    def refuse(self, what):
        raise InputError(f"{self.path}: {what}")

    def known(self, given, names, what):
        """`given` is one of the names, or refused with the nearest one."""
        if given not in names:
            near = difflib.get_close_matches(str(given), names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            self.refuse(f"{str(given)[:40]!r} is no {what}: {hint}")
        return given

    def table(self, content, name, keys=None):
        """A table of the file, {} where it is missing; its keys are among `keys`."""
        found = content.get(name, {})
        if not isinstance(found, dict):
            self.refuse(f"{name} must be a table: write [{name}]")
        for key in found if keys else ():
            self.known(key, keys, f"key of [{name}]")
        return found

    def number(self, value, what, least=0.0, most=1e6):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            # Of very many digits Python writes no number.
            shown = "too large" if isinstance(value, int) and value > most else str(value)[:40]
            self.refuse(f"{what} is {shown}, not a number from {least:g} to {most:g}")
        return float(value)

    def element(self, name):
        return self.known(str(name).upper(), ELEMENTS, "element that is calculated")

    def specification(self, content):
        for key in content:
            self.known(key, ("name", "elements", "melting", "phases", "cost"), "part of a specification")
        elements = []
        for name, ends in self.table(content, "elements").items():
            if not isinstance(ends, list) or len(ends) != 2:
                self.refuse(f"{name} must be a range in wt%, such as {name} = [0.4, 0.8]")
            least, most = (self.number(end, f"wt% of {name}", 0, 100) for end in ends)
            if least > most:
                self.refuse(f"{name} from {least:g} to {most:g} wt% is no range: exchange the numbers")
            elements.append((self.element(name), least, most))
        names = [element for element, *_ in elements]
        if not any(most > least for _, least, most in elements):
            self.refuse("no element may vary: give a range to those of [elements] that may be there")
        if len(set(names)) < len(names):
            self.refuse("an element of [elements] stands there twice: leave one out")
        if sum(most for *_, most in elements) >= 100:
            self.refuse("the elements may hold over 100 wt%: lower their upper limits")
        limits = [*self.melting(content), *self.phases(content)]
        if not limits:
            self.refuse("it limits no property: add [melting] or [[phases]]")
        cost = self.table(content, "cost")
        cost = tuple((self.element(name), self.number(weight, f"cost of {name}")) for name, weight in cost.items())
        for element, _ in cost:
            self.known(element, names, "element of [elements]")
        if len(dict(cost)) < len(cost):
            self.refuse("an element of [cost] stands there twice: leave one out")
        title = content.get("name", name_of_file(self.path))
        if not isinstance(title, str) or not title.strip() or not title.isprintable() or "$" in title:
            self.refuse("name must be a line of text, without $")
        return Specification(title, tuple(sorted(elements)), tuple(limits), tuple(sorted(cost)))

    def bounds(self, table, what, most):
        """[(at_least, bound)] of a table with min, max or both."""
        found = [
            (key == "min", self.number(table[key], f"{key} of {what}", 0, most))
            for key in ("min", "max")
            if key in table
        ]
        if not found:
            self.refuse(f"{what} has neither min nor max: give one")
        if len(found) == 2 and found[0][1] > found[1][1]:
            self.refuse(f"{what} has a min above its max: exchange them")
        return found

    def melting(self, content):
        for quantity, table in self.table(content, "melting", MELTING).items():
            if not isinstance(table, dict):
                self.refuse(f"{quantity} must say min, max or both, in K: {quantity} = {{min = 850}}")
            for key in table:
                self.known(key, ("min", "max"), f"key of {quantity}")
            for at_least, bound in self.bounds(table, quantity, HOTTER[-1]):
                if quantity in ("solidus", "liquidus") and bound < MOSTLY_SOLID:
                    self.refuse(f"{quantity} of {bound:g} is below {MOSTLY_SOLID:g} K: give it in K (C + 273.15)")
                yield Limit(quantity, (), None, at_least, bound)

    def phases(self, content):
        tables = content.get("phases", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.refuse("phases must be tables of their own: write [[phases]]")
        for table in tables:
            for key in table:
                self.known(key, ("of", "temperature", "min", "max"), "key of [[phases]]")
            of = table.get("of")
            names = [of] if isinstance(of, str) else of
            if not isinstance(names, list) or not names:
                self.refuse(f'[[phases]] must say of which: of = "MG2SI_B", a list of phases, or "{PRECIPITATES}"')
            if names != [PRECIPITATES]:
                names = sorted({self.known(str(name).upper(), PHASES, "phase that is calculated") for name in names})
            if "temperature" not in table:
                self.refuse("[[phases]] must say at which temperature, in K")
            temperature = self.number(table["temperature"], "temperature", TEMPERATURES[0], HOTTER[-1])
            for at_least, bound in self.bounds(table, f"the fraction of {' + '.join(names)}", 1.0):
                yield Limit("phases", tuple(names), temperature, at_least, bound)
