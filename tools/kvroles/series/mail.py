"""Write variants: from files before and after to a mail that ``git am`` takes, with the least context that is certain."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from kvroles.series import patchfile
from kvroles.series.patchfile import split_lines

# git am wants a sender and a date; both are constant so that equal changes are equal bytes.
_SENDER = "vllm-kv-roles <maintainers@vllm-kv-roles.invalid>"
_DATE = "Sun, 22 Nov 2026 00:00:00 +0000"
TRAILERS = ("Topic", "Origin", "Upstream-Status", "Applies-To", "Native-Since", "Remove-When")
MOST_CONTEXT = 3
_MOST_GROWTH = 12


class Grow(Enum):
    """Where a hunk that would fit in two places takes more context from, as (before, after) of each step."""

    BOTH = (1, 1)
    BEFORE = (1, 0)
    AFTER = (0, 1)


Files = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Message:
    """What a topic's mails say: ``trailers`` without ``Applies-To``, which each variant has its own of."""

    subject: str
    body: str
    trailers: dict[str, str]

    @classmethod
    def of(cls, patch: patchfile.Patch) -> Message:
        """The message of an existing variant."""
        return cls(patch.subject, patch.body, {k: v for k, v in patch.trailers.items() if k != "Applies-To"})


def mail(message: Message, applies_to: str, before: Files, after: Files, context: int, grow: Grow = Grow.BOTH) -> bytes:
    """The variant that turns ``before`` into ``after`` (path -> bytes; None: no such file), as bytes.

    Each hunk has ``context`` lines (at least 1) on either side, and more, taken where ``grow`` says, where fewer
    would fit in two places.
    """
    trailers = {**message.trailers, "Applies-To": applies_to}
    body = "\n".join([message.body, "", *(f"{name}: {trailers[name]}" for name in TRAILERS)])
    return plain_mail(message.subject, body, before, after, context, grow)


def plain_mail(
    subject: str, body: str, before: Files, after: Files, context: int = MOST_CONTEXT, grow: Grow = Grow.BOTH
) -> bytes:
    """A mail for ``git am`` with any ``subject`` and ``body``, that turns ``before`` into ``after``."""
    diff = b"".join(
        _file_diff(path, before.get(path), after[path], context, grow)
        for path in sorted(after)
        if before.get(path) != after[path]
    )
    return around(subject, body, diff)


def around(subject: str, body: str, diff: bytes) -> bytes:
    """A mail for ``git am`` with any ``subject`` and ``body`` around ``diff``."""
    lines = [
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001",
        f"From: {_SENDER}",
        f"Date: {_DATE}",
        f"Subject: [PATCH] {subject}",
        "",
        body,
        "---",
        "",
    ]
    return "\n".join(lines).encode() + diff + b"-- \nvllm-kv-roles\n"


def _file_diff(path: str, before: bytes | None, after: bytes | None, context: int, grow: Grow) -> bytes:
    name = path.encode()
    out = b"diff --git a/" + name + b" b/" + name + b"\n"
    if before is None:
        out += b"new file mode 100644\n"
    if after is None:
        out += b"deleted file mode 100644\n"
    out += b"--- " + (b"/dev/null" if before is None else b"a/" + name) + b"\n"
    out += b"+++ " + (b"/dev/null" if after is None else b"b/" + name) + b"\n"
    old, new = split_lines(before or b""), split_lines(after or b"")
    for group in _groups(old, new, context, grow):
        out += _hunk(old, new, group)
    return out


_Op = tuple[int, int, int, int]


def _groups(old: list[bytes], new: list[bytes], context: int, grow: Grow) -> list[list[_Op]]:
    """The changes in groups, one for each hunk. The first item of a group is the hunk's bounds, context included:
    ``(i1, i2, j1, j2)``, lines of ``old`` and of ``new``."""
    ops = [op[1:] for op in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if op[0] != "equal"]
    text = b"".join(old)
    bounds: list[tuple[int, int, list[_Op]]] = []
    for op in ops:
        for more in range(_MOST_GROWTH):
            lo = max(0, op[0] - context - more * grow.value[0])
            hi = min(len(old), op[1] + context + more * grow.value[1])
            if len(patchfile.places_of(text, b"".join(old[lo:hi]))) <= 1:
                break
        bounds.append((lo, hi, [op]))
    merged: list[tuple[int, int, list[_Op]]] = []
    for lo, hi, group in bounds:
        if merged and lo <= merged[-1][1]:
            last_lo, last_hi, last = merged.pop()
            merged.append((min(lo, last_lo), max(hi, last_hi), last + group))
        else:
            merged.append((lo, hi, group))
    out = []
    for lo, hi, group in merged:
        j1 = group[0][2] - (group[0][0] - lo)
        j2 = group[-1][3] + (hi - group[-1][1])
        out.append([(lo, hi, j1, j2), *group])
    return out


