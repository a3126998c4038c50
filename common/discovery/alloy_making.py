"""Data sets of alloys computed by CALPHAD: compositions drawn within the limits of each class, and their diagrams."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.discovery import alloy_files, alloys
from common.discovery.alloying import ELEMENTS, draw_compositions, read_limits
from common.discovery.calphad import PHASES, TEMPERATURES, TEXTBOOK, phase_diagrams
from common.discovery.records import file_fingerprint
from common.errors import InputError
from common.runs.jobs import run_jobs
from common.runs.storage import check_apart

SAVE_EVERY = 20  # alloys


def compute_class(tdb, designation, limits, number, seed, path):
    """Write (or finish) one class's file: `number` compositions, phase matrices (float16); returns how many failed.

    The file is rewritten every SAVE_EVERY alloys, and alloy i depends on (seed, designation, i) alone, so that a run
    that was cut off goes on, and a larger number extends a smaller one.
    """
    compositions, database = draw_compositions(designation, limits, number, seed), file_fingerprint(tdb)
    matrices = _known(path, tdb, compositions)
    while len(matrices) < number:
        stop = min(number, len(matrices) + SAVE_EVERY)
        diagrams = phase_diagrams(tdb)
        new = [diagrams.matrix(composition) for composition in compositions[len(matrices) : stop]]
        matrices = np.concatenate([matrices, np.array(new, np.float16)])
        meanwhile = _known(path, tdb, compositions)
        if len(meanwhile) < len(matrices):
            arrays = {"compositions": compositions[:stop], "matrices": matrices, "designations": designation}
            alloy_files.write_classes(path, arrays | {"database": database})
        else:  # another process is ahead
            matrices = meanwhile
    return int(np.isnan(matrices[:number]).any((1, 2)).sum())


def _known(path, tdb, compositions):
    """Phase matrices (n, phases, temperatures) of the first n compositions, or of more, that a file holds; or none.

    Raises:
        InputError: they are of other alloys, phases or temperatures, or by another database.
    """
    if not Path(path).exists():
        return np.empty((0, len(PHASES), len(TEMPERATURES)), np.float16)
    known = alloy_files.read_classes(path)
    alike = min(len(known["matrices"]), len(compositions))
    same = np.array_equal(known["compositions"][:alike], compositions[:alike])
    same = same and np.array_equal(known["temperatures"], TEMPERATURES)
    if not same or (known["phases"], known["elements"]) != (PHASES, ELEMENTS):
        raise InputError(f"{path} holds other alloys: choose another folder or --seed, or delete it")
    if known["database"] != file_fingerprint(tdb):
        raise InputError(f"{path} was computed by another database than {tdb}: choose another folder, or delete it")
    return known["matrices"]


def make_data(tdb, limits, number, seed, folder, jobs=1, scheduler=None, packed=None):
    """Compute `number` alloys of each class into a folder, one file a class; goes on where an earlier call was cut off.

    Says how many equilibria were not found, and how melting ranges compare with handbooks'.

    Args:
        limits: {designation: {element: (least, most wt%)}} of the classes, see `chosen_limits`.
        packed: also write all classes into this .npz.

    Raises:
        InputError: before anything is computed, a folder of alloys by another database, or `packed` among its classes.
    """
    known = [
        file
        for file in sorted(Path(folder).glob("*.npz"))
        if alloy_files.read_classes(file)["database"] != file_fingerprint(tdb)
    ]
    if known:
        raise InputError(f"{known[0]} was computed by another database than {tdb}: choose another folder, or delete it")
    check_apart(packed, {"--tdb": tdb}, "give --pack another file")
    if packed is not None and Path(packed).resolve().parent == Path(folder).resolve():
        raise InputError(f"--pack {packed} would be one more class of {folder}: choose another folder")
    items = [(tdb, name, limits[name], number, seed, Path(folder) / f"{name}.npz") for name in limits]
    for designation, failed in tqdm(run_jobs(_compute_class, items, jobs, scheduler), "classes", len(items)):
        tqdm.write(f"{designation}: {number - failed} of {number} equilibria found")
    data = alloys.load(folder)
    found = f"{len(data.matrices)} alloys of {len(data.names)} classes, {len(data.phases)} phases"
    print(f"{found}, in {folder}; failed: {data.failed or 'none'}")
    print(*_melting_ranges(tdb, data), sep="\n")
    if packed is not None:
        pack(folder, packed, number)
        print(f"packed: {packed}")


def _compute_class(item):
    return item[1], compute_class(*item)


def chosen_limits(tdb, path, designations=None):
    """{designation: limits} of the classes asked for (all), in a table of limits; the database has their elements.

    Raises:
        InputError: see `alloying.read_limits` and `PhaseDiagrams`; no database, or a class without limits.
    """
    if not tdb:
        raise InputError("--make-data needs a thermodynamic database: name it with --tdb")
    limits = read_limits(path)
    designations = alloys.in_full(designations or limits)
    unknown = [name for name in designations if name not in limits]
    if unknown:
        raise InputError(f"no composition limits for {unknown[0]}: known are {', '.join(limits)}")
    chosen = {name: limits[name] for name in designations}
    phase_diagrams(tdb).check(chosen.values())
    return chosen


def _melting_ranges(tdb, data):
    """Lines that compare the mean alloys of classes with handbooks' melting ranges."""
    compositions = alloys.class_means(data)[1]
    for name in [name for name in TEXTBOOK if name in data.names]:
        found = phase_diagrams(tdb).melting_range(compositions[data.names.index(name)])
        liquidus, solidus = (f"{own:.0f} K (handbooks {known})" for own, known in zip(found, TEXTBOOK[name]))
        yield f"{name}: liquidus {liquidus}, solidus {solidus}"


def pack(folder, path, number):
    """Write the first `number` alloys of each class in a folder into one .npz."""
    parts = [alloy_files.read_classes(file) for file in sorted(Path(folder).glob("*.npz"))]
    short = [str(part["designations"][0]) for part in parts if len(part["matrices"]) < number]
    if short or not parts:
        raise InputError(
            f"{folder} has fewer than {number} alloys of {', '.join(short) or 'any class'}: compute them first"
        )
    joined = {
        key: np.concatenate([part[key][:number] for part in parts])
        for key in ("compositions", "matrices", "designations")
    }
    alloy_files.write_classes(
        path, joined | {"notice": alloy_files.NOTICE, "database": alloy_files.database_of(folder, parts)}
    )
