"""Patches as ``git format-patch`` writes them: parse strictly, apply with exact context, reverse.

There is no fuzz. A hunk applies where its old lines stand, byte for byte; when they have moved, the offset is found
as git does (the nearest place, apply.c ``find_pos``), and reported. Everything works on bytes in memory, so that
trees, archives and wheels share one engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from kvroles.errors import Unproven
from kvroles.places import leaves, program, restored

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(.*)")
_TRAILER = re.compile(r"([A-Z][A-Za-z-]+): (.+)")
_NO_EOL = b"\\ No newline at end of file"


class Hunk(NamedTuple):
    """One ``@@`` block. ``old`` and ``new`` are its lines before and after, line ends included (bytes).

    ``at_end``: no context follows the change, so the old lines must end the file (git apply.c, ``match_end``).
    """

    old_start: int
    new_start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    at_end: bool = False

    def reversed(self) -> Hunk:
        return Hunk(self.new_start, self.old_start, self.new, self.old, self.at_end)


class FilePatch(NamedTuple):
    """The change to one path of the tree. ``creates``/``deletes`` mark whole files that come or go."""

    path: str
    hunks: tuple[Hunk, ...]
    creates: bool = False
    deletes: bool = False

    def reversed(self) -> FilePatch:
        return FilePatch(self.path, tuple(h.reversed() for h in self.hunks), self.deletes, self.creates)


class Patch(NamedTuple):
    """A whole mail: subject, body, trailers, and the files it changes."""

    subject: str
    body: str
    trailers: dict[str, str]
    files: tuple[FilePatch, ...]
    raw: bytes

    def reversed(self) -> tuple[FilePatch, ...]:
        return tuple(f.reversed() for f in self.files)


class HunkFit(NamedTuple):
    """Where hunk ``number`` (1-based) went: the line (1-based) and its distance from where the patch names it."""

    number: int
    line: int
    offset: int


class HunkMismatch(Exception):  # noqa: N818 - carries an outcome; callers turn it into words
    """A hunk's old lines do not stand in the file, or stand in several places.

    ``number`` is 1-based; ``line`` (1-based) is where it best fits; ``expected`` and ``found`` are the first line that
    differs there (bytes; ``found`` is None past the end of the file); ``places`` counts exact matches.
    """

    def __init__(
        self, path: str, hunk: Hunk, number: int, line: int, expected: bytes, found: bytes | None, places: int = 0
    ) -> None:
        self.path = path
        self.hunk = hunk
        self.number = number
        self.line = line
        self.expected = expected
        self.found = found
        self.places = places
        super().__init__(f"{path}: hunk {number} does not fit")

    @property
    def is_crlf(self) -> bool:
        """Whether the file has CRLF where the patch has LF, and the line differs in nothing else."""
        return self.found is not None and self.found == self.expected.removesuffix(b"\n") + b"\r\n"

    def describe(self) -> tuple[str, str]:
        """(expected, found) as short readable text."""
        if self.places > 1:
            return (
                f"hunk {self.number}'s lines once in the file",
                f"them in {self.places} places, so the right one would be a guess",
            )
        want = f"{_show(self.expected)} at line {self.line}, where hunk {self.number} fits best"
        if self.found is None:
            return want, "the end of the file"
        if self.found.rstrip(b"\r\n") != self.expected.rstrip(b"\r\n") and self.found.split() == self.expected.split():
            return want, f"the same text with other white space: {_blanks(self.found)} for {_blanks(self.expected)}"
        if self.found.rstrip(b"\r\n") == self.expected.rstrip(b"\r\n"):
            return want, f"the same text with another line end ({_line_end(self.found)} for {_line_end(self.expected)})"
        return want, _show(self.found)


def _show(line: bytes) -> str:
    return "`" + line.decode("utf-8", "backslashreplace").strip() + "`"


def _blanks(line: bytes) -> str:
    """The line's white space made visible, for a message whose own is folded."""
    text = line.decode("utf-8", "backslashreplace").rstrip("\n")
    return "`" + re.sub(r"\s", lambda m: {" ": "\u00b7", "\t": "\u2192"}.get(m[0], repr(m[0])[1:-1]), text) + "`"


def _line_end(line: bytes) -> str:
    return "CRLF" if line.endswith(b"\r\n") else "LF" if line.endswith(b"\n") else "none"


def split_lines(data: bytes) -> list[bytes]:
    """``data`` as lines that keep their ``\\n`` (only ``\\n`` ends a line, as in git)."""
    lines = data.split(b"\n")
    last = lines.pop()
    out = [line + b"\n" for line in lines]
    if last:
        out.append(last)
    return out


