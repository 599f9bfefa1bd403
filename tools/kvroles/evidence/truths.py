"""What a text sets the names of truths to (``is_prefill``): whether that is what they deny."""

from __future__ import annotations

import re

from kvroles.evidence import conditions
from kvroles.evidence.names import ASKS, PD, condition_side, mentioned, split_name
from kvroles.evidence.patterns import regex

# What a line sets a name to, up to the end of that or of a template's action.
_SETS_TRUTH = regex(r"(?:\s*:\s*\w+)?\s*:?=(?![=~])\s*([^\n;]{1,200}?)\s*(?:;|-?[%}]\}|\r?\n|\Z)")
_TRUE = regex(r"(?i)\$?(?:true|1|yes)\b[;)}]*")
_TRUE_IF = regex(r"(?:True|1|\"1\")\s+if\s+(.+?)\s+else\s.*|(.+?)\s*\?\s*true\s*:\s*false")
# The condition where a truth is set: the line above opens a branch, or it stands before it.
_GUARD = regex(r"(?:(?:el)?if\b\s*)?(.+?)\s*(?:&&|;\s*then|:|\{)|(?:el)?if\s+(.+)")
_ABOVE = 300  # characters before a name in which its condition stands
_PART_OF_NAME = regex(r"[\w-]")


# The head of a function behind its name, and what it gives at once.
_DEFINES = regex(r"(?:\b(?:def|fn|function|get|static|async|public)\s+|\bfunc\s+(?:\([^()\n]*\)\s*)?|^[ \t]*)\Z", re.M)
_GIVES = regex(
    r"""(?x)\([^()\n]{0,120}\)\s*(?:(?:->|:)?\s*[\w.]+\s*)?
    (?: :\s*(?:(?:\"{3}[^"]{0,400}\"{3}|\#[^\n]*)\s*)?return\s+ | \{\s*(?:return\s+)? ) (?P<value>[^\n;}]{1,200})"""
)
_BEGINS = regex(r"\([^()\n]{0,120}\)[^\n=;(){]{0,60}[:{]\s*(?:\n|[^\n]*$)", re.M)


def defined_otherwise(s: str, i: int, name: str) -> bool:
    """Whether ``name`` at index ``i`` is that of a function which a text defines, of which it does not show that it asks for the
    side of its name and no more: ``def is_prefill(self): return self.role != "decode"``."""
    start = s.rfind("\n", 0, i) + 1
    if _DEFINES.search(s, start, i) is None or not _BEGINS.match(s, i + len(name)):
        return False
    m = _GIVES.match(s, i + len(name))
    return m is None or conditions.holds(m["value"].strip().lstrip("*&")) is not condition_side(name)


def sets_denied(s: str, i: int, name: str, *, shell: bool) -> bool:
    """Whether a text sets ``name`` at index ``i`` to what it denies: to a condition of another side or, where such a one holds,
    to true."""
    side = condition_side(name)
    m = _SETS_TRUTH.match(s, i + len(name))
    if m is None or _PART_OF_NAME.match(s[i - 1 : i]):
        return False
    value = _first(m[1]).strip()
    chosen = _TRUE_IF.fullmatch(value)
    asked = (chosen[1] or chosen[2]) if chosen is not None else value
    if _TRUE.fullmatch(value):
        above = [line for line in s[max(0, i - _ABOVE) : i].split("\n")[-2:] if line.strip()]
        guards = (g for line in reversed(above) if (g := _GUARD.fullmatch(line.strip())) is not None)
        asked = next((g[1] or g[2] for g in guards), "")
    said, own = conditions.told(asked, value=True, shell=shell and asked is not value)
    if said in PD:
        return own is not (said is side)
    spoken = {word for w in re.findall(r"[\w-]+", value) for word in mentioned(w)} & set(PD)
    return split_name(name)[0] in ASKS and side is not None and spoken == {side.other}


# A chart's settings of a side, asked for by themselves; ``with`` takes what is in them.
_SECTION = regex(
    r"(?!\s*with\b)(?!.*(?:\b(?:eq|ne|true|false)\b|[=!]=)).*\bValues\.(?:\w+\.)*(?:prefill|decode)r?(?![\w.])", re.S
)
# What is no truth: it has members, is gone through, is of another type, is an address, or is an option with a value.
_HAS_MEMBERS = regex(
    r"\??(?:\.(?!(?:sh|py|ya?ml|json|toml|env|conf|txt|md|log|out|err|pid|service|j2|tpl|enabled)\b)[a-z_]\w*|\[(?![^\]\n]*\]\])|->\w)"
)
_TYPED = regex(
    r"\??:[ \t]*(?!(?:Optional\[)?bool|boolean\b|(?i:true|false|yes|no|on|off)\b|[\"']?[01]\b|\{\{|\$)"
    r"(?:[\w&*\[{]|\n[ \t]+[\w-]+:)"
)
_GONE_THROUGH = regex(r"\b(?:in|range|of)\s+[$.\w]*\Z")
_ADDRESS = regex(r"[ \t]*:?=[ \t]*[\"']?(?:\w+://|[\w.-]+:\d|\$\{?\w*(?:URL|ADDR|HOST|ENDPOINT))")
_OPTION = regex(r"[\"'](?P<rest>[^()]{0,200})")
_SWITCH = regex(r"store_true|BooleanOptional|is_flag|\bbool\b")


def asks_section(condition: str) -> bool:
    """Whether a condition asks whether a chart has settings for a side (``if .Values.prefill``), not which side this is."""
    return "Values." in condition and _SECTION.match(condition) is not None


def is_thing(s: str, i: int, name: str) -> bool:
    """Whether a text shows by the ``name`` at index ``i``, which is the word for a side and no more, that it holds something
    else than a truth: settings, servers, an address."""
    before, end = s[max(0, i - 80) : i], i + len(name)
    if before[-2:] == "--":
        option = _OPTION.match(s, end)
        return option is not None and "add_argument(" in before[-20:] and _SWITCH.search(option["rest"]) is None
    if _PART_OF_NAME.match(before[-1:]) or before[-1:] in {"/", '"', "'", "`"}:
        return False
    line = before.rsplit("\n", 1)[-1]
    typed = _TYPED.match(s, end) is not None and not re.search(r"\b(?:el)?if\b|\bcase\b|\belse\b|\?", line)
    return typed or any(p.match(s, end) for p in (_HAS_MEMBERS, _ADDRESS)) or _GONE_THROUGH.search(line) is not None


def _first(value: str) -> str:
    """A value up to the next argument, or to the bracket that closes round it."""
    depth = 0
    for n, c in enumerate(value):
        depth += (c in "([{") - (c in ")]}")
        if depth < 0 or (c == "," and depth == 0):
            return value[:n]
    return value
