"""The cache may be shared with others: no file of ours is followed elsewhere, swapped, waited for, or taken from a stranger."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.digest import sha256
from kvroles.errors import KvRolesError, NoSource
from kvroles.series.lock import ArchiveRow
from kvroles.sources import cache, extracts
from kvroles.tree import handles
from kvworkshop.pages import diagrams
from support.driver import Ran
from support.index_server import IndexServer
from support.tiny import ARCHIVE, Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


@pytest.fixture
def fetching(apply: Apply, index: IndexServer, tiny: Tiny, tmp_path: Path) -> Callable[..., Ran]:
    """``fetching()``: make the small 0.22.1 from an index, with the cache ``tmp_path/cache``."""
    index.serve(ARCHIVE, tiny.archive().read_bytes())

    def run(*argv: str, **kw: object) -> Ran:
        where = ("--cache-dir", tmp_path / "cache", "--output", tmp_path / "new", "--index-url", index.url)
        return apply("--vllm-rev", "0.22.1", *where, *argv, online=True, **kw)

    return run


def part_name(tiny: Tiny) -> str:
    from kvroles.digest import sha256

    return f".{ARCHIVE}.{sha256(tiny.archive().read_bytes())[:12]}.part"


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder of another mode"])
def test_a_planted_part_overwrites_no_file_elsewhere(fetching: Apply, tiny: Tiny, tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    part = tmp_path / "cache/archives" / part_name(tiny)
    part.parent.mkdir(parents=True)
    if kind == "link":
        part.symlink_to(precious)
    elif kind == "hard link":
        part.hardlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(part)
    else:
        part.write_bytes(b"x" * 10)
        part.chmod(0o666)
    fetching().ok()
    assert precious.read_bytes() == b"mine"
    assert stat.S_ISREG((tmp_path / "cache/archives" / ARCHIVE).lstat().st_mode)


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_something_else_in_place_of_an_archive_is_not_read_without_end(
    fetching: Apply, tiny: Tiny, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "cache/archives" / ARCHIVE
    file.parent.mkdir(parents=True)
    if kind == "link":
        file.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        try:
            os.mknod(file, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
            os.close(os.open(file, os.O_RDONLY))
        except OSError as e:
            pytest.skip(f"devices cannot be made here: {e.strerror}")
    fetching().refused(4, "a link, a pipe or a device", "rm ")
    assert not (tmp_path / "new").exists()


def test_a_file_as_large_as_the_disk_is_not_taken_into_memory(fetching: Apply, tmp_path: Path) -> None:
    file = tmp_path / "cache/archives" / ARCHIVE
    file.parent.mkdir(parents=True)
    with file.open("wb") as f:
        f.truncate(1 << 40)
    fetching().ok()


def test_a_cache_of_ours_is_closed_to_others(fetching: Apply, tmp_path: Path) -> None:
    folder = tmp_path / "cache/archives"
    folder.mkdir(parents=True)
    for place in (folder.parent, folder):
        place.chmod(0o777)
    fetching().ok()
    assert [p.stat().st_mode & 0o777 for p in (folder.parent, folder)] == [0o700, 0o700]


def test_a_cache_that_others_may_write_is_refused(fetching: Apply, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder to somebody else needs root")
    folder = tmp_path / "cache/archives"
    folder.mkdir(parents=True)
    os.chown(folder, 4711, 4711)
    folder.chmod(0o777)
    fetching().refused(4, "others than you may write to it", "--cache-dir", "read-only")
    assert not (tmp_path / "new").exists()


def test_an_extract_that_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file to somebody else needs root")
    extracts.store(tmp_path, "k", {"a"}, extracts.Extract({"a": b"x"}, b""))
    assert extracts.load(tmp_path, "k", {"a"}) is not None
    os.chown(next((tmp_path / "touched").iterdir()), 4711, 4711)
    assert extracts.load(tmp_path, "k", {"a"}) is None


def test_a_file_swapped_after_its_hash_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kvroles.digest import sha256

    good = b"good"
    row = ArchiveRow("a.tar.gz", sha256(good), len(good))
    cache.keep(row, good, tmp_path)
    real = cache.sha256

    def swapping(data: bytes) -> str:
        (tmp_path / "archives/b").write_bytes(b"evil")
        os.replace(tmp_path / "archives/b", tmp_path / "archives/a.tar.gz")
        return real(data)

    monkeypatch.setattr(cache, "sha256", swapping)
    assert cache.archive_bytes(row, tmp_path, offline=True) == good


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        handles.write(tmp_path / "x", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_a_link_in_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "x").symlink_to("theirs")
    handles.write(tmp_path / "x", b"new")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_new_file_takes_the_place_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"theirs")
    with handles.folder(tmp_path) as fd, pytest.raises(FileExistsError), handles.new(fd, "x", over=False) as f:
        f.write(b"ours")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"theirs")]


def test_names_of_files_in_the_making_cannot_be_foreseen(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with handles.folder(tmp_path) as fd, handles.new(fd, "x") as f:
            seen.update(p.name for p in tmp_path.iterdir() if p.name != "x")
            f.write(b"1")
    assert len(seen) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem"])
def test_a_device_that_a_user_names_is_not_read_without_end(path: str) -> None:
    if path == "/dev/zero":
        with pytest.raises(NoSource, match="not a regular file"):
            handles.given(Path(path))


def test_an_index_that_is_a_pipe_or_a_device_is_not_read_without_end(apply: Apply, tmp_path: Path) -> None:
    (tmp_path / "simple/vllm").mkdir(parents=True)
    os.mkfifo(tmp_path / "simple/vllm/index.html")
    where = ("--cache-dir", tmp_path / "cache", "--output", tmp_path / "new")
    apply("--vllm-rev", "0.22.1", *where, "--index-url", f"file://{tmp_path}/simple", online=True).refused(4)
    (tmp_path / "simple/vllm/index.html").unlink()
    (tmp_path / "simple/vllm/index.html").symlink_to("/dev/zero")
    apply("--vllm-rev", "0.22.1", *where, "--index-url", f"file://{tmp_path}/simple", online=True).refused(4)


def test_the_cache_s_lock_follows_no_link(fetching: Apply, tmp_path: Path) -> None:
    folder = tmp_path / "cache/archives"
    folder.mkdir(parents=True)
    (folder / f".{ARCHIVE}.lock").symlink_to(tmp_path / "made")
    fetching().refused(4)
    assert not (tmp_path / "made").exists()


def test_a_link_in_place_of_the_diagram_script_is_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / diagrams.NAME).symlink_to(precious)
    monkeypatch.setattr(diagrams, "_from_npm", lambda: b"script")
    monkeypatch.setattr(diagrams, "SHA256", sha256(b"script"))
    with contextlib.suppress(KvRolesError):
        diagrams.provide(tmp_path / "docs", tmp_path / "cache")
    assert not precious.exists()


def test_a_file_of_a_wrong_size_is_named_offline_without_being_read(apply: Apply, tmp_path: Path) -> None:
    file = tmp_path / "cache/archives" / ARCHIVE
    file.parent.mkdir(parents=True)
    with file.open("wb") as f:
        f.truncate(1 << 40)
    where = ("--cache-dir", tmp_path / "cache", "--output", tmp_path / "new")
    apply("--vllm-rev", "0.22.1", *where).refused(4, f"{1 << 40} bytes")
