"""What a template, a shell or a language fills into a name, and whether it says a side: a path does, as
``{{ .Values.prefill.name }}``; a default, or one of a choice, says nothing: ``${ROLE:prefill}``."""

from __future__ import annotations

from collections.abc import Iterator

from kvroles.evidence.names import mentioned, split_name
from kvroles.evidence.patterns import regex

_MARKS = ("{", "(", "__", "<%")  # quicker to look for than what they open
_OPENS = regex(r"\{|[$%@]\(|<%")
_MASKED = regex(r"__[\w.]+__")  # an action of a template that is masked: its signs are lost, a path's dots are not
_CLOSES = {"{": "}", "(": ")", "%": ">"}
# Words that choose between what stands beside them, and those that hand on what they are given.
_CHOOSES = frozenset({"if", "else", "and", "or", "not", "ternary", "eq", "ne", "unless", "then"})
_CHOICE = regex(r"\?|&&|\|\||[=!]=|:\+")
_FILTERS = frozenset(
    {"quote", "squote", "lower", "upper", "trim", "tostring", "string", "kebabcase", "trunc", "nospace"}
)
_INDEX = r"\[[\w\"'.$-]*\]"
_TERM = regex(rf"[\w$.]*[A-Za-z_][\w$.]*(?:{_INDEX}[\w.$]*)*")
# Within a template's braces a dash is no sign of a default.
_DASHED = regex(rf"[\w$.-]*[A-Za-z_][\w$.-]*(?:{_INDEX}[\w.$-]*)*")
_GROUP = regex(r"_{2,}")
_OF_EACH = regex(r"\b(?:each\.value|item)\.(?:prefill|decode)$")  # what one of several has under that name


def said(name: str) -> str:
    """``name`` without what is filled in and says no side, though it has a side's word in it."""
    if not any(mark in name for mark in _MARKS):
        return name
    out, last = [], 0
    for start, end in _spans(name):
        if is_open(name[start:end]):
            out += [name[last:start], " "]
            last = end
    return "".join([*out, name[last:]]) if last else name


def is_open(action: str) -> bool:
    """Whether a side's word in what is filled in, its brackets included, is a default, or one of a choice."""
    if not mentioned(action):
        return False
    if _CHOICE.search(action) is not None:
        return True
    terms = [t for part in (_DASHED if "{{" in action else _TERM).findall(action) for t in _GROUP.split(part)]
    terms = [t for t in terms if not _FILTERS.issuperset(w for w in split_name(t) if w.isalpha())]
    if len(terms) == 1 and (not _words_choose(terms[0]) or "." in terms[0]):
        return _OF_EACH.search(terms[0]) is not None
    paths = [t for t in terms if "." in t]
    others = [t for t in terms if "." not in t]
    return not paths or not all(mentioned(t) for t in paths) or any(mentioned(t) or _words_choose(t) for t in others)


def _words_choose(term: str) -> bool:
    return not _CHOOSES.isdisjoint(split_name(term))


def _spans(name: str) -> Iterator[tuple[int, int]]:
    """The span of each part of a name that is filled in, the outermost brackets counting."""
    at = 0
    while (m := _OPENS.search(name, at)) is not None:
        sign = "%" if m[0] == "<%" else m[0][-1]
        depth, end = 1, m.end()
        while end < len(name) and depth:
            depth += (name[end] == sign and sign != "%") - (name[end] == _CLOSES[sign])
            end += 1
        at = end
        yield m.start(), end
    if not at and "__" in name:
        yield from (m.span() for m in _MASKED.finditer(name))
