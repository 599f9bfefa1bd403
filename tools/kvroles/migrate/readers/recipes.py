"""Dockerfiles, Makefiles and Justfiles: line-oriented wrappers round shell.

There is no kept grammar for Justfiles, and the grammars for the other two stop at the shell text that matters here, so
one line reader serves the three: it joins what a backslash continues and hands the shell on.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property, partial
from itertools import islice
from typing import NamedTuple

from kvroles.evidence import comments as evidence_of
from kvroles.evidence import kinds
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.names import PD, mentioned, role_key
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN_RE, Text, join
from kvroles.migrate import connectors
from kvroles.migrate.readers import choices, pairs, registry
from kvroles.migrate.readers import lines as lines_of
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree
from kvroles.migrate.readers.mentions import MANY
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template.actions import Branch

_HEREDOC = regex(r"<<-?\s*[\"']?(\w+)[\"']?")
_WRITTEN = regex(r"\s*(?:--\S+\s+)*<<-?\s*[\"']?\w+[\"']?[ \t]+(?P<target>\S+)[ \t]*\r?\n")  # of COPY and ADD
_DOCKER = regex(r"^[ \t]*(?P<name>[A-Za-z]+)[ \t]+(?:--\S+[ \t]+)*")
_ENV = regex(r"(?im)^[ \t]*(?:ENV|ARG)[ \t]+((?:[^\n\\]|\\.|\\\n)*)")
_ENV_PAIR = regex(r"(?:^|\s)(\w+)(?:=|\s+(?=\S+\s*$))[\"']?([^\s\"'\\]+)")
_EXPANDED = regex(r"\$\{?(\w+)")
_FROM = regex(r"(?i)\bAS\s+(\S+)")
_RULE = regex(r"^(?P<name>[^\s:#=][^:#=\n]*?)\s*:(?![:=])(?P<deps>[^=\n]*)$")
_RECIPE = regex(r"^@?(?P<name>[A-Za-z_][\w-]*)(?P<params>(?:[ \t]+[^\s:]+)*)[ \t]*:(?!=)(?P<deps>[^\n]*)$")
_MAKE_VAR = regex(r"^(?:export\s+|override\s+)?(?P<name>[\w.-]+)\s*(?:[:?+!]{0,2}=)\s*")
_TARGET_VAR = regex(r"^(?P<target>[^\s:#=][^:#=\n]*?)\s*:\s*(?P<name>[\w.-]+)\s*[:?+!]?=\s*")
_CONDITIONAL = regex(r"^ *(?P<word>ifeq|ifneq|ifdef|ifndef|else|endif)\b(?P<test>.*)")
_EQUAL = regex(r"(ifn?eq)\s*(?:\((.*),(.*)\)|[\"'](.*)[\"']\s+[\"'](.*)[\"'])\s*$")
_JUST_VAR = regex(r"^(?:export\s+)?(?P<name>[\w-]+)\s*:=\s*")


class _Recipes:
    """Reads a Dockerfile (``docker``), Makefile (``make``) or Justfile (``just``)."""

    def __init__(self, lang: str) -> None:
        self._lang = lang

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in the stages or targets."""
        if self._lang == "docker":
            return _docker(text, owner, file)
        return _recipes(text, owner, file, self._lang)

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The stage or target that ``at`` is in, and what its line says."""
        return lines_of.owner(text, at, lines_of.headed(text, at, owner, file), file)


def _lines(t: Text) -> list[tuple[int, int]]:
    starts = [0] + [m.end() for m in re.finditer("\n", t.s)]
    return [(a, b) for a, b in zip(starts, [*starts[1:], len(t.s)], strict=True) if b > a]


def _name_cue(scope: Scope, kind: kinds.Kind, name: str, pos: int, ctx: File) -> Scope:
    sides = ctx.sides_of(name)
    if len(sides) == 1:
        scope.cues.append(kind.cue(next(iter(sides)), name, pos))
    elif {Side.PREFILL, Side.DECODE} <= sides:
        scope.cues.append(kind.cue(Side.SHARED, name, pos))
    return scope


def _built_upon(t: Text, name: str, stage: Scope) -> list[Cue]:
    """What a later stage built upon this one says: if it is named for another side, both run what is set here."""
    own = {c.side for c in stage.cues}
    out: list[Cue] = []
    for m in re.finditer(rf"(?im)^[ \t]*FROM[ \t]+{re.escape(name)}[ \t]+AS[ \t]+(\S+)", t.s):
        if own and mentioned(m.group(1)) - own:
            out.append(kinds.BUILT_UPON.cue(Side.SHARED, m.group().strip(), t.at(m.start())))
    for m in re.finditer(rf"(?im)^[ \t]*COPY[ \t]+--from={re.escape(name)}[ \t].*", t.s):
        taker = [f.group(1) for f in re.finditer(r"(?im)^[ \t]*FROM[ \t].*\bAS[ \t]+(\S+)", t.s[: m.start()])][-1:]
        if own and taker and mentioned(taker[0]) - own:
            out.append(kinds.BUILT_UPON.cue(Side.SHARED, m.group().strip()[:80], t.at(m.start())))
    return out


class _Rule(NamedTuple):
    """A target: its name, what it needs, whether it does nothing itself, where it stands."""

    name: str
    needs: str
    empty: bool
    place: int


def _said(comments: list[tuple[int, str]], up: Scope, ctx: File) -> Scope:
    cues = evidence_of.said(comments, ctx)
    return Scope("block", "", up, cues) if cues else up


def _of_line(t: Text, a: int, b: int, comments: list[tuple[int, str]], up: Scope, ctx: File) -> Scope:
    """The scope of what is set from index ``a`` to ``b``: the comment above it and the one at its end."""
    last = t.s.rfind("\n", a, b - 1) + 1 or a
    trailing = evidence_of.behind(t.s[last:b])
    up = _said(comments, up, ctx)
    return _said([(t.at(last + trailing[0]), trailing[1])], up, ctx) if trailing is not None else up


class _Image:
    """The stages of a Dockerfile, each with where it begins, and what uses the variables that are named for a side."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        self.t = t
        self.ctx = ctx
        self.stages = [(0, up)]

    @cached_property
    def _expanded(self) -> dict[str, list[int]]:
        """Where each variable is expanded."""
        out: dict[str, list[int]] = {}
        for m in _EXPANDED.finditer(self.t.s):
            out.setdefault(m[1], []).append(m.start())
        return out

    def uses(self, after: int, name: str) -> list[Scope]:
        """The owners of every use of variable ``name`` behind index ``after``, if it is named for a side."""
        if not mentioned(name) & set(PD):
            return []
        out: list[Scope] = []
        for i in islice((i for i in self._expanded.get(name, ()) if i >= after), MANY):
            stage = self.stages[bisect_right(self.stages, i, key=lambda s: s[0]) - 1][1]
            use = lines_of.owner(self.t, i, stage, self.ctx)
            if use.kind != "comment":
                out.append(use)
        return out


