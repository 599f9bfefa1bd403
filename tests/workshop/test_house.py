"""The house: which room may import which, what may be imported at all, and where an import may stand."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvworkshop.house import OF_HOUSE_1, WITH_LIBRARIES, floor, imports, modules, picture, picture_of_migrate

ROOT = Path(__file__).resolve().parents[2]


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


def test_no_module_binds_a_name_twice() -> None:
    """A second binding at a module's top would replace the first for the functions above it, too."""
    twice = []
    for name, path in modules().items():
        bound: Counter[str] = Counter()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound[node.name] += 1
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                bound.update(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
        twice += [f"{name}: {word}" for word, times in bound.items() if times > 1]
    assert twice == []


def test_an_import_inside_a_function_says_why() -> None:
    silent = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if i.lazy and not i.marked and i.target.partition(".")[0] != "vllm"
    ]
    assert silent == []


def test_every_function_class_and_constant_is_used_somewhere() -> None:
    code = [p for folder in ("tools", "bench") for p in (ROOT / folder).rglob("*.py")]
    code += [p for p in (ROOT / "tests").rglob("*.py") if "corpus" not in p.parts]
    used = Counter(w for p in code for w in re.findall(r"\w+", p.read_text(encoding="utf-8")))
    defined = [(m, name) for m, path in modules().items() for name in _defined(path)]
    assert [f"{m}.{name}" for m, name in defined if used[name] < 2] == []


def _defined(path: Path) -> Iterator[str]:
    """The names that a module defines at its top, but for those that Python itself reads."""
    for node in ast.parse(path.read_bytes()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                found = [name]
            case ast.Assign(targets=targets):
                found = [t.id for t in targets if isinstance(t, ast.Name)]
            case _:
                found = []
        yield from (name for name in found if not name.startswith("__"))


def test_contributing_shows_the_house_as_its_imports_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert shown == [picture(), picture_of_migrate()]


def test_what_a_change_opens_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## I want to change")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) >= 10
    for row in rows:
        named = re.findall(r"`((?:tools|patches|tests|docs|vllm_overlay|bench)/[\w./*-]*)`", row)
        assert named, row
        assert all(list(ROOT.glob(name.rstrip("/"))) for name in named), row
        assert len([n for n in named if n.startswith("tools/")]) <= 3, row
