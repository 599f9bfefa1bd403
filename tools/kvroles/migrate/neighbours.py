"""The files and folders round a file that is read: listed in order, no more than so many, and links are not followed."""

from __future__ import annotations

import os
from collections.abc import Callable

from kvroles.migrate import walk

MANY = 200  # files, and folders, that are looked at
MAX_BYTES = 256 << 10  # of a file that is read for what it says of another


def names(path: str) -> frozenset[str]:
    """The names in the folder of a file; empty if it cannot be listed."""
    try:
        return frozenset(os.listdir(os.path.dirname(path) or "."))
    except OSError:
        return frozenset()


def entries(folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """The paths of what is ``wanted`` in a folder, in order; empty if it cannot be listed."""
    try:
        with os.scandir(folder or ".") as it:
            return sorted(os.path.join(folder, e.name) for e in it if wanted(e))
    except OSError:
        return []


def folders(folder: str) -> list[str]:
    """The folders in a folder."""
    found = entries(folder, lambda e: e.is_dir(follow_symlinks=False))
    return [f for f in found if os.path.basename(f) not in walk.PASSED_OVER][:MANY]


def text(path: str) -> str:
    """The text of a file; what is not UTF-8 in it is replaced, and what cannot be read is empty."""
    return walk.look(path).data.decode("utf-8", "replace")
