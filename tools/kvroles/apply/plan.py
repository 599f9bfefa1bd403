"""What state a tree is in, and what applying or reversing the series would make of it. Pure: bytes in, a plan out.

Every command (apply, verify, vendor, port) plans with this module, so that a dry run and a run cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from kvroles.contract import terms
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, Unproven
from kvroles.places import program, restored
from kvroles.said import counted
from kvroles.series import line_ends, parts, patchfile
from kvroles.series.earlier import Earlier
from kvroles.series.lock import ReleaseRow, TopicRow
from kvroles.series.patchfile import FilePatch, HunkFit, HunkMismatch
from kvroles.series.topics import OVERLAY, Series, Topic
from kvroles.tree.change import Change

Reader = Callable[[str], bytes | None]
# (topic, path) -> the file's SHA-256 before and after the runs of ours that merged it
Merged = Mapping[tuple[str, str], tuple[str | None, str | None]]
BY_MEANING = "by meaning"  # what a receipt and a report call the variant of a file that no variant's text fits
NOTHING_MERGED: Merged = MappingProxyType({})


class State(StrEnum):
    """The honest states of a file or topic in a tree."""

    PRISTINE = "pristine"  # as upstream ships it
    APPLIED = "applied"  # as the series leaves it
    NATIVE = "native"  # upstream holds the change
    EDITED = "edited"  # neither: somebody's own change
    PARTIAL = "partial"  # some files of the topic applied, some not
    EARLIER = "earlier"  # as an earlier series of ours left it: a run replaces it
    MERGED = "merged"  # somebody's own change and the series' beside each other: merged by a run of ours, and proven


class FileStatus(NamedTuple):
    """One file of one topic: its state, where the hunks go, and for ``edited`` why they do not.

    ``variant`` is set in trees that are no release: which variant serves the file, or that the change was made by meaning.
    ``series`` is the number of the earlier series that left a file ``earlier``, where it is known.
    """

    topic: str
    path: str
    state: State
    fits: tuple[HunkFit, ...] = ()
    mismatch: HunkMismatch | None = None
    variant: str | None = None
    series: int | None = None


class TopicStatus(NamedTuple):
    """One topic: ``variant`` is None for native topics and the overlay."""

    topic: str
    variant: str | None
    state: State
    files: tuple[FileStatus, ...]


class Remedies(NamedTuple):
    """What gets out of a hunk that does not fit: how to merge it, and what to do where the file has other line ends."""

    merge: str
    line_ends: str


class Plan:
    """What a run would do: the topics' states before it, and the changes that lead to the state after it.

    ``shipped`` is what the contract compares a file with that an earlier series had changed: the file as it was before that.
    ``meant`` are the changes that were made by meaning, by topic: each from what lies below the topic.
    """

    def __init__(self, release: str | None, topics: list[TopicStatus] | None = None) -> None:
        self.release = release
        self.topics = topics or []
        self.changes: list[Change] = []
        self.shipped: dict[str, bytes | None] = {}
        self.meant: dict[str, list[Change]] = {}


def combine(states: list[State]) -> State:
    """The state of a topic from those of its files; edited wins, then a mixture is partial.

    Every series changes the same files of a release, and many of them alike: those are applied, in an earlier one too.
    """
    kinds = set(states)
    if State.EDITED in kinds:
        return State.EDITED
    if len(kinds) > 1:
        kinds.discard(State.NATIVE)
    if kinds == {State.APPLIED, State.EARLIER}:
        return State.EARLIER
    if kinds == {State.APPLIED, State.MERGED}:
        return State.MERGED
    return kinds.pop() if len(kinds) == 1 else State.PARTIAL


def touched_paths(row: ReleaseRow, series: Series) -> list[str]:
    """Every path of a release that any topic or the overlay is about, sorted."""
    paths = {path for topic in row.topics.values() for path in topic.files}
    return sorted(paths | set(series.overlay))


def status(
    read: Reader, row: ReleaseRow, series: Series, topics: tuple[Topic, ...], merged: Merged = NOTHING_MERGED
) -> list[TopicStatus]:
    """The state of each topic in a tree of a locked release, by hash alone where hashes are known.

    ``merged`` is what the tree's receipt says of files that a run of ours merged.
    """
    chains = _chains(row)
    hashes: dict[str, str | None] = {}
    out = []
    for topic in topics:
        entry = row.topics.get(topic.name)
        if entry is None or entry.state == "absent":
            continue
        files = []
        for path in sorted(entry.files):
            if path not in hashes:
                data = read(path)
                hashes[path] = None if data is None else sha256(data)
            state = _state(read, topic, entry, path, hashes[path], chains[path], row, series)
            number = None
            if state is State.EDITED and (shipped := as_shipped(read(path), path, row, series)) is not None:
                there = topic.name in shipped.topics
                state = State.EARLIER if there else State.NATIVE if entry.state == "native" else State.PRISTINE
                number = shipped.number if there else None
            elif state is State.EDITED and hashes[path] == merged.get((topic.name, path), (None, ""))[1]:
                state = State.MERGED
            files.append(FileStatus(topic.name, path, state, series=number))
        out.append(TopicStatus(topic.name, entry.variant, combine([f.state for f in files]), tuple(files)))
    if series.overlay:  # a wheel's part of the series has none
        out.append(_overlay_status(read, series, merged))
    return out


def with_present(
    read: Reader, row: ReleaseRow, series: Series, topics: tuple[Topic, ...], merged: Merged = NOTHING_MERGED
) -> tuple[Topic, ...]:
    """``topics`` and the optional ones an earlier run left in the tree: they lie on top, so nothing can be done without."""
    others = tuple(t for t in series.topics if t.optional and t not in topics)
    there = (State.APPLIED, State.PARTIAL, State.MERGED, State.EARLIER)
    found = {s.topic for s in status(read, row, series, others, merged) if s.state in there}
    return tuple(t for t in series.topics if t in topics or t.name in found)


def _chains(row: ReleaseRow) -> dict[str, list[tuple[str, str | None, str | None]]]:
    """path -> [(topic, before, after)] in order of application."""
    chains: dict[str, list[tuple[str, str | None, str | None]]] = {}
    for name, topic in row.topics.items():
        for path, f in topic.files.items():
            chains.setdefault(path, []).append((name, f.before, f.after))
    return chains


def _state(
    read: Reader,
    topic: Topic,
    entry: TopicRow,
    path: str,
    have: str | None,
    chain: list[tuple[str, str | None, str | None]],
    row: ReleaseRow,
    series: Series,
) -> State:
    at = next(i for i, (name, _, _) in enumerate(chain) if name == topic.name)
    known = {h for _, before, after in chain for h in (before, after)}
    if entry.state == "native":
        if have in known or is_native(topic.name, path, read(path)):
            return State.NATIVE
        return State.EDITED
    if have in [before for _, before, _ in chain[: at + 1]]:
        return State.PRISTINE
    if have is not None and have in [after for _, _, after in chain[at:]]:
        return State.APPLIED
    if chain[at][2] is None and entry.variant:  # no after-hash known: what is applied reverses to the before-hash
        for top in range(len(chain), 0, -1):
            if _reverses(read(path), path, [name for name, _, _ in chain[:top]], chain[0][1], row, series):
                return State.APPLIED if at < top else State.PRISTINE
    return State.EDITED


def _reverses(
    data: bytes | None, path: str, names: list[str], before: str | None, row: ReleaseRow, series: Series
) -> bool:
    """Whether taking the topics ``names`` back out of ``data``, last first, leads to the hash ``before``."""
    for name in reversed(names):
        variant = row.topics[name].variant
        assert variant is not None
        patch = next(f for f in series.topic(name).patch(variant).files if f.path == path)
        try:
            data, _ = patchfile.apply(data, patch.reversed())
        except HunkMismatch:
            return False
    return data is not None and sha256(data) == before


class Shipped(NamedTuple):
    """A file that an earlier series had changed, as upstream ships it; which topics had, and the last such series' number."""

    data: bytes | None
    topics: tuple[str, ...]
    number: int


