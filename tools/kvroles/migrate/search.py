"""Paths to the files worth judging, fast: most files of a tree are read once, by several processes, and dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice

from kvroles.migrate import parallel, walk
from kvroles.migrate.settings import Settings

_AT_ONCE = 16_000  # files named at a time, so that a tree of any size takes no more memory than this many


@dataclass(frozen=True)
class Found:
    """A file to judge, and the argument it was found below; ``skipped`` says why it cannot be."""

    root: str
    path: str
    skipped: str = ""


def over(paths: list[str], settings: Settings) -> list[Found]:
    """The files at or below ``paths`` that hold ``kv_both`` beside NIXL or cannot be read, each once, in order."""
    seen: set[str] | None = set() if len(paths) > 1 else None
    out: list[Found] = []
    for root in paths:
        entries = _wanted(walk.files(root), seen, settings)
        while some := list(islice(entries, _AT_ONCE)):
            out += parallel.each(partial(_look, settings.connectors, root), some, meanwhile=_load_judges)
    return out


def _wanted(entries: Iterator[str | walk.Hit], seen: set[str] | None, settings: Settings) -> Iterator[str | walk.Hit]:
    for entry in entries:
        shown = entry if isinstance(entry, str) else entry.path
        if settings.exclude and settings.excluded(shown):
            continue
        if seen is not None:
            if shown in seen:
                continue
            seen.add(shown)
        yield entry


def _look(connectors: frozenset[str], root: str, entry: str | walk.Hit) -> Found | None:
    hit = walk.look(entry) if isinstance(entry, str) else entry
    if hit is None or not (hit.skipped or relevant(hit.data, connectors)):
        return None
    return Found(root, hit.path, hit.skipped)


def relevant(data: bytes, connectors: frozenset[str]) -> bool:
    """NIXL has to be named somewhere in the file (or a connector left to a variable), else no role in it is NIXL's."""
    low = data.lower()
    return b"nixl" in low or (b"$" in data and b"kv_connector" in low) or any(c.encode() in data for c in connectors)


def _load_judges() -> None:
    """What reads and weighs the hits takes a while to load; this process does so while the others look for hits."""
    import_module("kvroles.migrate.findings")
