"""Strings that others wrote (names, answers, git's words, patch lines), made safe to print and to put into a file of ours.

A terminal obeys control bytes, and a CI runner obeys lines (GitHub: a line that begins with ``::``, and ``##[`` anywhere
in one; Azure: ``##vso[``; TeamCity: ``##teamcity[``). Characters that turn the direction of writing round, or that nobody
sees, make a name look like another (Unicode TR 36, TR 39). All of these are written as escapes.
"""

from __future__ import annotations

import re
from typing import Any

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_COMMAND = re.compile(r"(?<!\S)::|##(?=\w*\[)")
_OWN = re.compile(
    "(\n|\x1b\\[(?:0|1|3[1-6]|1;3[1-6])m)"
)  # what a page of ours holds beside text: line ends, bold, six colours


def said(value: object) -> str:
    """``value`` as text of one line that no terminal and no CI runner takes for more than text."""
    text = _UNSEEN.sub(_escaped, str(value))
    return _COMMAND.sub(lambda m: f"\\x{ord(m[0][0]):02x}{m[0][1:]}", text)


def shell(*words: object) -> str:
    """The command of ``words`` (texts, paths) as a person types it: a word with a blank or a sign of the shell is quoted."""
    import shlex  # lazy: only a refusal names a command

    return shlex.join(map(str, words))


def counted(number: int, noun: str) -> str:
    """``number`` and ``noun`` as a sentence has them: ``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def page(text: str) -> str:
    """The same for lines that we composed: line ends and our own colours stay."""
    return "".join(part if i % 2 else said(part) for i, part in enumerate(_OWN.split(text)))


def as_json(document: Any) -> str:
    """``document`` as JSON in ASCII, in which no CI runner finds a command."""
    import json  # lazy: most runs print none, and migrate's start is counted in milliseconds

    return json.dumps(document, indent=1).replace("##", "#\\u0023")


def _escaped(m: re.Match[str]) -> str:
    number = ord(m[0])
    if m[0] in "\t\n\r":
        return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}[m[0]]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
