"""The side that the text around a role names: what clause 4 holds each role against.

Lines are read, not grammars: for shell, Python, Markdown and YAML, with the standard library alone. The nearest owner that
names one side decides, from the role outwards: its own clause or assignment, the words of its command, the comment or
title above, the loop, function or heading around it. Which words name a side is said in ``kvroles.evidence``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence.frames import Side
from kvroles.evidence.names import lettered, mentioned, role_value, twins
from kvroles.evidence.prose import prose_side, prose_sides, title_side

_PD = frozenset((Side.PREFILL, Side.DECODE))
_ROLE = re.compile(r"kv_(?:both|producer|consumer)\b")


class Named(NamedTuple):
    """``side`` is named by ``words`` on ``line`` (1-based)."""

    side: Side
    line: int
    words: str


def of_role(path: str, text: str, at: int) -> Named | None:
    """The side of the role whose value stands at index ``at`` of ``text``, or None when nothing around it names one."""
    lines = text.split("\n")
    row = text.count("\n", 0, at)
    column = at - (text.rfind("\n", 0, at) + 1)
    if path.endswith(".py"):
        return _python(lines, row)
    if path.endswith((".md", ".yaml", ".yml", ".rst")):
        opened = fence(lines, row)
        if opened is not None:
            return _in_fence(lines, opened, row, text) or _above(lines, opened)
        own = of_clause(lines[row], column)
        if own is not None:
            return Named(own, row + 1, lines[row].strip())
        return _keys(lines, row) if not path.endswith(".md") else None
    return _shell(lines, 0, row, text)


def owner(text: str, at: int) -> str:
    """The function that index ``at`` of a Python file stands in; the empty string at its top level."""
    lines = text.split("\n")
    row = text.count("\n", 0, at)
    level = _indent(lines[row])
    for i in range(row - 1, -1, -1):
        if lines[i].strip() and _indent(lines[i]) < level:
            level = _indent(lines[i]) + _ends_head(lines[i])
            m = re.match(r"\s*(?:async\s+)?def\s+(\w+)", lines[i])
            if m is not None:
                return m[1]
    return ""


def _ends_head(line: str) -> bool:
    """Whether a line is the last of a head of several, ``) -> VllmConfig:``: its first line stands no further in."""
    return line.lstrip()[:1] in (")", "]")


def handed_on(text: str) -> Iterator[tuple[int, str, str, Side]]:
    """The places of a shell script where one side's config is made from the other's: line, roles from and to, side made.

    Such as ``DECODE_CONFIG=${PREFILL_CONFIG/kv_producer/kv_consumer}``.
    """
    if not _REPLACES.search(text):  # most files: _MADE alone takes a millisecond of each
        return
    for m in _MADE.finditer(text):
        side = _one(mentioned(m["name"]))
        if side is not None:
            yield text.count("\n", 0, m.start()) + 1, m["old"], m["new"], side


_REPLACES = re.compile(r"/kv_\w+/kv_")
_MADE = re.compile(
    r"(?m)^[ \t]*(?:(?:local|export|readonly|declare)[ \t]+)*(?P<name>\w+)=[\"']?\$\{\w+//?(?P<old>kv_\w+)/(?P<new>kv_\w+)\}"
)


def _one(sides: frozenset[Side]) -> Side | None:
    """The one side of P/D that is named, if it is one."""
    found = sides & _PD
    return next(iter(found)) if len(found) == 1 else None


# --- prose -----------------------------------------------------------------------------------------------------------

_CONFIG = re.compile(r"`[^`]*`|'\{.*?\}'|\{.*?\}+|\b(?:kv_role|kv_connector)\b\S*|--[a-z][\w.-]*")
_BREAKS = (
    re.compile(r"[;.](?=\s|$)|\|"),
    re.compile(r"[;.:](?=\s|$)|\|"),
    re.compile(r"[;.:,)](?=\s|$)|\(|\s(?:and|while|but)\s|\|"),
)


# "Prefill and decode instances": of both, so that neither half of it names a side.
_TOGETHER = re.compile(
    r"(?i)\bprefill\w*\s*(?:\+|&|/|,|and|or)\s*(?:the\s+)?decod\w*|\bdecod\w*\s*(?:\+|&|/|,|and|or)\s*(?:the\s+)?prefill\w*"
)


def _dots(m: re.Match[str]) -> str:
    """As many dots as a match has characters, so that what follows keeps its place."""
    return "\u00b7" * len(m[0])


def of_clause(line: str, column: int) -> Side | None:
    """The side that the clause around ``column`` of a line names: "set X on prefill instances and Y on decode".

    The sentence first; where it names both sides, its parts.
    """
    plain = _TOGETHER.sub(_dots, _CONFIG.sub(_dots, line))
    for breaks in _BREAKS:
        found = [(m.start(), m.end()) for m in breaks.finditer(plain)]
        start = max((b for _, b in found if b <= column), default=0)
        end = min((a for a, _ in found if a > column), default=len(plain))
        sides = prose_sides(plain[start:end]) & _PD
        if len(sides) < 2:
            return _one(sides)
    return None


def _comment(line: str) -> str | None:
    """What a comment says, or None for a line that is none."""
    m = re.match(r"\s*(?:#|//)+\s?(.*)", line)
    return m[1] if m else None


# --- shell -----------------------------------------------------------------------------------------------------------

_ASSIGNED = re.compile(r"\s*(?:(?:local|export|readonly|declare)\s+)*([A-Za-z_]\w*)\+?=")
_OPENS = re.compile(r"\s*(?:for|while|until|if|elif|case)\b|\s*(?:function\s+)?([\w-]+)\s*\(\)\s*\{?\s*$")
_CLOSES = re.compile(r"\s*(?:done|fi|esac|\}|;;)\s*(?:[;&#>|].*)?$")
_SIDE_FLAG = re.compile(r"--(?:disaggregation-mode|role|worker-type)[ =]+(\w+)")
_NAMING = re.compile(
    r"\$\{?(\w+)|--(?:name|container-name|port|host)[ =]+([\w.-]+)|>\s*(\S+)|\b(?:name|hostname)=([\w.-]+)"
)


def _shell(lines: list[str], first: int, row: int, text: str) -> Named | None:
    """The side of line ``row`` of a script that begins at line ``first``."""
    inside = _inside(lines, first, row)
    top = _top(lines, first, row, inside)
    name = _ASSIGNED.match(lines[top])
    if name is not None:
        side = _one(mentioned(name[1])) or _letter(name[1], text)
        if side is not None:
            return Named(side, top + 1, name[1])
        for _, old, _, made in handed_on(text):
            if old != "kv_both" and re.search(rf"{old}\b", "\n".join(lines[top : row + 1])) is not None:
                return Named(made.other, top + 1, f"from which {made.value}'s config is made")
        for _, old, _, made in handed_on(text):
            if _ROLE.search("\n".join(lines[top : row + 1])):
                return Named(made.other, top + 1, f"from which {made.value}'s config is made by replacing {old}")
    return _words(lines, top, row) or _shell_above(lines, first, top, inside)


def statement(lines: list[str], row: int, first: int = 0) -> tuple[int, int]:
    """The first and the last line of the statement that line ``row`` of a script is part of; the script begins at ``first``."""
    end = row
    while end + 1 < len(lines) and (end + 1 in _inside(lines, first, end + 1) or lines[end].rstrip().endswith("\\")):
        end += 1
    return _top(lines, first, row, _inside(lines, first, row)), end


def assigned(lines: list[str], row: int) -> str | None:
    """The variable that the statement of line ``row`` of a script sets, or None."""
    m = _ASSIGNED.match(lines[_top(lines, 0, row, _inside(lines, 0, row))])
    return m[1] if m else None


def _top(lines: list[str], first: int, row: int, inside: set[int]) -> int:
    """The first line of the statement that line ``row`` is part of."""
    top = row
    while top > first and (top in inside or lines[top - 1].rstrip().endswith("\\")):
        top -= 1
    return top


def _inside(lines: list[str], first: int, row: int) -> set[int]:
    """The lines up to ``row`` that begin within a quoted string of an earlier line."""
    found: set[int] = set()
    quote = ""
    for i in range(first, row + 1):
        if quote:
            found.add(i)
        line = lines[i]
        if quote not in line if quote else "'" not in line and '"' not in line:
            continue
        at = 0
        while at < len(line):
            c = line[at]
            if c == "\\" and quote != "'":
                at += 1
            elif quote:
                quote = "" if c == quote else quote
            elif c in "'\"":
                quote = c
            elif c == "#" and (at == 0 or line[at - 1] in " \t"):
                break
            at += 1
    return found


def _letter(name: str, text: str) -> Side | None:
    """The side of ``KV_CONFIG_P``, which a ``KV_CONFIG_D`` beside it tells to be one."""
    if lettered(name) is None or not any(re.search(rf"\b{re.escape(twin)}\b", text) for twin in twins(name)):
        return None
    return lettered(name)


def _words(lines: list[str], top: int, row: int) -> Named | None:
    """The side that the command of lines ``top`` to ``row`` names: by a flag, a variable, a port, a log file."""
    last = row
    while last + 1 < len(lines) and lines[last].rstrip().endswith("\\"):
        last += 1
    command = _CONFIG_VALUE.sub(" ", "\n".join(lines[top : last + 1]))
    told = {role_value(m[1]) for m in _SIDE_FLAG.finditer(command)} & _PD
    if len(told) == 1:
        side = told.pop()
        assert side is not None
        return Named(side, top + 1, f"its flags say {side.value}")
    named: dict[Side, str] = {}
    for m in _NAMING.finditer(command):
        word = next(g for g in m.groups() if g)
        side = _one(mentioned(word))
        if side is not None:
            named.setdefault(side, word)
    if len(named) != 1:
        return None
    side, word = next(iter(named.items()))
    return Named(side, top + 1, word)


_CONFIG_VALUE = re.compile(r"\{[^\n]*\}|--(?:[\w-]*config|additional)[\w.+-]*[ =]+\S+")


def _shell_above(lines: list[str], first: int, top: int, inside: set[int]) -> Named | None:
    """The side that a comment or an echo above line ``top`` announces, or the loop, branch or function around it names."""
    level = _indent(lines[top])
    closed = False  # a block ended between: what stood above it was said of that block
    for i in range(top - 1, first - 1, -1):
        line = lines[i]
        if not line.strip() or i in inside or _indent(line) > level:
            continue
        if _CLOSES.match(line):
            closed = True
            continue
        opens = _OPENS.match(line)
        if opens is not None and _indent(line) < level:
            level, closed = _indent(line), False
            side = _one(_sides_of_words(line))
            if side is not None:
                return Named(side, i + 1, line.strip())
            if opens[1]:
                return None  # the function's head: what stands above it is about other functions
            continue
        if closed and _indent(line) >= level:
            continue
        said = _comment(line)
        if said is None:
            echo = re.match(r"\s*echo\s+(?:-\w+\s+)?[\"']?(.*?)[\"']?\s*$", line)
            said = echo[1] if echo else None
        side = _title(said) if said else None
        if side is not None:
            return Named(side, i + 1, line.strip())
    return None


def _title(text: str) -> Side | None:
    """The side that a comment or title opens with: "On a prefill instance; a decode instance takes ..." is prefill's."""
    side = title_side(text.partition(";")[0])
    return side if side in _PD else None


