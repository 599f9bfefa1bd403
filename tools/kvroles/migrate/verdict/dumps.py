"""Objects that were read from a running cluster or server and kept in a file: what they were made from is what has to change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvroles.evidence.data import Map, Node, Seq
from kvroles.evidence.text import Text
from kvroles.migrate.readers.mapping import lists, objects
from kvroles.migrate.readers.yaml import reader as yaml

_SIGNS = ("resourceVersion", "managedFields", "uid", "status", "selfLink")
_OF_METADATA = frozenset({"uid", "resourceVersion", "managedFields", "selfLink"})  # what only an API server sets
# What only the server sets, of containers (docker inspect), of ECS (describe-task-definition) and of Nomad (job inspect), and the
# key of the answer that the object stands at.
_OF_OTHERS = (
    ("", frozenset({"Id", "Created", "State"})),
    ("taskDefinition", frozenset({"taskDefinitionArn", "revision"})),
    ("Job", frozenset({"CreateIndex", "JobModifyIndex"})),
)
_LANGUAGES = frozenset({"yaml", "json"})
_MANY = 10_000  # objects in a list


def spans(text: Text, lang: str) -> list[tuple[int, int]]:
    """Where in the text of a YAML or JSON file a live object's dump stands, each from its first index to behind its last.

    A live object has an identity or a version that the API server gave it, or a status that is not empty.
    """
    if lang == "json" and (of := next((row for row in _OF_OTHERS if all(f'"{k}"' in text.s for k in row[1])), None)):
        return [(n.start, n.end) for n in _answered(text, *of)]
    if lang not in _LANGUAGES or not any(word in text.s for word in _SIGNS):
        return []
    return list(islice(((n.start, n.end) for n in each(text, lang) if _live(n)), _MANY))


def _answered(text: Text, key: str, signs: frozenset[str]) -> Iterator[Map]:
    """The objects of a server's answer, alone or in a list, at ``key`` of each if it has one, that have all of ``signs``."""
    got = objects.read(text, len(text.s) - len(text.s.lstrip()))
    root = got[0] if got is not None else None
    for node in islice(root.items, _MANY) if isinstance(root, Seq) else (root,):
        held = node.get(key) if key and isinstance(node, Map) else node
        held = held if isinstance(held, Map) else node
        if isinstance(held, Map) and signs <= {k.value for k, _ in held.pairs}:
            yield held


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
