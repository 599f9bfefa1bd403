"""Which files hold ``kv_both``, and their bytes: every file's bytes are searched, fast, and only hits are read as text."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from kvroles.evidence.text import TOKEN
from kvroles.migrate.files import spelled

SPECIAL = "not a regular file"
PACKED = "compressed: not read; unpack it"
FIRST_OF_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
MAX_BYTES = 8 << 20
_COUNTED = 1000  # occurrences in a file too large to be read; the rest are not counted
_CHUNK = 1 << 20
_PIECE = 1 << 16
_SAMPLE = 512  # bytes in which UTF-16 is told by its zeros: nearly half of them
_NEEDLE = TOKEN.encode()
_SEAM = 1 << 10  # bytes kept of the piece before: what is searched for, with what has to stand near it, is shorter
_KEEPS = b"kv-roles: keep both because"  # in a comment that keeps a line as it is
# The word in UTF-16 and in UTF-32, of either byte order. PowerShell's ``>`` writes UTF-16, its ``>>`` behind other text too.
_WIDE = {name: TOKEN.encode(f"{name}-le").rstrip(b"\0") for name in ("UTF-16", "UTF-32")}
_WORDS = (_NEEDLE, *_WIDE.values())
_SOUGHT = (*_WORDS, *spelled.NEEDLES, _KEEPS)
_IS_WORD, _IS_SPELLED, _IS_KEPT = (
    range(len(_WORDS)),
    range(len(_WORDS), len(_SOUGHT) - 1),
    len(_SOUGHT) - 1,
)  # their numbers
_OF_TEXT = bytes({*range(32, 127), *b"\b\t\n\v\f\r\x1b"})  # bytes of an ASCII text, with those of a terminal's log
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_buffer = bytearray(_SEAM + _CHUNK)
_view = memoryview(_buffer)
_into = [_view[:_CHUNK]]


class Hit(NamedTuple):
    """A file with its bytes; ``skipped`` is why it is not read as text, if it is not: ``data`` is then what was read of it.

    A ``binary`` file may be passed over: it is no text in any encoding.
    """

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
    return not met.isdisjoint(_IS_WORD) or (
        not met.isdisjoint(_IS_SPELLED) and spelled.holds(bytes(_view[:n]), [_SOUGHT[number] for number in met])
    )


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
            held = bool(met) and _has_word(met, n)
            # A short read need not be the end; and what was read may be no file any more, which has no size.
            if not held and not 0 < n == os.lseek(fd, 0, os.SEEK_END) < _CHUNK:
                held = _rest_has(fd, n, met)
            if _IS_KEPT in met and not held and answered is not None:
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
    for mark, name in _MARKS:
        if data.startswith(mark):
            return Hit(
                path, data.decode(name, "replace").encode(), skipped=f"{name.upper()}: not read; save it as UTF-8"
            )
    if data.startswith(FIRST_OF_PACKED):
        return Hit(path, data, skipped=PACKED, binary=True)
    if b"\0" not in data:
        return Hit(path, data)
    wide = next((name for name, word in _WIDE.items() if word in data), None)
    zeros = data[:_SAMPLE].count(0)
    if wide is None and _NEEDLE not in data and zeros * 3 > len(data[:_SAMPLE]):
        wide = "UTF-16"
    if wide is not None:  # without its zeros the word is as it is, and a line ends as one does
        why = f"{wide} without its mark: not read; save it as UTF-8"
        return Hit(path, data.replace(b"\0", b""), skipped=why)
    if b"\0" not in data[:8192]:
        return Hit(path, data)
    if _is_text(data):
        return Hit(path, data, skipped="zero bytes among its text: not read; save it without them")
    return Hit(path, data, skipped="binary: not read", binary=True)


def _is_text(data: bytes) -> bool:
    """Whether bytes hold hardly any that no text holds, as a script is that an editor or a pipe damaged."""
    others = data.translate(None, _OF_TEXT)
    try:
        data.decode()
    except UnicodeDecodeError:
        of_text = 0
    else:
        of_text = sum(byte >= 0x80 for byte in others)
    return len(others) - of_text <= len(data) // 50


def _all(fd: int, size: int) -> bytes:
    """The bytes of a file of that ``size``; no more than twice the limit of one that grows while it is read."""
    parts: list[bytes] = []
    while part := os.read(fd, size if size and not parts else _PIECE):
        parts.append(part)
        if sum(map(len, parts)) > MAX_BYTES * 2:
            break
    return b"".join(parts)


def _rest_has(fd: int, n: int, met: set[int]) -> bool:
    """Whether a file has the needle in any spelling behind its first ``n`` bytes, or across them and the rest; in them, which
    the buffer holds, those of ``_SOUGHT`` were ``met``.

    Raises ``OSError`` for what is no regular file: reading it may never end.
    """
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(SPECIAL)
    first = n
    for n, _ in _pieces(fd, first, first):
        met |= _met(n)
        if not met.isdisjoint(_IS_WORD):
            return True
    if n == first or met.isdisjoint(_IS_SPELLED):
        return False
    beside = {_SOUGHT[number] for number in met}  # anywhere in the file
    return any(spelled.holds(bytes(_view[:n]), beside) for n, _ in _pieces(fd))


def _pieces(fd: int, at: int = 0, held: int = 0) -> Iterator[tuple[int, int]]:
    """Read a file from offset ``at`` on into the buffer, piece by piece, each behind the end of the one before; ``held`` bytes
    of that are in the buffer at first. Yields how many bytes there are, and how many of them are of the piece before.

    Holes of a sparse file are skipped.
    """
    while True:
        try:
            data_at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO and at < os.fstat(fd).st_size:  # there is only a hole up to the end
                return
            data_at = os.lseek(fd, at, os.SEEK_SET)  # also behind a size that is not told as it is
        if data_at > at:
            at, held = data_at, 0
        old = min(held, _SEAM)
        _buffer[:old] = _buffer[held - old : held]
        n = os.readv(fd, [_view[old : old + _CHUNK]])
        if not n:
            return
        at += n
        held = old + n
        yield held, old


def _first(fd: int) -> str:
    """Where a large file has the needle, in words: the first line, and how often."""
    found = feeds = line = 0
    for n, old in _pieces(fd):
        i = _buffer.find(_NEEDLE, max(0, old - len(_NEEDLE) + 1), n)
        while i >= 0 and found < _COUNTED:
            line = line or feeds + _buffer.count(b"\n", old, i) + 1
            found += 1
            i = _buffer.find(_NEEDLE, i + 1, n)
        if found == _COUNTED:
            break
        feeds += _buffer.count(b"\n", old, n)
    times = "once" if found == 1 else f"{found} times" if found < _COUNTED else f"{found} times or more"
    if not found:
        return "and it holds kv_both in another spelling or encoding"
    return f"and it holds kv_both {times}, first in line {line}"
