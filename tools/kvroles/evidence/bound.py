"""Names that a text binds to the other side: ``PREFILL = "decode"``, ``P, D := "decode", "prefill"``, ``DECODE as PREFILL``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kvroles.evidence.names import PD, for_role, lettered, may_name, mentioned, role_value, side_word, split_name
from kvroles.evidence.patterns import regex

_NAME = r"[$@]?[A-Za-z_][\w.]{0,60}"
_TYPE = r"(?:[ \t]*:[ \t]*[\w&(),<>'. \[\]]{1,60}?)?"
_NAMES = rf"[(\[{{]?\s*{_NAME}(?:\s*,\s*{_NAME}){{0,5}}\s*,?\s*[)\]}}]?"
_WORD = r"(?:[\"'`][\w. -]{1,60}[\"'`]|[$@&*]?\{?[A-Za-z_][\w.:-]{0,60}\}?)(?:\.(?:to_\w+|into|as_\w+)\(\))?"
# Names and what they are set to: one word for one name, as many for several.
_BINDS = regex(
    rf"(?<![\w.\"'`-])(?P<names>{_NAMES}){_TYPE}[ \t]*:?=(?![=>~])[ \t]*(?:(?:vec!|list|tuple)?[(\[{{]\s*)?"
    rf"(?P<values>{_WORD}(?:\s*,\s*{_WORD}(?![\w.:-]|\s*:?=(?!=))){{0,5}})(?P<behind>[ \t]*\S?)"
)
_READ = regex(
    r"\bread(?:[ \t]+-\w+)*(?P<names>(?:[ \t]+[A-Za-z_]\w*){1,6})[ \t]*(?:<<<[ \t]*|<[ \t]+<\([ \t]*(?:echo|printf)[ \t]+)"
    r"[\"']?(?P<values>[\w ,:-]+)"
)
_ALIAS = regex(r"(?<![\w.:])(?P<values>[A-Za-z_][\w.:]{2,60})[ \t]+as[ \t]+(?P<names>[A-Za-z_]\w*)")
_RENAMED = regex(r"[{,]\s*(?P<values>[A-Za-z_]\w*)\s*:\s*(?P<names>[A-Za-z_]\w*)(?=[^={}\n]*\}\s*=(?!=))")
_SPELLED = regex(r"[A-Za-z_][\w-]*(?:(?:\.|::)[\w-]+)*")
_VALUE = regex(r"[\"'`]?([\w.:-]+)")
# As a shell sets a variable: what stands behind the sign is a word.
_TIGHT = regex(
    r"(?:[^\n]*[;&({][ \t]*)?[ \t]*(?:(?:export|local|readonly|declare|typeset|ARG|ENV)[ \t]+(?:-\w+[ \t]+)*)?\w+="
)
_METHOD = regex(r"\.(?:to_\w+|into|as_\w+)\(\)")
_IN_NAME = regex(r"(?<=\$)\w+|[\w-]+")
_GOES_ON = frozenset("+!.([?")  # behind a bare word, which is a part of something else then
_LONGEST = 2000  # characters: no line that binds a name is longer
_BELOW = 120  # characters behind it in which a list of words goes on


def contrary(s: str, lines: Iterable[tuple[int, int, int]]) -> frozenset[str]:
    """The names of a side that a text binds to the other side's word or name in ``lines`` (start, end, and end of the next)."""
    out: set[str] = set()
    for start, end, _ in lines:
        if end - start > _LONGEST or not all(may_name(side, s[start : end + _BELOW]) for side in PD):
            continue
        for m in _bindings(s, start, end):
            names, values = _SPELLED.findall(m["names"]), list(_VALUE.finditer(_METHOD.sub("", m["values"])))
            if len(names) != len(values):  # f(PREFILL, role="decode")
                names, values = names[-1:], values[:1]
            words = m.re is _READ or (
                "$" not in m["values"] and _TIGHT.fullmatch(s[start : m.end("names") + 1]) is not None
            )
            for name, value in zip(names, values, strict=False):
                if _of_other(name, value[1]) and (words or value[0] != value[1] or _constants(name, value[1])):
                    out.add(name.rsplit(".", 1)[-1])
    return frozenset(out)


def within(name: str) -> list[str]:
    """The names that stand in a name, a variable's with them: of ``KV[PREFILL]`` and ``$PREFILL-0`` those that may be bound."""
    return [word.strip("_") for word in _IN_NAME.findall(name)]


def _bindings(s: str, start: int, end: int) -> Iterator[re.Match[str]]:
    line = s[start:end]
    if "=" in s[start : end + _BELOW]:
        for m in _BINDS.finditer(s, start, end + _BELOW):
            if m.start() <= end and (m["values"][-1:] in "\"'`)" or m["behind"][-1:] not in _GOES_ON):
                yield m
        yield from _RENAMED.finditer(line)
    if "read" in line:
        yield from _READ.finditer(line)
    if " as " in line:
        yield from _ALIAS.finditer(line)


def _constants(name: str, value: str) -> bool:
    """Whether a name and what it is set to are those of sides alone: what other names hold is followed where it is put to use."""
    last = [re.split(r"::|\.", word)[-1] for word in (name, value)]
    return last[0][:1].isupper() and all(mentioned(w) or for_role(w) for word in last for w in split_name(word))


def _of_other(name: str, value: str) -> bool:
    """Whether a name is of one side by its word or letter, and what it is set to is of the other."""
    named = mentioned(name) & set(PD)
    side = next(iter(named)) if len(named) == 1 else lettered(name) if not named else None
    word = value.replace("::", ".").rsplit(".", 1)[-1]
    return side is not None and (role_value(word) or side_word(word)) is side.other
