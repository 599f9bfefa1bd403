"""Find the KV roles a text sets, and the connector each belongs to, in any of the languages of a vLLM tree.

One reader for JSON, Python, YAML, Markdown and shell: a role is a ``kv_role`` key with one of the three values behind
``:``, ``=`` or a blank (dotted flags), and its connector is the ``kv_connector`` beside it, in the innermost brackets
around both, in the same YAML mapping, or in the same shell command. Text is handled as latin-1, so that any bytes do.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kvroles.digest import sha256

_ROLE = re.compile(
    r"kv_role\\*[\"']?"
    r"(?:\s*:\s*str)?(?:\s*[:=]\s*|(?<=kv_role)\s+)"
    r"\\*[\"']?(?P<role>kv_(?:both|producer|consumer))\b"
)
_CONNECTOR = re.compile(
    r"kv_connector\\*[\"']?(?:\s*:\s*str)?(?:\s*[:=]\s*|(?<=kv_connector)\s+)\\*[\"']?(?P<name>(?:[A-Za-z_]\w*\.)*[A-Z]\w*)"
)
_GIVEN = re.compile(r"\bkv_connector=(?P<name>[A-Za-z_]\w*)(?=\s*[,)\n]|$)")
_OPEN, _CLOSE = "{(", "})"
_BRACKET = re.compile(r"[{}()]")
NIXL = re.compile(r"(?:.*\.)?Nixl(?:Pull|Push)?Connector")
_REACH = 6000  # characters either side that a bracket group may span


class Site(NamedTuple):
    """A role set at ``line`` (1-based); ``connector`` is None when the text beside it names none literally.

    ``given`` is then the name that stands for it in a call, as in ``KVTransferConfig(kv_connector=name, ...)``.
    """

    line: int
    role: str
    connector: str | None
    start: int  # offset of the role's value
    end: int
    given: str | None = None

    @property
    def is_nixl(self) -> bool:
        return self.connector is not None and NIXL.fullmatch(self.connector) is not None


def sites(data: bytes) -> list[Site]:
    """Every role that ``data`` sets, in order."""
    if b"kv_role" not in data:
        return []
    key = sha256(data)
    if key not in _known:  # the same file stands in many releases
        _known[key] = _sites(data.decode("latin-1"))
    return _known[key]


_known: dict[str, list[Site]] = {}


def _sites(text: str) -> list[Site]:
    out = []
    for m in _ROLE.finditer(text):
        line = text.count("\n", 0, m.start()) + 1
        if text.endswith("--kv-transfer-config.", 0, m.start()):
            near = _command(text, m.start())
        else:
            group = _group(text, m.start(), m.end())
            near = group if group is not None else _mapping(text, m.start()) if _starts_line(text, m.start()) else ""
        found = _CONNECTOR.search(near)
        given = None if found else _GIVEN.search(near)
        out.append(
            Site(
                line,
                m["role"],
                found["name"] if found else None,
                m.start("role"),
                m.end("role"),
                given["name"] if given else None,
            )
        )
    return out


def _group(text: str, start: int, end: int) -> str | None:
    """The innermost bracket group around ``start``..``end`` with nested groups blanked out, or None."""
    stop = max(0, start - _REACH)
    left: list[str] = []
    depth = 0
    at = start  # everything from here on has been read
    for m in reversed(list(_BRACKET.finditer(text, stop, start))):
        if depth == 0:
            left.append(text[m.end() : at])
        at = m.start()
        if m[0] in _CLOSE:
            depth += 1
        elif depth:
            depth -= 1
        else:
            break
    else:
        return None
    right: list[str] = []
    stop = min(len(text), end + _REACH)
    at = end
    for m in _BRACKET.finditer(text, end, stop):
        if depth == 0:
            right.append(text[at : m.start()])
        at = m.end()
        if m[0] in _OPEN:
            depth += 1
        elif depth:
            depth -= 1
        else:
            break
    else:
        if depth == 0:
            right.append(text[at:stop])
    return "".join(reversed(left)) + text[start:end] + "".join(right)


def _starts_line(text: str, start: int) -> bool:
    """Whether the key at ``start`` begins its line, as in a block mapping; in prose and comments it does not."""
    return not text[text.rfind("\n", 0, start) + 1 : start].strip(" -\"'")


def _mapping(text: str, start: int) -> str:
    """The lines of the YAML block mapping around ``start``: neighbours at its indent, and what lies deeper."""
    lines = text.split("\n")
    at = text.count("\n", 0, start)
    indent = _indent(lines[at])
    lo = hi = at
    while lo > 0 and (not lines[lo - 1].strip() or _indent(lines[lo - 1]) >= indent):
        lo -= 1
    while hi + 1 < len(lines) and (not lines[hi + 1].strip() or _indent(lines[hi + 1]) >= indent):
        hi += 1
    return "\n".join(line for line in lines[lo : hi + 1] if _indent(line) == indent)


def _indent(line: str) -> int:
    rest = line.lstrip(" ")
    if rest.startswith("- "):
        rest = rest[2:].lstrip(" ")
    return len(line) - len(rest)


def _command(text: str, start: int) -> str:
    """The shell command around ``start``: its line and those joined to it by backslashes."""
    lo = text.rfind("\n", 0, start)
    while lo > 0 and text[:lo].endswith("\\"):
        lo = text.rfind("\n", 0, lo)
    hi = text.find("\n", start)
    while hi != -1 and text[:hi].endswith("\\"):
        hi = text.find("\n", hi + 1)
    return text[lo + 1 : hi if hi != -1 else len(text)]
