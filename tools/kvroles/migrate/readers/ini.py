"""systemd units, ini and conf files: ``Key=value`` under ``[sections]``, the value often a command."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property, partial
from itertools import islice
from typing import NamedTuple

from kvroles.evidence import argv, data_cues, kinds
from kvroles.evidence import comments as evidence_of
from kvroles.evidence.data import Map, Scalar
from kvroles.evidence.entries import EXTENDS
from kvroles.evidence.frames import Cue, Scope, Side, Site, Weight
from kvroles.evidence.names import PD, first_named, mentioned, role_key
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import lines as lines_of
from kvroles.migrate.readers import pairs
from kvroles.migrate.readers.base import MANY, ByHeading, File
from kvroles.migrate.readers.mapping import inherits
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template import branches as branches_of

_LINE = regex(r"(?m)^[ \t]*(?P<key>[\w.-]+)[ \t]*[=:][ \t]*(?P<value>(?:[^\n\\]|\\\r?\n|\\.)*)")
_SECTION = regex(r"(?m)^[ \t]*\[(?P<name>[^\]\n]+)\]")
_DESCRIPTION = regex(r"(?mi)^[ \t]*Description[ \t]*=[ \t]*(.*)$")
_ENVIRONMENT_FILE = regex(r"(?m)^[ \t]*EnvironmentFile[ \t]*=[ \t]*[^\s#]")
_ENVIRONMENT = regex(r"(?mi)^[ \t]*Environment[ \t]*=[ \t]*(.*)$")
# What runs the server, and what stands before it. Whatever else runs (ExecStartPost, ExecStop) is another program with an
# environment of its own.
_STARTS = frozenset({"Exec", "ExecStart", "ExecStartPre"})
_REFERENCE = regex(r"\$\{(?:(?P<section>[^:{}\n]{1,80}):)?(?P<key>[\w.-]+)\}|%\((?P<alone>[\w.-]+)\)s")
# What sets a role or a config, for one profile (``%gpu7.role=``) or one host (``b role=``) or for all of its section.
_SET_FOR = regex(
    r"(?m)^[ \t]*(?:%(?P<profile>[\w-]+)\.|(?P<host>[\w.-]+)[ \t]+(?:[^\s=]+=\S*[ \t]+)*(?=\w))?"
    r"(?P<key>[\w-]+)[ \t]*=[ \t]*[\"']?(?P<value>\w[\w-]*(?=[\"']?\s*(?:[#;\n]|\Z)|[\"']?[ \t]+\w+=)|\{[^\n]*)"
)
_COMMENT = regex(r"(?m)^[ \t]*[#;].*$")
_REACH = 20_000  # characters of a section in which its variables are looked for
_TITLE = 20  # lines of a comment above a line


class _Ini(ByHeading):
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in ini-like text."""
        return _read(text, owner, file)


class _Entry(NamedTuple):
    """A line that sets a key, or what stands on a line of its own: the key (empty if none), and where the value stands."""

    key: str
    start: int
    value: int
    end: int


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    out: list[Site] = []
    unit = _Unit(t, up, ctx)
    done = -1
    for i in t.tokens():
        if i < done:
            continue
        if _within(unit.comments, i):
            out.append(Site(t.at(i), up, "comment"))
            continue
        sites, done = unit.at(i)
        out += sites
    return out


def _within(spans: list[tuple[int, int]], i: int) -> bool:
    """Whether index ``i`` is in one of ``spans``, which are in order and apart."""
    n = bisect_right(spans, i, key=lambda span: span[0]) - 1
    return n >= 0 and i < spans[n][1]


