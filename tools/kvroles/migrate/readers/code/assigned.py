"""The connector that another assignment sets beside a role: on the same object, class or module."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice

from tree_sitter import Node

from kvroles.evidence.patterns import regex
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.code.source import Source

_NEAR = 2_000  # characters before a use in which the object is made
_MADE = regex(r"(?:object\.__new__\(\s*(\w+)|(?:\w+\.)*([A-Z]\w*)(?:\.__new__)?\()")
_MEMBER_SET = regex(r"(?:\[[\"']([\w-]+)[\"']\]|\.(\w+))\s*=\s*[\"']([\w.-]+)[\"']")
_PLAIN_SET = regex(r"(?:^|\n)[ \t]*(?:pub |const |let |static )*(\w+)[ \t]*(?::[^=\n]+)?:?=[ \t]*[\"'`](\w+)[\"'`]")


def connector(unit: Source, assign: Node) -> str | None:
    """The connector that another assignment of the block sets on the same object (``cfg.kv_connector = ...``)."""
    block = assign.parent
    while block is not None and block.type not in unit.spec.block:
        block = block.parent
    if block is None:
        return None
    left = grammar.text(unit.t, assign).split("=", 1)[0].rstrip(": \t")
    if re.fullmatch(r"\w+", left.split(":")[0].strip()):
        return _named_beside(unit, block)
    stem = re.sub(r"(?:\[[\"'][\w-]+[\"']\]|\.\w+)$", "", left)
    if found := _on(unit, stem, block):
        return next(iter(found)) if len(found) == 1 else None
    made = _made_of(unit, stem, assign)
    return made if made is not None else _further_out(unit, stem, block)


def _on(unit: Source, stem: str, block: Node) -> set[str]:
    """The connectors that a block, or one in it, sets on the object ``stem``."""
    set_ = unit.kept("connectors", block, partial(_connectors_set, unit, block))
    return {value for place, value in set_ if unit.t.s.endswith(stem, block.start_byte, place)}


def _further_out(unit: Source, stem: str, block: Node) -> str | None:
    """The one connector that the function round a block sets on the object ``stem``, by a statement that is run before the
    block whatever branch that is in."""
    for outer in grammar.owners(block):
        if outer.type in unit.spec.function:
            return None
        if outer == block or outer.type not in unit.spec.block or len(found := _on(unit, stem, outer)) != 1:
            continue
        for place, _ in unit.kept("connectors", outer, partial(_connectors_set, unit, outer)):
            held = next((o for o in grammar.owners(unit.at(place)) if o.type in unit.spec.block), None)
            if held == outer and place < block.start_byte and unit.t.s.endswith(stem, outer.start_byte, place):
                return next(iter(found))
        return None
    return None


def _made_of(unit: Source, name: str, use: Node) -> str | None:
    """The connector of whose class the object ``name`` was last made before ``use``: ``x = MooncakeConnector()``."""
    start = max(unit.home(use)[0], use.start_byte - _NEAR)
    made = re.compile(rf"(?<![\w.]){re.escape(name)}[ \t]*(?::[^=\n]{{1,60}})?=(?!=)[ \t]*([^\n]{{0,200}})")
    last = [m[1] for m in made.finditer(unit.t.s, start, use.start_byte)][-1:]
    of = _MADE.match(last[0]) if last else None
    return connectors.of_class(of[1] or of[2]) if of is not None else None


def _connectors_set(unit: Source, block: Node) -> list[tuple[int, str]]:
    """The first ``MANY`` connectors that a block sets on objects, each with the index where the object's name ends."""
    set_ = _MEMBER_SET.finditer(unit.t.s, block.start_byte, block.end_byte)
    return list(islice(((m.start(), m[3]) for m in set_ if connectors.is_connector_key(m[1] or m[2])), MANY))


def _named_beside(unit: Source, block: Node) -> str | None:
    """The connector that a class's or module's own name is set to (``kv_connector: str = "NixlConnector"``)."""
    return unit.kept("named", block, partial(_find_named, unit, block))


def _find_named(unit: Source, block: Node) -> str | None:
    found: set[str] = set()
    for m in _PLAIN_SET.finditer(grammar.text(unit.t, block)):
        if connectors.is_connector_key(m.group(1)):
            found.add(m.group(2))
    return found.pop() if len(found) == 1 else None
