"""A word, other than a role, that a text asks for, lists or tells of and sets nothing to: the name of another connector."""

from __future__ import annotations

import re

from kvroles.evidence.names import split_name
from kvroles.evidence.patterns import regex
from kvroles.evidence.signs.comparisons import compared, searched
from kvroles.evidence.signs.messages import told
from kvroles.evidence.signs.place import NEAR, Place, Q, opened

_ASKED_BEFORE = regex(
    rf"""(?xi)(?: (?<![\w-])-[ci]?(?:not)?(?:eq|ne|match|like|in)[ \t@(]*  # PowerShell's
      | \bifn?eq\b[^\n]*, | \breplace(?:All)?\([ \t]* | \$\{{\w+//?[^\n{{}}]* ) {Q}$"""
)
_ITEM = regex(rf"[\[{{,]\s*{Q}$")
_ITEM_ENDS = regex(rf"{Q}\s*[,\]}}]")
_LIST_NAME = regex(r"(\w+)[\"']?\s*(?::[^=\n]{0,60})?[:=]{1,2}\s*(?:\w+\()?\s*$")
_OF_ONE = frozenset({"kv", "connector", "connectors", "arg", "args", "argument", "arguments", "cmd", "command", "argv"})


def asked(s: str, i: int, word: str, lang: str) -> bool:
    """Whether the ``word`` at index ``i`` of ``s``, a text in ``lang``, is but asked for: compared with, searched for, told to
    people, or one of a list of what there is or is left out."""
    before, after = s[max(0, i - NEAR) : i], s[i + len(word) : i + len(word) + NEAR]
    place = Place(s, i, before, before[before.rfind("\n") + 1 :], after, lang)
    return (
        told(place)
        or compared(place)
        or searched(place)
        or _ASKED_BEFORE.search(place.line) is not None
        or _one_of_many(place)
    )


def _one_of_many(p: Place) -> bool:
    """Whether a word is an item of a list that by its name is not of what a server is given."""
    if _ITEM.search(p.before) is None or _ITEM_ENDS.match(p.after) is None:
        return False
    k = next(opened(p.before, len(p.before)), None)
    if k is None or p.before[k] == "(" or re.search(r"[\"'`]-[^\n]*$", p.before[k:]):
        return False
    name = _LIST_NAME.search(p.before, max(0, k - NEAR), k)
    return name is None or not set(split_name(name[1])) <= _OF_ONE
