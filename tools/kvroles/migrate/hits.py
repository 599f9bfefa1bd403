"""Which files hold ``kv_both``, and their bytes: every file's bytes are searched, fast, and only hits are read as text."""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from kvroles.evidence.text import TOKEN
from kvroles.migrate import spelled

SPECIAL = "not a regular file"
PACKED = "compressed: not read; unpack it"
FIRST_OF_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
MAX_BYTES = 8 << 20
_COUNTED = 1000  # occurrences in a file too large to be read; the rest are not counted
_CHUNK = 1 << 20
_PIECE = 1 << 16
_SAMPLE = 512  # bytes in which UTF-16 is told by its zeros: nearly half of them
_NEEDLE = TOKEN.encode()
_SEAM = 64  # bytes kept of the piece before: no other spelling is longer
_KEEPS = b"kv-roles: keep both because"  # in a comment that keeps a line as it is
_SOUGHT = (_NEEDLE, *spelled.NEEDLES, _KEEPS)
_WORD, _SPELLED, _KEPT = 0, range(1, len(_SOUGHT) - 1), len(_SOUGHT) - 1  # their numbers
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WIDE_NEEDLE = re.compile(b"\0{0,3}".join(_NEEDLE[i : i + 1] for i in range(len(_NEEDLE))))
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_buffer = bytearray(_CHUNK)
_view = memoryview(_buffer)
_into = [_view]


class Hit(NamedTuple):
    """A file with its bytes; ``skipped`` is why it is not read as text, if it is not: ``data`` is then what was read of it."""

    path: str
    data: bytes = b""
    skipped: str = ""
    binary: bool = False


def _why(e: OSError) -> str:
    return e.strerror or type(e).__name__


