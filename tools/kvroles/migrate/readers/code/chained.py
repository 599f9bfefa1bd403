"""What the calls of one chain say of each other: ``Worker("m").role("prefill").kv(config)``."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from kvroles.evidence import data_cues
from kvroles.evidence.data import Map, Scalar
from kvroles.evidence.frames import Scope
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.source import Source

_RECEIVERS = ("object", "value", "operand")  # the fields of a member that hold what it is a member of
_NAMES = ("attribute", "property", "field")  # those that hold its name
_SETS = regex(r"(?:[wW]ith|[sS]et)_?(?=\w)")  # before what a method sets: ``withRole``, ``set_role``
_LONGEST = 40  # calls of a chain
_VARIABLE = 2  # arguments of a call that sets a variable: its name and its value


def scope(unit: Source, call: Node, up: Scope) -> Scope:
    """The scope of ``call`` with what the other calls of its chain set; ``up`` itself for a call in no chain."""
    settings = Map(start=call.start_byte, end=call.end_byte)
    for link in (*_before(call), *_behind(call)):
        _add(unit, settings, link)
    return data_cues.map_scope(settings, up, unit.ctx, None) if settings.pairs else up


def _before(call: Node) -> Iterator[Node]:
    """The calls whose result ``call`` is called on."""
    for _ in range(_LONGEST):
        member = call.child_by_field_name("function")
        on = _field(member, _RECEIVERS) if member is not None else None
        if on is None or on.type != call.type:
            return
        yield (call := on)


def _behind(call: Node) -> Iterator[Node]:
    """The calls that are called on the result of ``call``."""
    for _ in range(_LONGEST):
        member = call.parent
        if member is None or _field(member, _RECEIVERS) != call or _field(member, _NAMES) is None:
            return
        above = member.parent
        if above is None or above.type != call.type or above.child_by_field_name("function") != member:
            return
        yield (call := above)


def _field(node: Node, names: tuple[str, ...]) -> Node | None:
    """The first of the fields ``names`` that a node has."""
    return next((f for name in names if (f := node.child_by_field_name(name)) is not None), None)


def _add(unit: Source, settings: Map, call: Node) -> None:
    """Adds what a call of a chain sets: its keyword arguments, the one argument of its method, or a variable of ``env``."""
    member, given = call.child_by_field_name("function"), call.child_by_field_name("arguments")
    name = _field(member, _NAMES) if member is not None else None
    if name is None or given is None:
        return
    if any(c.type in unit.spec.pair for c in given.named_children):
        settings.pairs += unit.mapping(given).pairs
        return
    method = grammar.text(unit.t, name)
    found = _SETS.match(method)
    key = method[found.end() :] if found is not None else method
    key, place = key[:1].lower() + key[1:], name.start_byte
    values = [unit.value(c) for c in given.named_children[: _VARIABLE + 1] if c.type not in unit.spec.comment]
    if len(values) == 1:
        settings.pairs.append((_key(unit, key, place), values[0]))
    elif len(values) == _VARIABLE and key.lower().startswith("env") and isinstance(values[0], Scalar):
        variable = Map(start=given.start_byte, end=given.end_byte)
        variable.pairs.append((_key(unit, values[0].value, place), values[1]))
        settings.pairs.append((_key(unit, "env", place), variable))


def _key(unit: Source, name: str, at: int) -> Scalar:
    return Scalar(Text(name, unit.t.at(at)), at, at)
