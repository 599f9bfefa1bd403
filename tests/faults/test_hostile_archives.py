"""Archives: read what honest build tools write; refuse, whole, whatever would leave the tree or is damaged."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from kvroles.apply import run
from kvroles.apply.request import Request
from kvroles.digest import sha256
from kvroles.errors import KvRolesError, NoSource, Unproven
from kvroles.series import project as own
from kvroles.series.lock import ArchiveRow, Lock
from kvroles.sources import archive
from kvroles.tree import stage
from support import tiny as project
from support.driver import Ran
from support.files import snapshot
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]
TOP = "vllm-0.22.1"


def tar(*infos: tarfile.TarInfo | tuple[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    """A gzipped tar with these members; tuples are regular files below the top folder."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format) as t:
        for info in infos:
            if isinstance(info, tuple):
                name, data = info
                info = tarfile.TarInfo(f"{TOP}/{name}")
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
            else:
                t.addfile(info, io.BytesIO(b"x" * info.size))
    return gzip.compress(raw.getvalue(), mtime=0)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def patched_header(blob: bytes, at: int, field: bytes) -> bytes:
    """The archive with ``field`` written at ``at`` of its first header, checksum mended."""
    raw = bytearray(gzip.decompress(blob))
    raw[at : at + len(field)] = field
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return gzip.compress(bytes(raw), mtime=0)


FILE = ("vllm/__init__.py", b"")
HOSTILE = {
    "parent": (tar(FILE, member(f"{TOP}/../evil")), "leaves the tree"),
    "parent, deep": (tar(FILE, member(f"{TOP}/a/../../../evil")), "leaves the tree"),
    "absolute": (tar(FILE, member("/tmp/evil")), "leaves the tree"),
    "backslash": (tar(FILE, member(f"{TOP}/..\\evil")), "leaves the tree"),
    "another folder": (tar(FILE, member("elsewhere/evil")), "lies outside its folder"),
    "no folder": (tar(FILE, member("evil")), "lies outside its folder"),
    "symbolic link": (tar(FILE, member(f"{TOP}/l", tarfile.SYMTYPE, "/etc")), "symbolic link"),
    "link inside the tree": (tar(FILE, member(f"{TOP}/l", tarfile.SYMTYPE, "vllm")), "symbolic link"),
    "hard link": (tar(FILE, member(f"{TOP}/l", tarfile.LNKTYPE, "/etc/passwd")), "hard link"),
    "character device": (tar(FILE, member(f"{TOP}/d", tarfile.CHRTYPE)), "device"),
    "block device": (tar(FILE, member(f"{TOP}/d", tarfile.BLKTYPE)), "device"),
    "named pipe": (tar(FILE, member(f"{TOP}/p", tarfile.FIFOTYPE)), "named pipe"),
    "sparse file": (tar(FILE, member(f"{TOP}/s", tarfile.GNUTYPE_SPARSE)), "unknown type"),
    "twice": (tar(FILE, FILE), "comes twice"),
    "twice, spelled differently": (tar(FILE, member(f"{TOP}/vllm//__init__.py")), "leaves the tree"),
    "a dot": (tar(FILE, member(f"{TOP}/./x")), "leaves the tree"),
    "a file that is a folder too": (tar(("a", b""), ("a/b", b"")), "a file and a folder"),
    "a folder that is a file too": (tar(("a/b", b""), ("a", b"")), "a file and a folder"),
    "the top folder as a file": (tar(member(TOP)), "is a file, not a folder"),
    "long name, parent": (tar(FILE, member(f"{TOP}/{'a' * 120}/../../../evil")), "leaves the tree"),
    "pax name, absolute": (
        tar(FILE, member("/" + "a" * 200), format=tarfile.PAX_FORMAT),
        "leaves the tree",
    ),
    "a negative size": (patched_header(tar(("a", b"x")), 124, b"-0000000777\0"), "no octal number"),
    "a size in other digits": (patched_header(tar(("a", b"x")), 124, b"0x000000777\0"), "no octal number"),
    "a size with underscores": (patched_header(tar(("a", b"x")), 124, b"0_0_0_00777\0"), "no octal number"),
    "a wrong checksum": (
        gzip.compress(b"X" + gzip.decompress(tar(FILE))[1:], mtime=0),
        "checksum is wrong",
    ),
    "a size beyond the end": (patched_header(tar(("a", b"x")), 124, b"00077777777\0"), "ends in the middle"),
    "no end": (gzip.compress(gzip.decompress(tar(FILE))[:1024][:512], mtime=0), "ends in the middle"),
    "an extended header of 2 MiB": (
        patched_header(tar(member(f"{TOP}/x", b"x", size=2 << 20)), 156, b"x"),
        "larger than 1 MiB",
    ),
    "an extended header of nonsense": (patched_header(tar((f"{TOP}/x", b"no pax")), 156, b"x"), "malformed"),
    "not gzip": (b"PK\3\4 this is a zip", "incorrect header"),
    "empty": (b"", "ends in the middle"),
    "cut short": (tar(FILE, ("data", bytes(range(256)) * 400))[:-20], "ends in the middle"),
    "more behind its end": (
        gzip.compress(gzip.decompress(tar(FILE)) + gzip.decompress(tar(("evil", b"")))),
        "goes on after its end",
    ),
    "zeros without an end behind it": (
        gzip.compress(gzip.decompress(tar(FILE)) + bytes(17 << 20), 1),
        "zeros lie behind its end",
    ),
    "no tar in it": (gzip.compress(b"hello" * 200), "no octal number"),
}


