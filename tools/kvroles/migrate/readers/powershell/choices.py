"""Finds ``c ? a : b`` in a script: PowerShell 7 has it, the tree-sitter grammar does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence.patterns import regex
from kvroles.migrate.readers.template.actions import Branch

_VALUE = r"(?:\"(?:[^\"`\n]|`.|\"\")*\"|'[^'\n]*'|\$[\w:]+)"
_CHOICE = regex(rf"\?\s*(?P<a>{_VALUE})\s*(?P<colon>:)\s*(?P<b>{_VALUE})")
_CONDITION = regex(r"[^\n;{}=]*\Z")
_LONGEST = 200  # characters of a condition


class Choice(NamedTuple):
    """``c ? a : b``: the index where the condition starts, those of both signs, and the spans of both values."""

    start: int
    mark: int
    colon: int
    a: tuple[int, int]
    b: tuple[int, int]

    def holds(self, node: Node) -> bool:
        """Whether a node lies in it, or is all of it."""
        return self.start <= node.start_byte and node.end_byte <= self.b[1]

    def index_of(self, i: int) -> int | None:
        """Which value index ``i`` is in: 0, 1, or None for neither."""
        return next((n for n, (start, end) in enumerate((self.a, self.b)) if start <= i < end), None)

    def branch(self, s: str, i: int) -> Branch:
        """The value that index ``i`` is in, as a branch of ``if c``."""
        words = "if " + s[self.start : self.mark].strip()
        if self.index_of(i) == 0:
            return Branch(*self.a, words, False)
        return Branch(*self.b, words, True, self.a)


def choices(s: str) -> Iterator[Choice]:
    """Every ``c ? a : b`` whose values are strings or variables."""
    for m in _CHOICE.finditer(s):
        before = _CONDITION.search(s, max(0, m.start() - _LONGEST), m.start())
        words = before.group() if before is not None else ""
        depth, start = 0, m.start()
        for n, ch in enumerate(reversed(words)):
            depth += (ch == ")") - (ch == "(")
            if depth < 0:
                break
            start = m.start() - n - 1
        start += len(s[start : m.start()]) - len(s[start : m.start()].lstrip())
        if start < m.start():
            yield Choice(start, m.start(), m.start("colon"), m.span("a"), m.span("b"))
