"""Lines of any text, and what one of them says of something that it names."""

from __future__ import annotations

import re

from kvroles.evidence import argv, kinds
from kvroles.evidence import comments as evidence_of
from kvroles.evidence.context import FileCtx
from kvroles.evidence.entries import one_side
from kvroles.evidence.frames import Scope, Side
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text

_WORD = regex(r"[^\s\"'`,]+")
_HEAD = regex(
    r"(?m)^(?:FROM[ \t]+\S+[ \t]+AS[ \t]+(?P<stage>\S+)|\[(?P<section>[^\]\n]+)\]"
    r"|(?P<target>[\w.-]+)[ \t]*[^\n:=]*:(?![=:]))"
)


def span(s: str, i: int) -> tuple[int, int]:
    """Where the line that index ``i`` is on begins and ends, with those that a backslash joins to it."""
    start, end = s.rfind("\n", 0, i) + 1, s.find("\n", i)
    end = len(s) if end < 0 else end
    while start > 1 and s[:start].rstrip("\r\n").endswith("\\"):
        start = s.rfind("\n", 0, start - 1) + 1
    while end < len(s) and s[start:end].rstrip("\r").endswith("\\"):
        below = s.find("\n", end + 1)
        end = len(s) if below < 0 else below
    return start, end


def line_at(s: str, i: int) -> str:
    """The line that index ``i`` is on, with those that a backslash joins to it."""
    start, end = span(s, i)
    return s[start:end]


def keyed(key: str, pos: int, up: Scope, ctx: FileCtx) -> Scope:
    """The scope of what the words ``key=...`` set."""
    side = one_side(key, ctx)
    return Scope("key", key, up, [] if side is None else [kinds.KEY.cue(side, key, pos)])


def owner(t: Text, i: int, up: Scope, ctx: FileCtx) -> Scope:
    """What the line at ``i`` says beside the word that stands there."""
    start, end = span(t.s, i)
    line = t.s[start:end]
    if line.lstrip().startswith("#"):
        side = ctx.title_side(line)
        cues = [kinds.COMMENT.cue(side, line.strip("# ")[:80], t.at(i))] if side else []
        return Scope("comment", "", up, cues)
    named = next((m.group() for m in _WORD.finditer(line) if m.start() <= i - start < m.end()), "")
    words = [argv.Word(m.group(), t.at(i)) for m in _WORD.finditer(line) if m.group() != named]
    return Scope("command", "", up, argv.cues(words, ctx), place=t.at(i))


def headed(t: Text, i: int, up: Scope, ctx: FileCtx) -> Scope:
    """The target of a Makefile, the stage of a Dockerfile or the section of a unit that ``i`` stands in."""
    last: re.Match[str] | None = None
    for m in _HEAD.finditer(t.s[:i]):
        last = m
    if last is None:
        return up
    title = next(g for g in last.groups() if g)
    sides = ctx.sides_of(title) & {Side.PREFILL, Side.DECODE}
    cues = [kinds.TARGET.cue(s, title, t.at(last.start())) for s in sides if len(sides) == 1]
    return Scope("target", title, up, cues)


def spans(t: Text) -> list[tuple[int, int]]:
    """The span of each line, its line feed included."""
    starts = [0] + [m.end() for m in re.finditer("\n", t.s)]
    return [(a, b) for a, b in zip(starts, [*starts[1:], len(t.s)], strict=True) if b > a]


def named(scope: Scope, kind: kinds.Kind, name: str, pos: int, ctx: FileCtx) -> Scope:
    """``scope`` with the cue that its name gives, if it gives one."""
    sides = ctx.sides_of(name)
    if len(sides) == 1:
        scope.cues.append(kind.cue(next(iter(sides)), name, pos))
    elif kind is not kinds.VARIABLE and {Side.PREFILL, Side.DECODE} <= sides:
        scope.cues.append(kind.cue(Side.SHARED, name, pos))
    return scope


def said(comments: list[tuple[int, str]], up: Scope, ctx: FileCtx) -> Scope:
    """The scope of comment lines, owned by ``up``; ``up`` itself if they say no side."""
    cues = evidence_of.said(comments, ctx)
    return Scope("block", "", up, cues) if cues else up
