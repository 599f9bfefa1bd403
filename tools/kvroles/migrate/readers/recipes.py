"""Makefiles and Justfiles: variables, and targets whose recipes are shell text, which goes to its own reader.

No maintained grammar reads Justfiles, and those for Makefiles stop at the shell text. So both are read line by line here;
lines that a backslash joins are put together first.
"""

from __future__ import annotations

import re
from functools import cached_property, partial
from typing import NamedTuple

from kvroles.evidence import comments as evidence_of
from kvroles.evidence import kinds
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.names import mentioned
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN_RE, Text, join
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import choices, pairs
from kvroles.migrate.readers import lines as lines_of
from kvroles.migrate.readers.base import MANY, ByHeading, File
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template.actions import GUARDS, Branch

_RULE = regex(r"^(?P<name>[^\s:#=][^:#=\n]*?)\s*:(?![:=])(?P<deps>[^=;\n]*)(?P<first>;[ \t]*[@+-]?[^\n]*)?$")
_RECIPE = regex(r"^@?(?P<name>[A-Za-z_][\w-]*)(?P<params>(?:[ \t]+[^\s:]+)*)[ \t]*:(?!=)(?P<deps>[^\n]*)$")
_MAKE_VAR = regex(r"^(?:export\s+|override\s+)?(?P<name>[\w.-]+)\s*(?:[:?+!]{0,2}=)\s*")
_DEFINE = regex(r"^(?:export\s+|override\s+)*define\s+(?P<name>[\w.-]+)\s*[:?+!]{0,2}=?\s*$")
_ENDEF = regex(r"[ \t]*endef\b")
_TARGET_VAR = regex(r"^(?P<target>[^\s:#=][^:#=\n]*?)\s*:\s*(?P<name>[\w.-]+)\s*[:?+!]?=\s*")
_CONDITIONAL = regex(r"^ *(?P<word>ifeq|ifneq|ifdef|ifndef|else|endif)\b(?P<test>.*)")
_EQUAL = regex(r"(ifn?eq)\s*(?:\((.*),(.*)\)|[\"'](.*)[\"']\s+[\"'](.*)[\"'])\s*$")
_EMPTY = regex(r"ifn?eq\s*\((?:\s*,\s*(?P<a>\$[^\n]*?)|(?P<b>\$[^\n]*?)\s*,\s*)\)\s*$")  # compared with nothing
_IS_SET = regex(r"(ifn?def)\s+([\w.-]+)\s*(?:#.*)?$")
_SAID = {"ifdef": "if ", "ifndef": "if not "}
_ENDS_MAKE = regex(r"\s*\$[({]error\b[^\n]*[)}]\s*")
_JUST_VAR = regex(r"^(?:export\s+)?(?P<name>[\w-]+)\s*:=\s*")
_OF_MAKE = regex(r"\$[({]([\w.-]+)[)}]")  # a variable in a value
_WORD = regex(r"(?<![\w-])([A-Za-z_][\w-]*)")


