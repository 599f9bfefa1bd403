"""Where a text speaks of connectors, whatever its language: which classes it names, and what it sets one to."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from string import ascii_letters, digits
from typing import NamedTuple

from kvroles.evidence import marks
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.connector.connectors import BASES, Kind, is_placeholder, kind_of, placeholder_of_other

_LONGEST = 90  # letters of a class's name
_ALPHANUMERIC = ascii_letters + digits
_BESIDE = 400  # characters round a role in which its connector is set, where it is no key of vLLM's own
_KV = regex(r"(?i)kv[-_]?c\Z")
_NAMED = regex(
    r"(?<![A-Za-z0-9_])([A-Z][A-Za-z0-9]{0,80}Connector(?:V\d+)?)(?:Worker|Scheduler|Metadata|Stats)?(?![A-Za-z0-9_])"
)
_CLASS = regex(r"[A-Z]\w*Connector(?:V\d+)?(?!\w|[.(\[])")
# A key, argument or flag from its second letter on, and what it is set to.
_SET = regex(
    r"""(?ix) onnector (?:V\d+)? (?:_?(?:name|type|class))? (?:_?(?:prefill(?:er)?|decoder?|producer|consumer|[pd]))?
    (?: \\*["']?[ \t]*[:=]{1,2}[ \t]*         # kv_connector=X, "kv_connector": X
      | \\*["'`]\s*\]\s*=(?!=)\s*             # config["kv_connector"] = X
      | (?P<listed> \\*["'`] (?: \s*,\s* | [ \t]+(?=["'`$.(]) ) )  # setdefault("kv_connector", X), set $c "kv_connector" X
      | (?P<flag> \s+(?=["'`]?(?:[$%{<]|[A-Z]\w*Connector)) )  # --kv-connector $X
      | (?P<alone> \s*(?=[,}]) )              # {kvConnector, kvRole}
    ) (?P<quote>\\*["'`]*) (?P<value>[^\s,;)}\]"'`\\]{0,200})"""
)
_AFTER = frozenset("_nNtTcCpPdDvV\\\"'`:=,}$%{< \t\r\n")  # what follows "onnector" there
# ``conn``, ``names[0]``, ``chosen(x)``, ``default="X"``, ``.Values.connector``, ``(default ...)``
_VARIABLE = regex(r"(?:[a-z_]\w*|\.[A-Za-z_]\w*)(?:\??\.\w+)*(?:[\[(=].*)?|\(.*")
# What stands before a value that is taken where no other one is given: the word, an operator, what looks a value up or
# declares an option, the field of a class, a build argument.
_BY_DEFAULT = regex(
    r"""(?xm)(?: \bdefault\w*["']?\s*[:=(]?\s* | \?\?\s* | \|\|\s* | \bor\s+ | :-
      | \b(?:get\w*|\w*env\w*|[sS]tring\w*|option\w*|flag|lookup|Field)\(\s*(?:[^()\n]{1,80},\s*)?
      | ^[ \t]+\w+[ \t]*:[ \t]*[^=\n{}(),]{1,60}=[ \t]* | ^[ \t]*ARG[ \t]+\w+=
      | \$\{[\w.]{1,80}: | \b(?:set|init);\s*\}\s*=\s* | :\s*\*
    ) \\*["'`]?\Z"""
)
# The same of a parameter: the head of its function.
_PARAMETER = regex(
    r"\b(?:def\s+(?P<name>\w+)|fun(?:ction)?\b|constructor\b)[^()\n]{0,80}\((?:[^()]|\([^()]{0,80}\)){0,400}(?P<sign>[=:])\s*[\"'`]?\Z"
)
# In a comment that tells NIXL's connector from the one that is set.
_DENIED = regex(
    r"(?i)\b(?:not?|never|without|instead|unlike|rather|than|vs|was|were|formerly|from|replaces?d?)\b|n't\b"
)
_HEAD = 600  # characters before a value in which its function begins
TYPES = frozenset(
    {"str", "string", "any", "bool", "int", "null", "none", "nil", "undefined", "self", "optional", "type"}
)


class Mention(NamedTuple):
    """A place where a text says "connector"."""

    at: int  # where its second letter stands
    start: int  # where the class's name begins
    named: str  # that class; empty if it is none's name
    ours: bool = False  # whether it is vLLM's own key, ``kv_connector``
    value: str | None = None  # what the key is set to, without quotes; None if it is no key that is set
    later: bool = False  # whether that is a placeholder or, of vLLM's own key, a variable: it may stand for NIXL's

    @property
    def is_class(self) -> bool:
        """Whether the key is set to a class by its name."""
        return self.value is not None and _CLASS.match(self.value) is not None


def mentions(text: Text) -> Iterator[Mention]:
    """Each place where a text says "connector" in the name of a class, or sets one."""
    s = text.s
    for i in chain.from_iterable(occurrences(s, word) for word in ("onnector", "ONNECTOR") if text.has(word)):
        start = _start_of_word(s, i)
        c = _NAMED.match(s, start) if s[start].isupper() else None
        named = c[1] if c is not None else ""
        m = _SET.match(s, i) if s[i + 8 : i + 9] in _AFTER else None
        if m is not None and not (named and m["listed"]):  # else a class in a list
            ours = named in {"", "KVConnector"} and _KV.search(s, max(0, i - 4), i) is not None
            yield Mention(i, start, named, ours, m["value"] if m["alone"] is None else None, _later(m, ours))
        elif named:
            yield Mention(i, start, named)


def _start_of_word(s: str, i: int) -> int:
    """Where the letters and digits begin that end at index ``i``; no further back than a class's name is long."""
    if s[i - 1 : i].isalnum() and not s[i - 2 : i - 1].isalnum():  # nearly always: kv_connector
        return i - 1
    before = s[max(0, i - _LONGEST) : i]
    start = i - len(before) + len(before.rstrip(_ALPHANUMERIC))
    while start and i - start < _LONGEST and s[start - 1].isalnum():  # of another alphabet
        start -= 1
    return start


def by_default(s: str, start: int, lang: str) -> str:
    """The words by which what begins at index ``start`` of ``s`` is only taken where nothing else is given; empty if it is
    set."""
    m = _PARAMETER.search(s, max(0, start - _HEAD), start)
    if m is None or (lang and m["sign"] == ":"):  # Ruby's; elsewhere it names a type
        m = _BY_DEFAULT.search(s, max(0, start - _HEAD // 4, s.rfind("\n", 0, start)), start)
    elif (m["name"] or "").startswith("_") and m["name"] != "__init__":
        return ""  # nothing calls it but its own file, which names no other connector
    return " ".join(m.group().split())[-60:] if m is not None else ""


def offered(s: str, start: int, lang: str) -> str:
    """The comment on the line of index ``start``, where a connector is set, that names NIXL's as another choice; empty if there
    is none, or if it says that NIXL's is not meant."""
    end = s.find("\n", start)
    line = s[start : end if end >= 0 else len(s)]
    at = line.lower().find("nixl")
    if at < 0 or not marks.commented(s, start + at, lang):
        return ""
    said = line[max(0, at - _BESIDE // 10) :]
    return "" if _DENIED.search(said) is not None else " ".join(said.split())[-60:]


def all_other(
    said: Sequence[Mention], known: frozenset[str] = frozenset(), silent: Callable[[int], bool] = lambda _: False
) -> tuple[str, ...]:
    """The connectors that a text names, if it names any and each is another one than NIXL's; else nothing. ``said`` are the
    mentions of a text without "nixl"; what stands at an index that is ``silent`` (in a comment) names none.

    A wrapper is none by itself, and a placeholder or variable in a connector's place may stand for NIXL's.
    """
    others: dict[str, Kind] = {}
    for m in said:
        if m.named and m.named not in others and m.named not in BASES and not silent(m.start):
            if (kind := kind_of(m.named, known)) not in (Kind.OTHER, Kind.WRAPPER):
                return ()
            others[m.named] = kind
        if m.later or m.value in known:
            return ()
    return tuple(name for name, kind in others.items() if kind is Kind.OTHER)


def may_be_filled(said: Sequence[Mention], roles: list[int]) -> bool:
    """Whether a text sets a connector to anything but a class by its name, where one of ``roles`` stands, or by vLLM's own key
    anywhere. ``said`` are the mentions of the text."""
    for m in said:
        if m.value is None or m.is_class:
            continue
        n = bisect_left(roles, m.at - _BESIDE)
        if m.ours or (n < len(roles) and roles[n] <= m.at + _BESIDE):
            return True
    return False


def _later(m: re.Match[str], ours: bool) -> bool:
    """Whether the key is set to what may stand for NIXL's connector."""
    value = m["value"]
    if value and m["flag"] is None and is_placeholder(value):
        return True
    if not ours or m["quote"]:
        return False
    variable = _VARIABLE.fullmatch(value) is not None and value not in TYPES and not placeholder_of_other(value)
    return variable or m["alone"] is not None
