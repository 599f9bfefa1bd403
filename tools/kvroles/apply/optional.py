"""Optional topics on trees that no lock row vouches for: each lies whole on what the default topics leave, or not at all.

A variant that fits all of its files is taken first. Where none does, each file takes the nearest variant's change that fits it,
and the connector, which the topic refuses in the place of its warning, is changed by meaning. The contract proves the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvroles.apply import connector
from kvroles.apply.refusals import Remedies, damaged, hunk_refusal, lacks, on_top
from kvroles.apply.state import BY_MEANING, FileStatus, Reader, State, TopicStatus, combine
from kvroles.apply.unclear import Unclear
from kvroles.contract import terms
from kvroles.digest import sha256_of
from kvroles.series import patchfile
from kvroles.series.earlier import Earlier
from kvroles.series.patchfile import FilePatch, HunkMismatch
from kvroles.series.topics import Topic
from kvroles.series.upstream_files import COMPLETED
from kvroles.tree.change import Change

# path -> its SHA-256 before and after the run that left the receipt
Recorded = Mapping[str, tuple[str | None, str | None]]
_UNKNOWN = ("", "")
Kept = Mapping[str, FilePatch]  # path -> the change by meaning that an earlier run has made to it


@dataclass(frozen=True)
class Layer:
    """An optional topic in one of its variants: its state, and in ``result`` each of its files afterwards.

    Afterwards is without the topic where it was peeled, with it where it was laid. ``meant`` are the changes made by meaning.
    """

    status: TopicStatus
    result: dict[str, bytes | None]
    meant: list[Change] = field(default_factory=list)


def peel(read: Reader, topic: Topic, order: list[str], earlier: Earlier, kept: Kept) -> Layer | None:
    """The topic taken out of a tree; None when it is not in it as a whole.

    Each variant of ``order`` is tried for all files, then for each file alone. A file may hold what an ``earlier`` series made
    of it instead, or a change that was made by meaning and ``kept``.
    """
    for others in ([], order):
        for variant in order:
            files = _there(read, topic, variant)
            found = [_taken_out(read, topic, f, variant, others, earlier, kept) for f in files]
            whole = [f for f in found if f is not None]
            if files and len(whole) == len(files):
                statuses = tuple(status for status, _ in whole)
                state = combine([s.state for s in statuses])
                return Layer(
                    TopicStatus(topic.name, variant, state, statuses), {s.path: without for s, without in whole}
                )
    return None


def refuse_damaged(
    read: Reader, topic: Topic, order: list[str], earlier: Earlier, kept: Kept, recorded: Recorded, where: str
) -> None:
    """Raise DoesNotApply where ``topic``, which cannot be peeled, is in a part of its files.

    A file that it creates and that stands as made is a sign of it, and so is one that is as the receipt says a run left it.
    """
    for variant in order:
        files = _there(read, topic, variant)
        found = {f.path: _taken_out(read, topic, f, variant, order, earlier, kept) is not None for f in files}
        ours = [
            f.path
            for f in files
            if found[f.path] and (f.creates or recorded.get(f.path, _UNKNOWN)[1] == sha256_of(read(f.path)))
        ]
        if ours and not all(found.values()):
            raise damaged(topic.name, ours[0], next(p for p, whole in found.items() if not whole), where)


def _taken_out(
    read: Reader, topic: Topic, own: FilePatch, variant: str, others: list[str], earlier: Earlier, kept: Kept
) -> tuple[FileStatus, bytes | None] | None:
    """The state of one file of ``variant``, and its bytes without the topic; None where nothing of the topic is in it."""
    path = own.path
    past = [(c.patch, None, c.number) for c in earlier.changes.get(path, ()) if c.topic == topic.name]
    beside = [(f, v, None) for v, f in _of_others(topic, path, variant, others)]
    meant = [(kept[path], BY_MEANING, None)] if path in kept else []
    for patch, served, number in [(own, None, None), *meant, *beside, *past]:
        undone = patchfile.taken_out(read(path), patch)
        if undone is not None and (patch.creates or undone[0] is not None):
            state = State.APPLIED if number is None else State.EARLIER
            return FileStatus(topic.name, path, state, variant=served, series=number), undone[0]
    return None


def lay(read: Reader, topic: Topic, order: list[str], where: str, ways_out: Remedies, *, exact: bool = False) -> Layer:
    """The topic laid on a tree: by the first variant of ``order`` that fits, else file by file, and by meaning unless ``exact``.

    Raises DoesNotApply, naming the hunk, or the code that the topic completes and the tree is without.
    """
    completed = COMPLETED.get(topic.name)
    if completed is not None and (data := read(completed.path)) is not None and completed.name.encode() not in data:
        raise lacks(topic.name, completed, where)
    first: HunkMismatch | None = None
    for others in ([], order):
        for variant in order:
            try:
                return _laid(read, topic, variant, others, exact=exact or not others)
            except HunkMismatch as e:
                first = first or e
    assert first is not None  # a topic has a variant, and one with nothing to do in a tree fits it
    raise hunk_refusal(topic.name, first, where, on_top(topic.name, ways_out))


def _laid(read: Reader, topic: Topic, variant: str, others: list[str], *, exact: bool) -> Layer:
    """The topic laid on a tree by ``variant``, and where that does not fit a file by one of ``others``; raises HunkMismatch."""
    result: dict[str, bytes | None] = {}
    statuses: list[FileStatus] = []
    meant: list[Change] = []
    for own in _there(read, topic, variant):
        path, data = own.path, read(own.path)
        mismatch: HunkMismatch | None = None
        for served, patch in [(None, own), *_of_others(topic, path, variant, others)]:
            try:
                result[path], fits = patchfile.apply(data, patch, unique=True)
            except HunkMismatch as e:
                mismatch = mismatch or e
                continue
            statuses.append(FileStatus(topic.name, path, State.PRISTINE, fits, variant=served))
            break
        else:
            assert mismatch is not None
            if exact or data is None or topic.name != terms.REJECT or path not in terms.CONNECTORS:
                raise mismatch
            try:
                result[path] = made = connector.refusing(data)
            except Unclear:
                raise mismatch from None
            meant.append(Change(path, data, made))
            statuses.append(FileStatus(topic.name, path, State.PRISTINE, variant=BY_MEANING))
    return Layer(TopicStatus(topic.name, variant, State.PRISTINE, tuple(statuses)), result, meant)


def _of_others(topic: Topic, path: str, variant: str, others: list[str]) -> list[tuple[str, FilePatch]]:
    """What other variants than ``variant`` do to ``path``."""
    return [(v, f) for v in others if v != variant for f in topic.patch(v).files if f.path == path]


def _there(read: Reader, topic: Topic, variant: str) -> list[FilePatch]:
    """The files of a variant that the tree has or is to get; a fork may ship without tests."""
    patch = topic.patch(variant)
    return [f for f in patch.files if not f.path.startswith("tests/") or read(f.path) is not None or _tests(read, f)]


def _tests(read: Reader, patch: FilePatch) -> bool:
    """Whether a test file the topic creates has a place: its folder is known by the tests' helpers."""
    return patch.creates and read(patch.path.rpartition("/")[0] + "/utils.py") is not None
