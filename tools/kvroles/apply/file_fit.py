"""What fits one file of a tree that no lock row vouches for: a variant, an earlier series' change, or the change by meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kvroles.apply import meaning
from kvroles.apply.optional import Kept, Recorded
from kvroles.apply.state import BY_MEANING, FileStatus, Reader, State, is_native
from kvroles.apply.unclear import Unclear
from kvroles.contract import clauses, terms
from kvroles.digest import sha256
from kvroles.series import earlier, parts, patchfile
from kvroles.series.lock import Lock
from kvroles.series.patchfile import FilePatch, HunkMismatch
from kvroles.series.topics import Topic
from kvroles.series.upstream_files import UPSTREAM_FILES


class Merge(Protocol):
    """Three-way merges; a file that conflicts is in ``conflicts`` afterwards, and given back as it was."""

    conflicts: dict[str, bytes]

    def merge(self, path: str, data: bytes, topic: Topic, variant: str) -> bytes: ...


@dataclass(frozen=True)
class FileFit:
    """What fits one file: the topic and variant that it takes, and its bytes afterwards in ``result`` (None: left as it is)."""

    topic: str
    variant: str | None
    status: FileStatus
    result: bytes | None = None
    unclear: Unclear | None = None
    back: bytes | None = None  # of what an earlier series made: the file without it


@dataclass(frozen=True)
class Ways:
    """What may be done with a file beside taking a variant's text."""

    merge: Merge | None
    recorded: Recorded
    kept: Kept
    exact: bool
    earlier: Mapping[str, tuple[earlier.Change, ...]]  # path -> what earlier series made of it
    merging: bool  # whether the user asked for merges, also where the series is taken out


Candidate = tuple[Topic, str, FilePatch]
Misfit = tuple[Candidate, HunkMismatch]  # a variant, and its first hunk that does not stand in the file


def by_distance(tried: list[tuple[Topic, str]], nearest: str | None, releases: list[str]) -> list[tuple[Topic, str]]:
    """(topic, variant) pairs from the one that serves ``nearest`` outwards, newer before older; newest first without it."""
    place = {r: i for i, r in enumerate(releases)}
    if nearest is None:
        return sorted(tried, key=lambda tv: -place.get(tv[1], -1))
    home = place[nearest]

    def distance(tv: tuple[Topic, str]) -> tuple[int, int]:
        topic, variant = tv
        first = place.get(variant, 0)
        later = [place[v] for v in topic.variants if place.get(v, 0) > first]
        last = min(later, default=len(releases)) - 1
        away = first - home if home < first else max(0, home - last)
        return away, -first

    return sorted(tried, key=distance)


def of_layer(
    read: Reader,
    layer: tuple[Topic, ...],
    lock: Lock,
    nearest: str | None,
    ways: Ways,
) -> list[FileFit]:
    """What fits, for each file of the tree that the topics of ``layer`` are about."""
    candidates: dict[str, list[Candidate]] = {}
    for topic, variant in by_distance([(t, v) for t in layer for v in t.variants], nearest, list(lock.releases)):
        for f in topic.patch(variant).files:
            candidates.setdefault(f.path, []).append((topic, variant, f))
    native_in = {
        p: t.name for t in layer for p in UPSTREAM_FILES.get(t.name, ()) if t.part is None or parts.of(p) is t.part
    }
    found: list[FileFit] = []
    for path in sorted(set(candidates) | set(native_in)):
        data = read(path)
        if data is None:
            continue  # files come and go between releases; the contract tells whether one is missed
        mine = candidates.get(path, [])
        fitting = _of_earlier(path, data, mine, native_in.get(path), ways, lock)
        if fitting is None:
            fitting = _of_file(path, data, _shipped_first(mine, path, data, lock), native_in.get(path), ways)
        if fitting is not None:
            found.append(fitting)
    # Whose change a file holds cannot be told from a file that upstream changed in one line: the series makes the same line of
    # it. A file that never said kv_both looks as if upstream had changed it. The first file of a topic, which upstream changed
    # at length, tells whose change the topic's other files hold. What the receipt says that a run of ours made is ours all the
    # same: a commit between releases may hold a part of upstream's change.
    native = {t.name for t in layer if _upstream_holds(read, t, ways)}
    out = []
    for entry in found:
        state = entry.status.state
        ours = _made_here(entry.status.path, read(entry.status.path), ways.recorded)
        if entry.topic in native and state is State.APPLIED and not ours:
            out.append(FileFit(entry.topic, None, FileStatus(entry.topic, entry.status.path, State.NATIVE)))
        elif entry.topic in native or state is not State.NATIVE:
            out.append(entry)
    return out


