"""Finds ``kv_both`` in spellings that a search for the word misses: escaped, in base64, in other letters, or put together.

No reader decodes these. A program may make a NIXL role of such a place, so each is unread, and none is rewritten.
Compressed files, and base64 that is wrapped within the word, are not searched.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence import c_library, given
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, occurrences


def _in_base64(before: int) -> str:
    """The base64 letters that depend on the word alone, where it starts at offset ``before`` in a group of three bytes."""
    packed = b64encode(b"\0" * before + TOKEN.encode()).decode()
    return packed[(before * 8 + 5) // 6 : (before + len(TOKEN)) * 8 // 6]


class _Form(NamedTuple):
    """A way to spell the word: the texts one of which every place of it holds, what finds it, and what it is in words.

    ``beside`` are texts that a file has to hold as well, the one that fewer files hold first: without them the spelling may be
    of anything. A ``name`` that the pattern finds is none where the file itself says what it stands for.
    """

    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    says: str
    beside: tuple[str, ...] = ()

    def found(self, s: str) -> Iterator[re.Match[str]]:
        """The places in a text."""
        for i in (i for sign in self.signs for i in occurrences(s, sign)):
            for m in self.pattern.finditer(s, max(0, i - _NEAR), i + _NEAR):
                if m.start() <= i < m.end():
                    yield m


_NEAR = 200  # characters before and behind a sign in which a place begins and ends
_ALIGNED = tuple(_in_base64(before) for before in range(3))
_NIXL = "Nixl"  # in the name of each of its connectors
_PUT_TOGETHER = "the role is put together here, and what it becomes is not read"
# The underscore in an address, in XML, and in the strings of languages.
_UNDERSCORE = (
    r"\\+(?:u005[fF]|x5[fF]|137|U0000005[fF]|u\{0*5[fF]\}|N\{LOW LINE\})|%(?:25)*5[fF]|`u\{0*5[fF]\}"
    r"|&(?:amp;)*(?:#0*95|#[xX]0*5[fF]|lowbar|UnderBar);"
)


def _spelled(letter: str) -> str:
    """A letter as it is, or escaped; behind it a line may go on."""
    code = ord(letter)
    escaped = rf"\\+(?:u00{code:02x}|x{code:02x}|{code:o}|u\{{0*{code:x}\}})|%{code:02x}|&#0*{code};|&#[xX]0*{code:x};"
    return rf"(?:{letter}|(?i:{escaped}))(?:\\\r?\n[ \t]*)?"


_Q = r"\\{0,8}[\"'`]"  # bounded: backslashes may be all there is
_HOLE = r"(?:%s|%v|\{\w*\}|\$\{?\w+\}?)"
_FORMS = (
    _Form(_ALIGNED, regex("|".join(_ALIGNED)), "kv_both stands here in base64, which no reader undoes"),
    _Form(
        ("5fboth", "5Fboth", ";both", "}both", "137both"),
        regex(rf"kv(?:{_UNDERSCORE})both"),
        "kv_both is escaped here, which no reader undoes",
    ),
    _Form(
        ("kv_role",),
        regex(rf"kv_role[\"'`\\]*\s*[:=,]\s*[\"'`\\]*(?!{TOKEN}){''.join(map(_spelled, TOKEN))}"),
        "kv_both is escaped here, which no reader undoes",
    ),
    # The value of the key begins with ``kv_`` and goes on with a variable, a hole or another string.
    _Form(
        ("kv_role",),
        regex(
            r"kv_role[\"'`\\]*\]?(?:\s*[:=,]\s*|[ \t]+)[fbru]{0,2}\\*[\"'`]?"
            r"kv_(?:\\*[\"'`])*(?:\s*\+|\s+[\"']|[$%{&@]|[\"'`]\w)"
        ),
        _PUT_TOGETHER,
    ),
    # Its two halves as strings side by side, or one in the hole of the other, wherever they are put together.
    _Form(
        ("both",),
        regex(
            rf"(?<![\w-])(?:{_Q}kv_?{_Q}\s*(?:[,+.~&]|\.\.|\|\||<>|)\s*[fbru]{{0,2}}{_Q}_?both{_Q}"
            rf"|kv_{_HOLE}{_Q}[^\w\n]{{1,8}}(?:format\()?[^\w\n]{{0,4}}both\b|kv_?(?:\"\"|'')_?both\b"
            rf"|{_Q}kv-both{_Q}\s*(?:[.|]|-c?replace|,\s*{_Q}-))"
        ),
        _PUT_TOGETHER,
        (_NIXL,),
    ),
    # What a chart or a launcher makes ``kv_both`` of.
    _Form(
        ("both",),
        regex(
            rf"(?:(?i:\bkv[-_]?role)[\"'`\\\]]*\s*[:=]\s*|(?:--[\w.-]{{0,40}}|\bENV[ \t]+)(?i:kv[-_]?role)[ \t]+)(?:{_Q})?both\b"
            rf"(?!{_Q}?\s*[|/,]|[-\w])"
        ),
        "the role is said as both here, and what is made of that is not read",
        (_NIXL,),
    ),
    # The word in other letters, or a constant for it, as a value.
    _Form(
        ("KV_BOTH", "Kv_Both", "KVBoth", "KvBoth", "kvBoth"),
        regex(
            rf"(?:(?<![=!<>])[:=(]\s*|\{{\{{-?\s*|\breturn\s+|(?i:role)[ \t]+)(?:{_Q}|(?P<name>(?:[A-Za-z]\w*(?:\.|::))*))"
            rf"(?P<word>KV_BOTH|Kv_Both|(?<=[.:])K[Vv]Both|(?i:(?<=role: )|(?<=role=)|(?<=role = ))(?:K[Vv]|kv)Both)"
            rf"(?![\w-]|{_Q}?\s*(?:[:=](?!\s*$)|[|,]\s*{_Q}?[\w.]*[Kk][Vv]))"
        ),
        "kv_both stands here in other letters, which no reader undoes",
        ("kv_role", _NIXL),
    ),
)
# What to search for first: a text with another spelling holds one of these.
NEEDLES = tuple(dict.fromkeys(sign.encode() for form in _FORMS for sign in (form.beside[:1] or form.signs)))


def holds(data: bytes) -> bool:
    """Whether bytes hold such a place."""
    return any(c_library.within(data, needle) for needle in NEEDLES) and any(
        True for _ in places(Text(data.decode("latin-1")))
    )


def places(text: Text) -> Iterator[tuple[int, str]]:
    """Where in a text such a place is, in order, and what it is in words."""
    out: dict[int, str] = {}
    for form in _FORMS:
        if all(text.has(word) for word in form.beside) and any(text.has(sign) for sign in form.signs):
            for m in form.found(text.s):
                if not _is_said(m, text.s):
                    out.setdefault(m.start(), form.says)
    yield from sorted(out.items())


def _is_said(m: re.Match[str], s: str) -> bool:
    """Whether what is found is a name for the word, and the text itself says what it stands for."""
    held = m.groupdict()
    return held.get("name") is not None and given.defines(s, held["word"])
