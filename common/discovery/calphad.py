"""Equilibria of aluminium alloys by CALPHAD.

A phase matrix (phases, temperatures) holds the equilibrium mole fraction of each phase (sections 4.1 and 4.5). The
paper's came from a commercial code; ours come from pycalphad with the open mc_al database, which the user names.
"""

import functools
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np

from common.discovery.alloying import ELEMENTS, MASSES, mole_fractions
from common.errors import InputError

TEMPERATURES = np.arange(330.0, 951.0, 20.0)  # K
# Equilibrium phases of aluminium alloys in mc_al. Left out: metastable precipitates, GP zones (with GP_MAT among the
# candidates pycalphad drops FCC_A1), dummy ordered phases, phases never stable above 85 % aluminium.
PHASES = tuple(
    """LIQUID FCC_A1 SI_DIAMOND_A4 HCP_ZN THETA_AL2CU S_PHASE MG2SI_B ALCRFEMNSI_A ALCUMN_T1 AL7CU2FE AL8FEMNSI2 AL13FE4
    ALFESI_T5 ALFESI_T6 ALFESI_T2 ALFESI_T4 ALFESI_T8 ALFEMNSI_B AL12MN AL4MN AL6MN AL11MN4 ALMGMN_T AL18CR2MG3
    AL13CR4SI4 AL9CR3SI AL58CR31SI11 ALCRSI_T3 ALCRCU_TAU AL13CR2 AL11CR2 AL4CR AL12MG2CR MGALCUZN_T LC14_ZN2MG MG2ZN11
    BETA_AL3MG2 AL3NI AL3NI2 ALFENI_T1 AL23CUFE4 AL3TI_L AL3TI_H Q_PHASE_H Q_PHASE_L PI_ALFEMGSI Q_ALCUMG ALCUMG_V
    AL5FE2""".split()
)
TEXTBOOK = {  # liquidus, solidus in K; solidus homogenised where the as-cast one differs
    "2024": (911, 812), "2219": (916, 816), "6061": (925, 855), "6063": (928, 888),
    "7075": (908, 805), "3003": (927, 916), "5083": (911, 864), "4032": (844, 805),
}  # fmt: skip
HOTTER = np.arange(1000.0, 1301.0, 50.0)  # K; where the liquidus is looked for beyond TEMPERATURES
MOSTLY_SOLID = 690.0  # K; few aluminium alloys hold any liquid below
MOLTEN, LAST_LIQUID = 0.99, 1e-6  # fraction of liquid at the liquidus, and at the solidus
MARGIN_OF_MELT = 20.0  # K above the liquidus at which solidification begins
GONE = 1e-6  # mole fraction of an element in a melt below which it is none of it
MATRIX = ("LIQUID", "FCC_A1")  # what every diagram has


