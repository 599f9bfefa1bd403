"""Plan by fit, for trees that no lock row vouches for: forks, commits between releases, edited files.

A file that some release ships takes that release's variant. Any other takes a variant all of whose hunks stand in it, each
exactly once: the nearest release's of those after which the file's own clauses hold. Where none fits, the change is made by
meaning, unless the caller wants exact text or hands in a three-way merge. The contract is then the proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kvroles.apply import meaning, optional
from kvroles.apply.optional import Kept, Recorded
from kvroles.apply.plan import Plan
from kvroles.apply.refusals import Remedies, hunk_refusal, remedies
from kvroles.apply.state import BY_MEANING, FileStatus, Reader, State, TopicStatus, combine, is_native, overlay_status
from kvroles.contract import clauses, terms
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply
from kvroles.series import earlier, parts, patchfile
from kvroles.series.lock import Lock
from kvroles.series.patchfile import FilePatch, HunkMismatch
from kvroles.series.topics import OVERLAY, Series, Topic
from kvroles.series.upstream_files import UPSTREAM_FILES
from kvroles.tree.change import Change


class Merge(Protocol):
    """Three-way merges; a file that conflicts is in ``conflicts`` afterwards, and given back as it was."""

    conflicts: dict[str, bytes]

    def merge(self, path: str, data: bytes, topic: Topic, variant: str) -> bytes: ...


@dataclass(frozen=True)
class FileFit:
    """What fits one file: the topic and variant it is taken from, and the bytes that makes of it (None: leave it)."""

    topic: str
    variant: str | None
    status: FileStatus
    result: bytes | None = None
    unclear: meaning.Unclear | None = None
    back: bytes | None = None  # of what an earlier series made: the file without it


@dataclass(frozen=True)
class Ways:
    """What may be done with a file beside taking a variant's text."""

    merge: Merge | None
    recorded: Recorded
    kept: Kept
    exact: bool
    earlier: Mapping[str, tuple[earlier.Change, ...]]  # path -> what earlier series made of it
    merging: bool  # whether the user has asked for it, taking out as well


Candidate = tuple[Topic, str, FilePatch]


