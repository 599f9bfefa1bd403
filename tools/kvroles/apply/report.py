"""What a person reads at the end of a run, and what a machine reads (``--json``, ``docs/data/apply.schema.json``)."""

from __future__ import annotations

import os
import sys
from typing import Any

from kvroles.apply.request import Outcome
from kvroles.apply.state import FileStatus, State, TopicStatus
from kvroles.contract import terms
from kvroles.said import counted, said
from kvroles.series.lock import Lock
from kvroles.series.topics import OVERLAY, Series

_COLOUR = {
    State.PRISTINE: "36",
    State.APPLIED: "32",
    State.NATIVE: "34",
    State.EDITED: "31",
    State.PARTIAL: "33",
    State.EARLIER: "33",
    State.MERGED: "35",
}


def colours() -> bool:
    """Whether to colour: standard output is a terminal, and no NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(state: State, width: int, on: bool) -> str:
    """``state`` padded to ``width``, coloured when ``on``."""
    text = f"{state.value:<{width}}"
    return f"\033[{_COLOUR[state]}m{text}\033[0m" if on else text


_SAYS = {
    "applied": "applied, {files} changed",
    "reversed": "reversed, {files} changed back",
    "would-apply": "would be applied, {files} would change (--check: nothing was written)",
    "would-reverse": "would be reversed, {files} would change back (--check: nothing was written)",
}


def text(outcome: Outcome, *, verbose: bool) -> str:
    """The summary: a line a topic, its files below it, then the proof."""
    on = colours()
    if outcome.did == "nothing":
        state = "applied" if any(t.state is not State.PRISTINE for t in outcome.topics) else "pristine"
        headline = f"{state} already, nothing was changed"
    else:
        headline = _SAYS[outcome.did].format(files=counted(outcome.changed, "file"))
    part = f"{outcome.part.value} of " if outcome.part is not None else ""
    lines = [f"{part}vLLM {_name(outcome)} in {said(outcome.target)}: {headline}", ""]
    for topic in outcome.topics:
        lines.append(f"  {paint(topic.state, 9, on)} {topic.topic}{_variant(topic)}")
        lines += [f"    {paint(f.state, 9, on)} {said(f.path)}{_served(f, topic)}" for f in topic.files]
    lines.append("")
    if outcome.verdict is not None:
        lines.append(f"  contract  holds{_unchecked(outcome)}")
    if outcome.tree:
        count = f", {counted(outcome.files, 'file')}" if outcome.files else ""
        lines.append(f"  tree      sha256 {outcome.tree}{count}")
    if outcome.receipt is not None:
        lines.append(f"  receipt   {said(outcome.receipt)}")
    if verbose and outcome.verdict is not None:
        refuses = any(t.topic == terms.REJECT for t in outcome.topics)
        names = {n: c.name for n, c in terms.CLAUSES.items()} | (terms.NAMES_WITH_REJECT if refuses else {})
        unchecked = {n: f": not checked: {why}" for n, why in outcome.verdict.unchecked.items()}
        lines += [f"    {n} {name}{unchecked.get(n, '')}" for n, name in names.items()]
    if outcome.meant:
        lines += ["", "  Changed by meaning, because no variant's text stands in these files; please read:", ""]
        lines += [said(line) for mails in _mails(outcome).values() for line in _diff(mails)]
    return "\n".join([*map(said, outcome.notes), *lines]).rstrip() + "\n"


def _served(file: FileStatus, topic: TopicStatus) -> str:
    """Which variant serves a file, where it is not the topic's; which earlier series left it."""
    if file.series is not None:
        return f" (series {file.series})"
    return "" if file.variant in (None, topic.variant) else f" ({file.variant})"


def _mails(outcome: Outcome) -> dict[str, list[str]]:
    """path -> the changes made to it by meaning, as mails, in the order of the topics."""
    out: dict[str, list[str]] = {}
    for mails in outcome.meant.values():
        for path, mail in mails.items():
            out.setdefault(path, []).append(mail)
    return out


def _diff(mails: list[str]) -> list[str]:
    """The diffs in ``mails``, without the mails' heads and signatures."""
    return [line for m in mails for line in m[m.index("diff --git ") : m.rindex("-- \n")].splitlines()]


def _name(outcome: Outcome) -> str:
    if outcome.release:
        return outcome.release
    commit = f"commit {outcome.revision[:12]}" if outcome.revision else "(no release)"
    return f"{commit}, nearest to {outcome.nearest}," if outcome.nearest else commit


def _variant(topic: TopicStatus) -> str:
    if topic.topic == OVERLAY:
        return ""
    return f" (variant {topic.variant})" if topic.variant else ""


def _unchecked(outcome: Outcome) -> str:
    assert outcome.verdict is not None
    return "".join(f"; clause {n} not checked: {why}" for n, why in sorted(outcome.verdict.unchecked.items()))


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The same for machines."""
    return {
        "schema": 1,
        "release": outcome.release,
        "revision": outcome.revision,
        "nearest": outcome.nearest,
        "target": str(outcome.target),
        **({"part": outcome.part.value} if outcome.part is not None else {}),
        "did": outcome.did,
        "changed": outcome.changed,
        "topics": [
            {
                "topic": t.topic,
                "variant": t.variant,
                "state": t.state.value,
                "files": [
                    {
                        "path": f.path,
                        "state": f.state.value,
                        **({"variant": f.variant} if f.variant else {}),
                        **({"series": f.series} if f.series is not None else {}),
                        "hunks": [{"number": h.number, "line": h.line, "offset": h.offset} for h in f.fits],
                    }
                    for f in t.files
                ],
            }
            for t in outcome.topics
        ],
        "contract": None
        if outcome.verdict is None
        else {"holds": True, "unchecked": {str(k): v for k, v in outcome.verdict.unchecked.items()}},
        "tree": outcome.tree,
        "receipt": None if outcome.receipt is None else str(outcome.receipt),
        "notes": list(outcome.notes),
        **({"by_meaning": {p: "".join(mails) for p, mails in _mails(outcome).items()}} if outcome.meant else {}),
    }


def listing(lock: Lock, series: Series) -> str:
    """A table of every release in the lock: per topic the variant that serves it, ``native`` or ``-``."""
    names = [t.name for t in series.topics]
    rows = [["release", *(f"{t.name}*" if t.optional else t.name for t in series.topics), "archive"]]
    for release, row in lock.releases.items():
        cells = []
        for name in names:
            topic = row.topics.get(name)
            cells.append("-" if topic is None or topic.state == "absent" else topic.variant or "native")
        rows.append([release, *cells, row.archive.name if row.archive else "none (git tag or wheel)"])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    if any(t.optional for t in series.topics):
        lines.append("* optional: chosen with --with TOPIC")
    return "\n".join(lines) + "\n"


def listing_json(lock: Lock, series: Series) -> dict[str, Any]:
    """The same for machines."""
    return {
        "schema": 1,
        "topics": [{"topic": t.name, "optional": t.optional, "variants": list(t.variants)} for t in series.topics],
        "releases": {
            release: {name: {"state": t.state, "variant": t.variant} for name, t in row.topics.items()}
            for release, row in lock.releases.items()
        },
    }
