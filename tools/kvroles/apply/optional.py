"""Optional topics on trees that no lock row vouches for: each lies whole on what the default topics leave, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from kvroles.apply import plan
from kvroles.apply.plan import FileStatus, Reader, State, TopicStatus
from kvroles.series import patchfile
from kvroles.series.earlier import Earlier
from kvroles.series.patchfile import FilePatch, HunkMismatch
from kvroles.series.topics import Topic


@dataclass(frozen=True)
class Layer:
    """An optional topic in one of its variants: its state, and the bytes each of its files has without or with it."""

    status: TopicStatus
    result: dict[str, bytes | None]


def peel(read: Reader, topic: Topic, order: list[str], earlier: Earlier) -> Layer | None:
    """The topic taken out of a tree, by the first variant of ``order`` that is in it as a whole; None when none is.

    A file may hold what an ``earlier`` series made of it instead.
    """
    for variant in order:
        files = _there(read, topic, variant)
        result: dict[str, bytes | None] = {}
        statuses = []
        for f in files:
            past = [(c.number, c.patch) for c in earlier.changes.get(f.path, ()) if c.topic == topic.name]
            for number, patch in [(None, f), *past]:
                undone = patchfile.taken_out(read(f.path), patch)
                if undone is not None and (patch.creates or undone[0] is not None):
                    result[f.path] = undone[0]
                    state = State.APPLIED if number is None else State.EARLIER
                    statuses.append(FileStatus(topic.name, f.path, state, series=number))
                    break
            else:
                break
        if files and len(statuses) == len(files):
            state = plan.combine([s.state for s in statuses])
            return Layer(TopicStatus(topic.name, variant, state, tuple(statuses)), result)
    return None


def lay(read: Reader, topic: Topic, order: list[str], where: str, ways_out: plan.Remedies) -> Layer:
    """The topic laid on a tree, by the first variant of ``order`` that fits; raises DoesNotApply, naming the hunk."""
    first: HunkMismatch | None = None
    for variant in order:
        files = _there(read, topic, variant)
        result: dict[str, bytes | None] = {}
        fits: dict[str, tuple[patchfile.HunkFit, ...]] = {}
        try:
            for f in files:
                result[f.path], fits[f.path] = patchfile.apply(read(f.path), f, unique=True)
        except HunkMismatch as e:
            first = first or e
            continue
        return Layer(_status(topic, variant, files, State.PRISTINE, fits), result)
    assert first is not None  # a topic has a variant, and one with nothing to do in a tree fits it
    raise plan.hunk_refusal(topic.name, first, where, ways_out)


def _there(read: Reader, topic: Topic, variant: str) -> list[FilePatch]:
    """The files of a variant that the tree has or is to get; a fork may ship without tests."""
    patch = topic.patch(variant)
    return [f for f in patch.files if not f.path.startswith("tests/") or read(f.path) is not None or _tests(read, f)]


def _tests(read: Reader, patch: FilePatch) -> bool:
    """Whether a test file the topic creates has a place: its folder is known by the tests' helpers."""
    return patch.creates and read(patch.path.rpartition("/")[0] + "/utils.py") is not None


def _status(
    topic: Topic, variant: str, files: list[FilePatch], state: State, fits: dict[str, tuple[patchfile.HunkFit, ...]]
) -> TopicStatus:
    each = tuple(FileStatus(topic.name, f.path, state, fits.get(f.path, ())) for f in files)
    return TopicStatus(topic.name, variant, state, each)
