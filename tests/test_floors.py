"""The house has floors: a module imports only from those strictly below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gowork"

FLOORS = {
    "gowork.errors": 0,
    "gowork.interfaces": 0,
    "gowork.dice": 0,
    "gowork.postponing": 0,
    "gowork.threads": 0,
    "gowork._speedups": 0,
    "gowork.clocks": 1,
    "gowork.greenlets": 1,
    "gowork.logs": 1,
    "gowork.crews": 2,
    "gowork.routines": 1,
    "gowork.scopes": 1,
    "gowork.stackchunks": 1,
    "gowork.states": 1,
    "gowork.parties": 1.5,
    "gowork.exchanges": 1.6,
    "gowork.selects": 1.7,
    "gowork.events": 2,
    "gowork.forks": 2,
    "gowork.homes": 2,
    "gowork.channels": 2.5,
    "gowork.endings": 3,
    "gowork.pingpong": 3,
    "gowork.tasks": 3,
    "gowork.gates": 3.3,
    "gowork.joins": 3.3,
    "gowork.outcomes": 3.3,
    "gowork.windups": 3.5,
    "gowork.lifecycles": 3.6,
    "gowork.setups": 3.8,
    "gowork.jobs": 4,
    "gowork.net.buffers": 5,
    "gowork.net.frames": 5,
    "gowork.net.sockets": 5,
    "gowork.net.addresses": 5.1,
    "gowork.net.tls": 5.1,
    "gowork.net.states": 5,
    "gowork.net.messages": 5.1,
    "gowork.net.streams": 5.1,
    "gowork.net.managers": 5.2,
    "gowork.net.relays": 5.2,
    "gowork.testing.errors": 5,
    "gowork.testing.clocks": 5,
    "gowork.testing.descriptors": 5,
    "gowork.testing.traces": 5,
    "gowork.testing.faults": 5,
    "gowork.testing.wires": 5.05,
    "gowork.testing.networks": 5.1,
    "gowork.testing.patches": 5.1,
    "gowork.testing.schedules": 5.1,
    "gowork.testing.watchers": 5.1,
    "gowork.testing.factories": 5.2,
    "gowork.testing.leaks": 5.2,
    "gowork.testing.loops": 5.3,
    "gowork.testing.options": 5.2,
    "gowork.testing.reports": 5.2,
    "gowork.testing.strategies": 5.2,
    "gowork.testing.timers": 5.2,
    "gowork.testing.hubs": 5.4,
    "gowork.testing.simulations": 5.5,
    "gowork.testing.explorations": 5.6,
    "gowork.testing": 5.7,
    "gowork.testing.plugin": 5.8,
    "gowork.net": 5.9,
    "gowork": 6,
}
LONGEST_FILE = 400  # lines

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
every_module = pytest.mark.parametrize("name", MODULES)


def imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Each import statement and the name of a module it imports, but for TYPE_CHECKING's."""
    exempt = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in exempt:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node, full if full in MODULES else str(node.module)


def imported_by(name: str) -> set[str]:
    return {imported for _, imported in imports(ast.parse(MODULES[name].read_text()))}


def is_ours(module: str) -> bool:
    return module == "gowork" or module.startswith("gowork.")


@every_module
def test_every_module_has_a_floor(name):
    assert name in FLOORS, f"{name} is missing in FLOORS"


@every_module
def test_a_module_imports_only_from_floors_strictly_below(name):
    for imported in filter(is_ours, imported_by(name)):
        # An extension is on the floor of its source.
        source = imported if imported in FLOORS else imported.replace("._", ".")
        assert FLOORS[source] < FLOORS[name], f"{name} imports {imported}"


@every_module
def test_nothing_is_imported_inside_a_function_and_nothing_relatively(name):
    tree = ast.parse(MODULES[name].read_text())
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = [n for n in ast.walk(outer) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inside, f"{name}: line {inside[0].lineno}"
        if isinstance(outer, ast.ImportFrom):
            assert outer.level == 0, f"{name}: line {outer.lineno}"


@every_module
def test_no_file_is_too_long_to_read(name):
    assert len(MODULES[name].read_text().splitlines()) <= LONGEST_FILE


@every_module
def test_a_module_opens_with_one_sentence_of_purpose(name):
    docstring = ast.get_docstring(ast.parse(MODULES[name].read_text()))
    assert docstring, name
    assert docstring.splitlines()[0].endswith("."), docstring.splitlines()[0]


@every_module
def test_only_net_messages_imports_msgspec(name):
    importing = any(module.split(".")[0] == "msgspec" for module in imported_by(name))
    assert importing == (name == "gowork.net.messages")


def test_the_front_door_imports_neither_net_nor_testing():
    beyond = ("gowork.net", "gowork.testing")
    assert not [module for module in imported_by("gowork") if module.startswith(beyond)]


@every_module
def test_time_is_read_through_its_module(name):
    tree = ast.parse(MODULES[name].read_text())
    bound = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "time"]
    assert not bound


@every_module
def test_nothing_is_pickled_and_nothing_patched(name):
    forbidden = {"pickle", "marshal", "shelve"}
    assert not {module.split(".")[0] for module in imported_by(name)} & forbidden
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("patch_"), f"{name}: line {node.lineno}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os, gowork.jobs", ["os", "gowork.jobs"]),
        ("from gowork import logs", ["gowork.logs"]),
        ("from gowork.jobs import Job", ["gowork.jobs"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import x", ["typing"]),
        (
            "import typing\nif typing.TYPE_CHECKING:\n    import x\nelse:\n    import y",
            ["typing", "y"],
        ),
        ("def f():\n    import z", ["z"]),
    ],
)
def test_the_imports_are_read_as_they_should_be(source, found):
    assert [module for _, module in imports(ast.parse(source))] == found
