"""Rows ``[side]`` and ``[both]`` of a tree's settings that name no file: an answer that a rename left behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kvroles.errors import UsageError
from kvroles.migrate import walk
from kvroles.migrate.settings import named

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage
    from kvroles.migrate.settings import Known, Settings


def check(paths: list[str], results: list[FileResult], coverage: Coverage, known: Known) -> None:
    """Raise ``UsageError`` for a row that names no file, in settings whose whole folder the run covers.

    A run over a few files, as a hook makes it, does not cover the folder, and says nothing of the rows.
    """
    roots = {os.path.realpath(p) for p in paths if os.path.isdir(p)}
    inside = [os.path.join(p, "x") for p in paths if os.path.isdir(p)]
    for settings in known.all([*inside, *coverage.settings]):
        folder = os.path.realpath(settings.bases[0])
        if settings.file and any(above in roots for above in walk.upward(folder)):
            _check(settings, folder, results)


def _check(settings: Settings, folder: str, results: list[FileResult]) -> None:
    rows = [("side", glob) for glob, _, _ in settings.sides] + [("both", glob) for glob, _, _ in settings.both]
    left = [row for row in rows if not any(named(r.path, row[1], settings.bases) for r in results)]
    if not left:
        return
    for listed in walk.below(folder):
        for path in [*listed.files, *listed.links]:
            left = [row for row in left if not named(path, row[1], settings.bases)]
            if not left:
                return
    table, glob = left[0]
    raise UsageError(
        f'{settings.file}: [{table}] "{glob}" names no file',
        found=f"no such file below {os.path.dirname(settings.file) or '.'}",
        fix="Name the file as it is called now, from the folder of the settings, or delete the row",
    )
