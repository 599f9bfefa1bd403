"""One PowerShell text: its syntax tree, and what its words, hash tables and variables hold."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from tree_sitter import Node

from kvroles.evidence.data import Map, Scalar, Seq
from kvroles.evidence.frames import Scope
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.powershell.choices import Choice, choices
from kvroles.migrate.readers.powershell.quoting import undoubled, unescaped

STRINGS = frozenset(
    {"verbatim_string_characters", "expandable_string_literal", "verbatim_here_string_characters"}
    | {"expandable_here_string_literal"}
)
_APART = frozenset({"hash_literal_body", "script_block"})  # what stands in these is no word of what they stand in
_DATA = STRINGS | {"hash_literal_body", "array_expression", "decimal_integer_literal", "variable"}
_TRUTHS = frozenset({"$true", "$false"})
_WORDS = STRINGS | {"generic_token", "command_parameter", "variable", "decimal_integer_literal"}
# A line that sets a variable to one string without an expansion.
SET = regex(
    r"(?im)^[ \t]*(?:\[\w+\]\s*)?\$(?:env:|script:|global:)?(\w+)\s*=\s*(?:\"([^\"$`\n]*)\"|'([^'\n]*)')[ \t\r]*(?:;[ \t\r]*)?$"
)


_APART_MARK = regex(r"(?<=[ \t])--(?=\s)")


class Source:
    """One script ``t`` with the owner ``up`` in a file."""

    def __init__(self, t: Text, up: Scope, file: File) -> None:
        self.t = t
        self.up = up
        self.ctx = file
        self.choices = list(choices(t.s))
        masked = bytearray(t.ascii())
        for choice in self.choices:  # the grammar lacks ``c ? a : b``: masked, it is parsed as the list ``c , a , b``
            masked[choice.mark] = masked[choice.colon] = ord(",")
        apart = [m.start() for m in _APART_MARK.finditer(t.s)]
        for i in apart:  # nor does it know the ``--`` of a command
            masked[i : i + 2] = b"__"
        self.root = grammar.parse("powershell", t, masked=bytes(masked) if self.choices or apart else None)

    def _choice(self, node: Node) -> Choice | None:
        """The ``c ? a : b`` of which a node is a value; None if it is of none."""
        n = bisect_right(self.choices, node.start_byte, key=lambda c: c.start) - 1
        return self.choices[n] if n >= 0 and self.choices[n].index_of(node.start_byte) is not None else None

    def _text(self, node: Node) -> Text:
        """The text of a word without its quotes and escapes; a variable stays as it is written."""
        a, b = node.start_byte, node.end_byte
        match node.type:
            case "verbatim_string_characters":
                return undoubled(self.t.slice(a + 1, b - 1), "'")
            case "expandable_string_literal":
                return unescaped(undoubled(self.t.slice(a + 1, b - 1), '"'))
            case "verbatim_here_string_characters":
                return self.t.slice(a + 2, b - 2)
            case "expandable_here_string_literal":
                return unescaped(self.t.slice(a + 2, b - 2))
        return self.t.slice(a, b)

    def _words(self, node: Node) -> list[Node]:
        """The words of a command, its name first, or of a list; empty for any other node."""
        if node.type == "command":
            return inner_nodes(node, _WORDS | {"command_name"})
        if node.type == "array_literal_expression" and node.named_child_count > 1 and not inner_nodes(node, _APART):
            return inner_nodes(node, _WORDS)
        return []

    def _key(self, entry: Node) -> str:
        """The key of a hash table's entry, without quotes."""
        key = next((c for c in entry.named_children if c.type == "key_expression"), None)
        return grammar.text(self.t, key).strip("\"'") if key is not None else ""

    def _mapping(self, body: Node | None) -> Map:
        """The entries of a hash table as a mapping."""
        m = Map(*((body.start_byte, body.end_byte) if body is not None else (0, 0)))
        for entry in body.named_children if body is not None else ():
            if entry.type != "hash_entry" or len(entry.named_children) < 2:
                continue
            key, value = entry.named_children[0], entry.named_children[-1]
            node = self._data(value)
            m.pairs.append(
                (Scalar(Text(self._key(entry), self.t.at(key.start_byte)), key.start_byte, key.end_byte), node)
            )
        return m

    def _data(self, value: Node) -> Map | Seq | Scalar:
        """A value as data; one that is no table, list, string, number or truth becomes a placeholder."""
        node = _core(value)
        a, b = node.start_byte, node.end_byte
        if node.type == "hash_literal_body":
            return self._mapping(node)
        if node.type == "array_expression" or _is_list(node):
            return Seq([self._data(item) for item in _items(node)], a, b, flow=True)
        if node.type in STRINGS:
            return Scalar(self._text(node), value.start_byte, value.end_byte)
        source = grammar.text(self.t, node)
        if node.type == "decimal_integer_literal" or source.lower() in _TRUTHS:
            return Scalar(Text(source.lstrip("$").lower(), self.t.at(a)), value.start_byte, value.end_byte)
        placeholder = Text("$" + grammar.text(self.t, value)[:60], self.t.at(value.start_byte))
        return Scalar(placeholder, value.start_byte, value.end_byte)

    def _target(self, assignment: Node) -> str:
        """The variable that an assignment sets, ``KV_ROLE`` for ``$env:KV_ROLE``; empty if it sets an item or a member."""
        source = grammar.text(self.t, assignment).split("=", 1)[0]
        m = re.match(r"\s*(?:\[[\w.]+\]\s*)?\$(?:\{?(?:env|script|global|local):)?(\w+)\}?\s*\+?$", source, re.I)
        return m.group(1) if m is not None else ""

    @cached_property
    def _values(self) -> list[tuple[str, str]]:
        """The script's variables that are set to a plain string, each time with that."""
        return [(m[1], m[3] if m[2] is None else m[2]) for m in SET.finditer(self.t.s)]

    @cached_property
    def _connectors(self) -> list[tuple[str, str]]:
        """The first ``MANY`` of these variables that name a connector."""
        return [(key, value) for key, value in self._values if connectors.is_connector_key(key)][:MANY]

    def value_of(self, name: str) -> str | None:
        """The one plain string that a variable is set to, or None."""
        found = {value for key, value in self._values if key.lower() == name.lower()}
        return found.pop() if len(found) == 1 else None


def inner_nodes(node: Node, types: frozenset[str] | set[str]) -> list[Node]:
    """The outermost nodes below ``node`` whose type is one of ``types``, in order; not those in its tables and script blocks."""
    out: list[Node] = []
    todo = [node]
    while todo:
        n = todo.pop()
        if n.type in types and n != node:
            out.append(n)
        elif n == node or n.type not in _APART:
            todo += reversed(n.named_children)
    return out


def _core(node: Node) -> Node:
    """What an expression of one operand holds, without a cast to a type."""
    while node.type == "cast_expression" or (node.named_child_count == 1 and node.type not in _DATA):
        inner = node.named_children[-1]
        if node.type == "expression_with_unary_operator" and inner.type != "cast_expression":
            break  # -not $x
        node = inner
    return node


def _items(node: Node) -> list[Node]:
    """The items of a list: of ``a, b``, of ``@(a, b)``, and of ``@(...)`` with a line for each."""
    if node.type != "array_expression":
        return list(node.named_children)
    lines = [_core(line) for held in node.named_children for line in held.named_children]
    return [item for line in lines for item in (_items(line) if _is_list(line) else [line])]


def _is_list(node: Node) -> bool:
    return node.type == "array_literal_expression" and node.named_child_count > 1
