"""Decodes PowerShell's quotes, back-quote escapes and ``-f`` templates. Each character keeps its place."""

from __future__ import annotations

import re

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, join

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_PLACES = regex(r"\{\{|\}\}|\{(\d+)[^{}\n]{0,20}\}")


def undoubled(t: Text, quote: str) -> Text:
    """``t``, the inside of a string in ``quote``s, with each doubled quote as one."""
    parts: list[Text] = []
    start = 0
    for m in re.finditer(quote * 2, t.s):
        parts.append(t.slice(start, m.start() + 1))
        start = m.end()
    return join([*parts, t.slice(start, len(t.s))]) if parts else t


def unescaped(t: Text) -> Text:
    """``t`` with its back-quote escapes decoded."""
    if "`" not in t.s:
        return t
    parts: list[Text] = []
    start = 0
    for m in re.finditer(r"(?s)`(.)", t.s):
        parts.append(t.slice(start, m.start()))
        char = t.slice(m.start(1), m.end(1))
        parts.append(char.same_places(_ESCAPES.get(m[1], m[1])) if m[1] != "\n" else t.slice(m.end(), m.end()))
        start = m.end()
    return join([*parts, t.slice(start, len(t.s))])


def filled(template: Text, given: list[Text]) -> Text:
    """The text that ``template -f given`` makes; a number without a value becomes a placeholder."""
    parts: list[Text] = []
    at = 0
    for m in _PLACES.finditer(template.s):
        parts.append(template.slice(at, m.start()))
        at = m.end()
        if m[1] is None:
            parts.append(template.slice(m.start(), m.start() + 1))
        else:
            known = int(m[1]) < len(given)
            parts.append(given[int(m[1])] if known else template.pick("${_}", [m.start()] * 4, m.end()))
    return join([*parts, template.slice(at, len(template.s))])
