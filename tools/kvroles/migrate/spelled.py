"""Finds ``kv_both`` in spellings that a search for the word misses: escaped, in base64, or put together from pieces.

No reader decodes these. A program may make a NIXL role of such a place, so each is unread, and none is rewritten.
Compressed files, and base64 that is wrapped within the word, are not searched.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator

from kvroles.evidence.text import TOKEN, occurrences


def _in_base64(before: int) -> str:
    """The base64 letters that depend on the word alone, where it starts at offset ``before`` in a group of three bytes."""
    packed = b64encode(b"\0" * before + TOKEN.encode()).decode()
    return packed[(before * 8 + 5) // 6 : (before + len(TOKEN)) * 8 // 6]


_ALIGNED = tuple(_in_base64(before) for before in range(3))
# The key whose value begins with ``kv_`` and goes on with a variable, a hole or another string.
_KEY = "kv_role"
# A text with another spelling holds one of these, which are quick to search for. ``_FORMS`` then tell whether it is one.
NEEDLES = tuple(word.encode() for word in (*_ALIGNED, "5fboth", "5Fboth", _KEY))
_FORMS = (
    (rf"{'|'.join(_ALIGNED)}", "kv_both stands here in base64, which no reader undoes"),
    (r"kv(?:\\+u005[fF]|\\+x5[fF]|%5[fF])both", "kv_both is escaped here, which no reader undoes"),
    (
        rf"{_KEY}[\"'`\\]*\]?(?:\s*[:=,]\s*|[ \t]+)[fbru]{{0,2}}\\*[\"'`]?kv_(?:\\*[\"'`])*(?:\s*\+|\s+[\"']|[$%{{&@]|[\"'`]\w)",
        "the role is put together here, and what it becomes is not read",
    ),
)
# For each form the words one of which every place of it holds: to look for them is many times quicker than the pattern.
_SIGNS = (_ALIGNED, ("5fboth", "5Fboth"), (_KEY,))
_PATTERNS = tuple(re.compile(form) for form, _ in _FORMS)
_LONGEST = 200  # characters of a place
_BEFORE = 16  # characters of a place that may stand before its sign: ``kv`` and the backslashes of an escape


def holds(data: bytes) -> bool:
    """Whether bytes hold such a place."""
    return any(needle in data for needle in NEEDLES) and next(places(data.decode("latin-1")), None) is not None


def places(s: str) -> Iterator[tuple[int, str]]:
    """Where in a text such a place is, in order, and what it is in words."""
    found: dict[int, str] = {}
    for signs, pattern, (_, says) in zip(_SIGNS, _PATTERNS, _FORMS, strict=True):
        for sign in signs:
            for i in occurrences(s, sign):
                if (m := pattern.search(s, max(0, i - _BEFORE), i + _LONGEST)) is not None and m.start() <= i:
                    found[m.start()] = says
    yield from sorted(found.items())
