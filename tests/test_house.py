"""The house's floors: what may import what (the imports are read from the code, nothing is run)."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from conftest import ROOT

SYSTEMS = {"hypervae", "discovery", "implicit", "tvae"}
FLOORS = {  # room: the rooms below it
    "errors": set(),
    "names": set(),
    "layers": {"errors"},
    "quiet": set(),
    "cli": {"errors", "names", "quiet"},
    "runs": {"errors", "names", "quiet"},
    "data": {"errors", "names"},
    **{system: {"errors", "names", "layers", "cli", "runs", "data"} for system in SYSTEMS},
    "report": {"errors", "names", "runs", *SYSTEMS},
}
MODULES = sorted((ROOT / "common").rglob("*.py"))


def imported_by(node):
    """Full names of the modules, and of what else, that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path):
    """Full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        yield from imported_by(node)


def room(path):
    return path.relative_to(ROOT / "common").with_suffix("").parts[0]


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_imports_its_own_floor_or_a_higher_one(path):
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("common.")}
    assert rooms <= FLOORS[room(path)] | {room(path)}


def test_every_room_is_on_a_floor():
    assert {room(path) for path in MODULES} - {"__init__"} == set(FLOORS)


def test_no_modules_import_each_other_in_a_loop():
    """Not even inside functions."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    try:
        TopologicalSorter({name: names.keys() & set(imported(path)) for name, path in names.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", ["tensorflow_datasets", "dask", "distributed"])
def test_what_few_runs_need_is_imported_where_it_is_used(package):
    for path in [*MODULES, *ROOT.glob("[0-9]*_*.py")]:
        names = [name for node in ast.parse(path.read_text()).body for name in imported_by(node)]
        assert not any(name.split(".")[0] == package for name in names), path


def loaded_with(path):
    """Modules of ours that are loaded with one of them, itself among them."""
    found, waiting = set(), {path}
    while waiting:
        own = waiting.pop()
        found.add(own)
        names = {name for node in ast.parse(own.read_text()).body for name in imported_by(node)}
        waiting |= {ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in names} & set(MODULES) - found
    return found


@pytest.mark.parametrize("system", ["implicit", "tvae"])
def test_what_needs_no_probability_distributions_does_not_load_them(system):
    """TensorFlow Probability takes as long to start as TensorFlow."""
    for path in (ROOT / "common" / system).glob("*.py"):
        for own in loaded_with(path):
            names = {name for node in ast.parse(own.read_text()).body for name in imported_by(node)}
            assert not any(name.startswith("tensorflow_probability") for name in names), own


def test_scripts_hold_arguments_and_the_order_of_steps():
    for path in ROOT.glob("[0-9]*_*.py"):
        assert len(path.read_text().splitlines()) <= 170, path
