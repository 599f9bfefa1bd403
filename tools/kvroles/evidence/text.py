"""A string and where each of its characters stands in the file it was read from.

Carriers unwrap a file layer by layer (YAML scalar, shell quotes, JSON escapes); every layer hands on a ``Text`` whose
characters still know their place in the file, so that a rewrite changes the role's bytes and nothing else.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from kvroles.evidence import c_library

TOKEN = "kv_both"
# The letters first, what may not stand before them after: the machine then looks for the letters.
TOKEN_RE = re.compile(r"kv_both(?<![A-Za-z0-9_]kv_both)(?![A-Za-z0-9_])")
BOM = b"\xef\xbb\xbf"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ONE_RUN = [0]
_AS_LETTERS = "kv-roles: letters"


def _letters(error: UnicodeError) -> tuple[str, int]:
    """A letter for each character of a stretch that cannot be encoded."""
    assert isinstance(error, UnicodeEncodeError)
    return "x" * (error.end - error.start), error.end


codecs.register_error(_AS_LETTERS, _letters)  # five times as quick as to replace them by a regular expression


class Text:
    """``s`` and, for each index of it, the index in the file's decoded text (``at``).

    Those are kept as runs: from index ``_starts[k]`` on, the characters stand side by side in the file from ``_places[k]`` on.
    """

    __slots__ = ("_outdented", "_places", "_starts", "_tokens", "s")

    def __init__(self, s: str, place: int = 0, runs: tuple[list[int], list[int]] | None = None) -> None:
        self.s = s
        self._starts, self._places = runs if runs is not None else (_ONE_RUN, [place])
        self._tokens: list[int] | None = None
        self._outdented: Text | None = None

    @staticmethod
    def of_file(data: bytes) -> Text:
        """Decode a file's bytes, a byte order mark left out. Raises ``UnicodeDecodeError`` on anything but UTF-8."""
        return _OfFile(data[len(BOM) :] if data.startswith(BOM) else data)

    @staticmethod
    def of_bytes(data: bytes) -> Text:
        """Bytes in any encoding, each a character."""
        return _OfFile(data, "latin-1")

    def has(self, word: str) -> bool:
        """Whether ``word`` is in the text."""
        return word in self.s

    def at(self, i: int) -> int:
        """The place in the file of character ``i`` (``len(s)`` is the end)."""
        if self._starts is _ONE_RUN:
            return self._places[0] + i
        k = bisect_right(self._starts, i) - 1
        return self._places[k] + i - self._starts[k]

    def slice(self, a: int, b: int) -> Text:
        """The part from ``a`` to ``b``."""
        if self._starts is _ONE_RUN:
            return Text(self.s[a:b], self._places[0] + a)
        first, last = bisect_right(self._starts, a), bisect_right(self._starts, b)
        if first >= last:
            return Text(self.s[a:b], self.at(a))
        starts = [0, *(start - a for start in self._starts[first:last])]
        return Text(self.s[a:b], 0, (starts, [self.at(a), *self._places[first:last]]))

    def pick(self, s: str, indices: Iterable[int], end: int) -> Text:
        """The text ``s`` whose characters are those of this one at ``indices``; ``end`` is the index after the last."""
        runs: list[tuple[int, int]] = []
        following = -1
        for n, i in enumerate(indices):
            if i != following:
                runs.append((n, i))
            following = i + 1
        return self.lay(s, runs, end)

    def lay(self, s: str, runs: Sequence[tuple[int, int]], end: int) -> Text:
        """The same as ``pick`` of runs: from index ``n`` of ``s`` on, the characters are those of this text from ``i`` on, for
        each ``(n, i)``."""
        starts: list[int] = []
        places: list[int] = []
        for k, (n, i) in enumerate(runs):
            starts.append(n)
            places.append(self.at(i))
            if self._starts is not _ONE_RUN:
                upto = i + (runs[k + 1][0] if k + 1 < len(runs) else len(s)) - n
                first, last = bisect_right(self._starts, i), bisect_left(self._starts, upto)
                starts += [n + start - i for start in self._starts[first:last]]
                places += self._places[first:last]
        starts.append(len(s))
        places.append(self.at(end))
        return Text(s, 0, (starts, places))

    def decoded(self, a: int, b: int, escape: Callable[[str, int], tuple[str, int, int]]) -> Text:
        """The part from ``a`` to ``b`` with its backslashes read: for the index of one, ``escape`` gives what it and what follows
        it say, the index where that stands, and the index behind."""
        s = self.s
        if "\\" not in s[a:b]:
            return self.slice(a, b)
        out: list[str] = []
        at: list[int] = []
        i = a
        while (sign := s.find("\\", i, b - 1)) >= 0:
            out.append(s[i:sign])
            at.extend(range(i, sign))
            says, place, i = escape(s, sign)
            out.append(says)
            at.extend([place] * len(says))
        out.append(s[i:b])
        at.extend(range(i, b))
        return self.pick("".join(out), at, b)

    def outdented(self) -> Text:
        """The text without the indentation that all its lines share, those of nothing but blanks aside."""
        if self._outdented is None:
            made = self._without_indent()
            if made is self:
                return self  # not kept: a text that holds itself would stay until garbage is collected
            self._outdented = made
        return self._outdented

    def _without_indent(self) -> Text:
        s = self.s
        if "\n" not in s or not s.lstrip("\n").startswith((" ", "\t")) or not s.strip():
            return self
        lines = [(m.start(), m.end(), m.group()) for m in _LINE.finditer(s)]
        shared = next(line[: len(line) - len(line.lstrip(" \t"))] for _, _, line in lines if line.strip())
        for _, _, line in lines:
            while line.strip() and not line.startswith(shared):
                shared = shared[:-1]
        if not shared:
            return self
        return join(self.slice(a + len(shared), b) if line.strip() else self.slice(b - 1, b) for a, b, line in lines)

    def same_places(self, s: str) -> Text:
        """``s``, as long as this text and standing where it stands."""
        return Text(s, 0, (self._starts, self._places))

    def exact(self, i: int, n: int) -> bool:
        """Whether characters ``i`` to ``i + n`` stand side by side in the file."""
        first = self.at(i)
        return all(self.at(i + k) == first + k for k in range(n))

    def words(self) -> list[int]:
        """Where ``kv_both`` stands, as a part of a longer word too."""
        return list(occurrences(self.s, TOKEN))

    def tokens(self) -> list[int]:
        """Where ``kv_both`` stands as a word of its own."""
        if self._tokens is None:
            self._tokens = [i for i in self.words() if TOKEN_RE.match(self.s, i)]
        return self._tokens

    def tokens_in(self, a: int, b: int) -> list[int]:
        """Where ``kv_both`` begins between two indices."""
        tokens = self.tokens()
        return tokens[bisect_left(tokens, a) : bisect_left(tokens, b)]

    def ascii(self) -> bytes:
        """The text with every other character replaced by one byte, so that a parser's byte offsets are indices of ``s``."""
        return self.s.encode("ascii", _AS_LETTERS)


