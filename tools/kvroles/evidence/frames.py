"""Sides, cues, scopes and sites: what readers return, and what verdicts are made from.

These are plain classes and named tuples, here and in the modules beside: to import ``dataclasses`` and build twenty classes
takes 14 of the 300 milliseconds in which a whole vLLM tree is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class Side(Enum):
    """What an instance does. Only the first two have a role to move to."""

    PREFILL = "prefill"
    DECODE = "decode"
    AGGREGATED = "aggregated"  # one server does both; not P/D at all
    ENCODE = "encode"  # the encoder of a multimodal deployment
    SHARED = "shared"  # one value feeds both sides

    @property
    def role(self) -> str | None:
        """The role this side moves to."""
        return {"prefill": "kv_producer", "decode": "kv_consumer"}.get(self.value)

    @property
    def other(self) -> Side:
        """Prefill for decode and the other way round; anything else is its own other."""
        return {Side.PREFILL: Side.DECODE, Side.DECODE: Side.PREFILL}.get(self, self)


class Weight:
    """How far a cue can be trusted. The nearest cue decides; the weight says whether one further out may overrule it."""

    HINT = 0  # a sentence near by: a suggestion for a person, never a role
    FILE = 1  # the file's or a folder's name
    SAID = 2  # a comment, a heading, an echo, a log file's name, a variable in an argument
    NAMED = 3  # a name, a label, a key, a function, a branch, a port given to the proxy
    FLAG = 4  # a flag or variable whose meaning is the side


class Cue(NamedTuple):
    """One piece of evidence: which side, how strong, what kind, the words, and its place in the file's text (-1: none)."""

    side: Side
    weight: int
    kind: str
    words: str
    pos: int = -1


class Scope:
    """One owner of a value, from the file inwards. ``cues`` belong to this owner itself, not to its owners."""

    def __init__(
        self,
        kind: str,
        name: str,
        up: Scope | None,
        cues: list[Cue] | None = None,
        *,
        find_uses: Callable[[], list[Scope]] | None = None,
        only_doubts: bool = False,
        place: int = -1,
    ) -> None:
        self.kind = kind
        self.name = name
        self.up = up
        self.cues = cues if cues is not None else []
        self.find_uses = find_uses  # returns the owners of each place that uses this scope's value
        # Other files may use the value too: its uses can contradict a side or show both, but cannot decide for one.
        self.only_doubts = only_doubts
        # Returns the cue that hands this scope's value on to the other side (``decode_args = prefill_args + [...]``).
        self.find_handed_on: Callable[[], Cue | None] | None = None
        self.place = place  # of a use: its index in the file's text
        self.span: tuple[int, int] | None = None  # of a function: its start and end in the file's text
        self.flags: dict[str, str] = {}  # of a command: its flags, for the hazards
        # Of an arm of a conditional: the place of the conditional, and a place that tells the arm from the others.
        self.fork: tuple[int, int] | None = None
        self.launch = False  # this scope is one server (a command, a container): evidence inside is of that server
        self._make: Callable[[], Scope] | None = None  # of a deferred scope: makes the scope it stands for

    @classmethod
    def deferred(cls, make: Callable[[], Scope]) -> Scope:
        """A scope that stands for the one ``make`` returns. ``make`` is called only when a verdict needs it: most need none."""
        scope = cls("", "", None)
        scope._make = make
        return scope

    def chain(self) -> list[Scope]:
        """This scope and its owners, nearest first."""
        out: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            if scope._make is None:
                out.append(scope)
            elif scope.up is None:
                scope.up = scope._make()
            scope = scope.up
        return out


class Site(NamedTuple):
    """One place that says ``kv_both``: its index in the file's text, the connector it belongs to, and its innermost owner."""

    pos: int
    scope: Scope
    # "role": a connector's role. Any other kind says why it is none: "comment", "prose", "expectation", "value", "word" (of a
    # script's command) ...
    kind: str
    connector: str | None = None
    wrappers: tuple[str, ...] = ()  # connectors this one is nested in, nearest first
    extra: Mapping[str, str] = MappingProxyType({})  # scalar settings of the config object, by key
    exact: bool = True  # its bytes in the file are the seven letters themselves
