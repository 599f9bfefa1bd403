"""The receipt: what was done to a tree, from what, with what, and what holds now. Left in ``.kv-roles/receipt.json``.

It holds no time and no path, so that equal inputs give equal bytes. Its schema is ``docs/data/receipt.schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kvroles.apply.state import BY_MEANING, State, TopicStatus, combine
from kvroles.contract.terms import Verdict
from kvroles.digest import sha256, sha256_of
from kvroles.errors import KvRolesError
from kvroles.places import RECEIPT
from kvroles.series import parts, patchfile
from kvroles.series.lock import ReleaseRow
from kvroles.series.parts import Part
from kvroles.series.topics import OVERLAY, Series
from kvroles.tree.change import Change

SCHEMA = 1


def make(
    release: str | None,
    row: ReleaseRow | None,
    series: Series,
    topics: list[TopicStatus],
    changes: list[Change],
    verdict: Verdict | None,
    tree: str | None,
    revision: str | None = None,
    earlier: bytes | None = None,
    meant: Mapping[str, Mapping[str, str]] | None = None,
    part: Part | None = None,
    reverse: bool = False,
    lacking: Sequence[str] = (),
) -> bytes:
    """The receipt's bytes.

    ``tree`` is the digest of the whole tree where it was computed (new trees), ``revision`` the commit it came from.
    ``earlier`` is the receipt of the run before this one: it knows the files as they were before any run. ``verdict`` is
    None where the contract was not checked, because a topic that it needs was taken out. ``meant`` are the changes made by
    meaning (topic -> path -> mail): they are kept whole, because no variant holds them. ``part`` is the part of the tree that
    the run was kept to; of the other parts the receipt keeps what it said. With ``reverse`` the run took the series out of that
    part. ``lacking`` are files that could not be had.
    """
    optional = {t.name for t in series.topics if t.optional}
    entries = {t.topic: _entry(t, series) for t in topics}
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "series": series.earlier.number,
        "release": release,
        "revision": revision,
        "archive": row.archive._asdict() if row and row.archive else None,
        "topics": entries if part is None else _with_others(entries, earlier, part, [t.name for t in series.topics]),
        "files": _files(earlier, changes),
        "contract": None
        if verdict is None
        else {"holds": not verdict.breaches, "unchecked": {str(k): v for k, v in verdict.unchecked.items()}},
        "tree": tree,
    }
    if part is not None:
        had = parts_of(earlier) or (frozenset(Part) if earlier else frozenset())
        has = had - {part} if reverse else had | {part}
        if has != frozenset(Part):
            data["parts"] = sorted(p.value for p in has)
    if lacking:
        data["lacking"] = sorted(lacking)
    served = {f.path: f.variant for t in topics if t.topic not in optional for f in t.files if f.variant is not None}
    if served:
        data["variants"] = dict(sorted(served.items()))
    data |= _kept_by_meaning(earlier, topics, optional, meant or {}, part)
    return (json.dumps(data, indent=1) + "\n").encode()


def _entry(t: TopicStatus, series: Series) -> dict[str, Any]:
    return {
        "state": t.state.value,
        "variant": t.variant,
        "patch": sha256(series.topic(t.topic).raw(t.variant)) if t.variant else None,
        "files": {f.path: f.state.value for f in t.files},
    }


def _files(earlier: bytes | None, changes: list[Change]) -> dict[str, dict[str, str | None]]:
    """Each file's hash before any run and after this one. A file that others changed since the last run starts anew."""
    files = recorded(earlier)
    for c in changes:
        before, after = (sha256_of(data) for data in (c.before, c.after))
        first, last = files.get(c.path, (before, before))
        files[c.path] = (first if last == before else before, after)
    return {path: {"before": before, "after": after} for path, (before, after) in sorted(files.items())}


def _kept_by_meaning(
    earlier: bytes | None,
    topics: list[TopicStatus],
    optional: set[str],
    made: Mapping[str, Mapping[str, str]],
    part: Part | None,
) -> dict[str, Any]:
    """The mails of the changes by meaning that are in the tree: this run's, ``made``, and those of runs before it."""
    out: dict[str, Any] = {}
    by_meaning = dict(_left(_meant(earlier), [t for t in topics if t.topic not in optional], part))
    for name in made.keys() - optional:
        by_meaning |= made[name]
    if by_meaning:
        out["by_meaning"] = dict(sorted(by_meaning.items()))
    on_top = _optional_meant(earlier)
    of_optional = {
        t.topic: dict(sorted({**_left(on_top.get(t.topic, {}), [t], part), **made.get(t.topic, {})}.items()))
        for t in topics
        if t.topic in optional
    }
    if any(of_optional.values()):
        out["optional_by_meaning"] = {name: mails for name, mails in sorted(of_optional.items()) if mails}
    return out


def _left(had: Mapping[str, str], topics: list[TopicStatus], part: Part | None) -> dict[str, str]:
    """Of ``had``, the changes by meaning of earlier runs: those still in the tree, and all in parts that this run left alone."""
    there = {f.path for t in topics for f in t.files if f.variant == BY_MEANING and f.state is not State.PRISTINE}
    return {p: mail for p, mail in had.items() if p in there or (part is not None and parts.of(p) is not part)}


