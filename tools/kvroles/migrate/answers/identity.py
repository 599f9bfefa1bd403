"""What a line is, so that an answer finds it again: what it says and what it stands under, not its number.

A place is known by its line and by the lines that own it: those above that are indented less. Where a file has several such
places alike, the lines right above count too, then all since the place before, and last its number among them. So edits
elsewhere in a file leave a place what it is, and a place that could be taken for another is none of those that were
answered. The role's word is no part of it: a place stays what it is when its role is written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN
from kvroles.migrate import redact

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

ROLE = regex(r"kv_(?:both|producer|consumer)")
_COMMENT = regex(r"\s*(?:#|//|;|--|/\*|\*|<!--|\{\{-?\s*/\*|\{#)")
_KIND = regex(r"(?m)^kind:[ \t]*(\S+)")
_NAME = regex(r"(?m)^ {1,8}name:[ \t]*(\S+)")
_BETWEEN = regex(r"(?m)^---(?=\s|$)")
_SAYS = re.compile(r"\w")
_NEAR = 3  # lines above
_EXCERPT = 100
_LENGTH = 16  # characters of a key
_LONGEST = 2_000  # characters: nobody reads a longer line, and to look for secrets in it takes long
_ANY = "kv_*"  # for the word in an excerpt, which is no place of its own where it is kept


class Place(NamedTuple):
    """A role's word in a text: its index, what it is by ``key``, its word, and its line cut to what a person reads."""

    pos: int
    key: str
    word: str
    excerpt: str


class _Seen(NamedTuple):
    """A place before it has a key: its index and word, the number of its line, what it says and stands under."""

    pos: int
    word: str
    line: int
    what: tuple[object, ...]


def places(s: str) -> list[Place]:
    """Every role's word in ``s``, in order. No two have the same key."""
    lines = s.split("\n")
    seen = _seen(s, lines)
    keys: list[tuple[object, ...]] = [p.what for p in seen]
    plain: dict[int, str] = {}  # a line may be near many places

    def line_of(number: int) -> str:
        if number not in plain:
            plain[number] = _plain(lines[number])
        return plain[number]

    def near(n: int) -> object:
        return tuple([ln for ln in map(line_of, range(max(0, seen[n].line - 40), seen[n].line)) if ln][-_NEAR:])

    def since(n: int) -> object:
        start = seen[n - 1].line + 1 if n else 0
        return _digest([ln for ln in map(_plain, lines[start : seen[n].line]) if ln])

    numbers = _numbers(seen)
    more: Callable[[int], object]
    for more in (near, since, lambda n: numbers[n]):
        count = Counter(keys)
        if all(number == 1 for number in count.values()):
            break
        keys = [k if count[k] == 1 else (*k, more(n)) for n, k in enumerate(keys)]
    shown = redact.Shown(s)  # an excerpt is kept in a file that others read
    excerpts = {n: _excerpt(shown, n) for n in {p.line for p in seen}}
    return [Place(p.pos, _digest(k), p.word, excerpts[p.line]) for p, k in zip(seen, keys, strict=True)]


def decoded(data: bytes) -> str:
    """The text in which the places of a file are known by what they are, whether or not its bytes are UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def of_file(why: str) -> str:
    """The key of a file as a whole that could not be read: by why it could not."""
    return _digest(["file", why])


def _seen(s: str, lines: list[str]) -> list[_Seen]:
    out: list[_Seen] = []
    owners: list[_Owner] = []
    names = _documents(s)
    top = _Owner(-1, "")
    start = 0
    for number, line in enumerate(lines):
        if start in names:
            top, owners = _Owner(-1, names[start]), []
        found = list(ROLE.finditer(line)) if "kv_" in line else []
        if line.strip() and (found or not _COMMENT.match(line)):
            indent = _indent(line)
            while owners and owners[-1].indent >= indent:
                owners.pop()
            if found:
                what = _under([top, *owners], _plain(line))
                out += [_Seen(start + m.start(), m.group(), number, (what, nth)) for nth, m in enumerate(found)]
            if _SAYS.search(line):
                owners.append(_Owner(indent, line))
        start += len(line) + 1
    return out


class _Owner:
    """A line that others stand under, by its indent, or the object of a document; ``above`` is the digest of what leads to it."""

    __slots__ = ("above", "indent", "line")

    def __init__(self, indent: int, line: str) -> None:
        self.indent = indent
        self.line = line
        self.above: Hash | None = None


def _under(owners: list[_Owner], line: str) -> str:
    """The digest of the list of what a line stands under, the word ``line``, and what it says. Each owner is gone through once,
    however many lines stand under it."""
    import hashlib  # lazy: see _digest

    known = len(owners)
    while known and owners[known - 1].above is None:
        known -= 1
    above = owners[known - 1].above if known else None
    for owner in owners[known:]:
        above = hashlib.sha256(b"[") if above is None else above.copy()
        above.update(_bytes(repr(owner.line) if owner is owners[0] else f", {_plain(owner.line)!r}"))
        owner.above = above
    assert above is not None  # the first of them is the document
    whole = above.copy()
    whole.update(_bytes(f", 'line', {line!r}]"))
    return whole.hexdigest()[:_LENGTH]


def _documents(s: str) -> dict[int, str]:
    """Where the documents of a YAML stream begin, and the object that each holds."""
    starts = [0, *(m.start() for m in _BETWEEN.finditer(s) if m.start())]
    if len(starts) == 1:
        return {}
    out = {}
    for a, b in zip(starts, [*starts[1:], len(s)], strict=True):
        kind, name = _KIND.search(s, a, b), _NAME.search(s, a, b)
        out[a] = " ".join(m.group(1) for m in (kind, name) if m is not None)
    return out


def _numbers(seen: list[_Seen]) -> list[str]:
    """Each place's number among those that say and stand under the same: ``2 of 3``."""
    of = Counter(p.what for p in seen)
    met: Counter[tuple[object, ...]] = Counter()
    out = []
    for p in seen:
        met[p.what] += 1
        out.append(f"{met[p.what]} of {of[p.what]}")
    return out


def _indent(line: str) -> int:
    blank = line[: len(line) - len(line.lstrip())]
    return len(blank.expandtabs(8))


def _plain(line: str) -> str:
    return " ".join(ROLE.sub(TOKEN, line).split())


def _digest(what: object) -> str:
    import hashlib  # lazy: it loads OpenSSL, and most runs have no answers to find

    return hashlib.sha256(_bytes(repr(what))).hexdigest()[:_LENGTH]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _excerpt(shown: redact.Shown, line: int) -> str:
    """The line for a person to know it by, cut round the word where it is long."""
    if len(shown.lines[line]) > _LONGEST:
        return f"(a line of {len(shown.lines[line])} characters)"
    text = _plain(shown.own(line + 1))
    if len(text) > _EXCERPT:
        at = text.find(TOKEN)
        room = _EXCERPT - 8  # for what says that it is cut
        start = max(0, min(at - room // 2, len(text) - room))
        end = start + room
        text = ("... " if start else "") + text[start:end] + (" ..." if end < len(text) else "")
    return text.replace(TOKEN, _ANY)
