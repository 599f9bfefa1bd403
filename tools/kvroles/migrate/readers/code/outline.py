"""Which functions and classes of a large Python text need not be parsed at first."""

from __future__ import annotations

import re
from bisect import bisect

from kvroles.evidence.text import Text, first_in_lines

_WORTH_IT = 8_000


def _definitions(s: str) -> list[tuple[int, int]]:
    """The lines, the first left out, that begin with a decorator, a function or a class: where each begins, and how far in."""
    found: set[tuple[int, int]] = set()
    for word in ("@", "def ", "class "):
        for line, i in first_in_lines(s, word):
            lead = s[line:i].removesuffix("async ") if word == "def " else s[line:i]
            if line and not lead.strip(" \t"):
                found.add((line, len(lead)))
    return sorted(found)


def without_token(t: Text) -> list[tuple[int, int]]:
    """The functions and classes of a large Python text that hold no token, nor anything that does.

    Parsing is what a big file costs, and most of a module can wait until something in it is asked for. A stretch begins
    at a definition and goes on to the next, or to the first line further out than itself; where triple quotes are open
    there is no definition, and if they never close, nothing is left out.
    """
    s = t.s
    if len(s) < _WORTH_IT:
        return []
    quotes = [q for q in ('"""', "'''") if t.has(q)]
    starts: list[tuple[int, int]] = [(0, 0)]  # where, and how far in
    decorated = False
    for line, indent in _definitions(s):
        begin = starts[-1][0]
        if not decorated and sum(s.count(q, begin, line) for q in quotes) % 2 == 0:
            starts.append((line, indent))
        decorated = s[line + indent] == "@"  # the next of these lines belongs to it
    last = starts[-1][0]
    if sum(s.count(q, last) for q in quotes) % 2:
        return []
    ends = [a for a, _ in starts[1:]] + [len(s)]
    tokens = t.tokens()
    kept: set[int] = set()
    for n, ((begin, indent), end) in enumerate(zip(starts, ends, strict=True)):
        if bisect(tokens, end - 1) > bisect(tokens, begin - 1):
            kept.add(n)
            for k in range(n - 1, -1, -1):  # and what it stands in
                if starts[k][1] < indent:
                    kept.add(k)
                    indent = starts[k][1]
    out: list[tuple[int, int]] = []
    for n, ((begin, indent), end) in enumerate(zip(starts, ends, strict=True)):
        if n in kept or end == begin:
            continue
        out_of_it = re.compile(rf"\n[ \t]{{0,{indent - 1}}}[^\s#)\]}}]").search(s, begin, end) if indent else None
        if out and out[-1][1] == begin:  # right behind another: one stretch is parsed sooner than two
            begin = out.pop()[0]
        out.append((begin, out_of_it.start() if out_of_it else end))
    return out
