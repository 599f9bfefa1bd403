"""tree-sitter grammars, loaded when a file needs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec

from tree_sitter import Language, Node, Parser, Range

from kvroles.evidence.text import Text

MAX_NODES_DEEP = 400
_HELD = re.compile(rb"\S")
_IN_ONE = {"typescript": ("typescript", "language_typescript"), "tsx": ("typescript", "language_tsx")}


@cache
def parser(name: str) -> Parser:
    """The parser of one grammar.

    Only the compiled module is loaded: the package around it imports half of ``importlib`` for query files that are not
    used here, which takes longer than to parse a dozen scripts. Raises ``ImportError`` if the grammar is not installed.
    """
    library, function = _IN_ONE.get(name, (name, "language"))
    package = find_spec(f"tree_sitter_{library}")
    inside = None if package is None else PathFinder.find_spec("_binding", package.submodule_search_locations)
    if inside is None or inside.loader is None:
        raise ModuleNotFoundError(f"No module named 'tree_sitter_{library}'", name=f"tree_sitter_{library}")
    binding = module_from_spec(inside)
    inside.loader.exec_module(binding)
    return Parser(Language(getattr(binding, function)()))


# What was parsed last: a text that is read for several owners, one after another, is parsed once.
_last: list[tuple[str, bytes, Node]] = []


def parse(name: str, t: Text, masked: bytes | None = None, hidden: Sequence[tuple[int, int]] = ()) -> Node:
    """The root node of ``t``; its byte offsets are indices of ``t.s``. The ``hidden`` stretches, in order, are not read.

    Raises ``RecursionError`` if a token lies deeper than anything a person wrote: climbing out of it would take forever.
    """
    source = t.ascii() if masked is None else masked
    if not hidden and _last and _last[0][0] == name and _last[0][1] == source:
        return _last[0][2]
    reader = parser(name)
    if hidden:
        source, reader.included_ranges = _without(source, hidden)
    root = reader.parse(source).root_node
    if hidden:
        reader.included_ranges = []
    for i in t.tokens():
        cursor = root.walk()
        for _ in range(MAX_NODES_DEEP):
            if cursor.goto_first_child_for_byte(i) is None:
                break
        else:
            raise RecursionError(f"nested deeper than {MAX_NODES_DEEP}")
    _last[:] = [] if hidden else [(name, source, root)]
    return root


def _without(source: bytes, hidden: Sequence[tuple[int, int]]) -> tuple[bytes, list[Range]]:
    """What is left of Python's ``source``, with a ``pass`` where each hidden stretch begins: a class or branch of nothing
    else still has a body."""
    out = bytearray(source)
    shown: list[Range] = []
    start = row = 0
    for a, b in [*hidden, (len(source), len(source))]:
        held = _HELD.search(source, a, b)
        first = held.start() if held is not None else b
        end = a
        if first + 5 <= b:
            end = first + 5
            out[first:end] = b"pass\n"
        below = row + source.count(b"\n", start, end)
        shown.append(Range((row, 0), (below, 0), start, end))
        start, row = b, below + source.count(b"\n", end, b)
    return bytes(out), shown


def at(root: Node, i: int, n: int = 1) -> Node:
    """The smallest node that holds indices ``i`` to ``i + n``."""
    return root.descendant_for_byte_range(i, i + n) or root


def owners(node: Node) -> Iterator[Node]:
    """``node`` and its ancestors, innermost first."""
    current: Node | None = node
    while current is not None:
        yield current
        current = current.parent


def unwrapped(node: Node, through: frozenset[str]) -> Node:
    """``node`` without what wraps one node and is of a type in ``through``, such as brackets."""
    while node.type in through and node.named_child_count == 1:
        node = node.named_children[0]
    return node


def text(t: Text, node: Node) -> str:
    """The source of a node."""
    return t.s[node.start_byte : node.end_byte]
