"""What a file's settings say of its prefill side: that none of its servers run (``prefill: {replicas: 0}``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence.names import OFF
from kvroles.evidence.patterns import regex

# A text without any of them has no such setting.
_WORDS = ("replica", "count", "create", "enable", "num_prefill", "numprefill", "scale")
_NAME = r"(?:[\w-]{0,30}(?<!chunked[_-])prefill[\w-]{0,20}|pd|disagg\w{0,60})"
_VALUE = r"""["']?[ \t]*[:=][ \t]*["']?\$?(?P<value>[\w$]+)"""
# The number or the switch stands in the name itself: ``PREFILL_REPLICAS=0``, ``--set prefill.create=false``, ``enable_pd: no``.
_IN_NAME = regex(
    rf"""(?ix)
    (?<![\w.-])   # names have a length, so that a line of a megabyte without a blank is gone through once
    (?P<name> (?:[\w.-]{{0,60}}[_.-])?(?<!chunked[_-])prefill(?:er)?s?[\w.-]{{0,60}}?[_.]?(?:replicas?|count|create|enabled?)
      | num_?prefill(?:er)?s?(?:_\w+)?
      | enable_?(?:pd|disagg\w*) | (?:[\w.-]{{0,60}}[_.-])?(?:pd|disagg\w{{0,60}}?)[._]?enabled? )
    {_VALUE}"""
)
# A line that opens an object of that name, which the lines behind it hold: by depth, in braces, as a table, as a block.
_HEAD = regex(
    rf"""(?ix)
    ["']?{_NAME}["']?[ ]*(?: : | [:=]{{1,2}}[ ]*[@&]?(?:[a-z][\w.]{{0,40}}[ ]?)?[\{{(] )[ ]*(?:[#/].*)?\Z
    | \[{{1,2}}[\w.:-]{{0,40}}(?<!chunked[_-])prefill[\w-]{{0,20}}\]{{1,2}}[ \t]*\Z
    | (?:module|group|target|resource[ ]"[\w-]{{1,60}}")[ ]"[\w.-]{{0,40}}prefill[\w.-]{{0,20}}"[ ]*\{{[ \t]*\Z"""
)
_SWITCH = regex(rf"""(?ix) ["']?(?P<key>replicas?|replica_?count|create|enabled?|count|scale){_VALUE}""")
# Within one line: a brace, with the name of the object that it opens, and the settings in it.
_INLINE = regex(
    rf"""(?ix)
    (?<![\w.-])(?P<head>{_NAME})["']?[ ]*[:=]{{1,2}}[ ]*[@&]?(?:[a-z][\w.]{{0,40}}[ ]?)?\{{
    | (?P<open>[\[\{{(]) | (?P<close>[\]\}})])
    | (?<![\w.-])(?P<key>replicas?|replica_?count|create|enabled?|count|scale){_VALUE}"""
)
_LINES = 200  # of an object that are looked at
_COUNTED = r"\+\+\s*{name}\b|\b{name}\s*\+[+=]"


class _Setting(NamedTuple):
    name: str  # empty where the object has the name
    value: str
    words: str
    place: int


def off(s: str, low: str, lines: list[int]) -> tuple[str, int] | None:
    """The words by which ``s`` says that no prefill server runs, and their index; None if it does not.

    ``low`` is ``s`` in lower case. ``lines`` are where the lines begin that speak of prefill. Each setting of that kind has to
    be off: a script that sets the number elsewhere to something else has both.
    """
    if not any(word in low for word in _WORDS):
        return None
    first: tuple[str, int] | None = None
    for found in _settings(s, lines):
        if found.value.lower() not in OFF:
            return None
        if found.name and re.search(_COUNTED.format(name=re.escape(found.name)), s):
            return None
        first = first or (" ".join(found.words.split())[:80], found.place)
    return first


def _settings(s: str, lines: list[int]) -> Iterator[_Setting]:
    """The settings that say how many prefill servers run, in the order of the lines that speak of prefill."""
    for start in lines:
        end = s.find("\n", start)
        end = len(s) if end < 0 else end
        for m in _IN_NAME.finditer(s, start, end):
            yield _Setting(m.group("name"), m.group("value"), m.group(), m.start())
        yield from _inline(s, start, end)
        line = s[start : min(end, start + 300)].rstrip("\r")
        indented = len(line) - len(line.lstrip(" \t-"))
        if _HEAD.match(line, indented) is not None:
            for m in _held(s, end + 1, -1 if line.startswith("[") else indented):
                yield _Setting("", m.group("value"), f"{line.strip(' -#')} {m.group('key')}: {m.group('value')}", start)


def _inline(s: str, start: int, end: int) -> Iterator[_Setting]:
    """The settings of objects that one line opens."""
    heads: list[re.Match[str] | None] = []
    for m in _INLINE.finditer(s, start, end):
        if m.group("head"):
            heads.append(m)
        elif m.group("open"):
            heads.append(None)
        elif m.group("close"):
            if heads:
                heads.pop()
        elif heads and (head := heads[-1]) is not None:
            yield _Setting("", m.group("value"), f"{head.group()} {m.group('key')}: {m.group('value')}", head.start())


def _held(s: str, start: int, indented: int) -> Iterator[re.Match[str]]:
    """The settings among the lines that an object holds itself, not in an object of its own; ``indented`` is its head's depth,
    -1 for a table, which goes on to the next one."""
    own: int | None = None
    for _ in range(_LINES):
        if start >= len(s):
            return
        end = s.find("\n", start)
        end = len(s) if end < 0 else end
        line = s[start : min(end, start + 300)]
        depth = len(line) - len(line.lstrip(" \t"))
        start = end + 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith("[") if indented < 0 else depth <= indented:
            return
        own = depth if own is None else own
        if depth == own and (m := _SWITCH.match(line, depth)) is not None:
            yield m
