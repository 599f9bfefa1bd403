"""Trees of mappings, sequences and scalars with their places: what YAML, JSON, TOML and dict literals have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvroles.migrate.text import Text


@dataclass(slots=True)
class Scalar:
    """A leaf: ``text`` is its decoded value with the places of its characters; ``start``/``end`` span its source."""

    text: Text
    start: int
    end: int
    quoted: bool = False
    block: bool = False
    anchor: str = ""
    exact: bool = True  # False: the value could not be laid over its source, so its places mean nothing

    @property
    def value(self) -> str:
        return self.text.s


@dataclass(slots=True)
class Alias:
    """A YAML ``*name``: stands for the anchored node."""

    name: str
    start: int
    end: int
    anchor: str = ""


@dataclass(slots=True)
class Seq:
    items: list[Node] = field(default_factory=list)
    start: int = 0
    end: int = 0
    anchor: str = ""
    flow: bool = False


@dataclass(slots=True)
class Map:
    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)
    start: int = 0
    end: int = 0
    anchor: str = ""
    flow: bool = False

    def get(self, key: str) -> Node | None:
        """The value of the first pair with that key."""
        for k, v in self.pairs:
            if k.value == key:
                return v
        return None

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
        elif type(n) is Seq:
            stack += n.items
    return out


def path_to(root: Node, target: int) -> list[Node]:
    """The nodes from ``root`` down to the leaf whose source span holds index ``target`` (keys included as leaves)."""
    path: list[Node] = []
    node: Node | None = root
    while node is not None:
        path.append(node)
        children: list[Node] = []
        if isinstance(node, Map):
            children = [c for pair in node.pairs for c in pair]
        elif isinstance(node, Seq):
            children = node.items
        node = next((c for c in children if c.start <= target < c.end), None)
    return path
