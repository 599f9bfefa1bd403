"""The files and folders round a file that is read: listed in order, no more than so many, and links are not followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TypeVar, cast

from kvroles.migrate.files import hits, walk

_T = TypeVar("_T")

MANY = 200  # files, and folders, that are looked at
MAX_BYTES = 256 << 10  # of a file that is read for what it says of another


_made: dict[tuple[Callable[[str], object], str], object] | None = None


@contextmanager
def unchanged() -> Iterator[None]:
    """Within the ``with`` no file is written: what ``once`` has made of a path stays as it is."""
    global _made
    _made = {}
    try:
        yield
    finally:
        _made = None


def once(make: Callable[[str], _T]) -> Callable[[str], _T]:
    """A function of a path that a process calls once for each, for all the files that it reads while nothing is written."""

    @wraps(make)
    def made(path: str) -> _T:
        if _made is None:
            return make(path)
        if (make, path) not in _made:
            _made[make, path] = make(path)
        return cast(_T, _made[make, path])

    return made


def names(path: str) -> frozenset[str]:
    """The names in the folder of a file; empty if it cannot be listed."""
    return _names(os.path.dirname(path) or ".")


@once
def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def entries(folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """The paths of what is ``wanted`` in a folder, in order; empty if it cannot be listed. Our own settings are none: what is
    said in them of a file is no use of it."""
    try:
        with os.scandir(folder or ".") as it:
            return sorted(os.path.join(folder, e.name) for e in it if e.name != walk.SETTINGS and wanted(e))
    except OSError:
        return []


def folders(folder: str) -> list[str]:
    """The folders in a folder."""
    return [os.path.join(folder, name) for name in _folders(plain(folder))]


@once
def _folders(folder: str) -> list[str]:
    found = entries(folder, lambda e: e.is_dir(follow_symlinks=False))
    return [name for f in found if (name := os.path.basename(f)) not in walk.PASSED_OVER][:MANY]


def plain(folder: str) -> str:
    """A folder by the name that it has for all files round it: ``a/b/../c`` is ``a/c``, unless ``a/b`` is a link."""
    own, up, rest = f"{folder}/".partition("/../")
    if not up or os.path.basename(own) in {"", ".", ".."} or _is_link(own):
        return folder
    path = os.path.join(os.path.dirname(own), rest)
    return path.removesuffix("/") or path


_is_link = once(os.path.islink)


def text(path: str) -> str:
    """The text of a file; what is not UTF-8 in it is replaced, and what cannot be read is empty."""
    return hits.look(path).data.decode("utf-8", "replace")


def data(path: str, size: int) -> bytes:
    """The bytes of a file of ``size`` bytes that is read for what it says of another; empty if it is too large for that."""
    return hits.look(path).data if size <= MAX_BYTES else b""


@once
def state(path: str) -> tuple[int, int]:
    """What changes with a file's content: when it was written, and its size."""
    try:
        st = os.stat(path)
    except OSError:
        return 0, 0
    return st.st_mtime_ns, st.st_size
