"""The project's own data: the series and the lock, which have to be of one making."""

from __future__ import annotations

from typing import NamedTuple

from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.places import program, restored
from kvroles.series import line_ends, parts
from kvroles.series.lock import Lock, ReleaseRow, TopicRow
from kvroles.series.parts import Part
from kvroles.series.topics import Series


class Project(NamedTuple):
    """The series, and the lock that knows what it makes of each release."""

    series: Series
    lock: Lock

    def only(self, part: Part) -> Project:
        """The project where the series changes the files of ``part`` alone; the lock then knows no contract's key."""
        series, lock = self
        topics = tuple(t._replace(part=part) for t in series.topics)
        overlay = {p: d for p, d in series.overlay.items() if parts.of(p) is part}
        rows = {release: _only(row, part) for release, row in lock.releases.items()}
        hashes = {p: sha for p, sha in lock.overlay.items() if parts.of(p) is part}
        return Project(series._replace(topics=topics, overlay=overlay), lock._replace(overlay=hashes, releases=rows))


def _only(row: ReleaseRow, part: Part) -> ReleaseRow:
    topics = {}
    for name, topic in row.topics.items():
        files = {p: f for p, f in topic.files.items() if parts.of(p) is part}
        topics[name] = topic._replace(files=files) if files else TopicRow("absent", None, {})
    return row._replace(topics=topics, contract=None)


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
                f"`{program('port', '--relock')}`",
            )
    for row in lock.releases.values():
        if not row.topics.keys() <= names:
            raise Unproven(
                f"patches/series lacks topic {min(row.topics.keys() - names)}, which the lock knows",
                fix=restored("patches/series"),
            )
    return Project(series, lock)
