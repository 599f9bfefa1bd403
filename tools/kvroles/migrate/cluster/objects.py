"""Kubernetes objects: what each is called, what it was made from, and which of its fields a place stands in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kvroles.evidence.data import Map, Node, Scalar, Seq

# An annotation or a label -> what wrote the object, so that it is changed there: {} is the value.
_MANAGERS = {
    "meta.helm.sh/release-name": "Helm release {}",
    "helm.toolkit.fluxcd.io/name": "Flux HelmRelease {}",
    "kustomize.toolkit.fluxcd.io/name": "Flux Kustomization {}",
    "argocd.argoproj.io/tracking-id": "Argo CD application {}",
    "argocd.argoproj.io/instance": "Argo CD application {}",
}


class Name(NamedTuple):
    """What an object is called; ``namespace`` is empty for one of the whole cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


class Object(NamedTuple):
    """An object and where it is made: ``made_by`` is its owner or what wrote it, in words, or empty."""

    name: Name
    made_by: str = ""

    def __str__(self) -> str:
        return f"{self.name}, made by {self.made_by}" if self.made_by else str(self.name)


def of_mapping(data: Mapping[str, Any]) -> Object | None:
    """The object that ``data`` is, parsed JSON or YAML; None if it is none."""
    metadata = data.get("metadata")
    kind = data.get("kind")
    if not isinstance(kind, str) or not isinstance(metadata, Mapping) or not isinstance(data.get("apiVersion"), str):
        return None
    text = {k: _whole(v) for k, v in metadata.items() if isinstance(v, str)}
    name = Name(
        _whole(kind), text.get("namespace", ""), text.get("name") or text.get("generateName", "") or "(no name)"
    )
    owners = metadata.get("ownerReferences")
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, Mapping) and owner.get("controller") is True:
            return Object(name, _whole(f"{owner.get('kind', '?')} {owner.get('name', '?')}"))
    for key, words in _MANAGERS.items():
        for where in ("annotations", "labels"):
            table = metadata.get(where)
            if isinstance(table, Mapping) and isinstance(table.get(key), str):
                return Object(name, words.format(_whole(str(table[key])).partition(":")[0]))
    return Object(name)


def _whole(text: str) -> str:
    """``text`` with a question mark for half a character, which JSON can say and no file name and no report can hold."""
    return text.encode("utf-8", "replace").decode()


def of_node(node: Map) -> Object | None:
    """The same of a mapping in parsed text."""
    head: dict[str, Any] = {key: node.scalar(key) for key in ("apiVersion", "kind")}
    metadata = node.get("metadata")
    if isinstance(metadata, Map):
        head["metadata"] = _plain(metadata, 4)
    return of_mapping(head)


def _plain(node: Node, depth: int) -> Any:
    if isinstance(node, Scalar):
        return True if node.value == "true" and not node.quoted else node.value
    if isinstance(node, Map) and depth:
        return {k.value: _plain(v, depth - 1) for k, v in node.pairs}
    if isinstance(node, Seq) and depth:
        return [_plain(v, depth - 1) for v in node.items]
    return None


def field(node: Node, at: int) -> str:
    """The field of ``node`` that index ``at`` of the text stands in: ``spec.containers[0].args[1]``."""
    out = ""
    while True:
        if isinstance(node, Map):
            for key, value in node.pairs:
                if key.start <= at < max(value.end, key.end):
                    out += f".{key.value}"
                    node = value
                    break
            else:
                return out.removeprefix(".")
        elif isinstance(node, Seq):
            for n, item in enumerate(node.items):
                if item.start <= at < item.end:
                    out += f"[{n}]"
                    node = item
                    break
            else:
                return out.removeprefix(".")
        else:
            return out.removeprefix(".")
