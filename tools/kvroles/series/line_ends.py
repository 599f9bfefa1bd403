"""Files whose line ends git rewrote at checkout (``core.autocrlf``): how to see it, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from kvroles.errors import Unproven
from kvroles.places import Readable, project_root
from kvroles.said import shell


def are_converted(data: bytes) -> bool:
    """Whether ``data``, a text that is known with LF, holds a CRLF."""
    return b"\r\n" in data


def taken_again(folder: str) -> str:
    """The way out for a git checkout at ``folder``: a clone of it keeps the bytes, and the checkout stays as it is.

    No repair in place is named: git takes the files for unchanged, so that ``git checkout -- FILE`` leaves them as they are.
    """
    old = folder.rstrip("/") or "/"
    return (
        f"Clone it with the bytes kept, `git clone --config core.autocrlf=false {shell(old)} {shell(old + '-lf')}`, "
        "and use the clone"
    )


def damaged(path: str, root: Readable | None) -> Unproven:
    """The error for the project's own file ``path`` below ``root`` (default: the project) that was converted."""
    place = root or project_root()
    checkout = isinstance(place, Path) and (place / ".git").exists()
    return Unproven(
        f"{path} has CRLF line ends, and so is not the file that the lock knows: git's core.autocrlf, or a copy that "
        "converts text, rewrote it",
        expected="LF",
        found="CRLF",
        fix=taken_again(str(place)) if checkout else "Take the project's files again, without conversion of line ends",
    )
