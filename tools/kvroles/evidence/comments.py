"""What a run of comment lines announces for the frame that it belongs to: the same in every language."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import mentioned
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import starts_something
from kvroles.evidence.prose import alike_said, sides_for_values, turns_to

_CONFIG = regex(r"kv_(?:both|producer|consumer)|kv[-_]transfer[-_]config|kv_connector")
_ENDS = regex(r"[.:;!?。：；！？)]\s*$")
# Code that is commented out: what starts a server, sets a value, opens a key or target, or calls.
_STARTS = regex(
    r"(?:[A-Za-z_]\w*=\S*\s+)*(?:(?:nohup|exec|sudo|time|nice|env)\s+)*(?:\S*/)?"
    r"(?:vllm\s+serve|(?:python3?|docker|podman|srun|mpirun|torchrun|uv|kubectl|helm|ssh)\s+\S*[\w/.:=\"'$-]\s*\S.*\s-{1,2}\w|\S+\.(?:sh|py)\s)"
)
_FORMS = tuple(
    regex(pattern)
    for pattern in (
        r"(?:(?:export|local|const|let|var)\s+)?[A-Za-z_$][\w.$-]*(?:\[[^\]]*\])?\s*[:?+]?=(?!=)\s*\S",
        r"(?:-\s+)?[\"']?[A-Za-z_][\w./-]*[\"']?\s*:(?:\s*$|\s+(?:[\"'\[{|>&*]|\S+$))",
        r"(?:CMD|ENTRYPOINT|RUN|ENV|ARG|COPY|FROM)\s+\S",
        r"(?:await\s+|return\s+)?[\w.:$]+!?\((?=.*[\"'\w)\]}].*[)\]},;({\\]?$)",
    )
)
MARK = regex(r"\s*(?:#+|//+|;+|--|/\*+|\*)\s?")
_LONGEST_CODE = 300  # characters of a line that are looked at for code
_LONGEST_SKIPPED = 20  # lines between a comment and what it is about
_LONGEST = 4  # lines: in a longer comment only the last line is still about what comes next
_SHOWN = 80


def said(lines: Sequence[tuple[int, str]], ctx: FileCtx) -> list[Cue]:
    """The cue of a comment's lines, each given as its place in the file and its text without the comment's sign.

    The last line that is a title decides, unless another is one for the other side; the cue cites the line that decided.
    A config that is commented out is no title, and a line in the midst of a sentence neither. A title over code that is
    commented out is the title of that.
    """
    lines = [(place, text.strip()) for place, text in lines if re.search(r"\w", text)]
    if not lines or any(_CONFIG.search(sides_for_values(text)) for _, text in lines):
        return []
    own = ctx.name.rsplit("/", 1)[-1]
    for place, text in lines:
        if alike_said(text):
            return [kinds.BOTH_SAID.cue(Side.SHARED, text[:_SHOWN], place)]
        called, _, given = text.partition(f"{own} ")
        if given and not called[-1:].isalnum() and mentioned(given):  # how it is called: by the side
            return [kinds.OPEN.cue(Side.SHARED, text[:_SHOWN], place)]
    titles: list[tuple[Side, int, str]] = []
    for n, (place, text) in enumerate(lines):
        if (n == 0 or _begins(lines[n - 1][1], text)) and (side := ctx.title_side(text)) is not None:
            titles.append((side, place, text))
    if not titles:
        return []
    side, place, text = titles[-1]
    if any(disabled(below, ctx.text.s, lines[-1][0]) for at, below in lines if at > place):
        return []
    last = (place, text) == lines[-1]
    if {s for s, _, _ in titles} != {side} and not (last and starts_something(text)):
        return []
    if not last and len(lines) > _LONGEST:
        return []
    if not last and any(turns_to(below, side.other) for at, below in lines if at > place):
        return []
    return [kinds.COMMENT.cue(side, text[:_SHOWN], place)]


def disabled(text: str, s: str, place: int) -> bool:
    """Whether a comment's line is code that is commented out: it starts a server, or is of the same form as the live line that
    follows the comment. The comment's last line stands at index ``place`` of the file's text ``s``."""
    text = text[:_LONGEST_CODE]
    if _STARTS.match(text) is not None:
        return True
    forms = [form for form in _FORMS if form.match(text) is not None]
    if not forms or place < 0:
        return False
    at = place
    for _ in range(_LONGEST_SKIPPED):
        at = s.find("\n", at) + 1
        if not at:
            return False
        end = s.find("\n", at)
        live = s[at : min(end if end >= 0 else len(s), at + _LONGEST_CODE)].strip()
        if live and MARK.match(live) is None:
            return any(form.match(live) is not None for form in forms)
    return False


_PLAIN_BEHIND = regex(r"\s(?:#+|//+|;)[ \t]*([^'\"{}\[\]]*?)[ \t]*\r?\n?\Z")
_QUOTED_OR_SIGN = regex(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\"']|(?<=\s)(?P<sign>#+|//+|;)[ \t]*(?P<said>[^\n]*)")


def behind(line: str) -> tuple[int, str] | None:
    """The comment at the end of a line that sets something: its index and its text; None without one.

    What stands in quotes is no comment. A quote that is never closed may have been opened in a line above: behind it a comment
    is one that holds no quotes and no brackets.
    """
    for m in _QUOTED_OR_SIGN.finditer(line):
        if m["sign"]:
            return m.start(), m["said"].rstrip()
        if len(m[0]) == 1:
            plain = _PLAIN_BEHIND.search(line, m.start())
            return (plain.start() + 1, plain.group(1)) if plain is not None else None
    return None


def _begins(before: str, line: str) -> bool:
    """Whether a line begins a sentence of its own, ``before`` being the line above."""
    return _ENDS.search(before) is not None or not line[:1].isascii() or not line[:1].islower()
