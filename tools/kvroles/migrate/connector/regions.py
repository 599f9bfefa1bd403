"""Which of a file's roles a connector's name may be meant for that a reader ties to none of them.

It is meant for the roles of the smallest region round it that holds any: its brackets, its line, its paragraph, the block
of lines that are indented like it, its document. A name beside one role says nothing of a role elsewhere.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences

_ROLE = regex("kv_(?:both|producer|consumer)")
_BRACKET = regex(r"[()\[\]{}]")
_CLOSES = {")": "(", "]": "[", "}": "{"}
_DOCUMENT = regex(r"(?m)---[ \t]*(?:#.*)?\r?$")
# A line that parts paragraphs: blank, the mark of a document or a fence, the header of a section.
_PART = regex(r"(?m)(?:[ \t]*|---.*|[ \t>]*(?:```|~~~).*|[ \t]*\[+[^\[\]\n]*\]+[ \t]*(?:[#;].*)?)\r?$")
_MANY = 200  # names that are looked at
_CHARACTERS = 16 << 20  # that are looked at for brackets
_LINES = 400  # of a block


def served(s: str, names: Iterable[int], roles: list[int]) -> frozenset[int]:
    """Those of the indices ``roles`` that a connector whose name stands at one of ``names`` is meant for."""
    held = [m.start() for m in _ROLE.finditer(s)]
    marks = [0] if _DOCUMENT.match(s) else []
    marks += [i + 1 for i in occurrences(s, "\n---") if _DOCUMENT.match(s, i + 1)]
    if len(held) == 1 and not marks:
        return frozenset(roles)
    paragraphs: list[tuple[int, int]] = []
    left = _CHARACTERS
    out: set[int] = set()
    for _, i in zip(range(_MANY), names, strict=False):
        paragraph = next((p for p in paragraphs if p[0] <= i < p[1]), None)
        if paragraph is None:
            paragraphs.append(paragraph := _paragraph(s, i))
        regions = [r for r in (_line(s, i), *blocks(s, i), paragraph) if _any(held, *r)]
        # A longer pair of brackets is not the smallest region, and is not looked for.
        longest = min((b - a for a, b in regions), default=len(s))
        near = max(0, i - longest), min(len(s), i + longest)
        left -= near[1] - near[0]
        if left < 0:
            break
        regions += [r for r in around(s, i, *near) if _any(held, *r)]
        a, b = min(regions, key=lambda r: r[1] - r[0]) if regions else _between(marks, i, len(s))
        out.update(roles[bisect_left(roles, a) : bisect_left(roles, b)])
        if len(out) == len(roles):
            break
    return frozenset(out)


def _any(held: list[int], a: int, b: int) -> bool:
    return bisect_left(held, a) < bisect_left(held, b)


def _between(marks: list[int], i: int, end: int) -> tuple[int, int]:
    """The part of a text that index ``i`` is in, where ``marks`` begin new ones."""
    n = bisect_left(marks, i + 1)
    return marks[n - 1] if n else 0, marks[n] if n < len(marks) else end


def _paragraph(s: str, i: int) -> tuple[int, int]:
    """The paragraph of an index; the line that parts it from the one before is a part of it."""
    a = s.rfind("\n", 0, i) + 1
    while a and not _PART.match(s, a):
        a = s.rfind("\n", 0, a - 1) + 1
    b = s.find("\n", i) + 1
    while b and not _PART.match(s, b):
        b = s.find("\n", b) + 1
    return a, b or len(s)


def around(s: str, i: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The pairs of brackets round an index that open and close between two others; what is not closed there is none."""
    opened: list[re.Match[str]] = []
    for m in _BRACKET.finditer(s, start, i):
        if (mark := m[0]) not in _CLOSES:
            opened.append(m)
        elif opened and opened[-1][0] == _CLOSES[mark]:
            opened.pop()
    depth = len(opened)  # of those that are open at the index
    for m in _BRACKET.finditer(s, i, end) if opened else ():
        if (mark := m[0]) not in _CLOSES:
            opened.append(m)
        elif opened and opened[-1][0] == _CLOSES[mark]:
            at = opened.pop().start()
            if len(opened) < depth:
                yield at, m.end()
                depth -= 1
                if not depth:
                    return


def near(s: str, i: int, far: int) -> Iterator[tuple[int, int]]:
    """The pairs of brackets round an index that open and close no more than ``far`` characters from it."""
    return around(s, i, max(0, i - far), min(len(s), i + far))


def block(s: str, i: int) -> tuple[int, int]:
    """The block of lines round an index that are indented no less than its line; its paragraph where that is not indented."""
    return next(blocks(s, i), None) or _paragraph(s, i)


def _line(s: str, i: int) -> tuple[int, int]:
    """The line of an index, with those that a backslash joins to it."""
    a, b = s.rfind("\n", 0, i) + 1, s.find("\n", i)
    while a and s[max(0, a - 3) : a].rstrip("\r\n").endswith("\\"):
        a = s.rfind("\n", 0, a - 1) + 1
    while b >= 0 and s[max(a, b - 2) : b].rstrip("\r").endswith("\\"):
        b = s.find("\n", b + 1)
    return a, b if b >= 0 else len(s)


def blocks(s: str, i: int) -> Iterator[tuple[int, int]]:
    """The blocks of lines round an index that are indented no less than its line, than the line which that block is below,
    and so on."""
    a, b = s.rfind("\n", 0, i) + 1, s.find("\n", i)
    b = b if b >= 0 else len(s)
    indent = _indent(s[a:b])
    left = _LINES
    while indent and left:
        while a and left:
            start = s.rfind("\n", 0, a - 1) + 1
            above = s[start : a - 1]
            if above.strip() and _indent(above) < indent:
                break
            a, left = start, left - 1
        while b < len(s) and left:
            end = s.find("\n", b + 1)
            end = end if end >= 0 else len(s)
            below = s[b + 1 : end]
            if below.strip() and _indent(below) < indent:
                break
            b, left = end, left - 1
        yield a, b
        if not a:
            return
        head = s.rfind("\n", 0, a - 1) + 1
        a, indent = head, min(indent - 1, _indent(s[head : a - 1]))


def _indent(line: str) -> int:
    """The column where what a line holds begins."""
    return len(line) - len(line.lstrip(" \t"))


def flat(s: str, a: int, b: int) -> str:
    """The text between two indices, with blanks for what stands in brackets of its own."""
    out, depth, at = [], 0, a
    for m in _BRACKET.finditer(s, a, b):
        if m.group() in "([{":
            if depth == 0:
                out.append(s[at : m.end()])
                at = m.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                out.append(" " * (m.start() - at))
                at = m.start()
    out.append(s[at:b] if depth == 0 else " " * (b - at))
    return "".join(out)


def closes(s: str) -> int:
    """The index behind the bracket that closes the one ``s`` begins with."""
    depth = 0
    for m in _BRACKET.finditer(s):
        depth += 1 if m.group() in "([{" else -1
        if depth == 0:
            return m.end()
    return len(s)