def plan(
    read: Reader,
    series: Series,
    lock: Lock,
    topics: tuple[Topic, ...],
    *,
    nearest: str | None = None,
    reverse: bool = False,
    merge: Merge | None = None,
    recorded: Recorded | None = None,
    kept: Kept | None = None,
    kept_on_top: Mapping[str, Kept] | None = None,
    exact: bool = False,
    where: str = "the tree",
    ways_out: Remedies | None = None,
) -> Plan:
    """Plan to apply (or ``reverse``) ``topics`` by exact context.

    ``nearest`` is the release whose variants are tried first, where a file is none that ``lock`` knows. Raises
    DoesNotApply, naming the hunk, for what does not fit.
    ``recorded`` is what the tree's receipt says of an earlier run: a file it knows is only ever taken back to those bytes.
    ``kept`` are the changes by meaning it made, ``kept_on_top`` those of optional topics. ``exact`` refuses what no variant's
    text fits.
    ``where`` is the tree's folder; where it is none, ``ways_out`` says what a refusal advises.
    A topic whose files are in part applied, or in part upstream's own, is completed: without hashes there is no telling
    the two apart, and every file is proven either way.
    """
    result = Plan(None)
    ways_out = ways_out or remedies(where)
    now: dict[str, bytes | None] = {}
    was: dict[str, bytes | None] = {}

    def current(path: str) -> bytes | None:
        if path not in was:
            was[path] = now[path] = read(path)
        return now[path]

    # In one release a file belongs to one default topic; optional topics lie on top of what those leave.
    orders = {t: _order(t, nearest, lock) for t in series.topics if t.optional and _has_files(t)}
    peeled: dict[Topic, optional.Layer] = {}
    for topic, order in reversed(orders.items()):
        meant_on_top = (kept_on_top or {}).get(topic.name, {})
        found_on_top = optional.peel(current, topic, order, series.earlier, meant_on_top)
        if found_on_top:
            peeled[topic] = found_on_top
            now.update(found_on_top.result)
            if found_on_top.status.state is State.EARLIER:
                result.shipped.update(found_on_top.result)
        elif topic.name != terms.REJECT or _refusing(current) is None:
            # Where the connector refuses all the same, its lines are there, and only the receipt is not.
            optional.refuse_damaged(current, topic, order, series.earlier, meant_on_top, recorded or {}, where)
    refusing = _refusing(current)
    if refusing is not None and any(t.name == terms.REJECT for t in orders):
        raise DoesNotApply(
            f"Topic {terms.REJECT} is in {refusing} of {where}, by a change that neither a variant nor a receipt takes out",
            fix="Put back the receipt of the run that made it, .kv-roles/receipt.json, or take the change out by hand",
        )
    default = series.chosen()
    merging = merge is not None
    ways = Ways(
        None if reverse else merge, recorded or {}, kept or {}, exact or reverse, series.earlier.changes, merging
    )
    found = of_layer(current, default, lock, nearest, ways)
    for f in found:
        if f.status.mismatch is not None:
            raise hunk_refusal(f.topic, f.status.mismatch, where, ways_out)
        if f.unclear is not None:
            raise _unclear(f, where, ways_out)
        undo = State.APPLIED if reverse else State.PRISTINE
        if f.status.variant == BY_MEANING and f.status.state in (State.PRISTINE, State.EARLIER):
            below = f.back if f.status.state is State.EARLIER else current(f.status.path)
            result.meant.setdefault(f.topic, []).append(Change(f.status.path, below, f.result))
        if f.status.state is State.APPLIED and f.status.path in result.shipped:
            result.shipped[f.status.path] = f.result
        if f.status.state is undo or (f.status.state is State.EDITED and not reverse):
            now[f.status.path] = f.result
        elif f.status.state is State.EARLIER:
            now[f.status.path] = f.back if reverse else f.result
            result.shipped[f.status.path] = f.back
    result.topics += _by_topic(default, found)
    for topic, order in orders.items():
        told = peeled.get(topic)
        if not reverse and (told or topic in topics):
            layer = optional.lay(current, topic, order, where, ways_out, exact=exact)
            now.update(layer.result)
            if layer.meant:
                result.meant[topic.name] = layer.meant
            told = told or layer
        if told:
            result.topics.append(told.status)
    result.topics.append(
        _overlay(current, now, series, ways.recorded, reverse=reverse, replace=merge is not None, where=where)
    )
    result.changes = [Change(p, was[p], now[p]) for p in sorted(now) if was[p] != now[p]]
    return result


def need_connector(read: Reader, where: str) -> None:
    """Raise DoesNotApply when NixlConnector stands at neither place the contract knows.

    Asked by what changes a tree. A port does without: where a new release moved the connector to is what it is to find out.
    """
    if all(read(path) is None for path in terms.CONNECTORS):
        raise DoesNotApply(
            f"There is no NixlConnector in {where}",
            expected=f"its module, {terms.CONNECTORS[0]} or, up to 0.19.1, {terms.CONNECTORS[1]}",
            found="neither: the tree predates NIXL (0.9.0), or has moved it",
            fix="Name the release it is with --vllm-rev; where the module was moved, `python tools/port.py --to DIR` says more",
        )


def _has_files(topic: Topic) -> bool:
    """Whether the topic changes anything in the part of the tree that it is kept to."""
    return topic.part is None or any(topic.patch(v).files for v in topic.variants)


def _order(topic: Topic, nearest: str | None, lock: Lock) -> list[str]:
    """The variants of ``topic`` from the nearest release's outwards."""
    return [v for _, v in by_distance([(topic, v) for v in topic.variants], nearest, list(lock.releases))]


def _by_topic(layer: tuple[Topic, ...], found: list[FileFit]) -> list[TopicStatus]:
    out = []
    for topic in layer:
        mine = [f for f in found if f.topic == topic.name]
        if mine:
            variant = next((f.variant for f in mine if f.variant not in (None, BY_MEANING)), None)
            state = combine([f.status.state for f in mine])
            out.append(TopicStatus(topic.name, variant, state, tuple(f.status for f in mine)))
    return out


