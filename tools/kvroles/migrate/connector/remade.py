"""The configs of source code of which others are made: item by item, with others laid over them, or without their connector.

``{k: names.get(v, v) for k, v in cfg.items()}`` is NIXL's where ``names`` says so.
"""

from __future__ import annotations

import re
from itertools import islice

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences
from kvroles.migrate.connector import overlays, regions
from kvroles.migrate.readers import registry

LANGUAGES = registry.CODE | {"hcl"}
_NEAR = 2000  # characters round a role in which its config begins and ends
_NAMED = regex(r"(?<![A-Za-z_])([A-Za-z_$]\w*)\s*(?::[^=\n]{0,80})?=\s*[\w.:@\[\]]*\s*[\"'`]?\Z")
_BEHIND_SIGN = regex(r"\s*[\w.:@\[\]]*\s*[\"'`]?")
_WORD = regex(r"\w")
_MANY = 60  # uses of one name
_AROUND = 400  # characters before and behind a use in which another config is made
# One of these stands right behind the name of a config of which another one is made.
_BEHIND = regex(
    r"\.items\(\)|\.(?:pop|delete|update|extend|kv_?[cC])|\s*\|=?\s*[\w({]|\s*,\s*[*.\w({]|\s*\)\s*\.(?:map|flatMap)\(|\s*:\s*(?:\n|\w+\s*=>)"
    r"|\[\s*(?:[\"']kv_?[cC]|\$?\w+\s*\]\s*=)|\s*\)|\s*;?\s*$",
    re.M,
)
_NAME = r"(?P<name>[A-Za-z_$]\w*)"
_GIVEN = r"(?P<given>\([^,]{0,200}|\{[^,]{0,200}|[A-Za-z_$][\w.]{0,80})"
_CONNECTOR = r"[\"']?kv_?[cC]onnector[\"']?"
# By which another config is made, each pattern with what it finds holds, one of several: of each item (``made``), whose value
# is ``v``, or ``name[k]``; without the connector; with what is laid over it (``given``).
_PATTERNS = tuple(
    (signs, regex(pattern))
    for signs, pattern in (
        ((".items()",),
         r"\{[^{}\n:]{1,120}:(?P<made>[^{}]{1,300}?)\bfor\s+\w+\s*,\s*(?P<v>\w+)\s+in\s+" + _NAME + r"\.items\(\)"),
        ((".items()",),
         r"\(\s*\(\s*\w+\s*,(?P<made>[^\n]{1,300}?)\)\s*for\s+\w+\s*,\s*(?P<v>\w+)\s+in\s+" + _NAME + r"\.items\(\)"),
        (("for",),
         r"\bfor\s+(?P<k>\w+)(?:\s*,\s*(?P<v>\w+))?\s+in\s+" + _NAME
         + r"(?:\.items\(\))?\s*:\s*\n(?:[ \t][^\n]*\n){0,6}?[ \t]+\w+\[(?P=k)\]\s*=(?!=)(?P<made>[^\n]{1,200})"),
        (("for",), r"\bfor\s+\w+\s*,\s*(?P<v>\w+)\s+in\s+local\." + _NAME + r"\s*:\s*\w+\s*=>\s*(?P<made>[^\n}]{1,200})"),
        (("map(",), r"\bmap\((?P<made>[^\n]{1,200}?),\s*" + _NAME + r"\.items\(\)\s*\)"),
        (("Object.entries(",),
         r"Object\.entries\(\s*" + _NAME
         + r"\s*\)\s*\.(?:map|flatMap)\(\s*\(?\s*\(?\[\s*\w+\s*,\s*(?P<v>\w+)\s*\]\)?\s*=>"
         + r"\s*\(?\s*\[\s*\w+\s*,(?P<made>[^\n]{1,200}?)\]"),
        ((".pop(", ".delete("), rf"(?<![\w.]){_NAME}\.(?:pop|delete)\(\s*{_CONNECTOR}"),
        (("del",), rf"\bdel(?:ete)?\s+{_NAME}(?:\[\s*|\.){_CONNECTOR}"),
        ((".items()",), rf"\bin\s+{_NAME}\.items\(\)\s+if\s+[^\n}}]{{0,80}}?{_CONNECTOR}"),
        (("...",), rf"\{{[^{{}}\n]{{0,80}}{_CONNECTOR}[^{{}}\n]{{0,80}}\.\.\.\w+\s*\}}\s*=\s*{_NAME}"),
        (("|",), rf"(?<![\w.]){_NAME}\s*\|=?\s*(?![|=]){_GIVEN}"),
        ((".update(",), rf"(?<![\w.]){_NAME}\.update\(\s*(?:\*\*)?{_GIVEN}"),
        (("**", "..."), rf"(?:\*\*|\.\.\.){_NAME}\s*,\s*(?:\*\*|\.\.\.){_GIVEN}"),
        (("assign(", "merge(", "dict("),
         rf"\b(?:assign|merge|dict)\(\s*(?:\{{\}}\s*,\s*)?(?:\*\*)?{_NAME}\s*,\s*(?:\*\*)?{_GIVEN}\s*[,)]"),
        (("mapValues(",), rf"\bmapValues\(\s*{_NAME}\s*,(?P<made>[^\n]{{1,200}})"),
        (("ChainMap(",), rf"\bChainMap\(\s*{_GIVEN}\s*,\s*{_NAME}"),
        (("Copy(", "mergo."), rf"\b(?:maps\.Copy|mergo\.\w+)\(\s*&?{_NAME}\s*,\s*&?{_GIVEN}"),
        ((".extend(",), rf"(?<![\w.]){_NAME}\.extend\(\s*&?{_GIVEN}"),
        (("for",),
         r"\bfor(?:each)?\s*\(?\s*(?P<key>\$?\w+)\s*(?:,\s*\w+)?\s*(?::=\s*range|in|of)\s+(?P<over>[\w.$()]+)"
          r"\s*[{:]\s*(?:\n[ \t]+)?" + _NAME + r"\[(?P=key)\]\s*=(?!=)"),
    )
)  # fmt: skip
_KEPT = regex(
    r"(?:str|repr|len|int|bool|type|copy\.copy|copy\.deepcopy|deepcopy|String)\(\s*(\w+)\s*\)"
)  # no other connector