class _OfFile(Text):
    """The text of a whole file: its bytes are searched, which is many times as quick."""

    __slots__ = ("_data", "_words")

    def __init__(self, data: bytes, encoding: str = "utf-8") -> None:
        super().__init__(data.decode(encoding))
        self._data = data
        self._words: list[int] | None = None

    def has(self, word: str) -> bool:
        return c_library.within(self._data, word.encode())

    def words(self) -> list[int]:
        if self._words is None:
            self._words = super().words()
        return self._words


def occurrences(s: str, word: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Where ``word`` stands in ``s``: to look at what is round it is quicker than to compile a pattern for each word."""
    i = s.find(word, start, end)
    while i >= 0:
        yield i
        i = s.find(word, i + 1, end)


def first_in_lines(s: str, word: str) -> Iterator[tuple[int, int]]:
    """Each line that holds ``word``: where the line begins, and where the word stands first in it."""
    i = s.find(word)
    while i >= 0:
        yield s.rfind("\n", 0, i) + 1, i
        end = s.find("\n", i)
        i = s.find(word, end) if end >= 0 else -1


def join(parts: Iterable[Text]) -> Text:
    """The concatenation of ``parts``, each character keeping its place in the file."""
    starts: list[int] = []
    places: list[int] = []
    strings: list[str] = []
    n = end = 0
    for part in parts:
        strings.append(part.s)
        size = len(part.s)
        for start, place in zip(part._starts, part._places, strict=True):
            if start >= size:
                break
            if not starts or place != places[-1] + n + start - starts[-1]:
                starts.append(n + start)
                places.append(place)
        n += size
        end = part.at(size)
    starts.append(n)
    places.append(end)
    return Text("".join(strings), 0, (starts, places))


def byte_offset(data: bytes, text: Text, place: int) -> int:
    """The byte offset in ``data`` of a place in its decoded text."""
    head = len(BOM) if data.startswith(BOM) else 0
    if len(text.s) == len(data) - head:
        return head + place
    return head + len(text.s[:place].encode("utf-8"))
