"""Whose role a value becomes that stands in no config itself: one of a table, of a variable, of what a function returns.

``ROLES = {"prefill": "kv_both"}`` and ``kv_role=ROLES[side]``; ``def role(side): return "kv_both"`` and ``kv_role=role(side)``.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import islice
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence.data import Scalar
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code import guard
from kvroles.migrate.readers.code.literals import around, literal
from kvroles.migrate.readers.code.source import Reader
from kvroles.migrate.readers.mapping import objects

_HOPS = 3  # from name to name
_SETS = regex(r"(?:mut\s+)?(self\.|this\.)?([A-Za-z_]\w*)")
_LAMBDA = frozenset({"lambda", "closure_expression"})
_NAMES = frozenset({"identifier", "shorthand_property_identifier", "type_identifier", "property_identifier"})
_INDEXES = frozenset({"subscript", "index_expression", "subscript_expression"})
_MEMBERS = frozenset({"attribute", "member_expression", "selector_expression", "field_expression"})
_LOOKS_UP = regex(
    r"(?:^|\.|::)(?:get|getOrDefault|get_or|pop|unwrap\w*|copied|cloned|expect|to_string|to_owned|into|as_str)$"
)
_RETURNS = frozenset({"return_statement", "return_expression"})
_ROLES = frozenset({TOKEN, "kv_producer", "kv_consumer"})


def connector(unit: Reader, value: Node, holder: Node | None) -> str | None:
    """The connector of the one kind of config whose role ``value``, which belongs to ``holder``, becomes; None if it becomes none
    that is known, or roles of more than one."""
    found = _of_holder(unit, value, holder, _HOPS)
    return next(iter(found)) if len(found) == 1 else None


class _Name(NamedTuple):
    """A name, or with ``member`` one of ``self`` or ``this``, and the function, class or text in which it means the same."""

    word: str
    member: bool
    home: Node


def _of_holder(unit: Reader, value: Node, holder: Node | None, hops: int) -> set[str | None]:
    """The connectors of the roles that a value becomes by way of ``holder``."""
    if holder is None or not hops:
        return set()
    spec = unit.spec
    if holder.type.endswith("parameter") and connectors.is_role_key(unit.key_of(holder)):
        return _uses(unit, _Name(unit.key_of(holder), False, _home(unit, holder)), hops - 1)
    if holder.type in spec.pair and (table := _table_of(unit, holder)) is not None:
        if (taken := _element(unit, table)) is not None:
            return _given(unit, taken, hops - 1)
        return _uses(unit, _name_of(unit, table), hops - 1, element=True)
    if holder.type in spec.assign:
        return _uses(unit, _set_by(unit, holder), hops - 1)
    return _uses(unit, _returned_by(unit, value, holder), hops - 1, call=True)


def _home(unit: Reader, node: Node) -> Node:
    """The function that a node is in, else the text."""
    functions = unit.spec.function | _LAMBDA
    return next((o for o in grammar.owners(node) if o.type in functions and o != node), unit.root)


def _class(unit: Reader, node: Node) -> Node | None:
    """The class that a node is in; None outside of one."""
    return next((o for o in grammar.owners(node) if o.type in unit.spec.class_), None)


def _set_by(unit: Reader, assign: Node) -> _Name | None:
    """The one name that an assignment sets."""
    left = (
        assign.child_by_field_name("left")
        or assign.child_by_field_name("name")
        or assign.child_by_field_name("pattern")
    )
    m = _SETS.fullmatch(grammar.text(unit.t, left)) if left is not None else None
    if m is None:
        return None
    if m[1] is None:
        return _Name(m[2], False, _home(unit, assign))
    return _Name(m[2], True, _class(unit, assign) or unit.root)


def _table_of(unit: Reader, pair: Node) -> Node | None:
    """The table that an entry is of: a mapping of sides to roles."""
    table = pair.parent
    if table is None or table.type not in unit.spec.mapping:
        return None
    values = [v.value for _, v in unit.mapping(table).pairs if isinstance(v, Scalar)]
    if unit.ctx.side_of(unit.key_of(pair)) is None or not all(v in _ROLES for v in values):
        return None
    return table


def _name_of(unit: Reader, value: Node) -> _Name | None:
    """The name that a table or a function without one is set to."""
    for owner in islice(grammar.owners(value), 1, 8):
        if owner.type in unit.spec.assign:
            return _set_by(unit, owner)
        if owner.type in unit.spec.block:
            return None
    return None


def _returned_by(unit: Reader, value: Node, holder: Node) -> _Name | None:
    """The function that gives a value back; None if ``holder`` is not what does so."""
    returned = holder.type in _RETURNS or (
        holder.type == "expression_list" and holder.parent is not None and holder.parent.type in _RETURNS
    )
    if not returned and holder.type not in unit.spec.function | _LAMBDA:
        return None
    function = _home(unit, value)
    if function == unit.root:
        return None
    if not (name := unit.name_of(function)):
        return _name_of(unit, function)
    within = _class(unit, function)
    return _Name(name, within is not None, within or _home(unit, function))


def _uses(unit: Reader, name: _Name | None, hops: int, *, element: bool = False, call: bool = False) -> set[str | None]:
    """The connectors of the configs whose role is ``name``, an ``element`` of it, or what a ``call`` of it gives back."""
    if name is None:
        return set()
    find = partial(_find_uses, unit, name, hops, element, call)
    return unit.kept(("fed", name.word, name.member, element, call, hops), name.home, find)


def _find_uses(unit: Reader, name: _Name, hops: int, element: bool, call: bool) -> set[str | None]:
    found: set[str | None] = set()
    s, word = unit.t.s, name.word
    for i in unit.places(word):
        if not name.home.start_byte <= i < name.home.end_byte:
            continue
        if name.member != s.endswith(("self.", "this."), 0, i) or (not name.member and s[i - 1 : i] == "."):
            continue
        node = unit.at(i, len(word))
        if node.type not in _NAMES or (not name.member and _means_another(unit, node, name)):
            continue
        if node.parent is not None and node.parent.type == "token_tree":
            found |= _macro(unit, i, word, element or call)
        elif (taken := _taken(unit, node, element, call)) is not None:
            found |= _given(unit, taken, hops)
    return found


def _means_another(unit: Reader, use: Node, name: _Name) -> bool:
    """Whether a function between a use and the name's home has a parameter or a variable of that name."""
    word = re.escape(name.word)
    for owner in grammar.owners(use):
        if owner == name.home:
            return False
        if owner.type not in unit.spec.function | _LAMBDA:
            continue
        given = owner.child_by_field_name("parameters") or owner.child_by_field_name("parameter")
        if given is not None and re.search(rf"(?<![\w.]){word}\b", grammar.text(unit.t, given)):
            return True
        if re.search(rf"(?<![\w.]){word}\s*(?::[^=\n,)]*)?:?=(?![=>])", grammar.text(unit.t, owner)):
            return True
    return False


