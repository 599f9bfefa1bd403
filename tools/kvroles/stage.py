"""A verified archive -> a new tree beside its target, put in place with one rename."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import archive
from .digest import sha256
from .errors import DoesNotApply
from .target import OWN, os_error


@dataclass
class Staged:
    """An unpacked tree that is not in place yet. ``hashes`` is path -> SHA-256 of every file, as unpacked."""

    path: Path
    mtime: int = 0
    hashes: dict[str, str] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)  # files the caller asked to see


def ahead(chunks: Iterator[bytes], depth: int = 16) -> Iterator[bytes]:
    """Run ``chunks`` in a thread, at most ``depth`` chunks ahead: zlib releases the GIL, so this uses a second core."""
    box: queue.Queue[bytes | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                box.put(item, timeout=0.2)
                return True
        return False

    def work() -> None:
        try:
            for chunk in chunks:
                if not put(chunk):
                    return
            put(None)
        except BaseException as e:
            put(e)

    threading.Thread(target=work, daemon=True).start()
    try:
        while (item := box.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def unpack(
    blob: bytes,
    name: str,
    top: str,
    staging: Path,
    keep: Callable[[str, bytes], bool],
    progress: Callable[[int], None] = lambda _: None,
) -> Staged:
    """Unpack archive ``blob`` (already checked against its hash) into the new folder ``staging``.

    Modes are 0644, 0755 for executables and folders, whatever the umask; times are the archive's newest, so that the
    same archive gives the same tree. ``keep(path, data)`` picks the files whose bytes are handed back; ``progress`` is
    told of the bytes written. Raises Unproven for a bad archive and DoesNotApply when the disk refuses; in both cases
    ``staging`` is gone again.
    """
    staged = Staged(staging)
    try:
        discard(staging)
        staging.mkdir(parents=True)
        staging.chmod(0o755)
        _unpack_into(staged, archive.members(ahead(archive.inflate(blob, name)), name, top), keep, progress)
    except OSError as e:
        discard(staging)
        raise os_error(f"The tree could not be unpacked to {staging}", e) from None
    except BaseException:
        discard(staging)
        raise
    return staged


def _unpack_into(
    staged: Staged,
    files: Iterator[archive.Member],
    keep: Callable[[str, bytes], bool],
    progress: Callable[[int], None],
) -> None:
    root = str(staged.path)
    made = {""}
    for member in files:
        folder = member.path.rpartition("/")[0]
        if folder not in made:
            _make_folders(root, folder, made)
        fd = os.open(
            f"{root}/{member.path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        try:
            view = memoryview(member.data)
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, 0o755 if member.executable else 0o644)
        finally:
            os.close(fd)
        staged.hashes[member.path] = sha256(member.data)
        staged.mtime = max(staged.mtime, member.mtime)
        if keep(member.path, member.data):
            staged.kept[member.path] = member.data
        progress(len(member.data))


def _make_folders(root: str, folder: str, made: set[str]) -> None:
    parts = folder.split("/")
    for i in range(1, len(parts) + 1):
        part = "/".join(parts[:i])
        if part not in made:
            os.mkdir(f"{root}/{part}", 0o755)
            os.chmod(f"{root}/{part}", 0o755)
            made.add(part)


def write(staged: Staged, path: str, data: bytes | None) -> None:
    """Put the series' bytes of ``path`` (None: delete) into the staged tree, and read them back from disk to be sure."""
    file = staged.path / path
    try:
        if data is None:
            file.unlink()
            del staged.hashes[path]
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = file.stat().st_mode & 0o7777 if file.exists() else 0o644
        with file.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        file.chmod(mode)
        staged.hashes[path] = sha256(file.read_bytes())
    except OSError as e:
        raise os_error(f"{path} could not be written", e) from None


def settle(staged: Staged) -> None:
    """Give every file and folder of the staged tree the archive's one time stamp."""
    stamp = (staged.mtime, staged.mtime)
    for folder, _, names in os.walk(staged.path, topdown=False):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names:
                os.utime(name, stamp, dir_fd=fd, follow_symlinks=False)
            os.utime(fd, stamp)
        finally:
            os.close(fd)


def put_in_place(staged: Staged, target: Path) -> None:
    """Rename the staged tree to ``target``, which must not exist or be an empty folder. One step: old state or new."""
    try:
        os.rename(staged.path, target)
    except OSError as e:
        discard(staged.path)
        if target.exists():
            raise DoesNotApply(
                f"{target} came to hold files while the tree was being built",
                fix="Choose another folder with --output, or move that one away",
            ) from None
        raise os_error(f"The tree could not be moved to {target}", e) from None


def discard(staging: Path) -> None:
    """Delete a staging folder that this or a killed run left behind."""
    if staging.is_symlink() or staging.is_file():
        staging.unlink()
    else:
        shutil.rmtree(staging, ignore_errors=True)


def own_folder(staged: Staged, text: bytes) -> None:
    """Leave the receipt in the staged tree; it is not part of the tree's digest."""
    own = staged.path / OWN
    try:
        own.mkdir(mode=0o755)
        (own / ".gitignore").write_bytes(b"*\n")
        (own / "receipt.json").write_bytes(text)
        for name in (".gitignore", "receipt.json"):
            (own / name).chmod(0o644)
        own.chmod(0o755)
    except OSError as e:
        raise os_error("The receipt could not be written", e) from None