def _hunk(old: list[bytes], new: list[bytes], group: list[_Op]) -> bytes:
    (lo, hi, j1, j2), *ops = group
    body: list[bytes] = []

    def put(op: bytes, line: bytes) -> None:
        body.append(op + line if line.endswith(b"\n") else op + line + b"\n\\ No newline at end of file\n")

    at = lo
    for i1, i2, k1, k2 in ops:
        for line in old[at:i1]:
            put(b" ", line)
        for line in old[i1:i2]:
            put(b"-", line)
        for line in new[k1:k2]:
            put(b"+", line)
        at = i2
    for line in old[at:hi]:
        put(b" ", line)

    def span(start: int, end: int) -> str:
        return f"{start + 1 if end > start else start},{end - start}"

    return f"@@ -{span(lo, hi)} +{span(j1, j2)} @@\n".encode() + b"".join(body)


def serves(patch: patchfile.Patch, before: Files, after: Files) -> bool:
    """Whether ``patch`` turns ``before`` into ``after``, each hunk fitting in one place only.

    Paths of the patch that ``before`` does not know (releases that cannot be had whole) are passed over.
    """
    changed = {p for p in after if before.get(p) != after[p]}
    if not changed <= {f.path for f in patch.files}:
        return False
    for f in patch.files:
        if f.path not in before and f.path not in after:
            continue
        try:
            result, _ = patchfile.apply(before.get(f.path), f, unique=True)
        except patchfile.HunkMismatch:
            return False
        if result != after.get(f.path, before.get(f.path)):
            return False
    return True


@dataclass(frozen=True)
class Goal:
    """What a topic should make of one release. ``whole`` is False where some of its files cannot be had (0.15.x)."""

    release: str
    before: Files
    after: Files
    whole: bool = True


def fewest(message: Message, goals: list[Goal], until: str | None, known: Sequence[str] = ()) -> dict[str, bytes]:
    """The fewest variants that reach ``goals`` (oldest first): first release -> mail.

    Greedy: each variant is made for the release it starts at, with the context (1 to 3 lines, and where more of it
    comes from) that carries it furthest, so a new one comes only where the text forces it, or where ``known`` (all
    releases, in order) has one between that is no goal: a range that held it would say that the topic serves it. The
    last one's range ends at ``until`` (None: open).
    """
    following = dict(pairwise(known))
    shapes = [(context, grow) for context in range(1, MOST_CONTEXT + 1) for grow in Grow]
    starts: list[tuple[int, Goal, tuple[int, Grow]]] = []
    at = 0
    while at < len(goals):
        # A variant cannot be made from half a release; it is made for the next whole one and must serve both.
        run = _without_gap(goals[at:], following)
        made_for = next((g for g in run if g.whole), run[0])
        reach = {shape: _reach(_parsed(message, made_for, *shape), run) for shape in shapes}
        best = max(shapes, key=lambda shape: reach[shape])  # of equals the first: the least context
        if reach[best] == 0:
            raise ValueError(f"no variant serves {goals[at].release}")
        starts.append((at, made_for, best))
        at += reach[best]
    out = {}
    for number, (at, made_for, shape) in enumerate(starts):
        end = until
        if number + 1 < len(starts):
            following_start = starts[number + 1][0]
            end = following.get(goals[following_start - 1].release, goals[following_start].release)
        applies_to = f">={goals[at].release}" + (f",<{end}" if end else "")
        out[goals[at].release] = mail(message, applies_to, made_for.before, made_for.after, *shape)
    return out


def _without_gap(goals: list[Goal], following: Mapping[str, str]) -> list[Goal]:
    """The first of ``goals``, up to one that is not the next release."""
    for number, (one, other) in enumerate(pairwise(goals), 1):
        if following.get(one.release, other.release) != other.release:
            return goals[:number]
    return goals


def _reach(patch: patchfile.Patch, goals: list[Goal]) -> int:
    """How many of ``goals``, from the first on, ``patch`` serves without a gap."""
    missed = (i for i, g in enumerate(goals) if not serves(patch, g.before, g.after))
    return next(missed, len(goals))


def _parsed(message: Message, goal: Goal, context: int, grow: Grow) -> patchfile.Patch:
    raw = mail(message, f">={goal.release}", goal.before, goal.after, context, grow)
    return patchfile.parse(raw, goal.release)
