"""Python, from files, fences and notebook cells (whose ``%%magic`` and ``!command`` lines are shell)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from kvroles.evidence import kinds
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, first_in_lines
from kvroles.migrate.readers import lines, registry
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.code.reader import Code

_CELL = regex(r"\A\s*%%(?:!|(bash|sh|shell|script\s+\w+|writefile\s+(?:-a\s+)?(\S+)|yaml|html|markdown)).*\n")
_BANG = regex(r"^[ \t]*[!%](?:sx\s|system\s)?(?P<cmd>(?:[^\n\\]|\\\r?\n|\\.)*)", re.M)


class _Python(Code):
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in Python text."""
        return _read(text, owner, file)


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    if m := _CELL.match(t.s):
        body = t.slice(m.end(), len(t.s))
        target = m.group(2)
        lang = (
            registry.lang_of_name(target)
            if target
            else {"yaml": "yaml", "markdown": "markdown"}.get(m.group(1) or "", "shell")
        )
        if target:
            cues = [kinds.FILE_OPENED.cue(s, target, t.at(m.start(2))) for s in ctx.sides_of(target)]
            up = Scope("file", target, up, cues if len(cues) == 1 else [])
            if ctx.elsewhere is not None:
                up.find_uses, up.only_doubts = partial(ctx.elsewhere, target.rsplit("/", 1)[-1]), True
        return ctx.read(body, up, lang)
    out: list[Site] = []
    holes: list[tuple[int, int]] = []
    for m in _magic(t.s):
        if re.match(r"\s*[!%]\s*[\w./{$-]", m.group()) and "=" not in m.group()[:2]:
            holes.append((m.start(), m.end()))
            if "kv_both" in m.group():
                out += ctx.read(
                    t.slice(m.start("cmd"), m.end("cmd")), lines.said(_above(t, m.start()), up, ctx), "shell"
                )
    if holes:
        s = list(t.s)
        for a, b in holes:
            s[a:b] = [c if c == "\n" else " " for c in s[a:b]]
        t = t.same_places("".join(s))
    if re.match(r"\s*>>> ", t.s):
        s2 = re.sub(r"(?m)^(\s*)(?:>>>|\.\.\.)( |$)", lambda m: m.group(1) + "   " + m.group(2), t.s)
        t = t.same_places(s2) if len(s2) == len(t.s) else t
    return out + _CODE.read(t, up, ctx)


def _above(t: Text, start: int) -> list[tuple[int, str]]:
    """The lines of the comment right above the line that begins at index ``start``: the place and the text of each."""
    out: list[tuple[int, str]] = []
    while start > 0:
        end, start = start - 1, t.s.rfind("\n", 0, start - 1) + 1
        line = t.s[start:end].strip()
        if not line.startswith("#"):
            break
        out.insert(0, (t.at(start), line.lstrip("# ")))
    return out


def _magic(s: str) -> Iterator[re.Match[str]]:
    """The lines that begin with ``!`` or ``%``, with those they go on in: looking for the signs first is many times faster than
    line by line."""
    starts = {line for sign in "!%" for line, i in first_in_lines(s, sign) if not s[line:i].strip(" \t")}
    end = 0
    for start in sorted(starts):
        if start >= end and (m := _BANG.match(s, start)):
            end = m.end()
            yield m


_CODE = Code("python")
PYTHON = _Python("python")
