"""Wheels, and RECORD."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import struct
import zipfile

from feed import Feed
from kvroles.errors import KvRolesError, Unproven
from kvroles.vendored.record import Record
from kvroles.vendored.wheel import wheel
from support import wheels

from targets.target import Target, ground, project


def whl(data: bytes) -> None:
    """A wheel is refused, or what is built from it is a whole zip file with the members it had."""
    feed = Feed(data)
    way = feed.byte() % 4
    if way == 0:
        with contextlib.suppress(Unproven):
            read = Record.parse(feed.rest(), "fuzzed", "")
            assert Record.parse(read.dumps(), "again", "") == read
            read.replaced({"a": b"b"}, rename=lambda p: p).dumps()
        return
    path = ground() / f"vllm-0.22.1-{wheels.TAG}.whl"
    path.write_bytes(_spoilt(feed) if way == 1 else _zip(feed) if way == 2 else feed.rest())
    output = ground() / "built.whl"
    try:
        read_ = wheel.read(path, project().series(), project().lock(), None)
        if read_.already:
            return  # ``building`` builds nothing of these
        wheel.build(read_, output, 1)
    except KvRolesError:
        assert not output.exists()
        return
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(output) as new:
        assert len(old.namelist()) + 2 == len(new.namelist()) == len(set(new.namelist()))
        for name in new.namelist():
            assert not name.startswith("/")
            assert ".." not in name.split("/")
            if name in old.namelist() and name not in {c.path for c in read_.planned.changes}:
                assert _content(old, name) == _content(new, name), name
    output.unlink()


def _content(z: zipfile.ZipFile, name: str) -> object:
    try:
        return z.read(name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as e:
        return type(e)


@functools.cache
def _members() -> dict[str, bytes]:
    return wheels.members(wheels.make(ground() / "wheel")) | {wheels.LIBRARY: b"\x7fELF"}


_INFO = "vllm-0.22.1.dist-info"


def _zip(feed: Feed) -> bytes:
    """The small wheel with members changed, doubled, renamed, dropped, or of another kind; RECORD true to it or not."""
    files = [(name, data) for name, data in _members().items() if name != f"{_INFO}/RECORD"]
    for _ in range(feed.byte() % 4):
        at = feed.byte() % len(files)
        name, data = files[at]
        match feed.byte() % 5:
            case 0:
                files[at] = (
                    feed.one_of(
                        (
                            f"{_INFO}/METADATA",
                            "vllm/../up",
                            "/abs",
                            "a\\b",
                            "VLLM/__init__.py",
                            "vllm//a",
                            "é",
                            "vllm",
                            "x.dist-info/METADATA",
                            f"{_INFO}/RECORD.jws",
                            f"{_INFO}/kv-roles/receipt.json",
                            "",
                        )
                    ),
                    data,
                )
            case 1:
                files[at] = (name, feed.take(feed.byte()))
            case 2:
                files.append((name, data))
            case 3:
                del files[at]
            case _:
                files[at] = (name, data[: feed.byte()] + feed.take(4) + data[feed.byte() :])
    record = wheels.record(dict(files), f"{_INFO}/RECORD")
    if feed.byte() % 4 == 0:
        at = feed.byte() * 8 % max(len(record), 1)
        record = record[:at] + feed.take(feed.byte() % 12) + record[at + feed.byte() % 4 :]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in [*files, (f"{_INFO}/RECORD", record)]:
            info = zipfile.ZipInfo(name or "x", (2026, 5, 30, 12, 0, 2))
            info.external_attr = feed.one_of((0o644, 0o644, 0o644, 0o120777, 0o060000)) << 16
            info.compress_type = feed.one_of((0, 8, 8, 8, 12, 14))
            z.writestr(info, data)
    return _bent(out.getvalue(), feed)


def _spoilt(feed: Feed) -> bytes:
    return _bent(_whole(), feed)


@functools.cache
def _whole() -> bytes:
    return _zip(Feed(b"\0\1"))


def _bent(blob: bytes, feed: Feed) -> bytes:
    """``blob`` with a few fields of its directory or local headers overwritten."""
    out = bytearray(blob)
    for _ in range(feed.byte() % 4):
        mark = feed.one_of((b"PK\1\2", b"PK\1\2", b"PK\3\4", b"PK\5\6"))
        places = [m.start() for m in re.finditer(re.escape(mark), bytes(out))]
        if places:
            at = places[feed.byte() % len(places)] + 4 + feed.byte() % 44
            width, value = (
                feed.one_of((1, 2, 4)),
                feed.one_of((0, 1, 0x7F, 0xFF, 0xFFFF, 0xFFFFFFFF, feed.byte(), feed.byte() << 8)),
            )
            out[at : at + width] = struct.pack("<Q", value)[:width]
    return bytes(out[: len(out) - (feed.byte() if feed.byte() > 250 else 0)])


def _wheel_seeds() -> list[bytes]:
    record = wheels.record(dict(list(_members().items())[:4]), f"{_INFO}/RECORD")
    return [b"\0" + record, b"\0" + b'"a,b",sha256=%s,1\r\n' % (b"A" * 43), b"\3" + _whole(), b"\1", b"\2"] + [
        bytes([way, n, k, n, k, n, k, n, 9, 9, 9]) for way in (1, 2) for n in range(1, 4) for k in range(0, 40, 3)
    ]


TARGETS = {
    "wheel": Target(whl, _wheel_seeds, (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"sha256=", b'",', b"\r\n")),
}
