"""Rewrite a zip file without recompressing what stays: local records are copied as they lie, the directory is new.

Format: APPNOTE.TXT 6.3.10 (4.3.7 local header, 4.3.12 directory header, 4.3.14 to 4.3.16 ends, 4.5.3 zip64). New members are
stored, not deflated, so that the output does not depend on the machine's zlib.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from kvroles.errors import Unproven
from kvroles.vendored.wheel import published

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_CHUNK = 1 << 20
_LIMIT = 0xFFFFFFFF
MAX_BYTES = 32 << 30  # the largest wheel of vLLM unpacks to 1.5 GB; a bomb by ratio ends here
MAX_MEMBERS = 200_000  # ... and one by count here
MAX_TEXT = 64 << 20  # of a member that is read into memory
_UTF8 = 0x800  # general purpose bit 11


@dataclass(frozen=True)
class Extent:
    """A member of the old file: its directory entry and the range of bytes its local record takes."""

    info: zipfile.ZipInfo
    start: int
    end: int


def extents(archive: zipfile.ZipFile, name: str) -> list[Extent]:
    """Every member of ``archive`` with its range, in file order.

    Raises Unproven when ranges overlap, names repeat or lead out of it, and when it is a bomb.
    """
    infos = sorted(archive.infolist(), key=lambda i: i.header_offset)
    if len(infos) > MAX_MEMBERS or sum(i.file_size for i in infos) > MAX_BYTES:
        raise _damaged(name, f"more than {MAX_MEMBERS} members or {MAX_BYTES >> 30} GiB in it")
    out: list[Extent] = []
    seen: set[str] = set()
    ends = [*(i.header_offset for i in infos[1:]), archive.start_dir]
    for info, following in zip(infos, ends[: len(infos)], strict=True):
        parts = info.filename.split("/")
        if info.filename in seen or parts[0] == "" or ".." in parts or "\\" in info.filename:
            raise _damaged(name, f"the member {info.filename!r} twice, or leading out of it")
        seen.add(info.filename)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _damaged(name, f"{info.filename} compressed in a way no wheel is ({info.compress_type})")
        if info.flag_bits & 1:
            raise _damaged(name, f"the encrypted member {info.filename}")
        if following - info.header_offset < _LOCAL.size + info.compress_size:
            raise _damaged(name, f"{info.filename} and what follows it in the same place")
        out.append(Extent(info, info.header_offset, following))
    return out


def text(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    """The bytes of a member that is a text of reasonable size. Raises Unproven when it is not."""
    if archive.getinfo(member).file_size > MAX_TEXT:
        raise _damaged(name, f"{member} of more than {MAX_TEXT >> 20} MiB")
    return archive.read(member)


class Writer:
    """Writes the new file; ``sink`` takes its bytes in order."""

    def __init__(self, source: BinaryIO, sink: Callable[[bytes], object], name: str) -> None:
        self._source, self._sink, self._name = source, sink, name
        self._at = 0
        self._directory: list[bytes] = []
        self._pending: tuple[int, int] | None = None  # a range of the source still to be copied

    def copy(self, extent: Extent) -> None:
        """Take a member over as it is, local record and all."""
        self._directory.append(_central(extent.info, extent.info.filename, self._offset()))
        if self._pending and self._pending[1] == extent.start:
            self._pending = (self._pending[0], extent.end)
        else:
            self._flush()
            self._pending = (extent.start, extent.end)

    def rename(self, extent: Extent, filename: str) -> None:
        """Take a member over under another name; its compressed bytes stay."""
        offset = self._offset()
        self._flush()
        self._source.seek(extent.start)
        fields = self._local(extent)
        encoded = filename.encode("utf-8")
        if not filename.isascii():
            fields[1] |= _UTF8
        old_name_length, fields[8] = fields[8], len(encoded)
        self._emit(_LOCAL.pack(b"PK\3\4", *fields) + encoded)
        self._source.seek(extent.start + _LOCAL.size + old_name_length)
        self._transfer(extent.end - extent.start - _LOCAL.size - old_name_length)
        self._directory.append(_central(extent.info, filename, offset))

    def add(self, like: zipfile.ZipInfo, filename: str, data: bytes) -> None:
        """Add a stored member with the time and mode of ``like``."""
        info = zipfile.ZipInfo(filename, like.date_time)
        info.create_system, info.external_attr = like.create_system, like.external_attr
        info.CRC, info.compress_size, info.file_size = zlib.crc32(data), len(data), len(data)
        info.flag_bits = 0 if filename.isascii() else _UTF8
        offset = self._offset()
        self._flush()
        encoded = filename.encode("utf-8")
        date, time = _dos(info)
        self._emit(
            _LOCAL.pack(b"PK\3\4", 20, info.flag_bits, 0, time, date, info.CRC, len(data), len(data), len(encoded), 0)
            + encoded
            + data
        )
        self._directory.append(_central(info, filename, offset))

    def finish(self) -> None:
        """Write the directory and its end."""
        start = self._offset()
        self._flush()
        for entry in self._directory:
            self._emit(entry)
        size, count = self._at - start, len(self._directory)
        if count >= 0xFFFF or start >= _LIMIT or size >= _LIMIT:
            end64 = self._at
            self._emit(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start))
            self._emit(struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1))
        few = min(count, 0xFFFF)
        self._emit(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, few, few, min(size, _LIMIT), min(start, _LIMIT), 0))

    def _offset(self) -> int:
        return self._at + (self._pending[1] - self._pending[0] if self._pending else 0)

    def _emit(self, data: bytes) -> None:
        self._sink(data)
        self._at += len(data)

    def _flush(self) -> None:
        if self._pending:
            start, end = self._pending
            self._pending = None
            self._source.seek(start)
            self._transfer(end - start)

    def _transfer(self, size: int) -> None:
        while size:
            piece = self._source.read(min(size, _CHUNK))
            if not piece:
                raise _damaged(self._name, "its end too early")
            self._emit(piece)
            size -= len(piece)

    def _local(self, extent: Extent) -> list[int]:
        """The fields of a local header behind its signature."""
        signature, *fields = _LOCAL.unpack(self._source.read(_LOCAL.size))
        if signature != b"PK\3\4":
            raise _damaged(self._name, f"no local header for {extent.info.filename}")
        return fields


def _central(info: zipfile.ZipInfo, filename: str, offset: int) -> bytes:
    encoded = filename.encode("utf-8")
    flags = info.flag_bits | (0 if filename.isascii() else _UTF8)
    sizes = [info.file_size, info.compress_size, offset]
    large = [n for n in sizes if n >= _LIMIT]
    extra = _without_zip64(info.extra)
    if large:
        extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) + extra
    date, time = _dos(info)
    uncompressed, compressed, at = (min(n, _LIMIT) for n in sizes)
    needed = max(info.extract_version, 45) if large else info.extract_version
    return (
        _CENTRAL.pack(
            b"PK\1\2",
            info.create_version | info.create_system << 8,
            needed,
            flags,
            info.compress_type,
            time,
            date,
            info.CRC,
            compressed,
            uncompressed,
            len(encoded),
            len(extra),
            len(info.comment),
            0,
            info.internal_attr,
            info.external_attr,
            at,
        )
        + encoded
        + extra
        + info.comment
    )


def _without_zip64(extra: bytes) -> bytes:
    out, at = b"", 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind != 1:
            out += extra[at : at + 4 + size]
        at += 4 + size
    return out


def _dos(info: zipfile.ZipInfo) -> tuple[int, int]:
    """(date, time) as MS-DOS has them (APPNOTE 4.4.6)."""
    y, mo, d, h, mi, s = info.date_time
    return (max(y, 1980) - 1980) << 9 | mo << 5 | d, h << 11 | mi << 5 | s // 2


def _damaged(name: str, found: str) -> Unproven:
    return Unproven(f"{name} is a damaged zip file", found=found, fix=published.again(name))
