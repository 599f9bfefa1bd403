"""Whose role a value becomes that stands in no config itself: one of a table, of a variable, of what a function returns.

``ROLES = {"prefill": "kv_both"}`` and ``kv_role=ROLES[side]``; ``def role(side): return "kv_both"`` and ``kv_role=role(side)``.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import islice

from tree_sitter import Node

from kvroles.evidence.data import Scalar
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, occurrences
from kvroles.migrate import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code import guard
from kvroles.migrate.readers.code.literals import around, literal
from kvroles.migrate.readers.code.source import Reader
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mentions import MANY

_HOPS = 3  # from name to name
_PART = regex(r"[\w.]")
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


def _of_holder(unit: Reader, value: Node, holder: Node | None, hops: int) -> set[str | None]:
    """The connectors of the roles that a value becomes by way of ``holder``."""
    if holder is None or not hops:
        return set()
    spec = unit.spec
    if holder.type in spec.pair and (table := _table_of(unit, holder)) is not None:
        return _uses(unit, table, hops - 1, element=True)
    if holder.type in spec.assign:
        names = unit.targets(holder)
        return _uses(unit, names[0], hops - 1) if len(names) == 1 else set()
    function = _returned_by(unit, value, holder)
    return _uses(unit, function, hops - 1, call=True) if function else set()


def _table_of(unit: Reader, pair: Node) -> str | None:
    """The name of the table that an entry is of: a mapping of sides to roles."""
    table = pair.parent
    if table is None or table.type not in unit.spec.mapping:
        return None
    values = [v.value for _, v in unit.mapping(table).pairs if isinstance(v, Scalar)]
    if unit.ctx.side_of(unit.key_of(pair)) is None or not all(v in _ROLES for v in values):
        return None
    for owner in islice(grammar.owners(table), 1, 8):
        if owner.type in unit.spec.assign:
            names = unit.targets(owner)
            return names[0] if len(names) == 1 else None
        if owner.type in unit.spec.block:
            return None
    return None


def _returned_by(unit: Reader, value: Node, holder: Node) -> str:
    """The function that gives a value back; empty if ``holder`` is not what does so."""
    returned = holder.type in _RETURNS or (
        holder.type == "expression_list" and holder.parent is not None and holder.parent.type in _RETURNS
    )
    if not returned and not (unit.spec.grammar == "rust" and holder.type in unit.spec.function):
        return ""
    function = next((o for o in grammar.owners(value) if o.type in unit.spec.function), None)
    return unit.name_of(function) if function is not None else ""


def _uses(unit: Reader, name: str, hops: int, *, element: bool = False, call: bool = False) -> set[str | None]:
    """The connectors of the configs whose role is ``name``, an ``element`` of it, or what a ``call`` of it gives back."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        return set()
    return unit.kept(("fed", name, element, call, hops), None, partial(_find_uses, unit, name, hops, element, call))


def _find_uses(unit: Reader, name: str, hops: int, element: bool, call: bool) -> set[str | None]:
    found: set[str | None] = set()
    s = unit.t.s
    for i in islice(occurrences(s, name), MANY):
        if (
            re.match(r"\w", s[i + len(name) : i + len(name) + 1])
            or (s[i - 1 : i] == "." and not s[:i].endswith(("self.", "this.")))
            or re.match(r"\w", s[i - 1 : i])
        ):
            continue
        node = unit.at(i, len(name))
        if node.type == "string_content":
            continue
        if _in_macro(node):
            found |= _macro(unit, i, name, element or call)
            continue
        if node.type not in _NAMES:
            continue
        taken = _taken(unit, node, element, call)
        if taken is not None:
            found |= _given(unit, taken, hops)
    return found


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
    step = node.parent
    if step is None:
        return None
    if element and step.type in _INDEXES and step.named_children[0] == node:
        return _unwrapped(unit, step)
    if step.type in _MEMBERS and element and step.named_children[0] == node:
        called = step.parent
        if called is not None and called.type in unit.spec.call and called.child_by_field_name("function") == step:
            return _unwrapped(unit, called) if _LOOKS_UP.search(unit.called(called)) else None
        return step
    if call and step.type in unit.spec.call and step.child_by_field_name("function") == node:
        return _unwrapped(unit, step)
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
            return {near} if near is not None else set()
        return _uses(unit, names[0], hops - 1) if hops else set()
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


def _in_macro(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "token_tree"


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
