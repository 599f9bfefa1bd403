"""The tree a run works on: reads and writes that never follow a symbolic link, and one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kvroles.errors import DoesNotApply, KvRolesError, UsageError

OWN = ".kv-roles"  # our folder in a tree: receipt, and while a run is writing, its journal
_WAIT_S = 300.0  # how long a run waits for another on the same target; a whole run takes seconds
_STEP_S = 0.05


def os_error(
    what: str, e: OSError, fix: str | None = None, kind: Callable[..., KvRolesError] = DoesNotApply
) -> KvRolesError:
    """An operating system refusal (disk full, read-only, no permission) in our words; ``fix`` is how to do without."""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "Free some space (a patched tree takes about 200 MB) and run again; nothing was changed"
    elif e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        access = "read" if what.endswith((" read", " opened")) else "write"
        other = fix or "Choose another place with --output"
        fix = f"Give yourself {access} access there, or {other[0].lower()}{other[1:]}; nothing was changed"
    where = f" ({e.filename})" if isinstance(e.filename, str) and e.filename not in what else ""
    return kind(f"{what}{where}: {e.strerror or e}", fix=fix)


def leaves(path: str) -> bool:
    """Whether ``path``, which should be relative with ``/`` between plain names, may lead out of a tree, or is no path.

    Git's own folder, whose hooks are programs, and ours, whose journal is obeyed, are no part of a tree.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half of a character, as JSON can say it
        return True
    return "\0" in path or not {"", ".", "..", ".git", OWN}.isdisjoint(path.lower().split("/"))


class Tree:
    """An existing directory tree, opened once; paths below it are relative, with ``/``."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when ``path`` is not a folder. A link to the folder itself is followed, once, here."""
        try:
            exists = path.exists()
        except OSError as e:
            raise UsageError(f"{path} cannot be opened: {e.strerror}", fix="Check the path given to --into") from None
        if not exists:
            raise UsageError(f"{path} does not exist", fix="Give --into the folder of an unpacked vLLM tree")
        if not path.is_dir():
            raise UsageError(f"{path} is a file, not a folder", fix="Choose another folder with --output or --into")
        self.path = path.resolve()
        try:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as e:
            raise os_error(f"{path} cannot be opened", e) from None

    def close(self) -> None:
        os.close(self.fd)

    @contextlib.contextmanager
    def _parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder ``path`` lies in, each component opened without following links."""
        *folders, name = path.split("/")
        fd = os.dup(self.fd)
        try:
            for folder in folders:
                try:
                    nxt = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                except FileNotFoundError:
                    if not create:
                        raise
                    os.mkdir(folder, 0o755, dir_fd=fd)
                    if os.geteuid() == 0:  # root makes nothing in somebody's tree that they could not delete
                        st = os.fstat(fd)
                        os.chown(folder, st.st_uid, st.st_gid, dir_fd=fd, follow_symlinks=False)
                    nxt = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = nxt
            yield fd, name
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def folder(self, path: str, *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder ``path`` ("": the tree), which stays that folder whatever is put in its place."""
        with self._parent(f"{path}/." if path else ".", create=create) as (fd, _):
            yield fd

    def read(self, path: str) -> bytes | None:
        """The bytes of ``path``, or None when there is none. Raises DoesNotApply for links and unreadable files."""
        try:
            with self._parent(path) as (parent, name):
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    os.close(fd)
                    raise NotADirectoryError(errno.ENOTDIR, "not a regular file")
                with open(fd, "rb") as f:
                    return f.read()
        except FileNotFoundError:
            return None
        except OSError as e:
            if e.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):  # ENXIO: a socket
                raise DoesNotApply(
                    f"{path} in {self.path} is, or lies below, a symbolic link or something else that is never followed",
                    expected="a regular file in regular folders",
                    fix="Replace it by what vLLM ships there (a link by what it points to), or unpack the tree afresh",
                ) from None
            raise os_error(f"{self.path / path} cannot be read", e) from None

    def mode_and_owner(self, path: str) -> tuple[int, int, int] | None:
        """(permission bits, uid, gid) of ``path``, or None when it does not exist."""
        try:
            with self._parent(path) as (parent, name):
                st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return st.st_mode & 0o7777, st.st_uid, st.st_gid

    def owner_of_new(self, path: str) -> tuple[int, int]:
        """(uid, gid) that a file made at ``path`` is to have: those of the nearest folder above it that exists."""
        while path := path.rpartition("/")[0]:
            found = self.mode_and_owner(path)
            if found is not None:
                return found[1:]
        st = os.fstat(self.fd)
        return st.st_uid, st.st_gid

    def move_in(self, source: str, path: str) -> None:
        """Rename ``source`` (below ``.kv-roles/``) over ``path``, making its folders: one step, old bytes or new."""
        with self._parent(source) as (src, src_name), self._parent(path, create=True) as (dst, dst_name):
            os.rename(src_name, dst_name, src_dir_fd=src, dst_dir_fd=dst)

    def unlink(self, path: str) -> None:
        """Delete the file ``path`` if it is there."""
        with contextlib.suppress(FileNotFoundError), self._parent(path) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def remove(self, path: str) -> None:
        """Delete ``path`` if it is there, and the folders that leaves empty."""
        self.unlink(path)
        folder = path.rpartition("/")[0]
        while folder:
            try:
                with self._parent(folder) as (parent, name):
                    os.rmdir(name, dir_fd=parent)
            except FileNotFoundError:
                pass
            except OSError as e:
                if e.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):  # something else lies there, or is mounted
                    return
                raise
            folder = folder.rpartition("/")[0]

    def looks_like_vllm(self) -> bool:
        return self.read("vllm/__init__.py") is not None


