"""Rows of a tree's settings that decide nothing: ``[side]`` and ``[both]`` that a rename, or a line that was put in above, left
behind, and ``exclude`` that names no file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import UsageError
from kvroles.migrate.answers import identity
from kvroles.migrate.files import hits, walk
from kvroles.migrate.files.globs import named

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage
    from kvroles.migrate.settings import Known, Settings


class _Row(NamedTuple):
    table: str
    glob: str
    line: int  # or 0

    def __str__(self) -> str:
        return f'[{self.table}] "{self.glob}:{self.line}"' if self.line else f'[{self.table}] "{self.glob}"'


def check(paths: list[str], results: list[FileResult], coverage: Coverage, known: Known) -> None:
    """Raise ``UsageError`` for a row that names no file, or no line with a role, in settings whose whole folder the run covers.

    A run over a few files, as a hook makes it, does not cover the folder, and says nothing of the rows.
    """
    for settings, folder in _covered(paths, coverage, known):
        _check(settings, folder, results, known)


def idle(paths: list[str], coverage: Coverage, known: Known) -> list[str]:
    """The patterns of ``exclude`` that name no file, in words, of settings whose whole folder the run covers."""
    out = []
    for settings, folder in _covered(paths, coverage, known):
        left = [g for g in settings.exclude if f"{settings.file}: exclude {g}" not in coverage.rules]
        for listed in walk.below(folder) if left else ():
            # What is passed over anyway may be named as well: nobody lists what is in there.
            aside = [os.path.join(path, "x") for _, path in listed.aside]
            for path in [*listed.files, *listed.links, *aside, *(path for _, path in listed.aside)]:
                left = [g for g in left if not (named(path, g, settings.bases) and known.of(path, folder) is settings)]
            if not left:
                break
        out += [
            f'{settings.file}: exclude "{g}" names no file, and leaves nothing out'
            + (f'; all that is in a folder is "{g.rstrip("/")}/**"' if os.path.isdir(os.path.join(folder, g)) else "")
            for g in left
        ]
    return out


def _covered(paths: list[str], coverage: Coverage, known: Known) -> Iterator[tuple[Settings, str]]:
    """The settings whose whole folder the run covers, with that folder."""
    roots = {os.path.realpath(p) for p in paths if os.path.isdir(p)}
    inside = [os.path.join(p, "x") for p in paths if os.path.isdir(p)]
    for settings in known.all([*inside, *coverage.settings]):
        folder = os.path.realpath(settings.bases[0])
        if settings.file and any(above in roots for above in walk.upward(folder)):
            yield settings, folder


def _check(settings: Settings, folder: str, results: list[FileResult], known: Known) -> None:
    rows = [_Row("side", glob, line) for glob, line, _ in settings.sides]
    rows += [_Row("both", glob, line) for glob, line, _ in settings.both]
    met: set[_Row] = set()  # those that name a file
    elsewhere: dict[_Row, str] = {}  # those that name a file for which other settings hold, with that file
    left = rows

    def naming(path: str) -> set[_Row]:
        here = {row for row in left if named(path, row.glob, settings.bases)}
        if here and known.of(path, folder) is not settings:
            elsewhere.update(dict.fromkeys(here, path))
            return set()
        return here

    for r in results:
        here = naming(r.path)
        met |= here
        lines = {f.line for f in r.findings}
        left = [row for row in left if row not in here or (row.line and row.line not in lines)]
    for listed in walk.below(folder) if left else ():
        for path in [*listed.files, *listed.links]:
            here = naming(path)
            met |= here
            left = [row for row in left if row not in here or (row.line and not _holds_role(path, row.line))]
        if not left:
            return
    for row in left:
        if row in met:
            raise UsageError(
                f"{settings.file}: {row} names a line that holds no role",
                found=f"no kv_both, kv_producer or kv_consumer in line {row.line}",
                fix="Name the line as the findings do, or delete the row; what --review keeps holds when lines move",
            )
        if row in elsewhere:
            raise UsageError(
                f"{settings.file}: {row} decides nothing: other settings hold for the file",
                found=near if not (near := os.path.relpath(elsewhere[row])).startswith("..") else elsewhere[row],
                fix=f"Write the row into {known.home(elsewhere[row], folder)}, from the folder of that, or delete it",
            )
        raise UsageError(
            f"{settings.file}: {row} names no file",
            found=f"no such file below {os.path.dirname(settings.file) or 'the current folder'}",
            fix="Name the file as it is called now, from the folder of the settings, or delete the row",
        )


def _holds_role(path: str, line: int) -> bool:
    """Whether a line of a file holds a role: one that was written is one."""
    lines = identity.decoded(hits.look(path).data).split("\n")
    return line <= len(lines) and identity.ROLE.search(lines[line - 1]) is not None