def parse(raw: bytes, name: str) -> Patch:
    """Parse one mail; ``name`` is used in errors. Raises Unproven when it is damaged, or not a plain text change."""

    def bad(why: str) -> Unproven:
        return Unproven(
            f"Patch {name} is damaged: {why}",
            fix=f"{restored('patches')}, or lint it with `{program('verify', '--lint')}`",
        )

    head, sep, diff = raw.partition(b"\ndiff --git ")
    if not sep or not raw.startswith(b"From "):
        raise bad("it is not a git format-patch mail with a diff in it")
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        raise bad("its message is not UTF-8") from None
    header, _, rest = text.partition("\n\n")
    m = re.search(r"^Subject: ((?:.*)(?:\n[ \t].*)*)", header, re.MULTILINE)
    if m is None:
        raise bad("it has no Subject line")
    subject = re.sub(r"^\[PATCH[^\]]*\] ", "", re.sub(r"\n[ \t]", " ", m[1]))
    message = re.split(r"\n---(?:\n|\Z)", rest)[0]
    trailers: dict[str, str] = {}
    for line in message.strip().split("\n\n")[-1].split("\n"):
        t = _TRAILER.fullmatch(line)
        if t:
            trailers[t[1]] = t[2].strip()
    body = re.sub(r"\n*(?:^[A-Z][A-Za-z-]+: .+\n?)+\Z", "", message.strip() + "\n", flags=re.MULTILINE).strip()
    tail = diff.rfind(b"\n-- \n")
    if tail < 0:
        raise bad("it is cut short: the '-- ' that ends every mail is missing")
    lines = (b"diff --git " + diff[: tail + 1]).split(b"\n")
    return Patch(subject, body, trailers, tuple(_files(lines, bad)), raw)


def _files(lines: list[bytes], bad: Callable[[str], Unproven]) -> list[FilePatch]:
    out: list[FilePatch] = []
    i = 0
    while i < len(lines):
        if not lines[i].startswith(b"diff --git "):
            if lines[i].strip():
                raise bad(f"unexpected line {_show(lines[i])}")
            i += 1
            continue
        creates = deletes = False
        old = new = b""
        headline = lines[i]
        i += 1
        while i < len(lines) and not lines[i].startswith((b"@@ ", b"diff --git ")):
            line = lines[i]
            if line.startswith(b"new file mode "):
                creates = True
            elif line.startswith(b"deleted file mode "):
                deletes = True
            elif line.startswith(b"--- "):
                old = line[4:]
            elif line.startswith(b"+++ "):
                new = line[4:]
            elif line.startswith((b"rename ", b"copy ", b"GIT binary", b"old mode", b"new mode")):
                raise bad(f"{_show(line)} is not part of a text change")
            i += 1
        side = old if deletes else new
        if not side.startswith((b"a/", b"b/")):
            raise bad("a file has no ---/+++ lines")
        try:
            path = side[2:].decode("utf-8")
        except UnicodeDecodeError:
            raise bad(f"the name {_show(side)} is not UTF-8") from None
        if leaves(path):
            raise bad(f"{path!r} leaves the tree")
        name = side[2:]
        sides = (b"/dev/null" if creates else b"a/" + name, b"/dev/null" if deletes else b"b/" + name)
        if (old, new) != sides or headline != b"diff --git a/" + name + b" b/" + name:
            raise bad(f"it names {path!r} in different ways")
        hunks: list[Hunk] = []
        while i < len(lines) and lines[i].startswith(b"@@ "):
            hunk, i = _hunk(lines, i, bad)
            hunks.append(hunk)
        if not hunks:
            raise bad(f"{path} has no hunks")
        out.append(FilePatch(path, tuple(hunks), creates, deletes))
    return out


def _hunk(lines: list[bytes], i: int, bad: Callable[[str], Unproven]) -> tuple[Hunk, int]:
    m = _HUNK.fullmatch(lines[i])
    if m is None:
        raise bad(f"{_show(lines[i])} is not a hunk header")
    want_old = int(m[2]) if m[2] is not None else 1
    want_new = int(m[4]) if m[4] is not None else 1
    old: list[bytes] = []
    new: list[bytes] = []
    at = i
    i += 1
    last = b" "
    while len(old) < want_old or len(new) < want_new or (i < len(lines) and lines[i].startswith(b"\\")):
        if i >= len(lines):
            raise bad(f"hunk {_show(lines[at])} ends early")
        line = lines[i]
        op, rest = line[:1], line[1:] + b"\n"
        if line == _NO_EOL:
            if last in b" -" and old:
                old[-1] = old[-1].rstrip(b"\n")
            if last in b" +" and new:
                new[-1] = new[-1].rstrip(b"\n")
            i += 1
            continue
        if op == b" ":
            old.append(rest)
            new.append(rest)
        elif op == b"-":
            old.append(rest)
        elif op == b"+":
            new.append(rest)
        else:
            raise bad(f"hunk {_show(lines[at])} holds {_show(line)}")
        last = op
        i += 1
    if (len(old), len(new)) != (want_old, want_new):
        raise bad(f"hunk {_show(lines[at])} does not hold the lines it counts")
    return Hunk(int(m[1]), int(m[3]), tuple(old), tuple(new), last != b" "), i