@contextlib.contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Hold the only write access to the target ``path``, which need not exist yet; waits for another run, bounded.

    The lock is an advisory ``flock``, so it ends with the process however that ends: on the target's own folder, which
    asks for no write access to the one above, or where there is none yet on a hidden file beside it. Raises
    DoesNotApply after five minutes' wait, or when that file cannot be made.
    """
    path = path.resolve()
    deadline = time.monotonic() + _WAIT_S
    while True:
        existed = path.is_dir()
        fd, locked = _open_lock(path, existed)
        try:
            if not _flock(fd, deadline):
                raise _busy(path)
            # Else the run before us has put the tree in place, or removed the file after we had opened it.
            if path.is_dir() == existed and _is_at(locked, fd):
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):  # a run killed just after the tree was in place left it behind
                        _beside(path).unlink()
                return
        finally:
            os.close(fd)


@contextlib.contextmanager
def no_writer(tree: Tree) -> Iterator[None]:
    """Read ``tree`` while no run is writing to it; waits for one that is, as ``one_writer`` does. Writes nothing itself."""
    try:
        free = _flock(tree.fd, time.monotonic() + _WAIT_S, fcntl.LOCK_SH)
    except OSError:  # NFS locks no folders: flock(2), "NFS details"
        free = True
    if not free:
        raise _busy(tree.path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(tree.fd, fcntl.LOCK_UN)


def _busy(path: Path) -> DoesNotApply:
    return DoesNotApply(
        f"Another run has been writing to {path} for more than {_WAIT_S:.0f} s",
        fix="Wait for it to end, or end it, and run again",
    )


def _beside(path: Path) -> Path:
    return path.parent / f".{path.name}.kv-roles.lock"


def _open_lock(path: Path, existed: bool) -> tuple[int, Path]:
    """(descriptor, name) of what is to be locked for target ``path``."""
    try:
        if existed:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd, path
            except BlockingIOError:
                return fd, path
            except OSError:  # NFS locks no folders: flock(2), "NFS details"
                os.close(fd)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = _beside(path)
        return os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), beside
    except (FileExistsError, NotADirectoryError):
        file = next(p for p in path.parents if p.exists())
        raise UsageError(f"{file} is a file, not a folder", fix="Choose another place with --output") from None
    except OSError as e:
        raise os_error(f"{path.parent} cannot be written to", e) from None


def _is_at(path: Path, fd: int) -> bool:
    """Whether ``fd`` is still what lies at ``path``."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _flock(fd: int, deadline: float, kind: int = fcntl.LOCK_EX) -> bool:
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_STEP_S)