class _Unit:
    """An ini-like text: its entries, sections and comments, in order, with where each begins."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self.comments = [m.span() for m in _COMMENT.finditer(t.s)]
        self.branches = template.branches(t.s) if template.is_template(t) else []
        self.sections = [(m.start(), m.group("name")) for m in _SECTION.finditer(t.s)]
        self.entries = [_Entry(m["key"], m.start(), m.start("value"), m.end("value")) for m in _LINE.finditer(t.s)]
        self._starts = [e.start for e in self.entries]
        self._set: dict[int, list[tuple[str, str]]] = {}
        self._tells: dict[int, list[Cue]] = {}
        self._mappings: dict[tuple[int, str], Map] = {}

    def at(self, i: int) -> tuple[list[Site], int]:
        """The sites of the entry or line that index ``i`` is in, and the index after it."""
        t, ctx = self.t, self.ctx
        n = bisect_right(self._starts, i) - 1
        entry = self.entries[n] if n >= 0 and self.entries[n].value <= i < self.entries[n].end else self._loose(i, n)
        name, start, end = self._section(entry.start)
        told = self._told(start, min(end, start + _REACH))
        own = data_cues.map_scope(self._mapping(entry.key, name, start, end), self.up, ctx, entry.key)
        up = self._taken_over(name)
        scope = _described(t, up, kinds.DESCRIPTION_BESIDE_ROLE if told or own.cues else kinds.DESCRIPTION, ctx)
        for branch in self.branches:
            if branch.start <= entry.start < branch.end:
                scope = branches_of.scope_of(branch, scope, t, ctx)
        for kind, word in ((kinds.SECTION, name), (kinds.KEY, entry.key)):
            place = entry.start if kind is kinds.KEY else start
            if (kind is kinds.KEY or name) and (said := self._said(place)):
                scope = Scope("line", "", scope, said)
            scope = Scope(kind.name, word, scope)
            scope.cues += ctx.name_cues(kind, word, t.at(entry.start))
            if scope.cues and (side := scope.cues[0].side) in PD:
                scope.find_handed_on = partial(self._handed_on, name, entry.key, side.other)
            if kind is kinds.SECTION:
                own.up = scope
                scope = own
        scope = Scope("environment", "", scope, [*told])
        if entry.key == "Environment" and (m := re.match(r"[\"']?(\w+)=", t.s[entry.value : entry.end])):
            scope = Scope("variable", m.group(1), scope, find_uses=partial(self._commands, m.group(1), start, end))
        return self._value(entry, start, end, scope), entry.end

    def _taken_over(self, section: str) -> Scope:
        """The owner of the text; with the cue that a section, host or profile which sets its role anew takes over a config of
        ``section``."""
        own = _scope_in(section, "")
        for outer, anew in self._anew:
            if outer.scope == own:
                words = f"{'.'.join(anew.scope)}: {anew.words}"[:80]
                return Scope("document", "", self.up, [kinds.EXTENDED.cue(Side.SHARED, words, anew.pos)])
        return self.up

    @cached_property
    def _anew(self) -> list[tuple[inherits.Role, inherits.Role]]:
        if "prefill" not in self.ctx.low or "decod" not in self.ctx.low:
            return []
        roles: list[inherits.Role] = []
        configs: set[inherits.Path] = set()
        for m in islice(_SET_FOR.finditer(self.t.s), 10 * MANY):
            scope = _scope_in(self._section(m.start())[0], m["profile"] or m["host"] or "")
            if inherits.holds_config(m.group()):
                configs.add(scope)
            elif (side := self.ctx.role_of(m["value"], m["key"])) in PD and role_key(m["key"]):
                roles.append(inherits.Role(scope, m["key"], side, m.group().strip(), self.t.at(m.start())))
        return inherits.set_anew(roles, configs)

    def _section(self, place: int) -> tuple[str, int, int]:
        """The name, start and end of the section that ``place`` is in; the head of the text has no name."""
        n = bisect_right(self.sections, (place, "")) - 1
        start, name = self.sections[n] if n >= 0 else (0, "")
        return name, start, self.sections[n + 1][0] if n + 1 < len(self.sections) else len(self.t.s)

    def _mapping(self, key: str, section: str, start: int, end: int) -> Map:
        """The keys of a section as a mapping: those without a dot, or with ``key``'s (``vllm.role``). That of a section for all
        is empty: what it sets another one may set anew."""
        lead = key[: key.rfind(".") + 1]
        if (start, lead) not in self._mappings:
            m = self._mappings[start, lead] = Map(start, end)
            if section.strip().lower() not in connectors.FOR_ALL:
                first = bisect_left(self._starts, start if section else -1)
                for e in self.entries[first : bisect_left(self._starts, end)][:MANY]:
                    if e.key.startswith(lead) and "." not in (rest := e.key[len(lead) :]):
                        place = e.start + self.t.s[e.start : e.value].find(e.key) + len(lead)
                        m.pairs.append((self._scalar(place, place + len(rest)), self._scalar(e.value, e.end)))
        return self._mappings[start, lead]

    def _scalar(self, start: int, end: int) -> Scalar:
        """What stands between two indices, without its quotes."""
        text = self.t.s[start:end]
        bare = pairs.plain(text)
        start += max(0, text.find(bare))
        return Scalar(self.t.slice(start, start + len(bare)), start, start + len(bare))

    def _told(self, start: int, end: int) -> list[Cue]:
        """What the variables say that the section between two indices sets."""
        if start not in self._tells:
            self._tells[start] = _environment(self.t, start, end, self.ctx)
        return self._tells[start]

    def _commands(self, variable: str, start: int, end: int) -> list[Scope]:
        """The commands between two indices that are given ``variable`` and start the server or make it ready, each with what its
        words say."""
        use = re.compile(rf"\$(?:\{{{variable}\}}|{variable}\b)")
        out: list[Scope] = []
        for e in self.entries[bisect_left(self._starts, start) : bisect_left(self._starts, end)][:MANY]:
            if e.key in _STARTS and use.search(self.t.s, e.value, e.end):
                words = [
                    argv.Word(w, self.t.at(e.start)) for w in self.t.s[e.value : e.end].split() if not use.search(w)
                ]
                out.append(Scope("command", "", self.up, argv.cues(words, self.ctx), place=self.t.at(e.start)))
        return out

    @cached_property
    def _references(self) -> dict[str, list[tuple[int, str]]]:
        """Where each key is referred to, and the section that is named with it."""
        out: dict[str, list[tuple[int, str]]] = {}
        for m in _REFERENCE.finditer(self.t.s):
            places = out.setdefault(m["key"] or m["alone"], [])
            if len(places) < MANY:
                places.append((m.start(), m["section"] or ""))
        return out

    def _handed_on(self, section: str, key: str, other: Side) -> Cue | None:
        """The section or key of side ``other`` that takes over what ``key`` is set to: ``${prefill:kv}``, ``%(prefill_kv)s``."""
        for i, named in self._references.get(key, ()):
            n, of = bisect_right(self._starts, i) - 1, bisect_right(self.sections, (i, "")) - 1
            taker, its_section = self.entries[n].key if n >= 0 else "", self.sections[of][1] if of >= 0 else ""
            if (named or its_section) != section and (named or section.strip().lower() not in connectors.FOR_ALL):
                continue  # another section's key of that name
            said = first_named((taker, its_section if its_section != section else ""))
            if mentioned(said) == {other}:
                return kinds.HANDED_ON.cue(other, said, self.t.at(i))
        for e in self._bases.get(section, ()):
            of = bisect_right(self.sections, (e.start, "")) - 1
            if of >= 0 and mentioned(self.sections[of][1]) == {other}:
                return kinds.HANDED_ON.cue(other, self.sections[of][1], self.t.at(e.start))
        return None

    @cached_property
    def _bases(self) -> dict[str, list[_Entry]]:
        """The entries by which a section starts from another, by the name of that: ``extends = prefill``."""
        out: dict[str, list[_Entry]] = {}
        for e in self.entries:
            if e.key.strip() in EXTENDS:
                out.setdefault(self.t.s[e.value : e.end].strip(" \t\r\n\"'"), []).append(e)
        return out

    def _loose(self, i: int, n: int) -> _Entry:
        """The line of ``i``, which sets no key: the rest of entry ``n`` above that it is indented below, or a command."""
        start, end = lines_of.span(self.t.s, i)
        key = self.entries[n].key if n >= 0 and self.t.s[start : start + 1] in " \t" else ""
        return _Entry(key, start, start, end)

    def _said(self, place: int) -> list[Cue]:
        """What the comment lines right above the line at ``place`` say, and the comment at the end of that line."""
        t, ctx = self.t, self.ctx
        lines: list[tuple[int, str]] = []
        start, end = lines_of.span(t.s, place)
        first = start
        for n in range(bisect_right(self.comments, (start, start)) - 1, -1, -1):
            a, b = self.comments[n]
            if b + 1 != start or len(lines) > _TITLE:
                break
            lines.insert(0, (t.at(a), t.s[a:b].strip(" \t\r#;")))
            start = a
        above = evidence_of.said(lines, ctx)
        trailing = evidence_of.behind(t.s[first:end])
        return above + (
            evidence_of.said([(t.at(first + trailing[0]), trailing[1])], ctx) if trailing is not None else []
        )

    def _value(self, entry: _Entry, start: int, end: int, scope: Scope) -> list[Site]:
        """The sites of one entry; what its section sets, and the file's head, is set beside it."""
        value = self.t.slice(entry.value, entry.end)
        near = self._for_all + self._beside(start, end)
        if (site := pairs.role(entry.key, value, near, scope, self.ctx)) is not None:
            return [site]
        bare = pairs.plain(value.s)
        with self.ctx.among(near):
            lang = "json" if bare.startswith(("{", "[")) and value.s.strip() == bare else "shell"
            return self.ctx.read(value, scope, lang)

    @cached_property
    def _for_all(self) -> list[tuple[str, str]]:
        """The connectors that the text's head and the sections for all name (DEFAULT, common): their keys are every section's."""
        ends = [place for place, _ in self.sections[1:]] + [len(self.t.s)]
        near = self._beside(-1, self.sections[0][0]) if self.sections else []
        for (place, name), end in zip(self.sections, ends, strict=True) if self.sections else ():
            if name.strip().lower() in connectors.FOR_ALL and len(near) < MANY:
                near = near + self._beside(place, end)
        return near

    def _beside(self, start: int, end: int) -> list[tuple[str, str]]:
        """The connectors that the entries between two indices name, as far as anybody writes them by hand."""
        if start not in self._set:
            found: list[tuple[str, str]] = []
            for e in self.entries[bisect_left(self._starts, start) : bisect_left(self._starts, end)]:
                value = self.t.s[e.value : e.end]
                said = re.findall(r"(\w+)=[\"']?([^\s\"',]+)", value) if e.key.lower() == "environment" else []
                found += [(k, v) for k, v in [(e.key, pairs.plain(value)), *said] if connectors.is_connector_key(k)]
            self._set[start] = found[:MANY]
        return self._set[start]


