"""Members -> a new tree beside its target, put in place with one rename."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, Unproven, os_error
from kvroles.places import OWN, RECEIPT
from kvroles.said import shell
from kvroles.tree.member import Member

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Staged:
    """An unpacked tree that is not in place yet. ``hashes`` is path -> SHA-256 of every file, as unpacked.

    ``kept`` are the bytes of the files that the caller asked to see. All is written through ``fd``, the folder that was first at
    ``path``, even if something else is put there meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mtime = 0
        self.hashes: dict[str, str] = {}
        self.kept: dict[str, bytes] = {}
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # it may never have been opened
            os.close(self.fd)


def write_members(
    files: Iterator[Member],
    staging: Path,
    keep: Callable[[str, bytes], bool],
    progress: Callable[[int], None] = lambda _: None,
) -> Staged:
    """Write ``files`` into the new folder ``staging``; links are made last, so that nothing is written through one.

    Modes are 0644, and 0755 for executables and folders, whatever the umask. ``settle`` gives all files the newest time of the
    members, so that the same members give the same tree. ``keep(path, data)`` picks the files whose bytes are handed back;
    ``progress`` is told of the bytes written. Raises what ``files`` raises, and DoesNotApply when the disk refuses; ``staging``
    is then gone.
    """
    try:
        discard(staging)
        staging.mkdir(parents=True)
        staged = Staged(staging)
        # What the umask, or an access list of the folder above, takes from a new folder it takes from each new file too.
        masked = os.fstat(staged.fd).st_mode & 0o755 != 0o755
        os.fchmod(staged.fd, 0o755)
        _unpack_into(staged, files, keep, progress, masked)
    except OSError as e:
        discard(staging)
        raise os_error(
            f"The tree could not be unpacked to {staging}", e, "Choose another place with --output"
        ) from None
    except BaseException:
        discard(staging)
        raise
    return staged


def _unpack_into(
    staged: Staged,
    files: Iterator[Member],
    keep: Callable[[str, bytes], bool],
    progress: Callable[[int], None],
    masked: bool,
) -> None:
    made = {""}
    links: list[Member] = []
    for member in files:
        if member.kind == "link":
            links.append(member)
            continue
        if member.kind == "folder":
            _make_folders(staged.fd, member.path, made, masked)
            continue
        folder = member.path.rpartition("/")[0]
        if folder not in made:
            _make_folders(staged.fd, folder, made, masked)
        mode = 0o755 if member.executable else 0o644
        fd = os.open(member.path, _NEW, mode, dir_fd=staged.fd)
        try:
            left = member.data
            while left:
                left = left[os.write(fd, left) :]
            if masked:
                os.fchmod(fd, mode)
        finally:
            os.close(fd)
        staged.hashes[member.path] = sha256(member.data)
        staged.mtime = max(staged.mtime, member.mtime)
        if keep(member.path, member.data):
            staged.kept[member.path] = member.data
        progress(len(member.data))
    for link in links:
        _make_folders(staged.fd, link.path.rpartition("/")[0], made, masked)
        os.symlink(link.data, os.fsencode(link.path), dir_fd=staged.fd)


def _make_folders(root: int, folder: str, made: set[str], masked: bool) -> None:
    parts = folder.split("/") if folder else []
    for i in range(1, len(parts) + 1):
        part = "/".join(parts[:i])
        if part not in made:
            os.mkdir(part, 0o755, dir_fd=root)
            if masked:
                os.chmod(part, 0o755, dir_fd=root)
            made.add(part)


def write(staged: Staged, path: str, data: bytes | None) -> None:
    """Put the series' bytes of ``path`` (None: delete) into the staged tree, and read them back from disk to be sure."""
    try:
        mode = 0o644
        with _folder_of(staged, path) as (folder, name):
            with contextlib.suppress(FileNotFoundError):
                had = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                mode = had & 0o777 if stat.S_ISREG(had) else mode
                os.unlink(name, dir_fd=folder)
            if data is None:
                del staged.hashes[path]
                return
            with open(os.open(name, _NEW, 0o644, dir_fd=folder), "wb") as f:
                f.write(data)
                f.flush()
                os.fchmod(f.fileno(), mode)
                os.fsync(f.fileno())
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as f:
                staged.hashes[path] = sha256(f.read())
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.ENOTDIR):
            raise DoesNotApply(
                f"{path} lies below a symbolic link in that revision, which is never followed",
                fix="Name a revision whose folders are folders",
            ) from None
        raise os_error(f"{path} could not be written", e, "Choose another place with --output") from None


