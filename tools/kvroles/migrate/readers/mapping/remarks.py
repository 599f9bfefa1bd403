"""What the # comments of a document say: of all of it, or of what stands below them or before them on their line."""

from __future__ import annotations

import re

from kvroles.evidence import comments
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Map, Node, Scalar
from kvroles.evidence.frames import Cue
from kvroles.evidence.text import Text


class Remarks:
    """The # comments of one document."""

    def __init__(self, source: Text, ctx: FileCtx) -> None:
        self._source = source
        self._ctx = ctx

    def of_document(self, root: Node) -> list[Cue]:
        """What the comment at a document's head says of all of it: one that a blank line follows, or whose next line sets
        a plain value, as the head of a Kubernetes object does. Any other belongs to the key below it."""
        first = root.pairs[0][1] if isinstance(root, Map) and root.pairs else None
        line = self._source.s.rfind("\n", 0, root.start) + 1
        above = self._above(line, -1)
        if above:
            plain = (isinstance(root, Map) and root.flow) or (isinstance(first, Scalar) and "kv_" not in first.value)
            return comments.said(above, self._ctx) if plain else []
        while line > 0 and not self._source.s[self._source.s.rfind("\n", 0, line - 1) + 1 : line].strip():
            line = self._source.s.rfind("\n", 0, line - 1) + 1
        return comments.said(self._above(line, -1), self._ctx)

    def _above(self, line: int, indent: int) -> list[tuple[int, str]]:
        """The comment lines right above the line that begins at index ``line``, at ``indent`` (-1: any): place and text."""
        s = self._source.s
        out: list[tuple[int, str]] = []
        while line > 0:
            prev = s.rfind("\n", 0, line - 1) + 1
            above = s[prev : line - 1]
            if not above.lstrip().startswith("#") or (indent >= 0 and len(above) - len(above.lstrip()) != indent):
                break
            out.append((self._source.at(prev + len(above) - len(above.lstrip())), above.strip().lstrip("#").strip()))
            line = prev
        return out[::-1]

    def of_line(self, start: int) -> list[Cue]:
        """Comments right above the line that index ``start`` is on, at its indentation, and at that line's end."""
        s = self._source.s
        line = s.rfind("\n", 0, start) + 1
        end = s.find("\n", start)
        text = s[line : end if end >= 0 else len(s)]
        out: list[Cue] = []
        if m := re.search(r"(?<=\s)#\s?(.*)$", text[start - line :]):
            out += comments.said([(self._source.at(start + m.start()), m.group(1))], self._ctx)
        return out + comments.said(self._above(line, len(text) - len(text.lstrip())), self._ctx)


def opens_line(s: str, i: int) -> bool:
    """Whether nothing but blanks stands before index ``i`` on its line."""
    return not s[s.rfind("\n", 0, i) + 1 : i].strip()
