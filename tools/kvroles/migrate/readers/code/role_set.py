"""A variable of code that holds the role of what a block starts: ``role = "prefill"``."""

from __future__ import annotations

from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence import argv, kinds
from kvroles.evidence.frames import Cue, Scope, Weight
from kvroles.evidence.names import mentioned
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import lines
from kvroles.migrate.readers.code.source import Source

_WORDS = ("prefill", "decode")
_QUOTES = frozenset("\"'`")
_SETS = regex(
    r"""(?x)[ \t]* (?:(?:export|pub|static|final|const|let|var|mut)[ \t]+)*
    (?P<name>[A-Za-z_]\w*) [ \t]* (?::[^=\n]{1,40})? :?=
    [ \t]* ["'`](?P<value>\w+)["'`] (?:\.to_string\(\)|\.into\(\))? [ \t]* ;? [ \t]* (?:(?:\#|//).*)? \r?"""
)
_LONGEST = 200  # characters of a line that sets a role


class _Set(NamedTuple):
    """A line that sets a role's variable: where it begins, where its words do, and the cue of it."""

    line: int
    start: int
    cue: Cue


def scope(unit: Source, block: Node, inner: Node, up: Scope) -> Scope:
    """The scope of ``inner`` behind what sets a role's variable in ``block``; ``up`` itself without such a line. What a class
    sets is only a default of its objects."""
    found = unit.kept("roles set", None, lambda: _all(unit))
    if not found or (block.parent is not None and block.parent.type in unit.spec.class_):
        return up
    column = inner.start_byte - lines.span(unit.t.s, inner.start_byte)[0]
    for one in reversed(found):
        if block.start_byte <= one.start < inner.start_byte and one.start - one.line == column:
            return Scope("block", "", up, [one.cue])
    return up


def _all(unit: Source) -> list[_Set]:
    """Every line of the text that sets a role's variable to a side, names no other one, and is all that sets it."""
    out: list[_Set] = []
    s = unit.t.s
    for i in sorted(i for word in _WORDS for i in unit.places(word) if s[i - 1 : i] in _QUOTES):
        start, end = lines.span(s, i)
        line = s[start:end] if end - start <= _LONGEST else ""
        if (m := _SETS.fullmatch(line)) is None or len(mentioned(line)) != 1:
            continue
        place = start + len(line) - len(line.lstrip())
        cues = argv.env_cues(m["name"], m["value"], unit.t.at(place), unit.ctx)
        if cues and cues[0].weight == Weight.FLAG and unit.value_of(m["name"]) == m["value"]:
            cue = kinds.ROLE_ASSIGNED.cue(cues[0].side, line.strip()[:80], unit.t.at(place))
            out.append(_Set(start, place, cue))
    return out
