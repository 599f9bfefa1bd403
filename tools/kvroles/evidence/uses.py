"""What a text does with the name of a role, or of a list of roles: whether it puts it to use."""

from __future__ import annotations

import re
from functools import lru_cache

from kvroles.evidence.marks import commented
from kvroles.evidence.patterns import regex

_NEAR = 240  # characters of a line before and after a name that are looked at
_MANY = 200  # places of one name: a text with more is taken to put it to use
# What else is done with the name of a role or of a list of roles, where nothing is set by it.
_ASKED_BEFORE = regex(
    r"""(?x) (?: [=!]==? | \bis(?:\s+not)? | \bcase | \b(?:not\s+)?in | -(?:eq|ne|c?in|notin|contains) | \binstanceof | \btypeof
      | \bchoices\s*=
      | (?<![a-z])(?: [cC]ontains\w* | (?<!\.)(?:len | set | frozenset | tuple | list | sorted) | join | get_args | Literal
        | Choice | [eE]num | oneOf | one_of | ValidateSet | NewString | [iI]s_?[vV]alid\w* ) \s* [(\[{]
      | ["'`] | \b(?:raise|throw|log\w*|warn\w*|error\w*|print\w*|Errorf|panic)\b [^\n]* )
    \s* [(\[{&*]? \s* (?:\w+(?:\.|::))* $"""
)
_WORDS = regex(r"(?<![\w-])\w+(?![\w-])")
_ASKED_AFTER = regex(
    r"""(?x) \s* (?: [=!]==? | \bin\b | \bis\b | => | ->\s | \(["']kv_
      | \)?\s*\[number\] | :?=(?!=) | :\s*(?:[\w.<>\[\], &|"']|;\s*\w+\]){0,160}=(?!=)
      | (?:\s+\w+)?\s*=(?!=)
      | \.(?:includes|contains|indexOf|index|count|has|some|every|join|length|len|value|as_str)\b | ["'`] )"""
)
_INDEXED = regex(r"\w\[[\"'`]$")  # ROLES["BOTH"]
_LOOPS = regex(r"\bfor\b|\bforeach\b|\brange\b")
_IMPORTED = regex(r"\s*(?:import|from|use|export\s*\{|using)\b")
_IN_LIST = regex(r"\bin\s*[(\[{]\s*(?:(?:\w+(?:\.|::))*\w+\s*,\s*)+(?:\w+(?:\.|::))*$")
_ATTRIBUTED = regex(r"\)\s*\]\s*$")  # #[serde(rename = "...")] in front of a member
_KEY_OF = regex(r"(?:[{,]|(?<![?\s])\s*\n)\s*(?:\w+(?:\.|::))*$")
_DEFINES = regex(r"\b(?:def|func|fn|function|fun)\s+(?:\([^()\n]*\)\s*)?$")
_CALL = regex(r"\s*\([^()\n]{0,80}\)")
_BODY = regex(r"\s*(?:throws\s[\w, ]+)?\{")
_LIST_NAMED = regex(
    r"(\w+)\s*(?::[^=\n]{0,60})?:?=\s*(?:[&*]|vec!|\[(?:\d*|\.{3})\]\w+|@|list|tuple|set|frozenset|\(|\s)*$"
)
# A list that a function gives back, and the name of the function.
_RETURNED = regex(
    r"(?:\breturn\b|=>|->[^{}\n]{1,60}\{|\blambda\b[^:\n]{0,60}:|\)\s*=)\s*(?:[&(]|vec!|\[(?:\d*|\.{3})\]\w+|new\s+\w+\[\]|\w+(?:\.of)?\(|\s)*$"
)
_FUNCTION = regex(
    r"""(?x) \b(?:def|func|fn|function|fun)\s+(?:\([^()\n]*\)\s*)?(\w+)
    | \b(\w+)\s*(?::[^=\n]{0,60})?=\s*(?:async\s*)?(?:(?:\([^()\n]*\)|\w+)\s*=>|lambda\b)
    | \b(?!if\b|for\b|while\b|switch\b)(\w+)\s*\([^()\n]*\)\s*(?::[^{}\n]{0,60})?\{"""
)
_HEAD = 600  # characters before a list in which the head of its function stands
_UNPACKED = regex(r"(?m)[\]})]\s*:?=\s*\(?\s*$|^\s*\(?\w+(?:\s*,\s*\*?\w+)+\)?\s*:?=\s*[\[(]?\s*$")
_TYPED = regex(r"\w\s*:[^=\n(){}]{1,60}\]\s*=\s*$")  # ROLES: [&str; 3] =
_ALIAS = regex(r"(\w+)\s*(?::[^=\n]{0,60})?=\s*(?:\w+\.)?Literal\s*$")
_MEMBER = regex(r"(?:\.|:|->|[=(\[{,]|\breturn)\s*$")
_TAKES = regex(r"\s*\)\s*\[(?!\s*(?:number|keyof)\b)")
_IN_ACTION = regex(r"\{[{%](?:(?![%}]\}).)*\Z", re.S)  # of a template, where a bar stands before a filter
_AMONG = regex(r"(?:^|[^\w\s(]|=)\s*[\[{]\s*(?:[\w.:]+\s*,\s*)*(?:\w+(?:\.|::))*$")


