"""The roles that a text lists or asks for. Where they are the two sides only, what is not of one is of the other; where there is
a third, it may be of neither."""

from __future__ import annotations

import re

from kvroles.evidence.names import PD, role_value
from kvroles.evidence.patterns import regex

# Both sides in a list of what there is: ``["prefill", "decode"]``, ``prefill|decode``, ``enum Role { Prefill, Decode }``,
# ``for role in prefill decode``.
_A_SIDE = r"(?:\w{1,40}(?:\.|::))?[\"'`]?(?:prefill(?:er)?|decode(?:r)?)[\"'`]?"
_LISTED = regex(
    rf"""(?ix) (?<![\w.|/-]) {_A_SIDE} (?: [ \t]*\|[ \t]* | \s*,\s* | [ \t]*\r?\n[ \t]*-[ \t]+ | [ \t]+(?:or[ \t]+)? )
    {_A_SIDE} (?![\w.|/-]*[\w/-])"""
)
_LIST_OPEN = regex(r"(?:[\[({<:=]|\bin|\blist|\btuple)\s*\Z|(?:\A|\n)[ \t]*-[ \t]*\Z")
_BARE_OPEN = regex(r"(?:[\[({<]|\bin)\s*\Z|(?:\A|\n)[ \t]*-[ \t]*\Z")
_LIST_GOES = regex(r"(?:[|/,]|\b(?:or|and))\s*[\"'`]?\Z")
_LIST_ON = regex(r"[ \t]*(?:\||/|,\s*[\w\"'`]|(?:or|and)\b|\r?\n[ \t]*-[ \t])")
_WORDS_ON = regex(r"[ \t]+[\"'\w]")
_LIST_END = regex(r"\s*(?:,\s*)?[\])}>;]|[ \t]*(?:#.*)?(?:\r?\n|\Z)|[ \t]*;")
# A third role without quotes.
_THIRD = regex(
    r"""(?imx) (?:role|mode|type|stage|side)[\"']?[ \t]*[:=]{1,3}[ \t]*
      (?:both|mixed|agg(?:regated)?|hybrid|unified|monolithic)\b
    | ^[ \t]*\(?(?:both|mixed|agg(?:regated)?|hybrid|unified|monolithic)[ \t]*(?:\||\))
    | (?<![a-z])(?:is|as|run|num|non)?[-_.]?(?<!dis)agg(?:regat(?:ed|e|ion))?(?![a-z]) | (?<![a-z])monolithic(?![a-z])
    | (?<![\w-])(?:stand-?alone|hybrid|unified|combined|co-?located|single[-_ ]node|non-?disagg\w*)(?![\w-])
    | \b(?:does?|runs?|serves?|handles?)\ +(?:both|prefill\ *(?:and|\+|&|/)\ *decode)\b
    | \b(?:without|no)\ +(?:P/?D|disagg\w*)\b"""
)


# What Terraform makes something for: a mapping whose keys or values are the roles.
_EACH = regex(r"\bfor_each\s*=\s*(?:tomap\()?\s*\{(?P<held>[^{}\[\]]{0,400})\}")
_EACH_PAIR = regex(r"[\"']?([\w-]+)[\"']?\s*[=:]\s*[\"']?([\w.-]*)[\"']?")


# An enumeration of the two: ``class Role(Enum): PREFILL = "prefill" ...``, Go's ``const ( Prefill Role = "prefill" ... )``.
_MEMBER = (
    r"\w{0,30}(?:prefill|decode)\w{0,30}(?:[ \t]+\w{1,40})?[ \t]*=[ \t]*[\"'](?P<%s>prefill|decode)[\"'][ \t]*[,;]?"
    r"[ \t]*(?:(?:#|//)[^\n]*)?"
)
_ENUMERATED = regex(
    r"(?i)(?:\bconst[ \t]*\(|\benum[ \t]+(?:class[ \t]+)?\w+[ \t]*\{|\bclass[ \t]+\w+\([\w., \t]*enum\):)\s*"
    rf"{_MEMBER % 'a'}\s*{_MEMBER % 'b'}(?:\s*[)}}]|\s*\n(?=\S|[ \t]+(?:@|def\b))|\s*\Z)"
)
_HEAD = 80  # characters before a list in which its name stands


def only_two(s: str, of: str = "") -> bool:
    """Whether a text lists the two sides as what a role may be, and never with a third beside them; with ``of`` whether such a
    list has that word before it."""
    enumerated = [m for m in _ENUMERATED.finditer(s) if m["a"].lower() != m["b"].lower()]
    lists = [m for m in _LISTED.finditer(s) if not any(e.start() <= m.start() < e.end() for e in enumerated)]
    found = [_whole(s, *m.span()) for m in lists]
    if of and not any(of in s[max(0, m.start() - _HEAD) : m.start()].lower() for m in lists):
        return False
    found += [True] * len(enumerated)
    found += [of_two for m in _EACH.finditer(s) if (of_two := _mapped(m["held"])) is not None]
    return len(found) > 0 and all(found)


def _mapped(held: str) -> bool | None:
    """Whether the keys or the values of a mapping are the two sides and no third; None if they are no sides."""
    pairs = _EACH_PAIR.findall(held)
    each = [{role_value(w) for w in words} for words in zip(*pairs, strict=True)]
    named = [sides for sides in each if sides & set(PD)]
    return any(sides == set(PD) for sides in named) if named else None


def third(s: str) -> bool:
    """Whether a text compares or sets a role that is neither prefill nor decode: both, aggregated, encode."""
    words = re.findall(r"[\"'](\w[\w+-]*)[\"']", s)
    if any(role_value(w) not in {None, *PD} and w.lower() not in {"none", "regular", "all"} for w in set(words)):
        return True
    return _THIRD.search(s) is not None


def _whole(s: str, a: int, b: int) -> bool:
    """Whether the two sides from index ``a`` to ``b`` are all of a list: it opens right before, and ends right behind."""
    words = s[a:b].lower()
    if "prefill" not in words or "decod" not in words or _LIST_ON.match(s, b):
        return False
    before = s[max(0, a - 40) : a]
    if "|" in words:
        return _LIST_GOES.search(before) is None
    if not re.search(r"[,\"'`]", words) and _WORDS_ON.match(s, b):
        return False
    opened = _LIST_OPEN if re.search(r"[\"'`]", words) else _BARE_OPEN
    return opened.search(before) is not None and _LIST_END.match(s, b) is not None
