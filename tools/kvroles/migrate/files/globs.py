"""Globs of ``--side`` and the settings: which paths they name, and how exactly."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

_PART = re.compile(r"\*\*/|\*\*|\\[*?]|.", re.S)


def exactness(glob: str) -> int:
    """How exactly a glob names a file: 0 by a pattern, 1 by a name that any folder may hold, 2 by a path."""
    if "/" not in glob:
        return 0 if any(ch in glob for ch in "*?[") else 1
    return 0 if glob.endswith("/") or any(part in {"**/", "**", "*", "?"} for part in _parts(glob)) else 2


def literal(path: str) -> str:
    """The glob that names the file at ``path`` and no other: with ``./`` a name is that of one folder, and a dash no option."""
    return ("" if "/" in path else "./") + re.sub(r"[*?]", r"\\\g<0>", path)


def named(path: str, glob: str, bases: Sequence[str]) -> bool:
    """Whether a glob matches a path as it is given, as an absolute path, or as seen from one of ``bases``, with its links
    resolved or not."""
    if matches(os.path.normpath(path), glob):
        return True
    return any(matches(s, glob) for s in spellings(path, tuple(bases)))


@lru_cache(maxsize=4096)
def spellings(path: str, bases: tuple[str, ...]) -> tuple[str, ...]:
    """The ways to write a path: absolute, and as seen from each of ``bases``; each with its links and without."""
    whole, real = os.path.abspath(path), os.path.realpath(path)
    out = [whole, real]
    for base in bases:
        out += [os.path.relpath(whole, os.path.abspath(base)), os.path.relpath(real, os.path.realpath(base))]
    return tuple(dict.fromkeys(out))


def matches(path: str, glob: str) -> bool:
    """Whether a path matches a glob: ``**`` spans folders, ``*`` does not, a bare name matches anywhere."""
    path = path.removeprefix("./")
    if "/" not in glob:
        return fnmatchcase(path.rsplit("/", 1)[-1], glob)
    parts = _parts(glob)
    # The places in the glob that have been reached. All of them go on with each character, so that the time is at most the
    # path's length times the glob's. Place k is before part k; ~k is inside a folder that the "**/" at k spans.
    at = _skip({0}, parts)
    for ch in path:
        ahead: set[int] = set()
        for k in at:
            if k < 0:
                ahead.add(~k if ch == "/" else k)
            elif k < len(parts):
                ahead |= _after(k, parts[k], ch)
        at = _skip(ahead, parts)
    return len(parts) in at


def _after(k: int, part: str, ch: str) -> set[int]:
    """The places in a glob that ``part``, at place ``k``, leads to by the character ``ch``; none if it does not match it."""
    match part:
        case "**/":
            return {k if ch == "/" else ~k}
        case "**":
            return {k}
        case "*":
            return {k} if ch != "/" else set()
        case "?":
            return {k + 1} if ch != "/" else set()
        case _:
            return {k + 1} if ch == part[-1] else set()


def _skip(at: set[int], parts: tuple[str, ...]) -> set[int]:
    """``at`` with the places that are reached without a character: ``*``, ``**`` and ``**/`` may match nothing."""
    todo = list(at)
    while todo:
        k = todo.pop()
        if 0 <= k < len(parts) and parts[k] in {"*", "**", "**/"} and k + 1 not in at:
            at.add(k + 1)
            todo.append(k + 1)
    return at


@lru_cache(maxsize=256)
def _parts(glob: str) -> tuple[str, ...]:
    """The parts of a glob: ``**/``, ``**``, a star or question mark behind a backslash, or one character."""
    glob = glob.removeprefix("./")
    glob += "**" if glob.endswith("/") else ""
    return tuple(m.group() for m in _PART.finditer(glob))
