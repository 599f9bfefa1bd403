"""Raw rewriting of zip files: zip64, data descriptors, comments, odd names; and files whose parts overlap."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from kvroles.errors import Unproven
from kvroles.vendored.wheel import rawzip


def rewrite(path: Path, rename: dict[str, str] | None = None, add: dict[str, bytes] | None = None) -> Path:
    out = path.with_suffix(".out")
    with path.open("rb") as f, zipfile.ZipFile(f) as z, out.open("wb") as sink:
        writer = rawzip.Writer(f, sink.write, path.name)
        for extent in rawzip.extents(z, path.name):
            name = (rename or {}).get(extent.info.filename)
            writer.rename(extent, name) if name else writer.copy(extent)
        for name, data in (add or {}).items():
            writer.add(extent.info, name, data)
        writer.finish()
    return out


class _Pipe(io.RawIOBase):
    """A sink that cannot seek, so that zipfile writes data descriptors."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(data)  # type: ignore[arg-type]


def test_data_descriptors_and_unicode_names_survive_a_rename(tmp_path: Path) -> None:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("one.txt", b"1" * 1000)
        z.writestr("zwei/ü.txt", b"2" * 1000)
    (tmp_path / "a.zip").write_bytes(pipe.data)
    out = rewrite(tmp_path / "a.zip", {"one.txt": "a/longer/name/ö.txt"}, {"new": b"3"})
    with zipfile.ZipFile(out) as z:
        assert z.testzip() is None
        assert {n: z.read(n)[:1] for n in z.namelist()} == {
            "a/longer/name/ö.txt": b"1",
            "zwei/ü.txt": b"2",
            "new": b"3",
        }


def test_zip64_members_and_a_large_directory_are_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        with z.open("forced", "w", force_zip64=True) as f:
            f.write(b"x" * 10)
        for n in range(20):
            z.writestr(f"{n}.txt", f"{n:03}")
    monkeypatch.setattr(rawzip, "_LIMIT", 500)  # stands for 4 GiB: what lies behind it takes the 64-bit form
    out = rewrite(path)
    assert b"PK\6\6" in out.read_bytes()
    written = out.read_bytes().replace(struct.pack("<I", 500), b"\xff\xff\xff\xff")
    out.write_bytes(written)
    with zipfile.ZipFile(out) as z:
        assert z.testzip() is None
        assert z.read("19.txt") == b"019"
        assert z.getinfo("19.txt").header_offset > 500


@pytest.mark.slow
def test_a_wheel_of_more_members_than_the_old_zip_format_holds_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        for n in range(66_000):
            z.writestr(zipfile.ZipInfo(str(n)), b"")
    with zipfile.ZipFile(rewrite(path)) as z:
        assert len(z.namelist()) == 66_000


def test_parts_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a", b"1" * 100)
        z.writestr("b", b"2" * 100)
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\1\2")
    struct.pack_into("<I", data, second + 42, 0)  # b's offset is a's
    path.write_bytes(data)
    with pytest.raises(Unproven, match="in the same place"):
        rewrite(path)


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            z.writestr("a", b"2")
    with pytest.raises(Unproven, match="'a' twice"):
        rewrite(path)


@pytest.mark.parametrize("name", ["../a", "vllm/../../a", "/a", "vllm\\..\\a", "vllm/.."])
def test_a_name_that_leads_out_is_refused_before_anything_is_copied(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr(name, b"1")
    with zipfile.ZipFile(path) as z, pytest.raises(Unproven, match="twice, or leading out of it"):
        rawzip.extents(z, path.name)
