"""A tolerant reader for text that is nearly YAML: templates that render to it, excerpts, files with a mistake in them.

It knows indentation, ``key:``, ``- `` and the three kinds of scalars, and skips any other line. A skipped line can lose
an owner, but never makes one up.
"""

from __future__ import annotations

import re

from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate.readers.mapping import objects

_KEY = regex(r"""("[^"\n]*"|'[^'\n]*'|[^\s#&*!|>%@`"'{}\[\],:-][^\n:#]*?|-?[\w./$<>@-]+)[ \t]*:(?=[ \t\r\n]|$)""")
_BLOCK = regex(r"(?:&\S+[ \t]+)?[|>][-+0-9]*[ \t]*(?:#.*)?\r?$")
_ANCHOR = regex(r"&(\S+)[ \t]*")
_MAX_DEPTH = 100


def documents(t: Text) -> list[Node]:
    """The roots of the documents of nearly-YAML text, templates masked."""
    return [root for start, end in _documents(t.s) for root in _read(t, start, end)]


def _documents(s: str) -> list[tuple[int, int]]:
    """The span of each document, between lines of ``---``."""
    cuts = [m.start() for m in re.finditer(r"^---(?=\s|$)", s, re.M)]
    starts = [0] + [s.find("\n", c) + 1 or len(s) for c in cuts]
    return [(a, b) for a, b in zip(starts, [*cuts, len(s)], strict=True) if b > a]


class _Level:
    """A mapping or sequence that is still open, and the column of its keys or dashes."""

    __slots__ = ("indent", "node")

    def __init__(self, indent: int, node: Map | Seq) -> None:
        self.indent = indent
        self.node = node


def _read(t: Text, start: int, end: int) -> list[Node]:
    """The roots between ``start`` and ``end``: several where one is indented further than what follows, as in a macro."""
    reader = _Reader(t, end)
    pos = start
    while pos < end:
        if (pos := reader.line(pos)) < 0:
            break
    return reader.roots


class _Reader:
    """Builds the trees of one document, a line at a time."""

    def __init__(self, t: Text, end: int) -> None:
        self.t = t
        self.end = end
        self.roots: list[Node] = []
        self._stack: list[_Level] = []
        self._open: tuple[Map, Scalar, int] | None = None  # a key whose value is on the lines below, and its indent

    def line(self, pos: int) -> int:
        """Read the line at ``pos``, and the scalar that goes on below it; where the next line starts, -1 if nested too deep."""
        s, end = self.t.s, self.end
        eol = s.find("\n", pos)
        eol = end if eol < 0 or eol > end else eol
        i = _behind(s, pos, eol, " \t")
        pos = eol + 1
        if i >= eol or s[i] in "#\r":
            for level in self._stack:
                level.node.end = min(pos, end)  # as YAML has it; a template's action may have been masked here
            return pos
        first = True
        while True:
            dash = s[i : i + 2] in ("- ", "-\n", "-\r") or (s[i] == "-" and i + 1 == eol)
            key = None if dash else _KEY.match(s, i, eol)
            if not dash and key is None:
                break
            if len(self._stack) > _MAX_DEPTH:
                return -1
            indent = i - (s.rfind("\n", 0, i) + 1)
            node = self._node(Seq if dash else Map, i, eol, indent, below_key=dash and first)
            if node is None:
                break
            self._open = None
            if isinstance(node, Map):
                assert key is not None
                pos = self._pair(node, key, eol, indent) or pos
                break
            first = False
            i = _behind(s, i + 1, eol, " \t")
            if i >= eol:
                break
            if not _KEY.match(s, i, eol) and s[i : i + 2] != "- ":
                scalar, pos = _value(self.t, i, eol, end, i - (s.rfind("\n", 0, i) + 1) - 1)
                node.items.append(scalar)
                break
        for level in self._stack:
            level.node.end = max(level.node.end, min(pos, end))
        return pos

    def _node(self, kind: type[Map] | type[Seq], i: int, eol: int, indent: int, *, below_key: bool) -> Map | Seq | None:
        """The mapping or sequence that a key or dash at column ``indent`` belongs to: an open one, or a new one in its place.

        With ``below_key`` a dash may stand in the column of the key whose value it begins. None if no owner can take it.
        """
        while self._stack and (
            self._stack[-1].indent > indent
            or (
                self._stack[-1].indent == indent
                and not isinstance(self._stack[-1].node, kind)
                and not (below_key and self._open)
            )
        ):
            self._stack.pop()
            if self._open and self._open[2] > indent:
                self._open = None
        top = self._stack[-1] if self._stack else None
        if top is not None and top.indent >= indent and isinstance(top.node, kind):
            return top.node
        node = kind(start=i, end=eol)
        if self._open is not None and self._open[2] <= indent:
            self._open[0].pairs.append((self._open[1], node))
        elif top is not None and isinstance(top.node, Seq):
            top.node.items.append(node)
        elif top is None:
            self.roots.append(node)
        else:
            return None
        self._stack.append(_Level(indent, node))
        return node

    def _pair(self, holder: Map, key: re.Match[str], eol: int, indent: int) -> int:
        """Read the value behind ``key`` into ``holder``; where the next line starts, 0 if the value is on the lines below."""
        t, s = self.t, self.t.s
        k = Scalar(t.slice(key.start(1), key.end(1)), key.start(1), key.end(1))
        k.text = t.slice(key.start(1) + 1, key.end(1) - 1) if k.value[:1] in ("'", '"') else k.text
        i = _behind(s, key.end(), eol, " \t\r")
        anchor = _ANCHOR.match(s, i, eol)
        if i >= eol or s[i] == "#" or (anchor and anchor.end() >= eol):
            self._open = (holder, k, indent)
            return 0
        value, below = _value(t, i, eol, self.end, indent)
        holder.pairs.append((k, value))
        return below