def _with_others(
    topics: dict[str, dict[str, Any]], earlier: bytes | None, part: Part, order: list[str]
) -> dict[str, dict[str, Any]]:
    """``topics`` of a run on ``part``, with what the receipt before says of the files of other parts."""
    told = _at(earlier, "topics")
    for name, entry in told.items() if isinstance(told, dict) else ():
        files = entry.get("files") if isinstance(entry, dict) else None
        rest = {p: s for p, s in files.items() if parts.of(p) is not part} if isinstance(files, dict) else {}
        if not rest:
            continue
        mine = topics.setdefault(name, {**entry, "files": {}})
        mine["files"] = dict(sorted({**mine["files"], **rest}.items()))
        try:
            mine["state"] = combine([State(s) for s in mine["files"].values()]).value
        except ValueError:
            mine["state"] = State.PARTIAL.value
    place = {name: i for i, name in enumerate([*order, OVERLAY])}
    return dict(sorted(topics.items(), key=lambda kv: place.get(kv[0], len(place))))


def parts_of(text: bytes | None) -> frozenset[Part] | None:
    """The parts of the tree that the series is in, as the receipt ``text`` says; None where it is about the whole tree."""
    told = _at(text, "parts")
    known = {p.value: p for p in Part}
    return frozenset(known[p] for p in told if p in known) if isinstance(told, list) else None


def holds_other_parts(text: bytes | None, part: Part | None) -> bool:
    """Whether the receipt ``text`` says that the series is in another part of the tree than ``part``."""
    if part is None or text is None:
        return False
    return bool((parts_of(text) or frozenset(Part)) - {part})


def after(topics: list[TopicStatus], *, reverse: bool = False, only: str | None = None) -> list[TopicStatus]:
    """``topics`` as they are once a plan made of them has been carried out; with ``only``, one that takes that one out."""

    def moved(state: State) -> State:
        if state is State.NATIVE:
            return state
        if reverse:
            return State.PRISTINE
        return State.MERGED if state in (State.MERGED, State.EDITED) else State.APPLIED

    def done(t: TopicStatus) -> TopicStatus:
        files = tuple(f._replace(state=moved(f.state), mismatch=None, series=None) for f in t.files)
        return t._replace(state=combine([f.state for f in files]) if files else moved(t.state), files=files)

    return [t if only is not None and t.topic != only else done(t) for t in topics]


def release_of(text: bytes | None) -> str | None:
    """The release that the receipt ``text`` names, or None."""
    return _text_at(text, "release")


def tree_of(text: bytes | None) -> str | None:
    """The digest of the whole tree that the receipt ``text`` names, or None."""
    return _text_at(text, "tree")


def series_of(text: bytes | None) -> int | None:
    """The number of the series that the receipt ``text`` names; None where it names none, as old receipts do."""
    value = _at(text, "series")
    return value if isinstance(value, int) else None


def _text_at(text: bytes | None, key: str) -> str | None:
    value = _at(text, key)
    return value if isinstance(value, str) else None


def _at(text: bytes | None, key: str) -> object:
    """The value at ``key`` of the receipt ``text``; None where it has none, there is no receipt, or it is damaged."""
    try:
        value: object = json.loads(text or b"{}").get(key)
    except (ValueError, AttributeError, RecursionError):
        return None
    return value


def merged(text: bytes | None, row: ReleaseRow, series: Series) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """(topic, path) -> SHA-256 before and after, of the files that a run of ours merged, as the receipt ``text`` says.

    Only files that were merged with the patches of ``series`` count; of the overlay, those that any series left.
    """
    files = recorded(text)
    out = {}
    try:
        for name, told in json.loads(text or b"{}").get("topics", {}).items():
            entry = row.topics.get(name)
            if entry is None or entry.variant is None or told["patch"] != sha256(series.topic(name).raw(entry.variant)):
                continue
            there = told["state"] in (State.APPLIED, State.MERGED)
            out.update({(name, p): files[p] for p in told["files"] if there and p in files and p in entry.files})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    out.update({(OVERLAY, p): files[p] for p in series.overlay if p in files})
    return {key: pair for key, pair in out.items() if pair[1] not in _known(row, key[1])}


def _known(row: ReleaseRow, path: str) -> set[str | None]:
    rows = [t.files[path] for t in row.topics.values() if path in t.files]
    return {h for f in rows for h in (f.before, f.after)}


def by_meaning(text: bytes | None) -> dict[str, patchfile.FilePatch]:
    """path -> the change by meaning that the receipt ``text`` keeps; empty where it is damaged."""
    return _patches(_meant(text))


def optional_by_meaning(text: bytes | None) -> dict[str, dict[str, patchfile.FilePatch]]:
    """optional topic -> path -> the change by meaning that the receipt ``text`` keeps; empty where it is damaged."""
    return {topic: _patches(mails) for topic, mails in _optional_meant(text).items()}


def _patches(mails: Mapping[str, str]) -> dict[str, patchfile.FilePatch]:
    out = {}
    for path, raw in mails.items():
        try:
            files = patchfile.parse(raw.encode("utf-8", "surrogateescape"), RECEIPT).files
        except (KvRolesError, UnicodeError):
            return {}
        out.update({f.path: f for f in files if f.path == path})
    return out


def _meant(text: bytes | None) -> dict[str, str]:
    told = _at(text, "by_meaning")
    return {p: t for p, t in told.items() if isinstance(t, str)} if isinstance(told, dict) else {}


def _optional_meant(text: bytes | None) -> dict[str, dict[str, str]]:
    told = _at(text, "optional_by_meaning")
    if not isinstance(told, dict):
        return {}
    return {
        topic: {p: t for p, t in mails.items() if isinstance(t, str)}
        for topic, mails in told.items()
        if isinstance(mails, dict)
    }


def recorded(text: bytes | None) -> dict[str, tuple[str | None, str | None]]:
    """path -> SHA-256 before and after, as the receipt ``text`` says; empty when there is none, or it is damaged."""
    try:
        files = json.loads(text or b"{}").get("files", {})
        pairs = {path: (f["before"], f["after"]) for path, f in files.items()}
        return pairs if all(h is None or isinstance(h, str) for pair in pairs.values() for h in pair) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
