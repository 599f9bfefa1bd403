"""Files opened once: the descriptor that was checked is the one that is used.

Whoever may write to a folder can give a name to another file between a check and its use. So a folder is opened and then checked,
files are opened below its descriptor without following a link, and what was hashed is read through the same descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import IO

from kvroles.errors import NoSource, os_error

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def folder(path: Path, *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder ``path`` of the cache, which nobody but its owner may write to.

    A folder of ours that others may write to is tightened to 0700; one of somebody else's is refused with NoSource, unless
    it can only be read. Links above ``path`` are the user's affair. Raises OSError when there is none.
    """
    if create:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _safe(path, fd)
        yield fd
    finally:
        os.close(fd)


def _safe(path: Path, fd: int) -> None:
    st = os.fstat(fd)
    writable = st.st_mode & 0o022 and not st.st_mode & stat.S_ISVTX
    if st.st_uid == os.geteuid():
        if st.st_mode & 0o022:
            with contextlib.suppress(OSError):  # a read-only disk: nobody writes there
                os.fchmod(fd, 0o700)
        return
    others = st.st_uid not in (0, os.geteuid()) and os.geteuid() != 0  # root's own folders are the administrator's
    if os.geteuid() == 0 and st.st_uid != 0 and str(st.st_uid) != os.environ.get("SUDO_UID"):
        others = True
    if not writable and not (others and st.st_mode & 0o200 and os.access(path, os.W_OK)):
        return
    raise NoSource(
        f"The cache {path} belongs to user {st.st_uid}, and others than you may write to it, so that what is in it may change "
        "while it is used",
        fix="Share a cache read-only (owned by root or by the user who fills it, no write access for others), or give each "
        "user one of their own: --cache-dir ~/.cache/vllm-kv-roles",
    )


def regular(name: str | Path, *, at: int | None = None) -> BufferedReader:
    """The regular file ``name`` (below the folder ``at``), open for reading. Raises OSError for a link, pipe or device."""
    fd = os.open(name, _READ, dir_fd=at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(name))
    return open(fd, "rb")


def holds(f: BufferedReader, word: bytes) -> bool:
    """Whether the file ``f`` holds ``word``: read piece by piece, and not where it is a hole. Raises OSError."""
    at, tail = 0, b""
    while True:
        try:
            start = os.lseek(f.fileno(), at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # nothing but a hole up to the end
                return False
            start = at  # a file system that knows no holes
        piece = os.pread(f.fileno(), _PIECE, start)
        if not piece:
            return False
        if word in (tail if start == at else b"") + piece:
            return True
        at, tail = start + len(piece), piece[1 - len(word) :]


def given(path: Path) -> BufferedReader:
    """The regular file that a user named, open for reading; a link is followed, once. Raises NoSource for what is none."""
    try:
        fd = os.open(path, (_READ & ~os.O_NOFOLLOW))
    except OSError as e:
        raise os_error(f"{path} cannot be opened", e, "Name another file", NoSource) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NoSource(f"{path} is not a regular file", fix="Name a file that can be read from its start to its end")
    return open(fd, "rb")


def write(path: str | Path, data: bytes) -> None:
    """Let the file ``path`` hold ``data``: whoever reads it, also after a kill or a full disk, finds the old bytes or the new.

    A link at ``path`` is replaced, not followed; what ``is_file`` does not take is left alone. Raises OSError.
    """
    if not is_file(path):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    folder_name, name = os.path.split(os.path.abspath(path))
    at = os.open(folder_name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with new(at, name) as f:
            f.write(data)
    finally:
        os.close(at)


def is_file(path: str | Path) -> bool:
    """Whether a file may be put at ``path``: nothing is there, a regular file, or a link to one or to nothing.

    A link of the system (``/dev/stdout``) belongs to all that run there, whatever it leads to just now.
    """
    at = os.path.abspath(path)
    for _ in range(40):
        folder_name, name = os.path.split(at)
        real = os.path.realpath(folder_name)
        at = os.path.join(real, name)
        if not os.path.islink(at):
            break
        if real == "/dev" or real.startswith("/proc/"):
            return False
        at = os.path.join(real, os.readlink(at))
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True  # nothing is there; what else stands in the way is said by whoever writes


@contextlib.contextmanager
def new(
    at: int,
    name: str,
    mode: int = 0o644,
    *,
    passing: str | None = None,
    over: bool = True,
    last: Callable[[], None] | None = None,
) -> Iterator[IO[bytes]]:
    """A new file to write; it gets its ``name`` in folder ``at`` in one step at the end, and is gone when the block raises.

    Until then it has the name ``passing``, by default one that nobody can foresee. With ``over`` it takes the place of a file
    of that name; without, FileExistsError is raised. ``last`` is called when all is on the disk but the name, and may raise.
    Raises OSError.
    """
    passing = passing or f".{name}.{os.urandom(8).hex()}.part"
    fd = os.open(passing, _NEW, mode, dir_fd=at)
    try:
        with open(fd, "w+b") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        if last is not None:
            last()
        if over:
            os.rename(passing, name, src_dir_fd=at, dst_dir_fd=at)
        else:
            os.link(passing, name, src_dir_fd=at, dst_dir_fd=at)  # unlike a rename, it takes the place of nothing
            os.unlink(passing, dir_fd=at)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(passing, dir_fd=at)
        raise


@contextlib.contextmanager
def continued(at: int, name: str) -> Iterator[BufferedRandom]:
    """The file ``name`` in folder ``at`` that an interrupted run of ours began, or a new one. A file of others is deleted.

    Ours is a regular file that we own, that has one name only, and that nobody else may write. Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        st = os.stat(name, dir_fd=at, follow_symlinks=False)
        alone = stat.S_ISREG(st.st_mode) and st.st_nlink == 1 and st.st_uid == os.geteuid()
        if not alone or st.st_mode & 0o022:
            os.unlink(name, dir_fd=at)
    try:
        fd = os.open(name, _NEW, 0o600, dir_fd=at)
    except FileExistsError:
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or st.st_nlink != 1 or st.st_uid != os.geteuid():
            os.close(fd)
            raise OSError(errno.EPERM, "somebody else puts files there", name) from None
    with open(fd, "r+b") as f:
        yield f


def put(at: int, passing: str, name: str, f: IO[bytes]) -> None:
    """Rename ``f``, which lies at ``passing`` in folder ``at``, to ``name``. Raises OSError where another file lay there."""
    os.fchmod(f.fileno(), 0o644)
    os.rename(passing, name, src_dir_fd=at, dst_dir_fd=at)
    if not os.path.samestat(os.fstat(f.fileno()), os.stat(name, dir_fd=at, follow_symlinks=False)):
        os.unlink(name, dir_fd=at)
        raise OSError(errno.EPERM, "somebody else puts files there", name)