@cache
def _search() -> Callable[[memoryview], list[tuple[int, int, int]]]:
    """A search of bytes for all of ``_SOUGHT`` in one pass: which of them is where, from and to."""
    # lazy: what reads no folder, as the site's playground, needs no such library
    from ahocorasick_rs import BytesAhoCorasick, MatchKind

    # With matches of this kind it takes the processor's vector instructions: a quarter of the time.
    return BytesAhoCorasick(_SOUGHT, matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes


def _met(n: int) -> set[int]:
    """Which of ``_SOUGHT`` are in the first ``n`` bytes of the buffer, by their numbers."""
    return {number for number, _, _ in _search()(_view[:n])}


def _has_word(met: set[int], n: int) -> bool:
    """Whether the first ``n`` bytes of the buffer have the needle in any spelling; in them those of ``_SOUGHT`` were ``met``."""
    return _WORD in met or (not met.isdisjoint(_SPELLED) and spelled.holds(bytes(_view[:n])))


def _wide(n: int) -> bool:
    """Whether the first ``n`` bytes of the buffer have the needle with zeros between its letters, as in UTF-16 and UTF-32.

    PowerShell's ``>`` writes UTF-16.
    """
    return _WIDE_NEEDLE.search(_buffer, 0, n) is not None


def holding(paths: Iterable[str], answered: list[str] | None = None) -> Iterator[str]:
    """Those of ``paths`` that have the needle in them in any spelling, or cannot be read.

    ``answered`` gets those without the needle that have a comment to keep it in their first piece. All is in one loop,
    because most of a run's time goes into it.
    """
    for path in paths:
        try:
            fd = os.open(path, FLAGS)
        except OSError:
            yield path
            continue
        try:
            n = os.readv(fd, _into)  # one buffer for all files: memory stays flat and nothing is copied
            met = _met(n)
            held = _has_word(met, n) or (n == _CHUNK and _rest_has(fd))
            if not held and n > 1 and (_buffer[0] > 0xFD or not _buffer[0] or not _buffer[1]):
                held = _wide(n)
            if _KEPT in met and not held and answered is not None:
                answered.append(path)
        except OSError:
            held = True
        finally:
            os.close(fd)
        if held:
            yield path


def look(path: str) -> Hit:
    """A file that ``holding`` found, with its bytes, or with why it cannot be read."""
    try:
        fd = os.open(path, FLAGS)
    except OSError as e:
        return Hit(path, skipped=_why(e))
    try:
        before = os.fstat(fd)
        if stat.S_ISDIR(before.st_mode):
            os.scandir(path).close()  # raises why it could not be listed
        if not stat.S_ISREG(before.st_mode):
            return Hit(path, skipped=SPECIAL)
        if before.st_size > MAX_BYTES:
            return Hit(path, skipped=f"larger than {MAX_BYTES >> 20} MB, {_first(fd)}")
        data = _all(fd, before.st_size)
        after = os.fstat(fd)
        if len(data) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
            return Hit(path, data, skipped="it changed while it was read")
    except OSError as e:
        return Hit(path, skipped=_why(e))
    finally:
        os.close(fd)
    return judge(path, data)


def judge(path: str, data: bytes) -> Hit:
    """A file's bytes as a hit, with why they are not read as text if they are not."""
    for mark, name in ((codecs.BOM_UTF32_LE, "utf-32"), *((m, "utf-16") for m in _WIDE)):
        if data.startswith(mark):
            return Hit(
                path, data.decode(name, "replace").encode(), skipped=f"{name.upper()}: not read; save it as UTF-8"
            )
    if data.startswith(FIRST_OF_PACKED):
        return Hit(path, data, skipped=PACKED, binary=True)
    if b"\0" not in data[:8192]:
        return Hit(path, data)
    zeros = data[:_SAMPLE].count(0)
    if _NEEDLE not in data and zeros * 3 > len(data[:_SAMPLE]):
        name = "utf-16-le" if data[:1] != b"\0" else "utf-16-be"
        text = data.decode(name, "replace").encode()
        return Hit(path, text, skipped="UTF-16 without its mark: not read; save it as UTF-8")
    return Hit(path, data, skipped="binary: not read", binary=True)


def _all(fd: int, size: int) -> bytes:
    """The bytes of a file of that ``size``; no more than twice the limit of one that grows while it is read."""
    parts: list[bytes] = []
    while part := os.read(fd, size if size and not parts else _PIECE):
        parts.append(part)
        if sum(map(len, parts)) > MAX_BYTES * 2:
            break
    return b"".join(parts)


def _rest_has(fd: int) -> bool:
    """Whether the rest of a large file, behind its first piece, has the needle in any spelling, also across two pieces.

    Raises ``OSError`` for what is no regular file: reading it may never end.
    """
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(SPECIAL)
    tail = bytes(_buffer[_CHUNK - len(_NEEDLE) + 1 : _CHUNK])
    before = bytes(_buffer[_CHUNK - _SEAM : _CHUNK])
    for n, old in _pieces(fd, _CHUNK, tail):
        if _has_word(_met(n), n) or _NEEDLE in old + _buffer[: min(n, len(_NEEDLE))]:
            return True
        if spelled.holds(bytes(before + _buffer[: min(n, _SEAM)])):
            return True
        before = bytes(_buffer[max(0, n - _SEAM) : n])
    return False


def _pieces(fd: int, at: int, tail: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """Read a file from offset ``at`` on into the buffer, piece by piece. Yields how many bytes were read, and the end of the
    piece before, which is ``tail`` at first. Holes of a sparse file are skipped."""
    while True:
        try:
            data_at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # there is only a hole up to the end
                return
            data_at = os.lseek(fd, at, os.SEEK_SET)
        if data_at > at:
            at, tail = data_at, b""
        n = os.readv(fd, _into)
        if not n:
            return
        yield n, tail
        at += n
        tail = (tail + bytes(_buffer[max(0, n - len(_NEEDLE)) : n]))[-len(_NEEDLE) + 1 :]


def _first(fd: int) -> str:
    """Where a large file has the needle, in words: the first line, and how often."""
    found = feeds = line = 0
    for n, tail in _pieces(fd, 0):
        piece, old = tail + bytes(_buffer[:n]), len(tail)
        i = piece.find(_NEEDLE)
        while i >= 0 and found < _COUNTED:
            line = line or feeds + piece.count(b"\n", old, i) + 1
            found += 1
            i = piece.find(_NEEDLE, i + 1)
        if found == _COUNTED:
            break
        feeds += piece.count(b"\n", old)
    times = "once" if found == 1 else f"{found} times" if found < _COUNTED else f"{found} times or more"
    return f"and it holds kv_both {times}, first in line {line}" if found else "and it holds kv_both no more"
