"""The refusals that the code can make, and the table that names for each one the test of its way out.

A row holds three columns. The first is the place: module, function, and the number of the refusal in that function. The
second is the way out: ``command`` (the fix line names a command), ``option`` (it names an option or another argument) or
``cause`` (what the message names is mended outside of the tool). The third is the test that causes the refusal, takes the way
out, and sees the run go on.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from kvroles.errors import KvRolesError

from .docs import ROOT

_RAISED = {"UsageError", "DoesNotApply", "Unproven", "NoSource", "KvRolesError", "os_error"}
_RUNS = re.compile(
    r"\b(pasted|run|tool|vendor|written|fix|apply|later|done|main|new_tree|Screen|fetching|script|default_cache_dir|default_index|given|put_in_place|started|ran|of_archive|archive_bytes|_shipped|imported|build)\("
)  # what runs it
_TEST = re.compile(
    r"^def (test_\w+)\(.*(?:\n(?:\) ->.*|[ \t].*)?(?=\n|\Z))*", re.MULTILINE
)  # a function, with its body
WAYS = ("command", "option", "cause")
_SHARED = 2  # a test of more rows than that has a case for each, named for its place


@dataclass(frozen=True)
class Refusal:
    """One call that makes an error: its ``place``, its lines in ``path``, and the source of its fix line ("" without one)."""

    place: str
    path: Path
    first: int
    last: int
    fix: str


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    place: str
    way: str
    by: str


@dataclass(frozen=True)
class Table:
    """The refusals below the folders ``houses``, without those below ``but``, and the file of rows that answers them."""

    file: Path
    houses: Sequence[Path]
    but: Sequence[Path] = ()

    def refusals(self) -> list[Refusal]:
        return [r for house in self.houses for r in _below(house) if not any(b in r.path.parents for b in self.but)]

    def rows(self) -> list[Row]:
        lines = self.file.read_text().splitlines()
        return [Row(*line.split("\t")) for line in lines if not line.startswith("#")]

    def check(self) -> list[str]:
        """What is wrong with the table: empty where each refusal has one row, and each row a test."""
        refusals, rows = self.refusals(), self.rows()
        fixes = {r.place: r.fix for r in refusals}
        counted = Counter(row.place for row in rows)
        wrong = [f"{place}: no row in {self.file.name}" for place in fixes if not counted[place]]
        wrong += [f"{place}: {n} rows" for place, n in counted.items() if n > 1]
        for row in rows:
            if row.place not in fixes:
                wrong.append(f"{row.place}: no such refusal")
            elif row.way not in WAYS:
                wrong.append(f"{row.place}: {row.way} is no way")
            elif row.way != "cause" and not fixes[row.place]:
                wrong.append(f"{row.place}: {row.way}, and the refusal has no fix line")
            elif row.by not in _tests():
                wrong.append(f"{row.place}: {row.by} is not one test")
            elif not _RUNS.search(_tests()[row.by]):
                wrong.append(f"{row.place}: {row.by} runs nothing")
        return wrong

    def unnamed(self) -> list[str]:
        """The rows of a test of more than ``_SHARED`` of them that has no case by the name of the row's place."""
        counted = Counter(row.by for row in self.rows())
        shared = [row for row in self.rows() if counted[row.by] > _SHARED]
        return [f"{r.place}: {r.by} has no case of that name" for r in shared if r.place not in _quoted()[r.by]]


TABLE = Table(
    ROOT / "tests/command/refusals.tsv",
    [ROOT / "tools/kvroles", ROOT / "tools/kvcommand"],
    [ROOT / "tools/kvroles/vendored"],
)
VENDORED = Table(ROOT / "tests/vendored/refusals.tsv", [ROOT / "tools/kvroles/vendored"])


def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that from now on gets the place of each refusal that this process makes, the last one last."""
    found: list[str] = []
    real = KvRolesError.__init__

    def noted(self: KvRolesError, *args: object, **kw: object) -> None:
        frame = sys._getframe(1)
        while frame.f_code.co_filename.endswith("/kvroles/errors.py") and frame.f_back is not None:
            frame = frame.f_back
        found.append(place_of(f"{frame.f_code.co_filename}:{frame.f_lineno}"))
        real(self, *args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(KvRolesError, "__init__", noted)
    return found


class Named(Protocol):
    """A case of a refusal."""

    @property
    def place(self) -> str: ...


def slow_but_some(cases: Sequence[Named], quick: set[str]) -> list[Any]:
    """``cases`` for ``parametrize``, each by its place: those of ``quick`` run by default, the others are ``slow``."""
    marks = {c.place: () if c.place in quick else (pytest.mark.slow,) for c in cases}
    return [pytest.param(c, id=c.place, marks=marks[c.place]) for c in cases]


def place_of(line: str) -> str:
    """The place of the refusal that ``line``, a file below some ``tools`` and a number, makes; "" where it makes none."""
    file, _, number = line.rpartition(":")
    for r in _all():
        if file.endswith(f"/{r.path.relative_to(ROOT).as_posix()}") and r.first <= int(number) <= r.last:
            return r.place
    return ""


@functools.cache
def _all() -> list[Refusal]:
    return [*TABLE.refusals(), *VENDORED.refusals()]


@functools.cache
def _below(house: Path) -> tuple[Refusal, ...]:
    return tuple(_found(house))


def _found(house: Path) -> Iterator[Refusal]:
    for path in sorted(house.rglob("*.py")):
        module = path.relative_to(house).with_suffix("").as_posix().replace("/", ".")
        count: Counter[str] = Counter()
        for function, call in _calls(ast.parse(path.read_text()), ""):
            count[function] += 1
            fix = next((k.value for k in call.keywords if k.arg == "fix"), None)
            if getattr(call.func, "id", "") == "os_error" and len(call.args) > 2:
                fix = call.args[2]
            named = "" if fix is None or ast.unparse(fix) == "None" else ast.unparse(fix)
            yield Refusal(
                f"{module}.{function}.{count[function]}", path, call.lineno, call.end_lineno or call.lineno, named
            )


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef) else function
        if isinstance(child, ast.Call) and _is_refusal(child):
            yield inside, child
        yield from _calls(child, inside)


def _is_refusal(call: ast.Call) -> bool:
    """Whether ``call`` makes an error of ours: by its class, or as a class of its own that passes a fix line on."""
    own = ast.unparse(call.func) == "super().__init__" and any(k.arg == "fix" for k in call.keywords)
    return own or getattr(call.func, "id", "") in _RAISED


@functools.cache
def _quoted() -> dict[str, set[str]]:
    """The words between quotes in the module of each test, by the test's name: the names of its cases are among them."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").glob("**/test_*.py"):
        text = path.read_text()
        words = set(re.findall(r'"([\w.]+)"', text))
        found |= {m[1]: words for m in _TEST.finditer(text)}
    return found


@functools.cache
def _tests() -> dict[str, str]:
    """The source of each test, by its name; a name that two tests bear stands for neither."""
    found: dict[str, list[str]] = {}
    for path in (ROOT / "tests").glob("**/test_*.py"):
        for m in _TEST.finditer(path.read_text()):
            found.setdefault(m[1], []).append(m[0])
    return {name: sources[0] for name, sources in found.items() if len(sources) == 1}
