"""Objects that were read from a running cluster and kept in a file: what they were made from is what has to change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvroles.evidence.data import Map, Node
from kvroles.evidence.text import Text
from kvroles.migrate.readers.mapping import lists, objects
from kvroles.migrate.readers.yaml import reader as yaml

_SIGNS = ("resourceVersion", "managedFields", "uid", "status", "selfLink")
_OF_METADATA = frozenset({"uid", "resourceVersion", "managedFields", "selfLink"})  # what only an API server sets
_LANGUAGES = frozenset({"yaml", "json"})
_MANY = 10_000  # objects in a list


def spans(text: Text, lang: str) -> list[tuple[int, int]]:
    """Where in the text of a YAML or JSON file a live object's dump stands, each from its first index to behind its last.

    A live object has an identity or a version that the API server gave it, or a status that is not empty.
    """
    if lang not in _LANGUAGES or not any(word in text.s for word in _SIGNS):
        return []
    return list(islice(((n.start, n.end) for n in each(text, lang) if _live(n)), _MANY))


def each(text: Text, lang: str) -> Iterator[Map]:
    """The mappings that are documents of a YAML or JSON text with Kubernetes objects, or stand in a list that is one."""
    s = text.s
    if lang not in _LANGUAGES or "apiVersion" not in s:
        return
    roots: list[Node] = []
    if lang == "yaml":
        roots = yaml.roots(text)
    elif (got := objects.read(text, len(s) - len(s.lstrip()))) is not None:
        roots = list(lists.documents(got[0]))
    yield from (node for node in roots if isinstance(node, Map))


def _live(obj: Map) -> bool:
    if obj.scalar("apiVersion") is None or obj.scalar("kind") is None:
        return False
    metadata, status = obj.get("metadata"), obj.get("status")
    if isinstance(metadata, Map) and any(k.value in _OF_METADATA for k, _ in metadata.pairs):
        return True
    return isinstance(status, Map) and bool(status.pairs)