class PhaseDiagrams:
    """Equilibria of aluminium alloys under one thermodynamic database.

    Models and phase records are built once for each set of elements, and so are the samples of their energy surfaces at
    TEMPERATURES, which do not depend on composition: that is most of what a plain `pycalphad.equilibrium` spends.

    Raises:
        InputError: the file cannot be read, or lacks an element or every phase.
    """

    def __init__(self, tdb):
        from pycalphad import Database

        try:
            raw = Path(tdb).read_bytes()
        except OSError:
            raise InputError(f"{tdb} is missing: name a thermodynamic database with --tdb") from None
        try:
            text = raw.decode()
        except UnicodeDecodeError:  # MatCalc writes its databases in a code page of single bytes
            text = raw.decode("latin-1")
        try:
            self.database = Database.from_string(text, fmt="tdb")
        except Exception as error:  # the parser raises many kinds
            reason = str(error).strip().splitlines()[:1]
            raise InputError(
                f"{tdb} cannot be read as a TDB file ({reason[0] if reason else type(error).__name__})"
            ) from error
        self.path = tdb
        # One set of elements takes some 500 MB.
        self.system = functools.lru_cache(maxsize=2)(self._system)
        self.sample = functools.lru_cache(maxsize=3)(self._sample)

    def check(self, element_sets, phases=()):
        """Raise InputError if the database lacks an element of any of these sets, or one of these phases."""
        missing = sorted(set().union(*element_sets, ["AL"]) - set(self.database.elements))
        if missing:
            raise InputError(
                f"{self.path} has no element {missing[0]}: use a database with all of AL, {', '.join(ELEMENTS)}"
            )
        for phase in (*MATRIX, *sorted(phases)):
            if phase not in self.database.phases:
                raise InputError(f"{self.path} has no phase {phase}: use mc_al, whose phase names are known here")

    def _system(self, elements):
        """(phase records, models, components, phases) of a tuple of elements."""
        from pycalphad import Workspace
        from pycalphad import variables as v

        self.check([elements])
        phases = [phase for phase in PHASES if phase in self.database.phases]
        components = [*elements, "VA"]
        conditions = {v.T: 600, v.P: 101325, v.N: 1} | {v.X(e): 0.01 for e in elements if e != "AL"}
        workspace = Workspace(self.database, components, phases, conditions)
        return workspace.phase_record_factory, workspace.models.unwrap(), components, workspace.phases

    def _sample(self, elements, temperatures):
        from pycalphad import calculate

        records, models, components, phases = self.system(elements)
        return calculate(
            self.database, components, phases, model=models, phase_records=records, output="GM", fake_points=True,
            to_xarray=False, pdens=20, T=list(temperatures), P=101325, N=1,
        )  # fmt: skip

    def matrix(self, composition, temperatures=TEMPERATURES, present=()):
        """Mole fractions of PHASES (len(PHASES), temperatures) of a composition in wt% (len(ELEMENTS),).

        Elements of zero wt% are left out, or there in traces if they are among `present`. A column whose equilibrium
        was not found is NaN.
        """
        from pycalphad import variables as v
        from pycalphad.core.eqsolver import _solve_eq_at_conditions
        from pycalphad.core.starting_point import starting_point

        x = mole_fractions(composition, present)
        elements = tuple(x)
        records = self.system(elements)[0]
        # One temperature is soon sampled, and seldom asked for twice.
        sample = (self.sample if len(temperatures) > 1 else self._sample)(elements, tuple(map(float, temperatures)))
        conditions = {v.T: np.asarray(temperatures, float), v.P: [101325.0], v.N: [1.0]}
        conditions |= {v.X(element): [value] for element, value in x.items() if element != "AL"}
        conditions = OrderedDict(sorted(conditions.items(), key=lambda item: str(item[0])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of mole fractions near the least that pycalphad allows
            found = starting_point(conditions, records.state_variables, records, sample)
            found = _solve_eq_at_conditions(
                found, records, sample, list(conditions), records.state_variables, False, solver=_accepting_solver()
            )
        # Temperature is the only axis of more than one value, beside the composition sets.
        names, amounts = found.Phase.reshape(len(temperatures), -1), found.NP.reshape(len(temperatures), -1)
        matrix = np.zeros((len(PHASES), len(temperatures)))
        for column, (own, fractions) in enumerate(zip(names, amounts)):
            for name, fraction in zip(own, fractions):
                if name:  # a phase with a miscibility gap has several composition sets: their amounts add up
                    matrix[PHASES.index(str(name)), column] += fraction
            if not np.isclose(matrix[:, column].sum(), 1, atol=1e-6):
                matrix[:, column] = np.nan
        return matrix

    def real_diagram(self, composition, phases):
        """What an alloy of any composition really is: as `matrix`, of some phases only, with a trace of every element.

        Zero where no equilibrium was found, or where over 100 wt% are asked for. One set of elements serves every
        composition, so that a search builds its models once.
        """
        if np.sum(composition) >= 100:
            return np.zeros((len(phases), len(TEMPERATURES)))
        return np.nan_to_num(self.matrix(composition, present=ELEMENTS)[[PHASES.index(phase) for phase in phases]])

    def melting_range(self, composition, tolerance=0.5, present=()):
        """(liquidus, solidus) in K by bisection: where one hundredth is solid, and where the last liquid is gone.

        One hundredth, because traces of titanium form a little AL3TI well above the temperature that handbooks give.
        NaN stands for an end below TEMPERATURES or above HOTTER, or that is not found.

        Args:
            tolerance: of the bisection, in K.
            present: see `matrix`.
        """

        def fractions(temperatures):
            return self.matrix(composition, temperatures, present)[PHASES.index("LIQUID")]

        cold, temperatures = np.split(TEMPERATURES, [np.searchsorted(TEMPERATURES, MOSTLY_SOLID)])
        known = fractions(temperatures)
        if not known[0] < LAST_LIQUID:
            temperatures, known = np.append(cold, temperatures), np.append(fractions(cold), known)
        if not known[-1] >= MOLTEN:
            temperatures, known = np.append(temperatures, HOTTER), np.append(known, fractions(HOTTER))
        ends = []
        for least in (MOLTEN, LAST_LIQUID):
            enough = np.flatnonzero(known >= least)
            too_cold = np.flatnonzero(known[: enough[0]] < least) if len(enough) else enough
            if not len(too_cold):
                ends.append(np.nan)
                continue
            low, high = temperatures[too_cold[-1]], temperatures[enough[0]]
            while high - low > tolerance:
                middle = (low + high) / 2
                own = fractions([middle])[0]
                if np.isnan(own):  # no equilibrium was found: nothing is known of what lies between
                    low = high = np.nan
                low, high = (low, middle) if own >= least else (middle, high)
            ends.append(float(low + high) / 2)
        return tuple(ends)

    def as_cast(self, composition, step=2.0):
        """(liquidus, temperatures, fractions solid) of solidification by Scheil and Gulliver, in K from the melt down.

        Equilibrium at the front, no diffusion in the solid: the last liquid freezes far below the solidus, as in a
        casting. By the `scheil` package; minutes for an alloy of many elements. Where there is no liquidus, or no
        equilibrium is found, the fractions end before 1, or are empty. Near zero of an element no equilibrium is
        found: one that the first solid has taken from the melt, as it takes titanium, is then left out of what follows.

        Args:
            step: in K.
        """
        liquidus = self.melting_range(composition)[0]
        temperatures, solid, liquid = np.empty(0), np.empty(0), 1.0
        melt = mole_fractions(composition) if np.isfinite(liquidus) else {}
        start = np.ceil(liquidus + MARGIN_OF_MELT)
        while len(melt) > 1:  # of aluminium and another element
            found = self._solidified(melt, start, step)
            if found is None:
                break
            left = _last_known(found.phase_compositions["LIQUID"])
            whole = found.converged or self._freezes(left, found.temperatures[-1])
            kept = len(found.temperatures) - (not whole)
            temperatures = np.append(temperatures, found.temperatures[:kept])
            solid = np.append(solid, 1 - liquid * (1 - np.array(found.fraction_solid[:kept], float)))
            still = {element: share for element, share in left.items() if share >= GONE}
            if whole or not kept or len(still) == len(melt):
                break
            melt, start, liquid = still, temperatures[-1], 1 - solid[-1]
        return liquidus, temperatures, solid

    def _solidified(self, melt, start, step):
        """What `scheil` finds of a melt {element: mole fraction} from `start` (K) down; None where it finds nothing."""
        from pycalphad import variables as v
        from scheil import simulate_scheil_solidification

        phases = [phase for phase in PHASES if phase in self.database.phases]
        amounts = {v.X(element): share for element, share in melt.items() if element != "AL"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own deprecations, and of small fractions
            try:
                return simulate_scheil_solidification(
                    self.database, [*melt, "VA"], phases, amounts, start, step_temperature=step, verbose=False
                )
            except ValueError:  # no calculation converged
                return None

    def _freezes(self, melt, temperature):
        """Whether the last melt {element: mole fraction}, or {} where none is known, is solid at a temperature.

        `scheil` says that it is wherever it finds no equilibrium any more, be it an invariant reaction or a failure.
        """
        if not melt:
            return False
        grams = {element: share * MASSES[element] for element, share in melt.items() if share >= GONE}
        composition = [100 * grams.get(element, 0) / sum(grams.values()) for element in ELEMENTS]
        return self.matrix(composition, [temperature])[PHASES.index("LIQUID"), 0] < 1 - MOLTEN


def _last_known(liquid):
    """{element: mole fraction} of the last melt, of {element: mole fractions, step by step}, that is known; or {}."""
    rows = np.array([liquid[element] for element in MASSES if element in liquid], float)
    known = rows[:, np.isfinite(rows).all(0)]
    return dict(zip([element for element in MASSES if element in liquid], known[:, -1])) if known.size else {}


@functools.lru_cache(maxsize=1)
def phase_diagrams(tdb):
    """The PhaseDiagrams of a database; a process keeps the last one, with the models that it has built."""
    return PhaseDiagrams(tdb)


@functools.cache
def _accepting_solver():
    """pycalphad's solver, which also takes what it calls not converged where mass balance and tangent plane hold."""
    from pycalphad.core.solver import Solver

    class AcceptingSolver(Solver):
        def solve(self, composition_sets, conditions):
            result = super().solve(composition_sets, conditions)
            if result.converged or not composition_sets:
                return result
            amounts = np.array([c.NP for c in composition_sets])
            contents = np.array([np.asarray(c.X) for c in composition_sets])
            elements = list(composition_sets[0].phase_record.nonvacant_elements)
            wanted = {
                str(key)[2:]: float(np.squeeze(value)) for key, value in conditions.items() if str(key).startswith("X_")
            }
            mass_error = max(abs(amounts @ contents[:, elements.index(e)] - value) for e, value in wanted.items())
            off_plane = np.abs(contents @ result.chemical_potentials - [c.energy for c in composition_sets]).max()
            return result._replace(converged=bool(mass_error < 1e-6 and off_plane < 1))

    return AcceptingSolver()
