"""The scopes of a template's conditionals, loops and definitions, with the side that each says of the text in it."""

from __future__ import annotations

from kvroles.evidence import kinds, loops, pickers
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Scope, Side
from kvroles.evidence.names import PD
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers.template.actions import Branch

_LOOPS = regex(r"(?:range|for)\b")
_NAMED = regex(r"(?:define|macro|set|block)\s+[\"'`]?([\w./-]+)")


def scope_of(b: Branch, up: Scope, source: Text, ctx: FileCtx) -> Scope:
    """The scope of the branch ``b`` of ``source``, owned by ``up``, with a cue if the condition or its failure says a side."""
    scope = Scope("branch", b.condition, up)
    pos = source.at(b.start)
    first = b.first[0] if b.first is not None else b.start
    scope.fork = source.at(first), b.start
    if _LOOPS.match(b.condition):
        said = loops.cues(b.condition, b.condition, ctx, pos, one=kinds.BLOCK)
        scope.cues += [c for c in said if not b.negated or c.side is Side.SHARED]
    elif named := _NAMED.match(b.condition):
        sides = ctx.sides_of(named.group(1))
        if len(sides) == 1:
            scope.cues.append(kinds.BLOCK.cue(next(iter(sides)), b.condition, pos))
        elif sides >= set(PD):
            scope.cues.append(kinds.LOOP_OVER_BOTH.cue(Side.SHARED, b.condition, pos))
    elif not b.negated:
        rest = source.s[slice(*b.other)] if b.other is not None else ""
        scope.cues += pickers.holding(b.condition, b.condition, ctx, pos, rest=rest)
    else:
        held = source.s[slice(*b.first)] if b.first is not None else ""
        body = source.s[b.start : b.end]
        scope.cues += pickers.else_cues(b.condition, held, body, ctx, pos, last=b.first is not None)
    return scope