OUT = {
    "parent": "../evil", "parent of the top": f"{TOP}/../evil", "deep parent": f"{TOP}/a/b/../../../evil", "parent last": f"{TOP}/a/..",
    "parent alone": "..", "absolute": "/evil", "absolute in the top": f"/{TOP}/evil", "two slashes": f"//{TOP}/evil",
    "empty part": f"{TOP}//evil", "dot": f"{TOP}/./evil", "dot first": f"./{TOP}/evil", "dot last": f"{TOP}/evil/.",
    "backslashes": f"{TOP}\\..\\evil", "a drive": f"{TOP}/C:\\evil", "another top": "evil/evil", "no top": "evil",
    "a top that is longer": f"{TOP}x/evil", "a top in capitals": f"{TOP.upper()}/evil", "a top with a dot": f"{TOP}./evil",
    "a look-alike top": "v\u217c\u217cm-0.22.1/evil", "a full-width dot": f"{TOP}/\uff0e\uff0e/../evil", "git's hooks": f"{TOP}/.git/hooks/post-checkout",
    "git's hooks, in capitals": f"{TOP}/.GIT/config", "git's, below": f"{TOP}/docs/.git/config", "our journal": f"{TOP}/.kv-roles/journal.json",
    "our receipt": f"{TOP}/.Kv-Roles/receipt.json",
}  # fmt: skip
KINDS = {"file": tarfile.REGTYPE, "old file": tarfile.AREGTYPE, "folder": tarfile.DIRTYPE}
FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def forced(name: str, kind: bytes, form: int) -> bytes:
    """An archive with one good member and one called ``name``, by the means the dialect has for odd names."""
    if form == tarfile.USTAR_FORMAT and name.isascii():
        return tar(FILE, member(name, kind), format=form)
    if form == tarfile.PAX_FORMAT:
        record = b"path=" + name.encode() + b"\n"
        length = len(record) + 3 if len(record) + 3 < 100 else len(record) + 4
        body = b"%d " % length + record
        head = gzip.decompress(tar(member("x", b"x", size=len(body)), format=tarfile.GNU_FORMAT))[:512]
        rest = gzip.decompress(tar(member(f"{TOP}/harmless", kind), FILE))
        return gzip.compress(head + body + bytes(-len(body) % 512) + rest, mtime=0)
    body = name.encode() + b"\0"
    head = gzip.decompress(tar(member("x", b"L", size=len(body)), format=tarfile.GNU_FORMAT))[:512]
    rest = gzip.decompress(tar(member(f"{TOP}/harmless", kind), FILE))
    return gzip.compress(head + body + bytes(-len(body) % 512) + rest, mtime=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OUT)
def test_no_name_leads_out_of_the_tree(name: str, kind: str, form: str, tmp_path: Path) -> None:
    blob = forced(OUT[name], KINDS[kind], FORMS[form])
    with pytest.raises(Unproven, match=r"leaves the tree|lies outside its folder"):
        stage.write_members(archive.unpacked(blob, "a.tar.gz", TOP), tmp_path / "in" / ".staging", lambda *_: False)
    assert not any(p for p in tmp_path.rglob("*") if p != tmp_path / "in")


