"""A tolerant reader for what is nearly YAML: templates that render to it, excerpts, files with a mistake in them.

It sees indentation, ``key:``, ``- `` and the three kinds of scalars, and skips what it does not understand. A line it
skips can hide an owner but never invent one.
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
_MAX = 100


def documents(t: Text) -> list[Node]:
    """The roots of the documents of nearly-YAML text, templates masked."""
    return [root for start, end in _documents(t.s) for root in _read(t, start, end)]


def _documents(s: str) -> list[tuple[int, int]]:
    cuts = [m.start() for m in re.finditer(r"^---(?=\s|$)", s, re.M)]
    starts = [0] + [s.find("\n", c) + 1 or len(s) for c in cuts]
    return [(a, b) for a, b in zip(starts, [*cuts, len(s)], strict=True) if b > a]


class _Level:
    __slots__ = ("indent", "node")

    def __init__(self, indent: int, node: Map | Seq) -> None:
        self.indent = indent
        self.node = node


def _read(t: Text, start: int, end: int) -> list[Node]:
    """The roots between ``start`` and ``end``: several where one stands further in than what follows, as a macro may."""
    s = t.s
    roots: list[Node] = []
    stack: list[_Level] = []
    open_key: tuple[Map, Scalar, int] | None = None  # a key whose value is on the lines below, and its indent
    pos = start
    while pos < end:
        eol = s.find("\n", pos)
        eol = end if eol < 0 or eol > end else eol
        i = pos
        while i < eol and s[i] in " \t":
            i += 1
        pos = eol + 1
        if i >= eol or s[i] in "#\r":
            for lv in stack:
                lv.node.end = min(pos, end)  # as YAML has it; a template's action may have been masked here
            continue
        indent = i - (s.rfind("\n", 0, i) + 1)
        first = True
        while True:
            dash = s[i : i + 2] in ("- ", "-\n", "-\r") or (s[i] == "-" and i + 1 == eol)
            key = None if dash else _KEY.match(s, i, eol)
            if not dash and key is None:
                break
            if len(stack) > _MAX:
                return roots
            kind: type[Map] | type[Seq] = Seq if dash else Map
            while stack and (
                stack[-1].indent > indent
                or (
                    stack[-1].indent == indent
                    and not isinstance(stack[-1].node, kind)
                    and not (dash and first and open_key)
                )
            ):
                stack.pop()
                if open_key and open_key[2] > indent:
                    open_key = None
            if not stack or stack[-1].indent < indent or not isinstance(stack[-1].node, kind):
                node: Map | Seq = kind(start=i, end=eol)
                if open_key is not None and open_key[2] <= indent:
                    open_key[0].pairs.append((open_key[1], node))
                elif stack and isinstance(stack[-1].node, Seq):
                    stack[-1].node.items.append(node)
                elif not stack:
                    roots.append(node)
                else:
                    break
                stack.append(_Level(indent, node))
            open_key = None
            level = stack[-1]
            if dash:
                i += 1
                while i < eol and s[i] in " \t":
                    i += 1
                indent = i - (s.rfind("\n", 0, i) + 1)
                first = False
                if i >= eol:
                    break
                if _KEY.match(s, i, eol) or s[i : i + 2] == "- ":
                    continue
                scalar, pos = _value(t, i, eol, end, indent - 1)
                assert isinstance(level.node, Seq)
                level.node.items.append(scalar)
                break
            assert key is not None
            assert isinstance(level.node, Map)
            k = Scalar(t.slice(key.start(1), key.end(1)), key.start(1), key.end(1))
            k.text = t.slice(key.start(1) + 1, key.end(1) - 1) if k.value[:1] in ("'", '"') else k.text
            i = key.end()
            while i < eol and s[i] in " \t\r":
                i += 1
            anchor = _ANCHOR.match(s, i, eol)
            if i >= eol or s[i] == "#" or (anchor and anchor.end() >= eol):
                open_key = (level.node, k, indent)
                break
            scalar, pos = _value(t, i, eol, end, indent)
            level.node.pairs.append((k, scalar))
            break
        for lv in stack:
            lv.node.end = max(lv.node.end, min(pos, end))
    return roots


def _value(t: Text, i: int, eol: int, end: int, indent: int) -> tuple[Scalar | Map, int]:
    """What starts at ``i`` under a key or dash at ``indent``, a scalar or a mapping in braces, and where the next line does."""
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
    """A mapping in braces that is closed on its own line and nothing but a comment behind it."""
    got = objects.read(t.slice(0, eol), i)
    if got is None or not isinstance(got[0], Map) or not re.fullmatch(r"\s*(?:#.*)?", t.s[got[1] : eol]):
        return None
    return got[0]
