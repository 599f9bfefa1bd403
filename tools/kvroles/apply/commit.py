"""A commit of a git upstream, as the source of a new tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kvroles.apply.new_tree import Keep
from kvroles.apply.request import Request
from kvroles.series import parts
from kvroles.series.lock import ReleaseRow
from kvroles.series.upstream_files import REPOSITORY
from kvroles.sources import address, objects, upstream
from kvroles.tree import stage
from kvroles.tree.member import Member
from kvroles.tree.stage import Staged


class Commit:
    """A commit of a git upstream. For one part of a tree, what a partial clone lacks of the others is left out."""

    row: ReleaseRow | None = None
    lacking: tuple[str, ...] = ()

    def __init__(self, request: Request) -> None:
        assert request.revision is not None
        where = request.upstream or REPOSITORY
        self._commit = upstream.find(where, request.revision, request.cache_dir, offline=request.offline)
        self.commit: str | None = self._commit.sha
        self.name = f"{request.revision} of {address.shown(where)}"
        self._part = request.part

    def stage(self, staging: Path, keep: Keep) -> Staged:
        return stage.write_members(self._members(None), staging, keep)

    def read(self, keep: Keep) -> dict[str, bytes]:
        members = self._members(None if self._part is None else self._in_part)
        return {m.path: m.data for m in members if m.kind == "file" and keep(m.path, m.data)}

    def _in_part(self, path: str) -> bool:
        return parts.of(path) is self._part

    def _members(self, wanted: Callable[[str], bool] | None) -> Iterator[Member]:
        try:
            yield from self._commit.members(wanted)
        except objects.Lacks as e:
            if self._part is None or not e.paths or any(map(self._in_part, e.paths)):
                raise
            self.lacking = tuple(e.paths)
