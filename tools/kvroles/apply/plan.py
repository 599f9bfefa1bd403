"""What applying or reversing the series would make of a tree. Pure: bytes in, a plan out.

Every command (apply, verify, vendor, port) plans with this module, so that a dry run and a run cannot disagree.
"""

from __future__ import annotations

from kvroles.apply.refusals import command, hunk_refusal, refusal, remedies
from kvroles.apply.state import NOTHING_MERGED, Merged, Reader, State, TopicStatus, as_shipped, status
from kvroles.digest import sha256_of
from kvroles.errors import DoesNotApply, Unproven
from kvroles.places import restored
from kvroles.series import patchfile
from kvroles.series.lock import ReleaseRow
from kvroles.series.patchfile import HunkMismatch
from kvroles.series.topics import OVERLAY, Series, Topic
from kvroles.tree.change import Change


class Plan:
    """What a run would do: the topics' states before it, and the changes that lead to the state after it.

    ``shipped`` holds, for each file that an earlier series had changed, the file before that change: the contract compares the
    result with it. ``meant`` are the changes that were made by meaning, by topic; each starts from the file without the topic.
    """

    def __init__(self, topics: list[TopicStatus] | None = None) -> None:
        self.topics = topics or []
        self.changes: list[Change] = []
        self.shipped: dict[str, bytes | None] = {}
        self.meant: dict[str, list[Change]] = {}


def plan(
    read: Reader,
    row: ReleaseRow,
    series: Series,
    topics: tuple[Topic, ...],
    *,
    reverse: bool = False,
    only: str | None = None,
    merged: Merged = NOTHING_MERGED,
    complete: bool = False,
    where: str = "the tree",
) -> Plan:
    """Plan to apply (or ``reverse``) ``topics`` on a tree of a locked release; with ``only``, to reverse that one alone.

    Raises DoesNotApply when a topic is edited or partial, naming the file, the hunk, and what was expected and found. With
    ``complete`` a partial topic is completed instead: the caller knows that a run on a part of the tree left it so.
    """
    result = Plan(status(read, row, series, topics, merged))
    if only is not None:
        _on_top_of(only, result.topics, row, where)
    old = {f.path for t in result.topics if t.topic != OVERLAY for f in t.files if f.state is State.EARLIER}
    now: dict[str, bytes | None] = {}
    was: dict[str, bytes | None] = {}
    by_name = {t.name: t for t in topics}
    asked = [t for t in result.topics if only in (None, t.topic)]
    for entry in reversed(asked) if reverse else asked:
        if entry.state is State.EDITED or (entry.state is State.PARTIAL and not complete):
            raise refusal(entry, read, row, series, by_name, where, reverse=reverse)
        goal = State.PRISTINE if reverse else State.APPLIED
        if entry.state in (State.NATIVE, goal) or (entry.state is State.MERGED and not reverse):
            continue
        if entry.topic == OVERLAY:
            for path, want in series.overlay.items():
                was[path] = read(path)
                now[path] = None if reverse else want
            continue
        assert entry.variant is not None
        states = {f.path: f.state for f in entry.files}
        for file_patch in by_name[entry.topic].patch(entry.variant).files:
            path = file_patch.path
            if path not in was:
                was[path] = now[path] = read(path)
                if path in old and (shipped := as_shipped(was[path], path, row, series)) is not None:
                    now[path] = result.shipped[path] = shipped.data
            if states.get(path) is goal or (reverse and path in old):
                continue
            try:
                now[path], _ = patchfile.apply(now[path], file_patch.reversed() if reverse else file_patch)
            except HunkMismatch as e:  # though the file's hash is one that the lock says the hunk fits
                if (entry.topic, path) in merged:
                    raise hunk_refusal(entry.topic, e, where, remedies(where, reverse=reverse)) from None
                raise _parted(row, entry.topic, path, *e.describe()) from None
            if (entry.topic, path) in merged and reverse:
                below = result.topics[: result.topics.index(entry)]
                if not any((t.topic, path) in merged for t in below):
                    _check_merged(merged[entry.topic, path][0], path, now[path], where)
            else:
                _check_hash(row, entry.topic, path, now[path], reverse=reverse)
    result.changes = [Change(p, was[p], now[p]) for p in sorted(now) if was[p] != now[p]]
    return result


def _on_top_of(only: str, topics: list[TopicStatus], row: ReleaseRow, where: str) -> None:
    """Raise DoesNotApply where the topic ``only`` cannot be taken out alone.

    A later topic that changes one of its files has to be taken out first. What an earlier series made is taken out as a whole.
    """
    if any(t.state is State.EARLIER for t in topics if t.topic != OVERLAY):
        raise DoesNotApply(
            f"{where} was patched by an earlier series, from which one topic is not taken out alone",
            fix=f"Bring the tree up to date first: `{command(where)}`",
        )
    files = set(row.topics[only].files)
    names = [t.topic for t in topics]
    for later in topics[names.index(only) + 1 :]:
        if later.state in (State.APPLIED, State.MERGED) and files & {f.path for f in later.files}:
            raise DoesNotApply(
                f"Topic {later.topic} lies on topic {only} in {where}, and has to be taken out first",
                fix=f"Run `{command(where, '--reverse', '--only', later.topic)}`",
            )


def _check_merged(before: str | None, path: str, data: bytes | None, where: str) -> None:
    have = sha256_of(data)
    if have != before:
        raise DoesNotApply(
            f"{path} in {where} was merged, and taking the series out does not give back what it was before",
            expected=f"SHA-256 {before}",
            found=f"SHA-256 {have}",
            fix=f"Take it out by merging: `{command(where, '--reverse', '--3way')}`",
        )


def _check_hash(row: ReleaseRow, topic: str, path: str, data: bytes | None, *, reverse: bool) -> None:
    f = row.topics[topic].files.get(path)
    want = None if f is None else f.before if reverse else f.after
    have = sha256_of(data)
    if f is not None and f.after is None and data is not None and (not reverse or _lies_on_another(row, topic, path)):
        return  # 0.15.x: of this file only the hash before the series is known
    if f is None or have != want:
        raise _parted(row, topic, path, f"SHA-256 {want}", f"SHA-256 {have}")


def _parted(row: ReleaseRow, topic: str, path: str, expected: str, found: str) -> Unproven:
    return Unproven(
        f"Topic {topic} does not make of {path} what the lock says for vLLM {row.release}",
        expected=expected,
        found=found,
        fix=f"The patches and the lock have parted. {restored('patches')}",
    )


def _lies_on_another(row: ReleaseRow, topic: str, path: str) -> bool:
    """Whether another topic changes ``path`` before ``topic`` does."""
    return next(name for name, t in row.topics.items() if path in t.files) != topic