def _docker(t: Text, up: Scope, ctx: File) -> list[Site]:
    out: list[Site] = []
    stage = up
    image = _Image(t, up, ctx)
    lines = _lines(t)
    env = [(m[1], m[2]) for line in _ENV.findall(t.s) for m in _ENV_PAIR.finditer(line)]
    comments: list[tuple[int, str]] = []
    i = 0
    while i < len(lines):
        a, b = lines[i]
        line = t.s[a:b]
        if line.lstrip().startswith("#"):
            comments.append((t.at(a), line.strip("# \t\r\n")))
            out += [Site(t.at(a + m.start()), stage, "comment") for m in TOKEN_RE.finditer(line)]
            i += 1
            continue
        m = _DOCKER.match(line)
        if m is None:
            if line.strip():
                out += [Site(t.at(a + k.start()), stage, "value") for k in TOKEN_RE.finditer(line)]
            comments = comments if line.strip() else []
            i += 1
            continue
        parts: list[Text] = []
        j = i
        while j < len(lines):
            text = t.s[lines[j][0] : lines[j][1]]
            if j > i and text.lstrip().startswith("#"):
                out += [Site(t.at(lines[j][0] + k.start()), stage, "comment") for k in TOKEN_RE.finditer(text)]
                j += 1
                continue
            parts.append(t.slice(lines[j][0] + (m.end() if j == i else 0), lines[j][1]))
            j += 1
            if not text.rstrip("\r\n").rstrip().endswith("\\"):
                break
        if h := _HEREDOC.search(parts[0].s):
            while j < len(lines):
                parts.append(t.slice(*lines[j]))
                j += 1
                if t.s[lines[j - 1][0] : lines[j - 1][1]].strip() == h.group(1):
                    break
        name = m.group("name").upper()
        body = join(parts)
        if name == "FROM":
            stage = up
            if s := _FROM.search(body.s):
                stage = _name_cue(Scope("stage", s.group(1), up), kinds.STAGE, s.group(1), t.at(a), ctx)
                stage.cues += _built_upon(t, s.group(1), stage)
            image.stages.append((a, stage))
        elif name == "LABEL" and not TOKEN_RE.search(body.s):
            for m in re.finditer(r"([\w./-]+)=[\"']?([\w-]+)", body.s):
                side = ctx.role_of(m.group(2)) if role_key(m.group(1)) else None
                stage.cues += [kinds.LABEL.cue(side, m.group(), t.at(a))] if side else []
        elif TOKEN_RE.search(body.s):
            scope = _said(comments, stage, ctx)
            if name in {"COPY", "ADD"} and (written := _WRITTEN.match(body.s)) is not None:
                target = written.group("target")
                file = _name_cue(Scope("file written", target, scope), kinds.FILE_WRITTEN, target, t.at(a), ctx)
                held = body.slice(written.end(), body.s.rstrip().rfind("\n") + 1)
                out += ctx.read(held, file, registry.lang_of_name(target))
            elif body.s.lstrip().startswith("["):
                got = objects.read(body, body.s.index("["))
                out += Tree(got[0], body, scope, ctx).sites() if got else ctx.read(body, scope, "json")
            elif name in {"ENV", "ARG", "LABEL"} and not re.match(r"\s*[\w.-]+=", body.s):
                key = body.s.split(None, 1)[0]
                k = body.s.index(key) + len(key)
                value, scope = (
                    body.slice(k, len(body.s)),
                    _name_cue(Scope("variable", key, scope), kinds.VARIABLE, key, t.at(a), ctx),
                )
                scope.find_uses = partial(image.uses, lines[j - 1][1], key)
                scope.only_doubts = True
                site = pairs.role(key, value, env, scope, ctx)
                out += [site] if site is not None else ctx.read(value, scope)
            else:
                beyond = ctx.elsewhere
                if name in {"ENV", "ARG"}:
                    ctx.elsewhere = partial(image.uses, lines[j - 1][1])
                with ctx.among(env):
                    out += ctx.read(body, scope, "shell")
                ctx.elsewhere = beyond
        comments = []
        i = j
    return out