class _Recipes(ByHeading):
    """Reads a Makefile (``make``) or Justfile (``just``)."""

    def __init__(self, lang: str) -> None:
        self._lang = lang

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in the variables and targets."""
        return _RecipeFile(text, owner, file, make=self._lang == "make").sites()


class _Rule(NamedTuple):
    """A target: its name, the targets it needs, whether its recipe is empty, and its place in the file."""

    name: str
    needs: str
    empty: bool
    place: int


def _of_line(t: Text, a: int, b: int, comments: list[tuple[int, str]], up: Scope, ctx: File) -> Scope:
    """The scope of the text from index ``a`` to ``b``: what the comment above it and the one at its end say."""
    last = t.s.rfind("\n", a, b - 1) + 1 or a
    trailing = evidence_of.behind(t.s[last:b])
    up = lines_of.said(comments, up, ctx)
    return lines_of.said([(t.at(last + trailing[0]), trailing[1])], up, ctx) if trailing is not None else up


class _RecipeFile:
    """One Makefile or Justfile ``t`` with the owner ``up``: its variables, its targets, and the sites in both."""

    def __init__(self, t: Text, up: Scope, ctx: File, *, make: bool) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self._make = make
        self._lines = lines_of.spans(t)
        self._conditions = _conditionals(t, self._lines) if make else []
        self._comments: list[tuple[int, str]] = []  # right above the line being read
        self._bodies: list[tuple[Scope, Text]] = []  # the shell text of the targets
        self._assigned: list[tuple[str, Text]] = []  # every variable, with its value
        self._held: list[tuple[str, int, Text, Scope]] = []  # those with a role: place, value, owner
        self._rules: list[_Rule] = []
        self._out: list[Site] = []

    def sites(self) -> list[Site]:
        """Every ``kv_both`` of the file."""
        i = 0
        while i < len(self._lines):
            i = self._line(i)
        values = [(name, pairs.plain(value.s)) for name, value in self._assigned]
        with self.ctx.knowing(partial(_meaning, values)):
            for scope, body in self._bodies:
                self._out += self.ctx.read(body, scope, "shell")
        for name, a, value, around in self._held:
            self._out += self._of_variable(name, a, value, around, values)
        return self._out

    def _line(self, i: int) -> int:
        """Read the comment, target or variable that begins on line ``i``; the number of the next line to read."""
        t, (a, b) = self.t, self._lines[i]
        line = t.s[a:b].rstrip("\r\n")
        if line.lstrip().startswith("#") and not line.startswith(("\t", " ")):
            self._comments.append((t.at(a), line.strip("# \t")))
            self._out += [Site(t.at(a + m.start()), self.up, "comment") for m in TOKEN_RE.finditer(line)]
            return i + 1
        if self._make and (block := _DEFINE.match(line)) is not None:
            i = self._definition(i, block)
            self._comments = []
            return i + 1
        var = (_MAKE_VAR if self._make else _JUST_VAR).match(line)
        rule = None if var else (_RULE if self._make else _RECIPE).match(line)
        if rule is not None and not line.startswith((" ", "\t")):
            below = self._target(i, rule)
            self._comments = []
            return below
        if var is not None and not line.startswith("\t"):
            i = self._variable(i, var)
        elif TOKEN_RE.search(line) and self._make and (own := _TARGET_VAR.match(line)):
            around = _of_line(t, a, b, self._comments, self.up, self.ctx)
            scope = lines_of.named(
                Scope("target", own["target"], around), kinds.TARGET, own["target"], t.at(a), self.ctx
            )
            held = t.slice(a + own.end(), a + len(line))
            self._out += self.ctx.read(held, Scope("variable", own["name"], scope))
        elif TOKEN_RE.search(line):
            self._out += [Site(t.at(a + m.start()), self.up, "value") for m in TOKEN_RE.finditer(line)]
        if not line.strip() or var:
            self._comments = []
        return i + 1

    def _target(self, i: int, rule: re.Match[str]) -> int:
        """Read the target whose ``rule`` is line ``i``, with its recipe; the number of the line below."""
        t, ctx, (a, b) = self.t, self.ctx, self._lines[i]
        name, needs = rule.group("name"), rule.group("deps")
        around = _of_line(t, a, b, self._comments, _within(self._conditions, a, -1, self.up, t, ctx), ctx)
        scope = lines_of.named(Scope("target", name, around), kinds.TARGET, name, t.at(a), ctx)
        scope.find_uses, scope.only_doubts = partial(self._started, name), True
        segments, below = self._recipe(i + 1, a, scope)
        if self._make and rule["first"]:  # ``serve: ; vllm serve``
            sign = len(rule["first"]) - len(rule["first"].lstrip("; \t@+-"))
            segments[0][1].insert(0, t.slice(a + rule.start("first") + sign, b))
        if TOKEN_RE.search(needs):  # arguments of a needed target: (serve "8100" '{...}')
            self._out += ctx.read(t.slice(a + rule.start("deps"), a + rule.end("deps")), scope, "shell")
        empty = not any(p.s.strip() for _, held in segments for p in held)
        self._rules.append(_Rule(name, needs, empty, t.at(a)))
        for owner, held in segments:
            if held:
                body = join(held)
                self._bodies.append((owner, _dollars(body) if self._make else body))
        return below

    def _started(self, name: str) -> list[Scope]:
        """The scope of each target that stands for ``name``, or whose recipe runs it; and of each alias of it."""
        out = _needed(name, self._rules, self.up, self.ctx)
        word = rf"{re.escape(name)}(?![\w-])"
        runs = re.compile(rf"(?:\$[({{]MAKE[)}}]|\b(?:make|just))(?:[ \t]+(?:-[^\s]+|[\w.-]+=\S*))*[ \t]+{word}")
        out += [scope for scope, body in self._bodies if scope.name != name and runs.search(body.s)]
        of_it = {rule.name for rule in self._rules if self._make and name in rule.needs.split()}
        out += [scope for scope, body in self._bodies if scope.name in of_it and _NEEDED.search(body.s)]
        for m in re.finditer(rf"(?m)^alias[ \t]+([\w-]+)[ \t]*:=[ \t]*{word}", self.t.s) if not self._make else ():
            place = self.t.at(m.start())
            scope = Scope("target", m[1], self.up, place=place)
            out.append(lines_of.named(scope, kinds.TARGET, m[1], place, self.ctx))
        return out

    def _recipe(self, i: int, rule: int, scope: Scope) -> tuple[list[tuple[Scope, list[Text]]], int]:
        """The lines of a recipe that begins on line ``i``, and the number of the line below it.

        They are without their indentation and ``@``, and cut where a conditional begins or ends: each part with its owner.
        ``rule`` is the index where the target begins.
        """
        t, lines = self.t, self._lines
        parts: list[Text] = []
        segments: list[tuple[Scope, list[Text]]] = [(scope, parts)]
        indent = -1
        while i < len(lines):
            a, b = lines[i]
            text = t.s[a:b]
            if self._make and _CONDITIONAL.match(text):
                segments.append((_within(self._conditions, b, rule, scope, t, self.ctx), parts := []))
                i += 1
                continue
            if text.strip() and not text.startswith(("\t", " ")):
                break
            lead = len(text) - len(text.lstrip(" \t"))
            indent = lead if indent < 0 and text.strip() else indent
            sign = text.lstrip("\t ")[:1]
            continued = bool(parts) and parts[-1].s.rstrip().endswith("\\")
            signed = sign == "@" or (self._make and sign in {"-", "+"} and not continued)
            parts.append(t.slice(a + (lead + 1 if signed else min(lead, max(indent, 0))), b))
            i += 1
        return segments, i

    def _variable(self, i: int, var: re.Match[str]) -> int:
        """Keep the variable that is set on line ``i``; the number of the last line of its value."""
        t, lines, a = self.t, self._lines, self._lines[i][0]
        start = a + var.end()
        while i < len(lines) and t.s[lines[i][0] : lines[i][1]].rstrip("\r\n").endswith("\\"):
            i += 1
        end = lines[min(i, len(lines) - 1)][1]
        if not self._make and (quote := re.match(r"\s*('''|\"\"\"|['\"`])", t.s[start:end])):
            close = t.s.find(quote.group(1), start + quote.end())
            end = max(end, close + len(quote.group(1))) if close >= 0 else end
            while i + 1 < len(lines) and lines[i + 1][0] < end:
                i += 1
        last = t.s.rfind("\n", start, end - 1) + 1 or start
        trailing = evidence_of.behind(t.s[last:end])  # it is no part of the value
        cut = last + trailing[0] if trailing is not None else end
        value = t.slice(start, cut)
        self._assigned.append((var.group("name"), value))
        if TOKEN_RE.search(value.s):
            self._held.append((var.group("name"), a, value, self._around(a, end)))
        self._out += [Site(t.at(m.start()), self.up, "comment") for m in TOKEN_RE.finditer(t.s, cut, end)]
        return i

    def _around(self, a: int, b: int) -> Scope:
        """The owner of the variable from index ``a`` to ``b``: the conditionals round it, and what comments say of it."""
        up = _within(self._conditions, a, -1, self.up, self.t, self.ctx)
        return _of_line(self.t, a, b, self._comments, up, self.ctx)

    def _definition(self, i: int, block: re.Match[str]) -> int:
        """Keep the variable that a ``define`` on line ``i`` sets to the lines below; the number of its ``endef``'s line."""
        t, lines, a = self.t, self._lines, self._lines[i][0]
        start, end = lines[i][1], len(t.s)
        while i + 1 < len(lines):
            i += 1
            if _ENDEF.match(t.s, *lines[i]):
                end = lines[i][0]
                break
        value = t.slice(start, end)
        self._assigned.append((block.group("name"), value))
        if TOKEN_RE.search(value.s):
            self._held.append((block.group("name"), a, _dollars(value), self._around(a, end)))
        return i

    def _of_variable(self, name: str, a: int, value: Text, around: Scope, values: list[tuple[str, str]]) -> list[Site]:
        """The sites in the value of a variable that is set at index ``a``, with the owner ``around``; ``values`` are those of
        all variables."""
        t, ctx = self.t, self.ctx
        scope = lines_of.named(Scope("variable", name, around), kinds.VARIABLE, name, t.at(a), ctx)
        scope.find_uses = partial(self._uses, name)
        if scope.cues and scope.cues[0].side in (Side.PREFILL, Side.DECODE):
            scope.find_handed_on = partial(self._handed_on, name, scope.cues[0].side)
        out: list[Site] = []
        for part, owner in _chosen(value, scope, ctx, make=self._make):
            site = pairs.role(name, part, values, owner, ctx)
            if site is not None and site.kind == "role" and site.connector is None:
                site = site._replace(connector=pairs.used_in(t, self._use_of([name])))
            out += [site] if site is not None else ctx.read(part, owner)
        return out

    def _use_of(self, names: list[str]) -> str:
        """The pattern of a use of one of some variables in a recipe."""
        word = "|".join(map(re.escape, names))
        return rf"\$[({{](?:{word})[)}}]" if self._make else rf"\{{\{{[^}}]*\b(?:{word})\b[^}}]*\}}\}}"

    @cached_property
    def _set_to(self) -> dict[str, list[str]]:
        """Of each variable those, of no side, that are set to it."""
        out: dict[str, list[str]] = {}
        for other, value in self._assigned:
            if not mentioned(other) and not TOKEN_RE.search(value.s):
                for m in (_OF_MAKE if self._make else _WORD).finditer(value.s):
                    out.setdefault(m[1], []).append(other)
        return out

    def _known_as(self, name: str) -> list[str]:
        """A variable's name and those, of no side, of the variables that are set to it."""
        names = {name: None}
        todo = [name]
        while todo and len(names) <= MANY:
            found = dict.fromkeys(other for other in self._set_to.get(todo.pop(), ()) if other not in names)
            names |= found
            todo += found
        return [*names]

    def _uses(self, name: str) -> list[Scope]:
        """The owners of every use of a variable in the recipes, by its own name or another."""
        use = re.compile(self._use_of(self._known_as(name)))
        return [_use(body, m.start(), owner, self.ctx) for owner, body in self._bodies for m in use.finditer(body.s)]

    def _handed_on(self, name: str, side: Side) -> Cue | None:
        """The cue of a variable of the other side whose value has one of ``side`` in it; None without one."""
        names = self._known_as(name)
        use = re.compile(self._use_of(names) if self._make else rf"\b(?:{'|'.join(map(re.escape, names))})\b")
        for taker, value in self._assigned:
            if mentioned(taker) == {side.other} and (m := use.search(value.s)) and not TOKEN_RE.search(value.s):
                return kinds.HANDED_ON.cue(side.other, taker, value.at(m.start()))
        return None