def apply(data: bytes | None, patch: FilePatch, *, unique: bool = False) -> tuple[bytes | None, tuple[HunkFit, ...]]:
    """``patch`` applied to ``data`` (None: the file does not exist); returns the new bytes and where each hunk went.

    With ``unique`` a hunk whose old lines stand in more than one place is refused (for trees that no hash vouches for).
    Raises HunkMismatch, with the best near-fit, when a hunk does not fit; nothing is ever applied in part.
    """
    if patch.creates:
        if data is not None:
            raise HunkMismatch(patch.path, patch.hunks[0], 1, 1, b"(no file)\n", data[:80])
        return b"".join(patch.hunks[0].new), (HunkFit(1, 1, 0),)
    if data is None:
        raise HunkMismatch(patch.path, patch.hunks[0], 1, patch.hunks[0].old_start, patch.hunks[0].old[0], None)
    if patch.deletes:
        if data != b"".join(patch.hunks[0].old):
            raise _mismatch(data, patch, 1, 0)
        return None, (HunkFit(1, 1, 0),)
    fits: list[HunkFit] = []
    out: list[bytes] = []
    done = line = 0  # what is already in `out`: bytes, and lines
    drift = 0  # the last hunk's offset, which git assumes for the next
    for number, hunk in enumerate(patch.hunks, 1):
        named = max(hunk.old_start - 1, 0) if hunk.old else hunk.old_start
        block = b"".join(hunk.old)
        places = [(line + data.count(b"\n", done, p), p) for p in places_of(data, block, done, at_end=hunk.at_end)]
        if not places:
            raise _mismatch(data, patch, number, line)
        if unique and len(places_of(data, block, at_end=hunk.at_end)) > 1:
            raise HunkMismatch(patch.path, hunk, number, places[0][0] + 1, hunk.old[0], hunk.old[0], len(places))
        guess = named + drift
        at, start = min(places, key=lambda p: (abs(p[0] - guess), p[0] < guess))
        drift = at - named
        out += [data[done:start], *hunk.new]
        done, line = start + len(block), at + len(hunk.old)
        fits.append(HunkFit(number, at + 1, drift))
    out.append(data[done:])
    return b"".join(out), tuple(fits)


def taken_out(data: bytes | None, patch: FilePatch) -> tuple[bytes | None, tuple[HunkFit, ...]] | None:
    """``data`` without what ``patch`` brought, and where each hunk was; None when it is not in it.

    What a hunk leaves may stand in several places where what it found stood in one, so the way back is proven by going
    forth again.
    """
    try:
        back, fits = apply(data, patch.reversed())
        forth, _ = apply(back, patch, unique=True)
    except HunkMismatch:
        return None
    return (back, fits) if forth == data else None


def places_of(data: bytes, block: bytes, start: int = 0, *, at_end: bool = False) -> list[int]:
    """Every offset >= ``start`` at which the whole lines ``block`` stand in ``data``; with ``at_end`` only at its end."""
    if at_end:
        at = len(data) - len(block)
        return [at] if at >= start and data.endswith(block) and _whole(data, at, block) else []
    found: list[int] = []
    at = data.find(block, start) if block else -1
    while at >= 0:
        if _whole(data, at, block):
            found.append(at)
        at = data.find(block, at + 1)
    return found


def _whole(data: bytes, at: int, block: bytes) -> bool:
    """Whether ``block`` at ``at`` begins and ends with a line."""
    begins = at == 0 or data[at - 1 : at] == b"\n"
    return begins and (block[-1:] == b"\n" or at + len(block) == len(data))


def _mismatch(data: bytes, patch: FilePatch, number: int, start: int) -> HunkMismatch:
    """Where most of the hunk's old lines stand from line ``start`` on (ties: nearest to where it is named), and the first
    that differs."""
    lines = split_lines(data)
    hunk = patch.hunks[number - 1]
    n = len(hunk.old)
    index: dict[bytes, list[int]] = {}
    for j, line in enumerate(hunk.old):
        index.setdefault(line.strip(), []).append(j)
    votes: dict[int, int] = {}
    for i in range(start, len(lines)):
        for j in index.get(lines[i].strip(), ()):
            votes[i - j] = votes.get(i - j, 0) + (1 if lines[i].strip() else 0)
    named = hunk.old_start - 1
    at = max(votes, key=lambda p: (votes[p], -abs(p - named)), default=min(named, len(lines)))
    at = max(at, 0)
    for j in range(n):
        have = lines[at + j] if at + j < len(lines) else None
        if have != hunk.old[j]:
            return HunkMismatch(patch.path, hunk, number, at + j + 1, hunk.old[j], have)
    return HunkMismatch(patch.path, hunk, number, at + 1, hunk.old[0], None)
