"""What a run is asked for, and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kvroles.apply.plan import TopicStatus
from kvroles.contract.terms import Verdict


class Request(NamedTuple):
    """What the command line asks for. ``output`` and ``into`` exclude each other."""

    revision: str | None = None
    upstream: str | None = None
    output: Path | None = None
    into: Path | None = None
    extra: tuple[str, ...] = ()
    check: bool = False
    reverse: bool = False
    three_way: bool = False
    offline: bool = False
    quiet: bool = False
    index_url: str | None = None
    cache_dir: Path = Path()


class Outcome(NamedTuple):
    """What a run did: ``did`` is ``applied``, ``reversed``, ``nothing``, or with ``--check`` ``would-...``."""

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
    nearest: str | None = None  # the release a tree that is none was taken to be nearest to