def _overlay(
    read: Reader,
    now: dict[str, bytes | None],
    series: Series,
    recorded: Recorded,
    *,
    reverse: bool,
    replace: bool,
    where: str,
) -> TopicStatus:
    files = []
    for path, want in series.overlay.items():
        found = overlay_status(read(path), path, want, recorded.get(path, (None, None))[1], series.earlier)
        if found.state is State.EDITED and not replace:
            raise DoesNotApply(
                f"{path} in {where} is edited",
                expected="no such file, or the project's own",
                found="other content",
                fix="Move it away and run again, or run again with --3way to replace it",
            )
        now[path] = None if reverse else want
        files.append(found)
    return TopicStatus(OVERLAY, None, combine([f.state for f in files]), tuple(files))


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
    # Upstream's one-line changes read like ours reversed, and files that never said kv_both read like upstream's own:
    # the first file of a topic, which upstream changed at length, tells which of the two the others are. What the receipt
    # says that a run of ours made is ours all the same: a commit between releases may hold a part of upstream's change.
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


def _refusing(read: Reader) -> str | None:
    """The connector's module that refuses ``kv_both`` in any words; None if there is none."""
    return next((p for p in terms.CONNECTORS if meaning.refuses(read(p))), None)


def _made_here(path: str, data: bytes | None, recorded: Recorded) -> bool:
    """Whether the receipt says that a run of ours left the file ``path`` as it is, and had found it otherwise."""
    before, after = recorded.get(path, (None, None))
    return data is not None and after == sha256(data) and before != after


def _upstream_holds(read: Reader, topic: Topic, ways: Ways) -> bool:
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
    """``tried``, but for a file that releases ship (or that the series made of it) only the variants that serve those."""
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

    A release's hash of the file below, or the receipt's, is the proof. Without either it has to be a file that needs nothing
    now, in which all of the earlier change stands, and the present one in its place.
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
        if by_chance is not None and ways.merging:
            return by_chance
    mismatch: tuple[Candidate, HunkMismatch] | None = None
    fitting: list[FileFit] = []
    for candidate in candidates:
        topic, variant, patch = candidate
        if patch.creates:
            continue
        try:
            made, fits = patchfile.apply(data, patch, unique=True)
        except HunkMismatch as e:
            mismatch = mismatch or (candidate, e)
            continue
        found = _found(topic, variant, path, State.PRISTINE, made, fits)
        if made is not None and meaning.holds(path, data, made):
            return found
        fitting.append(found)
    if native is not None and is_native(native, path, data):
        return FileFit(native, None, FileStatus(native, path, State.NATIVE))
    if not needy:
        return fitting[0] if fitting else None  # it needs nothing of the series
    if fitting and ways.exact:
        return fitting[0]  # the contract will say what is missing
    if not candidates:
        return None
    topic, variant, _ = candidates[0]
    crlf = mismatch is not None and mismatch[1].is_crlf
    merged = None
    if ways.merge is not None and mismatch is not None and not crlf:  # of CRLF every line would conflict
        (topic, variant, _), _ = mismatch
        merged = _found(topic, variant, path, State.EDITED, ways.merge.merge(path, data, topic, variant))
        clean = path not in ways.merge.conflicts
        if ways.exact or (clean and merged.result is not None and meaning.holds(path, data, merged.result)):
            return merged
    if ways.exact or crlf:
        if mismatch is None:
            return None
        (topic, variant, _), why = mismatch
        return FileFit(topic.name, variant, FileStatus(topic.name, path, State.EDITED, (), why))
    try:
        made = meaning.change(path, data, [patch for _, _, patch in candidates])
    except meaning.Unclear as e:
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


def _unclear(found: FileFit, where: str, ways_out: Remedies) -> DoesNotApply:
    """The error for a file that no variant fits, and that cannot be read for certain either."""
    why = found.unclear
    assert why is not None
    at = f" (line {why.line})" if why.line else ""
    return DoesNotApply(
        f"Topic {found.topic} does not apply to {found.status.path} in {where}: no variant's text stands in the file, and its "
        "change cannot be made by meaning",
        found=f"{why.why}{at}",
        fix=f"{ways_out.merge}, or give the file explicit roles by hand",
    )


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
