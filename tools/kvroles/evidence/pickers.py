"""What is given a condition and two values: the first is of the condition's side, the second of the other or of none.

A picker is known by its form (``A if c else B``, ``c ? A : B``) or by its name; what an unknown function does with a
condition is not known, so that it says nothing of the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from kvroles.evidence import conditions, kinds, listed
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.knowledge import pickers as known
from kvroles.evidence.names import ASKS, PD, condition_side, mentioned, split_name
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences

_LONGEST = 4000  # characters: what is longer is no choice between two configs
_CONFIG = regex(r"kv_(?:both|producer|consumer)|kv_role")
_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|\((?:[^()\"'`]|\"[^\"]*\"|'[^']*'|\([^()]*\))*\)|[^\s,()|\"'`]+)"
_TERNARY = regex(
    rf"(?:(?P<before>[^|{{}}]*?)\|\s*)?\bternary\b\s*(?:\(\s*(?={_VALUE}\s*,))?(?P<a>{_VALUE})\s*,?\s*(?P<b>{_VALUE})\s*,?\s*(?P<after>{_VALUE})?",
    re.S,
)
_INLINE = regex(rf"(?P<a>{_VALUE})\s+if\s+(?P<c>.*?)(?:\s+else\s+(?P<b>{_VALUE})|\s*-?\}}\}}\Z)", re.S)

# GitHub's: ``inputs.is_prefill && '{...}' || '{...}'``
_AND_OR = regex(
    rf"(?P<c>[^&|{{}}\"'`]+(?:'[^']*'[^&|{{}}\"'`]*)?)\s*&&\s*(?P<a>{_VALUE})\s*(?:\|\|\s*(?P<b>{_VALUE}))?", re.S
)


def many(values: Iterable[str]) -> bool:
    """Whether more than one of the values beside a side's word is a config: the word is then of neither, or nobody knows."""
    return len(list(islice((v for v in values if _CONFIG.search(v)), 2))) > 1  # a command may have hundreds


def by_name(name: str) -> bool:
    """Whether a function or tag of this name gives its second argument where its first is true, and its third elsewhere."""
    return name.rsplit(".", 1)[-1].rsplit("::", 1)[-1].lstrip("!").lower() in known.PICKERS


def is_yes_or_no(word: str) -> bool:
    """Whether a name stands for a yes or no (``is_prefill``). It tells a server's side only to what picks by it."""
    words = split_name(word.rsplit(".", 1)[-1])
    return condition_side(word.rsplit(".", 1)[-1]) is not None and len(words) > 1 and words[0] in ASKS


def cues(condition: str, first: str, index: int, words: str, ctx: FileCtx, pos: int) -> list[Cue]:
    """What speaks for the side of value ``index`` (0 or 1) of a picker whose first value is ``first``; ``words`` are shown."""
    if index == 0:
        side = ctx.branch_side(condition, taken=True)
        side = side if side in PD else None
    else:
        side = otherwise(condition, first, ctx)
    if side is not None:
        return [kinds.CONDITION.cue(side, words, pos)]
    return _ruled_out(condition, words, pos, value=index == 0)


def holding(condition: str, words: str, ctx: FileCtx, pos: int, *, shell: bool = False, rest: str = "") -> list[Cue]:
    """What speaks for the side of what runs where a condition holds; ``rest`` is what runs where it does not, if that is all
    there is. If that is a config too, a condition that rules one side out leaves the other."""
    both = len(rest) <= _LONGEST and _CONFIG.search(rest) is not None
    if (side := ctx.branch_side(condition, taken=True, shell=shell, only_two=both)) is not None:
        return [kinds.CONDITION.cue(side, words, pos)]
    return _ruled_out(condition, words, pos, value=True, shell=shell)


def _ruled_out(condition: str, words: str, pos: int, *, value: bool, shell: bool = False) -> list[Cue]:
    """What a condition that rules one side out says for the other: too little to act on, there may be a third."""
    side, own = conditions.told(condition, value=value, shell=shell)
    return [kinds.RULED_OUT.cue(side.other, words, pos)] if side is not None and side in PD and not own else []


