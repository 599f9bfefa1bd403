"""Text that comes from files and their names, made safe for a terminal and for a log that obeys commands."""

from __future__ import annotations

import re

# What moves the cursor, changes colours, starts a line, or has letters shown in another order than they stand in.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_COMMAND = ("::", "##[")  # at the start of a line a log of GitHub Actions or of Azure Pipelines obeys it


def line(text: str) -> str:
    """``text`` on one line, with no character in it that a terminal obeys."""
    return _UNSAFE.sub(_escaped, text) if _UNSAFE.search(text) else text


def path(name: str) -> str:
    """A path to begin a line with."""
    safe = line(name)
    return f"./{safe}" if safe.lstrip().startswith(_COMMAND) else safe


def _escaped(m: re.Match[str]) -> str:
    n = ord(m.group())
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(n, f"\\x{n:02x}" if n < 256 else f"\\u{n:04x}")
