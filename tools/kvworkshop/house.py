"""The house as its imports show it: which room may import which, and the pictures of it in CONTRIBUTING.md.

Print the pictures with ``python -m kvworkshop.house`` in ``tools/``; ``tests/workshop/test_house.py`` holds all of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kvroles.console import say

from kvworkshop import own

TOOLS = own.ROOT / "tools"

# From the ground up: a room imports those before it and itself, never one after it.
FLOORS = (
    "kvroles.said",
    "kvroles.errors",
    "kvroles.console",
    "kvroles.digest",
    "kvroles.places",
    "kvroles.progress",
    "kvroles.evidence",
    "kvroles.contract",
    "kvroles.series",
    "kvroles.tree",
    "kvroles.sources",
    "kvroles.apply",
    "kvroles.vendored",
    "kvroles.migrate.model",
    "kvroles.migrate.files",
    "kvroles.migrate.readers.registry",
    "kvroles.migrate.connector",
    "kvroles.migrate.readers",
    "kvroles.migrate.beside",
    "kvroles.migrate.codes",
    "kvroles.migrate.verdict",
    "kvroles.migrate",
    "kvcommand",
    "kvworkshop",
)
# House 2 has libraries of its own; of house 1 it may know this much.
OF_HOUSE_1 = {"errors", "said", "digest", "places", "progress", "console", "evidence", "series", "tree"}
# The parts of house 1 that run on a build machine only; everything else needs the standard library alone.
WITH_LIBRARIES = ("kvroles.vendored.wheel", "kvroles.vendored.image", "kvroles.vendored.provenance", "kvroles.migrate")


class Import(NamedTuple):
    """``module`` imports ``target`` at ``line``, if only for a type.

    ``lazy``: the import stands inside a function; ``marked``: a comment there says why.
    """

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
    top = {id(node) for node in tree.body}
    top |= {id(n) for node in tree.body if isinstance(node, ast.Try | ast.If) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{path}:{node.lineno} imports by dots")
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
    """The number of the room that ``module`` is in; -1 for the packages around the rooms, which hold a docstring only."""
    found = [n for n, room in enumerate(FLOORS) if module == room or module.startswith(room + ".")]
    return found[0] if found else -1


# The rooms as the picture shows them, and what each holds.
ROOMS = {
    "ground": "ground: errors, console, said, places, digest, progress",
    "kvroles.evidence": "evidence: which side a role is on, and by what sign",
    "kvroles.contract": "contract: what must hold of a patched tree",
    "kvroles.series": "series: topics, variants, lock",
    "kvroles.tree": "tree: reads, writes, journal, stage",
    "kvroles.sources": "sources: index, archives, cache, git",
    "kvroles.apply": "apply: plan, prove, change",
    "kvroles.vendored": "vendored: wheel, installed, image, provenance",
    "kvroles.migrate": "migrate: readers, findings, rewrite, report",
    "kvcommand": "kv-roles: the dispatcher",
    "kvworkshop": "workshop: verify, port, lint, effects, pages, runtime",
}
# The second house from within. Its ground is what every room of it may know.
ROOMS_OF_MIGRATE = {
    "ground": "ground: model, codes, result, redact",
    "kvroles.migrate.files": "files: walk, bytes searched, processes, neighbours, rewrite",
    "kvroles.migrate.readers.registry": "registry: which language a file is in",
    "kvroles.migrate.connector": "connector: whose role it is",
    "kvroles.migrate.readers": "readers: a language each, text in, sites out",
    "kvroles.migrate.beside": "beside: what the files round it say",
    "kvroles.migrate.verdict": "verdict: which side, what goes with it, what to do",
    "kvroles.migrate": "the run: search, settings, findings, answers, review, report, cluster, cli",
}
_GROUND_OF_MIGRATE = {f"kvroles.migrate.{name}" for name in ("model", "codes", "result", "redact")}


def _within(module: str, rooms: Iterable[str]) -> str:
    """Which of ``rooms`` a module is in: the first that its name begins with, else the ground."""
    return next((r for r in rooms if module == r or module.startswith(r + ".")), "ground")


def picture() -> str:
    """The house as a mermaid chart: an arrow says "imports". What everything stands on has no arrows of its own."""
    arrows = {(_within(i.module, ROOMS), _within(i.target, ROOMS)) for i in imports() if i.target in modules()}
    return _chart(ROOMS, arrows)


def picture_of_migrate() -> str:
    """The second house from within, as ``picture`` draws the whole."""

    def room(module: str) -> str:
        return "ground" if module in _GROUND_OF_MIGRATE else _within(module, ROOMS_OF_MIGRATE)

    inside = [i for i in imports() if i.module.startswith("kvroles.migrate") and i.target.startswith("kvroles.migrate")]
    return _chart(ROOMS_OF_MIGRATE, {(room(i.module), room(i.target)) for i in inside if i.target in modules()})


def _chart(rooms: dict[str, str], arrows: set[tuple[str, str]]) -> str:
    arrows = {(upper, lower) for upper, lower in arrows if upper != lower}
    order = list(rooms)
    names = {r: r.rpartition(".")[2] for r in rooms}
    lines = ["flowchart BT", *(f'  {names[r]}["{text}"]' for r, text in rooms.items())]
    for upper, lower in sorted(arrows, key=lambda a: (order.index(a[0]), order.index(a[1]))):
        if lower != "ground" and not _through_another(upper, lower, arrows, rooms):
            lines.append(f"  {names[upper]} --> {names[lower]}")
    for r in rooms:
        if r != "ground" and not any(u == r and low != "ground" for u, low in arrows):
            lines.append(f"  {names[r]} --> ground")
    return "\n".join(lines) + "\n"


def _through_another(upper: str, lower: str, arrows: set[tuple[str, str]], rooms: Iterable[str]) -> bool:
    """Whether the way from ``upper`` to ``lower`` is drawn already, through a room between them."""
    return any((upper, between) in arrows and (between, lower) in arrows for between in rooms if between != lower)


if __name__ == "__main__":
    say(picture())
    say(picture_of_migrate())
