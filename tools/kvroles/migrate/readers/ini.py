"""systemd units, ini and conf files: ``Key=value`` under ``[sections]``, the value often a command."""

from __future__ import annotations

import re

from kvroles.evidence import argv
from kvroles.evidence.frames import Cue, Scope, Site, Weight
from kvroles.evidence.text import TOKEN_RE, Text
from kvroles.evidence.words import name_sides, title_side
from kvroles.migrate.readers import lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template import branches as branches_of

_LINE = re.compile(r"(?m)^[ \t]*(?P<key>[\w.-]+)[ \t]*[=:][ \t]*(?P<value>(?:[^\n\\]|\\\r?\n|\\.)*)")
_SECTION = re.compile(r"(?m)^[ \t]*\[(?P<name>[^\]\n]+)\]")
_DESCRIPTION = re.compile(r"(?mi)^[ \t]*Description[ \t]*=[ \t]*(.*)$")
_ENVIRONMENT = re.compile(r"(?mi)^[ \t]*Environment[ \t]*=[ \t]*(.*)$")
_COMMENT = re.compile(r"(?m)^[ \t]*[#;].*$")


class _Ini:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in ini-like text."""
        return _read(text, owner, file)

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The section that ``at`` is in, and what its line says."""
        return lines.owner(text, at, lines.headed(text, at, owner), file)


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    out: list[Site] = []
    comments = [(m.start(), m.end(), m.group()) for m in _COMMENT.finditer(t.s)]
    branches = template.branches(t.s) if template.is_template(t.s) else []
    sections = [(m.start(), m.group("name")) for m in _SECTION.finditer(t.s)]
    for m in _LINE.finditer(t.s):
        if not TOKEN_RE.search(m.group()) or any(a <= m.start() < b for a, b, _ in comments):
            continue
        start = max((at for at, _ in sections if at < m.start()), default=0)
        end = min((at for at, _ in sections if at > m.start()), default=len(t.s))
        told = _environment(t, start, end, ctx)
        scope = _described(t, up, Weight.NAMED if told else Weight.SAID)  # it counts against what the unit is told
        for branch in branches:
            if branch.start <= m.start() < branch.end:
                scope = branches_of.scope_of(branch, scope, t)
        section = [name for at, name in sections if at < m.start()]
        for kind, name in (("section", section[-1] if section else ""), ("key", m.group("key"))):
            scope = Scope(kind, name, scope)
            if len(sides := name_sides(name)) == 1:
                scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, kind, name, t.at(m.start())))
        scope = Scope("environment", "", scope, told)
        above = [c for c in comments if c[1] + 1 == m.start()]
        if above and (side := title_side(above[-1][2])):
            scope.cues.append(Cue(side, Weight.SAID, "comment", above[-1][2].strip("#; ")[:80], t.at(above[-1][0])))
        out += ctx.read(t.slice(m.start("value"), m.end("value")), scope, "shell")
    known = {s.pos for s in out}
    for i in t.tokens():
        if t.at(i) not in known:
            held = any(a <= i < b for a, b, _ in comments)
            out.append(Site(t.at(i), up, "comment" if held else "value"))
    return out


def _environment(t: Text, start: int, end: int, ctx: File) -> list[Cue]:
    """What the variables say that a section sets: ``Environment="ROLE=decode"``, or ``environment=ROLE="decode"``."""
    out: list[Cue] = []
    for line in _ENVIRONMENT.finditer(t.s, start, end):
        for m in re.finditer(r"(\w+)=[\"']?([^\s\"',%]+)", line.group(1)):
            out += argv.env_cues(m.group(1), m.group(2), t.at(line.start()), ctx)
    return [c for c in out if c.weight == Weight.FLAG]


def _described(t: Text, up: Scope, weight: int) -> Scope:
    """What the unit's description says it is."""
    m = _DESCRIPTION.search(t.s)
    side = title_side(m.group(1)) if m else None
    if m is None or side is None:
        return up
    return Scope("unit", "", up, [Cue(side, weight, "description", m.group(1).strip()[:80], t.at(m.start()))])


INI = _Ini()
