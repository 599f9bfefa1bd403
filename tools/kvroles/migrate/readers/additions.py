"""The words of a list of arguments that several statements make: ``ARGS=(serve)``, ``ARGS+=(--disaggregation-mode decode)``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence import argv
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Scope

_MANY = 60  # statements of a block that are looked at; and words of a list: more are none that a person writes


class Does(Enum):
    """What a statement that names a list does with it."""

    MAKES = "makes"  # gives the list its first words, whatever it held
    ADDS = "adds"
    BRANCHES = "branches"  # adds words, or other ones, or none
    REMAKES = "remakes"  # puts another list in its place, or perhaps does
    USES = "uses"


class Part(NamedTuple):
    """One statement that names the list, and the words in it."""

    does: Does
    words: list[argv.Word]


def words(levels: Iterable[tuple[Iterable[Part], Iterable[Part]]]) -> list[argv.Word] | None:
    """The words that a list surely has where one statement adds to it; None where a branch may set one of their flags anew.

    ``levels`` are the blocks that the statement stands in, innermost first: the parts before it, the nearest first, and those
    after it, of which all count up to the list's first use.
    """
    sure: list[argv.Word] = []
    perhaps: list[argv.Word] = []
    begun = used = False
    for before, after in levels:
        for part in () if begun else before:
            if part.does is Does.BRANCHES:
                perhaps += part.words
            elif part.does is not Does.USES:
                sure += part.words
            if begun := part.does in {Does.MAKES, Does.REMAKES}:
                break
        for part in () if used else after:
            if used := part.does is not Does.ADDS:
                break
            sure += part.words
        if (begun and used) or len(sure) + len(perhaps) > _MANY * 4:
            break
    flags = {w.s.partition("=")[0] for w in sure if w.s.startswith("-")}
    return None if any(w.s.partition("=")[0] in flags for w in perhaps) else sure


def scope(name: str, found: list[argv.Word] | None, up: Scope, ctx: FileCtx) -> Scope:
    """The scope of the command that the words found make, below ``up``; ``up`` itself if no flag is among them."""
    if found is None or not any(w.s.startswith("-") for w in found):
        return up
    out = Scope("additions", name, up, [c for c in argv.cues(found, ctx) if c.kind in {"flag", "variable"}])
    out.flags = argv.flags_of(found)
    return out


def siblings(node: Node, *, before: bool) -> Iterator[Node]:
    """The named nodes before or after ``node`` in its block, from the nearest on."""
    current = node
    for _ in range(_MANY):
        beside = current.prev_named_sibling if before else current.next_named_sibling
        if beside is None:
            return
        yield beside
        current = beside
