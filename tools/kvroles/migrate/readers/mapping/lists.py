"""Kubernetes objects that one list holds: each is a document of its own, as behind ``---``."""

from __future__ import annotations

from collections.abc import Iterator

from kvroles.evidence.data import Map, Node, Seq


def documents(root: Node) -> Iterator[Node]:
    """The objects of a list of objects, of lists in it as well; of anything else, itself."""
    todo = [root]
    while todo:
        node = todo.pop()
        items = node.get("items") if isinstance(node, Map) and (node.scalar("kind") or "").endswith("List") else None
        if isinstance(items, Seq):
            todo += reversed(items.items)
        else:
            yield node