def _behind(s: str, i: int, end: int, blanks: str) -> int:
    """The index of the first character from ``i`` on that is none of ``blanks``; ``end`` if there is none before that."""
    while i < end and s[i] in blanks:
        i += 1
    return i


def _value(t: Text, i: int, eol: int, end: int, indent: int) -> tuple[Scalar | Map, int]:
    """The value at ``i`` behind a key or dash at column ``indent``, a scalar or a mapping in braces; and where the line behind
    it starts."""
    s = t.s
    if s[i] == "{" and TOKEN not in s[i:eol] and (braces := _braces(t, i, eol)) is not None:
        return braces, eol + 1
    if _BLOCK.match(s[i:eol]):
        stop = eol + 1
        while stop < end:
            nl = s.find("\n", stop)
            nl = end if nl < 0 or nl > end else nl
            line = s[stop:nl]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            stop = nl + 1
        stop = min(stop, end)
        return Scalar(t.slice(min(eol + 1, stop), stop), i, max(stop, i + 1), block=True), max(stop, eol + 1)
    if s[i] in "\"'":
        quote, j = s[i], i + 1
        while j < end:
            if s[j] == "\\" and quote == '"':
                j += 2
                continue
            if s[j] == quote:
                if quote == "'" and s[j + 1 : j + 2] == "'":
                    j += 2
                    continue
                break
            j += 1
        if j < end:
            inner = t.slice(i + 1, j)
            if quote == '"':
                inner = objects.unescape(inner)
            nl = s.find("\n", j)
            return Scalar(inner, i, j + 1, quoted=True), (end if nl < 0 else nl + 1)
    stop = eol
    m = re.search(r"\s#", s[i:eol])
    if m:
        stop = i + m.start()
    return Scalar(t.slice(i, stop), i, max(stop, i + 1)), eol + 1


def _braces(t: Text, i: int, eol: int) -> Map | None:
    """A mapping in braces on one line with nothing but a comment behind it; None otherwise."""
    got = objects.read(t.slice(0, eol), i)
    if got is None or not isinstance(got[0], Map) or not re.fullmatch(r"\s*(?:#.*)?", t.s[got[1] : eol]):
        return None
    return got[0]
