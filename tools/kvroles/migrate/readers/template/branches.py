"""What the conditionals and loops of a template say of the text in them."""

from __future__ import annotations

import re

from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.text import Text
from kvroles.evidence.words import name_sides, prose_sides
from kvroles.migrate.readers.template.actions import Branch

_VAGUE = re.compile(
    r"(?i)\b(?:not|ne|!=|enabled?|create|replicas?|and|or|hasKey|len)\b|!=|\bnot\b|\.(?:enabled|create)\b"
)


def scope_of(b: Branch, up: Scope, source: Text) -> Scope:
    """The scope of a template's conditional: what its condition says, for the ``else`` only with support in its body."""
    scope = Scope("branch", b.condition, up)
    sides = {s for w in re.findall(r"[\w.-]+", b.condition) for s in name_sides(w)} & {Side.PREFILL, Side.DECODE}
    if b.condition.startswith(("range", "for")) and len(sides) == 2:
        scope.cues.append(Cue(Side.SHARED, Weight.NAMED, "loop", b.condition, source.at(b.start)))
    if len(sides) != 1 or _VAGUE.search(b.condition):
        return scope
    side = next(iter(sides))
    pos = source.at(b.start)
    if not b.negated:
        scope.cues.append(Cue(side, Weight.NAMED, "condition", b.condition, pos))
    elif prose_sides(source.s[b.start : b.end]) == {side.other}:
        scope.cues.append(Cue(side.other, Weight.SAID, "condition", f"else of: {b.condition}", pos))
    return scope
