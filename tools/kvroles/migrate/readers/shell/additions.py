"""The arguments that a script collects in a variable by several assignments: ``ARGS+=(--disaggregation-mode decode)``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from kvroles.evidence import argv
from kvroles.evidence.frames import Scope
from kvroles.migrate.readers import additions, grammar
from kvroles.migrate.readers.additions import Does, Part
from kvroles.migrate.readers.shell import quoting
from kvroles.migrate.readers.shell.script import Source
from kvroles.migrate.readers.shell.variables import BLOCKS, assigned

_DECLARES = "declaration_command"  # ``local ARGS=(...)``


def scope(source: Source, assignment: Node, up: Scope) -> Scope:
    """The scope of the command that ``assignment`` sets some of the arguments of, below ``up``; ``up`` if it sets them all."""
    name = assigned(source.t, assignment)
    statement = assignment
    if assignment.parent is not None and assignment.parent.type == _DECLARES:
        statement = assignment.parent
    if not name or (statement.parent is not None and statement.parent.type not in BLOCKS):
        return up
    return additions.scope(name, additions.words(_levels(source, statement, name)), up, source.ctx)


def _keeps(name: str, text: str) -> bool:
    """Whether an assignment adds to the value that the variable has: ``ARGS+=(...)``, ``ARGS="$ARGS ..."``."""
    return re.match(rf"{re.escape(name)}(?:\+=|=[(\"']*\$\{{?{re.escape(name)}\b)", text) is not None


def _levels(source: Source, statement: Node, name: str) -> Iterator[tuple[Iterator[Part], Iterator[Part]]]:
    """For each block round ``statement`` up to its function: what the statements before and behind it do with the variable."""
    made = not _keeps(name, _assignment(source, statement))
    inner = statement
    for block in grammar.owners(statement):
        if block.type == "function_definition":
            return
        if block.type in BLOCKS:
            before = iter([Part(Does.MAKES, [])]) if made else _parts(source, name, inner, before=True)
            yield before, _parts(source, name, inner, before=False)
        inner = block


def _assignment(source: Source, statement: Node) -> str:
    text = grammar.text(source.t, statement)
    return text.split(None, 1)[-1] if statement.type == _DECLARES else text


def _parts(source: Source, name: str, node: Node, *, before: bool) -> Iterator[Part]:
    word = re.escape(name)
    named, set_ = re.compile(rf"(?<![\w-]){word}\b"), re.compile(rf"(?<![\w$]){word}(?:\[\w*\])?\+?=")
    for beside in additions.siblings(node, before=before):
        text = grammar.text(source.t, beside)
        if named.search(text) is None or beside.type == "comment":
            continue
        if beside.type in {"variable_assignment", _DECLARES} and set_.search(text):
            does = Does.ADDS if _keeps(name, _assignment(source, beside)) else Does.MAKES
            yield Part(does, _given(source, beside))
        elif beside.type in {"command", "redirected_statement", "pipeline"}:
            yield Part(Does.USES, [])
        elif any(not _keeps(name, text[m.start() :]) for m in set_.finditer(text)):
            yield Part(Does.REMAKES, [])
        else:
            yield Part(Does.BRANCHES, _given(source, beside))


def _given(source: Source, node: Node) -> list[argv.Word]:
    """The words of the arrays and strings in what a statement sets, in order."""
    if node.type == "array":
        return source.words(node)[0]
    value = node.child_by_field_name("value") if node.type == "variable_assignment" else None
    if value is not None and value.type != "array":
        place = source.t.at(value.start_byte)
        return [argv.Word(w, place) for w in quoting.unquote(source.t, value).s.split()]
    return [w for c in node.named_children for w in _given(source, c)]
