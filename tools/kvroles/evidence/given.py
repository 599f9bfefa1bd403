"""What a text gives to a name: whether the name is set to a config or a command of vLLM's."""

from __future__ import annotations

import re
from itertools import islice

from kvroles.evidence.patterns import regex

_SET_OFTEN = 20  # times that a name is set: for more, it is none of two servers
_LONGEST_GIVEN = 2000  # characters of what a name is set to
_PUT_TO_USE = regex(r"kv[-_]role|kv_connector|--kv[-_]transfer|vllm[\s\"',]+serve|kv_(?:both|producer|consumer)")


def is_put_to_use(s: str, name: str) -> bool:
    """Whether ``s`` gives ``name`` a config, a role or a command that starts a server."""
    return any(_PUT_TO_USE.search(_given(s, m.end())) for m in islice(_defined(name).finditer(s), _SET_OFTEN))


def _defined(name: str) -> re.Pattern[str]:
    """Where a name is set, or stands as a key, or opens a function."""
    return re.compile(
        rf"(?<![\w.$/-]){re.escape(name)}[\"']?\]?(?:[ \t]*\([^()\n]*\))?[ \t]*(?:\+?:?=(?![=>])|=>|:|\{{)"
    )


def _given(s: str, end: int) -> str:
    """What follows the sign at whose end a name is set: the rest of its line, and the lines below that are indented deeper or go
    on with it."""
    start = s.rfind("\n", 0, end) + 1
    lead = len(s[start:end]) - len(s[start:end].lstrip())
    lines = s[end : end + _LONGEST_GIVEN].split("\n")
    held = 1
    for line, above in zip(lines[1:], lines, strict=False):
        deeper = len(line) - len(line.lstrip()) > lead
        if line.strip() and not deeper and not above.rstrip().endswith(("\\", "(", "[", "{", "'", '"', "`", "=")):
            break
        held += 1
    return "\n".join(lines[:held])
