"""A revision or a tree -> a patched tree: which of the two runs it is, and where the tree is to lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kvroles.apply import in_place
from kvroles.apply.refusals import command
from kvroles.apply.request import Outcome, Request
from kvroles.errors import UsageError
from kvroles.said import said
from kvroles.series import project
from kvroles.series.release import resolve

if TYPE_CHECKING:
    from kvroles.sources.snapshot import Snapshot


def run(request: Request) -> Outcome:
    """Do what ``request`` asks. Raises KvRolesError; the target is then as it was."""
    own = project.load()
    if request.only is not None:
        own.series.topic(request.only)
    own.series.chosen(request.extra)
    if request.part is not None:
        own = own.only(request.part)
    if request.into is not None:
        return in_place.run(request, request.into, own)
    from_git = request.upstream is not None or _is_git_name(request.revision or "")
    snapshot = None
    if request.upstream is not None:
        # lazy: a release needs no other source than its archive
        from kvroles.sources import snapshot as snapshots

        if snapshots.is_one(request.upstream):
            snapshot = snapshots.Snapshot(Path(request.upstream))
            snapshot.need(request.revision or "")
    if from_git:
        label = snapshot.label if snapshot else ""
        release, name = None, (request.revision or label).replace("/", "-")
    else:
        release = name = resolve(request.revision or "latest", own.lock.releases)
    output = request.output or Path("build") / f"vllm-{name}"
    if (output.is_symlink() or output.exists()) and (not output.is_dir() or any(output.iterdir())):
        if from_git:
            raise UsageError(
                f"{output} is there already",
                fix=f"Change it in place with `{command(str(output))}`, or choose another --output",
            )
        return in_place.run(request, output, own, release)
    if request.reverse:
        raise UsageError(
            f"{output} does not exist, so there is nothing to reverse", fix="Name the tree with --into DIR"
        )
    # lazy: a run in an existing tree reads no archive and no commit
    from kvroles.apply import new_tree

    source: new_tree.Source
    if snapshot is not None:
        # lazy: only an archive or a folder that --upstream names is read so
        from kvroles.apply.unpacked import Unpacked

        source = Unpacked(snapshot, Path(request.upstream or ""))
    elif release is None:
        # lazy: a release comes from its archive, and needs no git
        from kvroles.apply.commit import Commit

        source = Commit(request)
    else:
        source = new_tree.Archive(request, own.lock.releases[release])
    outcome = new_tree.run(request, output.resolve() if output.is_symlink() else output, own, source)
    return outcome._replace(notes=[*outcome.notes, *_unchecked(request, snapshot)])


def _unchecked(request: Request, snapshot: Snapshot | None) -> list[str]:
    """A note on a source tree without git: which commit it is, is said by the tree or the user, and checked by nobody."""
    if snapshot is None:
        return []
    says = f"says that it is commit {snapshot.commit}" if snapshot.commit else "does not say which commit it is"
    asked = f"; {said(request.revision)} is your word" if request.revision and not snapshot.commit else ""
    return [
        f"{said(request.upstream or '')} {says}{asked}, which nothing in it can prove: the receipt names no commit."
    ]


def _is_git_name(revision: str) -> bool:
    """Whether ``revision`` can only be a branch or commit: no release, nor a slip in typing one, looks like that."""
    return bool(re.fullmatch(r"[0-9a-f]{7,40}|[A-Za-z][\w./-]*", revision)) and not re.match(
        r"v?\d+\.|latest$", revision
    )
