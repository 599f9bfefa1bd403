"""Which side a loop is for, by the head that says what it goes over.

Only known shapes count: a collection that is named for a side, a list of such names, the first ``n`` of numbered servers, and
calls that count, sort or split one of these. A head in any other shape says nothing, so that one that leaves a side out
(``grep -v prefill``, ``range(num_prefill, total)``) never counts for that side.
"""

from __future__ import annotations

import re

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import PD, counts, mentioned, own
from kvroles.evidence.patterns import regex

_LONGEST = 200  # characters: what is longer is no name
_DEEPEST = 8  # wrappers round a name
_HEAD = regex(r"^\s*(?:for(?:each)?\b\s*|range\s+)")
_IN = regex(r"^(?:[\w$\s,&*()]+?\s+(?:in|of)\s+|(?:[\w$\s,]+:?=\s*)?range\s+|\$\w+(?:\s*,\s*\$\w+)*\s*:=\s*)")
_COUNTED = regex(
    r"^\(*\s*(?:(?:let|var|int|long|auto|size_t|usize)\s+)?(\w+)\s*:?=\s*[01]\s*;\s*\1\s*(?:<=?|!=)(?P<x>[^;<>=!&|]+);[^;]*$"
)
_COUNT = r"(?i:\$?(?:(?:num|n|count|total)_?\w*|\w*_?(?:num|count|total|size|replicas)))"
# What counts, sorts, lists, numbers or splits its argument, which is the group ``x``. With a group ``n`` the argument has to be
# a number of servers: ``range(decode_start)`` goes over the servers before decode's.
_COMMANDS = r"scontrol\s+show\s+hostnames?|nodeset\s+-e|cat|echo|printf\s+\S+|(?P<n>seq)(?:\s+[01])?|<"
_PIPED = r"(?:\s*\|\s*(?:tr|sort|uniq|xargs)\b[^|]*)*"
_CALLS = (
    r"enumerate|list|sorted|reversed|tuple|set|iter|len|int|(?P<n>range|until)|(?:Object\.)?(?:keys|values|entries)"
    r"|Array\.from"
)
_METHODS = r"items|keys|values|iter|iter_mut|into_iter|entries|split|splitlines|strip|copy"
_WRAPPED = tuple(
    regex(pattern, re.S)
    for pattern in (
        r"[\"'](?P<x>\$.*)[\"']",
        r"(?:&(?:mut\s+)?|\*|\.\.\.)\s*(?P<x>[\w(].*)",
        r"\((?P<x>.*)\)",
        r"\$\{[!#]?(?P<x>\w+)(?:\[[@*]\])?\}",
        r"\$\{(?P<x>\w+)(?:\[[@*]\])?//[\\,:;]{1,2}/ \}",  # ${X//,/ }
        r"\$\(\((?P<x>.*)\)\)",
        rf"\$\(\s*(?:{_COMMANDS})\s+(?P<x>\"[^\"]*\"|[^\s\"]+|\$\(\([^()]*\)\)){_PIPED}\s*\)",
        r"\{[01](?P<n>\.\.)(?P<x>[^{}.]+)\}",
        r"[01]\s*(?P<n>\.\.)[.=<]?\s*(?P<x>[^.].*)",
        r"(?P<n>range)\(\s*[01]\s*,\s*(?P<x>.*)\)",
        r"enumerate\((?P<x>.*),\s*(?:start\s*=\s*)?\d+\s*\)",
        rf"(?:{_CALLS})\((?P<x>.*)\)",
        r"(?:(?P<n>until)|int|keys|values|sortAlpha|uniq|tuple|list)\s+(?P<x>[($.\"].*)",
        r"(?P<x>[\w.]+)\.(?:length|size(?:\(\))?)",
        rf"(?P<x>.+)\.(?:{_METHODS})\((?:[\"'][^\"'a-zA-Z]*[\"'])?\)",
        r"(?P<x>.+?)\s*\|\s*(?:int|list|sort|unique|dictsort|items|length|string)",
        rf"(?P<x>{_COUNT})\s*[-+]\s*1",
        r"(?P<of>[A-Za-z_][\w.]*)\[\s*(?:0\s*)?:\s*(?P<x>[\w.]+)\s*\]",  # nodes[:num_prefill]
        r"\$\{(?P<of>\w+)\[[@*]\]:0:(?P<x>\$?\{?\w+\}?)\}",
    )
)
_NAME = regex(
    r"\$\{\w+\}|(?:\$|&|\$?\.)?[A-Za-z_][\w-]*(?:(?:\.|->|::|\?\.)[\w-]+|\[[\"']?[\w-]+[\"']?\])*|[\w/-]+(?:\.[\w/-]+)*"
)
_WORDS = regex(r"[\s,]+")
_LOOKED_UP = regex(r"\[(?=[a-z]\w*_|\w*[a-z][A-Z])\w+\]")  # what a table has for the value of a variable


def over(words: str, ctx: FileCtx) -> Side | None:
    """The side of everything that a loop goes over; shared if its head names both sides, None if no side is certain.

    ``words`` are the loop's head, or what stands behind ``in``.
    """
    if {s for w in re.findall(r"[\w.-]+", words[: 2 * _LONGEST]) for s in mentioned(w)} >= set(PD):
        return Side.SHARED
    if len(words) > _LONGEST:
        return None
    words = _HEAD.sub("", words.strip().rstrip("{;: \n"), count=1)
    counted = _COUNTED.match(words)
    words = counted["x"].strip() if counted is not None else _IN.sub("", words, count=1).strip()
    number = counted is not None
    for _ in range(_DEEPEST):
        m = next((m for wrapped in _WRAPPED if (m := wrapped.fullmatch(words)) is not None), None)
        if m is None:
            break
        if m.groupdict().get("of") and (not own(m["of"]) or mentioned(m["of"])):
            return None
        number = number or bool({"n", "of"} & {name for name, held in m.groupdict().items() if held})
        words = m["x"].strip()
    each = [w for w in _WORDS.split(words.strip("[]")) if w] if not _NAME.fullmatch(words) else [words]
    found = {_of_name(w, ctx, number=number) for w in each}
    return found.pop() if len(found) == 1 else None


def cues(words: str, shown: str, ctx: FileCtx, pos: int, one: kinds.Kind = kinds.LOOP_OVER_ONE) -> list[Cue]:
    """The cue of a loop with that head at ``pos``, quoted as ``shown``: of both sides, or of kind ``one``; nothing if its head
    says no side."""
    side = over(words, ctx)
    if side is None:
        return []
    return [(kinds.LOOP_OVER_BOTH if side is Side.SHARED else one).cue(side, shown, pos)]


def _of_name(word: str, ctx: FileCtx, *, number: bool) -> Side | None:
    """The side in one name or plain word; with ``number`` only if it is a number of servers, such as ``num_prefill``."""
    word = word.strip("\"'") if word[:1] == word[-1:] else word
    if not _NAME.fullmatch(word) or not own(re.sub(r"[\[\]\"'${}]+", ".", word).strip(".")):
        return None
    parts = re.findall(r"[\w/-]+", _LOOKED_UP.sub("", word))
    sides = {s for part in parts for s in ctx.sides_of(part)}
    if number and not all(counts(part) for part in parts if part == parts[-1] or ctx.sides_of(part)):
        return None
    return sides.pop() if len(sides) == 1 and sides <= set(PD) else None
