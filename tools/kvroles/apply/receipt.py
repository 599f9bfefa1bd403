"""The receipt: what was done to a tree, from what, with what, and what holds now. Left in ``.kv-roles/receipt.json``.

It holds no time and no path, so that equal inputs give equal bytes. Its schema is ``docs/data/receipt.schema.json``.
"""

from __future__ import annotations

import json
from typing import Any

from kvroles.apply.plan import State, TopicStatus
from kvroles.contract.terms import Verdict
from kvroles.digest import sha256
from kvroles.series.lock import ReleaseRow
from kvroles.series.topics import Series
from kvroles.tree.change import Change

SCHEMA = 1


def make(
    release: str | None,
    row: ReleaseRow | None,
    series: Series,
    topics: list[TopicStatus],
    changes: list[Change],
    verdict: Verdict,
    tree: str | None,
    revision: str | None = None,
    earlier: bytes | None = None,
) -> bytes:
    """The receipt's bytes.

    ``tree`` is the digest of the whole tree where it was computed (new trees), ``revision`` the commit it came from,
    ``earlier`` the receipt of the run before this one, which knows the files as they were before any run.
    """
    files = recorded(earlier)
    for c in changes:
        before, after = (None if data is None else sha256(data) for data in (c.before, c.after))
        first, last = files.get(c.path, (before, before))
        files[c.path] = (first if last == before else before, after)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "release": release,
        "revision": revision,
        "archive": row.archive._asdict() if row and row.archive else None,
        "topics": {
            t.topic: {
                "state": t.state.value,
                "variant": t.variant,
                "patch": sha256(series.topic(t.topic).raw(t.variant)) if t.variant else None,
                "files": {f.path: f.state.value for f in t.files},
            }
            for t in topics
        },
        "files": {path: {"before": before, "after": after} for path, (before, after) in sorted(files.items())},
        "contract": {"holds": not verdict.breaches, "unchecked": {str(k): v for k, v in verdict.unchecked.items()}},
        "tree": tree,
    }
    return (json.dumps(data, indent=1) + "\n").encode()


def after(topics: list[TopicStatus], *, reverse: bool = False) -> list[TopicStatus]:
    """``topics`` as they are once a plan made of them has been carried out."""
    goal = State.PRISTINE if reverse else State.APPLIED

    def moved(state: State) -> State:
        return state if state is State.NATIVE else goal

    return [
        type(t)(
            t.topic,
            t.variant,
            moved(t.state),
            tuple(type(f)(f.topic, f.path, moved(f.state), f.fits) for f in t.files),
        )
        for t in topics
    ]


def recorded(text: bytes | None) -> dict[str, tuple[str | None, str | None]]:
    """path -> SHA-256 before and after, as the receipt ``text`` says; empty when there is none, or it is damaged."""
    try:
        files = json.loads(text or b"{}").get("files", {})
        pairs = {path: (f["before"], f["after"]) for path, f in files.items()}
        return pairs if all(h is None or isinstance(h, str) for pair in pairs.values() for h in pair) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