def _recipes(t: Text, up: Scope, ctx: File, lang: str) -> list[Site]:
    out: list[Site] = []
    lines = _lines(t)
    comments: list[tuple[int, str]] = []
    bodies: list[tuple[Scope, Text]] = []
    variables: list[tuple[str, int, Text, list[tuple[int, str]]]] = []
    assigned: list[tuple[str, Text]] = []
    rules: list[_Rule] = []
    conditions = _conditionals(t, lines) if lang == "make" else []
    i = 0
    while i < len(lines):
        a, b = lines[i]
        line = t.s[a:b].rstrip("\r\n")
        if line.lstrip().startswith("#") and not line.startswith(("\t", " ")):
            comments.append((t.at(a), line.strip("# \t")))
            out += [Site(t.at(a + m.start()), up, "comment") for m in TOKEN_RE.finditer(line)]
            i += 1
            continue
        var = (_MAKE_VAR if lang == "make" else _JUST_VAR).match(line)
        rule = None if var else (_RULE if lang == "make" else _RECIPE).match(line)
        if rule is not None and not line.startswith((" ", "\t")):
            scope = _name_cue(
                Scope("target", rule.group("name"), _of_line(t, a, b, comments, up, ctx)),
                kinds.TARGET,
                rule.group("name"),
                t.at(a),
                ctx,
            )
            scope.find_uses = partial(_needed, rule.group("name"), rules, up, ctx)
            scope.only_doubts = True
            i += 1
            parts: list[Text] = []
            segments: list[tuple[Scope, list[Text]]] = [(scope, parts)]  # each line of a recipe is a shell of its own
            indent = -1
            while i < len(lines):
                text = t.s[lines[i][0] : lines[i][1]]
                if lang == "make" and _CONDITIONAL.match(text):
                    inside = _within(conditions, lines[i][1], a, scope, t, ctx)
                    segments.append((inside, parts := []))
                    i += 1
                    continue
                if text.strip() and not text.startswith(("\t", " ")):
                    break
                lead = len(text) - len(text.lstrip(" \t"))
                indent = lead if indent < 0 and text.strip() else indent
                cut = min(lead, max(indent, 0))
                if (
                    lang == "make"
                    and text.lstrip("\t ")[:1] in {"@", "-", "+"}
                    and not (parts and parts[-1].s.rstrip().endswith("\\"))
                ) or text.lstrip("\t ").startswith("@"):
                    cut = lead + 1
                parts.append(t.slice(lines[i][0] + cut, lines[i][1]))
                i += 1
            if TOKEN_RE.search(rule.group("deps")):  # given to what is needed: (serve "8100" '{...}')
                out += ctx.read(t.slice(a + rule.start("deps"), a + rule.end("deps")), scope, "shell")
            empty = not any(p.s.strip() for _, held in segments for p in held)
            rules.append(_Rule(rule.group("name"), rule.group("deps"), empty, t.at(a)))
            for owner, held in segments:
                if held:
                    body = join(held)
                    bodies.append((owner, _dollars(body) if lang == "make" else body))
            comments = []
            continue
        if var is not None and not line.startswith("\t"):
            start = a + var.end()
            while i < len(lines) and t.s[lines[i][0] : lines[i][1]].rstrip("\r\n").endswith("\\"):
                i += 1
            end = lines[min(i, len(lines) - 1)][1]
            if lang == "just" and (q := re.match(r"\s*('''|\"\"\"|['\"`])", t.s[start:end])):
                close = t.s.find(q.group(1), start + q.end())
                end = max(end, close + len(q.group(1))) if close >= 0 else end
                while i + 1 < len(lines) and lines[i + 1][0] < end:
                    i += 1
            value = t.slice(start, end)
            assigned.append((var.group("name"), value))
            if TOKEN_RE.search(value.s):
                variables.append((var.group("name"), a, value, comments))
        elif TOKEN_RE.search(line) and lang == "make" and (own := _TARGET_VAR.match(line)):
            around = _of_line(t, a, b, comments, up, ctx)
            scope = _name_cue(Scope("target", own["target"], around), kinds.TARGET, own["target"], t.at(a), ctx)
            out += ctx.read(t.slice(a + own.end(), a + len(line)), Scope("variable", own["name"], scope))
        elif TOKEN_RE.search(line):
            out += [Site(t.at(a + m.start()), up, "value") for m in TOKEN_RE.finditer(line)]
        if not line.strip() or var:
            comments = []
        i += 1
    values = [(name, pairs.plain(value.s)) for name, value in assigned]
    with ctx.knowing(partial(_meaning, values)):
        for scope, body in bodies:
            out += ctx.read(body, scope, "shell")
    for name, a, value, above in variables:
        around = _of_line(
            t, a, a + len(value.s) + value.at(0) - t.at(a), above, _within(conditions, a, -1, up, t, ctx), ctx
        )
        scope = _name_cue(Scope("variable", name, around), kinds.VARIABLE, name, t.at(a), ctx)
        use = rf"\$[({{]{re.escape(name)}[)}}]" if lang == "make" else rf"\{{\{{[^}}]*\b{re.escape(name)}\b[^}}]*\}}\}}"
        scope.find_uses = partial(_uses, use, bodies, ctx)
        if scope.cues and scope.cues[0].side in (Side.PREFILL, Side.DECODE):
            scope.find_handed_on = partial(
                _handed_on, use if lang == "make" else rf"\b{re.escape(name)}\b", assigned, scope.cues[0].side
            )
        for part, owner in _chosen(value, scope, lang, ctx):
            site = pairs.role(name, part, values, owner, ctx)
            if site is not None and site.kind == "role" and site.connector is None:
                site = site._replace(connector=pairs.used_in(t, use))
            out += [site] if site is not None else ctx.read(part, owner)
    return out


