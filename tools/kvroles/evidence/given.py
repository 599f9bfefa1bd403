"""What a text gives to a name: whether the name is set to a config or a command of vLLM's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice, takewhile

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences

_SET_OFTEN = 20  # times; a name that is set more often is not one of two servers'
_LONGEST_GIVEN = 2000  # characters of what a name is set to
_PART = regex(r"[\w.$/-]")
_SETS = regex(r"[\"']?\]?(?:[ \t]*\([^()\n]*\))?[ \t]*(?:\+?:?=(?![=>])|=>|:|\{)")
# The head of a section, before and behind one of its names: ``[[workers.p.kv]]``.
_HEAD = regex(r"[ \t]*\[{1,2}(?:[\w-]+\.)*")
_HEADED = regex(r"(?:\.[\w-]+)*\]{1,2}[ \t]*\r?$", re.M)
# An entry that says its name: ``- name: p``, ``{"name": "p", ...}``.
_NAMED = regex(r"[\"']?\bname[\"']?[ \t]*[:=][ \t]*[\"']?\Z")
_NAME_ENDS = regex(r"[\"']?[ \t]*(?:[,}#\r\n]|\Z)")
_PUT_TO_USE = regex(r"kv[-_]role|kv_connector|--kv[-_]transfer|vllm[\s\"',]+serve|kv_(?:both|producer|consumer)")


def is_put_to_use(s: str, name: str) -> bool:
    """Whether ``s`` gives ``name`` a config, a role or a command that starts a server."""
    given = chain((_given(s, end) for end in _defined(s, name)), _entries(s, name))
    return any(_PUT_TO_USE.search(text) for text in islice(given, _SET_OFTEN))


def defines(s: str, name: str) -> bool:
    """Whether ``s`` sets ``name`` itself."""
    return next(_defined(s, name), None) is not None


def _defined(s: str, name: str) -> Iterator[int]:
    """The index behind each place where the name is set, stands as a key, or opens a function."""
    # Quicker than a pattern that begins with the name: this is asked for each name of a file.
    for i in occurrences(s, name):
        if not _PART.match(s[i - 1 : i]) and (m := _SETS.match(s, i + len(name))) is not None:
            yield m.end()
        elif s[i - 1 : i] in {"[", "."} and (m := _HEADED.match(s, i + len(name))) is not None:
            head = s[s.rfind("\n", 0, i) + 1 : i]
            if _HEAD.fullmatch(head) is not None:
                yield m.end()


def _entries(s: str, name: str) -> Iterator[str]:
    """What follows in each entry that says it is called so: the rest of the line, and the lines below that stand no further left
    than the key."""
    for i in occurrences(s, name):
        start = s.rfind("\n", 0, i) + 1
        named = _NAMED.search(s, max(start, i - 40), i)
        if named is not None and _NAME_ENDS.match(s, i + len(name)) is not None:
            first, *below = s[i : i + _LONGEST_GIVEN].split("\n")
            yield "\n".join([first, *takewhile(partial(_stands_at, named.start() - start), below)])


def _stands_at(column: int, line: str) -> bool:
    return not line.strip() or len(line) - len(line.lstrip()) >= column


def _given(s: str, end: int) -> str:
    """What follows the sign at whose end a name is set: the rest of its line, and the lines below that are indented deeper or go
    on with it."""
    start = s.rfind("\n", 0, end) + 1
    if s[start:end].lstrip().startswith("["):  # a section: all up to the next
        below = s.find("\n[", end, end + _LONGEST_GIVEN)
        return s[end : below if below >= 0 else end + _LONGEST_GIVEN]
    lead = len(s[start:end]) - len(s[start:end].lstrip())
    lines = s[end : end + _LONGEST_GIVEN].split("\n")
    held = 1
    for line, above in zip(lines[1:], lines, strict=False):
        deeper = len(line) - len(line.lstrip()) > lead
        if line.strip() and not deeper and not above.rstrip().endswith(("\\", "(", "[", "{", "'", '"', "`", "=")):
            break
        held += 1
    return "\n".join(lines[:held])


# What may set any variable: a file that is sourced, a text that is evaluated, names that a command or a variable gives.
_SETS_ANY = regex(
    r"""(?xm)(?:^|[;&|({!]|-c[ \t]+["']|\b(?:then|do|else)\b)[ \t]*(?:(?:builtin|command)[ \t]+)?(?:
      (?:\.|source)[ \t]+(?P<file>[^\n;&|]+) | eval[ \t]+(?P<text>[^\n;&|]+)
      | (?:export|declare|typeset|readonly)[ \t]+(?:-\w+[ \t]+)*["']?[$`] )"""
)
# Files and texts of tools that set up a shell, and no role.
_SETS_UP = regex(
    r"(?:^|/)(?:activate|conda\.sh|set_?env\.sh|setvars\.sh|\.bashrc|\.(?:bash_)?profile|nvm\.sh|\.cargo/env)[\"']?(?:\s|$)"
    r"|^[\"']?(?:\$\(|`)\s*\S*(?:conda|mamba|pyenv|ssh-agent|direnv|module|modulecmd)\b"
)


def may_set_any(s: str, start: int = 0, end: int | None = None) -> bool:
    """Whether a statement of a shell's text, between two indices, may set a variable that it does not name."""
    found = _SETS_ANY.finditer(s, start, len(s) if end is None else end)
    return any(_SETS_UP.search((m["file"] or m["text"] or "").strip()) is None for m in found)