_NEEDED = regex(r"\$[({]?[<^]")  # what a rule needs, in its recipe


def _chosen(value: Text, scope: Scope, ctx: File, *, make: bool) -> list[tuple[Text, Scope]]:
    """The parts of a variable's value that a condition chooses between and that hold roles, each with its owner; else the
    whole value."""
    branches = choices.of_make(value.s) if make else choices.of_just(value.s)
    out = [
        (value.slice(b.start, b.end), branches_of.scope_of(b, scope, value, ctx))
        for b in branches
        if TOKEN_RE.search(value.s, b.start, b.end)
    ]
    return out or [(value, scope)]


def _meaning(values: list[tuple[str, str]], name: str) -> str | None:
    """The one value that a variable is set to, if it is NIXL's connector: any other may be replaced on the command line."""
    found = {value for key, value in values if key == name}
    value = found.pop() if len(found) == 1 else None
    return value if connectors.kind_of(value) is connectors.Kind.NIXL else None


def _conditionals(t: Text, lines: list[tuple[int, int]]) -> list[Branch]:
    """The branches of a Makefile's conditionals, in order of their start. What follows one that ends make is a branch too."""
    out: list[Branch] = []
    stack: list[Branch] = []
    chained: set[int] = set()  # where each ``else if`` begins
    opens: set[int] = set()  # where each ``if`` begins
    others: dict[int, tuple[int, int]] = {}  # by where an ``if`` begins, the span of its ``else``
    guarded: list[list[Branch]] = [[]]  # of the file, and of each branch that is open: what a guard in it lets through
    for a, b in lines:
        m = _CONDITIONAL.match(t.s[a:b])
        if m is None:
            continue
        word, test = m["word"], m["test"].strip()
        if word in {"else", "endif"} and stack:
            opened = stack.pop()
            out += [opened._replace(end=a), *(guard._replace(end=a) for guard in guarded.pop())]
            if opened.first is not None:
                others[opened.first[0]] = opened.start, a
            few = len(guarded[-1]) < GUARDS
            if (
                few
                and word == "endif"
                and opened.start in opens
                and _ENDS_MAKE.fullmatch(t.s, opened.start, a) is not None
            ):
                guarded[-1].append(Branch(b, b, opened.condition, not opened.negated, (opened.start, a)))
            if word == "else" and not test:
                first = None if opened.start in chained else (opened.start, a)
                stack.append(Branch(b, b, opened.condition, not opened.negated, first))
                guarded.append([])
        if word != "endif" and (word != "else" or test):
            whole = test if word == "else" else f"{word} {test}"
            asked = _EQUAL.match(whole)
            pair = [g.strip() for g in asked.groups()[1:] if g is not None] if asked is not None else []
            is_set = _IS_SET.match(whole)
            said = f"if {pair[0]} == {pair[1]}" if pair else _SAID[is_set[1]] + is_set[2] if is_set else f"if {whole}"
            negated = asked is not None and asked[1] == "ifneq"
            empty = _EMPTY.match(whole)
            if empty is not None and (found := choices.found_in(empty["a"] or empty["b"])):
                said, negated = f"if {found}", whole.startswith("ifeq")
            stack.append(Branch(b, b, said, negated))
            guarded.append([])
            (chained if word == "else" else opens).add(b)
    out += [guard._replace(end=len(t.s)) for guard in guarded[0]]
    return sorted((b._replace(other=others.get(b.start)) for b in out), key=lambda b: b.start)