def _taken(unit: Reader, name: Node, element: bool, call: bool) -> Node | None:
    """What a use of a name comes to: one of a table's values, what a function gives back, or the name itself."""
    node = name
    if (
        node.parent is not None
        and node.parent.type in _MEMBERS
        and grammar.text(unit.t, node.parent).startswith(("self.", "this."))
    ):
        node = node.parent
    if not (element or call):
        return node
    if element:
        return _element(unit, node)
    step = node.parent
    if step is not None and step.type in unit.spec.call and step.child_by_field_name("function") == node:
        return _unwrapped(unit, step)
    return None


def _element(unit: Reader, node: Node) -> Node | None:
    """What an expression takes out of a table: by an index, a member's name, or a call that looks it up."""
    while node.parent is not None and node.parent.type in unit.spec.through:
        node = node.parent
    step = node.parent
    if step is None:
        return None
    if step.type in _INDEXES and step.named_children[0] == node:
        return _unwrapped(unit, step)
    if step.type in _MEMBERS and step.named_children[0] == node:
        called = step.parent
        if called is not None and called.type in unit.spec.call and called.child_by_field_name("function") == step:
            return _unwrapped(unit, called) if _LOOKS_UP.search(unit.called(called)) else None
        return step
    return None


def _unwrapped(unit: Reader, node: Node) -> Node:
    """A value, with the calls that only take it out of what wraps it: ``.unwrap()``, ``.to_string()``."""
    current = node
    while (member := current.parent) is not None and member.type in _MEMBERS and member.parent is not None:
        called = member.parent
        if called.type not in unit.spec.call or not _LOOKS_UP.search(unit.called(called)):
            break
        current = called
    return current


def _given(unit: Reader, node: Node, hops: int) -> set[str | None]:
    """The connectors of the roles that an expression becomes where it stands."""
    holder = unit.value_parent(node)
    if holder is None:
        return set()
    if holder.type in unit.spec.pair and holder.parent is not None:
        value = holder.child_by_field_name("value")
        if value is not None and value.start_byte <= node.start_byte and connectors.is_role_key(unit.key_of(holder)):
            return {unit.ctx.named(connectors.connector_of(unit.mapping(holder.parent)))}
        return set()
    if holder.type in unit.spec.assign:
        names = unit.targets(holder)
        left = (
            holder.child_by_field_name("left")
            or holder.child_by_field_name("name")
            or holder.child_by_field_name("pattern")
        )
        if len(names) != 1 or left is None or left.start_byte <= node.start_byte < left.end_byte:
            return set()
        if connectors.is_role_key(names[0]) and not re.fullmatch(r"\w+", grammar.text(unit.t, left)):
            near = unit.connector_near(holder) or guard.connector(unit, holder)
            if near is not None:
                return {near}
        return _uses(unit, _set_by(unit, holder), hops - 1) if hops else set()
    top, _ = around(unit.t, node, unit.spec, unit.string_named)
    if top is not node and top != node:
        text = literal(unit.t, top, unit.spec, node.start_byte, unit.string_named)
        return in_text(unit, text, unit.t.at(node.start_byte))
    return set()


def in_text(unit: Reader, text: Text, place: int) -> set[str | None]:
    """The connector of the object that a text writes round what is put in at ``place`` of the file, if that is its role."""
    found = objects.round_place(text, place)
    if found is None or not connectors.is_role_key(found[1]):
        return set()
    return {unit.ctx.named(connectors.connector_of(found[0]))}


def _macro(unit: Reader, i: int, name: str, indexed: bool) -> set[str | None]:
    """The connector of the object of a macro's tokens whose role is the name at index ``i``: ``json!({"kv_role": role})``."""
    tail = r"\s*[\[(.]" if indexed else r"\s*[,})]"
    if not re.match(tail, unit.t.s[i + len(name) : i + len(name) + 8]):
        return set()
    before = re.search(r"[\"']([\w-]+)[\"']\s*:\s*&?$", unit.t.s[max(0, i - 60) : i])
    if before is None or not connectors.is_role_key(before[1]):
        return set()
    top = next((o for o in grammar.owners(unit.at(i)) if o.type == "macro_invocation"), None)
    if top is None:
        return set()
    body = unit.t.slice(top.start_byte, top.end_byte)
    root = objects.nearest(body, i - top.start_byte)
    return {connectors.connector_of(root)} if root is not None else set()
