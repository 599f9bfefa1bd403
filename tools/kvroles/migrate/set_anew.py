"""Where a script or a program sets a role anew that its config was set beside, and sets no other config with it.

``export ROLE=prefill KV=...`` is prefill's until ``ROLE=decode ./serve.sh`` starts another server: that one has the same config.
What a command is given itself is its own.
"""

from __future__ import annotations

import re
from itertools import islice

from kvroles.evidence import kinds
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.marks import commented
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import lines, registry
from kvroles.migrate.readers.base import File

_SCRIPTS = registry.CODE | {"shell", "make", "just"}
_CLOSED = frozenset({"command", "container", "file"})  # what a config belongs to alone that is set in it
_KEY = regex(r"(?:\$(?:\w+:)?)?([\w.-]+)[\"']?\]?\s*:?[=:]")
_VALUE = {
    Side.PREFILL: r"\s*:?=\s*[\"'`]?[\w-]{0,60}(?i:prefill)",
    Side.DECODE: r"\s*:?=\s*[\"'`]?[\w-]{0,60}(?i:decod)",
}
_CONFIG = regex(r"kv[-_](?:both|producer|consumer|connector|transfer)|kv(?:Role|Connector)")
_ELSE = regex(r"\s*(?:\}?\s*(?:else|elif|elseif|except|catch)\b|;;|\w+\)\s)")
_SAYS = regex(r"(?i)\b(?:echo|printf?|log\w*|write-\w+|console\.\w+|usage)\b")
_MANY = 60  # places where one key is set


def again(ctx: File, site: Site, side: Side, cues: list[Cue]) -> Cue | None:
    """The cue that what the settings ``cues`` say, ``side``, is set anew further on for a server that is given the same config as
    the ``site``; None if that is not seen."""
    lang = registry.lang_of_name(ctx.name)
    if lang not in _SCRIPTS or ("prefill" if side is Side.DECODE else "decod") not in ctx.low:
        return None
    chain = site.scope.chain()
    holder = next((s for s in chain if s.kind == "variable"), None)
    if holder is None or any(s.kind in _CLOSED and s.up is not None for s in chain):
        return None
    for cue in cues:
        key = _KEY.match(cue.words)
        if key is None or not 0 <= cue.pos < len(ctx.text.s):
            continue
        if cue.kind == kinds.ROLE_ASSIGNED.name:
            set_ = rf"(?<![\w$-])(?:\$\{{?(?:\w+:)?)?{re.escape(key[1])}\}}?{_VALUE[side.other]}"
        elif re.fullmatch(r"\$?[\w.]+", holder.name):
            set_ = (
                rf"(?<![\w.]){re.escape(holder.name)}(?:\.|\[[\"'`]){re.escape(key[1])}[\"'`]?\]?{_VALUE[side.other]}"
            )
        else:
            continue
        found = re.compile(set_).finditer(ctx.text.s, max(cue.pos, site.pos) + 1)
        for m in islice(found, _MANY):
            if _same_config(ctx, lang, holder, cue.pos, site.pos, m.start()):
                words = lines.line_at(ctx.text.s, m.start()).strip()[:80]
                return kinds.EXTENDED.cue(Side.SHARED, words, m.start())
    return None


def _same_config(ctx: File, lang: str, holder: Scope, first: int, site: int, anew: int) -> bool:
    """Whether what starts behind index ``anew``, which sets a role that was set at ``first``, has the config at ``site``."""
    s = ctx.text.s
    line = lines.line_at(s, anew)
    if commented(s, anew, lang) or _SAYS.search(line, 0, max(0, anew - s.rfind("\n", 0, anew) - 1)) is not None:
        return False
    name = holder.name.rpartition(":")[2].lstrip("$")
    if re.search(rf"(?<![\w$.])(?:\$(?:\w+:)?)?{re.escape(name)}\s*:?=(?!=)", s[s.find("\n", site) + 1 :]) is not None:
        return False
    depth = _indent(lines.line_at(s, first))
    between = s[s.find("\n", site) + 1 : s.rfind("\n", 0, anew) + 1].split("\n")
    if any(ln.strip() and (_indent(ln) < depth or (depth and _ELSE.match(ln))) for ln in (*between, line)):
        return False
    return _CONFIG.search(_rest(s, anew)) is None


def _rest(s: str, i: int) -> str:
    """The lines from index ``i`` on to the end of the block that it is in."""
    start = s.rfind("\n", 0, i) + 1
    held = s[start:].split("\n")
    depth = _indent(held[0])
    end = next((n for n, ln in enumerate(held[1:], 1) if ln.strip() and _indent(ln) < depth), len(held))
    return "\n".join(held[:end])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
