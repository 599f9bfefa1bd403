"""One check per parser: what must hold of any bytes it is given. An exception other than the project's own is a finding.

``TARGETS`` names them; ``fuzz.py`` searches for inputs, guided by coverage; ``test_fuzz.py`` runs what was found and kept,
and mutations of it.
"""

# ruff: noqa: E402 - the path comes first, as this file is loaded by tests and by the fuzzer alike
from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(HERE)]

from feed import Feed, changed_json
from kvroles.apply import detect, receipt
from kvroles.errors import KvRolesError, Unproven
from kvroles.migrate import run, settings
from kvroles.migrate.answers import baseline
from kvroles.migrate.settings import Options
from kvroles.places import leaves
from kvroles.series import patchfile, release
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.sources import address, archive, http, index
from kvroles.sources import objects as git_objects
from kvroles.tree import journal, stage
from kvroles.tree import tree as target
from kvroles.vendored import receipt as vendor_receipt
from kvroles.vendored.image import oci as oci_command
from kvroles.vendored.record import Record
from kvroles.vendored.wheel import wheel
from support import oci, tiny, wheels


@dataclass(frozen=True)
class Target:
    """A parser under attack: ``check`` raises if anything does not hold, ``seeds`` are inputs to begin with."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


# --- shared ground ---------------------------------------------------------------------------------------------------


@functools.cache
def ground() -> Path:
    """A folder in memory where there is one; gone with the process."""
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    keep = tempfile.TemporaryDirectory(prefix="kv-roles-fuzz-", dir=room)
    _KEPT.append(keep)
    return Path(keep.name)


_KEPT: list[object] = []


@functools.cache
def project() -> tiny.Tiny:
    (ground() / "tiny").mkdir()
    return tiny.make(ground() / "tiny")


# --- patches ---------------------------------------------------------------------------------------------------------


def patch(data: bytes) -> None:
    """A mail parses or is refused; what it says of a file that holds its old lines can be done and taken back."""
    try:
        parsed = patchfile.parse(data, "fuzzed")
    except Unproven:
        return
    for f in parsed.files:
        assert not leaves(f.path)
        for given in (None, b"", b"".join(b"".join(h.old) for h in f.hunks)):
            try:
                after, _ = patchfile.apply(given, f, unique=False)
                back, _ = patchfile.apply(after, f.reversed(), unique=False)
            except patchfile.HunkMismatch as e:
                assert all(isinstance(words, str) for words in e.describe())
                continue
            if len(f.hunks) == 1:
                assert back == given or not given


def _patches() -> list[bytes]:
    return [p.read_bytes() for p in sorted((project().root / "patches").rglob("*.patch"))]


# --- lock, receipts, journal, series, settings ------------------------------------------------------------------------


def lock(data: bytes) -> None:
    """Everything the tools read back that they or a user's hand wrote: the lock and its kin."""
    feed = Feed(data)
    kind = feed.one_of(tuple(_OWN_FILES))
    seed, check = _OWN_FILES[kind]
    check(changed_json(feed, seed()) if feed.byte() % 2 and seed is not _no_json else feed.rest())


def _no_json() -> bytes:
    return b""


def _lock(data: bytes) -> None:
    room = ground() / "lock"
    (room / "patches").mkdir(parents=True, exist_ok=True)
    (room / "patches" / "lock.json").write_bytes(data)
    with contextlib.suppress(Unproven):
        read = Lock.load(room)
        assert Lock.from_json(read.to_json()) == read
        read.dumps()
        for row in read.releases.values():
            assert not any(leaves(p) for t in row.topics.values() for p in t.files)


def _vendor_receipt(data: bytes) -> None:
    with contextlib.suppress(Unproven):
        vendor_receipt.Receipt.loads(data, "fuzzed", "").dumps()


def _receipt(data: bytes) -> None:
    for path, (before, after) in receipt.recorded(data).items():
        assert isinstance(path, str)
        assert before is None or isinstance(before, str), before
        assert after is None or isinstance(after, str), after


def _journal(data: bytes) -> None:
    room = ground() / "journal"
    shutil.rmtree(room, ignore_errors=True)
    tree = room / "tree"
    (tree / ".kv-roles/stage").mkdir(parents=True)
    for path, text in {"a.py": b"a\n", ".kv-roles/stage/0": b"b\n", ".kv-roles/journal.json": data}.items():
        (tree / path).write_bytes(text)
    (room / "outside").write_bytes(b"a\n")
    opened = target.Tree(tree)
    try:
        with contextlib.suppress(KvRolesError):
            journal.recover(opened)
    finally:
        opened.close()
    assert sorted(p.name for p in room.iterdir()) == ["outside", "tree"]
    assert (room / "outside").read_bytes() == b"a\n"