def as_shipped(data: bytes | None, path: str, row: ReleaseRow, series: Series) -> Shipped | None:
    """``data``, the file ``path`` of a release, without what an earlier series made of it; None where no earlier one did.

    The proof is the hash of what upstream ships: no text that fits by chance gives it.
    """
    if data is None or path not in series.earlier.changes:
        return None
    names = [name for name, topic in row.topics.items() if path in topic.files and topic.state == "variant"]
    before = row.topics[names[0]].files[path].before if names else None
    for top in range(len(names), 0, -1):
        found = _peeled(data, path, names[:top], before, row, series)
        if found is not None:
            return found
    return None


def _peeled(
    data: bytes | None, path: str, names: list[str], before: str | None, row: ReleaseRow, series: Series
) -> Shipped | None:
    """``data`` without the changes of all the topics ``names``, last first, if that has the hash ``before``."""
    if not names:
        have = None if data is None else sha256(data)
        return Shipped(data, (), 0) if have == before else None
    name = names[-1]
    made = [(c.number, c.patch) for c in series.earlier.changes.get(path, ()) if c.topic == name]
    variant = row.topics[name].variant
    if variant is not None and name in {t.name for t in series.topics}:
        made += [(0, f) for f in series.topic(name).patch(variant).files if f.path == path]
    for number, patch in made:
        undone = patchfile.taken_out(data, patch)
        below = None if undone is None else _peeled(undone[0], path, names[:-1], before, row, series)
        if below is not None:
            return below._replace(topics=(*below.topics, name), number=max(number, below.number))
    return None


