"""The commands that a refusal advises, as a shell is given them."""

from __future__ import annotations

import re
import shlex

_PROGRAMS = ("git", "python", "kv-roles", "rm", "cp", "chmod")


def commands(said: str, *more: str) -> list[str]:
    """The commands in ``said``, which stand in quotes and begin with a program's name or with one of ``more``; one may hold
    quoted words itself."""
    text = " ".join(said.split())
    found = []
    start = re.compile(rf"'(?=(?:{'|'.join([*(f'{p} ' for p in _PROGRAMS), *map(re.escape, more)])}))")
    for m in start.finditer(text):
        for end in re.finditer(r"'(?=[\s,.;:)]|$)", text[m.end() :]):
            command = text[m.end() : m.end() + end.start()]
            try:
                shlex.split(command)
            except ValueError:
                continue
            found.append(command)
            break
    return found
