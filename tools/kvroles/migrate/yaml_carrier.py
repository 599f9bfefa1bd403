"""YAML files and what only becomes YAML once rendered."""

from __future__ import annotations

import re

from kvroles.migrate import template, yaml_read
from kvroles.migrate.context import FileCtx
from kvroles.migrate.model import Cue, Scope, Side, Site, Weight
from kvroles.migrate.template import Branch
from kvroles.migrate.text import Text
from kvroles.migrate.tree import Tree
from kvroles.migrate.words import name_sides, prose_sides


def scan(t: Text, up: Scope, ctx: FileCtx) -> list[Site]:
    """The sites in YAML text, templates included."""
    from kvroles.migrate import outline, values

    source, branches = t, []
    if template.is_template(t.s):
        branches = template.branches(t.s)
        masked = template.mask(t.s)
        source = t.same_places(masked)
    try:
        docs = yaml_read.documents(source)
    except yaml_read.NotYaml:
        return outline.scan(t, up, ctx, branches)
    out: list[Site] = []
    for root in docs:
        tree = Tree(root, source, up, ctx, values.scan, comments=True, branches=branches, branch_scope=branch_scope)
        out += tree.sites()
    known = {s.pos for s in out}
    held = [(r.start, r.end) for r in docs]
    for i in t.tokens():
        if t.at(i) not in known and not any(s.pos == t.at(i) for s in out):
            kind = "comment" if _in_comment(t.s, i) else "value"
            if kind == "comment" or not held:
                out.append(Site(t.at(i), up, kind))
    return out


def _in_comment(s: str, i: int) -> bool:
    line = s[s.rfind("\n", 0, i) + 1 : i]
    return re.search(r"(?:^|\s)#", line) is not None


_VAGUE = re.compile(r"(?i)\b(?:not|ne|!=|enabled?|create|replicas?|and|or|hasKey|len)\b|!=|\bnot\b|\.(?:enabled|create)\b")


def branch_scope(b: Branch, up: Scope, source: Text, ctx: FileCtx) -> Scope:
    """The scope of a template's conditional: what its condition says, for the ``else`` only with support in its body."""
    scope = Scope("branch", b.condition, up)
    sides = {s for w in re.findall(r"[\w.-]+", b.condition) for s in name_sides(w)} & {Side.PREFILL, Side.DECODE}
    if len(sides) != 1 or _VAGUE.search(b.condition):
        return scope
    side = next(iter(sides))
    pos = source.at(b.start)
    if not b.negated:
        scope.cues.append(Cue(side, Weight.NAMED, "condition", b.condition, pos))
    elif prose_sides(source.s[b.start : b.end]) == {side.other}:
        scope.cues.append(Cue(side.other, Weight.SAID, "condition", f"else of: {b.condition}", pos))
    return scope
