"""``kv_both`` where a search for the word passes it over: escaped, in base64, or put together from pieces.

No reader undoes these. What a program makes of such a place may be a NIXL role, so each is unread, and none is rewritten.
Packed files and text that is wrapped in the middle of the word are not looked into.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator

from kvroles.evidence.text import TOKEN


def _in_base64(before: int) -> str:
    """What the word is in base64 wherever ``before`` characters (of three) stand before it: the letters that are its alone."""
    packed = b64encode(b"\0" * before + TOKEN.encode()).decode()
    return packed[(before * 8 + 5) // 6 : (before + len(TOKEN)) * 8 // 6]


_ALIGNED = tuple(_in_base64(before) for before in range(3))
# A setting of vLLM's whose value begins as a role and goes on as a variable, a hole or another string.
_KEY = "kv_role"
# What stands in a text that holds one of these, quick to look for; whether it does, ``FORMS`` say.
NEEDLES = tuple(word.encode() for word in (*_ALIGNED, "5fboth", "5Fboth", _KEY))
_FORMS = (
    (rf"{'|'.join(_ALIGNED)}", "kv_both stands here in base64, which no reader undoes"),
    (r"kv(?:\\+u005[fF]|\\+x5[fF]|%5[fF])both", "kv_both is escaped here, which no reader undoes"),
    (
        rf"{_KEY}[\"'`\\]*\]?(?:\s*[:=,]\s*|[ \t]+)[fbru]{{0,2}}\\*[\"'`]?kv_(?:\\*[\"'`])*(?:\s*\+|\s+[\"']|[$%{{&@]|[\"'`]\w)",
        "the role is put together here, and what it becomes is not read",
    ),
)
PATTERN = re.compile("|".join(f"({form})" for form, _ in _FORMS).encode())
_PATTERN = re.compile("|".join(f"({form})" for form, _ in _FORMS))


def places(s: str) -> Iterator[tuple[int, str]]:
    """Where in a text such a place is, in order, and what it is in words."""
    for m in _PATTERN.finditer(s):
        assert m.lastindex is not None
        yield m.start(), _FORMS[m.lastindex - 1][1]
