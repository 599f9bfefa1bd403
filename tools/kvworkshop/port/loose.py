"""A patch applied with less context than it has, for a port that a person reviews."""

from __future__ import annotations

from kvroles.series import patchfile
from kvroles.series.patchfile import FilePatch, Hunk, HunkMismatch


def loosely(data: bytes, patch: FilePatch) -> bytes | None:
    """``data`` with ``patch`` applied, or None where it does not fit even so.

    Of each hunk as much context is kept as makes it fit in exactly one place. All lines that it takes out have to be there, and
    at least one line beside those that it adds.
    """
    for hunk in patch.hunks:
        made = next((m for m in (_placed(data, patch.path, h) for h in _narrower(hunk)) if m is not None), None)
        if made is None:
            return None
        data = made
    return data


def _narrower(hunk: Hunk) -> list[Hunk]:
    """``hunk``, and it with less and less context before and behind."""
    same = [a == b for a, b in zip(hunk.old, hunk.new, strict=False)]
    before = same.index(False) if False in same else len(same)
    tail = [a == b for a, b in zip(reversed(hunk.old), reversed(hunk.new), strict=False)]
    behind = tail.index(False) if False in tail else len(tail)
    behind = min(behind, len(hunk.old) - before, len(hunk.new) - before)
    cuts = sorted(
        ((i, j) for i in range(before + 1) for j in range(behind + 1)), key=lambda c: (c[0] + c[1], abs(c[0] - c[1]))
    )
    out = []
    for i, j in cuts:
        old, new = hunk.old[i : len(hunk.old) - j], hunk.new[i : len(hunk.new) - j]
        if any(line.strip() for line in old):
            out.append(Hunk(hunk.old_start + i, hunk.new_start + i, old, new, hunk.at_end and not j))
    return out


def _placed(data: bytes, path: str, hunk: Hunk) -> bytes | None:
    try:
        return patchfile.apply(data, FilePatch(path, (hunk,)), unique=True)[0]
    except HunkMismatch:
        return None
