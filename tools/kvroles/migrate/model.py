"""What the report is made of: findings and their levels.

Plain classes, as in ``evidence.frames``: to load ``dataclasses`` costs more than it saves.
"""

from __future__ import annotations

from enum import Enum

from kvroles.evidence.frames import Cue, Side


class Level(Enum):
    """SARIF's levels; ``--check`` fails on the first two."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding:
    """What the report says of one site (or of a file that could not be read)."""

    def __init__(
        self,
        code: str,
        level: Level,
        path: str,
        line: int,
        column: int,
        message: str,
        *,
        side: Side | None = None,
        connector: str | None = None,
        role: str | None = None,
        pos: int = -1,
        cues: list[Cue] | None = None,
        fix: str = "",
    ) -> None:
        self.code = code
        self.level = level
        self.path = path
        self.line = line
        self.column = column
        self.message = message
        self.side = side
        self.connector = connector
        self.role = role  # the role to write, where that is certain
        self.pos = pos  # the place of the role in the file's text
        self.cues = cues if cues is not None else []
        self.fix = fix
        self.written = False
        self.suppressed = False