def _sides_of_words(line: str) -> frozenset[Side]:
    """The sides that the words of a line are named for."""
    found: frozenset[Side] = frozenset()
    for word in re.findall(r"\w+", line):
        found |= mentioned(word)
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


# --- Markdown, and YAML that holds it --------------------------------------------------------------------------------

_FENCE = re.compile(r"\s*(?:>\s*)?(?:```|~~~)")
_HEADING = re.compile(r"\s*(#{1,6})\s+(.*)")


def fence(lines: list[str], row: int) -> int | None:
    """The line that opens the code block around line ``row``, or None outside of any."""
    opened: int | None = None
    for i in range(row):
        if _FENCE.match(lines[i]):
            opened = None if opened is not None else i
    return opened


def _in_fence(lines: list[str], opened: int, row: int, text: str) -> Named | None:
    """The side that the code block which opens on line ``opened`` names for its line ``row``."""
    comment = _comment(lines[row])
    if comment is not None:  # "# On a prefill instance; a decode instance takes ..."
        side = of_clause(lines[row], lines[row].find("kv_role"))
        return Named(side, row + 1, comment) if side else None
    return _shell(lines, opened + 1, row, text)


def _above(lines: list[str], opened: int) -> Named | None:
    """The side that the paragraph above a code block announces, else the headings it stands below, nearest first."""
    i = opened - 1
    while i >= 0 and not lines[i].strip():
        i -= 1
    paragraph: list[str] = []
    while i >= 0 and lines[i].strip() and not _HEADING.match(lines[i]) and not _FENCE.match(lines[i]):
        paragraph.insert(0, lines[i].strip())
        i -= 1
    if paragraph:
        said = _CONFIG.sub("", " ".join(paragraph))
        side = _title(said) or prose_side(said)
        if side in _PD:
            assert side is not None
            return Named(side, opened + 1, " ".join(paragraph))
    level = 7
    for j in range(opened - 1, -1, -1):
        heading = _HEADING.match(lines[j])
        if heading is not None and fence(lines, j) is None and len(heading[1]) < level:
            level = len(heading[1])
            side = _title(heading[2])
            if side is not None:
                return Named(side, j + 1, heading[2])
    return None


