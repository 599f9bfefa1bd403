"""A source tree without git, an archive or a folder, as the source of a new tree."""

from __future__ import annotations

from pathlib import Path

from kvroles.apply.new_tree import Keep
from kvroles.said import said
from kvroles.series.lock import ReleaseRow
from kvroles.sources.snapshot import Snapshot
from kvroles.tree import stage
from kvroles.tree.stage import Staged


class Unpacked:
    """The files of a snapshot. Its commit is not known: what an archive says of itself is a note, and in no receipt."""

    row: ReleaseRow | None = None
    commit: str | None = None
    lacking: tuple[str, ...] = ()

    def __init__(self, snapshot: Snapshot, path: Path) -> None:
        self._snapshot = snapshot
        self.name = said(str(path))

    def stage(self, staging: Path, keep: Keep) -> Staged:
        return stage.write_members(self._snapshot.members(), staging, keep)

    def read(self, keep: Keep) -> dict[str, bytes]:
        return {m.path: m.data for m in self._snapshot.members() if m.kind == "file" and keep(m.path, m.data)}
