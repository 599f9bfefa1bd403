"""Objects that were read from a running cluster and kept in a file: what they were made from is what has to change."""

from __future__ import annotations

from kvroles.evidence.data import Map, Node, Seq
from kvroles.evidence.text import Text
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.yaml import carrier as yaml

_SIGNS = ("resourceVersion", "managedFields", "uid", "status", "selfLink")
_OF_METADATA = frozenset({"uid", "resourceVersion", "managedFields", "selfLink"})  # what only an API server sets
_MANY = 10_000  # objects in a list


def spans(text: Text, lang: str) -> list[tuple[int, int]]:
    """Where in the text of a YAML or JSON file a live object's dump stands, each from its first index to behind its last.

    A live object has an identity or a version that the API server gave it, or a status that is not empty.
    """
    if not any(word in text.s for word in _SIGNS):
        return []
    todo = roots(text, lang)
    out: list[tuple[int, int]] = []
    while todo and len(out) < _MANY:
        node = todo.pop()
        if not isinstance(node, Map):
            continue
        items = node.get("items")
        if isinstance(items, Seq):
            todo += items.items
        elif _live(node):
            out.append((node.start, node.end))
    return out


def roots(text: Text, lang: str) -> list[Node]:
    """The documents of a YAML or JSON text that holds Kubernetes objects; none of any other text."""
    s = text.s
    if lang not in {"yaml", "json"} or "apiVersion" not in s:
        return []
    if lang == "json":
        got = objects.read(text, len(s) - len(s.lstrip()))
        return [got[0]] if got is not None else []
    return list(yaml.roots(text))


def _live(obj: Map) -> bool:
    if obj.scalar("apiVersion") is None or obj.scalar("kind") is None:
        return False
    metadata, status = obj.get("metadata"), obj.get("status")
    if isinstance(metadata, Map) and any(k.value in _OF_METADATA for k, _ in metadata.pairs):
        return True
    return isinstance(status, Map) and bool(status.pairs)
