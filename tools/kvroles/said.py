"""Strings that others wrote (names, answers, git's words, patch lines), made safe to print and to put into a file of ours.

A terminal obeys control bytes, and a CI runner obeys lines (GitHub: a line that begins with ``::``, and ``##[`` anywhere
in one; Azure: ``##vso[``; TeamCity: ``##teamcity[``). Characters that turn the direction of writing round, or that nobody
sees, make a name look like another (Unicode TR 36, TR 39). All of these are written as escapes.
"""

from __future__ import annotations

import re
from typing import Any

# What most runs have no use for is compiled where it is first used, and kept by ``re``.
_UNSEEN = (
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSHOWN = r"`|\s\s|[^\S ]"  # what ends a command in a message, and what a paragraph makes one blank of
_COMMAND = r"(?<!\S)::|##(?=\w*\[)"
_OWN = "(\n|\x1b\\[(?:0|1|3[1-6]|1;3[1-6])m)"  # what a page of ours holds beside text: line ends, bold, six colours


def said(value: object) -> str:
    """``value`` as text of one line that no terminal and no CI runner takes for more than text."""
    text = str(value)
    if not text.isprintable():  # none of the unseen is
        text = re.sub(_UNSEEN, _escaped, text)
    if "::" in text or "##" in text:
        text = re.sub(_COMMAND, lambda m: f"\\x{ord(m[0][0]):02x}{m[0][1:]}", text)
    return text


def shell(*words: object) -> str:
    """The command of ``words`` (texts, paths) as a person types it, on one line: what a shell would read is quoted.

    A message puts it between backticks, whatever it holds, so that what stands between them can be copied and run. A word
    that a message cannot show as it is (a control byte, blanks in a row, a backtick) is written ``$'...'``, which bash, zsh
    and ksh read.
    """
    import shlex  # lazy: only a refusal names a command

    return " ".join(_spelled(w) if re.search(_UNSHOWN, w) or said(w) != w else shlex.quote(w) for w in map(str, words))


def _spelled(word: str) -> str:
    """``word`` as the shell's ``$'...'``; a byte of a name that is no text is that byte again."""
    shown = "".join(_as_number(ord(c)) if c in "\\'`:#" or re.match(_UNSHOWN, c) or said(c) != c else c for c in word)
    return "$'" + shown.replace("  ", r"\x20\x20") + "'"


def _as_number(number: int) -> str:
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def counted(number: int, noun: str) -> str:
    """``number`` and ``noun`` as a sentence has them: ``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def page(text: str) -> str:
    """The same for lines that we composed: line ends and our own colours stay."""
    return "".join(part if i % 2 else said(part) for i, part in enumerate(re.split(_OWN, text)))


def as_json(document: Any) -> str:
    """``document`` as JSON in ASCII, in which no CI runner finds a command."""
    import json  # lazy: most runs print none, and migrate's start is counted in milliseconds

    return json.dumps(document, indent=1).replace("##", "#\\u0023")


def _escaped(m: re.Match[str]) -> str:
    number = ord(m[0])
    if m[0] in "\t\n\r":
        return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}[m[0]]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
