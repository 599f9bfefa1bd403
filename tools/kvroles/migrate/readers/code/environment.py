"""Environment variables that source code sets: ``os.Setenv("KV_ROLE", "kv_both")``, ``{Name: "KV_ROLE", Value: "kv_both"}``."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence.data import Map, Scalar
from kvroles.evidence.patterns import regex
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.code.source import Source

_SETS = regex(r"(?i)(?:^|\.|::)(?:setenv|set_env|set_var|setdefault|setattr|env|with_?env|put|set)$")
_OPTIONS = regex(r"(?:^|\.)(?:add_argument|add_option|option)$")
_OPTION = regex(
    r"(?:add_argument|add_option|option)\s*\([^()]*?[\"'](--[\w-]+)[\"'][^()]*?\bdefault\s*=\s*[\"']([\w.-]+)[\"']"
)


class Set(NamedTuple):
    """A variable that holds a role, and the connector that a variable set in the same way names."""

    name: str
    connector: str | None


def set_by(unit: Source, value: Node, arguments: Node) -> Set | None:
    """What a call sets whose last argument is ``value`` and the one before it the name of a role; None if it is no such call."""
    call = arguments.parent
    if call is None or not _SETS.search(unit.called(call)) or len(arguments.named_children) < 2:
        return None
    name = _word(unit, arguments.named_children[-2])
    last = arguments.named_children[-1]
    if not name or not connectors.is_role_key(name) or not last.start_byte <= value.start_byte < last.end_byte:
        return None
    home = next((o for o in grammar.owners(call) if o.type in unit.spec.function or o.parent is None), unit.root)
    called = unit.called(call).rsplit(".", 1)[-1]
    return Set(
        name, unit.ctx.connector_beside(name, unit.kept(("set", called), home, partial(_set, unit, home, called)))
    )


def _set(unit: Source, home: Node, called: str) -> list[tuple[str, str]]:
    """The connectors that the calls of ``called`` in a function set, as far as anybody writes them by hand."""
    calls = re.compile(
        rf"\b{re.escape(called)}\s*\(\s*(?:\w+\s*,\s*)?[\"']([\w.-]+)[\"']\s*,\s*[\"']([\w.-]+)[\"']"
    ).finditer(unit.t.s, home.start_byte, home.end_byte)
    return list(islice(((m[1], m[2]) for m in calls if connectors.is_connector_key(m[1])), MANY))


def option(unit: Source, pair: Node) -> Set | None:
    """The option whose default ``pair`` is, if that is a role: ``add_argument("--kv-role", default="kv_both")``.
    The connector is that of another option; what the user may replace is it only if it is NIXL's."""
    given = pair.parent
    call = given.parent if given is not None else None
    if given is None or call is None or not _OPTIONS.search(unit.called(call)):
        return None
    name = next((w for c in given.named_children if (w := _flag(unit, c))), "")
    if not connectors.is_role_key(name):
        return None
    pairs = unit.kept("options", None, partial(_options, unit))
    return Set(name.lstrip("-").replace("-", "_"), unit.ctx.connector_beside(name, pairs))


def _options(unit: Source) -> list[tuple[str, str]]:
    """The options whose default is a connector, as far as anybody writes them by hand."""
    found = ((m[1], m[2]) for m in _OPTION.finditer(unit.t.s) if connectors.is_connector_key(m[1]))
    nixl = connectors.Kind.NIXL
    return list(
        islice(((k, v if connectors.kind_of(v) is nixl else "${" + k.strip("-") + "}") for k, v in found), MANY)
    )


def _flag(unit: Source, node: Node) -> str:
    m = re.fullmatch(r"[\"'](--[\w-]+)[\"']", grammar.text(unit.t, node))
    return m[1] if m is not None else ""


def entry(unit: Source, pair: Node) -> Set | None:
    """What an entry of a list of variables sets, whose value is ``pair``; None if its name is no role's."""
    owner = pair.parent
    name = _named(unit.mapping(owner), "name") if owner is not None else None
    if owner is None or name is None or not connectors.is_role_key(name):
        return None
    holder = owner.parent
    while holder is not None and holder.type not in unit.spec.sequence:
        holder = holder.parent
    pairs = unit.kept("entries", holder, partial(_entries, unit, holder)) if holder is not None else []
    return Set(name, unit.ctx.connector_beside(name, pairs))


def _entries(unit: Source, holder: Node) -> list[tuple[str, str]]:
    """The connectors that the entries of a list of variables set, as far as anybody writes them by hand."""
    out: list[tuple[str, str]] = []
    for item in holder.named_children:
        inner = _mapping_in(unit, item)
        key, value = _named(inner, "name"), _named(inner, "value")
        if key is not None and value is not None and connectors.is_connector_key(key):
            out.append((key, value))
    return out[:MANY]


def _mapping_in(unit: Source, item: Node) -> Map:
    """The outermost mapping of a list's item."""
    todo = [item]
    while todo:
        node = todo.pop()
        if node.type in unit.spec.mapping and any(c.type in unit.spec.pair for c in node.named_children):
            return unit.mapping(node)
        todo += node.named_children
    return Map()


def _named(m: Map, key: str) -> str | None:
    return next((v.value for k, v in m.pairs if connectors.plain(k.value) == key and isinstance(v, Scalar)), None)


def _word(unit: Source, node: Node) -> str:
    """The string that a node is; empty if it is none."""
    m = re.fullmatch(r"[\"'`]([\w.-]+)[\"'`]", grammar.text(unit.t, node))
    return m[1] if m is not None else ""
