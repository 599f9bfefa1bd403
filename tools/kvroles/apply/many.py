"""What the series would make of each commit of a range: a row a commit, on all cores, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from kvroles.apply import new_tree
from kvroles.apply.request import Request
from kvroles.errors import Exit, KvRolesError, UsageError
from kvroles.progress import Progress
from kvroles.said import counted, said
from kvroles.series import parts, project
from kvroles.series.lock import ReleaseRow
from kvroles.series.upstream_files import paths_of_interest
from kvroles.sources import clone, history, upstream
from kvroles.sources.history import Named
from kvroles.tree.stage import Staged

PROVEN, BY_MEANING, REFUSED = "proven", "by meaning", "refused"
_PIECE = 8  # neighbours, which share most of their files, go to one process


class Row(NamedTuple):
    """One commit. ``outcome`` is PROVEN, BY_MEANING (of the files ``meant``), or REFUSED (``why``).

    ``unread`` are files that the clone lacks, so that nobody knows whether they hold a role.
    """

    commit: str
    date: str
    outcome: str
    nearest: str | None = None
    release: str | None = None
    meant: tuple[str, ...] = ()
    why: str | None = None
    unread: tuple[str, ...] = ()


class _Read:
    """A commit whose files have been read: a source that cannot be written."""

    row: ReleaseRow | None = None
    lacking: tuple[str, ...] = ()

    def __init__(self, commit: str, files: dict[str, bytes]) -> None:
        self.name = f"commit {commit[:12]}"
        self.commit: str | None = commit
        self._files = files

    def stage(self, staging: Path, keep: new_tree.Keep) -> Staged:
        raise NotImplementedError("commits of a range are judged, not written")

    def read(self, keep: new_tree.Keep) -> dict[str, bytes]:
        return {p: d for p, d in self._files.items() if keep(p, d)}


class _Judge:
    """One process's state: the project, and the files it has read."""

    def __init__(self, request: Request) -> None:
        self._request = request._replace(check=True, quiet=True)
        own = project.load()
        self._project = own if request.part is None else own.only(request.part)
        self._folder = clone.local_path(request.upstream or "", Path())
        assert self._folder is not None
        interest = paths_of_interest(self._project.series)
        store = upstream.store_of(self._folder, request.cache_dir, offline=request.offline)
        self._files = history.Files(store, interest, lambda p: request.part is None or parts.of(p) is request.part)

    def row(self, named: Named) -> Row:
        try:
            source = _Read(named.sha, self._files.of(named.sha))
            outcome = new_tree.run(self._request, Path(named.sha), self._project, source)
        except KvRolesError as e:
            return Row(*named, REFUSED, why=" ".join(str(e).split()))
        meant, unread = tuple(sorted({p for mails in outcome.meant.values() for p in mails})), tuple(self._files.unread)
        outcome_ = BY_MEANING if meant else PROVEN
        return Row(*named, outcome_, outcome.nearest, outcome.release, meant, unread=unread)


_judge: _Judge | None = None


def _start(request: Request) -> None:
    global _judge
    _judge = _Judge(request)


def _piece(names: list[Named]) -> list[Row]:
    assert _judge is not None
    return [_judge.row(named) for named in names]


def run(request: Request, span: str | None, since: str | None) -> list[Row]:
    """A row a commit, the oldest first. Raises UsageError and NoSource for a range that cannot be followed."""
    folder = clone.local_path(request.upstream, Path()) if request.upstream else None
    if folder is None or not folder.exists():
        raise UsageError(
            "A range of commits needs a clone on this machine",
            found=f"--upstream {said(request.upstream or '')}" if request.upstream else "no --upstream",
            fix="Clone the repository (`git clone --bare`), and give its folder to --upstream",
        )
    names = history.commits(folder, span, since, request.revision, request.cache_dir)
    return list(judged(request, names))


def judged(request: Request, names: list[Named]) -> Iterator[Row]:
    """A row for each commit of ``names``, in order, as they are done."""
    pieces = [names[i : i + _PIECE] for i in range(0, len(names), _PIECE)]
    workers = min(len(pieces), len(os.sched_getaffinity(0)))
    with Progress("Judging", len(names), quiet=request.quiet, unit="commits") as bar:
        if workers == 1:
            _start(request)
            for piece in pieces:
                yield from _piece(piece)
                bar.add(len(piece))
            return
        with ProcessPoolExecutor(workers, initializer=_start, initargs=(request,)) as pool:
            try:
                for rows in pool.map(_piece, pieces):
                    yield from rows
                    bar.add(len(rows))
            except BrokenProcessPool:
                raise KvRolesError(
                    Exit.DOES_NOT_APPLY,
                    "A process that judges commits was ended from outside, perhaps for want of memory",
                    fix="Run again with a shorter range",
                ) from None


def text(rows: list[Row]) -> str:
    """The table, and the sums below it."""
    lines = []
    for row in rows:
        note = row.why or ", ".join(row.meant)
        near = row.release or (f"near {row.nearest}" if row.nearest else "-")
        lines.append(f"{row.date}  {row.commit[:12]}  {row.outcome:<10}  {near:<12}  {said(note)}".rstrip())
    counts = [f"{sum(r.outcome == o for r in rows)} {o}" for o in (PROVEN, BY_MEANING, REFUSED)]
    lines += ["", f"{counted(len(rows), 'commit')}: {', '.join(counts)}"]
    unread = sorted({path for row in rows for path in row.unread})
    if unread:
        more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
        lines.append(f"Not read, because the clone lacks them: {said(', '.join(unread[:3]))}{more}")
    return "\n".join(lines) + "\n"


def code(rows: list[Row]) -> int:
    """The exit code: 1 where a commit is refused, or holds files that could not be read."""
    return Exit.DOES_NOT_APPLY if any(r.outcome == REFUSED or r.unread for r in rows) else Exit.DONE


def as_json(rows: list[Row]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "schema": 1,
        "commits": [
            {
                "commit": r.commit,
                "date": r.date,
                "outcome": r.outcome,
                "nearest": r.nearest,
                "release": r.release,
                "by_meaning": list(r.meant),
                "why": r.why,
                "unread": list(r.unread),
            }
            for r in rows
        ],
    }
