"""What a run is asked for, and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from kvroles.series.parts import Part

if TYPE_CHECKING:
    from kvroles.apply.state import TopicStatus
    from kvroles.contract.terms import Verdict


class Request(NamedTuple):
    """What the command line asks for. ``output`` and ``into`` exclude each other; ``only`` goes with ``reverse``."""

    revision: str | None = None
    upstream: str | None = None
    output: Path | None = None
    into: Path | None = None
    extra: tuple[str, ...] = ()
    check: bool = False
    reverse: bool = False
    only: str | None = None
    part: Part | None = None
    three_way: bool = False
    exact: bool = False
    offline: bool = False
    quiet: bool = False
    index_url: str | None = None
    cache_dir: Path = Path()


class Outcome(NamedTuple):
    """What a run did: ``did`` is ``applied``, ``reversed``, ``nothing``, or with ``--check`` ``would-...``.

    ``target`` is the tree as the user named it. ``receipt`` is None where the tree holds none.
    """

    release: str | None
    target: Path
    did: str
    topics: list[TopicStatus]
    changed: int
    verdict: Verdict | None = None
    tree: str | None = None
    files: int | None = None
    notes: Sequence[str] = ()
    revision: str | None = None  # the commit, of trees that come from git
    nearest: str | None = None  # where no lock row vouches for the files: the release that they are most like
    receipt: Path | None = None
    part: Part | None = None  # the part that the run was kept to; None: the whole tree
    meant: Mapping[str, Mapping[str, str]] = MappingProxyType({})  # topic -> path -> the change by meaning, as a mail
