"""A file of a tree that is to be written: what sources give, and the stage takes."""

from __future__ import annotations

from typing import NamedTuple


class Member(NamedTuple):
    """A file of the tree: ``path`` below the top folder, whether it is executable, its bytes.

    From git a member may be a ``link``, whose target is the bytes, or an empty ``folder`` too; from an archive never.
    """

    path: str
    executable: bool
    mtime: int
    data: bytes
    kind: str = "file"
