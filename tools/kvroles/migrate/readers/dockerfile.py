"""Dockerfiles: stages of instructions. The shell text of an instruction goes to its own reader.

The grammars for Dockerfiles stop at the shell text, so they are read line by line here; lines that a backslash joins are put
together first.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property, partial
from itertools import islice

from kvroles.evidence import kinds
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.names import PD, mentioned, role_key
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN_RE, Text, join
from kvroles.migrate.readers import lines as lines_of
from kvroles.migrate.readers import pairs, registry
from kvroles.migrate.readers.base import MANY, ByHeading, File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree

_HEREDOC = regex(r"<<-?\s*[\"']?(\w+)[\"']?")
_WRITTEN = regex(r"\s*(?:--\S+\s+)*<<-?\s*[\"']?\w+[\"']?[ \t]+(?P<target>\S+)[ \t]*\r?\n")  # of COPY and ADD
_DOCKER = regex(r"^[ \t]*(?P<name>[A-Za-z]+)[ \t]+(?:--\S+[ \t]+)*")
_ENV = regex(r"(?im)^[ \t]*(?:ENV|ARG)[ \t]+((?:[^\n\\]|\\.|\\\n)*)")
_ENV_PAIR = regex(r"(?:^|\s)(\w+)(?:=|\s+(?=\S+\s*$))[\"']?([^\s\"'\\]+)")
_TAKES = regex(r"(?i)\s*ENV\s+([\w.-]+)=\S*\$\{?\w+\}?\S*\s*\Z")  # another variable that takes one, and nothing more
_EXPANDED = regex(r"\$\{?(\w+)")
_FROM = regex(r"(?i)\bAS\s+(\S+)")


class _Docker(ByHeading):
    """Reads a Dockerfile."""

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in the stages."""
        return _Dockerfile(text, owner, file).sites()


def _built_upon(t: Text, name: str, stage: Scope) -> list[Cue]:
    """The cues for both sides of a stage that names a side, if a later stage for another side is built upon it or copies from
    it."""
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


