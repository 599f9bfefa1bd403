"""The arms of a template's conditionals and loops: what stands in one may not be there, or may be there several times."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable

from kvroles.evidence.frames import Cue
from kvroles.evidence.names import mentioned

_Span = tuple[int, int]


class Arms:
    """The arms of one text, by their spans in it, which nest."""

    def __init__(self, s: str, spans: Iterable[_Span]) -> None:
        self._s = s
        self._starts: list[int] = []  # where the innermost arm changes, in order
        self._within: list[_Span | None] = []  # and which it is from there on
        open_: list[_Span] = []
        for arm in sorted(spans):
            self._close(open_, arm[0])
            open_.append(arm)
            self._starts.append(arm[0])
            self._within.append(arm)
        self._close(open_, len(s) * 2 + 1)

    def _close(self, open_: list[_Span], until: int) -> None:
        while open_ and open_[-1][1] <= until:
            self._starts.append(open_.pop()[1])
            self._within.append(open_[-1] if open_ else None)

    def only_hold(self, cue: Cue, site: int) -> bool:
        """Whether evidence stands in an arm that the place ``site`` is not in, or names its side only there: it may not be there
        at all."""
        if cue.pos < 0:
            return False
        end = cue.pos + len(cue.words)
        feed = self._s.find("\n", cue.pos, end)
        end = end if feed < 0 else feed
        first = max(0, bisect(self._starts, cue.pos) - 1)
        within = self._within[first : bisect(self._starts, end)]
        apart = [a for a in within if a is not None and not a[0] <= site < a[1]]
        if any(a <= cue.pos < b for a, b in apart):
            return True
        text = self._s[cue.pos : end]
        for a, b in apart:
            a, b = a - cue.pos, min(b - cue.pos, len(text))
            text = text[:a] + " " * (b - a) + text[b:]
        return len(apart) > 0 and cue.side not in {s for w in re.findall(r"[\w-]+", text) for s in mentioned(w)}
