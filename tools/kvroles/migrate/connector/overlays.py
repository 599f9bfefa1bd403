"""What may replace the connector of an object: a spread, a merge or an update that stands behind it, of which the file does not
show that it sets none.

``{"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both", **overrides}`` is NIXL's where ``overrides`` says so.
"""

from __future__ import annotations

import re

from kvroles.evidence.patterns import regex
from kvroles.migrate.connector import regions

_NEAR = 2000  # characters before and behind a role in which its object begins and ends
_WORDS = ("**", "...", "erge", "ssign", "combine", "|")  # without one of these nothing is laid over an object
_SPREAD = regex(r",\s*(?P<sign>\*\*|\.\.\.)\s*(?P<given>\([^,]*|\{[^,]*|[\w.]+)")
_MERGES = regex(r"(?:\b(?:merge|dict|(?:Object\.)?assign|deep_?merge\w*|merge_\w+|extend))\s*\Z", re.I)
_OVERWRITES = regex(r"\b(?:mustM|m)ergeOverwrite\s[^\n{}]*\Z")  # Sprig's: what stands behind wins
_GIVES_WAY = regex(r"\b(?:mustM|m)erge\s+(?P<given>[.$(][^\n{}]*?)\s*\Z")  # Sprig's: what stands before wins
_BEHIND = regex(r"\s+(?P<given>[.$(][\w.]*)")
_COMBINED = regex(r"\s*\|\s*combine\(\s*(?P<given>[\w.]+)")  # Ansible's
_UNITED = regex(r"\s*\|=?\s*(?P<given>\w[\w.]*|\{)")  # Python's
_ARGUMENT = regex(r",\s*(?P<given>\{|[\w.]+)")
_SETS = regex(r"\{\{-?\s*(\$\w+)\s*:?=")
_LITERAL = regex(r"\{[^{}]*\}")
_ONE_OF_LITERALS = regex(
    r"\([^?]*\?(?!\?)\s*\{\}\s*:\s*\{\}\s*\)?|\([^|?]*&&\s*\{\}\s*\)?|\(\{\}\s+if\b.*\belse\s+\{\}\s*\)?", re.S
)
_ALONE = regex(r"[(,]\s*[\w.]*\Z")  # before an object that is an argument by itself, not a named one


def over(s: str, i: int, lang: str) -> str:
    """What may replace the connector of the object that the role at index ``i`` stands in, as ``s`` has it; empty if nothing
    does. ``lang`` is the language of the text."""
    first, last = max(0, i - _NEAR), min(len(s), i + _NEAR)
    if all(s.find(word, first, last) < 0 for word in _WORDS):
        return ""
    pairs = regions.around(s, i, first, last)
    own = next(pairs, None)
    if own is None:
        return ""
    start, end = own
    named = start + regions.flat(s, start + 1, end - 1).rfind("onnector") + 1
    if named <= start:
        return ""
    for m in _SPREAD.finditer(regions.flat(s, named, end - 1)):
        if not known(s, m["given"], named + m.start("given")):
            return f"{m['sign']}{short(m['given'])}"
    return _behind(s, end, lang) or _merged(s, start, end, next(pairs, None))


def spread_behind(s: str, i: int) -> bool:
    """Whether what is not known to hold no role is laid over the object in which a setting stands at index ``i``."""
    if "**" not in s and "..." not in s:
        return False
    own = next(regions.near(s, i, _NEAR), None)
    behind = (m for m in _SPREAD.finditer(regions.flat(s, i, own[1] - 1))) if own is not None else ()
    return any(not known(s, m["given"], i + m.start("given")) for m in behind)


def over_variable(s: str, i: int) -> str:
    """What a merge lays over the variable of a template that the action round index ``i`` sets; empty if none does."""
    opened = s.rfind("{{", max(0, i - _NEAR), i)
    set_ = _SETS.match(s, opened) if opened >= 0 else None
    if set_ is None:
        return ""
    name = re.escape(set_[1])
    merges = re.compile(
        rf"\b(?:mustM|m)ergeOverwrite\s+{name}\s+(?P<a>[.$(][^\s}}]*)|\b(?:mustM|m)erge\s+(?P<b>\([^()]*\)|[.$][\w.]*)\s+{name}\b"
    )
    for m in merges.finditer(s, i):
        at = m.start(m.lastgroup or 0)
        if not known(s, m[m.lastgroup or 0], at):
            return short(m[m.lastgroup or 0])
    return ""


def _behind(s: str, end: int, lang: str) -> str:
    """What is laid over the object that ends at index ``end`` by an operator behind it."""
    for pattern in (_COMBINED, *((_UNITED,) if lang == "python" else ())):
        m = pattern.match(s, end)
        if m is not None and not known(s, m["given"], m.start("given")):
            return short(m["given"])
    return ""


def _merged(s: str, start: int, end: int, outer: tuple[int, int] | None) -> str:
    """What the call that takes the object between two indices lays over it; ``outer`` are the brackets round the object."""
    line = s[s.rfind("\n", 0, start) + 1 : start]
    if _OVERWRITES.search(line) and (more := _BEHIND.match(s, end)) is not None:
        return more["given"]
    if (first := _GIVES_WAY.search(line)) is not None:
        return short(first["given"])
    if outer is None or s[outer[0]] != "(" or not _ALONE.search(s, max(0, start - 40), start):
        return ""
    if _MERGES.search(s, max(0, outer[0] - 40), outer[0]) is None:
        return ""
    behind = regions.flat(s, end, outer[1] - 1)
    for m in (*_ARGUMENT.finditer(behind), *_SPREAD.finditer(behind)):
        if not known(s, m["given"], end + m.start("given")):
            return short(m["given"])
    return ""


def known(s: str, given: str, at: int) -> bool:
    """Whether the text shows what ``given``, a name or what begins in brackets at index ``at``, comes to, and that it names no
    connector."""
    if given[0] in "({":
        given = s[at : at + _NEAR]
    if given[0] == "(":
        given = given[: regions.closes(given)]
        if given.startswith("(dict ") and "onnector" not in given:
            return True
        return "onnector" not in given and _ONE_OF_LITERALS.fullmatch(_LITERAL.sub("{}", given)) is not None
    if given[0] == "{":
        given = given[: regions.closes(given)]
        return "onnector" not in given and "**" not in given and "..." not in given
    name = re.escape(given.removeprefix("local."))
    if not re.fullmatch(r"[\w-]+", given.removeprefix("local.")) or re.search(rf"\b{name}(?:\.update\(|\[)", s):
        return False
    set_to = re.search(rf"(?<![\w.]){name}\s*(?::[^=\n,(){{}}]+)?:?=\s*(?:dict(?=\())?(?P<value>[({{])", s)
    if set_to is None:
        return False
    value = s[set_to.start("value") : set_to.start("value") + _NEAR]
    value = value[: regions.closes(value)]
    return "onnector" not in value and "**" not in value and "..." not in value


def short(given: str) -> str:
    """A name as it is written; what is no name may hold anything, and is not shown."""
    return given[:60] if re.fullmatch(r"[\w.$-]+", given) else "(...)"
