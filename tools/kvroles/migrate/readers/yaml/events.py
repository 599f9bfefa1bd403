"""YAML text to trees whose values know their places: libyaml's events, with each scalar found again in the source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from kvroles.evidence.data import Alias, Map, Node, Scalar, Seq
from kvroles.evidence.text import TOKEN, Text

MAX_DEPTH = 200
_Loader = getattr(yaml, "CLoader", yaml.Loader)
_QUOTED, _BLOCK = frozenset("\"'"), frozenset("|>")
_HEX = {"x": 2, "u": 4, "U": 8}
_ESC = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip


class NotYamlError(Exception):
    """The text is not YAML as it stands."""


def documents(t: Text) -> list[Node]:
    """The root nodes of the documents in ``t``. Raises ``NotYamlError``."""
    try:
        loader = _Loader(t.s)
        try:
            return _build(t, iter(loader.get_event, None))  # what yaml.parse does, in a third of its time
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, UnicodeError) as e:
        raise NotYamlError(str(e).split("\n", 1)[0]) from None


def _build(t: Text, events: Iterator[Any]) -> list[Node]:
    """The root nodes of the documents that the events make. Classes are compared with ``is``: a large file has thousands."""
    roots: list[Node] = []
    stack: list[Map | Seq] = []
    keys: list[Scalar | None] = []
    scalar, mapping, sequence = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
    for e in events:
        kind = type(e)
        node: Node
        if kind is scalar:
            value, start, style = e.value, e.start_mark.index, e.style or ""
            if TOKEN in value:
                node = _scalar(t, value, style, start, e.end_mark.index, e.anchor or "")
            else:  # nearly all of them
                text = Text(value, t.at(start))
                node = Scalar(text, start, e.end_mark.index, style in _QUOTED, style in _BLOCK, e.anchor or "", False)
        elif kind is mapping or kind is sequence:
            if len(stack) >= MAX_DEPTH:
                raise NotYamlError("nested too deep")
            opened = Map if kind is mapping else Seq
            stack.append(opened(start=e.start_mark.index, anchor=e.anchor or "", flow=bool(e.flow_style)))
            keys.append(None)
            continue
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            node = stack.pop()
            node.end = e.end_mark.index
            keys.pop()
        elif kind is yaml.AliasEvent:
            node = Alias(e.anchor or "", e.start_mark.index, e.end_mark.index)
        else:
            continue
        if not stack:
            roots.append(node)
        elif isinstance(top := stack[-1], Seq):
            top.items.append(node)
        elif (key := keys[-1]) is None:
            keys[-1] = node if type(node) is Scalar else Scalar(Text(""), node.start, node.end)
        else:
            top.pairs.append((key, node))
            keys[-1] = None
    return roots


def _scalar(t: Text, value: str, style: str, start: int, end: int, anchor: str) -> Scalar:
    """A scalar each of whose characters knows its place; not ``exact`` if it cannot be found in the source.

    Only scalars with the token are made so: it takes time.
    """
    quoted, block = style in _QUOTED, style in _BLOCK
    if style == '"':
        laid = _double(t, start, end)
    else:
        laid = (_literal(t, value, start) if style == "|" else None) or _aligned(t, value, start, end, quoted, block)
    if laid is None or laid.s != value:
        return Scalar(Text(value, t.at(start)), start, end, quoted, block, anchor, exact=False)
    return Scalar(laid, start, end, quoted, block, anchor)


def _double(t: Text, start: int, end: int) -> Text | None:
    """A double-quoted scalar with its escapes decoded and its lines folded."""
    s = t.s
    while start < end and s[start] != '"':  # an anchor or a tag may stand before the quote
        start += 1
    i, end = start + 1, end - 1
    out: list[str] = []
    at: list[int] = []
    while i < end:
        ch = s[i]
        if ch == "\\" and i + 1 < end:
            nxt = s[i + 1]
            if nxt in _HEX:
                n = _HEX[nxt]
                out.append(chr(int(s[i + 2 : i + 2 + n], 16)))
                at.append(i)
                i += 2 + n
            elif nxt in "\r\n":
                i += 3 if s.startswith("\r\n", i + 1) else 2
                while i < end and s[i] in " \t":
                    i += 1
            else:
                out.append(_ESC.get(nxt, nxt))
                at.append(i)
                i += 2
        elif ch in "\r\n":
            while out and out[-1] in " \t" and s[at[-1]] != "\\":
                out.pop()
                at.pop()
            breaks, j = 0, i
            while j < end and s[j] in " \t\r\n":
                breaks += s[j] == "\n" or (s[j] == "\r" and not s.startswith("\r\n", j))
                j += 1
            out.extend("\n" * (breaks - 1) if breaks > 1 else " ")
            at.extend([i] * max(breaks - 1, 1))
            i = j
        else:
            out.append(ch)
            at.append(i)
            i += 1
    return t.pick("".join(out), at, end)


def _literal(t: Text, value: str, start: int) -> Text | None:
    """A literal block scalar each of whose lines is the source's without its indentation; None if one is not."""
    s = t.s
    i = s.find("\n", start) + 1
    runs: list[tuple[int, int]] = []
    n = 0
    for line in value.splitlines(keepends=True):
        body = line.rstrip("\n")
        eol = s.find("\n", i)
        eol = len(s) if eol < 0 else eol
        at_body = eol - len(body) - (s[eol - 1 : eol] == "\r")
        if at_body < i or s[at_body : at_body + len(body)] != body or s[i:at_body].strip():
            return None
        runs.append((n, at_body))
        n += len(body)
        if len(line) > len(body):
            if eol != at_body + len(body):  # a carriage return stands between
                runs.append((n, eol))
            n += 1
        i = eol + 1
    return t.lay(value, runs, min(i, len(s))) if n == len(value) else None


def _aligned(t: Text, value: str, start: int, end: int, single: bool, block: bool) -> Text | None:
    """A plain, single-quoted or block scalar: its characters are found in the source in order, white space aside; or None."""
    s = t.s
    i = start
    if block:
        m = re.compile(r"[^|>\n]*[|>][^\n]*\n?").match(s, start)
        if m is None:
            return None
        i = m.end()
    elif single:
        while i < end and s[i] != "'":
            i += 1
        i += 1
    else:
        i = start
        while s[i : i + 1] in ("&", "!"):  # anchor, tag
            m = re.compile(r"\S+\s*").match(s, i)
            if m is None:
                break
            i = m.end()
    at: list[int] = []
    for ch in value:
        if ch.isspace():
            at.append(min(i, end))
            if i < end and s[i] == ch:
                i += 1
            continue
        while i < end and s[i].isspace():
            i += 1
        if i >= end or s[i] != ch:
            return None
        at.append(i)
        i += 2 if single and ch == "'" else 1
    return t.pick(value, at, min(i, end))
