"""What the conditionals and loops of a template say of the text in them."""

from __future__ import annotations

import re

from kvroles.evidence import kinds, pickers
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Scope, Side
from kvroles.evidence.names import PD, mentioned
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers.template.actions import Branch

_NAMES_SOMETHING = regex(r"(?:range|for|define|macro|set|block)\b")


def scope_of(b: Branch, up: Scope, source: Text, ctx: FileCtx) -> Scope:
    """The scope of a template's conditional: what its condition says of what runs where it holds, or does not."""
    scope = Scope("branch", b.condition, up)
    pos = source.at(b.start)
    first = b.first[0] if b.first is not None else b.start
    scope.fork = source.at(first), b.start
    if _NAMES_SOMETHING.match(b.condition):
        words = re.findall(r"[\w.-]+", b.condition)
        if {s for w in words for s in mentioned(w)} >= set(PD):
            scope.cues.append(kinds.LOOP_OVER_BOTH.cue(Side.SHARED, b.condition, pos))
        elif len(sides := {s for w in words for s in ctx.sides_of(w)}) == 1 and not b.negated:
            scope.cues.append(kinds.BLOCK.cue(sides.pop(), b.condition, pos))
    elif not b.negated:
        scope.cues += pickers.holding(b.condition, b.condition, ctx, pos)
    else:
        held = source.s[slice(*b.first)] if b.first is not None else ""
        body = source.s[b.start : b.end]
        scope.cues += pickers.else_cues(b.condition, held, body, ctx, pos, last=b.first is not None)
    return scope
