"""Puts roles into a file's bytes, and the bytes into the file: all or nothing, mode and owner kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from typing import BinaryIO

from kvroles.migrate import walk
from kvroles.migrate.model import Finding
from kvroles.migrate.text import TOKEN, Text, byte_offset

_OLD = TOKEN.encode()


class NotWrittenError(Exception):
    """Why a file was left as it was."""


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
    real = os.path.realpath(path)
    folder, name = os.path.split(real)
    # Always the same name, so that what a killed run leaves is found by the next; the lock makes it ours alone.
    temp = os.path.join(folder, walk.UNFINISHED + hashlib.sha256(os.fsencode(name)).hexdigest()[:16])
    try:
        with open(real, "rb") as f:
            info = _held(f)
            if f.read() != before:
                raise NotWrittenError("it changed since it was read")
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temp)
                fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb") as out:
                    out.write(after)
                    out.flush()
                    if (info.st_uid, info.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(out.fileno(), info.st_uid, info.st_gid)
                    os.fchmod(out.fileno(), stat.S_IMODE(info.st_mode))
                    _copy_attributes(real, temp)
                    os.fsync(out.fileno())
                os.replace(temp, real)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temp)
                raise
    except OSError as e:
        raise NotWrittenError(f"{e.strerror or e}") from None
    with contextlib.suppress(OSError):  # the file is in place; only its lasting a power cut is at stake
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        raise NotWrittenError("it changed since it was read")
    return info


def _copy_attributes(source: str, target: str) -> None:
    """Extended attributes (labels, capabilities), where the system has them."""
    if not hasattr(os, "listxattr"):
        return
    for name in os.listxattr(source):
        os.setxattr(target, name, os.getxattr(source, name))