def _chosen(value: Text, scope: Scope, lang: str, ctx: File) -> list[tuple[Text, Scope]]:
    """The parts of a variable's value that hold roles, each with its owner: those that a condition chooses between, else all."""
    branches = choices.of_make(value.s) if lang == "make" else choices.of_just(value.s)
    out = [
        (value.slice(b.start, b.end), branches_of.scope_of(b, scope, value, ctx))
        for b in branches
        if TOKEN_RE.search(value.s, b.start, b.end)
    ]
    return out or [(value, scope)]


def _meaning(values: list[tuple[str, str]], name: str) -> str | None:
    """The one value that a variable is set to, if that is NIXL's: whoever runs it may set another."""
    found = {value for key, value in values if key == name}
    value = found.pop() if len(found) == 1 else None
    return value if connectors.kind_of(value) is connectors.Kind.NIXL else None


def _conditionals(t: Text, lines: list[tuple[int, int]]) -> list[Branch]:
    """The branches of a Makefile's conditionals, in order of their start."""
    out: list[Branch] = []
    stack: list[Branch] = []
    chained: set[int] = set()  # where each ``else if`` begins
    for a, b in lines:
        m = _CONDITIONAL.match(t.s[a:b])
        if m is None:
            continue
        word, test = m["word"], m["test"].strip()
        if word in {"else", "endif"} and stack:
            opened = stack.pop()
            out.append(opened._replace(end=a))
            if word == "else" and not test:
                first = None if opened.start in chained else (opened.start, a)
                stack.append(Branch(b, b, opened.condition, not opened.negated, first))
        if word != "endif" and (word != "else" or test):
            asked = _EQUAL.match(test if word == "else" else f"{word} {test}")
            pair = [g.strip() for g in asked.groups()[1:] if g is not None] if asked is not None else []
            said = f"if {pair[0]} == {pair[1]}" if pair else f"if {word} {test}"
            stack.append(Branch(b, b, said, asked is not None and asked[1] == "ifneq"))
            chained |= {b} if word == "else" else set()
    return sorted(out, key=lambda branch: branch.start)


