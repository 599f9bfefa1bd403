"""As much of ``tree_sitter`` as ``migrate`` uses, over trees that web-tree-sitter makes.

The page's script parses, and hands over each tree as a list of numbers: for every node in pre-order its kind, its first
byte and the byte after its last, its rows and columns, whether it is named, its field, and how deep it lies. Sources are
ASCII (``Text.ascii``), so a byte is a character.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kv_grammars  # type: ignore[import-not-found] # registered by the page's script

_FIGURES = 10  # of each node


class Node:
    """A node of a tree. Two are equal if they are the same node."""

    __slots__ = (
        *("_field", "_index", "children", "is_named", "parent", "type"),
        *("end_byte", "end_point", "start_byte", "start_point"),
    )

    def __init__(self, kind: str, field: str, figures: list[int], parent: Node | None) -> None:
        self.type, self._field, self.parent = kind, field, parent
        self.start_byte, self.end_byte = figures[1], figures[2]
        self.start_point, self.end_point = (figures[3], figures[4]), (figures[5], figures[6])
        self.is_named = bool(figures[7])
        self.children: list[Node] = []
        self._index = len(parent.children) if parent is not None else 0

    @property
    def child_count(self) -> int:
        return len(self.children)

    @property
    def named_children(self) -> list[Node]:
        return [c for c in self.children if c.is_named]

    @property
    def named_child_count(self) -> int:
        return len(self.named_children)

    def child_by_field_name(self, name: str) -> Node | None:
        return next((c for c in self.children if c._field == name), None)

    @property
    def prev_sibling(self) -> Node | None:
        return next(self._before(), None)

    @property
    def next_sibling(self) -> Node | None:
        return next(self._after(), None)

    @property
    def next_named_sibling(self) -> Node | None:
        return next((n for n in self._after() if n.is_named), None)

    @property
    def prev_named_sibling(self) -> Node | None:
        return next((n for n in self._before() if n.is_named), None)

    def descendant_for_byte_range(self, start: int, end: int) -> Node | None:
        """The smallest node that holds the bytes from ``start`` to ``end``."""
        node = self
        while True:
            for child in node.children:
                if child.end_byte < end or (child.end_byte <= start and child.start_byte < child.end_byte):
                    continue
                inside = child if child.start_byte <= start else None
                break
            else:
                inside = None
            if inside is None:
                return node
            node = inside

    def walk(self) -> _Cursor:
        return _Cursor(self)

    def _after(self) -> Iterator[Node]:
        return iter(self.parent.children[self._index + 1 :] if self.parent is not None else ())

    def _before(self) -> Iterator[Node]:
        return reversed(self.parent.children[: self._index] if self.parent is not None else [])


class _Cursor:
    def __init__(self, node: Node) -> None:
        self.node = node

    def goto_first_child_for_byte(self, byte: int) -> int | None:
        """Go to the first child that ends behind ``byte``; its number, or None without one."""
        for n, child in enumerate(self.node.children):
            if child.end_byte > byte:
                self.node = child
                return n
        return None


class Range:
    """A stretch of a source. Only sources in Python are parsed in part, and the browser has no grammar for Python."""

    def __init__(self, *_: Any) -> None:
        raise NotImplementedError


class Language:
    """A grammar, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Tree:
    def __init__(self, root: Node) -> None:
        self.root_node = root


class Parser:
    """Parses by the page's script."""

    def __init__(self, language: Language) -> None:
        self._parse = getattr(kv_grammars, language.name)

    def parse(self, source: bytes) -> _Tree:
        made = self._parse(source.decode("ascii"))
        kinds, fields, figures = made.kinds.to_py(), made.fields.to_py(), made.figures.to_py().tolist()
        above: list[Node] = []
        for at in range(0, len(figures), _FIGURES):
            row = figures[at : at + _FIGURES]
            depth = row[9]
            del above[depth:]
            parent = above[-1] if above else None
            node = Node(kinds[row[0]], fields[row[8]] if row[8] >= 0 else "", row, parent)
            if parent is not None:
                parent.children.append(node)
            above.append(node)
        return _Tree(above[0])
