"""Wheels that lie: refused whole, or rebuilt with nothing in them changed but what the project changes."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.errors import KvRolesError
from kvroles.vendored.wheel import rawzip, wheel
from support import wheels
from support.files import snapshot
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

INFO = "vllm-0.22.1.dist-info"
NAMES = {
    "parent": "vllm/../../evil", "parent first": "../evil", "absolute": "/evil", "backslashes": "vllm\\..\\evil", "a drive": "C:\\evil",
    "empty part first": "//evil", "parent alone": "..", "parent last": "vllm/..", "nothing": "",
}  # fmt: skip
ODD_NAMES = {
    "capitals": "VLLM/__init__.py", "look-alike": "v\u217c\u217cm/__init__.py", "full-width dots": "\uff0e\uff0e/evil", "a line end": "vllm/a\nb",
    "a quote": 'vllm/a",b', "a comma": "vllm/a,b", "a terminal's": "vllm/\x1b[2J", "a dot": "vllm/./evil", "two slashes": "vllm//evil",
    "very long": "vllm/" + "n" * 5000, "a folder as a file": "vllm", "git's": ".git/config", "ours": ".kv-roles/journal.json",
}  # fmt: skip


def rezipped(path: Path, change: Callable[[list[tuple[zipfile.ZipInfo, bytes]]], None]) -> Path:
    """The wheel ``path`` with its members as ``change`` leaves them; RECORD is not mended."""
    with zipfile.ZipFile(path) as z:
        members = [(info, z.read(info)) for info in z.infolist()]
    change(members)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as z:
        warnings.simplefilter("ignore")
        for info, data in members:
            z.writestr(info, data)
    return path


def attempt(tiny: Tiny, path: Path, tmp_path: Path) -> wheel.Source | None:
    """Read and build; None when it is refused, with nothing left. Whatever happens, nothing else appears."""
    before = snapshot(tmp_path)
    output = tmp_path / "out" / "built.whl"
    output.parent.mkdir()
    source = None
    try:
        source = wheel.read(path, tiny.series(), tiny.lock(), None)
        if not source.already:
            wheel.build(source, output, 1)
    except KvRolesError as e:
        source = None
        assert "Traceback" not in str(e)
        assert not output.exists()
    after = {p: e for p, e in snapshot(tmp_path).items() if p not in ("out", "out/built.whl")}
    assert after == before
    return source


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_out_is_refused(tiny: Tiny, tmp_path: Path, name: str) -> None:
    path = wheels.make(tmp_path / "in")

    def change(members: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        info = zipfile.ZipInfo("x")
        info.filename = NAMES[name]
        members.insert(1, (info, b"evil"))

    assert attempt(tiny, rezipped(path, change), tmp_path) is None


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_stays_what_it_is_or_is_refused(tiny: Tiny, tmp_path: Path, name: str, listed: bool) -> None:
    change = {ODD_NAMES[name]: b"odd"}
    path = wheels.make(tmp_path / "in", **{"change" if listed else "unrecorded": change})  # type: ignore[arg-type]
    source = attempt(tiny, path, tmp_path)
    if not listed:
        assert source is None
    if source is not None:
        old, new = (wheels.members(p) for p in (path, tmp_path / "out/built.whl"))
        assert new[ODD_NAMES[name]] == old[ODD_NAMES[name]] == b"odd"


@pytest.mark.parametrize("kind", [0o120777, 0o060000, 0o020000, 0o010644, 0o040755, 0o104755])
def test_a_member_that_calls_itself_a_link_or_a_device_is_never_followed(tiny: Tiny, tmp_path: Path, kind: int) -> None:
    """Nothing is unpacked: a member is bytes, whatever its mode says."""
    path = wheels.make(tmp_path / "in", change={"vllm/link": b"/etc/passwd"})

    def change(members: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        next(i for i, _ in members if i.filename == "vllm/link").external_attr = kind << 16

    if attempt(tiny, rezipped(path, change), tmp_path) is not None:
        assert wheels.members(tmp_path / "out/built.whl")["vllm/link"] == b"/etc/passwd"


@pytest.mark.parametrize("what", ["vllm/__init__.py", f"{INFO}/METADATA", f"{INFO}/RECORD", CONNECTOR])
def test_a_member_twice_is_refused(tiny: Tiny, tmp_path: Path, what: str) -> None:
    path = wheels.make(tmp_path / "in")

    def change(members: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        info, _ = next(m for m in members if m[0].filename == what)
        members.append((info, b"the other"))

    assert attempt(tiny, rezipped(path, change), tmp_path) is None


FIELDS = {  # offset in the directory's record, width, value; APPNOTE 4.3.12
    "encrypted": (8, 2, 1), "patched data": (8, 2, 0x20), "another compression": (10, 2, 12), "an unknown compression": (10, 2, 99),
    "another checksum": (16, 4, 0xDEADBEEF), "a longer body": (20, 4, 0x7FFFFFFF), "no body": (20, 4, 0), "a bomb's size": (24, 4, 0xFFFFFFF0),
    "a size of nothing": (24, 4, 0), "a longer name": (28, 2, 0xFFFF), "no name": (28, 2, 0), "a longer extra field": (30, 2, 0xFFFF),
    "a longer comment": (32, 2, 0xFFFF), "another disk": (34, 2, 7), "a place beyond the end": (42, 4, 0x7FFFFFFF), "a place of another": (42, 4, 0),
    "month 0": (14, 2, 0), "month 15": (14, 2, 15 << 5), "hour 31": (12, 2, 31 << 11),
}  # fmt: skip


@pytest.mark.parametrize("member", [1, -1])
@pytest.mark.parametrize("field", FIELDS)
def test_a_directory_that_lies_is_refused_or_harmless(tiny: Tiny, tmp_path: Path, field: str, member: int) -> None:
    path = wheels.make(tmp_path / "in")
    raw = bytearray(path.read_bytes())
    starts = [i for i in range(len(raw)) if raw[i : i + 4] == b"PK\1\2"]
    at, width, value = FIELDS[field]
    at += starts[member]
    raw[at : at + width] = struct.pack("<Q", value)[:width]
    path.write_bytes(bytes(raw))
    source = attempt(tiny, path, tmp_path)
    if source is not None:  # then what was read is what RECORD says, and only our own members differ
        old, new = zipfile.ZipFile(path), zipfile.ZipFile(tmp_path / "out/built.whl")
        ours = {c.path for c in source.planned.changes}
        for name in set(old.namelist()) & set(new.namelist()) - ours:
            assert old.read(name) == new.read(name)


@pytest.mark.parametrize("end", [b"PK\5\6", b"PK\1\2", b"PK\3\4"])
@pytest.mark.parametrize("cut", [1, 10, 22, 60])
def test_a_wheel_that_is_cut_is_refused(tiny: Tiny, tmp_path: Path, end: bytes, cut: int) -> None:
    path = wheels.make(tmp_path / "in")
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.rfind(end) + cut] if end != b"PK\5\6" else raw[:-cut])
    assert attempt(tiny, path, tmp_path) is None


@pytest.mark.parametrize("what", ["METADATA", "RECORD", "connector", "members", "total"])
def test_a_bomb_is_refused_in_bounded_memory(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = wheels.make(tmp_path / "in")
    for limit, value in (("MAX_TEXT", 1 << 20), ("MAX_MEMBERS", 500), ("MAX_BYTES", 64 << 20)):
        monkeypatch.setattr(rawzip, limit, value)

    def change(members: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        name = {"METADATA": f"{INFO}/METADATA", "RECORD": f"{INFO}/RECORD", "connector": CONNECTOR}.get(what)
        for i, (info, data) in enumerate(members):
            if info.filename == name:
                members[i] = (info, data + bytes(32 << 20))
        if what == "members":
            members += [(zipfile.ZipInfo(f"vllm/{i}"), b"") for i in range(500)]
        if what == "total":
            big = zipfile.ZipInfo("vllm/zeros")
            big.compress_type = zipfile.ZIP_DEFLATED
            members.append((big, bytes(65 << 20)))

    rezipped(path, change)
    tracemalloc.start()
    refused = attempt(tiny, path, tmp_path) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused
    assert peak < 16 << 20


RECORDS = {
    "a weaker hash": (b"sha256=", b"md5="), "no hash": (b"sha256=", b""), "a short hash": (b"sha256=", b"sha256=AA"), "no comma": (b",sha256", b"sha256"),
    "a size of words": (b",160000", b",many"), "a size below nothing": (b",160000", b",-160000"), "a path that leads out": (b"vllm/logger.py", b"../logger.py"),
    "an absolute path": (b"vllm/logger.py", b"/vllm/logger.py"), "a row for nothing": (b"vllm/logger.py", b"vllm/missing.py"),
    "no utf-8": (b"vllm/logger.py", b"vllm/\xff.py"), "an open quote": (b"vllm/logger.py", b'"vllm/logger.py'), "a NUL": (b"vllm/logger.py", b"vllm/lo\0gger.py"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_lies_is_refused(tiny: Tiny, tmp_path: Path, name: str) -> None:
    path = wheels.make(tmp_path / "in")
    old, new = RECORDS[name]

    def change(members: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        for i, (info, data) in enumerate(members):
            if info.filename == f"{INFO}/RECORD":
                assert old in data
                members[i] = (info, data.replace(old, new, 1))

    assert attempt(tiny, rezipped(path, change), tmp_path) is None


METADATA = {
    "no name": (b"Name: vllm\n", b""), "no version": (b"Version: 0.22.1\n", b""), "another release": (b"Version: 0.22.1", b"Version: 0.9.0"),
    "no release": (b"Version: 0.22.1", b"Version: ../../evil"), "an unknown release": (b"Version: 0.22.1", b"Version: 99.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_lie_are_refused(tiny: Tiny, tmp_path: Path, name: str) -> None:
    old, new = METADATA[name]
    whole = wheels.members(wheels.make(tmp_path / "model"))[f"{INFO}/METADATA"]
    path = wheels.make(tmp_path / "in", change={"{info}/METADATA": whole.replace(old, new, 1)})
    assert attempt(tiny, path, tmp_path) is None


def test_a_zip_behind_other_bytes_gives_the_same_members_or_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    path = wheels.make(tmp_path / "in")
    path.write_bytes(b"#!/bin/sh\nrm -rf /\n" + path.read_bytes())
    if attempt(tiny, path, tmp_path) is not None:
        assert not (tmp_path / "out/built.whl").read_bytes().startswith(b"#!")


def test_two_directories_are_not_two_truths(tiny: Tiny, tmp_path: Path) -> None:
    """A second zip behind the first: every reader takes the last directory, and so do we."""
    path = wheels.make(tmp_path / "in")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as z:
        z.writestr("evil", b"evil")
    path.write_bytes(path.read_bytes() + other.getvalue())
    assert attempt(tiny, path, tmp_path) is None