ALIKE = {
    "capitals": ("vllm/a.py", "vllm/A.py"), "a long s": ("vllm/s.py", "vllm/\u017f.py"), "composed or not": ("\u00e9", "e\u0301"),
    "cyrillic": ("vllm/a.py", "vllm/\u0430.py"), "a zero width space": ("a", "a\u200b"), "a trailing dot": ("a", "a."),
    "a trailing space": ("a", "a "), "no utf-8": ("\udcff", "\udcfe"), "turned round": ("a\u202eb", "ab"), "a line end": ("a\nb", "a"),
    "a name for a terminal": ("\x1b[2Ja", "a"), "folders in capitals": ("docs/a", "Docs/a"), "a percent sign": ("%2e%2e/a", "a"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_names_that_look_alike_are_two_files_or_none(name: str, tmp_path: Path) -> None:
    """A file system that takes two names for one refuses the second (O_EXCL); one that does not gives both, each its own bytes."""
    first, second = ALIKE[name]
    blob = tar((first, b"1"), (second, b"2"))
    try:
        staged = stage.write_members(archive.unpacked(blob, "a.tar.gz", TOP), tmp_path / "in" / "tree", lambda *_: True)
    except KvRolesError:
        assert list((tmp_path / "in").iterdir()) == []
        return
    assert staged.kept == {first: b"1", second: b"2"}
    found = {os.fsdecode(p.relative_to(staged.path)): p.read_bytes() for p in staged.path.rglob("*") if p.is_file()}
    assert found == staged.kept


BOMBS = {
    "by ratio": lambda: gzip.compress(bytes(64 << 20)),
    "by ratio, in one member": lambda: tar(("bomb", bytes(64 << 20))),
    "by count": lambda: tar(*[(str(i), b"") for i in range(3000)]),
    "by count of folders": lambda: tar(*[member(f"{TOP}/{i}", tarfile.DIRTYPE) for i in range(3000)]),
    "by depth": lambda: tar(("d/" * 3000 + "f", b"")),
    "by the length of a name": lambda: tar(("n" * 500_000, b"")),
    "by pax headers": lambda: gzip.compress(gzip.decompress(tar(member("x", b"x", size=900_000), format=tarfile.GNU_FORMAT))[:-1024] * 3),
    "by an announced size": lambda: patched_header(tar(("a", b"x")), 124, b"77777777777\0"),
    "gzip in gzip": lambda: gzip.compress(gzip.compress(bytes(64 << 20))),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_bounded_memory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = BOMBS[name]()
    monkeypatch.setattr(archive, "MAX_BYTES", 16 << 20)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1000)
    monkeypatch.setattr(archive, "MAX_MEMBER", 4 << 20)
    tracemalloc.start()
    with pytest.raises(KvRolesError):
        stage.write_members(archive.unpacked(blob, "a.tar.gz", TOP), tmp_path / "in" / ".staging", lambda *_: False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20  # the limits above, and the pieces that one thread is ahead of the other
    assert not any(p for p in tmp_path.rglob("*") if p != tmp_path / "in")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_archive_is_refused_whole(name: str, tmp_path: Path) -> None:
    blob, why = HOSTILE[name]
    staging = tmp_path / "in" / ".staging"
    with pytest.raises(Unproven, match=r"Archive a\.tar\.gz is refused: ") as e:
        stage.write_members(archive.unpacked(blob, "a.tar.gz", TOP), staging, lambda *_: False)
    assert why in str(e.value)
    assert str(e.value).endswith("serves something else.")
    assert not any(p for p in tmp_path.rglob("*") if p != tmp_path / "in")
    with pytest.raises(Unproven):
        list(archive.members(archive.inflate(blob, "a.tar.gz"), "a.tar.gz", TOP))


def test_an_archive_that_the_lock_vouches_for_is_refused_too_when_it_is_hostile(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = HOSTILE["symbolic link"][0]
    row = tiny.row()._replace(archive=ArchiveRow(f"{TOP}.tar.gz", sha256(blob), len(blob)))
    monkeypatch.setattr(own, "load", lambda: own.Project(tiny.series(), Lock({}, {"0.22.1": row})))
    cache = tmp_path / "cache"
    (cache / "archives").mkdir(parents=True)
    (cache / "archives" / f"{TOP}.tar.gz").write_bytes(blob)
    before = snapshot(tmp_path, times=False)
    for check in (True, False):
        request = Request("0.22.1", output=tmp_path / "new", check=check, offline=True, cache_dir=cache)
        with pytest.raises(Unproven, match="symbolic link"):
            run.run(request)
        assert snapshot(tmp_path) == before


def test_an_archive_with_other_files_than_the_lock_knows_is_refused(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = project.tarball(TOP, project.pristine("0.22.1") | {"extra": b"x"}, {project.SCRIPT})
    row = tiny.row()._replace(archive=ArchiveRow(f"{TOP}.tar.gz", sha256(blob), len(blob)))
    monkeypatch.setattr(own, "load", lambda: own.Project(tiny.series(), Lock({}, {"0.22.1": row})))
    (tmp_path / "cache/archives").mkdir(parents=True)
    (tmp_path / f"cache/archives/{TOP}.tar.gz").write_bytes(blob)
    request = Request("0.22.1", output=tmp_path / "new", offline=True, cache_dir=tmp_path / "cache")
    with pytest.raises(Unproven, match="not the one in the lock"):
        run.run(request)
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar_gives_the_same_members(format: int) -> None:
    names = ["a", "d/" * 40 + "f", "n" * 99, "e/" + "n" * 90, "café.md"]
    if format != tarfile.USTAR_FORMAT:
        names += ["x" * 200, "y/" * 100 + "z", "é" * 80]
    files = {name: name.encode() * 3 for name in names}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format) as t:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{TOP}/{name}")
            info.size, info.mode = len(data), 0o755
            t.addfile(info, io.BytesIO(data))
    found = list(archive.members(archive.inflate(gzip.compress(raw.getvalue()), "a"), "a", TOP))
    assert {m.path: m.data for m in found} == files
    assert all(m.executable for m in found)


@pytest.mark.parametrize("library", [zlib, isal_zlib])
def test_a_bomb_ends_at_the_limit_in_size(monkeypatch: pytest.MonkeyPatch, library: ModuleType) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 10 << 20)
    with pytest.raises(Unproven, match="unpacks to more than"):
        for _ in archive.inflate(gzip.compress(bytes(100 << 20)), "a", library):
            pass


def test_a_bomb_ends_at_the_limit_in_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 50)
    with pytest.raises(Unproven, match="more than 50 members"):
        list(archive.members(archive.inflate(tar(*[(f"{i}", b"") for i in range(60)]), "a"), "a", TOP))


_GOOD = tar(FILE, ("data.bin", bytes(range(256)) * 8), ("x/y", b"text\n"))


@settings(max_examples=150)
@given(st.integers(0, len(gzip.decompress(_GOOD)) - 1), st.integers(0, 255))
def test_any_damaged_byte_of_the_tar_is_refused_or_harmless(at: int, value: int) -> None:
    raw = bytearray(gzip.decompress(_GOOD))
    raw[at] = value
    try:
        found = list(archive.members(iter([bytes(raw)]), "a", TOP))
    except Unproven:
        return
    for m in found:
        assert not m.path.startswith("/")
        assert ".." not in m.path.split("/")


@settings(max_examples=100)
@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes_at_all_are_refused_in_words(data: bytes, compressed: bool) -> None:
    blob = zlib.compress(data, wbits=31) if compressed else data
    try:
        assert list(archive.members(archive.inflate(blob, "a"), "a", TOP)) == []
    except Unproven as e:
        assert "refused" in str(e)


@settings(max_examples=300)
@given(st.data(), st.sampled_from([zlib, isal_zlib]))
def test_a_damaged_archive_is_refused_or_gives_the_same_bytes(data: st.DataObject, library: ModuleType) -> None:
    """Whichever library unpacks: header fields that nobody reads may differ, the bytes may not."""
    blob = bytearray(_GOOD)
    at = data.draw(st.integers(0, len(blob) - 1))
    if data.draw(st.booleans()):
        del blob[at:]
    else:
        blob[at] ^= data.draw(st.integers(1, 255))
    try:
        assert b"".join(archive.inflate(bytes(blob), "a", library)) == gzip.decompress(_GOOD)
    except Unproven as e:
        assert "refused" in str(e)


def test_the_unpacking_threads_failure_reaches_the_caller() -> None:
    def chunks():  # type: ignore[no-untyped-def]
        yield b"one"
        raise Unproven("broken in the other thread")

    with pytest.raises(Unproven, match="other thread"):
        list(archive.ahead(chunks()))


# The cache: what lies in it is never believed.


def test_a_cached_archive_of_another_hash_is_not_used(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    file = cache / "archives" / "vllm-0.22.1.tar.gz"
    file.parent.mkdir(parents=True)
    whole = tiny.archive().read_bytes()
    for bad in (whole[:-7], whole[:300] + b"?" + whole[301:], b"", whole + b"\0"):
        file.write_bytes(bad)
        ran = apply("--vllm-rev", "0.22.1", "--output", "new", "--cache-dir", cache)
        ran.refused(
            4,
            f"{file} holds something else",
            f"SHA-256 {sha256(whole)}",
            f"{len(bad)} bytes" if len(bad) != len(whole) else f"SHA-256 {sha256(bad)}",
        )
        assert file.read_bytes() == bad
        assert not (tmp_path / "new").exists()


def test_an_archive_that_is_not_cached_is_not_fetched_offline(apply: Apply, tmp_path: Path) -> None:
    ran = apply("--vllm-rev", "0.22.1", "--cache-dir", tmp_path / "none")
    ran.refused(4, "not in the cache", "--offline", str(tmp_path / "none/archives/vllm-0.22.1.tar.gz"))
    assert list(tmp_path.iterdir()) == []


def test_a_release_without_an_archive_names_the_other_ways(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = tiny.row()._replace(archive=None, tree=None)
    monkeypatch.setattr(own, "load", lambda: own.Project(tiny.series(), Lock({}, {"0.22.1": row})))
    with pytest.raises(NoSource, match="without a source archive") as e:
        run.run(Request("0.22.1", output=tmp_path / "new", cache_dir=tmp_path))
    assert "--upstream" in str(e.value)
    assert isinstance(e.value, KvRolesError)
