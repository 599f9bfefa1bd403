"""systemd units, ini and conf files: ``Key=value`` under ``[sections]``, the value often a command."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvroles.evidence import argv
from kvroles.evidence import comments as evidence_of
from kvroles.evidence.frames import Cue, Scope, Site, Weight
from kvroles.evidence.text import Text
from kvroles.migrate.readers import lines as lines_of
from kvroles.migrate.readers import pairs
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
        return lines_of.owner(text, at, lines_of.headed(text, at, owner, file), file)


class _Entry(NamedTuple):
    """A line that sets a key, or what stands on a line of its own: the key (empty if none), and where the value stands."""

    key: str
    start: int
    value: int
    end: int


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    comments = [(m.start(), m.end(), m.group()) for m in _COMMENT.finditer(t.s)]
    branches = template.branches(t.s) if template.is_template(t.s) else []
    sections = [(m.start(), m.group("name")) for m in _SECTION.finditer(t.s)]
    entries = [_Entry(m["key"], m.start(), m.start("value"), m.end("value")) for m in _LINE.finditer(t.s)]
    out: list[Site] = []
    done = -1
    for i in t.tokens():
        if i < done:
            continue
        if any(a <= i < b for a, b, _ in comments):
            out.append(Site(t.at(i), up, "comment"))
            continue
        entry = next((e for e in entries if e.value <= i < e.end), None) or _loose(t, i, entries)
        done = entry.end
        start = max((at for at, _ in sections if at < entry.start), default=0)
        end = min((at for at, _ in sections if at > entry.start), default=len(t.s))
        told = _environment(t, start, end, ctx)
        scope = _described(t, up, Weight.NAMED if told else Weight.SAID, ctx)  # it counts against what the unit is told
        for branch in branches:
            if branch.start <= entry.start < branch.end:
                scope = branches_of.scope_of(branch, scope, t, ctx)
        section = [name for at, name in sections if at < entry.start]
        for kind, name in (("section", section[-1] if section else ""), ("key", entry.key)):
            scope = Scope(kind, name, scope)
            if kind == "section" and section:
                scope.cues += _said(t, sections[len(section) - 1][0], comments, ctx)
            if len(sides := ctx.sides_of(name)) == 1:
                scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, kind, name, t.at(entry.start)))
        scope = Scope("environment", "", scope, told)
        scope.cues += _said(t, entry.start, comments, ctx)
        near = [e for e in entries if e.start < (sections[0][0] if sections else len(t.s)) or start <= e.start < end]
        out += _value(t, entry, near, scope, ctx)
    return out


def _said(t: Text, place: int, comments: list[tuple[int, int, str]], ctx: File) -> list[Cue]:
    """What the comment lines right above the line at ``place`` say, and the comment at the end of that line."""
    lines: list[tuple[int, str]] = []
    start, end = lines_of.span(t.s, place)
    for a, b, text in reversed(comments):
        if b + 1 == start:
            lines.insert(0, (t.at(a), text.strip(" \t\r#;")))
            start = a
    above = evidence_of.said(lines, ctx)
    first = lines_of.span(t.s, place)[0]
    trailing = evidence_of.behind(t.s[first:end])
    return above + (evidence_of.said([(t.at(first + trailing[0]), trailing[1])], ctx) if trailing is not None else [])


def _loose(t: Text, i: int, entries: list[_Entry]) -> _Entry:
    """The line of ``i``, which sets no key: the rest of an entry above that it is indented below, or a command."""
    start, end = lines_of.span(t.s, i)
    above = [e for e in entries if e.end <= start]
    return _Entry(above[-1].key if above and t.s[start : start + 1] in " \t" else "", start, start, end)


def _value(t: Text, entry: _Entry, near: list[_Entry], scope: Scope, ctx: File) -> list[Site]:
    """The sites of one entry; ``near`` are those of its section and of the file's head."""
    value = t.slice(entry.value, entry.end)
    set_near = [(e.key, pairs.plain(t.s[e.value : e.end])) for e in near]
    for e in near:
        if e.key == "Environment":  # each line of a unit's sets some
            set_near += re.findall(r"(\w+)=([^\s\"',]+)", t.s[e.value : e.end])
    if (site := pairs.role(entry.key, value, set_near, scope, ctx)) is not None:
        return [site]
    bare = pairs.plain(value.s)
    with ctx.among(set_near):
        return ctx.read(value, scope, "json" if bare.startswith(("{", "[")) and value.s.strip() == bare else "shell")


def _environment(t: Text, start: int, end: int, ctx: File) -> list[Cue]:
    """What the variables say that a section sets: ``Environment="ROLE=decode"``, or ``environment=ROLE="decode"``."""
    out: list[Cue] = []
    for line in _ENVIRONMENT.finditer(t.s, start, end):
        for m in re.finditer(r"(\w+)=[\"']?([^\s\"',%]+)", line.group(1)):
            out += argv.env_cues(m.group(1), m.group(2), t.at(line.start()), ctx)
    return [c for c in out if c.weight == Weight.FLAG]


def _described(t: Text, up: Scope, weight: int, ctx: File) -> Scope:
    """What the unit's description says it is."""
    m = _DESCRIPTION.search(t.s)
    side = ctx.title_side(m.group(1)) if m else None
    if m is None or side is None:
        return up
    return Scope("unit", "", up, [Cue(side, weight, "description", m.group(1).strip()[:80], t.at(m.start()))])


INI = _Ini()
