"""What a text gives to whoever has nothing of its own: ``KV.get(role, KV["prefill"])``, ``${DECODE_KV:-$PREFILL_KV}``.

A value that is named for one side is not that side's alone where the other one falls back on it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

from kvroles.evidence.frames import Side
from kvroles.evidence.given import is_put_to_use
from kvroles.evidence.names import PD, mentioned, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences

_MANY = 60  # uses of one name
_BEFORE = 200  # characters of a line before a name
_WORD = regex(r"[\w-]")
# What stands right before the name of a variable, and before the key of a table: what they are members of.
_OF_VARIABLE = r"(?:[&$({]|(?:[\w$]+\.)+|\.(?=$))*$"
_OF_KEY = r"[&$({]*[\w$.]+(?:\?\.|\.|\[\s*[\"']?)$"
_SIGN = (
    r"(?P<sign>\?\?|\|\||\bor\b|:-|:=|,|\|\s*default\s*\(?|\belse\b(?:\s*\{)?|\?[^?:]+:"
    r"|\.(?:unwrap_or|or_else|(?:getO|o)rElse)\w*\()\s*"
)
_FALLS = {keyed: regex(_SIGN + member) for keyed, member in ((False, _OF_VARIABLE), (True, _OF_KEY))}
# What looks a value up, with its arguments; by a name that is not known.
_LOOKS_UP = regex(
    r"(?i)\b(?:get\w*|pop|look_?up|coalesce|try|dig|fetch|default|unwrap_or)\([^()]*(?:\([^()]*\)[^()]*)*$"
)
_IN_LIST = regex(r"[\[{][^\[\]{}]*\Z")
# What gets something for two that it is given (``get_options(prefill, decode)``); ``get_or(a, b)`` gives one of them.
_GETS = regex(r"(?i)get_?(?!\w*(?:attr|or|else|default|first|any|env)(?![a-z]))\w+\(\s*([\w.]+)\s*\Z")
_OPEN = regex(r"\[\s*\$?[A-Za-z_][\w.]*\s*\]|\b(?:get\w*|look_?up|dig|fetch)\(\s*[^\"'()]*[A-Za-z_.]+\s*\)?\s*[,)]?")
# What a function gives at its end, the value of a table that it has looked in above.
_LAST = regex(r"(?:^|[;{}])\s*return\s+[&*]?([\w.]+)\[\s*[\"']$")
_ABOVE = 240
_CHOICE = regex(r"(?:&&|\band\b)[^&|,;]*\Z")  # ``c && a || b``
_ASKS = regex(r"\bin\b|\bhas\w*\(|[cC]ontains\w*\(")  # of a choice: whether there is a value


_EMPTY = regex(
    r"[\"'`]?\s*(?::\s*[\w.\[\] |]+)?(?::=|=>|=(?!=)|:)\s*(?:None|null|nil|undefined|~|\"\"|''|\{\}|\[\])(?=\s*(?:[,;)}#]|\n|\Z))"
)


def twin_is_empty(s: str, name: str) -> bool:
    """Whether ``s`` sets the twin of ``name`` to nothing, and never to anything: ``decode = None``."""
    for twin in twins(name):
        ends = (i + len(twin) for i in islice(occurrences(s, twin), _MANY) if not _WORD.match(s[i - 1 : i]))
        if any(_EMPTY.match(s, end) for end in ends) and not is_put_to_use(s, twin):
            return True
    return False


@lru_cache(maxsize=64)  # the name of a side's key is that of many values
def given(s: str, name: str, side: Side, *, keyed: bool, twin: bool) -> str:
    """The words by which ``s`` gives the value called ``name``, of ``side``, to the other side or, without a ``twin`` of that
    name, to any; empty if it does neither. ``keyed``: it is the key of a table."""
    name = name.lstrip("$")
    for i in islice(occurrences(s, name), _MANY):
        if _WORD.match(s, i - 1) or _WORD.match(s, i + len(name)):
            continue
        before = s[max(s.rfind("\n", 0, i) + 1, i - _BEFORE) : i]
        m = _FALLS[keyed].search(before)
        if m is None and keyed and not twin and (table := _LAST.search(before)) is not None:
            above = s[max(0, i - _ABOVE) : i - len(before) + table.start()]
            if re.search(rf"(?<![\w.]){re.escape(table[1])}\[\s*\$?[A-Za-z_]\w*\s*\]", above) is not None:
                return " ".join((before[-60:] + name).split())
        if m is None:
            continue
        looks_up = _LOOKS_UP.search(before, 0, m.start()) if m["sign"] == "," else None
        if m["sign"] == "," and looks_up is None:
            continue
        if looks_up is not None and (
            _IN_LIST.search(before, looks_up.start(), m.start()) is not None
            or ((both := _GETS.match(looks_up.group())) is not None and both[1] in twins(name))
        ):
            continue  # one of a list that holds both, or given to what takes both
        first = before[looks_up.start() : m.start()] if looks_up else re.split(r"[,;{]", before[: m.start()])[-1]
        chooses = (m["sign"][0] in "e?" and m["sign"] != "??") or _CHOICE.search(before, 0, m.start()) is not None
        if chooses and not _ASKS.search(before):
            continue  # a choice by something else
        called = {s for w in re.findall(r"[\w-]+", first) for s in mentioned(w) if s in PD}
        if called == {side.other} or (not called and not twin and _OPEN.search(before, 0, m.end("sign"))):
            return " ".join((before[-60:] + name).split())
    return ""