class _Dockerfile:
    """One Dockerfile ``t`` with the owner ``up``: its stages, and the sites of its instructions."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self._lines = lines_of.spans(t)
        self._env = [(m[1], m[2]) for line in _ENV.findall(t.s) for m in _ENV_PAIR.finditer(line)]
        self._stages = [(0, up)]  # the index where each begins, and its scope
        self._comments: list[tuple[int, str]] = []  # right above the line being read
        self._out: list[Site] = []

    def sites(self) -> list[Site]:
        """Every ``kv_both`` of the file."""
        i = 0
        while i < len(self._lines):
            i = self._line(i)
        return self._out

    @property
    def _stage(self) -> Scope:
        return self._stages[-1][1]

    def _line(self, i: int) -> int:
        """Read the comment or the instruction that begins on line ``i``; the number of the next line to read."""
        a, b = self._lines[i]
        line = self.t.s[a:b]
        if line.lstrip().startswith("#"):
            self._comments.append((self.t.at(a), line.strip("# \t\r\n")))
            self._out += [Site(self.t.at(a + m.start()), self._stage, "comment") for m in TOKEN_RE.finditer(line)]
            return i + 1
        instruction = _DOCKER.match(line)
        if instruction is None:
            self._out += [Site(self.t.at(a + m.start()), self._stage, "value") for m in TOKEN_RE.finditer(line)]
            self._comments = self._comments if line.strip() else []
            return i + 1
        body, below = self._body(i, instruction.end())
        self._instruction(instruction.group("name").upper(), body, a, self._lines[below - 1][1])
        self._comments = []
        return below

    def _body(self, i: int, cut: int) -> tuple[Text, int]:
        """What stands behind the first ``cut`` characters of an instruction on line ``i``, with the lines that a backslash
        joins and the heredoc that it opens; and the number of the line below."""
        t, lines = self.t, self._lines
        parts: list[Text] = []
        j = i
        while j < len(lines):
            a, b = lines[j]
            text = t.s[a:b]
            if j > i and text.lstrip().startswith("#"):
                self._out += [Site(t.at(a + m.start()), self._stage, "comment") for m in TOKEN_RE.finditer(text)]
                j += 1
                continue
            parts.append(t.slice(a + (cut if j == i else 0), b))
            j += 1
            if not text.rstrip("\r\n").rstrip().endswith("\\"):
                break
        if opened := _HEREDOC.search(parts[0].s):
            while j < len(lines):
                parts.append(t.slice(*lines[j]))
                j += 1
                if t.s[lines[j - 1][0] : lines[j - 1][1]].strip() == opened.group(1):
                    break
        return join(parts), j

    def _instruction(self, name: str, body: Text, a: int, end: int) -> None:
        """Read the instruction ``name`` that goes from index ``a`` to ``end``."""
        if name == "FROM":
            stage = self.up
            if s := _FROM.search(body.s):
                stage = lines_of.named(
                    Scope("stage", s.group(1), self.up), kinds.STAGE, s.group(1), self.t.at(a), self.ctx
                )
                stage.cues += _built_upon(self.t, s.group(1), stage)
            self._stages.append((a, stage))
        elif name == "LABEL" and not TOKEN_RE.search(body.s):
            for m in re.finditer(r"([\w./-]+)=[\"']?([\w-]+)", body.s):
                side = self.ctx.role_of(m.group(2)) if role_key(m.group(1)) else None
                self._stage.cues += [kinds.LABEL.cue(side, m.group(), self.t.at(a))] if side else []
        elif TOKEN_RE.search(body.s):
            self._out += self._in_body(name, body, a, end)

    def _in_body(self, name: str, body: Text, a: int, end: int) -> list[Site]:
        """The sites in the body of an instruction: a file written, a command as a JSON list, a variable, or shell text."""
        ctx, scope = self.ctx, lines_of.said(self._comments, self._stage, self.ctx)
        if name in {"COPY", "ADD"} and (written := _WRITTEN.match(body.s)) is not None:
            target = written.group("target")
            file = lines_of.named(Scope("file written", target, scope), kinds.FILE_WRITTEN, target, self.t.at(a), ctx)
            held = body.slice(written.end(), body.s.rstrip().rfind("\n") + 1)
            return ctx.read(held, file, registry.lang_of_name(target))
        if body.s.lstrip().startswith("["):
            got = objects.read(body, body.s.index("["))
            return Tree(got[0], body, scope, ctx).sites() if got else ctx.read(body, scope, "json")
        if name in {"ENV", "ARG", "LABEL"} and not re.match(r"\s*[\w.-]+=", body.s):
            key = body.s.split(None, 1)[0]
            value = body.slice(body.s.index(key) + len(key), len(body.s))
            scope = lines_of.named(Scope("variable", key, scope), kinds.VARIABLE, key, self.t.at(a), ctx)
            scope.find_uses, scope.only_doubts = partial(self.uses, end, key), True
            site = pairs.role(key, value, self._env, scope, ctx)
            return [site] if site is not None else ctx.read(value, scope)
        beyond = ctx.elsewhere
        if name in {"ENV", "ARG"}:
            ctx.elsewhere = partial(self.uses, end)
        with ctx.among(self._env):
            out = ctx.read(body, scope, "shell")
        ctx.elsewhere = beyond
        return out

    @cached_property
    def _expanded(self) -> dict[str, list[int]]:
        """The indices where each variable is expanded."""
        out: dict[str, list[int]] = {}
        for m in _EXPANDED.finditer(self.t.s):
            out.setdefault(m[1], []).append(m.start())
        return out

    def uses(self, after: int, name: str) -> list[Scope]:
        """The owners of every use of variable ``name`` behind index ``after``; empty if its name says no side."""
        if not mentioned(name) & set(PD):
            return []
        out: list[Scope] = []
        for i in islice((i for i in self._expanded.get(name, ()) if i >= after), MANY):
            stage = self._stages[bisect_right(self._stages, i, key=lambda s: s[0]) - 1][1]
            use = lines_of.owner(self.t, i, stage, self.ctx)
            if use.kind != "comment":
                if (taker := _TAKES.match(lines_of.line_at(self.t.s, i))) is not None:
                    use = lines_of.named(
                        Scope("variable", taker[1], use), kinds.VARIABLE, taker[1], self.t.at(i), self.ctx
                    )
                out.append(use)
        return out


DOCKERFILE = _Docker()
