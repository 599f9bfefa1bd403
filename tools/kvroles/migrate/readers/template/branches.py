"""What the conditionals and loops of a template say of the text in them."""

from __future__ import annotations

import re

from kvroles.evidence import conditions, pickers
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.names import PD, mentioned
from kvroles.evidence.prose import prose_sides
from kvroles.evidence.text import Text
from kvroles.migrate.readers.template.actions import Branch

_NAMES_SOMETHING = re.compile(r"(?:range|for|define|macro|set|block)\b")


def scope_of(b: Branch, up: Scope, source: Text, ctx: FileCtx) -> Scope:
    """The scope of a template's conditional: what its condition says, for the ``else`` only with support in its body."""
    scope = Scope("branch", b.condition, up)
    pos = source.at(b.start)
    if _NAMES_SOMETHING.match(b.condition):
        words = re.findall(r"[\w.-]+", b.condition)
        if {s for w in words for s in mentioned(w)} >= set(PD):
            scope.cues.append(Cue(Side.SHARED, Weight.NAMED, "loop", b.condition, pos))
        elif len(sides := {s for w in words for s in ctx.sides_of(w)}) == 1 and not b.negated:
            scope.cues.append(Cue(sides.pop(), Weight.NAMED, b.condition.split()[0], b.condition, pos))
    elif not b.negated:
        if (side := ctx.holds(b.condition)) is not None:
            scope.cues.append(Cue(side, Weight.NAMED, "condition", b.condition, pos))
    elif b.first is not None:
        side = pickers.side_of(b.condition, source.s[slice(*b.first)], 1, ctx)
        scope.cues += pickers.cue(side, f"else of: {b.condition}", pos)
    elif (side := conditions.alone(b.condition)) in PD and prose_sides(source.s[b.start : b.end]) == {side.other}:
        scope.cues.append(Cue(side.other, Weight.SAID, "condition", f"else of: {b.condition}", pos))
    return scope
