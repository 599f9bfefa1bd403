"""What the report is made of: findings and their levels.

Plain classes, as in ``evidence.frames``: to load ``dataclasses`` costs more than it saves.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from kvroles.evidence.frames import Cue, Side


class Level(Enum):
    """SARIF's levels; ``--check`` fails on the first two."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Kept(NamedTuple):
    """Why a finding is left as it is: ``how`` is "answer" (a person said both, and why), "baseline" or "silenced"; ``rule`` says
    where: "comment", or the file and the row of it."""

    how: str
    because: str = ""
    rule: str = ""


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
        self.object = ""  # the Kubernetes object it is of, and what made that, where it came from a stream or a cluster
        self.field = ""  # the field of that object
        self.written = False
        self.shown = ""  # its line as a report may show it, before and after the change, where a run asks for it
        self.shown_after = ""
        self.kept: Kept | None = None  # left as it is, and no gate fails on it
        self.key = ""  # what its place is (``answers.identity``), where a run asks for it
        self.excerpt = ""  # its line, as an answer keeps it for a person
        self.answerable = False  # a side would decide it
        self.suggested: Side | None = None  # what words too weak to act on say

    @property
    def suppressed(self) -> bool:
        return self.kept is not None

    @property
    def by_row(self) -> bool:
        """Whether what a person said of its side is part of it: that counted before any row that keeps both."""
        return any(c.kind == "answer" for c in self.cues)