def of(s: str, place: int, known: dict[str, tuple[int, str]]) -> str:
    """The words by which source code makes another config of the one that the role at index ``place`` of ``s`` is in; empty if it
    makes none. ``known`` keeps what was found for each name of the text."""
    for start, _ in regions.near(s, place, _NEAR):
        if (m := _given_to(s, start)) is not None:
            if m[1] not in known:
                known[m[1]] = _made(s, m[1])
            at, words = known[m[1]]
            if at > place:
                return words
    return ""


def _given_to(s: str, start: int) -> re.Match[str] | None:
    """The name that the config which begins at index ``start`` is given to."""
    first = max(0, start - 200)
    sign = s.rfind("=", first, start)
    if sign < 0 or _BEHIND_SIGN.fullmatch(s, sign + 1, start) is None:
        return None
    return _NAMED.search(s, first, start)


def _made(s: str, name: str) -> tuple[int, str]:
    """Where another config is last made of the one called ``name``, and the words by which."""
    out = -1, ""
    uses = (i for i in occurrences(s, name) if _BEHIND.match(s, i + len(name)) and not _WORD.match(s, i - 1))
    for i in islice(uses, _MANY):
        near = s[max(0, i - _AROUND) : i + _AROUND]
        for pattern in (pattern for signs, pattern in _PATTERNS if any(sign in near for sign in signs)):
            found = pattern.finditer(s, max(0, i - _AROUND), i + _AROUND)
            m = next((m for m in found if m.start("name") == i and m["name"] == name), None)
            if m is not None and not _same(m.groupdict(), s, m):
                out = i, " ".join(m.group().split())[:60]
                break
    return out


def _same(groups: dict[str, str | None], s: str, m: re.Match[str]) -> bool:
    """Whether what is made has the connector that the config has."""
    if "given" in groups:
        return overlays.known(s, m["given"], m.start("given"))
    if "made" not in groups:
        return False
    values = {groups.get("v"), f"{m['name']}[{groups.get('k')}]"}
    made = m["made"].strip().rstrip(";")
    kept = _KEPT.fullmatch(made)
    return made in values or (kept is not None and kept[1] in values)
