"""Paths to the files worth judging, fast: most files of a tree are read once, by several processes, and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from itertools import islice
from typing import NamedTuple

from kvroles.migrate import parallel, walk
from kvroles.migrate.settings import Settings

_AT_ONCE = 16_000  # files named at a time, so that a tree of any size takes no more memory than this many


class Found(NamedTuple):
    """A file to judge, and the argument it was found below; ``skipped`` says why it cannot be."""

    root: str
    path: str
    skipped: str = ""


def over(paths: list[str], settings: Settings) -> list[Found]:
    """The files at or below ``paths`` that hold ``kv_both`` beside NIXL or cannot be read, each once, in order."""
    seen: set[str] | None = set() if len(paths) > 1 else None
    out: list[Found] = []
    for root in paths:
        wanted = _wanted(walk.files(root), seen, settings)
        while some := list(islice(wanted, _AT_ONCE)):
            out += parallel.shared(partial(_look, settings.connectors, root), some, meanwhile=_load_judges)
    return out


def _wanted(paths: Iterator[str], seen: set[str] | None, settings: Settings) -> Iterator[str]:
    for path in paths:
        if settings.exclude and settings.excluded(path):
            continue
        if seen is not None:
            if path in seen:
                continue
            seen.add(path)
        yield path


def _look(connectors: frozenset[str], root: str, paths: Sequence[str]) -> list[Found]:
    hits = map(walk.look, walk.holding(paths))
    return [Found(root, h.path, h.skipped) for h in hits if not h.data or relevant(h.data, connectors)]


def relevant(data: bytes, connectors: frozenset[str]) -> bool:
    """NIXL has to be named somewhere in the file (or a connector left to a variable), else no role in it is NIXL's."""
    low = data.lower()
    return b"nixl" in low or (b"$" in data and b"kv_connector" in low) or any(c.encode() in data for c in connectors)


def _load_judges() -> None:
    """What reads and weighs the hits takes a while to load; this process does so while the others look for hits."""
    import_module("kvroles.migrate.findings")
