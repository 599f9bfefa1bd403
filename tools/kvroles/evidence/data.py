"""Trees of mappings, sequences and scalars with their places: what YAML, JSON, TOML and dict literals have in common."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple, TypeVar

from kvroles.evidence.text import Text

_T = TypeVar("_T")
_FEW = 16  # up to so many children, looking through all is as quick as an index of them


class Scalar:
    """A leaf: ``text`` is its decoded value with the places of its characters; ``start``/``end`` span its source."""

    __slots__ = ("anchor", "block", "end", "exact", "quoted", "start", "text")

    def __init__(
        self,
        text: Text,
        start: int,
        end: int,
        quoted: bool = False,
        block: bool = False,
        anchor: str = "",
        exact: bool = True,
    ) -> None:
        self.text = text
        self.start = start
        self.end = end
        self.quoted = quoted
        self.block = block
        self.anchor = anchor
        self.exact = exact  # False: the value could not be laid over its source, so its places mean nothing

    @property
    def value(self) -> str:
        return self.text.s


class Alias:
    """A YAML ``*name``: stands for the anchored node."""

    __slots__ = ("anchor", "end", "name", "start")

    def __init__(self, name: str, start: int, end: int) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.anchor = ""


class _Known(NamedTuple):
    """What was computed from a node's children, by name, and how many children there were then."""

    children: int
    made: dict[Hashable, Any]


class _Holder:
    """A node with children. What is asked of them again and again is computed once, and anew when their number has changed."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: _Known | None = None

    def _kept(self, name: Hashable, children: int, make: Callable[[], _T]) -> _T:
        if self._known is None or self._known.children != children:
            self._known = _Known(children, {})
        made = self._known.made
        if name not in made:
            made[name] = make()
        found: _T = made[name]
        return found


class Seq(_Holder):
    """A list; ``start``/``end`` span its source, ``flow`` if it is written in brackets."""

    __slots__ = ("anchor", "end", "flow", "items", "start")

    def __init__(
        self, items: list[Node] | None = None, start: int = 0, end: int = 0, anchor: str = "", flow: bool = False
    ) -> None:
        super().__init__()
        self.items = items if items is not None else []
        self.start = start
        self.end = end
        self.anchor = anchor
        self.flow = flow

    def kept(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """``make()``, which depends on the items alone: called once for ``name`` while their number stays the same."""
        return self._kept(name, len(self.items), make)


class Choice(Seq):
    """Values of which a condition takes one."""

    __slots__ = ()


class Map(_Holder):
    """A mapping, as its pairs in order: a key may come twice. ``start``/``end`` and ``flow`` as of a Seq."""

    __slots__ = ("anchor", "end", "flow", "pairs", "start")

    def __init__(self, start: int = 0, end: int = 0, anchor: str = "", flow: bool = False) -> None:
        super().__init__()
        self.pairs: list[tuple[Scalar, Node]] = []
        self.start = start
        self.end = end
        self.anchor = anchor
        self.flow = flow

    def get(self, key: str) -> Node | None:
        """The value of the first pair with that key."""
        if len(self.pairs) > _FEW:
            return self.kept("keys", lambda: {k.value: v for k, v in reversed(self.pairs)}).get(key)
        for k, v in self.pairs:
            if k.value == key:
                return v
        return None

    def pair_of(self, child: Node) -> tuple[Scalar, Node] | None:
        """The first pair that ``child`` is the key or the value of."""
        if len(self.pairs) > _FEW:
            return self.kept("children", lambda: {id(c): p for p in reversed(self.pairs) for c in p}).get(id(child))
        return next((p for p in self.pairs if p[1] is child or p[0] is child), None)

    def kept(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """``make()``, which depends on the pairs alone: called once for ``name`` while their number stays the same."""
        return self._kept(name, len(self.pairs), make)

    def scalar(self, key: str) -> str | None:
        """The value of ``key`` if it is a scalar."""
        node = self.get(key)
        return node.value if isinstance(node, Scalar) else None


Node = Scalar | Alias | Seq | Map


def walk(node: Node) -> Iterator[Node]:
    """Every node below and including ``node``, without recursion."""
    stack: list[Node] = [node]
    while stack:
        n = stack.pop()
        yield n
        if isinstance(n, Map):
            for k, v in n.pairs:
                stack.append(k)
                stack.append(v)
        elif isinstance(n, Seq):
            stack.extend(n.items)


def scalars_with(root: Node, word: str) -> list[Scalar]:
    """The scalars below ``root``, keys included, that hold ``word``."""
    out: list[Scalar] = []
    stack: list[Node] = [root]
    while stack:
        n = stack.pop()
        if type(n) is Scalar:
            if word in n.text.s:
                out.append(n)
        elif type(n) is Map:
            for pair in n.pairs:
                stack += pair
        elif isinstance(n, Seq):
            stack += n.items
    return out


def path_to(root: Node, target: int) -> list[Node]:
    """The nodes from ``root`` down to the leaf whose source span holds index ``target`` (keys included as leaves)."""
    path: list[Node] = []
    node: Node | None = root
    while node is not None:
        path.append(node)
        node = _holding(node, target)
    return path


def _holding(node: Node, target: int) -> Node | None:
    """The child of ``node`` whose source span holds index ``target``."""
    if isinstance(node, Map):
        if len(node.pairs) > _FEW:
            return node.kept("spans", lambda: _Spans([c for k, v in node.pairs for c in (v, k)])).at(target)
        for key, value in node.pairs:
            if value.start <= target < value.end:
                return value
            if key.start <= target < key.end:
                return key
    elif isinstance(node, Seq):
        if len(node.items) > _FEW:
            return node.kept("spans", lambda: _Spans(node.items)).at(target)
        for item in node.items:
            if item.start <= target < item.end:
                return item
    return None


class _Spans:
    """Which of many children an index is in: the first, where some lie round others."""

    def __init__(self, children: list[Node]) -> None:
        spans = sorted((c.start, c.end, n) for n, c in enumerate(children) if c.start < c.end)
        self._children = children
        self._apart: list[tuple[int, int, int]] = []  # spans that overlap no other: found by bisection
        self._round: list[tuple[int, int, int]] = []  # spans that overlap one: looked through
        for n, span in enumerate(spans):
            inside = self._apart and span[0] < self._apart[-1][1]
            reaches = n + 1 < len(spans) and span[1] > spans[n + 1][0]
            (self._round if inside or reaches else self._apart).append(span)
        self._starts = [start for start, _, _ in self._apart]

    def at(self, target: int) -> Node | None:
        """The first child whose span holds ``target``."""
        n = bisect_right(self._starts, target) - 1
        found = [span[2] for span in self._round if span[0] <= target < span[1]]
        if n >= 0 and target < self._apart[n][1]:
            found.append(self._apart[n][2])
        return self._children[min(found)] if found else None
