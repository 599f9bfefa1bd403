"""The project's own data: the series and the lock, seen to be of one making."""

from __future__ import annotations

from typing import NamedTuple

from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.places import program, restored
from kvroles.series import line_ends
from kvroles.series.lock import Lock
from kvroles.series.topics import Series


class Project(NamedTuple):
    """The series, and the lock that knows what it makes of each release."""

    series: Series
    lock: Lock


def load() -> Project:
    """The project's series and lock. Raises Unproven when either is damaged, or the two are not of one making."""
    return checked(Series.load(), Lock.load())


def checked(series: Series, lock: Lock) -> Project:
    """``series`` and ``lock``, once they are seen to speak of the same overlay and topics."""
    have = {path: sha256(data) for path, data in series.overlay.items()}
    names = {t.name for t in series.topics}
    for path in sorted(have.keys() | lock.overlay.keys()):
        if have.get(path) != lock.overlay.get(path):
            if line_ends.are_converted(series.overlay.get(path, b"")):
                raise line_ends.damaged(f"vllm_overlay/{path}", None)
            raise Unproven(
                f"vllm_overlay/{path} is not the file that the lock knows",
                expected=f"SHA-256 {lock.overlay.get(path)}",
                found=f"SHA-256 {have.get(path)}",
                fix=f"{restored('vllm_overlay', 'patches/lock.json')}, or after a change of your own lock it anew with "
                f"'{program('port', '--relock')}'",
            )
    for row in lock.releases.values():
        if not row.topics.keys() <= names:
            raise Unproven(
                f"patches/series lacks topic {min(row.topics.keys() - names)}, which the lock knows",
                fix=restored("patches/series"),
            )
    return Project(series, lock)
