"""What reusing models and energy samples saves: seconds of CPU an alloy, beside plain `pycalphad.equilibrium` calls.

Random alloys of 30 classes, 32 temperatures each. "plain" builds everything at each call, as pycalphad's manual shows
it; "plain, models kept" is given the models and phase records. With a trace of every element, as searches through
CALPHAD have it, more phases compete. Also the largest difference of any phase fraction between ours and plain.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def fractions(found, phases, temperatures):
    """Phase fractions (phases, temperatures) of pycalphad's own result; NaN where it found none."""
    matrix = np.zeros((len(phases), len(temperatures)))
    for column, temperature in enumerate(temperatures):
        at = found.sel(T=temperature)
        for name, amount in zip(at.Phase.values.ravel(), at.NP.values.ravel()):
            if name:
                matrix[phases.index(name), column] += amount
    matrix[:, ~np.isclose(matrix.sum(0), 1, atol=1e-6)] = np.nan  # not found
    return matrix


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tdb", type=Path, required=True, help="thermodynamic database")
    parser.add_argument("--limits", type=Path, required=True, help="CSV of composition limits")
    parser.add_argument("--alloys", type=int, default=4, help="100 points are 4 alloys of 32 temperatures (4)")
    args = parser.parse_args()

    from pycalphad import equilibrium
    from pycalphad import variables as v

    from common.discovery import alloying, calphad

    limits = alloying.read_limits(args.limits)
    chosen = np.random.default_rng(0).choice(sorted(limits), args.alloys, replace=False)
    compositions = [alloying.draw_compositions(name, limits[name], 1, 0)[0] for name in chosen]
    diagrams = calphad.PhaseDiagrams(args.tdb)
    names = ("ours", "ours, first of its elements", "ours, every element", "plain", "plain, models kept")
    times = {name: [] for name in names}
    differences = []
    warnings.simplefilter("ignore")

    def timed(name, function, *arguments, **options):
        started = time.process_time()
        found = function(*arguments, **options)
        times[name].append(time.process_time() - started)
        return found

    diagrams.real_diagram(compositions[0], calphad.PHASES)  # builds the models of every element
    for composition in compositions:
        timed("ours, every element", diagrams.real_diagram, composition, calphad.PHASES)
        timed("ours, first of its elements", diagrams.matrix, composition)
        ours = timed("ours", diagrams.matrix, composition)
        x = alloying.mole_fractions(composition)
        conditions = {v.T: calphad.TEMPERATURES, v.P: 101325, v.N: 1}
        conditions |= {v.X(e): value for e, value in x.items() if e != "AL"}
        records, models, components, phases = diagrams.system(tuple(x))
        kept = dict(model=models, phase_records=records)
        timed("plain, models kept", equilibrium, diagrams.database, components, phases, conditions, **kept)
        every = (diagrams.database, [*x, "VA"], list(calphad.PHASES), conditions)
        plain = timed("plain", equilibrium, *every)
        differences.append(np.abs(ours - fractions(plain, list(calphad.PHASES), calphad.TEMPERATURES)))
    own = np.mean(times["ours"])
    for name, seconds in times.items():
        print(f"{name:30s} {np.mean(seconds):7.2f} s an alloy   {np.mean(seconds) / own:5.2f} of ours")
    off = np.stack(differences).max(1)
    both, one = np.isfinite(off).sum(), np.isnan(off).sum()
    print(
        f"largest difference of a phase fraction, {both} points of both: {np.nanmax(off):.2g}; found by one only: {one}"
    )


if __name__ == "__main__":
    main()
