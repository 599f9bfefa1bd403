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
from kvroles.evidence.signs.place import indent_of
from kvroles.migrate.readers import lines, registry
from kvroles.migrate.readers.base import File

_SCRIPTS = registry.CODE | {"shell", "make", "just"}
_HOLDS_SCRIPTS = frozenset({"yaml", "markdown", ""})  # of a page or a step: what its part sets
_FENCE = ("```", "~~~")
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
_REACH = 20_000  # characters behind a config in which its role is set anew


def again(ctx: File, site: Site, side: Side, cues: list[Cue]) -> Cue | None:
    """The cue that what the settings ``cues`` say, ``side``, is set anew further on for a server that is given the same config as
    the ``site``; None if that is not seen."""
    lang = registry.lang_of_name(ctx.name)
    if lang in _HOLDS_SCRIPTS:
        lang, cues = "shell", [c for c in cues if c.kind == kinds.ROLE_ASSIGNED.name]
    if lang not in _SCRIPTS or ("prefill" if side is Side.DECODE else "decod") not in ctx.low:
        return None
    chain = site.scope.chain()
    holder = next((s for s in chain if s.kind == "variable"), None)
    if holder is None:
        return None
    for cue in cues:
        key = _KEY.match(cue.words)
        alone = any(s.kind in _CLOSED and s.up is not None for s in _round(cue, chain))
        if key is None or alone or not 0 <= cue.pos < len(ctx.text.s):
            continue
        if cue.kind == kinds.ROLE_ASSIGNED.name:
            set_ = rf"(?<![\w$-])(?:\$\{{?(?:\w+:)?)?{re.escape(key[1])}\}}?{_VALUE[side.other]}"
        elif re.fullmatch(r"\$?[\w.]+", holder.name):
            set_ = (
                rf"(?<![\w.]){re.escape(holder.name)}(?:\.|\[[\"'`]){re.escape(key[1])}[\"'`]?\]?{_VALUE[side.other]}"
            )
        else:
            continue
        first = max(cue.pos, site.pos) + 1
        found = re.compile(set_).finditer(ctx.text.s, first, first + _REACH)
        for m in islice(found, _MANY):
            if _same_config(ctx, lang, holder, cue.pos, site.pos, m.start()):
                words = lines.line_at(ctx.text.s, m.start()).strip()[:80]
                return kinds.EXTENDED.cue(Side.SHARED, words, m.start())
    return None


def _round(cue: Cue, chain: list[Scope]) -> list[Scope]:
    """The owners of a config that are nearer to it than the one that says ``cue``."""
    n = next((n for n, s in enumerate(chain) if cue in s.cues), len(chain))
    return chain[:n]


def _same_config(ctx: File, lang: str, holder: Scope, first: int, site: int, anew: int) -> bool:
    """Whether what starts behind index ``anew``, which sets a role that was set at ``first``, has the config at ``site``."""
    s = ctx.text.s
    line = lines.line_at(s, anew)
    if commented(s, anew, lang) or _SAYS.search(line, 0, max(0, anew - s.rfind("\n", 0, anew) - 1)) is not None:
        return False
    depth = indent_of(lines.line_at(s, first))
    block = _block(s, s.find("\n", site) + 1 or len(s), depth)
    if anew >= block[1] or (indent_of(line) < depth):
        return False
    name = holder.name.rpartition(":")[2].lstrip("$")
    if re.search(rf"(?<![\w$.])(?:\$(?:\w+:)?)?{re.escape(name)}\s*:?=(?!=)", s[slice(*block)]) is not None:
        return False
    if depth and any(_ELSE.match(ln) for ln in s[block[0] : anew].split("\n")):
        return False
    start = s.rfind("\n", 0, anew) + 1
    return _CONFIG.search(s, *_block(s, start, indent_of(s[start : anew + 1]))) is None


def _block(s: str, start: int, depth: int) -> tuple[int, int]:
    """The lines from index ``start`` on, up to one that is indented less than ``depth`` or ends a fence."""
    end = start
    for line in s[start : start + _REACH].splitlines(keepends=True):
        if line.strip() and (indent_of(line) < depth or line.lstrip().startswith(_FENCE)):
            break
        end += len(line)
    return start, end