@lru_cache(maxsize=2)
def _words(s: str) -> dict[str, list[int]]:
    """Where each word of a text stands, as often as anybody looks."""
    out: dict[str, list[int]] = {}
    for m in _WORDS.finditer(s):
        places = out.setdefault(m.group(), [])
        if len(places) <= _MANY:
            places.append(m.start())
    return out


@lru_cache(maxsize=512)
def put_to_use(s: str, name: str, lang: str, *, called: bool = False, hops: int = 2) -> bool:
    """Whether a text does more with the name of a role, of a list of roles, or with ``called`` of a function that returns one,
    than to set it, to compare it, to ask what is in it, to tell of it, or to list it with others: a list has ``hops`` names more.
    More places than anybody looks through are taken for a use."""
    plain = name in {"both", "Both"}  # any word of a sentence, but for a member
    places = _words(s).get(name, ())
    if len(places) > _MANY:
        return True
    for i in places:
        behind = i + len(name)
        start, end = s.rfind("\n", 0, i) + 1, s.find("\n", behind)
        before, after = s[max(start, i - _NEAR) : i], s[behind : min(behind + _NEAR, end if end >= 0 else len(s))]
        if plain and not _MEMBER.search(before):
            continue
        if called and (call := _CALL.match(after)) is not None:
            after = after[call.end() :]
            if _DEFINES.search(before) or (_BODY.match(after) and not _LOOPS.search(before)):
                continue
        asked = any(p.search(before) for p in (_ASKED_BEFORE, _IN_LIST)) and not _LOOPS.search(before)
        if _INDEXED.search(before) or (asked and _TAKES.match(after)):
            return True
        if asked or _ASKED_AFTER.match(after) or _IMPORTED.match(before) or commented(s, i, lang):
            continue
        if lang == "rust" and _ATTRIBUTED.search(s, max(0, i - _NEAR), i):
            continue
        if _KEY_OF.search(s[max(0, i - _NEAR) : i]) and re.match(r"\s*:(?![:=])", after):
            continue
        if (among := _AMONG.search(before)) and re.match(r"\s*[,\])}]", after):
            opened = (
                i
                - len(before)
                + min(k for k in (before.find("[", among.start()), before.find("{", among.start())) if k >= 0)
            )
            if hops and list_used(s, opened, s[max(0, opened - 120) : opened], lang, hops=hops - 1):
                return True
            continue
        of_type = re.search(r"(?<!\|)\|\s*$", before) or re.match(r"\s*\|(?!\|)", after)  # or of a set
        if of_type and not _IN_ACTION.search(before):
            continue
        return True
    return False


def list_used(s: str, i: int, near: str, lang: str, *, hops: int = 2) -> bool:
    """Whether a list of roles round index ``i``, which ``near`` stands before, is put to use: by its name, by that of the
    function that gives it back, or by names that each take one role of it. Of a type only what takes its members counts."""
    if (alias := _ALIAS.search(near)) is not None:
        return taken_from(s, alias[1])
    if _UNPACKED.search(near) and not _TYPED.search(near):
        return True
    if (named := _LIST_NAMED.search(near)) is not None:
        return put_to_use(s, named[1], lang, hops=hops)
    if _RETURNED.search(near) is None:
        return False
    heads = list(_FUNCTION.finditer(s, max(0, i - _HEAD), i))
    head = heads[-1] if heads else None
    return head is None or put_to_use(s, head[head.lastindex or 1], lang, called=True, hops=hops)


# A member of an enumeration or a table of roles is taken out by what is not its name: an index, a loop, a call.
_TAKEN_AFTER = regex(
    r"\s*\)?\s*\[(?!\s*(?:keyof|number)\b)|\.(?:values|entries|valueOf|get|at|items|iter|forEach|map|__members__|allCases|last|first|sample|[pP]arse)\b(?!\(\)\.(?:includes|contains))"
)
_TAKEN_BEFORE = regex(
    r"\bObject\.(?:values|entries)\(\s*$|\b(?:getattr|typeof)\(\s*$|\bfor(?:each)?\b[^\n]*\b(?:in|of)\s+(?:\w+\(\s*)?$|\brange\s+$|\}\s*=\s*$"
)
_ONLY_ASKED = regex(r"\s*\)\s*\.(?:includes|indexOf|some|join|length|has)\b")
_FOR_CHOICES = regex(r"\bchoices\s*=\s*\[[^\]\n]*$")


def gone_through(s: str, name: str) -> bool:
    """Whether a text takes the keys of the table ``name`` in turn."""
    word = rf"(?<![\w.]){re.escape(name)}\b"
    return re.search(
        rf"\b(?:in|of|range)\s+(?:\w+\(\s*)?{word}|{word}\.(?:items|keys|iter|entries|forEach)\b"
        rf"|\bObject\.(?:keys|entries)\(\s*{word}",
        s,
    ) is not None  # fmt: skip


@lru_cache(maxsize=512)
def taken_from(s: str, name: str) -> bool:
    """Whether a text takes members out of the enumeration or table ``name`` otherwise than by their own names."""
    places = _words(s).get(name, ())
    if len(places) > _MANY:
        return True
    for i in places:
        before, after = s[max(0, s.rfind("\n", 0, i) + 1, i - _NEAR) : i], s[i + len(name) : i + len(name) + _NEAR]
        if _TAKEN_AFTER.match(after):
            return True
        if _TAKEN_BEFORE.search(before) and not _ONLY_ASKED.match(after) and not _FOR_CHOICES.search(before):
            return True
    return False