def otherwise(condition: str, first: str, ctx: FileCtx, *, shell: bool = False) -> Side | None:
    """The side of what is given or done where a condition does not hold; ``first`` is what is where it holds. If that is
    no config, the condition may be about something else, unless it says itself of which side the rest is (``!= "prefill"``) or
    the file lists the two roles and no third."""
    side, own = conditions.told(condition, value=False, shell=shell)
    config = len(first) <= _LONGEST and _CONFIG.search(first) is not None
    if not (own and side in PD) and not config and not ctx.lists_two(condition, shell=shell):
        return None
    side = ctx.branch_side(condition, taken=False, shell=shell)
    return side if side in PD else None


def else_cues(
    condition: str, first: str, body: str, ctx: FileCtx, pos: int, *, shell: bool = False, last: bool = True
) -> list[Cue]:
    """The cue of an ``else``: what ``otherwise`` says where it is the ``last`` and only one, or else what the ``body`` of it
    speaks of, if that is the other side and not the one that the condition asks for."""
    words = f"else of: {condition.strip()}"[:80]
    if last and (side := otherwise(condition, first, ctx, shell=shell)) is not None:
        return [kinds.CONDITION.cue(side, words, pos)]
    side, own = conditions.told(condition, value=False, shell=shell)
    if side is None or side not in PD or own or len(body) > _LONGEST:
        return []
    # What is asked for further in is not said of all that is there.
    body = "\n".join(line for line in body.split("\n") if _ASKS_MORE.search(line) is None)
    said = {s for w in re.findall(r"[A-Za-z_][\w-]*", body) if not w.startswith("-") for s in mentioned(w)}
    if side.other in said and side not in said and not listed.third(body):
        return [kinds.LAST_BRANCH.cue(side.other, words, pos)]
    return [kinds.RULED_OUT.cue(side.other, words, pos)] if last else []


_ASKS_MORE = regex(r"\b(?:if|elif|elsif|ifn?eq|case|switch|match|unless|when)\b|[=!]=|\s-(?:eq|ne)\s")


def asks(condition: str, *, shell: bool = False) -> bool:
    """Whether a condition that does not hold says which side the server is, or is not."""
    return conditions.told(condition, value=False, shell=shell)[0] in PD


def left_cues(
    left: Sequence[str], first: str, body: str, ctx: FileCtx, pos: int, *, asked: bool, shell: bool = False
) -> list[Cue]:
    """The cue of what follows branches that have left: none of the conditions ``left`` holds there, of which the last one chose
    ``first``. Where more is ``asked`` further in, that says what is what, unless the last alone leaves one side only."""
    last = left[-1]
    _, own = conditions.told(last, value=False, shell=shell)
    if asked and not own:
        return []
    return else_cues(last, first, body, ctx, pos, shell=shell, last=own or len(left) == 1)


_NAMES = regex(r"[A-Za-z_]\w*")
_SETS = regex(r"\s*(?::=|=(?!=))")
_DECLARES = frozenset({"local", "export", "declare", "readonly", "typeset", "let", "mut", "const", "var"})


def set_again(condition: str, s: str, start: int, end: int) -> bool:
    """Whether a name that a condition asks is set between two indices of ``s``: behind that it may be another side's."""
    for name in set(_NAMES.findall(condition)):
        for i in occurrences(s, name, start, end):
            before = s[s.rfind("\n", 0, i) + 1 : i].rpartition(";")[2].removesuffix("$").split()
            if (
                _SETS.match(s, i + len(name))
                and set(before) <= _DECLARES
                and not (s[i - 1].isalnum() or s[i - 1] in "_.")
            ):
                return True
    return False


class Ternary(NamedTuple):
    """A value of a ternary in a template's action: its condition, the first of the two values, and which of them it is."""

    condition: str
    first: str
    nth: int


def ternary(action: str, place: int) -> Ternary | None:
    """The ternary of which index ``place`` of a template's action is in a value; None if it is in none."""
    if len(action) > _LONGEST:
        return None
    for pattern in (_AND_OR,) if action.startswith("${{") else (_TERNARY, _INLINE):
        for m in pattern.finditer(action, 3 if action.startswith("${{") else 0):
            for index, value in enumerate(("a", "b")):
                if m.start(value) <= place < m.end(value):
                    condition = (m["after"] or m["before"] or "") if pattern is _TERNARY else m["c"]
                    return Ternary(condition.strip().strip("()"), m.group("a"), index)
    return None
