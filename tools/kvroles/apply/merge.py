"""Three-way merges of the series into edited files. Conflicts are gathered, and told together."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from kvroles.errors import DoesNotApply, os_error
from kvroles.said import counted, shell
from kvroles.series import patchfile
from kvroles.series.lock import Lock
from kvroles.series.topics import Series, Topic
from kvroles.sources import git, release_files
from kvroles.sources.release_files import Options
from kvroles.tree import handles
from kvroles.tree.tree import Tree


class Merges:
    """Merges against the release a variant was made for; conflicts are kept until all are known."""

    def __init__(self, options: Options, series: Series, lock: Lock, nearest: str | None, conflicts: Path) -> None:
        git.need_git()
        self._options = options
        self._series = series
        self._lock = lock
        self._nearest = nearest
        self._folder = conflicts
        self.conflicts: dict[str, bytes] = {}

    def merge(self, path: str, data: bytes, topic: Topic, variant: str) -> bytes:
        """``data`` with the topic's change to ``path`` merged in: base is the release's file, the other side the series'."""
        release = self._nearest if self._nearest and topic.variant_for(self._nearest) == variant else variant
        row = self._lock.releases[release]
        if row.archive is None:
            row = self._lock.releases[variant]
        base = release_files.extract(row, self._series, self._options).files.get(path)
        patch = next((f for f in topic.patch(variant).files if f.path == path), None)
        if base is None or patch is None:
            self.conflicts[path] = data
            return data
        other, _ = patchfile.apply(base, patch)
        merged, conflicts = git.merge(data, base, other or b"")
        if conflicts:
            self.conflicts[path] = merged
            return data
        return merged

    def keep(self) -> None:
        """Write each file's conflict text into the folder for them; a link that somebody put there is not followed."""
        try:
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(parents=True)
            if self._folder.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            tree = Tree(self._folder)
            try:
                for path, content in self.conflicts.items():
                    folder, _, name = path.rpartition("/")
                    with tree.folder(folder, create=True) as at, handles.new(at, name) as f:
                        f.write(content)
            finally:
                tree.close()
        except OSError as e:
            raise os_error(f"The conflicts could not be written to {self._folder}", e) from None

    def settle(self, tree: Path, *, checkout: str | None = None, check: bool = False) -> None:
        """Raise DoesNotApply when there were conflicts, with each file's conflict text beside the target.

        ``checkout`` is given for a new tree, which is then not made: it says where to resolve the conflicts. With ``check``
        nothing is written.
        """
        if not self.conflicts:
            return
        first = next(iter(self.conflicts))
        what = f"The series conflicts with {tree} in {counted(len(self.conflicts), 'file')}, {first} first"
        if check:
            raise DoesNotApply(
                what, fix="Run again without --check: that writes each of them beside the tree, with both sides"
            )
        self.keep()
        if checkout is not None:
            raise DoesNotApply(f"{what}; {self._folder} has them with both sides, and no tree was made", fix=checkout)
        copy = shell("cp", "-R", f"{self._folder}/.", f"{tree}/")
        raise DoesNotApply(
            f"{what}; nothing in it was changed",
            fix=f"Resolve the conflicts in {self._folder}, copy the files over the tree's with `{copy}`, and run again "
            "with --3way",
        )
