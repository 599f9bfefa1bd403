"""One change to one file of a tree."""

from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """``path`` goes from ``before`` to ``after`` (None: it does not exist)."""

    path: str
    before: bytes | None
    after: bytes | None
