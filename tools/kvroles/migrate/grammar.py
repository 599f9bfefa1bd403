"""tree-sitter grammars, loaded when a file needs them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module

from tree_sitter import Language, Node, Parser

from kvroles.migrate.text import Text

MAX_NODES_DEEP = 400


@cache
def _parser(name: str) -> Parser:
    return Parser(Language(import_module(f"tree_sitter_{name}").language()))


def parse(name: str, t: Text, masked: bytes | None = None) -> Node:
    """The root node of ``t``; its byte offsets are indices of ``t.s``.

    Raises ``RecursionError`` if a token lies deeper than anything a person wrote: climbing out of it would take forever.
    """
    root = _parser(name).parse(t.ascii() if masked is None else masked).root_node
    for i in t.tokens():
        cursor = root.walk()
        for _ in range(MAX_NODES_DEEP):
            if cursor.goto_first_child_for_byte(i) is None:
                break
        else:
            raise RecursionError(f"nested deeper than {MAX_NODES_DEEP}")
    return root


def at(root: Node, i: int, n: int = 1) -> Node:
    """The smallest node that holds indices ``i`` to ``i + n``."""
    return root.descendant_for_byte_range(i, i + n) or root


def owners(node: Node) -> Iterator[Node]:
    """``node`` and its ancestors, innermost first."""
    current: Node | None = node
    while current is not None:
        yield current
        current = current.parent


def text(t: Text, node: Node) -> str:
    """The source of a node."""
    return t.s[node.start_byte : node.end_byte]
