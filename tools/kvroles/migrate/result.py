"""What came of one file: its findings, and the change that they ask for."""

from __future__ import annotations

from kvroles.evidence.frames import Cue
from kvroles.migrate.model import Finding


class FileResult:
    """One file's findings; its bytes before and after, where something is to be written.

    ``lines`` are those that the places of the findings' evidence stand in: a file's text is not kept, so that what a
    run holds grows with what it found and not with what it read.
    """

    def __init__(self, path: str, findings: list[Finding], lines: dict[int, int] | None = None) -> None:
        self.path = path
        self.findings = findings
        self.lines = lines if lines is not None else {}
        self.repository = ""  # as ``search.repository`` names it
        self.patch = ""  # the change as a patch, where something is to be written
        self.before = b""
        self.after: bytes | None = None
        self.stale: list[int] = []  # the lines with a comment to keep both that stands at no kv_both
        self.used: frozenset[int] = frozenset()  # the answers of the command line that decided something, by number

    def line(self, cue: Cue) -> int:
        """The line of a piece of evidence, from 1; 0 if it is none of the file's text."""
        return self.lines.get(cue.pos, 1) if cue.pos >= 0 else 0
