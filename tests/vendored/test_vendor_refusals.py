"""Each refusal of ``vendor`` has a row in refusals.tsv: the test that runs what its fix line says, or why no command can help."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from support.docs import ROOT

HOUSE = ROOT / "tools/kvroles/vendored"
TABLE = Path(__file__).with_name("refusals.tsv")
RAISED = {"UsageError", "DoesNotApply", "Unproven", "NoSource", "KvRolesError", "os_error"}
RUNS = ("pasted(", "subprocess.run(", "vendor(", "written(", ".fix()")  # what runs it


def refusals() -> Iterator[tuple[str, str]]:
    """(module and function with a number, source of the fix line) of each refusal that is made in the house."""
    for path in sorted(HOUSE.rglob("*.py")):
        module = path.relative_to(HOUSE).with_suffix("").as_posix().replace("/", ".")
        count: Counter[str] = Counter()
        for function, call in _calls(ast.parse(path.read_text()), ""):
            count[function] += 1
            fix = next((k.value for k in call.keywords if k.arg == "fix"), None)
            if getattr(call.func, "id", "") == "os_error" and len(call.args) > 2:
                fix = call.args[2]
            yield f"{module}.{function}.{count[function]}", "" if fix is None else ast.unparse(fix)


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef) else function
        if isinstance(child, ast.Call) and getattr(child.func, "id", "") in RAISED:
            yield inside, child
        yield from _calls(child, inside)


@functools.cache
def _tests() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[node.name] = ast.get_source_segment(text, node) or ""
    return found


def rows() -> list[list[str]]:
    return [line.split("\t") for line in TABLE.read_text().splitlines() if not line.startswith("#")]


def test_every_refusal_has_one_row_and_every_row_a_refusal() -> None:
    assert sorted(place for place, _ in refusals()) == sorted(row[0] for row in rows())


def test_what_a_row_names_is_a_test_that_runs_something_or_a_reason() -> None:
    for place, way, by in rows():
        assert way in ("command", "option", "words"), place
        if way == "words":
            assert len(by.split()) > 3, place
        else:
            assert any(word in _tests()[by] for word in RUNS), (place, by)


def test_a_refusal_without_a_fix_line_is_one_that_words_answer() -> None:
    ways = {place: way for place, way, _ in rows()}
    assert [p for p, fix in refusals() if not fix and ways[p] != "words"] == []
