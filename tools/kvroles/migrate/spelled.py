"""Finds ``kv_both`` in spellings that a search for the word misses: escaped, in base64, or put together from pieces.

No reader decodes these. A program may make a NIXL role of such a place, so each is unread, and none is rewritten.
Compressed files, and base64 that is wrapped within the word, are not searched.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence import c_library
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text


def _in_base64(before: int) -> str:
    """The base64 letters that depend on the word alone, where it starts at offset ``before`` in a group of three bytes."""
    packed = b64encode(b"\0" * before + TOKEN.encode()).decode()
    return packed[(before * 8 + 5) // 6 : (before + len(TOKEN)) * 8 // 6]


class _Form(NamedTuple):
    """A way to spell the word: the texts one of which every place of it holds, what finds it, and what it is in words."""

    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    says: str


_ALIGNED = tuple(_in_base64(before) for before in range(3))
_FORMS = (
    _Form(_ALIGNED, regex("|".join(_ALIGNED)), "kv_both stands here in base64, which no reader undoes"),
    _Form(
        ("5fboth", "5Fboth"),
        regex(r"kv(?:\\+u005[fF]|\\+x5[fF]|%5[fF])both"),
        "kv_both is escaped here, which no reader undoes",
    ),
    # The value of the key begins with ``kv_`` and goes on with a variable, a hole or another string.
    _Form(
        ("kv_role",),
        regex(
            r"kv_role[\"'`\\]*\]?(?:\s*[:=,]\s*|[ \t]+)[fbru]{0,2}\\*[\"'`]?"
            r"kv_(?:\\*[\"'`])*(?:\s*\+|\s+[\"']|[$%{&@]|[\"'`]\w)"
        ),
        "the role is put together here, and what it becomes is not read",
    ),
)
# A text with another spelling holds one of these, which are many times quicker to search for than the patterns.
NEEDLES = tuple(sign.encode() for form in _FORMS for sign in form.signs)


def holds(data: bytes) -> bool:
    """Whether bytes hold such a place."""
    return any(c_library.within(data, needle) for needle in NEEDLES) and any(
        True for _ in places(Text(data.decode("latin-1")))
    )


def places(text: Text) -> Iterator[tuple[int, str]]:
    """Where in a text such a place is, in order, and what it is in words."""
    forms = [form for form in _FORMS if any(text.has(sign) for sign in form.signs)]
    yield from sorted((m.start(), form.says) for form in forms for m in form.pattern.finditer(text.s))
