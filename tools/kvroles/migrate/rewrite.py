"""Puts roles into a file's bytes, and the bytes into the file: all or nothing, mode and owner kept."""

from __future__ import annotations

import os
import stat

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
    import tempfile  # only where something is written

    real = os.path.realpath(path)
    temp = ""
    try:
        info = os.stat(real)
        if not stat.S_ISREG(info.st_mode):
            raise NotWrittenError("it is not a regular file")
        if info.st_nlink > 1:
            raise NotWrittenError("it has more than one name (hard links), which a rename would part")
        with open(real, "rb") as f:
            now = f.read()
        if now != before:
            raise NotWrittenError("it changed since it was read")
        fd, temp = tempfile.mkstemp(prefix=".kv-roles-", dir=os.path.dirname(real))
        with os.fdopen(fd, "wb") as out:
            out.write(after)
            out.flush()
            if (info.st_uid, info.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(out.fileno(), info.st_uid, info.st_gid)
            os.fchmod(out.fileno(), stat.S_IMODE(info.st_mode))
            os.fsync(out.fileno())
        _copy_attributes(real, temp)
        os.replace(temp, real)
        temp = ""
        folder = os.open(os.path.dirname(real), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as e:
        raise NotWrittenError(f"{e.strerror or e}") from None
    finally:
        if temp:
            os.unlink(temp)


def _copy_attributes(source: str, target: str) -> None:
    """Extended attributes (labels, capabilities), where the system has them."""
    if not hasattr(os, "listxattr"):
        return
    for name in os.listxattr(source):
        os.setxattr(target, name, os.getxattr(source, name))