def _series(data: bytes) -> None:
    room = ground() / "series"
    (room / "patches").mkdir(parents=True, exist_ok=True)
    (room / "patches" / "series").write_bytes(data)
    with contextlib.suppress(Unproven):
        Series.load(room)


def _settings(data: bytes) -> None:
    file = ground() / "settings.toml"
    file.write_bytes(data)
    try:
        read = settings.load(str(file), [])
    except KvRolesError:
        return
    read.side_of("deploy/prefill.yaml", 3)
    read.excluded("a/b.yaml")


def _pkg_info(data: bytes) -> None:
    room = ground() / "info"
    room.mkdir(exist_ok=True)
    (room / "PKG-INFO").write_bytes(data)
    opened = target.Tree(room)
    try:
        detect.stated_release(opened, project().lock())
    finally:
        opened.close()


def _revision(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(KvRolesError):
        release.resolve(text, ("0.9.0", "0.22.1", "0.33.0"))
    with contextlib.suppress(ValueError):
        release.in_range("0.22.1", text)


def _journal_seed() -> bytes:
    a, b = (tiny.sha256(text) for text in (b"a\n", b"b\n"))
    return b'{"steps": [{"path": "a.py", "before": "%s", "after": "%s", "staged": "0"}], "receipt": false}' % (
        a.encode(), b.encode(),
    )  # fmt: skip


_RECEIPT_SEED = b"""{"schema": 1, "release": "0.22.1", "revision": null, "archive": {"name": "a", "sha256": "", "size": 1},
"topics": {"guides": {"state": "applied", "variant": "0.9.0", "patch": "", "files": {"a": "applied"}}},
"files": {"a.py": {"before": null, "after": "00"}}, "contract": {"holds": true, "unchecked": {}}, "tree": null}"""
_VENDOR_SEED = b"""{"schema": 1, "how": "wheel", "release": "0.22.1", "distribution": "vllm", "version": "0.22.1+kvroles.1",
"wheel": {"name": "a.whl", "sha256": "00"}, "patches": {"a/0.9.0.patch": "00"}, "files": {"vllm/a.py": {"before": "00",
"after": "11"}}, "native": [], "not_in_a_wheel": ["guides"]}"""
_OWN_FILES: dict[str, tuple[Callable[[], bytes], Callable[[bytes], None]]] = {
    "lock": (lambda: _lock_seed(), _lock),
    "receipt": (lambda: _RECEIPT_SEED, _receipt),
    "vendor receipt": (lambda: _VENDOR_SEED, _vendor_receipt),
    "journal": (_journal_seed, _journal),
    "series": (_no_json, _series),
    "settings": (_no_json, _settings),
    "PKG-INFO": (_no_json, _pkg_info),
    "revision": (_no_json, _revision),
}


@functools.cache
def _lock_seed() -> bytes:
    return (project().root / "patches/lock.json").read_bytes()


def _lock_seeds() -> list[bytes]:
    raw = [_RECEIPT_SEED, _RECEIPT_SEED, _VENDOR_SEED, _journal_seed(), b"guides\nfence optional # why\n",
           b'exclude = ["a/**"]\nignore = ["KVR101"]\nconnectors = ["X"]\n[side]\n"a/*.yaml" = "prefill"\n',
           b"Metadata-Version: 2.1\nName: vllm\nVersion: 0.22.1\n", b">=0.9.0,<0.10.1rc1"]  # fmt: skip
    return [bytes([n, 0]) + text for n, text in enumerate(raw)] + [bytes([n, 1, 3, 7, 9, 2, 5]) for n in range(4)]


# --- index answers ---------------------------------------------------------------------------------------------------


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


# --- source archives --------------------------------------------------------------------------------------------------


def source(data: bytes) -> None:
    """An archive's members lie inside the tree, once each; unpacked, nothing lies beside it."""
    feed = Feed(data)
    way = feed.byte() % 4
    blob = (feed.rest() if way == 0 else gzip.compress(feed.rest() if way == 1 else _tar(feed), 1, mtime=0))[: 1 << 20]
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


def _tar(feed: Feed) -> bytes:
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


# --- wheels ----------------------------------------------------------------------------------------------------------


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


# --- deployers' own files -----------------------------------------------------------------------------------------------

CARRIERS = {
    "yaml": ("a.yaml", "pd/decode.yaml"),
    "template": ("a.yml.j2", "templates/a.yaml", "templates/_helpers.tpl", "a.sh.j2"),
    "shell": ("a.sh", "prefill.sh", "Dockerfile", "Makefile", "justfile", "a.service", "a.env", "-"),
    "python": ("a.py", "test_a.py"),
    "json": ("a.json", "a.json5", "a.ipynb"),
    "toml": ("a.toml",),
    "markdown": ("a.md", "a.rst", "a.adoc", "a.txt"),
    "code": ("a.go", "a.rs"),
    "web": ("a.js", "a.ts", "a.tsx"),
    "hcl": ("a.tf", "a.tfvars", "a.nomad"),
    "unit": ("a.service", "a.container", "a.ini", "a.properties"),
    "powershell": ("a.ps1",),
    "recipe": ("Dockerfile", "Makefile", "justfile"),
    "notebook": ("a.ipynb",),
}
_ROLE = re.compile(rb"kv_both|kv_producer|kv_consumer")


def carrier(kind: str, data: bytes) -> None:
    """What holds of any file: it is read or skipped, only roles change, and a second run changes nothing."""
    feed = Feed(data)
    name = feed.one_of(CARRIERS[kind])
    migrate(name, feed.rest())


def migrate(name: str, data: bytes) -> None:
    """The same of ``data`` under the file name ``name``."""
    result = run.of_bytes(name, name, data, Options(settings.Settings()))
    if result is None:
        return
    for f in result.findings:
        assert "reading it failed" not in f.message, (name, f.message)
        assert f.role is None or result.after is not None, (name, f)
    if result.after is None:
        return
    assert _ROLE.sub(b"", result.after) == _ROLE.sub(b"", data), name
    again = run.of_bytes(name, name, result.after, Options(settings.Settings()))
    assert again is None or again.after is None, name


def _carrier_seeds(kind: str) -> list[bytes]:
    def fits(file: Path, name: str) -> bool:
        return file.name == name or (file.suffix == Path(name).suffix != "")

    files = [p for p in sorted((ROOT / "tests/corpus").rglob("*")) if p.is_file()]
    return [bytes([n]) + p.read_bytes() for n, name in enumerate(CARRIERS[kind]) for p in files if fits(p, name)] or [
        b"\0" + p.read_bytes() for p in files
    ]


# --- what a baseline, answers and settings hold ----------------------------------------------------------------------


def kept(data: bytes) -> None:
    """A baseline or settings with answers that a hand wrote are read or refused, and what was read names places."""
    feed = Feed(data)
    file = ground() / "kept"
    file.write_bytes(changed_json(feed, _BASELINE_SEED) if (way := feed.byte() % 3) == 0 else feed.rest())
    with contextlib.suppress(KvRolesError):
        if way < 2:
            baseline.gone([], baseline.load(str(file)), str(file), ["."])
        else:
            read = settings.load(str(file), [])
            for at in ("a.yaml", "deploy/prefill.yaml"):
                read.answers_of(at)
                read.both_of(at, 3)
                read.side_of(at, 3)
                read.excluded(at)


_BASELINE_SEED = b"""{"kv-roles-baseline": 1, "findings": {"a.yaml": [{"code": "KVR110", "key": "k", "line": "x"}]}}"""


def _kept_seeds() -> list[bytes]:
    answer = b'[[answer]]\nfile = "a.yaml"\nkey = "k"\nside = "both"\nbecause = "x"\nline = "y"\n'
    rows = b'[side]\n"a.yaml:3" = "prefill"\n[both]\n"deploy/**:3" = "both"\n'
    return [b"\0\1\2\3", b"\1" + _BASELINE_SEED, b"\2" + answer, b"\2" + rows]


# --- images ----------------------------------------------------------------------------------------------------------


def image(data: bytes) -> None:
    """A layout whose digests are true, whatever its JSON and its layer say, is patched or refused; nothing is left of a refusal."""
    feed = Feed(data)
    room = ground() / "image"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    made = oci.Layout(room / "base")
    way = feed.byte() % 4
    layer = _site_layer()
    if way == 0:
        layer = _tar(feed)
    elif way == 1:
        layer = _bent_tar(layer, feed)
    top = made.image([layer], "amd64", {"Env": ["PYTHONPATH=/x"]}, lambda d: d)
    manifest = made.read(top)
    config = made.read(manifest["config"])
    if way == 2:
        manifest["config"] = made.put(changed_json(feed, json.dumps(config).encode()), oci.CONFIG)
    text = json.dumps(manifest).encode()
    index = {"schemaVersion": 2, "manifests": [made.put(changed_json(feed, text) if way == 3 else text, oci.MANIFEST)]}
    text = json.dumps(index).encode()
    (room / "base/index.json").write_bytes(changed_json(feed, text) if feed.byte() % 4 == 0 else text)
    asked = oci_command.Request("0.22.1", room / "base", None, "", (), room / "out", None, "whole", False, None, True)
    try:
        oci_command.write(asked, project().series(), project().lock())
    except KvRolesError:
        assert not (room / "out").exists()
        return
    oci.Read.of(room / "out")


@functools.cache
def _site_layer() -> bytes:
    built = wheels.make(ground() / "wheel of an image")
    return oci.tar(oci.folder(wheels.installed(ground() / "env", built), "opt/site-packages"))


def _bent_tar(layer: bytes, feed: Feed) -> bytes:
    """``layer`` with a few bytes of its headers overwritten, their sums put right."""
    out = bytearray(layer)
    for _ in range(feed.byte() % 4):
        at = (feed.byte() << 8 | feed.byte()) % (len(out) // 512) * 512
        field = at + feed.byte() * 2
        out[field : field + 1] = feed.take(1) or b"0"
        head = out[at : at + 512]
        out[at + 148 : at + 156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
    return bytes(out)


def _image_seeds() -> list[bytes]:
    return [bytes([way, n, k, n, k, n, k, 9, 0, 1]) for way in range(4) for n in range(1, 4) for k in range(0, 60, 5)]


# --- objects of a clone ------------------------------------------------------------------------------------------------


def objects(data: bytes) -> None:
    """A commit, a tag and a tree that anybody made give paths inside the tree, or are refused."""
    feed = Feed(data)
    store = _Objects()
    blob = store.put("blob", b"x")
    ways = (
        lambda: b"%s %s\0" % (feed.one_of((b"100644", b"40000", b"120000", b"160000", b"0", b"777777777", feed.take(3))), feed.take(feed.byte() % 12)),
        lambda: feed.take(feed.byte() % 40),
    )  # fmt: skip
    tree = b"".join(ways[feed.byte() % 8 == 7]() + bytes.fromhex(blob) for _ in range(feed.byte() % 5))
    tree_id = store.put("tree", tree)
    if feed.byte() % 3 == 0:
        tree_id = store.put("tree", b"40000 a\0" + bytes.fromhex(tree_id))
    commit = b"tree %s\n" % tree_id.encode() if feed.byte() % 8 else feed.take(feed.byte())
    commit += b"committer a <a> " + (feed.take(feed.byte() % 30) if feed.byte() % 2 else b"1700000000 +0000") + b"\n\n"
    start = store.put("commit", commit)
    if feed.byte() % 3 == 0:
        start = store.put("tag", b"object %s\ntype commit\n\n" % start.encode())
    with contextlib.suppress(KvRolesError):
        _, root, seconds = git_objects.commit_of(store, start, "x")
        assert seconds >= 0
        found = git_objects.entries(store, root)
        assert not any(leaves(path) for path in found), found


class _Objects(git_objects.Store):
    """Objects in memory."""

    def __init__(self) -> None:
        super().__init__("fuzzed", [])
        self._held: dict[str, tuple[str, bytes]] = {}

    def put(self, kind: str, data: bytes) -> str:
        id_ = hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
        self._held[id_] = kind, data
        return id_

    def read(self, ids: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        wanted = list(dict.fromkeys(ids))
        if lacking := [i for i in wanted if i not in self._held]:
            raise git_objects.Lacks(self, lacking)
        for id_ in wanted:
            yield id_, *self._held[id_]


def _object_seeds() -> list[bytes]:
    return [bytes([n, k, 5]) + b"nameofafile" + bytes([k, n, 1, 2, 3]) * 4 for n in range(1, 5) for k in range(6)]


_WORDS = (b"kv_both", b"NixlConnector", b"kv_role", b"kv_connector", b"prefill", b"decode", b"--kv-transfer-config", b"{{", b"}}",
          b"{%", b"```", b"<<EOF", b"$(", b"&a ", b"*a", b"<<:", b"|-", b">-", b'r#"', b'"""', b"\\u006b", b"kv_producer")  # fmt: skip

TARGETS: dict[str, Target] = {
    "patch": Target(
        patch, _patches, (b"diff --git a/", b"@@ -1 +1 @@", b"-- \n", b"/dev/null", b"new file mode 100644")
    ),
    "lock": Target(lock, _lock_seeds, (b'"schema": 1', b'"releases"', b'"steps"', b"0.22.1", b"[side]", b">=")),
    "index": Target(answers, _index_seeds, (b"<a href=", b"<base href=", b'"files"', b"//[", b"&#x", b"<![", b"<!--")),
    "archive": Target(source, _source_seeds, (b"ustar\0", b"top/", b"path=", b"\x1f\x8b\x08")),
    "wheel": Target(whl, _wheel_seeds, (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"sha256=", b'",', b"\r\n")),
    "kept": Target(kept, _kept_seeds, (b"[[answer]]", b"[side]", b"[both]", b'"kv-roles-baseline"', b"findings")),
    "image": Target(image, _image_seeds, (b"mtime=nan\n", b"size=", b"path=", b".wh.")),
    "objects": Target(objects, _object_seeds, (b"..", b".git", b"40000 ", b"120000 ")),
    **{
        f"migrate-{kind}": Target(functools.partial(carrier, kind), functools.partial(_carrier_seeds, kind), _WORDS)
        for kind in CARRIERS
    },
}