def _within(conditions: list[Branch], place: int, after: int, up: Scope, t: Text, ctx: File) -> Scope:
    """The scope of the conditionals round index ``place`` that begin behind index ``after``; ``up`` without one."""
    for branch in conditions:
        if branch.start <= place < branch.end and branch.start > after:
            up = branches_of.scope_of(branch, up, t, ctx)
    return up


def _needed(name: str, rules: list[_Rule], up: Scope, ctx: File) -> list[Scope]:
    """The scope of each target that stands for ``name``: its recipe is empty and it needs ``name``, or it gives it arguments."""
    out: list[Scope] = []
    for rule in rules:
        m = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])(?P<given>(?:\s+[\"'][^\"')]*[\"'])*)", rule.needs)
        if m is None or not (rule.empty or m.group("given")):
            continue
        target = lines_of.named(
            Scope("target", rule.name, up, place=rule.place), kinds.TARGET, rule.name, rule.place, ctx
        )
        words = re.findall(r"[\w.-]+", m.group("given"))
        cues = [c for w in words for c in ctx.name_cues(kinds.GIVEN, w, rule.place, f"{name} {w}")]
        out.append(Scope("needed", name, target, cues, place=rule.place) if cues else target)
    return out


def _use(body: Text, i: int, owner: Scope, ctx: File) -> Scope:
    scope = ctx.owner_at("shell", body, i, owner) or owner
    scope.place = body.at(i)
    return scope


def _dollars(t: Text) -> Text:
    """A recipe of make as the shell gets it: ``$$`` is ``$``."""
    if "$$" not in t.s:
        return t
    second = {m.end() - 1 for m in re.finditer(r"\$\$", t.s)}
    at = [i for i in range(len(t.s)) if i not in second]
    return t.pick("".join(t.s[i] for i in at), at, len(t.s))


MAKEFILE = _Recipes("make")
JUSTFILE = _Recipes("just")