def is_native(topic: str, path: str, data: bytes | None) -> bool:
    """Whether upstream's own text of ``path`` holds what ``topic`` would bring: decided from content, never from a version."""
    if data is None:
        return False
    # lazy: parsers and all; a file whose hash is known needs none
    from kvroles.contract import clauses

    if path in terms.CONNECTORS:
        return clauses.warns(data) is None
    if path == terms.TEST_FILE and not clauses.has_deprecation_tests(data):
        return False
    return topic != "stragglers" and not clauses.kv_both_left(path, data)


def _overlay_status(read: Reader, series: Series, ours: Merged) -> TopicStatus:
    files = []
    for path, want in series.overlay.items():
        files.append(overlay_status(read(path), path, want, ours.get((OVERLAY, path), (None, None))[1], series.earlier))
    return TopicStatus(OVERLAY, None, combine([f.state for f in files]), tuple(files))


def overlay_status(have: bytes | None, path: str, want: bytes, left: str | None, earlier: Earlier) -> FileStatus:
    """The state of a file of the overlay that is ``have``; ``left`` is the SHA-256 that the receipt says a run of ours left."""
    if have is None:
        return FileStatus(OVERLAY, path, State.PRISTINE)
    if have == want:
        return FileStatus(OVERLAY, path, State.APPLIED)
    number = earlier.overlay.get(path, {}).get(sha256(have))
    ours = number is not None or sha256(have) == left
    return FileStatus(OVERLAY, path, State.EARLIER if ours else State.EDITED, series=number)


