"""Files of alloys and their phase matrices: one .npz a class, or all classes packed into one."""

import numpy as np

from common.data.readers import read_arrays
from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import PHASES, TEMPERATURES
from common.errors import InputError
from common.runs.storage import write_npz

NOTICE = "Made from mc_al v2.032 (MatCalc, TU Wien), Open Database License 1.0."


def read_classes(path):
    """What a file holds: designations, compositions, matrices, phases, elements, temperatures, database.

    Raises:
        InputError: no such file, or a damaged one.
    """
    damaged = "is no file of phase matrices ({}): delete it and compute it again"
    arrays = read_arrays(path, "compute the alloys with --make-data", damaged)
    try:
        number = len(arrays["matrices"])
        designations = np.broadcast_to(arrays["designations"], number).astype(str)
        shapes = (number, len(arrays["phases"]), len(arrays["temperatures"])), (number, len(arrays["elements"]))
        whole = (arrays["matrices"].shape, arrays["compositions"].shape) == shapes
        numbers = [arrays[name].dtype.kind in "iuf" for name in ("matrices", "compositions", "temperatures")]
        amounts = arrays["compositions"] if all(numbers) else np.full((1, 1), np.nan)
        # NaN is none of these.
        whole = whole and bool(np.all(amounts >= 0) and np.all(amounts.sum(1) < 100))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} {damaged.format(error)}") from error
    if not whole:
        wanted = "matrices of numbers, and compositions of 0 wt% and more, under 100 in all"
        raise InputError(f"{path} has arrays that do not fit ({wanted}): delete it and compute it again")
    found = {key: tuple(arrays[key].tolist()) for key in ("phases", "elements")}
    found |= {key: arrays[key] for key in ("matrices", "compositions", "temperatures")}
    return found | {"designations": designations, "database": str(arrays.get("database", ""))}


def write_classes(path, arrays):
    """Write designations, compositions, matrices and the database's fingerprint."""
    write_npz(path, {"elements": ELEMENTS, "phases": PHASES, "temperatures": TEMPERATURES} | arrays)


def database_of(path, parts):
    """Fingerprint of the one database that all of `read_classes`' parts were computed by.

    Raises:
        InputError: there are several.
    """
    databases = {part["database"] for part in parts}
    if len(databases) > 1:
        raise InputError(f"{path} has alloys that were computed by {len(databases)} databases: compute all by one")
    return databases.pop()
