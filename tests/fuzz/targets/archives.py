"""What a package index answers, and source archives."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
from unittest import mock

from feed import Feed, changed_json
from kvroles.errors import KvRolesError, Unproven
from kvroles.places import leaves
from kvroles.sources import address, archive, http, index
from kvroles.tree import stage
from support import tiny

from targets.target import Target, ground


def answers(data: bytes) -> None:
    """A page of a package index gives file names and addresses, or is said to be none."""
    feed = Feed(data)
    kind = feed.one_of(("application/vnd.pypi.simple.v1+json", "application/json", "text/html", "text/plain", ""))
    body = changed_json(feed, _INDEX_JSON) if kind.endswith("json") and feed.byte() % 2 else feed.rest()
    real = http.get_page
    http.get_page = lambda *_a, **_k: (body, kind, "https://index.invalid/simple/vllm/")
    try:
        for f in index.files("vllm", "https://user:secret@index.invalid/simple"):
            assert isinstance(f.name, str)
            assert "secret" not in address.shown(f.url)
            with contextlib.suppress(KvRolesError):
                assert address.parsed(index.locate(f.name, "vllm", "https://user:secret@index.invalid/simple"))
    except KvRolesError as e:
        assert "secret" not in str(e)
    finally:
        http.get_page = real


_INDEX_JSON = b"""{"meta": {"api-version": "1.1"}, "name": "vllm", "files": [{"filename": "vllm-0.22.1.tar.gz",
"url": "../../packages/vllm-0.22.1.tar.gz", "hashes": {"sha256": "00"}, "size": 3, "yanked": false},
{"filename": "vllm-0.9.0.tar.gz", "url": "https://index.invalid/vllm-0.9.0.tar.gz#sha256=00", "hashes": {}}]}"""
_INDEX_HTML = b"""<!DOCTYPE html><html><head><base href="https://files.invalid/"></head><body>
<a href="a/vllm-0.22.1.tar.gz#sha256=00">vllm</a><a href='//host:99/b/x%2Fy.whl'>x</a></body></html>"""


def _index_seeds() -> list[bytes]:
    return [b"\0\0" + _INDEX_JSON, b"\2" + _INDEX_HTML, b"\3" + _INDEX_HTML, b"\0\1\2\3\4\5\6", b"\1\1\0\0\3\1\1\1"]


def source(data: bytes) -> None:
    """An archive's members lie inside the tree, once each; unpacked, nothing lies beside it."""
    feed = Feed(data)
    way = feed.byte() % 4
    blob = (feed.rest() if way == 0 else gzip.compress(feed.rest() if way == 1 else tar_stream(feed), 1, mtime=0))[
        : 1 << 20
    ]
    with mock.patch.multiple(archive, MAX_BYTES=4 << 20, MAX_MEMBERS=64):
        _source(blob)


def _source(blob: bytes) -> None:
    seen: set[str] = set()
    try:
        for m in archive.members(archive.inflate(blob, "fuzzed"), "fuzzed", "top"):
            assert not leaves(m.path)
            assert m.path not in seen
            seen.add(m.path)
    except Unproven:
        return
    room = ground() / "archive"
    room.mkdir(exist_ok=True)
    with contextlib.suppress(KvRolesError):
        staged = stage.write_members(archive.unpacked(blob, "fuzzed", "top"), room / "tree", lambda _p, _d: True)
        assert staged.kept.keys() == seen
        found = {os.fsencode(p.relative_to(room / "tree")) for p in (room / "tree").rglob("*") if p.is_file()}
        assert found == {os.fsencode(p) for p in seen}
        stage.discard(room / "tree")
    assert not list(room.iterdir())


_NAMES = (b"top/a", b"top/a/b", b"top/b", b"top", b"top/", b"/top/a", b"top/../a", b"../a", b"top/./a", b"top//a", b"a", b"top/A",
          b"top/" + b"n" * 120, b"top/\xff", b"top/a\nb", b"top/c:\\d", b"top/\xc3\xa9", b"top/e\xcc\x81", b"")  # fmt: skip


def tar_stream(feed: Feed) -> bytes:
    """A stream of members whose headers are well summed, whatever else they say."""
    out = io.BytesIO()
    while feed.left and out.tell() < 1 << 18:
        name = feed.one_of(_NAMES) if feed.byte() % 4 else feed.take(feed.byte() % 100)
        body = feed.take(feed.byte() % 64)
        kind = feed.one_of(
            (b"0", b"\0", b"5", b"1", b"2", b"3", b"6", b"x", b"L", b"K", b"g", b"7", b"S", bytes([feed.byte()]))
        )
        if kind == b"x" and feed.byte() % 2:
            record = b"path=" + name + b"\n"
            body = str(len(record) + 3).encode() + b" " + record
        size = len(body) if feed.byte() % 8 else feed.byte() << 9
        head = bytearray(512)
        head[:100] = name[:100].ljust(100, b"\0")
        head[100:108], head[124:136], head[136:148] = b"0000755\0", b"%011o\0" % size, b"%011o\0" % feed.byte()
        head[156:157] = kind
        head[157:257] = feed.take(feed.byte() % 20).ljust(100, b"\0")
        if feed.byte() % 2:
            head[257:265] = b"ustar\00000"
            head[345:500] = feed.take(feed.byte() % 30).ljust(155, b"\0")
        if feed.byte() > 240:
            head[feed.byte() + feed.byte()] = feed.byte()
        head[148:156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
        out.write(head + body + bytes(-len(body) % 512))
    return out.getvalue() + bytes(1024 if feed.byte() % 8 else feed.byte())


def _source_seeds() -> list[bytes]:
    blob = tiny.tarball("top", {"a": b"1", "b/c": b"2", "d/" + "n" * 120: b"3"}, {"a"})
    return [
        b"\0" + blob,
        b"\1" + gzip.decompress(blob),
        *(b"\2" + bytes([1, n, 4, 65, 66, 67, 68, k] * 3) for n in range(19) for k in range(14)),
    ]


TARGETS = {
    "index": Target(answers, _index_seeds, (b"<a href=", b"<base href=", b'"files"', b"//[", b"&#x", b"<![", b"<!--")),
    "archive": Target(source, _source_seeds, (b"ustar\0", b"top/", b"path=", b"\x1f\x8b\x08")),
}
