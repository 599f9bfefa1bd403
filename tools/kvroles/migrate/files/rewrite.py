"""Puts roles into a file's bytes, and the bytes into the file: all or nothing, mode and owner kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from typing import BinaryIO

from kvroles.evidence.text import TOKEN, Text, byte_offset
from kvroles.migrate.files import walk
from kvroles.migrate.model import Finding
from kvroles.tree import handles

_OLD = TOKEN.encode()


class NotWrittenError(Exception):
    """Why a file was left as it was."""


class ChangedError(NotWrittenError):
    """The file is not what was read any more."""

    def __init__(self) -> None:
        super().__init__("it changed since it was read")


def edited(data: bytes, text: Text, findings: list[Finding]) -> bytes:
    """``data``, decoded as ``text``, with the role of each finding written over its seven bytes.

    Raises ``NotWrittenError`` if they are not there.
    """
    out: list[bytes] = []
    last = 0
    for f in sorted(findings, key=lambda f: f.pos):
        if f.role is None:
            continue
        at = byte_offset(data, text, f.pos)
        if at < last or data[at : at + len(_OLD)] != _OLD:
            raise NotWrittenError(f"line {f.line} does not hold {TOKEN} where it was found")
        out += [data[last:at], f.role.encode()]
        last = at + len(_OLD)
    out.append(data[last:])
    return b"".join(out)


def write(path: str, before: bytes, after: bytes) -> None:
    """Replace a file's bytes by one rename. Raises ``NotWrittenError`` if it changed meanwhile or cannot be kept as it is."""
    folder, name = os.path.split(os.path.realpath(path))
    try:
        # All that follows happens in this very folder, whatever comes to lie at its path meanwhile.
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as e:
        raise NotWrittenError(f"{e.strerror or e}") from None
    try:
        _replace(at, name, before, after)
        with contextlib.suppress(OSError):  # the file is in place; only its lasting a power cut is at stake
            os.fsync(at)
    except OSError as e:
        raise NotWrittenError(f"{e.strerror or e}") from None
    finally:
        os.close(at)


def create(path: str, data: bytes) -> None:
    """Put a new file where none is, whole or not at all. Raises ``NotWrittenError``, also if there is one by now."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with handles.new(at, name, over=False) as f:
                f.write(data)
        finally:
            os.close(at)
    except FileExistsError:
        raise ChangedError from None
    except OSError as e:
        raise NotWrittenError(f"{e.strerror or e}") from None


def _replace(folder: int, name: str, before: bytes, after: bytes) -> None:
    # Always the same name, so that what a killed run leaves is found by the next; the lock makes it ours alone.
    temp = walk.UNFINISHED + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder), "rb") as f:
        info = _held(f)
        if f.read() != before:
            raise ChangedError
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp, dir_fd=folder)

        def last() -> None:
            """Compare once more: a write to the disk takes long enough for an editor to save."""
            if os.pread(f.fileno(), len(before) + 1, 0) != before:
                raise ChangedError
            there = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not _same(info, os.fstat(f.fileno())) or not _same(info, there):
                raise ChangedError

        with handles.new(folder, name, 0o600, passing=temp, last=last) as out:
            out.write(after)
            out.flush()
            if (info.st_uid, info.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(out.fileno(), info.st_uid, info.st_gid)
            os.fchmod(out.fileno(), stat.S_IMODE(info.st_mode))
            _copy_attributes(f.fileno(), out.fileno())


def _held(f: BinaryIO) -> os.stat_result:
    """Lock the open file against other runs and make sure that it is one that a rename replaces whole."""
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise NotWrittenError("another run is writing it") from None
    except OSError:  # a file system without locks
        pass
    info = os.fstat(f.fileno())
    if not stat.S_ISREG(info.st_mode):
        raise NotWrittenError("it is not a regular file")
    if info.st_nlink > 1:
        raise NotWrittenError("it has more than one name (hard links), which a rename would part")
    if not info.st_nlink:
        raise ChangedError
    return info


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks at a file saw the same one, and nothing was done to it in between."""
    return all(
        getattr(one, of) == getattr(other, of) for of in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    )


def _copy_attributes(source: int, target: int) -> None:
    """Extended attributes (labels, capabilities), where the system has them."""
    if not hasattr(os, "listxattr"):
        return
    for name in os.listxattr(source):
        os.setxattr(target, name, os.getxattr(source, name))
