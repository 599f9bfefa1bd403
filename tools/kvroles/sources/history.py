"""The commits of a clone on this machine, and of each the files that matter, read once for all commits that share them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kvroles.errors import NoSource, UsageError
from kvroles.said import said
from kvroles.sources import git, objects, upstream
from kvroles.sources.objects import Store

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".mp4", ".pdf")
_MOST_KEPT = 64 << 20  # bytes of files that are kept between commits


class Named(NamedTuple):
    """A commit: its id, and when it was made (``YYYY-MM-DD``, UTC)."""

    sha: str
    date: str


def commits(folder: Path, span: str | None, since: str | None, tip: str | None, cache_dir: Path) -> list[Named]:
    """The commits of ``span`` (``A..B``), or those before ``tip`` made on or after day ``since``, the oldest first.

    Of a merge only the first parent is followed: what the branch itself was. Raises UsageError for a range or a name that is
    none, or that holds no commit, and NoSource where the clone does not hold the history between.
    """
    if since is not None and _day(since) is None:
        raise UsageError(f"--since {since} is not a day", expected="YYYY-MM-DD, such as 2026-05-01")
    first, last = _ends(span) if span is not None else (None, tip or "HEAD")
    end, back = _named(folder, last, cache_dir)
    limits = [f"--since={since}T00:00:00Z"] if since is not None else []
    if first is not None:
        start, before = _named(folder, first, cache_dir)
        limits.append(f"^{start.sha}~{before}")
    with git.directory(end.store.folders[0]) as where:
        asked = ["rev-list", "--first-parent", "--timestamp", *limits, f"{end.sha}~{back}", "--"]
        done = git.run(asked, git.reading(where))
    if done.returncode:
        raise NoSource(
            f"The history of {folder} cannot be followed from {said(last)}: {git.last_words(done.stderr, done.returncode)}",
            fix=end.store.way_out() or "Clone the repository again",
        )
    found = [line.split() for line in done.stdout.decode("ascii", "replace").splitlines()]
    if not found:
        what = f"{span}" if span is not None else f"{last} since {since}"
        raise UsageError(f"{said(what)} holds no commit of {folder}", fix="Name the older commit first: OLD..NEW")
    return [Named(sha, _date(int(time))) for time, sha in reversed(found)]


def _named(folder: Path, name: str, cache_dir: Path) -> tuple[upstream.Commit, int]:
    """The commit of ``NAME`` or ``NAME~N``, and N: how many first parents to go back from it."""
    m = re.fullmatch(r"(.+?)~([0-9]{1,6})?", name)
    if m is None:
        return upstream.find(str(folder), name, cache_dir, offline=True), 0
    return upstream.find(str(folder), m[1], cache_dir, offline=True), int(m[2] or 1)


def _ends(span: str) -> tuple[str, str]:
    m = re.fullmatch(r"(\S*[^.\s])\.\.([^.\s]\S*)?", span)
    if m is None:
        raise UsageError(f"--range {said(span)} is not a range of commits", expected="OLD..NEW, as git log takes it")
    return m[1], m[2] or "HEAD"


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None


def _date(seconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "unknown"


class Files:
    """What commits of one store hold. ``interest``: paths whose bytes matter; of others those that hold ``kv_both`` do.

    ``unread`` are, after each commit, the files that a partial clone lacks, pictures aside: whether they hold it is not known.
    """

    def __init__(self, store: Store, interest: set[str], wanted: Callable[[str], bool]) -> None:
        self._store = store
        self._interest = interest
        self._wanted = wanted
        self._plain: set[str] = set()  # ids of files that do not hold kv_both
        self._kept: dict[str, bytes] = {}
        self._size = 0
        self._away: set[str] = set()  # ids of files that cannot be had
        self.unread: list[str] = []

    def of(self, sha: str) -> dict[str, bytes]:
        """path -> bytes of the files of commit ``sha`` that matter. Raises NoSource when one of ``interest`` cannot be had."""
        _, tree, _ = objects.commit_of(self._store, sha, sha)
        entries = {
            path: id_
            for path, (mode, id_) in objects.entries(self._store, tree).items()
            if mode in (objects.FILE, objects.EXECUTABLE) and self._wanted(path)
        }
        if self._size > _MOST_KEPT:
            self._kept.clear()
            self._size = 0
        mine = {id_ for path, id_ in entries.items() if path in self._interest}
        lacking = {id_ for id_ in entries.values() if id_ in mine or id_ not in self._plain} - self._kept.keys()
        try:
            for id_, kind, data in self._store.read(sorted(lacking)):
                if kind == "blob" and (id_ in mine or b"kv_both" in data):
                    self._kept[id_] = data
                    self._size += len(data)
                if b"kv_both" not in data:
                    self._plain.add(id_)
        except objects.Lacks as e:
            if not mine.isdisjoint(e.ids):
                away = sorted(path for path, id_ in entries.items() if id_ in mine and id_ in e.ids)
                raise objects.Lacks(self._store, e.ids, away) from None
            self._away.update(e.ids)
            self._plain.update(e.ids)
        self.unread = sorted(p for p, i in entries.items() if i in self._away and not p.lower().endswith(_PICTURES))
        return {p: self._kept[i] for p, i in entries.items() if i in self._kept and (i in mine or i not in self._plain)}
