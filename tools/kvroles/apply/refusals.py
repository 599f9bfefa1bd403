"""Why a topic is not applied to a tree, and the command that gets out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kvroles.apply.state import Reader, State, TopicStatus
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply
from kvroles.places import program
from kvroles.said import counted
from kvroles.series import line_ends, parts, patchfile
from kvroles.series.lock import ReleaseRow
from kvroles.series.patchfile import FilePatch, HunkMismatch
from kvroles.series.topics import OVERLAY, Series, Topic
from kvroles.series.upstream_files import Completed


class Remedies(NamedTuple):
    """What gets out of a hunk that does not fit: how to merge it, and what to do where the file has other line ends."""

    merge: str
    line_ends: str


def refusal(
    entry: TopicStatus,
    read: Reader,
    row: ReleaseRow,
    series: Series,
    by_name: Mapping[str, Topic],
    where: str,
    *,
    reverse: bool = False,
) -> DoesNotApply:
    """The error for an edited or partial topic."""
    merge = merging(where, reverse=reverse)
    fresh = f"`{program('apply', '--vllm-rev', row.release, '--output', 'DIR')}` makes a new tree beside it"
    if entry.state is State.PARTIAL:
        return _partial(entry, where, merge)
    path = next(f.path for f in entry.files if f.state is State.EDITED)
    if entry.topic == OVERLAY or entry.variant is None:
        return DoesNotApply(
            f"{path} in {where} is edited",
            expected="no such file, or the project's own" if entry.topic == OVERLAY else "upstream's own change",
            found="other content",
            fix=f"Replace it with `{merge}`"
            if entry.topic == OVERLAY
            else f"Put the release's own file back, and run again; {fresh}",
        )
    file_patch = next((f for f in by_name[entry.topic].patch(entry.variant).files if f.path == path), None)
    data = read(path)
    if data is None:
        return DoesNotApply(
            f"{path} is missing from {where}, though vLLM {row.release} ships it",
            fix=f"Put the release's own file back, and run again; {fresh}{_package_alone(path, where)}",
        )
    beside = "every hunk of the topic would still fit"
    if file_patch is not None:
        try:
            patchfile.apply(data, file_patch, unique=True)
        except HunkMismatch as e:
            if entry.topic in _earlier_topics(data, path, series):
                return _edited_earlier(path, row, where)
            if not _holds(data, file_patch):
                if by_name[entry.topic].optional:
                    there = [f.path for f in entry.files if f.state in (State.APPLIED, State.EARLIER, State.MERGED)]
                    return damaged(entry.topic, there[0], path, where) if there else _not_laid(entry.topic, e, where)
                return hunk_refusal(entry.topic, e, where, remedies(where, reverse=reverse))
            beside = "the topic's change is in it, and another beside it"
    f = row.topics[entry.topic].files[path]
    return DoesNotApply(
        f"{path} in {where} is edited: it is neither what vLLM {row.release} ships nor what topic {entry.topic} makes of it",
        expected=f"SHA-256 {f.before} or {f.after}",
        found=f"SHA-256 {sha256(data)}; {beside}",
        fix=f"Keep the edit beside the series with `{merge}`",
    )


def _partial(entry: TopicStatus, where: str, merge: str) -> DoesNotApply:
    applied = [f.path for f in entry.files if f.state in (State.APPLIED, State.EARLIER)]
    pristine = [f.path for f in entry.files if f.state is State.PRISTINE]
    return DoesNotApply(
        f"Topic {entry.topic} is partial in {where}: it is applied to {len(applied)} of {counted(len(entry.files), 'file')}",
        expected="all of its files pristine, or all applied",
        found=f"{applied[0]} applied and {pristine[0]} pristine",
        fix=f"Complete it with `{merge}`",
    )


def _edited_earlier(path: str, row: ReleaseRow, where: str) -> DoesNotApply:
    return DoesNotApply(
        f"{path} in {where} is edited",
        expected=f"what vLLM {row.release} ships, or what some series of this project makes of it",
        found="what an earlier series of this project made of it, and another edit beside that",
        fix="Take the series out with the version of this project that applied it, and apply this one",
    )


def command(where: str, *more: str) -> str:
    """The command that works on the tree at ``where`` with the options ``more``, quoted for a shell."""
    return program("apply", "--into", where, *more)


def merging(where: str, *, reverse: bool) -> str:
    """The command that merges in the tree at ``where``."""
    return command(where, *(["--reverse"] if reverse else []), "--3way")


def _package_alone(path: str, where: str) -> str:
    if parts.of(path) is parts.Part.RUNTIME:
        return ""
    return f"; of a tree without tests or docs, `{command(where, '--part', 'runtime')}` patches what runs"


def _earlier_topics(data: bytes, path: str, series: Series) -> set[str]:
    """The topics of which an earlier series' change can be taken out of ``data``."""
    changes = series.earlier.changes.get(path, ())
    return {c.topic for c in changes if patchfile.taken_out(data, c.patch) is not None}


def _holds(data: bytes, patch: FilePatch) -> bool:
    """Whether every hunk of ``patch`` can be taken out of ``data``: an edit lies on what the topic made."""
    try:
        patchfile.apply(data, patch.reversed())
    except HunkMismatch:
        return False
    return True


def remedies(where: str, *, reverse: bool = False) -> Remedies:
    """What gets out of a hunk that does not fit in the tree at ``where``, a folder."""
    return Remedies(f"Merge the two with `{merging(where, reverse=reverse)}`", line_ends.taken_again(where))


def damaged(topic: str, there: str, path: str, where: str) -> DoesNotApply:
    """The error for an optional topic that ``there``, a file of the tree, holds, and that was changed in ``path`` since."""
    return DoesNotApply(
        f"Topic {topic} is partial in {where}: {there} holds it, and {path} no longer holds it as it was made",
        expected="all of its files as the topic makes them, or none",
        found="other lines, or none, where the topic's are in that file",
        fix=f"Give {path} the topic's lines back and run again, or take the topic out of the other files by hand",
    )


def lacks(topic: str, completed: Completed, where: str) -> DoesNotApply:
    """The error for an optional topic on a tree that is without the code which the topic completes."""
    return DoesNotApply(
        f"Topic {topic} has nothing to complete in {where}: {completed.path} has no {completed.name}, which {completed.what}",
        expected=f"code of vLLM {completed.since} or later",
        fix=f"Run without --with {topic}, and {completed.without}",
    )


def _not_laid(topic: str, e: HunkMismatch, where: str) -> DoesNotApply:
    return hunk_refusal(topic, e, where, on_top(topic, remedies(where)))


def on_top(topic: str, ways_out: Remedies) -> Remedies:
    """``ways_out`` for the optional ``topic``, which is laid by its text and not merged."""
    return ways_out._replace(merge=f"Give the file the lines that the hunk expects, or run without --with {topic}")


def hunk_refusal(topic: str, e: HunkMismatch, where: str, ways_out: Remedies) -> DoesNotApply:
    """The error for a hunk that does not fit."""
    if e.is_crlf:
        return DoesNotApply(
            f"{e.path} in {where} has CRLF line ends, where vLLM has LF: git's core.autocrlf rewrote the checkout, or a copy "
            "converted it",
            fix=ways_out.line_ends,
        )
    expected, found = e.describe()
    return DoesNotApply(
        f"Topic {topic} does not apply to {e.path} in {where}: hunk {e.number} does not fit",
        expected=expected,
        found=found,
        fix=ways_out.merge,
    )