def replaced(topics: list[TopicStatus], earlier: Earlier) -> str | None:
    """A sentence on the earlier series that left files of ``topics``; None where none did."""
    files = [f for t in topics for f in t.files if f.state is State.EARLIER]
    if not files:
        return None
    number = max((f.series for f in files if f.series is not None), default=None)
    which = "an earlier series" if number is None else f"series {number}"
    files_ = counted(len(files), "file")
    return f"Patched by {which} of this project: series {earlier.number} makes {files_} differently."


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
    ``complete`` a partial topic is finished: the caller knows why it is one.
    """
    result = Plan(row.release, status(read, row, series, topics, merged))
    if only is not None:
        _on_top_of(only, result.topics, row, where)
    old = {f.path for t in result.topics if t.topic != OVERLAY for f in t.files if f.state is State.EARLIER}
    now: dict[str, bytes | None] = {}
    was: dict[str, bytes | None] = {}
    by_name = {t.name: t for t in topics}
    for entry in reversed(result.topics) if reverse else result.topics:
        if only is not None and entry.topic != only:
            continue
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
            except HunkMismatch as e:  # the hashes had said that it fits
                expected, found = e.describe()
                if (entry.topic, path) in merged:
                    raise hunk_refusal(entry.topic, e, where, remedies(where, reverse=reverse)) from None
                raise _parted(row, entry.topic, path, expected, found) from None
            if (entry.topic, path) in merged and reverse:
                below = [t.topic for t in result.topics[: result.topics.index(entry)]]
                if not any((name, path) in merged for name in below):
                    _check_merged(merged[entry.topic, path][0], path, now[path], where)
            else:
                _check_hash(row, entry.topic, path, now[path], reverse=reverse)
    result.changes = [Change(p, was[p], now[p]) for p in sorted(now) if was[p] != now[p]]
    return result


def _on_top_of(only: str, topics: list[TopicStatus], row: ReleaseRow, where: str) -> None:
    """Raise DoesNotApply when another topic lies on ``only`` in one of its files, and so has to go first, or when an earlier
    series left it: what that one made is taken out whole or not at all."""
    if any(t.state is State.EARLIER for t in topics if t.topic != OVERLAY):
        raise DoesNotApply(
            f"{where} was patched by an earlier series, from which one topic is not taken out alone",
            fix=f"Bring the tree up to date first: '{command(where)}'",
        )
    files = set(row.topics[only].files)
    names = [t.topic for t in topics]
    for later in topics[names.index(only) + 1 :]:
        if later.state in (State.APPLIED, State.MERGED) and files & {f.path for f in later.files}:
            raise DoesNotApply(
                f"Topic {later.topic} lies on topic {only} in {where}, and has to be taken out first",
                fix=f"Run '{command(where, '--reverse', '--only', later.topic)}'",
            )


def _check_merged(before: str | None, path: str, data: bytes | None, where: str) -> None:
    have = None if data is None else sha256(data)
    if have != before:
        raise DoesNotApply(
            f"{path} in {where} was merged, and taking the series out does not give back what it was before",
            expected=f"SHA-256 {before}",
            found=f"SHA-256 {have}",
            fix=f"Take it out by merging: '{command(where, '--reverse', '--3way')}'",
        )


def _check_hash(row: ReleaseRow, topic: str, path: str, data: bytes | None, *, reverse: bool) -> None:
    f = row.topics[topic].files.get(path)
    want = None if f is None else f.before if reverse else f.after
    have = None if data is None else sha256(data)
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
    fresh = f"'{program('apply', '--vllm-rev', row.release, '--output', 'DIR')}' makes a new tree beside it"
    if entry.state is State.PARTIAL:
        applied = [f.path for f in entry.files if f.state in (State.APPLIED, State.EARLIER)]
        pristine = [f.path for f in entry.files if f.state is State.PRISTINE]
        return DoesNotApply(
            f"Topic {entry.topic} is partial in {where}: it is applied to {len(applied)} of {counted(len(entry.files), 'file')}",
            expected="all of its files pristine, or all applied",
            found=f"{applied[0]} applied and {pristine[0]} pristine",
            fix=f"Complete it with '{merge}'",
        )
    path = next(f.path for f in entry.files if f.state is State.EDITED)
    if entry.topic == OVERLAY or entry.variant is None:
        return DoesNotApply(
            f"{path} in {where} is edited",
            expected="no such file, or the project's own" if entry.topic == OVERLAY else "upstream's own change",
            found="other content",
            fix=f"Replace it with '{merge}'"
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
                return DoesNotApply(
                    f"{path} in {where} is edited",
                    expected=f"what vLLM {row.release} ships, or what some series of this project makes of it",
                    found="what an earlier series of this project made of it, and another edit beside that",
                    fix="Take the series out with the version of this project that applied it, and apply this one",
                )
            if not _holds(data, file_patch):
                return hunk_refusal(entry.topic, e, where, remedies(where, reverse=reverse))
            beside = "the topic's change is in it, and another beside it"
    f = row.topics[entry.topic].files[path]
    return DoesNotApply(
        f"{path} in {where} is edited: it is neither what vLLM {row.release} ships nor what topic {entry.topic} makes of it",
        expected=f"SHA-256 {f.before} or {f.after}",
        found=f"SHA-256 {sha256(data)}; {beside}",
        fix=f"Keep the edit beside the series with '{merge}'",
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
    return f"; of a tree without tests or docs, '{command(where, '--part', 'runtime')}' patches what runs"


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
    return Remedies(f"Merge the two with '{merging(where, reverse=reverse)}'", line_ends.taken_again(where))


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
