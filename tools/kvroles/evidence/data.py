"""Trees of mappings, sequences and scalars with their places: what YAML, JSON, TOML and dict literals have in common."""

from __future__ import annotations

from collections.abc import Iterator

from kvroles.evidence.text import Text


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


class Seq:
    __slots__ = ("anchor", "end", "flow", "items", "start")

    def __init__(
        self, items: list[Node] | None = None, start: int = 0, end: int = 0, anchor: str = "", flow: bool = False
    ) -> None:
        self.items = items if items is not None else []
        self.start = start
        self.end = end
        self.anchor = anchor
        self.flow = flow


class Map:
    __slots__ = ("anchor", "end", "flow", "pairs", "start")

    def __init__(self, start: int = 0, end: int = 0, anchor: str = "", flow: bool = False) -> None:
        self.pairs: list[tuple[Scalar, Node]] = []
        self.start = start
        self.end = end
        self.anchor = anchor
        self.flow = flow

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
        node = _holding(node, target)
    return path


def _holding(node: Node, target: int) -> Node | None:
    """The child of ``node`` whose source span holds index ``target``."""
    if isinstance(node, Map):
        for key, value in node.pairs:
            if value.start <= target < value.end:
                return value
            if key.start <= target < key.end:
                return key
    elif isinstance(node, Seq):
        for item in node.items:
            if item.start <= target < item.end:
                return item
    return None
