"""The commands that a refusal advises, as a shell is given them."""

from __future__ import annotations

import re
import shlex

_PROGRAMS = ("git", "python", "kv-roles", "rm", "cp", "chmod")
_START = re.compile(rf"'(?=(?:{'|'.join(_PROGRAMS)}) )")


def commands(said: str) -> list[str]:
    """The commands in ``said``, which stand in quotes; one may hold quoted words itself."""
    text = " ".join(said.split())
    found = []
    for m in _START.finditer(text):
        for end in re.finditer(r"'(?=[\s,.;:)]|$)", text[m.end() :]):
            command = text[m.end() : m.end() + end.start()]
            try:
                shlex.split(command)
            except ValueError:
                continue
            found.append(command)
            break
    return found
