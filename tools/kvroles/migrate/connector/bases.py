"""What the config of a role takes the rest of its settings from, where the file does not show that.

``{**BASE, "kv_role": "kv_both"}`` is NIXL's where ``BASE`` is, whatever other connectors the file names. Such a role is unread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from kvroles.evidence.patterns import regex
from kvroles.migrate.connector import overlays, regions
from kvroles.migrate.readers import registry

_FAR = 80  # characters before an object in which what it is added to or given to is named
_PATH = 300  # characters of a patch's path before its value
_LINES = 60  # of a mapping, on each side of its role
_MANY = 20  # connectors of one config: nobody sets more
_NEAR = 2000  # characters before and behind a role in which its object begins and ends
_CODE = registry.CODE | {""}
_NAME = r"[\w$]+(?:(?:\.|::)\w+)*"
_SPREAD = regex(rf"(?:\A|,)\s*(?:\*\*|\.\.\.?)\s*(?P<given>{_NAME}|[({{])")
_ADDED = regex(rf"(?P<given>(?<![\w$.]){_NAME}|\.|\))\s*[+|*]\s*@?\Z")  # before an object
_ADDS = regex(rf"\s*[+|*]\s*(?P<given>{_NAME}|\()")  # behind it
_CALL = regex(rf"(?:(?P<on>{_NAME}(?:\(\))?)\.)?(?P<call>\w+)\s*\Z")
# Calls that make one mapping of several, and those that change a setting of what they are called on.
_MERGES = regex(r"(?i)(?:\w*merge\w*|assign|extend|combine|defaults\w*|dict|replace|evolve)\Z")
_CHANGES = regex(r"(?i)(?:(?:model_)?copy|_?replace|update|merge\w*|evolve|setdefault|set|put|insert|add|with_?\w*)\Z")
_ARGUMENT = regex(rf"(?:\A|,)\s*(?P<given>{_NAME}|[({{])(?![\w$]|\s*(?:=(?!=)|:(?!:)))")
_TEMPLATE = regex(
    r"\b(?:mustM|m)erge(?:Overwrite)?\s[^\n{}]*\Z"
)  # Sprig's: its arguments stand in brackets of their own
_MEMBER = regex(rf"(?P<name>(?<![\w$.]){_NAME}?)(?:\.|\[[\"'])kv_?[rR]ole(?:[\"']\])?\s*:?=\s*[\"'`]\Z")
_ELSE = regex(r"(?m)^[ \t]*\}?[ \t]*(?:else|elif|elsif|elseif|case|default)\b")
_FILTER = regex(r"(?:^|[\s'\"|(,])(?P<path>\.(?:[\w.\[\]-]*\.)?\"?kv_?[rR]ole)\"?\s*\|?=\s*\\*[\"']\Z")  # jq's and yq's
_INCLUDED = regex(r"[ \t]*\{\{-?\s*(?P<given>(?:include|template|tpl|toYaml)\b[^\n{}]*?)\s*-?\}\}[ \t]*")
_INDENTED = regex(r"\bn?indent\s+(\d+)")
# What a mapping names that it is laid over: Compose's ``extends``, Hydra's ``defaults``, Terraform's module, the object
# that a JSON patch changes.
_EXTENDS = regex(r"(?m)^[ \t]*[\"']?(?P<given>extends|inherits)[\"']?[ \t]*:")
_DEFAULTS = regex(r"(?m)^(?P<given>defaults):[ \t]*\r?\n[ \t]*- ")
_MODULE = regex(r"\b(?P<given>module)\s+\"[\w-]+\"\s*\Z")
_PATCHED = regex(
    r"\b(?P<given>path)[\"']?\s*:\s*[\"']?/[\w/~.-]*?kv_?[rR]ole[\"']?\s*,?\s*[\"']?value[\"']?\s*:\s*[\"']?\Z"
)
_KEY = regex(r"[ \t]*(?:- )?[\"']?kv_?[rR]ole[\"']?:\s*[\"']?\Z")
# What a name is set to where the file shows it: an object, an empty one, or what a constructor is given.
_LITERAL = regex(
    r"(?:@|&|new\s+|make\b)?\s*(?:dict|map\[[^\]\n]*\]\s*\w+|[A-Z]\w*(?:(?:\.|::)[A-Z]\w*)*)?\s*(?:<[^<>\n]*>)?\s*(?=[({])"
)
_NOTHING = regex(r"[({]\s*[)}]")
_PAIR = regex(r"[\w\"'\]]\s*(?:=(?!=)|:)")


def under(s: str, i: int, lang: str) -> str:
    """What the config of the role at index ``i`` of ``s``, a text in ``lang``, is laid over, in the words of the text. Empty if
    the config names its connector, or if the file shows all that the config is made of."""
    start = s.rfind("\n", 0, i) + 1
    line = s[max(start, i - _NEAR) : i]
    if lang in _CODE and (m := _MEMBER.search(line)) is not None:
        name = m["name"]
        return "" if _of_connector(s, name, i) or _shown(s, name, i) else overlays.short(name)
    if (m := _FILTER.search(line)) is not None and "onnector" not in line:
        return m["path"]
    included = _included(s, start, i) if _KEY.fullmatch(line) is not None else ""
    if named := included or _named(s, start, i):
        return named
    pairs = regions.near(s, i, _NEAR)
    own, outer = next(pairs, None), next(pairs, None)
    if own is None or "onnector" in s[slice(*own)]:
        return ""
    if _TEMPLATE.search(s, s.rfind("\n", 0, own[0]) + 1, own[0]) is not None:
        return "merge"
    return next((overlays.short(given) for given, at in _givens(s, own, outer) if not _shown(s, given, at)), "")


def _givens(s: str, own: tuple[int, int], outer: tuple[int, int] | None) -> Iterator[tuple[str, int]]:
    """What the object between two indices may take settings from, each with its index."""
    a, b = own
    for m in _SPREAD.finditer(regions.flat(s, a + 1, b - 1)):
        yield m["given"], a + 1 + m.start("given")
    for found in (_ADDED.search(s, max(0, a - _FAR), a), _MODULE.search(s, max(0, a - _FAR), a), _ADDS.match(s, b)):
        if found is not None:
            yield found["given"], found.start("given")
    for x, y in (own, outer) if outer is not None else (own,):
        called = _CALL.search(s, max(0, x - _FAR), x) if s[x] == "(" else None
        if called is None:
            continue
        given = _ARGUMENT.finditer(regions.flat(s, x + 1, y - 1)) if _MERGES.match(called["call"]) else ()
        merged = [m for m in given if x + 1 + m.start("given") != a]
        for m in merged:
            yield m["given"], x + 1 + m.start("given")
        if called["on"] and not merged and _CHANGES.match(called["call"]):
            yield called["on"], called.start("on")


def _named(s: str, start: int, i: int) -> str:
    """What the mapping that holds index ``i``, in the line that begins at ``start``, says it is laid over; empty if nothing."""
    if (m := _PATCHED.search(s, max(0, i - _PATH), i)) is not None:
        return m["given"]
    if s[start : start + 1] not in {" ", "\t"} and (m := _DEFAULTS.search(s, 0, _NEAR)) is not None:
        return m["given"]
    for a, b in regions.blocks(s, i):
        if "onnector" in s[a:b]:
            break
        if (m := _EXTENDS.search(s, a, b)) is not None:
            return m["given"]
    return ""


def _included(s: str, start: int, i: int) -> str:
    """What a template puts beside the key of a mapping that stands at index ``i`` of the line that begins at ``start``."""
    indent = i - start - len(s[start:i].lstrip(" -"))
    above, below = s[max(0, start - _NEAR) : start].splitlines()[::-1], s[start : i + _NEAR].splitlines()[1:]
    for line in (*_beside(above, indent), *_beside(below, indent)):
        m = _INCLUDED.fullmatch(line)
        deep = _INDENTED.search(m["given"]) if m is not None else None
        if m is not None and deep is not None and int(deep[1]) == indent:
            return " ".join(m["given"].split()[:2])
    return ""


def _beside(lines: list[str], indent: int) -> Iterator[str]:
    """The first of ``lines``, up to one that stands less deep than ``indent`` and is none of a template."""
    for line in lines[:_LINES]:
        if line.strip() and len(line) - len(line.lstrip()) < indent and not line.lstrip().startswith("{{"):
            return
        yield line


def _of_connector(s: str, name: str, i: int) -> bool:
    """Whether the text sets the connector of the config ``name``, or gives the config to one (``LMCacheConnectorV1(config)``),
    with no ``else`` between that and index ``i``: what is in another arm is not run with it."""
    return any(_ELSE.search(s, *sorted((at, i))) is None for at in _connectors_of(s, name))


@lru_cache(maxsize=512)
def _connectors_of(s: str, name: str) -> list[int]:
    """Where the text sets the connector of a config, or gives the config to one."""
    own = rf"(?<![\w.]){re.escape(name)}"
    found = re.finditer(rf"{own}(?:\.|\[[\"'])kv_?[cC]onnector|onnector\w*\([^()\n]*{own}\b", s)
    return [m.start() for m in islice(found, _MANY)]


def _shown(s: str, given: str, at: int) -> bool:
    """Whether the text shows what ``given``, a name or what begins in brackets at index ``at``, comes to."""
    if given[0] in "({":
        return _complete(s, at)
    name = given.removeprefix("local.").lstrip("$")
    if given.endswith(("Default::default", "default")) or name in {"dict", "Object"}:
        return True
    return re.fullmatch(r"\w+", name) is not None and _set_here(s, name)


@lru_cache(maxsize=512)
def _set_here(s: str, name: str) -> bool:
    """Whether the text sets a name to a mapping that holds all its settings itself."""
    set_to = re.search(rf"(?<![\w.]){name}\s*(?::[^=\n,(){{}}]+)?:?=(?!=)\s*", s)
    if set_to is None:
        return False
    value = _LITERAL.match(s, set_to.end())
    return value is not None and _complete(s, value.end())


def _complete(s: str, at: int) -> bool:
    """Whether what begins in brackets at index ``at`` is a mapping that holds all its settings itself."""
    held = s[at : at + _NEAR]
    held = held[: regions.closes(held)]
    if _SPREAD.search(held[1:-1]) is not None:
        return False
    return "onnector" in held or _NOTHING.fullmatch(held) is not None or _PAIR.search(held) is not None
