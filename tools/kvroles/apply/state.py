"""What state a topic or a file is in, in a tree of a release: told from bytes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from kvroles.contract import terms
from kvroles.digest import sha256, sha256_of
from kvroles.said import counted
from kvroles.series import patchfile
from kvroles.series.earlier import Earlier
from kvroles.series.lock import ReleaseRow, TopicRow
from kvroles.series.patchfile import HunkFit, HunkMismatch
from kvroles.series.topics import OVERLAY, Series, Topic

Reader = Callable[[str], bytes | None]
# (topic, path) -> the file's SHA-256 before and after the runs of ours that merged it
Merged = Mapping[tuple[str, str], tuple[str | None, str | None]]
BY_MEANING = "by meaning"  # what a receipt and a report call the variant of a file that no variant's text fits
NOTHING_MERGED: Merged = MappingProxyType({})


class State(StrEnum):
    """The states of a file or topic in a tree."""

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


def combine(states: list[State]) -> State:
    """The state of a topic from those of its files; edited wins, then a mixture is partial.

    A file that an earlier series changed as the present one does counts as applied: beside files that it left otherwise, the
    topic is ``earlier``.
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
                hashes[path] = sha256_of(data)
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
    """``topics`` and the optional ones an earlier run left in the tree: what lies below those cannot be changed without them."""
    others = tuple(t for t in series.topics if t.optional and t not in topics)
    there = (State.APPLIED, State.PARTIAL, State.MERGED, State.EARLIER)
    statuses = status(read, row, series, others, merged)
    found = {s.topic for s in statuses if s.state in there or any(f.state in there for f in s.files)}
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
    """The state of one file of ``topic``: ``have`` is its hash, ``chain`` the file's hashes before and after each topic."""
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
        have = sha256_of(data)
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
