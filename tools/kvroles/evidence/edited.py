"""Comments that say that a value is to be edited, or which sides it may be: it is then a choice, and says nothing of the side."""

from __future__ import annotations

import re

from kvroles.evidence.comments import MARK, behind
from kvroles.evidence.frames import Side
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences

_P, _D = r"prefill\w*", r"decod\w+"
_QUOTE = r"[\"'`]?"
# What a comment says of a value that is one of the two: "prefill or decode", "prefill|decode", "one of: prefill, decode".
_EITHER = regex(
    rf"(?i)\b(?:{_P}{_QUOTE}\s*(?:\||\bor\b)\s*{_QUOTE}{_D}|{_D}{_QUOTE}\s*(?:\||\bor\b)\s*{_QUOTE}{_P})"
    rf"|(?:^|\b(?:of|options?|values?|choices?|either|roles?|one)\b)\W*(?:{_P}\W*[,/]\W*{_D}|{_D}\W*[,/]\W*{_P})\W*$"
)
# The same of the other value alone: "or decode", "change to decode on the decode nodes".
_OTHERWISE = {
    side: regex(
        rf"(?i)(?:^\W*or\s|\b(?:change|set|switch|flip|toggle|replace|edit)\b(?:\s+\w+){{0,3}}?)[\s\"'`<]*(?:(?:to|by|with)\s[\s\"'`<]*)?"
        rf"(?:[\w-]*[-_=])?{other}\b(?![./'\u2019-]\w)"
    )
    for side, other in ((Side.PREFILL, "decod(?:er?|ing)"), (Side.DECODE, "prefill(?:er|ing)?"))
}
_FAR = 3  # comment lines above a value that are about it
_LONGEST_LINE = 1000
_WORD_ON = regex(r"[\w-]")


def is_choice(s: str, pos: int, side: Side, *, alone: bool = True) -> bool:
    """Whether a comment behind the value that index ``pos`` is in, or right above its line, says that it may as well be of the
    other side than ``side``: it is to be edited, or one of both. Where the text sets both, each is what it is. A comment above
    is about the value only if that stands ``alone``, and not in a command."""
    start = s.rfind("\n", 0, pos) + 1
    end = s.find("\n", pos)
    line = s[start : end if end >= 0 else len(s)]
    if side not in _OTHERWISE or len(line) > _LONGEST_LINE:
        return False
    trailing = behind(line)
    said = [trailing[1]] if trailing is not None else []
    for _ in range(_FAR if alone else 0):
        above = s.rfind("\n", 0, max(0, start - 1)) + 1
        if not start or (mark := MARK.match(s, above, start)) is None or start - above > _LONGEST_LINE:
            break
        said.append(s[mark.end() : start].strip())
        start = above
    if not any(_EITHER.search(text) or _OTHERWISE[side].search(text) for text in said):
        return False
    sets = line[: trailing[0] if trailing is not None else len(line)].strip()
    return not _sets_other(s, sets, side)


def _sets_other(s: str, line: str, side: Side) -> bool:
    """Whether the text has a line as ``line``, with the other side in it."""
    other = re.sub(side.value, side.other.value, line, flags=re.I)
    return other != line and any(
        not s[s.rfind("\n", 0, i) + 1 : i].strip() and not _WORD_ON.match(s, i + len(other))
        for i in occurrences(s, other)
    )
