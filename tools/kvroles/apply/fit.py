"""Plan by fit, for trees that no lock row vouches for: forks, commits between releases, edited files.

A file that some release ships takes that release's variant. Any other takes a variant all of whose hunks stand in it, each
exactly once: the nearest release's of those after which the file's own clauses hold. Where none fits, the change is made by
meaning, unless the caller wants exact text or hands in a three-way merge. The contract is then the proof.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvroles.apply import connector, optional
from kvroles.apply.file_fit import FileFit, Merge, Ways, by_distance, of_layer
from kvroles.apply.optional import Kept, Recorded
from kvroles.apply.plan import Plan
from kvroles.apply.refusals import Remedies, hunk_refusal, remedies
from kvroles.apply.state import BY_MEANING, Reader, State, TopicStatus, combine, overlay_status
from kvroles.contract import terms
from kvroles.errors import DoesNotApply
from kvroles.series.lock import Lock
from kvroles.series.topics import OVERLAY, Series, Topic
from kvroles.tree.change import Change


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
    result = Plan()
    ways_out = ways_out or remedies(where)
    draft = _Draft(read)
    # In one release a file belongs to one default topic; optional topics lie on top of what those leave.
    orders = {t: _order(t, nearest, lock) for t in series.topics if t.optional and _has_files(t)}
    peeled = _peeled(draft, result, orders, series, kept_on_top or {}, recorded or {}, where)
    default = series.chosen()
    merging = merge is not None
    ways = Ways(
        None if reverse else merge, recorded or {}, kept or {}, exact or reverse, series.earlier.changes, merging
    )
    found = of_layer(draft.read, default, lock, nearest, ways)
    for f in found:
        if f.status.mismatch is not None:
            raise hunk_refusal(f.topic, f.status.mismatch, where, ways_out)
        if f.unclear is not None:
            raise _unclear(f, where, ways_out)
        _take(f, draft, result, reverse=reverse)
    result.topics += _by_topic(default, found)
    for topic, order in orders.items():
        told = peeled.get(topic)
        if not reverse and (told or topic in topics):
            layer = optional.lay(draft.read, topic, order, where, ways_out, exact=exact)
            draft.now.update(layer.result)
            if layer.meant:
                result.meant[topic.name] = layer.meant
            told = told or layer
        if told:
            result.topics.append(told.status)
    result.topics.append(_overlay(draft, series, ways.recorded, reverse=reverse, replace=merging, where=where))
    result.changes = [Change(p, draft.was[p], draft.now[p]) for p in sorted(draft.now) if draft.was[p] != draft.now[p]]
    return result


class _Draft:
    """The tree on its way through a plan: ``was`` has each file as it is read, ``now`` as the steps so far leave it."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self.was: dict[str, bytes | None] = {}
        self.now: dict[str, bytes | None] = {}

    def read(self, path: str) -> bytes | None:
        """The file as the steps so far leave it."""
        if path not in self.was:
            self.was[path] = self.now[path] = self._read(path)
        return self.now[path]


def _peeled(
    draft: _Draft,
    result: Plan,
    orders: dict[Topic, list[str]],
    series: Series,
    kept_on_top: Mapping[str, Kept],
    recorded: Recorded,
    where: str,
) -> dict[Topic, optional.Layer]:
    """The optional topics that are in the tree, taken out of ``draft``. Raises DoesNotApply for one that is there in part."""
    peeled: dict[Topic, optional.Layer] = {}
    for topic, order in reversed(orders.items()):
        kept = kept_on_top.get(topic.name, {})
        layer = optional.peel(draft.read, topic, order, series.earlier, kept)
        if layer:
            peeled[topic] = layer
            draft.now.update(layer.result)
            if layer.status.state is State.EARLIER:
                result.shipped.update(layer.result)
        elif topic.name != terms.REJECT or _refusing(draft.read) is None:
            # A connector that refuses has the topic's lines: then only the receipt is missing, and nothing is damaged.
            optional.refuse_damaged(draft.read, topic, order, series.earlier, kept, recorded, where)
    refusing = _refusing(draft.read)
    if refusing is not None and any(t.name == terms.REJECT for t in orders):
        raise DoesNotApply(
            f"Topic {terms.REJECT} is in {refusing} of {where}, by a change that neither a variant nor a receipt takes out",
            fix="Put back the receipt of the run that made it, .kv-roles/receipt.json, or take the change out by hand",
        )
    return peeled


def _take(fit: FileFit, draft: _Draft, result: Plan, *, reverse: bool) -> None:
    """Note in ``draft`` and ``result`` what ``fit`` makes of its file, or with ``reverse`` what it leaves of it."""
    path, state = fit.status.path, fit.status.state
    if fit.status.variant == BY_MEANING and state in (State.PRISTINE, State.EARLIER):
        below = fit.back if state is State.EARLIER else draft.read(path)
        result.meant.setdefault(fit.topic, []).append(Change(path, below, fit.result))
    if state is State.APPLIED and path in result.shipped:
        result.shipped[path] = fit.result
    if state is (State.APPLIED if reverse else State.PRISTINE) or (state is State.EDITED and not reverse):
        draft.now[path] = fit.result
    elif state is State.EARLIER:
        draft.now[path] = fit.back if reverse else fit.result
        result.shipped[path] = fit.back


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
    draft: _Draft,
    series: Series,
    recorded: Recorded,
    *,
    reverse: bool,
    replace: bool,
    where: str,
) -> TopicStatus:
    files = []
    for path, want in series.overlay.items():
        found = overlay_status(draft.read(path), path, want, recorded.get(path, (None, None))[1], series.earlier)
        if found.state is State.EDITED and not replace:
            raise DoesNotApply(
                f"{path} in {where} is edited",
                expected="no such file, or the project's own",
                found="other content",
                fix="Move it away and run again, or run again with --3way to replace it",
            )
        draft.now[path] = None if reverse else want
        files.append(found)
    return TopicStatus(OVERLAY, None, combine([f.state for f in files]), tuple(files))


def _refusing(read: Reader) -> str | None:
    """The connector's module that refuses ``kv_both`` in any words; None if there is none."""
    return next((p for p in terms.CONNECTORS if connector.refuses(read(p))), None)


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
