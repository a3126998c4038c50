"""What an alloy must keep: limits on elements, melting and phases, read from a TOML file, and how far an alloy is off.

An alloy's excess over a limit is how much it misses, where 10 K and one hundredth of a mole count as 1; at most 0 where
the limit is kept.
"""

from dataclasses import dataclass

import numpy as np

from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import LAST_LIQUID, MATRIX, MOLTEN, PHASES
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
