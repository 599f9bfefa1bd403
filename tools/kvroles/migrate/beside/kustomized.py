"""What Kustomize's replacements do with an object of a file beside them or one folder down: put a part of it into the other
side's, or set anew what says its side."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import PD, mentioned
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import mentions
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.yaml.events import NotYamlError, documents

FILES = frozenset({"kustomization.yaml", "kustomization.yml"})
_SIGNS = ("targets", "fieldPath")
_PARTS = regex(r"\[[^\]\n]*\]|(?:\\.|[^.\[\]\n])+")
_NAMED = regex(r"\[name=([\w.-]+)\]")


def called(cues: Iterable[Cue]) -> set[str]:
    """The names of the objects that cues tell of."""
    return {cue.words.removeprefix("name: ") for cue in cues if kinds.key_of(cue) == "name"}


def taken(ctx: FileCtx, names: set[str], keys: set[str], side: Side) -> Cue | None:
    """The cue that what stands below one of ``keys`` in the object of one of ``names``, of ``side``, is put into an object
    of the other side."""
    for file, given in _replacements(ctx):
        source = given.get("source")
        if not isinstance(source, Map) or source.scalar("name") not in names:
            continue
        if _last(source.scalar("fieldPath") or "") not in keys:
            continue
        taker = next((name for name, _ in _targets(given) if mentioned(name) & set(PD) == {side.other}), None)
        if taker is not None:
            return kinds.EXTENDED.cue(Side.SHARED, f"{file}: {taker} takes {source.scalar('name')}")
    return None


def anew(ctx: FileCtx, names: set[str], keys: set[str], side: Side) -> tuple[str, str] | None:
    """The file whose replacements set one of ``keys`` of the object of one of ``names`` anew, and not from what is of ``side``.
    Where no name is known, any object that the file names is meant."""
    for file, given in _replacements(ctx):
        source = given.get("source")
        said = " ".join(v.value for _, v in source.pairs if isinstance(v, Scalar)) if isinstance(source, Map) else ""
        if mentioned(said) & set(PD) == {side}:
            continue
        for name, fields in _targets(given):
            meant = not name or (name in names if names else mentions.names(ctx.text.s, name))
            if meant and not keys.isdisjoint(map(_last, fields)):
                return "file", file
    return None


def _replacements(ctx: FileCtx) -> Iterator[tuple[str, Map]]:
    """The replacements that may reach an object of the file, each with the name of the file that it stands in."""
    folder = os.path.dirname(ctx.path)
    above = [os.path.join(folder, "..")] if "/" in ctx.name else []
    for where in [folder, *above] if ctx.path != "-" else []:
        if FILES.isdisjoint(neighbours.names(os.path.join(where, "x"))):
            continue
        for path in neighbours.entries(where, lambda e: e.name.endswith((".yaml", ".yml")))[: neighbours.MANY]:
            for given in _held(path):
                yield os.path.basename(path), given


@neighbours.once
def _held(path: str) -> list[Map]:
    """The replacements that a file holds."""
    s = neighbours.text(path)
    if not all(sign in s for sign in _SIGNS):
        return []
    try:
        return [item for root in documents(Text(s)) for item in _listed(root)]
    except NotYamlError:
        return []


def _listed(root: Node) -> list[Map]:
    """The replacements of a document: of a kustomization, of a list of them, or the one that it is."""
    held = root.get("replacements") if isinstance(root, Map) and root.get("source") is None else root
    found = held.items if isinstance(held, Seq) else [held]
    return [item for item in found[:MANY] if isinstance(item, Map)]


def _targets(given: Map) -> Iterator[tuple[str, list[str]]]:
    """The name of each object that is given something, empty if it is any of its kind, with the paths of what is set there."""
    targets = given.get("targets")
    for target in targets.items[:MANY] if isinstance(targets, Seq) else []:
        select, fields = (target.get("select"), target.get("fieldPaths")) if isinstance(target, Map) else (None, None)
        if isinstance(select, Map):
            name = select.scalar("name") or ""
            yield name, [f.value for f in _scalars(fields.items if isinstance(fields, Seq) else [])]


def _scalars(nodes: Iterable[Node]) -> list[Scalar]:
    return [node for node in nodes if isinstance(node, Scalar)]


def _last(path: str) -> str:
    """The key that a path of Kustomize's ends in, numbers of lists aside; of a variable's value the variable."""
    parts = [p for p in _PARTS.findall(path) if not p.isdigit() and p != "*"]
    named = _NAMED.fullmatch(parts[-2]) if len(parts) > 1 and parts[-1] == "value" else None
    return named[1] if named is not None else re.sub(r"\\(.)", r"\1", parts[-1]) if parts else ""
