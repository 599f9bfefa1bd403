"""The change to a file as a patch that git takes, without the lines beside it that may hold secrets."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from kvroles.migrate.files import walk
from kvroles.said import said

if TYPE_CHECKING:
    from kvroles.migrate.redact import Shown
    from kvroles.migrate.result import FileResult

_AROUND = 3
_MASKED = (
    "kv-roles: values in the lines below are masked, so that git cannot apply this; --write changes the file itself"
)
_BARE = "kv-roles: what follows a line below is not shown; apply this with git apply --unidiff-zero"


def unified(path: str, before: Shown, after: Shown) -> str:
    """A unified diff of two texts of the same number of lines; empty if they are equal.

    A line of context that may hold a secret ends the context there. Where a changed line itself holds one it is masked, and a
    line before the patch says that it cannot be applied.
    """
    old, new = before.lines, after.lines
    changed = [n for n in range(1, len(old) + 1) if old[n - 1] != new[n - 1]]
    if not changed:
        return ""
    last = len(old) - (old[-1] == "")  # what follows the last line feed is no line
    notes: set[str] = set()
    hunks: list[str] = []
    for start, end in _hunks(changed, last, before):
        if end in changed and end < last:
            notes.add(_BARE)
        hunks += [
            f"@@ -{_range(start, end)} +{_range(start, end)} @@\n",
            *_lines(before, after, start, end, last, notes),
        ]
    folder, name = _place(path)
    head = [f"{note}\n" for note in ((_MASKED,) if _MASKED in notes else sorted(notes))]
    if folder:
        head.append(f"kv-roles: the path below is of {said(folder)}: apply this there\n")
    return "".join([*head, f"--- {_name(f'a/{name}')}\n", f"+++ {_name(f'b/{name}')}\n", *hunks])


def _place(path: str) -> tuple[str, str]:
    """The folder in which ``git apply`` and ``patch -p1`` take the patch of a file, empty for the current one, and the file's
    path there. Git takes no path that is absolute, has ``..`` in it or leads through a link."""
    try:
        here = os.path.realpath(".")
        if not os.path.exists(path):
            return "", path  # standard input, or what a cluster said
        real = os.path.realpath(path)
    except OSError:
        return "", path
    if os.path.commonpath([here, real]) == here:
        return "", os.path.relpath(real, here)
    top = walk.top_of(os.path.dirname(real)) or "/"
    return top, os.path.relpath(real, top)


def _hunks(changed: list[int], last: int, text: Shown) -> list[tuple[int, int]]:
    """The first and last line of each hunk: what changed, and round it the lines that may be shown."""
    changes = set(changed)
    out: list[tuple[int, int]] = []
    for n in changed:
        start = end = n
        while start > max(1, n - _AROUND) and (start - 1 in changes or not text.hidden(start - 1)):
            start -= 1
        while end < min(last, n + _AROUND) and (end + 1 in changes or not text.hidden(end + 1)):
            end += 1
        if out and start <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _lines(before: Shown, after: Shown, start: int, end: int, last: int, notes: set[str]) -> list[str]:
    """The lines of a hunk: those removed before those added, as git writes them."""
    out: list[str] = []
    added: list[str] = []

    def line(sign: str, text: Shown, n: int) -> str:
        shown = text.own(n) + ("\r" if text.lines[n - 1].endswith("\r") else "") if sign != " " else text.lines[n - 1]
        if shown != text.lines[n - 1]:
            notes.add(_MASKED)
        no_end = n == last and n == len(text.lines)
        return f"{sign}{shown}\n" + ("\\ No newline at end of file\n" if no_end else "")

    for n in range(start, end + 1):
        if before.lines[n - 1] == after.lines[n - 1]:
            out += added
            added = []
            out.append(line(" ", before, n))
        else:
            out.append(line("-", before, n))
            added.append(line("+", after, n))
    return out + added


def _range(start: int, end: int) -> str:
    return f"{start}" if start == end else f"{start},{end - start + 1}"


def _name(path: str) -> str:
    """A path in a patch, quoted as git does where it holds what a line cannot."""
    if said(path) == path and path.isprintable() and '"' not in path:
        return path
    quoted = "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in path.encode("utf-8", "surrogateescape")
    )
    return f'"{quoted}"'


def diffs(results: list[FileResult]) -> str | bytes:
    """The changes as a patch, in the files' own bytes. On a terminal it is without what that would obey, in GitHub's log without
    commands to it."""
    patch = "".join(r.patch for r in results)
    if sys.stdout.isatty():
        return "".join(said(ln) + "\n" for ln in patch.splitlines())
    if patch and os.environ.get("GITHUB_ACTIONS") == "true":
        token = os.urandom(16).hex()
        patch = f"::stop-commands::{token}\n{patch}::{token}::\n"
    return patch.encode("utf-8", "surrogateescape")
