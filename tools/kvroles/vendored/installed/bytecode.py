"""Compiled Python beside a source: which of it would be loaded though it was made from other bytes."""

from __future__ import annotations

import _imp
import contextlib
import os
from pathlib import Path

from kvroles.errors import os_error


def beside(site: Path, path: str) -> list[str]:
    """Every ``.pyc`` of the source ``path`` below ``site``, of any interpreter and optimisation, sorted."""
    folder, _, name = path.rpartition("/")
    cache = f"{folder}/__pycache__" if folder else "__pycache__"
    stem = name.removesuffix(".py")
    try:
        names = os.listdir(site / cache)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as e:
        raise os_error(f"{site / cache} cannot be read", e) from None
    return sorted(f"{cache}/{n}" for n in names if n.startswith(f"{stem}.") and n.endswith(".pyc"))


def drop(site: Path, paths: list[str]) -> list[str]:
    """Delete the bytecode of the sources ``paths``; returns what was there. Deleting it is safe at any time."""
    gone = [pyc for path in paths for pyc in beside(site, path)]
    try:
        for pyc in gone:
            with contextlib.suppress(FileNotFoundError):
                (site / pyc).unlink()
    except OSError as e:
        raise os_error("Stale bytecode could not be deleted", e, "Delete it, or make its folder writable") from None
    return gone


def stale(site: Path, path: str) -> str | None:
    """A ``.pyc`` of ``path`` that Python would load although it belongs to another source, or None.

    Python checks size and time of the source (PEP 552, flags 0) or its hash (flags 3), but never for flags 1.
    """
    source = (site / path).read_bytes()
    for pyc in beside(site, path):
        head = (site / pyc).read_bytes()[:16]
        flags = int.from_bytes(head[4:8], "little")
        if flags & 1 and not flags & 2 and head[8:16] != _imp.source_hash(int.from_bytes(head[:4], "little"), source):
            return pyc
    return None
