"""Compositions of aluminium alloys: their elements, registered limits, draws within them, and mole fractions."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError

MASSES = {  # g/mol
    "AL": 26.9815, "CR": 51.9961, "CU": 63.546, "FE": 55.845, "MG": 24.305,
    "MN": 54.938, "NI": 58.6934, "SI": 28.0855, "TI": 47.867, "ZN": 65.38,
}  # fmt: skip
ELEMENTS = tuple(element for element in MASSES if element != "AL")  # aluminium is the remainder
NOT_CALCULATED = ("V", "ZR")  # V is not in the database; 2219 alone has them
WANTED_SET = "main30"  # of a table of limits
TRACE = 1e-5  # mole fraction below which an element that is present makes the solver fail


def read_limits(path):
    """{designation: {element: (least, most wt%)}} from a CSV with columns designation, element, min_wt, max_wt, set.

    Rows of WANTED_SET count; without a column `set` all do.

    Raises:
        InputError: no such file, no such set, a designation that is no file's name, an element that is not calculated,
            or limits that are no interval.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype={"designation": str, "element": str, "set": str}, keep_default_na=False)
        table = table[table["set"] == WANTED_SET] if "set" in table else table
        table = table.astype({"min_wt": float, "max_wt": float})
    except FileNotFoundError:
        raise InputError(f"{path} is missing: put the composition limits there, or name their file") from None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is no table of limits ({error}): columns designation, element, min_wt, max_wt, set"
        ) from error
    if table.empty:
        raise InputError(f"{path} has no alloys of set '{WANTED_SET}': check its column 'set'")
    limits = {}
    for row in table.itertuples():
        if not re.fullmatch(r"\w[\w.+-]{0,40}", str(row.designation)):
            raise InputError(f"{path}: designation '{row.designation}' has other than letters, digits and . + - _")
        element = str(row.element).strip().upper()
        if element in NOT_CALCULATED:
            continue
        if element not in ELEMENTS:
            raise InputError(
                f"{path}: {row.designation} has element {row.element}, which is not among {', '.join(ELEMENTS)}"
            )
        if not 0 <= row.min_wt <= row.max_wt <= 100:
            raise InputError(
                f"{path}: {row.designation} {element} from {row.min_wt} to {row.max_wt} wt% is no interval"
            )
        own = limits.setdefault(row.designation, {})
        if element in own:
            raise InputError(f"{path}: {row.designation} has limits of {element} twice: leave one out")
        own[element] = (row.min_wt, row.max_wt)
    for designation, own in limits.items():
        if sum(most for _, most in own.values()) >= 100:
            raise InputError(f"{path}: {designation} may hold over 100 wt% of alloying elements")
    return limits


def number_of(designation):
    """The number that an alloy's draws depend on: its designation where that is one, else one made of its letters."""
    if designation.isascii() and designation.isdecimal() and str(int(designation)) == designation:
        return int(designation)
    return int.from_bytes(hashlib.sha256(designation.encode()).digest()[:8])


def draw_compositions(designation, limits, number, seed):
    """Compositions in wt% (number, len(ELEMENTS)), uniform in one alloy's limits; the same prefix for any number."""
    compositions = np.zeros((number, len(ELEMENTS)))
    for i in range(number):
        rng = np.random.default_rng([seed, number_of(designation), i])
        for element, (least, most) in limits.items():
            compositions[i, ELEMENTS.index(element)] = rng.uniform(least, most)
        if designation == "6053":  # its silicon is registered as 45 to 65 % of its magnesium
            compositions[i, ELEMENTS.index("SI")] = rng.uniform(0.45, 0.65) * compositions[i, ELEMENTS.index("MG")]
    return compositions


def mole_fractions(composition, present=()):
    """{element: mole fraction} of a composition in wt% (len(ELEMENTS),); Al comes first.

    Elements of zero wt% are left out, unless they are among `present`; what is there has at least TRACE.

    Raises:
        InputError: negative or not finite wt%, or no aluminium left.
    """
    composition = np.asarray(composition, float)
    if composition.shape != (len(ELEMENTS),) or not np.all(np.isfinite(composition)) or composition.min() < 0:
        raise InputError(f"a composition is {len(ELEMENTS)} values in wt%, none negative: {', '.join(ELEMENTS)}")
    if composition.sum() >= 100:
        raise InputError(
            f"the composition holds {composition.sum():.1f} wt% of alloying elements: nothing is left for aluminium"
        )
    moles = {"AL": (100 - composition.sum()) / MASSES["AL"]}
    moles |= {e: wt / MASSES[e] for e, wt in zip(ELEMENTS, composition) if wt > 0 or e in present}
    total = sum(moles.values())
    return {element: max(value / total, TRACE) for element, value in moles.items()}
