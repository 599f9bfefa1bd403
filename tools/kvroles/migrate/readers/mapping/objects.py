"""Reads JSON, JSON5 and what people write in its place, from any text, with the place of every value.

Configs stand in strings that hold placeholders (``$VAR``, ``{{ .Values.x }}``), trailing commas, single quotes, bare
words, or quotes still escaped for an outer layer (``{\\"kv_role\\"``); a strict parser would drop them all. No standard
parser keeps positions, so this one reader serves files and embedded objects alike. It never raises and never recurses.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text

MAX_DEPTH = 200
_SPACE = regex(r"(?:\s|//[^\n]*|/\*.*?\*/|\\\r?\n)+", re.S)
_QUOTE = regex(r"""(\\*)(["'])""")
_BARE = regex(
    r"""(?x)(?: \{\{.*?\}\} | \{%.*?%\} | \$\{[^{}]*\} | \$\([^()]*\) | <[^<>\n{}"]*> | [^\s{}\[\],:"'\\] | \\(?!["'\\]) )+""",
)
_START = regex(r"""(?<![${%])\{(?![{%])(?=\s*(?:\\*["']|[A-Za-z_}]|//|/\*))""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}


def unescape(t: Text) -> Text:
    """``t``, the inside of a JSON or JSON5 string, decoded."""
    return t.decoded(0, len(t.s), _escape)


def _escape(s: str, i: int) -> tuple[str, int, int]:
    nxt = s[i + 1]
    if nxt == "u" and re.match(r"[0-9A-Fa-f]{4}", s[i + 2 : i + 6]):
        return chr(int(s[i + 2 : i + 6], 16)), i, i + 6
    return "" if nxt == "\n" else _ESCAPES.get(nxt, nxt), i, i + 2


def _string(t: Text, i: int) -> tuple[Scalar, int] | None:
    """The quoted string that opens at ``i``: its scalar and the index after it."""
    m = _QUOTE.match(t.s, i)
    if m is None:
        return None
    depth, quote = len(m.group(1)), m.group(2)
    j = m.end()
    while True:
        k = t.s.find(quote, j)
        if k < 0:
            return None
        if (after := _action_end(t.s, m.end(), k)) > 0:
            j = after
            continue
        run = 0
        while k - run - 1 >= m.end() and t.s[k - run - 1] == "\\":
            run += 1
        if (run == depth) if depth else (run % 2 == 0):
            inner = t.slice(m.end(), k - run if depth else k)
            return Scalar(inner if depth else unescape(inner), i, k + 1, quoted=True), k + 1
        j = k + 1


def _action_end(s: str, start: int, quote: int) -> int:
    """Where a template's action ends that the quote at ``quote`` stands in, the string having begun at ``start``; 0 if none."""
    opened = s.rfind("{{", max(start, quote - 2_000), quote)
    if opened < 0 or s.find("}}", opened, quote) >= 0:
        return 0
    line = s.find("\n", quote)
    end = s.find("}}", quote, len(s) if line < 0 else line)
    return end + 2 if end >= 0 else 0


class _Frame:
    __slots__ = ("awaits", "key", "node")

    def __init__(self, node: Map | Seq) -> None:
        self.node = node
        self.key: Scalar | None = None
        self.awaits = False  # a colon has been read: the next value belongs to ``key``

    def add(self, value: Node) -> None:
        if isinstance(self.node, Seq):
            self.node.items.append(value)
        elif self.awaits and self.key is not None:
            self.node.pairs.append((self.key, value))
            self.key, self.awaits = None, False
        elif isinstance(value, Scalar):
            self.key = value


def read(t: Text, i: int = 0) -> tuple[Node, int] | None:
    """The value that starts at ``i`` and the index after it, or None if it is not closed."""
    node, end = _parsed(t, i)
    return None if node is None else (node, end)


def _parsed(t: Text, i: int) -> tuple[Node | None, int]:
    """The value that starts at ``i``, None if it is not closed; and the index up to which was looked."""
    s = t.s
    stack: list[_Frame] = []
    n = len(s)
    while i < n:
        m = _SPACE.match(s, i)
        if m:
            i = m.end()
            if i >= n:
                break
        ch = s[i]
        top = stack[-1] if stack else None
        if ch in "{[" and not s.startswith(("{{", "{%"), i):
            if len(stack) >= MAX_DEPTH:
                return None, i
            stack.append(_Frame(Map(start=i, flow=True) if ch == "{" else Seq(start=i, flow=True)))
            i += 1
            continue
        if ch in "}]":
            if top is None or isinstance(top.node, Map) != (ch == "}"):
                return None, i
            i += 1
            top.node.end = i
            stack.pop()
            if not stack:
                return top.node, i
            stack[-1].add(top.node)
            continue
        if ch == ":" and top is not None:
            top.awaits = True
            i += 1
            continue
        if ch == "," or s.startswith("\\,", i):  # helm --set: a comma of the value's own
            i += ch == "\\"
            if top is None:
                return None, i
            top.key, top.awaits = None, False
            i += 1
            continue
        got = _string(t, i)
        if got is None:
            m = _BARE.match(s, i)
            if m is None:
                return None, i
            got = Scalar(t.slice(i, m.end()), i, m.end()), m.end()
        scalar, i = got
        if top is None:
            return scalar, i
        top.add(scalar)
    return None, n


_OPENINGS = 40  # braces before the place that are tried as the object's


def nearest(t: Text, target: int) -> Map | None:
    """The innermost object in ``t`` that holds index ``target``, whatever stands around it; None if there is none."""
    starts = [m.start() for m in _START.finditer(t.s, max(0, target - 4_000), target)]
    for start in reversed(starts[-_OPENINGS:]):
        got = read(t, start)
        if got is not None and isinstance(got[0], Map) and got[1] > target:
            return got[0]
    return None


def round_place(t: Text, place: int) -> tuple[Map, str] | None:
    """The innermost object in ``t`` round what stands for ``place`` of the file, and the key of which that is the value; None if
    it is no value of an object."""
    k = next((n for n in range(len(t.s)) if t.at(n) == place), -1)
    root = nearest(t, k) if k >= 0 else None
    held = [key.value for key, v in root.pairs if v.start <= k < max(v.end, v.start + 1)] if root is not None else []
    return (root, held[0]) if root is not None and held else None


class _Outermost:
    """The outermost objects of a text, found once, from its start as far as was asked."""

    def __init__(self, t: Text) -> None:
        self._t = t
        self._found: list[Map] = []
        self._ends: list[int] = []
        self._next = 0  # where to look on
        self._tries, self._left = _TRIES, _LOOKED_AT

    def at(self, target: int) -> Map | None:
        while (self._ends[-1] if self._ends else -1) <= target and self._next < target:
            start = _START.search(self._t.s, self._next, target)
            if start is None:
                return None
            if not self._tries or self._left < 0:
                return None
            node, end = _parsed(self._t, start.start())
            if isinstance(node, Map):
                self._found.append(node)
                self._ends.append(end)
                self._next = end
            else:
                self._next = start.start() + 1
                self._tries -= 1
                self._left -= end - start.start()
        k = bisect_right(self._ends, target)
        if k == len(self._found) or not _START.match(self._t.s, self._found[k].start, target):
            return None
        return self._found[k]


# Objects that are not closed, and characters in them: each of many might be read to the end of the text.
_TRIES, _LOOKED_AT = 400, 4_000_000
_outermost = lru_cache(maxsize=8)(_Outermost)


def enclosing(t: Text, target: int) -> Map | None:
    """The outermost object in ``t`` that holds index ``target``, or None."""
    return _outermost(t).at(target)