@contextlib.contextmanager
def _folder_of(staged: Staged, path: str) -> Iterator[tuple[int, str]]:
    """(descriptor, name) of the folder that ``path`` lies in, made where it lacks, no link followed."""
    *folders, name = path.split("/")
    fd = os.dup(staged.fd)
    try:
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o755, dir_fd=fd)
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd, name
    finally:
        os.close(fd)


def settle(staged: Staged) -> None:
    """Give every file and folder of the staged tree the archive's one time stamp."""
    if not staged.mtime:  # a commit's tree: git gives its files no times
        return
    stamp = (staged.mtime, staged.mtime)
    for _, _, names, fd in os.fwalk(".", topdown=False, dir_fd=staged.fd):
        for name in names:
            os.utime(name, stamp, dir_fd=fd, follow_symlinks=False)
        os.utime(fd, stamp)


def may_take(target: Path) -> None:
    """Raise DoesNotApply, before anything is fetched or written, where no rename can put a tree at ``target``."""
    way = f"Name a folder in it, with --output {shell(target / 'vllm')}"
    if os.path.ismount(target):
        raise DoesNotApply(f"{target} is a mount point, which nothing can be renamed to", fix=way)
    above = target.absolute().parent
    if target.is_dir() and not os.access(above, os.W_OK) and os.access(target, os.W_OK):
        raise DoesNotApply(
            f"{target} is empty, but the tree is made beside it first, in {above}, where you may not write",
            fix=way,
        )


def put_in_place(staged: Staged, target: Path) -> None:
    """Rename the staged tree to ``target``, which must not exist or be an empty folder. One step: old state or new."""
    try:
        if not os.path.samestat(os.lstat(staged.path), os.fstat(staged.fd)):
            raise Unproven(f"{staged.path} is not the folder that was written: somebody has put another in its place")
        os.rename(staged.path, target)
    except OSError as e:
        discard(staged.path)
        if e.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise DoesNotApply(
                f"{target} came to hold files while the tree was being built",
                fix="Choose another folder with --output, or move that one away",
            ) from None
        raise os_error(f"The tree could not be moved to {target}", e, "Choose another place with --output") from None


_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2): since Linux 3.15, not on every file system


def exchange(staging: Path, target: Path) -> None:
    """Put the finished folder ``staging`` in the place of ``target``, a folder that an earlier run made or nothing.

    It takes one step where the file system can exchange two names, else two. Raises OSError; ``staging`` is then still there.
    """
    if not os.path.lexists(target):
        os.rename(staging, target)
        return
    aside = target.with_name(f".{target.name}.kv-roles-old")
    discard(aside)
    if not _swapped(staging, target):  # two steps: a kill in between leaves the old folder beside the place
        os.rename(target, aside)
        try:
            os.rename(staging, target)
        except OSError:
            os.rename(aside, target)
            raise
        staging = aside
    discard(staging)


def _swapped(a: Path, b: Path) -> bool:
    import ctypes  # lazy: two commands of a build machine need it

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(rename(-100, os.fsencode(a.absolute()), -100, os.fsencode(b.absolute()), _EXCHANGE)) == 0


def discard(staging: Path) -> None:
    """Delete a staging folder that this or a killed run left behind, or what somebody put in its place."""
    try:
        is_folder = stat.S_ISDIR(staging.lstat().st_mode)
    except OSError:
        return
    if is_folder:
        import shutil  # lazy: it brings every format of archives

        shutil.rmtree(staging, ignore_errors=True)
    else:
        staging.unlink()  # rmtree would wait for a pipe's other end


def own_folder(staged: Staged, text: bytes) -> None:
    """Leave the receipt in the staged tree; it is not part of the tree's digest."""
    try:
        os.mkdir(OWN, 0o755, dir_fd=staged.fd)
        os.chmod(OWN, 0o755, dir_fd=staged.fd)
        for name, data in ((".gitignore", b"*\n"), (RECEIPT, text)):
            with open(os.open(f"{OWN}/{name}", _NEW, 0o644, dir_fd=staged.fd), "wb") as f:
                f.write(data)
                f.flush()
                os.fchmod(f.fileno(), 0o644)
    except OSError as e:
        raise os_error("The receipt could not be written", e, "Choose another place with --output") from None
