"""Finds ``kv_both`` in spellings that a search for the word misses: escaped, in base64, in other letters, or put together.

No reader decodes these. A program may make a NIXL role of such a place, so each is unread, and none is rewritten.
Compressed files, and base64 that is wrapped within the word, are not searched.
"""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from kvroles.evidence import c_library, given
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, occurrences


def _in_base64(before: int) -> str:
    """The base64 letters that depend on the word alone, where it starts at offset ``before`` in a group of three bytes."""
    packed = b64encode(b"\0" * before + TOKEN.encode()).decode()
    return packed[(before * 8 + 5) // 6 : (before + len(TOKEN)) * 8 // 6]


_NEAR = 200  # characters before and behind a sign in which a place begins and ends


class _Form(NamedTuple):
    """A way to spell the word: the texts one of which every place of it holds, what finds it, and what it is in words.

    ``beside`` are texts that a file has to hold as well, the one that fewer files hold first: without them the spelling may be
    of anything. A place begins no more than ``before`` characters before its sign. A ``name`` that the pattern finds is none
    where the file itself says what it stands for.
    """

    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    says: str
    beside: tuple[str, ...] = ()
    before: int = _NEAR

    @property
    def needles(self) -> tuple[bytes, ...]:
        """What to search a text for first: one with a place holds one of these."""
        return tuple(word.encode() for word in self.beside[:1] or self.signs)

    def found(self, s: str, signs: Iterable[int]) -> Iterator[re.Match[str]]:
        """The places in a text in which one of its signs stands; ``signs`` are their indices, in order.

        What lies near several signs is gone through once.
        """
        start = end = -1
        inside: list[int] = []
        for i in signs:
            if i - self.before > end:
                yield from self._within(s, start, end, inside)
                start, inside = max(0, i - self.before), []
            end = i + _NEAR
            inside.append(i)
        yield from self._within(s, start, end, inside)

    def _within(self, s: str, start: int, end: int, signs: list[int]) -> Iterator[re.Match[str]]:
        """Those between ``start`` and ``end`` in which one of ``signs`` stands."""
        for m in self.pattern.finditer(s, start, end) if signs else ():
            if m.start() <= signs[min(bisect_left(signs, m.start()), len(signs) - 1)] < m.end():
                yield m


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
        before=0,
    ),
    # The value of the key begins with ``kv_`` and goes on with a variable, a hole or another string.
    _Form(
        ("kv_role",),
        regex(
            r"kv_role[\"'`\\]*\]?(?:\s*[:=,]\s*|[ \t]+)[fbru]{0,2}\\*[\"'`]?"
            r"kv_(?:\\*[\"'`])*(?:\s*\+|\s+[\"']|[$%{&@]|[\"'`]\w)"
        ),
        _PUT_TOGETHER,
        before=0,
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
NEEDLES = tuple(dict.fromkeys(needle for form in _FORMS for needle in form.needles))


def holds(data: bytes, needles: Collection[bytes] | None = None) -> bool:
    """Whether bytes, those of a file or a part of them, hold such a place; ``needles`` are those of ``NEEDLES`` in the whole
    file, where that is known."""
    held = needles if needles is not None else [needle for needle in NEEDLES if c_library.within(data, needle)]
    forms = [form for form in _FORMS if any(needle in held for needle in form.needles)]
    return bool(forms) and any(True for _ in _found(Text.of_bytes(data), forms, held))


def places(text: Text) -> Iterator[tuple[int, str]]:
    """Where in a text such a place is, in order, and what it is in words."""
    out: dict[int, str] = {}
    for pos, says in _found(text, _FORMS):
        out.setdefault(pos, says)
    yield from sorted(out.items())


def _found(text: Text, forms: Sequence[_Form], elsewhere: Collection[bytes] = ()) -> Iterator[tuple[int, str]]:
    """The same for some forms, form by form: whoever asks for one does not wait for all. The file that the text is a part of has
    those of ``NEEDLES`` in ``elsewhere`` somewhere."""
    signs: dict[str, list[int]] = {}
    said: dict[str, bool] = {}
    for form in forms:
        if not all(text.has(word) or word.encode() in elsewhere for word in form.beside):
            continue
        for sign in form.signs:
            if sign not in signs:
                signs[sign] = _other_than_token(text.s, sign) if text.has(sign) else []
            for m in form.found(text.s, signs[sign]):
                if not _is_said(m, text.s, said):
                    yield m.start(), form.says


def _other_than_token(s: str, sign: str) -> list[int]:
    """Where a sign stands in a text, those aside that are the end of the word as it is."""
    whole = len(TOKEN) - len(sign)
    return [i for i in occurrences(s, sign) if i < whole or not s.startswith(TOKEN, i - whole)]


def _is_said(m: re.Match[str], s: str, said: dict[str, bool]) -> bool:
    """Whether what is found is a name for the word, and the text itself says what it stands for; ``said`` keeps what it says."""
    held = m.groupdict()
    if held.get("name") is None:
        return False
    word = held["word"]
    if word not in said:
        said[word] = given.defines(s, word)
    return said[word]