def _made_here(path: str, data: bytes | None, recorded: Recorded) -> bool:
    """Whether the receipt says that a run of ours left the file ``path`` as it is, and had found it otherwise."""
    before, after = recorded.get(path, (None, None))
    return data is not None and after == sha256(data) and before != after


def _upstream_holds(read: Reader, topic: Topic, ways: Ways) -> bool:
    """Whether the first file of ``topic`` holds upstream's own change, and none that the series can take out."""
    for path in terms.CONNECTORS if topic.name == "connector-warning" else UPSTREAM_FILES.get(topic.name, ())[:1]:
        data = read(path)
        if data is None or not is_native(topic.name, path, data):
            continue
        ours = [f for v in topic.variants for f in topic.patch(v).files if f.path == path]
        ours += [c.patch for c in ways.earlier.get(path, ()) if c.topic == topic.name]
        ours += [ways.kept[path]] if path in ways.kept else []
        if not any(_undo(data, f) for f in ours):
            return True
    return False


def _shipped_first(tried: list[Candidate], path: str, data: bytes, lock: Lock) -> list[Candidate]:
    """Those of ``tried`` that a file may need: for a file that releases ship, or that the series made of one, only the variants
    for these releases; for any other file all."""
    have = sha256(data)
    serving = {
        (name, topic.variant)
        for row in lock.releases.values()
        for name, topic in row.topics.items()
        if path in topic.files and have in (topic.files[path].before, topic.files[path].after)
    }
    known = [c for c in tried if (c[0].name, c[1]) in serving]
    return known or tried


def _of_earlier(
    path: str, data: bytes, candidates: list[Candidate], native: str | None, ways: Ways, lock: Lock
) -> FileFit | None:
    """What replaces a file that an earlier series has patched; None where none has.

    The file without the earlier change is proven by its hash: a release's, or the receipt's. Without such a hash the file must
    need nothing as it is, and the present series must fit in the place of the earlier change.
    """
    known = ways.recorded.get(path)
    names = {topic.name for topic, _, _ in candidates}
    for change in ways.earlier.get(path, ()):
        undone = _undo(data, change.patch) if change.topic in names else None
        if undone is None:
            continue
        below = sha256(undone[0])
        vouched = known == (below, sha256(data)) or _is_shipped(path, below, lock)
        if not vouched and (_needs(path, data) or (known is not None and known[1] == sha256(data))):
            continue
        forth = _of_file(path, undone[0], _shipped_first(candidates, path, undone[0], lock), native, ways)
        if forth is not None and forth.status.state is State.PRISTINE and forth.result not in (None, data):
            status = forth.status._replace(state=State.EARLIER, series=change.number)
            return FileFit(forth.topic, forth.variant, status, forth.result, back=undone[0])
    return None


def _is_shipped(path: str, sha: str, lock: Lock) -> bool:
    """Whether some release ships ``path`` with this SHA-256."""
    return any(
        path in t.files and t.files[path].before == sha for row in lock.releases.values() for t in row.topics.values()
    )


def _of_file(path: str, data: bytes, candidates: list[Candidate], native: str | None, ways: Ways) -> FileFit | None:
    needy = _needs(path, data)
    if not needy:  # asked first: a variant made for another release may well fit an applied file a second time
        applied = _applied(path, data, candidates, ways)
        if applied is not None:
            return applied
    proven, fitting, misfit = _variant(path, data, candidates)
    if proven is not None:
        return proven
    if native is not None and is_native(native, path, data):
        return FileFit(native, None, FileStatus(native, path, State.NATIVE))
    if not needy:
        return fitting  # it needs nothing of the series
    if fitting is not None and ways.exact:
        return fitting  # the contract will say what is missing
    return _without_variant(path, data, candidates, misfit, ways) if candidates else None


