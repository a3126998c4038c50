"""The house's floors: what may import what (the imports are read from the code, nothing is run)."""

import ast

import pytest
from conftest import ROOT

SYSTEMS = {"hypervae", "discovery", "implicit", "tvae"}
FLOORS = {  # room: the rooms below it
    "errors": set(),
    "names": set(),
    "layers": {"errors"},
    "quiet": set(),
    "cli": {"errors", "quiet"},
    "runs": {"errors", "names", "quiet"},
    "data": {"errors", "names"},
    **{system: {"errors", "names", "layers", "cli", "runs", "data"} for system in SYSTEMS},
    "report": {"errors", "names", "runs", *SYSTEMS},
}
MODULES = sorted((ROOT / "common").rglob("*.py"))


def imported(path):
    """Full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(ROOT / "common").with_suffix("").parts[0]


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_imports_its_own_floor_or_a_higher_one(path):
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("common.")}
    assert rooms <= FLOORS[room(path)] | {room(path)}


def test_every_room_is_on_a_floor():
    assert {room(path) for path in MODULES} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("package", ["tensorflow_datasets", "dask", "distributed"])
def test_what_few_runs_need_is_imported_where_it_is_used(package):
    for path in [*MODULES, *ROOT.glob("[0-9]*_*.py")]:
        top = ast.parse(path.read_text()).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in top if isinstance(node, ast.ImportFrom)]
        assert not any(name.split(".")[0] == package for name in names), path


def test_scripts_hold_arguments_and_the_order_of_steps():
    for path in ROOT.glob("[0-9]*_*.py"):
        assert len(path.read_text().splitlines()) <= 170, path