def _within(conditions: list[Branch], place: int, after: int, up: Scope, t: Text, ctx: File) -> Scope:
    """The scope of the conditionals that index ``place`` is in, of those that begin behind index ``after``."""
    for branch in conditions:
        if branch.start <= place < branch.end and branch.start > after:
            up = branches_of.scope_of(branch, up, t, ctx)
    return up


def _needed(name: str, rules: list[_Rule], up: Scope, ctx: File) -> list[Scope]:
    """The owners of every run of target ``name`` in place of another: one that does nothing but need it, or gives it words."""
    out: list[Scope] = []
    for rule in rules:
        m = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])(?P<given>(?:\s+[\"'][^\"')]*[\"'])*)", rule.needs)
        if m is None or not (rule.empty or m.group("given")):
            continue
        target = _name_cue(Scope("target", rule.name, up, place=rule.place), kinds.TARGET, rule.name, rule.place, ctx)
        words = re.findall(r"[\w.-]+", m.group("given"))
        sides = [(w, next(iter(s))) for w in words if len(s := ctx.sides_of(w)) == 1]
        cues = [kinds.GIVEN.cue(side, f"{name} {w}", rule.place) for w, side in sides]
        out.append(Scope("needed", name, target, cues, place=rule.place) if cues else target)
    return out


def _handed_on(use: str, assigned: list[tuple[str, Text]], side: Side) -> Cue | None:
    """The variable of the other side that takes over the value that ``use`` stands for."""
    for name, value in assigned:
        if mentioned(name) == {side.other} and (m := re.search(use, value.s)) and not TOKEN_RE.search(value.s):
            return kinds.HANDED_ON.cue(side.other, name, value.at(m.start()))
    return None


def _uses(use: str, bodies: list[tuple[Scope, Text]], ctx: File) -> list[Scope]:
    return [_use(body, m.start(), owner, ctx) for owner, body in bodies for m in re.finditer(use, body.s)]


def _use(body: Text, i: int, owner: Scope, ctx: File) -> Scope:
    scope = ctx.owner_at("shell", body, i, owner) or owner
    scope.place = body.at(i)
    return scope


def _dollars(t: Text) -> Text:
    """Make's ``$$`` is the shell's ``$``."""
    if "$$" not in t.s:
        return t
    at = [i for i in range(len(t.s)) if not (t.s[i] == "$" and i and t.s[i - 1] == "$" and _odd(t.s, i))]
    return t.pick("".join(t.s[i] for i in at), at, len(t.s))


def _odd(s: str, i: int) -> bool:
    n = 0
    while i - n >= 0 and s[i - n] == "$":
        n += 1
    return n % 2 == 0


DOCKERFILE = _Recipes("docker")
MAKEFILE = _Recipes("make")
JUSTFILE = _Recipes("just")
