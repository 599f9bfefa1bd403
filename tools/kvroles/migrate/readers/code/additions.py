"""What else a function adds to the list of arguments that a statement adds to: ``cmd += ["--disaggregation-mode", "decode"]``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from tree_sitter import Node

from kvroles.evidence import argv
from kvroles.evidence.frames import Scope
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import additions, grammar
from kvroles.migrate.readers.additions import Does, Part
from kvroles.migrate.readers.code.source import Source

# A statement that adds to a list: ``cmd.extend([``, ``cmd += [``, ``args = append(args,``, ``cmd.arg(``.
_SIGN = r"(?:\.(?:extend|append|push|extend_from_slice|args?)\(|\s*\+=|\s*:?=\s*append\(\s*(?P<same>[\w.]+)\s*,)"
_ADDS = regex(r"(?<![\w.])([\w.]+?)" + _SIGN)
_ADDS_HERE = regex(_SIGN)  # right behind the list's name
_MADE = r"(?:(?:let|var|const)\s+(?:mut\s+)?)?%s\s*(?::[^=\n]{1,60})?:?=(?!=)"  # of a name
_MAKES = regex(_MADE % r"([\w.]+)")
CALL = regex(r"(?:^|\.)(?:append|push|args?)$")  # adds the words that it is given


def scope(unit: Source, statement: Node, up: Scope) -> Scope:
    """The scope of the command that ``statement`` makes or adds words to, below ``up``; ``up`` itself if it does neither."""
    name = _added_to(unit, statement)
    made = "" if name else _made_by(unit, statement)
    if not name and not made:
        return up
    levels = partial(_levels, unit, statement, name or made, made=made != "")
    found = unit.kept(("added", name or made), statement, lambda: additions.words(levels()))
    return additions.scope(name or made, found, up, unit.ctx)


def made_at(unit: Source, use: Node, name: str) -> bool:
    """Whether the statement that ``use`` stands in adds to the list ``name``, and does nothing else with it."""
    statement = next((o for o in grammar.owners(use) if o.parent is None or o.parent.type in unit.spec.block), use)
    return _added_to(unit, statement) == name


def _added_to(unit: Source, statement: Node) -> str:
    """The name of the list that a statement adds to; empty if it adds to none."""
    m = _ADDS.match(unit.t.s, statement.start_byte, statement.end_byte)
    return m[1] if m is not None and m["same"] in (None, m[1]) else ""


def _made_by(unit: Source, statement: Node) -> str:
    """The name of what a statement sets, if the text adds to something of that name; empty if not."""
    m = _MAKES.match(unit.t.s, statement.start_byte, statement.end_byte)
    return m[1] if m is not None and unit.kept(("added to", m[1]), None, partial(_is_added_to, unit, m[1])) else ""


def _is_added_to(unit: Source, name: str) -> bool:
    """Whether the text adds to something of a name."""
    *_, last = name.split(".")
    ends = (i + len(last) for i in unit.places(last) if unit.t.s.endswith(name, 0, i + len(last)))
    return any(_ADDS_HERE.match(unit.t.s, end) is not None for end in ends)


def _levels(unit: Source, statement: Node, name: str, *, made: bool) -> Iterator[tuple[Iterator[Part], Iterator[Part]]]:
    """What the blocks round ``statement``, to its function's, do with the list before and after it; only after it where it is
    ``made`` there."""
    inner = statement
    parts = partial(_parts, unit, name, *_named(name))
    for block in grammar.owners(statement):
        if block.type in unit.spec.block:
            before = iter([Part(Does.MAKES, [])]) if made else parts(additions.siblings(inner, before=True))
            yield before, parts(additions.siblings(inner, before=False))
        if block.type in unit.spec.function:
            return
        inner = block


def _named(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds a list's name, and what finds where it is set."""
    word = re.escape(name)
    return re.compile(rf"(?<![\w.]){word}\b"), re.compile(_MADE % word)


def _parts(
    unit: Source, name: str, named: re.Pattern[str], made: re.Pattern[str], nodes: Iterator[Node]
) -> Iterator[Part]:
    for node in nodes:
        source = grammar.text(unit.t, node)
        if named.search(source) is None:
            continue
        always = not _chooses(unit, node)
        if always and _added_to(unit, node) == name:
            yield Part(Does.ADDS, _given(unit, node))
        elif made.search(source) is not None:
            yield Part(Does.MAKES, _given(unit, node)) if always and made.match(source) else Part(Does.REMAKES, [])
        else:
            yield Part(Does.USES, []) if always else Part(Does.BRANCHES, _given(unit, node))


def _chooses(unit: Source, node: Node) -> bool:
    """Whether a statement holds a branch, a loop or a function: what it gives is not given always."""
    kinds = unit.spec.branch | unit.spec.case | unit.spec.loop | unit.spec.function
    return node.type in kinds or any(_chooses(unit, c) for c in node.named_children)


def _given(unit: Source, node: Node) -> list[argv.Word]:
    """The words of the lists and arguments in a statement, in order."""
    if node.type in {*unit.spec.sequence, "argument_list", "arguments"} and any(
        c.type in unit.spec.string for c in node.named_children
    ):
        return unit.words_of(node, node)[0]
    return [w for c in node.named_children for w in _given(unit, c)]