def _keys(lines: list[str], row: int) -> Named | None:
    """The side that the keys of a YAML mapping around line ``row`` name, nearest first."""
    level = _indent(lines[row])
    for i in range(row, -1, -1):
        m = re.match(r"(\s*(?:- )*)([\w./-]+):(.*)", lines[i])
        if m is None or (i != row and len(m[1]) >= level):
            continue
        level = min(level, len(m[1]))
        side = _one(mentioned(m[2])) if m[2] not in ("kv_role", "kv_connector") else None
        if side is not None:
            return Named(side, i + 1, m[2])
    return None


# --- Python ----------------------------------------------------------------------------------------------------------


def _python(lines: list[str], row: int) -> Named | None:
    """The side that the variable set on line ``row`` of a Python file names, or the comment, function, class or key above it."""
    level = _indent(lines[row])
    own = re.match(r"\s*([A-Za-z_]\w*)(?:\s*:[^=]*)?\s*=(?!=)", lines[row])
    if own is not None and own[1] not in ("kv_role", "kv_connector"):
        side = _one(mentioned(own[1]))
        if side is not None:
            return Named(side, row + 1, own[1])
    for i in range(row - 1, -1, -1):
        line = lines[i]
        if not line.strip():
            continue
        said = _comment(line)
        if said is not None and _indent(line) <= level:
            side = _title(said)
            if side is not None and _heads(lines, i, row):
                return Named(side, i + 1, said)
            continue
        if _indent(line) >= level:
            continue
        level = _indent(line) + _ends_head(line)
        head = re.match(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)", line) or re.match(
            r"\s*[\"']?([A-Za-z_]\w*)[\"']?(?:\s*:[^=]*)?\s*[=:(]", line
        )
        if head is not None:
            side = _one(mentioned(head[1])) or _docstring(lines, i)
            if side is not None:
                return Named(side, i + 1, head[1])
        if level == 0:
            break
    return None


def _docstring(lines: list[str], head: int) -> Side | None:
    """The one side that the docstring of the function at line ``head`` speaks of."""
    for i in range(head, min(head + 30, len(lines))):
        if lines[i].rstrip().endswith(":"):
            m = re.match(r"\s*[rR]?\"\"\"(.*)", lines[i + 1]) if i + 1 < len(lines) else None
            if m is None:
                return None
            text = m[1]
            for line in lines[i + 2 : i + 12]:
                if '"""' in text:
                    break
                text += " " + line.strip()
            return _one(prose_sides(text.partition('"""')[0]))
    return None


def _heads(lines: list[str], comment: int, row: int) -> bool:
    """Whether the comment belongs to the statement of line ``row``: no blank line and no other statement between."""
    level = _indent(lines[comment])
    between = lines[comment + 1 : row + 1]
    starts = [line for line in between if line.strip() and _indent(line) <= level and line.strip()[0] not in "#)]}"]
    return all(line.strip() for line in between) and len(starts) <= 1
