"""Paths to the files worth judging, fast: most files of a tree are read once, by several processes, and dropped."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import NamedTuple

from kvroles.migrate import parallel, walk
from kvroles.migrate.settings import Settings

_AT_ONCE = 32  # files a process takes at a time
_WORTH_SHARING = 400  # files; fewer are read in the time that a process takes to start


class Found(NamedTuple):
    """A file to judge, and the argument it was found below; ``skipped`` says why it cannot be."""

    root: str
    path: str
    skipped: str = ""


def over(paths: list[str], settings: Settings) -> list[Found]:
    """The files at or below ``paths`` that hold ``kv_both`` beside NIXL or cannot be read, each once, in order."""
    out: dict[str, Found] = {}
    for root in paths:
        files, folders = walk.spread(root)
        shares: list[str | list[str]] = [*folders]  # the folders first: what is small goes last, and evens out the ends
        shares += [files[i : i + _AT_ONCE] for i in range(0, len(files), _AT_ONCE)]
        worth = bool(folders) or len(files) >= _WORTH_SHARING
        found = parallel.shared(partial(_look, settings, root), shares, worth=worth, meanwhile=_load_judges)
        for f in sorted(found, key=lambda f: walk.order(f.path)):
            out.setdefault(f.path, f)
    return list(out.values())


def _look(settings: Settings, root: str, share: str | list[str]) -> list[Found]:
    paths = walk.files(share) if isinstance(share, str) else share
    wanted = (p for p in paths if not settings.excluded(p)) if settings.exclude else paths
    hits = map(walk.look, walk.holding(wanted))
    return [Found(root, h.path, h.skipped) for h in hits if not h.data or relevant(h.data, settings.connectors)]


def relevant(data: bytes, connectors: frozenset[str]) -> bool:
    """NIXL has to be named somewhere in the file (or a connector left to a variable), else no role in it is NIXL's."""
    if b"Nixl" in data or b"nixl" in data:  # as nearly all write it
        return True
    low = data.lower()
    return b"nixl" in low or (b"$" in data and b"kv_connector" in low) or any(c.encode() in data for c in connectors)


def _load_judges() -> None:
    """What reads and weighs the hits takes a while to load; this process does so while the others look for hits."""
    import_module("kvroles.migrate.findings")
    import_module("kvroles.migrate.readers.base").load()
