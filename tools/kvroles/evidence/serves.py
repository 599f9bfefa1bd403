"""What in a structured file serves both sides, or may: a target's pattern, a play's hosts, a key that both share."""

from __future__ import annotations

import re

from kvroles.evidence import kinds
from kvroles.evidence.conditions import selector_sides
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.entries import one_side
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import PD, is_shared, mentioned
from kvroles.evidence.patterns import regex

_TARGET = frozenset(
    {"group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector"}
)  # Kustomize's
_EXACT = regex(r"\^?[\w.${}-]*[\w}]\$?")  # a pattern that one name matches, but for its dots
_ANY = regex(r"\.[*+?]")
_DENIES = regex(r"\(\?|\[\^")


def of_target(target: Map) -> list[Cue]:
    """What says that the target of Kustomize's patch is of both sides, of any, or not of one."""
    if not target.pairs or not _TARGET.issuperset(k.value for k, _ in target.pairs):
        return []
    place = target.pairs[0][0].text.at(0)
    name, selector = target.scalar("name") or "", target.scalar("labelSelector") or ""
    if set(mentioned(name)) >= set(PD) and _DENIES.search(name) is None:
        return [kinds.NAME.cue(Side.SHARED, f"name: {name}"[:80], place)]
    if name and _EXACT.fullmatch(name) and _ANY.search(name) is None:
        return []
    asked, left_out = selector_sides(selector)
    words = f"labelSelector: {selector}"[:80] if selector else f"name: {name}"[:80] if name else "target"
    if asked >= set(PD):
        return [kinds.LABEL.cue(Side.SHARED, words, place)]
    if len(left_out) == 1:
        return [kinds.DENIED.cue(next(iter(left_out)).other, words, place)]
    return [] if asked or mentioned(name) else [kinds.OPEN.cue(Side.SHARED, words, place)]


def of_hosts(hosts: Node) -> list[Cue]:
    """What says that a play of Ansible's is for hosts of both sides: ``prefill:decode``."""
    nodes = hosts.items if isinstance(hosts, Seq) else [hosts]
    parts = [part.strip() for n in nodes if isinstance(n, Scalar) for part in re.split(r"[:,]", n.value)]
    if any(part.startswith(("!", "&")) for part in parts) or not {s for p in parts for s in mentioned(p)} >= set(PD):
        return []
    first = next(n for n in nodes if isinstance(n, Scalar))
    return [kinds.HOST.cue(Side.SHARED, f"hosts: {', '.join(parts)}"[:80], first.text.at(0))]


def of_key(key: Scalar, owner: Map, ctx: FileCtx) -> list[Cue]:
    """What says that a key holds what both sides take over: ``common``, beside a key for each."""
    if not is_shared(key.value) or not owner.kept("both", lambda: _of_both(owner, ctx)):
        return []
    return [kinds.OPEN.cue(Side.SHARED, key.value, key.text.at(0))]


def _of_both(owner: Map, ctx: FileCtx) -> bool:
    return {one_side(k.value, ctx) for k, _ in owner.pairs} >= set(PD)
