"""A string and where each of its characters stands in the file it was read from.

Carriers unwrap a file layer by layer (YAML scalar, shell quotes, JSON escapes); every layer hands on a ``Text`` whose
characters still know their place in the file, so that a rewrite changes the role's bytes and nothing else.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator

TOKEN = "kv_both"
# The letters first, what may not stand before them after: the machine then looks for the letters.
TOKEN_RE = re.compile(r"kv_both(?<![A-Za-z0-9_]kv_both)(?![A-Za-z0-9_])")
BOM = b"\xef\xbb\xbf"
_NON_ASCII = re.compile(r"[^\x00-\x7f]")


class Text:
    """``s`` and, for each index of it, the index in the file's decoded text (``at``)."""

    __slots__ = ("_at", "_base", "_tokens", "s")

    def __init__(self, s: str, base: int = 0, at: array[int] | None = None) -> None:
        self.s = s
        self._base = base
        self._at = at
        self._tokens: list[int] | None = None

    @classmethod
    def of_file(cls, data: bytes) -> Text:
        """Decode a file's bytes, a byte order mark left out. Raises ``UnicodeDecodeError`` on anything but UTF-8."""
        return cls((data[len(BOM) :] if data.startswith(BOM) else data).decode("utf-8"))

    def at(self, i: int) -> int:
        """The place in the file of character ``i`` (``len(s)`` is the end)."""
        return self._base + i if self._at is None else self._at[i]

    def slice(self, a: int, b: int) -> Text:
        """The part from ``a`` to ``b``."""
        if self._at is None:
            return Text(self.s[a:b], self._base + a)
        return Text(self.s[a:b], 0, self._at[a : b + 1])

    def pick(self, s: str, indices: Iterable[int], end: int) -> Text:
        """The text ``s`` whose characters are those of this one at ``indices``; ``end`` is the index after the last."""
        at = array("q", indices)
        at.append(end)
        if self._at is not None:
            own = self._at
            at = array("q", [own[i] for i in at])
        elif self._base:
            base = self._base
            at = array("q", [base + i for i in at])
        return Text(s, 0, at)

    def same_places(self, s: str) -> Text:
        """``s``, as long as this text and standing where it stands."""
        return Text(s, self._base, self._at)

    def exact(self, i: int, n: int) -> bool:
        """Whether characters ``i`` to ``i + n`` stand side by side in the file."""
        first = self.at(i)
        return all(self.at(i + k) == first + k for k in range(n))

    def tokens(self) -> list[int]:
        """Where ``kv_both`` stands as a word of its own."""
        if self._tokens is None:
            self._tokens = [m.start() for m in TOKEN_RE.finditer(self.s)]
        return self._tokens

    def places(self) -> Iterable[int]:
        """The places of all characters, in order."""
        return range(self._base, self._base + len(self.s)) if self._at is None else self._at[: len(self.s)]

    def ascii(self) -> bytes:
        """The text with every other character replaced by one byte, so that a parser's byte offsets are indices of ``s``."""
        return (_NON_ASCII.sub("x", self.s) if not self.s.isascii() else self.s).encode("ascii")


def occurrences(s: str, word: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Where ``word`` stands in ``s``: to look at what is round it is quicker than to compile a pattern for each word."""
    i = s.find(word, start, end)
    while i >= 0:
        yield i
        i = s.find(word, i + 1, end)


def join(parts: Iterable[Text]) -> Text:
    """The concatenation of ``parts``, each character keeping its place in the file."""
    at: array[int] = array("q")
    strings: list[str] = []
    end = 0
    for part in parts:
        strings.append(part.s)
        at.extend(part.places())
        end = part.at(len(part.s))
    at.append(end)
    return Text("".join(strings), 0, at)


def byte_offset(data: bytes, text: Text, place: int) -> int:
    """The byte offset in ``data`` of a place in its decoded text."""
    head = len(BOM) if data.startswith(BOM) else 0
    if len(text.s) == len(data) - head:
        return head + place
    return head + len(text.s[:place].encode("utf-8"))
