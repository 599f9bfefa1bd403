"""Takes the quotes and escapes off shell words. Each character keeps its place; expansions stay as they are written."""

from __future__ import annotations

from tree_sitter import Node

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, join

_ANSI = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "e": "\x1b"}


def unquote(t: Text, node: Node) -> Text:
    """The text of a word node (word, string, raw string, concatenation, expansion)."""
    kind = node.type
    a, b = node.start_byte, node.end_byte
    if kind == "raw_string":
        return t.slice(a + 1, max(a + 1, b - 1))
    if kind == "ansi_c_string":
        return t.decoded(a + 2, b - 1, _ansi)
    if kind in {"string", "translated_string"}:
        start = a + (2 if kind == "translated_string" else 1)
        return _double(t, start, b - 1, node)
    if kind in {"concatenation", "command_name", "array", "variable_assignment"} and node.children:
        return join(unquote(t, c) for c in node.children)
    if kind == "word":
        return t.decoded(a, b, _bare)
    return t.slice(a, b)


def _double(t: Text, a: int, b: int, node: Node) -> Text:
    """Inside double quotes: backslash escapes ``$ ` " \\`` and the line end; nested expansions stay as they are."""
    s = t.s
    if s.find("\\", a, b) < 0:
        return t.slice(a, max(a, b))
    nested = [(c.start_byte, c.end_byte) for c in node.children if c.type in {"command_substitution", "expansion"}]
    out: list[str] = []
    at: list[int] = []
    i = a
    while i < b:
        inside = next((e for st, e in nested if st <= i < e), None) if nested else None
        if inside is not None:
            out.append(s[i:inside])
            at.extend(range(i, inside))
            i = inside
        elif s[i] == "\\" and i + 1 < b and s[i + 1] in '$`"\\':
            out.append(s[i + 1])
            at.append(i + 1)
            i += 2
        elif s[i] == "\\" and s[i + 1 : i + 2] == "\n":
            i += 2
        else:
            out.append(s[i])
            at.append(i)
            i += 1
    return t.pick("".join(out), at, b)


def _ansi(s: str, i: int) -> tuple[str, int, int]:
    return _ANSI.get(s[i + 1], "\\" + s[i + 1]), i + 1, i + 2


def _bare(s: str, i: int) -> tuple[str, int, int]:
    return "" if s[i + 1] == "\n" else s[i + 1], i + 1, i + 2


_PLACEHOLDER = regex(r"<(?![<(&\s])(?:[^<>\n'\"`;&|$()]{0,60}[^<>\n\s'\"`;&|$()=-]|[\w.|:-]{1,60})>(?!\()")


# What ``envsubst`` leaves a dollar for: ``${DOLLAR}(seq 1 3)``, ``${DOLLAR}{PORT:-80}``.
_DOLLAR = regex(r"\$\{DOLLAR\w*\}(?=[({])")


def mask_placeholders(s: bytes) -> bytes:
    """``s`` with each ``<your-model>`` replaced by a word of the same length, where the grammar would read redirections, and with
    a dollar for each name of one."""
    if b"{DOLLAR" in s:
        s = _DOLLAR.sub(lambda m: "x" * (len(m.group()) - 1) + "$", s.decode("ascii")).encode("ascii")
    if b"<" not in s:
        return s
    text = s.decode("ascii")
    return _PLACEHOLDER.sub(lambda m: "x" * len(m.group()), text).encode("ascii")