def _scope_in(section: str, name: str) -> inherits.Path:
    """The scope of what a section sets, for the host or profile ``name`` alone if that is not empty: ``[vllm:vars]`` is of all
    in ``[vllm]``, ``[env:two]`` of ``two``."""
    parts = (p for p in re.split(r"[.:\s]+", section.strip()) if p and p not in data_cues.ENV_KEYS)
    return (*parts, *([name] if name else ()))


def _environment(t: Text, start: int, end: int, ctx: File) -> list[Cue]:
    """What a section's variables say: ``Environment="ROLE=decode"``, ``environment=ROLE="decode"``. Of a unit of systemd's a file
    of variables replaces what it sets itself; podman's own files do not."""
    out: list[Cue] = []
    replaced = not ctx.name.endswith(".container") and _ENVIRONMENT_FILE.search(t.s, start, end) is not None
    for line in _ENVIRONMENT.finditer(t.s, start, end) if not replaced else ():
        for m in re.finditer(r"(\w+)=[\"']?([^\s\"',%]+)", line.group(1)):
            out += argv.env_cues(m.group(1), m.group(2), t.at(line.start()), ctx)
    return [c for c in out if c.weight == Weight.FLAG]


def _described(t: Text, up: Scope, kind: kinds.Kind, ctx: File) -> Scope:
    """What the unit's description says it is."""
    m = _DESCRIPTION.search(t.s)
    side = ctx.title_side(m.group(1)) if m else None
    if m is None or side is None:
        return up
    return Scope("unit", "", up, [kind.cue(side, m.group(1).strip()[:80], t.at(m.start()))])


INI = _Ini()
