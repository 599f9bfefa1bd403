"""Why a change cannot be made by meaning."""

from __future__ import annotations


class Unclear(Exception):  # noqa: N818 - an outcome; callers turn it into words
    """The change cannot be made from what is there: ``line`` (1-based, 0: the whole file) and why."""

    def __init__(self, line: int, why: str) -> None:
        self.line = line
        self.why = why
        super().__init__(f"line {line}: {why}")
