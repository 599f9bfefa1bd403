"""Comments that answer in the file itself: ``kv-roles: keep both because ...`` and ``kv-roles: ignore[KVR...]``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kvroles.evidence.patterns import regex
from kvroles.migrate.model import Kept

SIGN = "kv-roles:"  # what every such comment has in it, in lower case
_IGNORE = regex(r"kv-roles:\s*ignore(?:\[\s*([A-Za-z0-9_,\s]*?)\s*\])?", re.I)
_BOTH = regex(r"kv-roles:\s*keep\s+both\b(?:\s+because\b[\s:,]*(.*))?", re.I)
# What ends a comment, or the string of one: none of it is the reason.
_END = regex(r"\s*(?:\*/\s*(?:-?\}\})?|-->|#\}|\\n\"?|[\"']\s*[,}\]]*)?\s*$")
# A comment alone on its line, in any language; in a notebook behind the quote of its string, in JSON as a comment's key.
_ALONE = regex(r"""[\s>]*"?(?:\#|//|--|;|<!--|/\*|\{\{-?\s*/\*|\{\#|\.\.|(?:_?comment|\$comment)"\s*:)""", re.X | re.I)
# The sign of a comment right before the words: where a sentence quotes them there is none.
_COMMENTED = regex(r"""(?:\#|//|--|;|/\*|\.\.|_comment"\s*:\s*")\s*kv-roles:""", re.X | re.I)
_FENCE = regex(r"[\s>]*(?:```|~~~|\.\. (?:code|sourcecode))")


def kept(lines: list[str], line: int, code: str) -> Kept | None:
    """What a comment says of ``code`` on a line (from 1), or None.

    It stands on the line, or alone above it: above the command that a backslash continues to it, above the fence it is in.
    """
    for text in (lines[n] for n in _places(lines, line)):
        m = _BOTH.search(text)
        if m is not None and (reason := _reason(m)):
            return Kept("answer", reason, "comment")
        if m is None and _silences(text, code):
            return Kept("silenced", "", "comment")
    return None


def without_reason(lines: list[str], line: int) -> bool:
    """Whether a comment says to keep a line's ``kv_both`` and does not say why."""
    return any((m := _BOTH.search(lines[n])) is not None and not _reason(m) for n in _places(lines, line))


def without_line(lines: list[str], holding: Iterable[int]) -> list[int]:
    """The lines (from 1) with a comment to keep both that is about none of the lines ``holding`` a ``kv_both``."""
    about = {n for line in holding for n in _places(lines, line)}
    return [
        n + 1
        for n, text in enumerate(lines)
        if n not in about
        and (m := _BOTH.search(text)) is not None
        and _reason(m)
        and _COMMENTED.search(text) is not None
    ]


def _places(lines: list[str], line: int) -> list[int]:
    """The indices of the lines whose comment is about a line: itself, the one above, the one above its fence."""
    if line > len(lines):
        return []
    above = line - 1  # how many lines stand above
    while above and lines[above - 1].rstrip().endswith("\\"):
        above -= 1
    out = [line - 1]
    if above > 0 and _ALONE.match(lines[above - 1]) is not None:
        out.append(above - 1)
    fence = next((n for n in range(above, 0, -1) if _FENCE.match(lines[n - 1])), 0)
    over_fence = next((n for n in range(fence - 2, -1, -1) if lines[n].strip()), -1)
    if over_fence >= 0 and lines[over_fence].lstrip(" >\t").startswith(("<!--", "..", "{/*")):
        out.append(over_fence)
    return out


def _reason(m: re.Match[str]) -> str:
    reason = _END.sub("", m.group(1) or "").strip()
    return reason if re.search(r"\w", reason) else ""


def _silences(text: str, code: str) -> bool:
    m = _IGNORE.search(text)
    if m is None:
        return False
    codes = {c.strip().upper() for c in (m.group(1) or "").split(",") if c.strip()}
    return not codes or code in codes
