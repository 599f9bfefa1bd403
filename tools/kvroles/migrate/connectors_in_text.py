"""Which connectors a text names, and where it sets one, whatever its language."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import chain

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences
from kvroles.migrate.connectors import BASES, Kind, is_placeholder, kind_of, placeholder_of_other

_CLASS_NAMED = regex(
    r"(?<![A-Za-z0-9_])([A-Z][A-Za-z0-9]{0,80}Connector(?:V\d+)?)(?:Worker|Scheduler|Metadata|Stats)?(?![A-Za-z0-9_])"
)
_SAID = regex(  # from the second letter on
    r"(?i)onnector(?:_?(?:name|type|class))?\\*[\"']?[ \t]*[:=]{1,2}[ \t]*(?P<value>(?P<quote>\\*[\"']*)[^\s,;)}\]\"'\\]+)"
)
_KV = regex(r"(?i)kv[-_]?c\Z")
_VARIABLE = regex(r"[a-z_]\w*(?:\??\.\w+)*(?:\[[\w.]*)?")  # ``kv_connector=conn``, ``kv_connector: args.connector``
_TYPES = frozenset(
    {"str", "string", "any", "bool", "int", "null", "none", "nil", "undefined", "self", "optional", "type"}
)
# ``c["kv_connector"] = name``, ``c.setdefault("kv_connector", name)``, ``{kvConnector, kvRole: ...}``.
_FILLED = regex(r"(?i)onnector(?:[\"'`]\s*(?:\]\s*=(?!=)|,)\s*([a-z_][\w.]*)|\s*[,}])")
_SAID_NEXT = frozenset("_nNtTcC\\\"' \t:=")  # what may follow those letters
_BESIDE = 400  # characters round a role in which its connector is set, where it is no key of vLLM's own
# From the second letter on: a key, argument or flag that sets a connector, and one that sets it to a class.
_SET = regex(
    r"""(?ix) onnector (?:_?(?:name|type|class))? (?:_?(?:prefill(?:er)?|decoder?|producer|consumer|[pd]))?
    (?: \\*["'`]? \s* \]? \s* [:=] | \\*["'`]\s*,\s | \s+["'`]?[$%{<] )"""
)
_SET_TO_CLASS = regex(
    r"(?i:onnector(?:_?(?:name|type|class))?)\\*[\"'`]?\s*\]?\s*[:=]{1,2}\s*\\*[\"'`]?[A-Z]\w*Connector(?:V\d+)?(?![\w.(\[])"
    r"|(?<=[A-Za-z0-9]C)(?<!\bkvC)onnector(?:V\d+)?[\"'`],\s"  # a class in a list
)
_LONGEST = 90  # letters of a class's name


def all_other(
    s: str, low: str, known: frozenset[str] = frozenset(), silent: Callable[[int], bool] = lambda _: False
) -> tuple[str, ...]:
    """The connectors that a text names, if it names any and each is another one than NIXL's; else nothing. ``low`` is the
    text in lower case; what stands at an index that is ``silent`` (in a comment) names none.

    A wrapper is none by itself, and a placeholder or variable in a connector's place may stand for NIXL's.
    """
    if "nixl" in low:
        return ()
    others: dict[str, Kind] = {}
    for i in chain(occurrences(s, "onnector"), occurrences(s, "ONNECTOR")):
        start = i
        while start and i - start < _LONGEST and s[start - 1].isalnum():
            start -= 1
        m = _CLASS_NAMED.match(s, start) if s[start].isupper() else None
        if m is not None and (name := m[1]) not in others and name not in BASES and not silent(start):
            if (kind := kind_of(name, known)) not in (Kind.OTHER, Kind.WRAPPER):
                return ()
            others[name] = kind
        if s[i + 8 : i + 9] in _SAID_NEXT and (m := _SAID.match(s, i)):
            value = m["value"].lstrip("\\\"'")
            if is_placeholder(value) or value in known:
                return ()
            if m["quote"] == "" and _KV.search(s, max(0, i - 4), i) and _is_variable(value):
                return ()
        elif _KV.search(s, max(0, i - 4), i) and (m := _FILLED.match(s, i)) and _is_variable(m[1] or "it"):
            return ()
    return tuple(name for name, kind in others.items() if kind is Kind.OTHER)


def may_be_filled(s: str, roles: list[int]) -> bool:
    """Whether a text sets a connector to anything but a class by its name, where one of ``roles`` stands, or by the key of vLLM's
    own setting anywhere."""
    for k in chain(occurrences(s, "onnector"), occurrences(s, "ONNECTOR")):
        if _SET.match(s, k) is None or _SET_TO_CLASS.match(s, k) is not None:
            continue
        if _KV.search(s, max(0, k - 4), k):
            return True
        n = bisect_left(roles, k - _BESIDE)
        if n < len(roles) and roles[n] <= k + _BESIDE:
            return True
    return False


def _is_variable(value: str) -> bool:
    return _VARIABLE.fullmatch(value) is not None and value not in _TYPES and not placeholder_of_other(value)