def _applied(path: str, data: bytes, candidates: list[Candidate], ways: Ways) -> FileFit | None:
    """The change that is in the file already: a variant's, or one by meaning that the receipt has kept."""
    known = ways.recorded.get(path)
    tried = list(candidates)
    if path in ways.kept and candidates:
        tried.insert(0, (candidates[0][0], BY_MEANING, ways.kept[path]))
    by_chance: FileFit | None = None
    for topic, variant, patch in tried:
        undone = _undo(data, patch)
        if undone is None:
            continue
        result, fits = undone
        found = _found(topic, variant, path, State.APPLIED, result, fits)
        if not known or known[1] != sha256(data) or known[0] == sha256(result):
            return found
        by_chance = by_chance or found  # another release's variant may fit too
    # The receipt may be wrong: a user who asks for a merge has the change taken out all the same.
    return by_chance if ways.merging else None


def _variant(
    path: str, data: bytes, candidates: list[Candidate]
) -> tuple[FileFit | None, FileFit | None, Misfit | None]:
    """The first variant that fits and after which the file's clauses hold; the first that fits; the first that does not."""
    misfit: Misfit | None = None
    fitting: FileFit | None = None
    for candidate in candidates:
        topic, variant, patch = candidate
        if patch.creates:
            continue
        try:
            made, fits = patchfile.apply(data, patch, unique=True)
        except HunkMismatch as e:
            misfit = misfit or (candidate, e)
            continue
        found = _found(topic, variant, path, State.PRISTINE, made, fits)
        if made is not None and meaning.holds(path, data, made):
            return found, found, misfit
        fitting = fitting or found
    return None, fitting, misfit


def _without_variant(
    path: str, data: bytes, candidates: list[Candidate], misfit: Misfit | None, ways: Ways
) -> FileFit | None:
    """The file merged or changed by meaning, or why it is neither."""
    topic, variant, _ = candidates[0]
    crlf = misfit is not None and misfit[1].is_crlf
    merged = None
    if ways.merge is not None and misfit is not None and not crlf:  # of CRLF every line would conflict
        (topic, variant, _), _ = misfit
        merged = _found(topic, variant, path, State.EDITED, ways.merge.merge(path, data, topic, variant))
        clean = path not in ways.merge.conflicts
        if ways.exact or (clean and merged.result is not None and meaning.holds(path, data, merged.result)):
            return merged
    if ways.exact or crlf:
        if misfit is None:
            return None
        (topic, variant, _), why = misfit
        return FileFit(topic.name, variant, FileStatus(topic.name, path, State.EDITED, (), why))
    try:
        made = meaning.change(path, data, [patch for _, _, patch in candidates])
    except Unclear as e:
        if merged is not None:
            return merged
        return FileFit(topic.name, variant, FileStatus(topic.name, path, State.EDITED), None, e)
    if ways.merge is not None:
        ways.merge.conflicts.pop(path, None)
    return _found(topic, BY_MEANING, path, State.PRISTINE, made)


def _found(
    topic: Topic,
    variant: str,
    path: str,
    state: State,
    result: bytes | None,
    fits: tuple[patchfile.HunkFit, ...] = (),
) -> FileFit:
    return FileFit(topic.name, variant, FileStatus(topic.name, path, state, fits, variant=variant), result)


def _undo(data: bytes, patch: FilePatch) -> tuple[bytes, tuple[patchfile.HunkFit, ...]] | None:
    """``data`` with ``patch`` taken out, or None when it is not in it, or made the whole file."""
    undone = patchfile.taken_out(data, patch)
    return None if undone is None or undone[0] is None else (undone[0], undone[1])


def _needs(path: str, data: bytes) -> bool:
    """Whether the contract asks for a change of this file."""
    if path in terms.CONNECTORS:
        return clauses.warns(data) is not None
    if path == terms.TEST_FILE and not clauses.has_deprecation_tests(data):
        return True
    return bool(clauses.kv_both_left(path, data))
