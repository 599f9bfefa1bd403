"""TOML, by its tree-sitter grammar: tables, dotted keys, all four kinds of strings."""

from __future__ import annotations

import re

from tree_sitter import Node as TsNode

from kvroles.evidence import marks
from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.text import Text
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import ByLine, File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree


class _Toml(ByLine):
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in TOML text."""
        return _read(text, owner, file)


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    root = grammar.parse("toml", t)
    doc = Map(end=len(t.s))
    _pairs(t, root, doc, 0)
    out: list[Site] = []
    within: list[tuple[str, Map]] = []  # the last table and the tables it stands in, each with its header's name
    for child in root.children:
        if child.type in {"table", "table_array_element"}:
            header = next((c for c in child.children if c.type.endswith("key")), None)
            if header is not None:
                table = Map(start=child.start_byte, end=child.end_byte)
                _pairs(t, child, table, 0)
                key = _key(t, header)
                while within and not key.value.startswith(within[-1][0] + "."):
                    within.pop()
                for _, outer in within:
                    outer.end = table.end
                own = key.text.slice(len(within[-1][0]) + 1, len(key.value)) if within else key.text
                (within[-1][1] if within else doc).pairs.append((Scalar(own, key.start, key.end), table))
                within.append((key.value, table))
    out += Tree(doc, t, up, ctx, commented=True).sites()
    known = {s.pos for s in out}
    for i in t.tokens():
        if t.at(i) not in known:
            out.append(Site(t.at(i), up, "comment" if marks.commented(t.s, i, "toml") else "value"))
    return out


def _pairs(t: Text, node: TsNode, m: Map, depth: int) -> None:
    for c in node.children:
        if c.type == "pair" and len(c.named_children) >= 2:
            m.pairs.append((_key(t, c.named_children[0]), _value(t, c.named_children[1], depth)))


def _key(t: Text, node: TsNode) -> Scalar:
    text = t.slice(node.start_byte, node.end_byte)
    if node.type == "quoted_key":
        text = text.slice(1, len(text.s) - 1)
    return Scalar(text, node.start_byte, node.end_byte)


def _value(t: Text, node: TsNode, depth: int) -> Node:
    a, b = node.start_byte, node.end_byte
    if node.type == "inline_table" and depth < 50:
        m = Map(start=a, end=b, flow=True)
        _pairs(t, node, m, depth + 1)
        return m
    if node.type == "array" and depth < 50:
        items = [_value(t, c, depth + 1) for c in node.named_children if c.type != "comment"]
        return Seq(items, a, b, flow=True)
    if node.type == "string":
        s = t.s[a:b]
        mark = next((q for q in ('"""', "'''", '"', "'") if s.startswith(q)), "")
        start = a + len(mark)
        if len(mark) == 3 and (nl := re.match(r"\r?\n", t.s[start : start + 2])):
            start += nl.end()
        inner = t.slice(start, max(start, b - len(mark)))
        return Scalar(objects.unescape(inner) if mark.startswith('"') else inner, a, b, quoted=True)
    return Scalar(t.slice(a, b), a, b)


TOML = _Toml()
