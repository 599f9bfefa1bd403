"""A release -> its verified archive, from the cache that concurrent runs share or from the package index.

A cached file is opened once, below a descriptor of its folder, and hashed and used through that one descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, TypedDict, TypeVar, Unpack

from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven, os_error
from kvroles.said import shell
from kvroles.series.lock import ArchiveRow
from kvroles.tree import handles

_WAIT_S = 1800.0  # another run may be fetching the same archive over a slow line


class Fetching(TypedDict, total=False):
    """How a file that is not in the cache is had: from which index (pip's own if None), or ``offline`` not at all; ``progress``
    is told how many bytes are there."""

    index_url: str | None
    offline: bool
    progress: Callable[[int], None]


def archive_bytes(row: ArchiveRow, cache_dir: Path, **fetching: Unpack[Fetching]) -> bytes:
    """The bytes of ``row``, checked against its SHA-256; fetched into ``cache_dir``/archives when they are not there.

    Raises NoSource when they cannot be had (``offline`` and not cached among the reasons) and Unproven when what the
    index serves has another hash; a damaged file never stays in the cache.
    """
    return _cached_or_fetched(row, cache_dir / "archives", _bytes_of, **fetching)


def archive_file(row: ArchiveRow, cache_dir: Path, **fetching: Unpack[Fetching]) -> Held:
    """The same for files too large for memory (wheels): the checked file in ``cache_dir``/wheels, open."""
    return _cached_or_fetched(row, cache_dir / "wheels", _held, **fetching)


def keep(row: ArchiveRow, blob: bytes, cache_dir: Path) -> Path | None:
    """Put ``blob``, the bytes of ``row``, where ``archive_bytes`` looks for them.

    Returns the place, or None when nothing can be written there.
    """
    folder = cache_dir / "archives"
    try:
        with (
            handles.folder(cache_dir, create=True),
            handles.folder(folder, create=True) as fd,
            handles.new(fd, row.name) as f,
        ):
            f.write(blob)
    except (OSError, NoSource):  # the caller has the bytes: that they could not be kept is no failure
        return None
    return folder / row.name


class Held(NamedTuple):
    """A file whose hash was checked: the very ``file``, from its start, and the ``path`` it was opened by."""

    path: Path
    file: BufferedReader


_T = TypeVar("_T", bytes, Held)
_Use = Callable[[BufferedReader, Path, ArchiveRow], _T | None]  # what a cached file gives, if it has the right hash


def _cached_or_fetched(
    row: ArchiveRow,
    folder: Path,
    use: _Use[_T],
    *,
    index_url: str | None = None,
    offline: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> _T:
    have = _cached(row, folder, use)
    if have is not None:
        return have
    if offline:
        raise _not_cached(folder / row.name, row)
    try:
        with (
            handles.folder(folder.parent, create=True),
            handles.folder(folder, create=True) as fd,
            _one_fetcher(fd, row.name),
        ):
            have = _cached(row, folder, use)  # the run we waited for may have fetched it
            if have is None:
                _fetch(row, fd, folder, index_url, progress)
                have = _cached(row, folder, use)
    except OSError as e:
        raise os_error(
            f"The cache {folder} cannot be written to", e, "Choose another with --cache-dir", NoSource
        ) from None
    if have is None:
        raise NoSource(
            f"{folder / row.name} was fetched, but is gone or changed again", fix="Run again with a cache of your own"
        )
    return have


def _cached(row: ArchiveRow, folder: Path, use: _Use[_T]) -> _T | None:
    """What ``use`` makes of the cached file, or None when there is none, or another."""
    try:
        with handles.folder(folder) as fd, handles.regular(row.name, at=fd) as f:
            if os.fstat(f.fileno()).st_size != row.size:
                return None  # nor is it read: it may be as large as the disk
            return use(f, folder / row.name, row)
    except FileNotFoundError:
        return None
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO):
            raise NoSource(
                f"{folder / row.name} in the cache is a link, a pipe or a device, which no run of ours has put there",
                fix=f"Look at it, then delete it: `{shell('rm', '--', folder / row.name)}`",
            ) from None
        raise os_error(
            f"{folder / row.name} cannot be read", e, "Choose another cache with --cache-dir", NoSource
        ) from None


def _not_cached(file: Path, row: ArchiveRow) -> NoSource:
    found = None
    what = f"{row.name} is not in the cache and --offline forbids fetching it"
    with contextlib.suppress(OSError), handles.regular(file) as f:
        size = os.fstat(f.fileno()).st_size
        found = f"SHA-256 {hashlib.file_digest(f, 'sha256').hexdigest()}" if size == row.size else f"{size} bytes"
        what = f"{file} holds something else than vLLM's own file, and --offline forbids fetching it"
    return NoSource(
        what,
        expected=f"{file} with SHA-256 {row.sha256}",
        found=found,
        fix="Run once without --offline, or copy the archive there",
    )


def _bytes_of(f: BufferedReader, _: Path, row: ArchiveRow) -> bytes | None:
    blob = f.read()
    return blob if sha256(blob) == row.sha256 else None


def _held(f: BufferedReader, file: Path, row: ArchiveRow) -> Held | None:
    if hashlib.file_digest(f, "sha256").hexdigest() != row.sha256:
        return None
    f.seek(0)
    return Held(file, open(os.dup(f.fileno()), "rb"))


def _fetch(row: ArchiveRow, folder: int, place: Path, index_url: str | None, progress: Callable[[int], None]) -> None:
    """Fetch ``row`` into ``folder``, a descriptor of ``place``; what came of an interrupted download is continued."""
    # lazy: a run that finds its archive in the cache need not wait for these
    from kvroles.sources import address, http, index

    try:
        url = index.locate(row.name, "vllm", index_url)
    except NoSource as e:
        more = f"{e.fix}, or copy the file to {place / row.name}"
        raise NoSource(e.what, expected=e.expected, found=e.found, fix=more) from None
    part = f".{row.name}.{row.sha256[:12]}.part"
    fix = f"Check the network, or {index.ASK[0].lower()}{index.ASK[1:]}"
    for last in (False, True):
        with handles.continued(folder, part) as f:
            in_one_piece = http.download(url, f, row.size, fix, progress)
            f.flush()
            os.fsync(f.fileno())
            f.seek(0)
            have = hashlib.file_digest(f, "sha256").hexdigest()
            if have == row.sha256:
                handles.put(folder, part, row.name, f)
                return
        os.unlink(part, dir_fd=folder)
        if last or in_one_piece:  # else the pieces may not have been of one file: try once from the start
            break
    raise Unproven(
        f"{address.shown(url)} is not the archive that the lock knows as {row.name}",
        expected=f"SHA-256 {row.sha256}",
        found=f"SHA-256 {have}",
        fix="Do not use that file: the index or something on the way to it has changed it",
    )


@contextlib.contextmanager
def _one_fetcher(folder: int, name: str) -> Iterator[None]:
    fd = os.open(f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise NoSource(
                        f"Another run has been fetching {name} for half an hour", fix="End it and run again"
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(fd)
