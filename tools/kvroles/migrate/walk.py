"""Finds the files that hold ``kv_both`` beside NIXL, fast: bytes are searched first, and only hits are looked at."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

SKIP_DIRS = frozenset(
    {
        ".git", ".hg", ".svn", "node_modules", "vendor", "third_party", "third-party", "thirdparty", "site-packages",
        ".venv", "venv", ".tox", ".nox", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".terraform",
        ".eggs", "bower_components",
    }
)  # fmt: skip
# Compiled, packed or drawn: never read by a deployment as text.
SKIP_SUFFIXES = frozenset(
    {
        ".so", ".o", ".a", ".pyc", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".pdf", ".zip", ".gz", ".tgz",
        ".xz", ".zst", ".bz2", ".whl", ".jar", ".safetensors", ".bin", ".pt", ".onnx", ".gguf", ".woff", ".woff2",
        ".ttf", ".mp4", ".mp3", ".wav", ".cu", ".cuh", ".cpp", ".hpp", ".cc", ".c", ".h", ".hip", ".parquet", ".npy",
        ".npz", ".db", ".sqlite", ".svg", ".css",
    }
)  # fmt: skip
UNFINISHED = ".kv-roles-"  # what a killed --write leaves beside a file; the next one replaces it
MAX_BYTES = 8 << 20
_MANY = 256  # folders: enough that none holds a large part of what is below them all
_CHUNK = 1 << 20
_NEEDLE = b"kv_both"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WIDE_NEEDLE = re.compile(b"\0?".join(_NEEDLE[i : i + 1] for i in range(len(_NEEDLE))))
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_buffer = bytearray(_CHUNK)
_into = [_buffer]


class Hit(NamedTuple):
    """A file to look at, with its bytes; or one that cannot be, with why."""

    path: str
    data: bytes = b""
    skipped: str = ""


def files(root: str) -> Iterator[str]:
    """The files at or below ``root`` that may be text, and what cannot be read, for ``look`` to say why.

    Links below it are not followed.
    """
    stack = [os.path.normpath(root)]
    while stack:
        found, dirs = _listed(stack.pop())
        yield from found
        stack += dirs


def spread(root: str) -> tuple[list[str], list[str]]:
    """What is at or below ``root`` as some files and many folders, to be walked with ``files`` by several processes."""
    found: list[str] = []
    dirs = deque([os.path.normpath(root)])
    while dirs and len(dirs) < _MANY:
        some, below = _listed(dirs.popleft())
        found += some
        dirs += below
    return found, list(dirs)


def order(path: str) -> list[tuple[bool, str]]:
    """Sorts paths: by name, a folder's files before the folders in it."""
    *dirs, name = path.split(os.sep)
    return [*((True, d) for d in dirs), (False, name)]


def _listed(here: str) -> tuple[list[str], list[str]]:
    """The files and the folders in ``here``; itself if it is none, or cannot be listed."""
    found: list[str] = []
    dirs: list[str] = []
    cut = 2 if here == "." else 0  # "./a" is "a"
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in SKIP_DIRS:
                            dirs.append(entry.path[cut:])
                    elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(UNFINISHED):
                        dot = entry.name.rfind(".")
                        if dot < 1 or entry.name[dot:].lower() not in SKIP_SUFFIXES:
                            found.append(entry.path[cut:])
                except OSError:
                    found.append(entry.path[cut:])
    except OSError:
        return [here], []
    return found, dirs


def _why(e: OSError) -> str:
    return e.strerror or type(e).__name__


@cache
def _search() -> Callable[[int], bool]:
    """Whether the needle is in the first bytes of the buffer, so many of them: asked by ``memmem``, which reads whole words
    at a time and needs 40 % of the time of ``bytearray.find``, or by the latter where the C library has no such function."""
    try:
        import ctypes

        memmem = ctypes.CDLL(None).memmem
    except (ImportError, OSError, TypeError, AttributeError):  # no ctypes; no library to ask (Windows); not in it
        return lambda n: _buffer.find(_NEEDLE, 0, n) >= 0
    memmem.restype = ctypes.c_void_p
    memmem.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t
    start, length = ctypes.addressof(ctypes.c_char.from_buffer(_buffer)), len(_NEEDLE)
    return lambda n: memmem(start, n, _NEEDLE, length) is not None


def _wide(n: int) -> bool:
    """Whether the buffer is UTF-16 that begins with its mark, and has the needle in it: what PowerShell's ``>`` writes."""
    return bytes(_buffer[:2]) in _WIDE and _WIDE_NEEDLE.search(_buffer, 0, n) is not None


def holding(paths: Iterable[str]) -> Iterator[str]:
    """Those of ``paths`` that have the needle in them, or cannot be read. One loop: here most of a run's time goes."""
    has = _search()
    for path in paths:
        try:
            fd = os.open(path, _FLAGS)
        except OSError:
            yield path
            continue
        try:
            n = os.readv(fd, _into)  # one buffer for all files: memory stays flat and nothing is copied
            held = has(n) or (_buffer[0] > 0xFD and _wide(n)) or (n == _CHUNK and _rest_has(fd))
        except OSError:
            held = True
        finally:
            os.close(fd)
        if held:
            yield path


def look(path: str) -> Hit:
    """What ``holding`` has named, with its bytes or with why it cannot be read."""
    try:
        fd = os.open(path, _FLAGS)
    except OSError as e:
        return Hit(path, skipped=_why(e))
    try:
        before = os.fstat(fd)
        if stat.S_ISDIR(before.st_mode):
            os.scandir(path).close()  # raises why it could not be listed
        if not stat.S_ISREG(before.st_mode):
            return Hit(path, skipped="not a regular file")
        if before.st_size > MAX_BYTES:
            return Hit(path, skipped=f"larger than {MAX_BYTES >> 20} MB")
        data = _all(fd)
        after = os.fstat(fd)
        if len(data) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
            return Hit(path, skipped="it changed while it was read")
    except OSError as e:
        return Hit(path, skipped=_why(e))
    finally:
        os.close(fd)
    return judge(path, data)


def judge(path: str, data: bytes) -> Hit:
    """A hit, or why its bytes are not text to be read."""
    if data.startswith(_WIDE):
        return Hit(path, data.decode("utf-16", "replace").encode(), skipped="UTF-16: not read; save it as UTF-8")
    if b"\0" in data[:8192]:
        return Hit(path, data, skipped="binary: not read")
    return Hit(path, data)


def _all(fd: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(fd, _CHUNK):
        parts.append(part)
        if sum(map(len, parts)) > MAX_BYTES * 2:
            break
    return b"".join(parts)


def _rest_has(fd: int) -> bool:
    """Whether the needle is anywhere in the rest of a large file, the last of its first piece included."""
    tail = bytes(_buffer[-len(_NEEDLE) :])
    while n := os.readv(fd, _into):
        if _NEEDLE in tail + bytes(_buffer[: len(_NEEDLE)]) or _buffer.find(_NEEDLE, 0, n) >= 0:
            return True
        tail = (
            (tail + bytes(_buffer[:n]))[-len(_NEEDLE) :] if n < len(_NEEDLE) else bytes(_buffer[n - len(_NEEDLE) : n])
        )
    return False


def neighbours(path: str) -> frozenset[str]:
    """The names beside a file."""
    try:
        return frozenset(os.listdir(os.path.dirname(path) or "."))
    except OSError:
        return frozenset()
