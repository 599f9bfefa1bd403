"""The tree a run works on: reads and writes that never follow a symbolic link, and one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kvroles.errors import DoesNotApply, UsageError, os_error

_LARGEST = 1 << 28  # bytes of a file that is read whole; vLLM's largest has 10 million


class Tree:
    """An existing directory tree, opened once; paths below it are relative, with ``/``."""

    def __init__(self, path: Path, *, inherit: bool = False) -> None:
        """Raises UsageError when ``path`` is not a folder. A link to the folder itself is followed, once, here.

        ``inherit``: what is made new gets the group's right to write of the folder it is made in (images whose user is not
        known before they run give it to group 0).
        """
        self.inherit = inherit
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
                    if self.inherit and os.fstat(fd).st_mode & 0o020:
                        os.chmod(folder, 0o775 | os.fstat(fd).st_mode & 0o2000, dir_fd=fd)
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
                    if (size := os.fstat(fd).st_size) > _LARGEST:
                        raise DoesNotApply(
                            f"{path} in {self.path} has {size} bytes, more than a source file has",
                            expected=f"{_LARGEST} at most",
                            fix="Put the file there that vLLM ships, or move this one out of the tree",
                        )
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

    def mode_of_new(self, path: str) -> int:
        """The permission bits that a file made at ``path`` is to have."""
        mode = None
        while self.inherit and mode is None and (path := path.rpartition("/")[0]):
            found = self.mode_and_owner(path)
            mode = None if found is None else found[0]
        if self.inherit and mode is None:
            mode = os.fstat(self.fd).st_mode
        return 0o664 if (mode or 0) & 0o020 else 0o644

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
