"""Follows a value that stands in no config to the config whose role it becomes: by a table, a variable or a function's result.

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
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code import assigned, guard
from kvroles.migrate.readers.code.literals import around, literal
from kvroles.migrate.readers.code.source import Source
from kvroles.migrate.readers.mapping import objects

_HOPS = 3  # names that a value is followed through
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


def connector(unit: Source, value: Node, holder: Node | None) -> str | None:
    """The connector of the configs whose role ``value`` becomes; ``holder`` is the node that it belongs to.

    None if no such config is found, or if their connectors differ.
    """
    found = _of_holder(unit, value, holder, _HOPS)
    return next(iter(found)) if len(found) == 1 else None


class _Name(NamedTuple):
    """A name and its scope ``home``: a function, a class or the text. ``member``: it is an attribute of ``self`` or ``this``."""

    word: str
    member: bool
    home: Node


def _of_holder(unit: Source, value: Node, holder: Node | None, hops: int) -> set[str | None]:
    """The connectors of the configs whose role a value becomes through the pair, assignment or function ``holder``."""
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


def _home(unit: Source, node: Node) -> Node:
    """The function round a node, or the root of the text if there is none."""
    functions = unit.spec.function | _LAMBDA
    return next((o for o in grammar.owners(node) if o.type in functions and o != node), unit.root)


def _class(unit: Source, node: Node) -> Node | None:
    """The class round a node; None if there is none."""
    return next((o for o in grammar.owners(node) if o.type in unit.spec.class_), None)


def _set_by(unit: Source, assign: Node) -> _Name | None:
    """The name that an assignment sets; None if it sets several, or an item of a mapping."""
    left = unit.left_of(assign)
    m = _SETS.fullmatch(grammar.text(unit.t, left)) if left is not None else None
    if m is None:
        return None
    if m[1] is None:
        return _Name(m[2], False, _home(unit, assign))
    return _Name(m[2], True, _class(unit, assign) or unit.root)


def _table_of(unit: Source, pair: Node) -> Node | None:
    """The mapping of sides to roles that ``pair`` is an entry of; None if it is an entry of anything else."""
    table = pair.parent
    if table is None or table.type not in unit.spec.mapping:
        return None
    values = [v.value for _, v in unit.mapping(table).pairs if isinstance(v, Scalar)]
    if unit.ctx.side_of(unit.key_of(pair)) is None or not all(v in _ROLES for v in values):
        return None
    return table


def _name_of(unit: Source, value: Node) -> _Name | None:
    """The name that a table or a lambda is assigned to; None without one."""
    for owner in islice(grammar.owners(value), 1, 8):
        if owner.type in unit.spec.assign:
            return _set_by(unit, owner)
        if owner.type in unit.spec.block:
            return None
    return None


def _returned_by(unit: Source, value: Node, holder: Node) -> _Name | None:
    """The name of the function that returns ``value`` by way of ``holder``; None if ``holder`` returns nothing."""
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


def _uses(unit: Source, name: _Name | None, hops: int, *, element: bool = False, call: bool = False) -> set[str | None]:
    """The connectors of the configs whose role is ``name``, with ``element`` an item of it, with ``call`` its result."""
    if name is None:
        return set()
    find = partial(_find_uses, unit, name, hops, element, call)
    return unit.kept(("fed", name.word, name.member, element, call, hops), name.home, find)


def _find_uses(unit: Source, name: _Name, hops: int, element: bool, call: bool) -> set[str | None]:
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


def _means_another(unit: Source, use: Node, name: _Name) -> bool:
    """Whether a function between ``use`` and the name's home has a parameter or a variable of the same name."""
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


def _taken(unit: Source, name: Node, element: bool, call: bool) -> Node | None:
    """The expression that has the value at a use of a name: the look-up with ``element``, the call with ``call``, else the name.

    None if the name is used in another way.
    """
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


def _element(unit: Source, node: Node) -> Node | None:
    """The expression that takes an item out of the table ``node``: an index, a member, or a call such as ``.get()``; or None."""
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


def _unwrapped(unit: Source, node: Node) -> Node:
    """``node`` with the calls behind it that keep its value: ``.unwrap()``, ``.to_string()``."""
    current = node
    while (member := current.parent) is not None and member.type in _MEMBERS and member.parent is not None:
        called = member.parent
        if called.type not in unit.spec.call or not _LOOKS_UP.search(unit.called(called)):
            break
        current = called
    return current


def _given(unit: Source, node: Node, hops: int) -> set[str | None]:
    """The connectors of the configs whose role the expression ``node`` is where it stands, or becomes from there."""
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
        left = unit.left_of(holder)
        if len(names) != 1 or left is None or left.start_byte <= node.start_byte < left.end_byte:
            return set()
        if connectors.is_role_key(names[0]) and not re.fullmatch(r"\w+", grammar.text(unit.t, left)):
            near = assigned.connector(unit, holder) or guard.connector(unit, holder)
            if near is not None:
                return {near}
        return _uses(unit, _set_by(unit, holder), hops - 1) if hops else set()
    top, _ = around(unit.t, node, unit.spec, unit.string_named)
    if top is not node and top != node:
        text = literal(unit.t, top, unit.spec, node.start_byte, unit.string_named)
        return in_text(unit, text, unit.t.at(node.start_byte))
    return set()


def in_text(unit: Source, text: Text, place: int) -> set[str | None]:
    """The connector of the object in ``text`` whose role is the value put in at ``place`` of the file; empty if there is none."""
    found = objects.round_place(text, place)
    if found is None or not connectors.is_role_key(found[1]):
        return set()
    return {unit.ctx.named(connectors.connector_of(found[0]))}


def _macro(unit: Source, i: int, name: str, indexed: bool) -> set[str | None]:
    """The connector of the object in a macro call whose role is the name at index ``i``: ``json!({"kv_role": role})``."""
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
