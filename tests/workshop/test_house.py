"""The house: which room may import which, what may be imported at all, and where an import may stand."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"

# From the ground up: a room imports those before it and itself, never one after it.
FLOORS = (
    "kvroles.said",
    "kvroles.errors",
    "kvroles.digest",
    "kvroles.places",
    "kvroles.progress",
    "kvroles.console",
    "kvroles.evidence",
    "kvroles.contract",
    "kvroles.series",
    "kvroles.sources.archive",  # a member of an archive is what the stage writes
    "kvroles.tree",
    "kvroles.sources",
    "kvroles.apply",
    "kvroles.vendored",
    "kvroles.migrate",
    "kvcommand",
    "kvworkshop",
)
# House 2 has libraries of its own; of house 1 it may know this much.
OF_HOUSE_1 = {"errors", "said", "digest", "places", "progress", "console", "evidence", "series"}
# The parts of house 1 that run on a build machine only; everything else needs the standard library alone.
WITH_LIBRARIES = ("kvroles.vendored.wheel", "kvroles.vendored.image", "kvroles.vendored.provenance", "kvroles.migrate")


class Import(NamedTuple):
    """``module`` imports ``target`` at ``line``; ``lazy``: inside a function, ``marked`` with the reason."""

    module: str
    target: str
    line: int
    lazy: bool
    marked: bool


@cache
def modules() -> dict[str, Path]:
    out = {}
    for package in ("kvroles", "kvworkshop", "kvcommand"):
        for path in (TOOLS / package).rglob("*.py"):
            name = ".".join(path.relative_to(TOOLS).with_suffix("").parts)
            if "drivers" not in path.parts:  # programs for other environments, which import vLLM
                out[name.removesuffix(".__init__")] = path
    return out


@cache
def imports() -> tuple[Import, ...]:
    return tuple(i for name, path in modules().items() for i in _imports(name, path))


def _imports(name: str, path: Path) -> Iterator[Import]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    tree = ast.parse(source)
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    top |= {id(n) for node in tree.body if isinstance(node, ast.Try | ast.If) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom) or id(node) in typing:
            continue
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}:{node.lineno} imports by dots"
        near = lines[max(0, node.lineno - 4) : node.end_lineno]
        marked = any("# lazy: " in line for line in near)
        for target in _targets(node):
            yield Import(name, target, node.lineno, id(node) not in top, marked)


def _targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    for alias in node.names:
        whole = f"{node.module}.{alias.name}"
        yield whole if whole in modules() else str(node.module)


def floor(module: str) -> int:
    """The number of the room that ``module`` is in; packages that only say what they hold are on the ground."""
    found = [n for n, room in enumerate(FLOORS) if module == room or module.startswith(room + ".")]
    return found[0] if found else -1


def test_every_module_is_in_a_room() -> None:
    stray = [m for m in modules() if floor(m) < 0 and m not in ("kvroles", "kvroles.data")]
    assert stray == []


def test_no_room_imports_one_above_it() -> None:
    up = [
        f"{i.module}:{i.line} imports {i.target}" for i in imports()
        if i.target in modules() and floor(i.module) < floor(i.target)
    ]  # fmt: skip
    assert up == []


def test_the_second_house_knows_little_of_the_first() -> None:
    known = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if i.module.startswith("kvroles.migrate") and i.target.startswith("kvroles.")
        if i.target.split(".")[1] not in {*OF_HOUSE_1, "migrate"}
    ]
    assert known == []


def test_the_first_house_needs_the_standard_library_alone() -> None:
    others = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if i.module.startswith("kvroles") and not i.module.startswith(WITH_LIBRARIES)
        if i.target.partition(".")[0] not in {*sys.stdlib_module_names, "kvroles", "kvworkshop", "kvcommand", "vllm"}
    ]
    assert others == []


def test_no_import_goes_in_a_circle() -> None:
    graph: dict[str, set[str]] = {m: set() for m in modules()}
    for i in imports():
        if i.target in graph and i.target != i.module:
            graph[i.module].add(i.target)
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        if module in way:
            pytest.fail(" -> ".join([*way[way.index(module) :], module]))
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_an_import_inside_a_function_says_why() -> None:
    silent = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if i.lazy and not i.marked and i.target.partition(".")[0] != "vllm"
    ]
    assert silent == []
