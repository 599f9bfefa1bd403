"""One writer at a time for each target, and no writer while a tree is read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kvroles.errors import DoesNotApply, UsageError, os_error
from kvroles.tree.tree import Tree

_WAIT_S = 300.0  # how long a run waits for another on the same target; a whole run takes seconds
_STEP_S = 0.05


@contextlib.contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Hold the only write access to the target ``path``, which need not exist yet; waits for another run, bounded.

    The lock is an advisory ``flock``, which ends with the process. It is taken on the target's own folder, which needs no write
    access to the folder above; where there is no target yet, on a hidden file beside it. Raises DoesNotApply after five
    minutes' wait, or when that file cannot be made.
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
        raise os_error(f"{path.parent} cannot be written to", e, "Choose another place with --output") from None


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
