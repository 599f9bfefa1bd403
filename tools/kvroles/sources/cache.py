"""A release -> its verified archive, from the cache that concurrent runs share or from the package index."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven, os_error
from kvroles.series.lock import ArchiveRow

_WAIT_S = 1800.0  # another run may be fetching the same archive over a slow line


def archive_bytes(
    row: ArchiveRow,
    cache_dir: Path,
    *,
    project: str = "vllm",
    index_url: str | None = None,
    offline: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> bytes:
    """The bytes of ``row``, checked against its SHA-256; fetched into ``cache_dir``/archives when they are not there.

    Raises NoSource when they cannot be had (``offline`` and not cached among the reasons) and Unproven when what the
    index serves has another hash; a damaged file never stays in the cache.
    """
    return _cached_or_fetched(
        row, cache_dir / "archives", _bytes_if_right, project, index_url, offline=offline, progress=progress
    )


def archive_file(
    row: ArchiveRow,
    cache_dir: Path,
    *,
    project: str = "vllm",
    index_url: str | None = None,
    offline: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Path:
    """The same for files too large for memory (wheels): the checked file in ``cache_dir``/wheels."""
    return _cached_or_fetched(
        row, cache_dir / "wheels", _path_if_right, project, index_url, offline=offline, progress=progress
    )


def keep(row: ArchiveRow, blob: bytes, cache_dir: Path) -> Path | None:
    """Put ``blob``, the bytes of ``row``, where ``archive_bytes`` looks for them.

    Returns the place, or None when nothing can be written there.
    """
    file = cache_dir / "archives" / row.name
    part = file.with_name(f".{row.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(blob)
        part.replace(file)
    except OSError:  # it is at hand elsewhere, so that a cache that takes nothing is no failure
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return None
    return file


_T = TypeVar("_T", bytes, Path)


def _cached_or_fetched(
    row: ArchiveRow,
    folder: Path,
    right: Callable[[Path, ArchiveRow], _T | None],
    project: str,
    index_url: str | None,
    *,
    offline: bool,
    progress: Callable[[int], None],
) -> _T:
    file = folder / row.name
    have = right(file, row)
    if have is not None:
        return have
    if offline:
        raise _not_cached(file, row)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_fetcher(folder / f".{row.name}.lock"):
            have = right(file, row)  # the run we waited for may have fetched it
            if have is None:
                _fetch(row, file, project, index_url, progress)
                have = right(file, row)
    except OSError as e:
        raise os_error(
            f"The cache {folder} cannot be written to", e, "Choose another with --cache-dir", NoSource
        ) from None
    if have is None:
        raise NoSource(f"{file} was fetched, but is gone or changed again", fix="Run again with a cache of your own")
    return have


def _not_cached(file: Path, row: ArchiveRow) -> NoSource:
    found = None
    what = f"{row.name} is not in the cache and --offline forbids fetching it"
    with contextlib.suppress(OSError):
        found = f"SHA-256 {_sha256_of(file)}"
        what = f"{file} holds something else than vLLM's own file, and --offline forbids fetching it"
    return NoSource(
        what,
        expected=f"{file} with SHA-256 {row.sha256}",
        found=found,
        fix="Run once without --offline, or copy the archive there",
    )


def _bytes_if_right(file: Path, row: ArchiveRow) -> bytes | None:
    try:
        blob = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise os_error(f"{file} cannot be read", e, "Choose another cache with --cache-dir", NoSource) from None
    return blob if sha256(blob) == row.sha256 else None


def _path_if_right(file: Path, row: ArchiveRow) -> Path | None:
    try:
        return file if _sha256_of(file) == row.sha256 else None
    except FileNotFoundError:
        return None
    except OSError as e:
        raise os_error(f"{file} cannot be read", e, "Choose another cache with --cache-dir", NoSource) from None


def _sha256_of(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _fetch(row: ArchiveRow, file: Path, project: str, index_url: str | None, progress: Callable[[int], None]) -> None:
    # lazy: a run that finds its archive in the cache need not wait for these
    from kvroles.sources import address, http, index

    try:
        url = index.locate(row.name, project, index_url)
    except NoSource as e:
        raise NoSource(e.what, expected=e.expected, found=e.found, fix=f"{e.fix}, or copy the file to {file}") from None
    part = file.with_name(f".{row.name}.{row.sha256[:12]}.part")
    fix = f"Check the network, or {index.ASK[0].lower()}{index.ASK[1:]}"
    for last in (False, True):
        with part.open("a+b") as f:
            in_one_piece = http.download(url, f, row.size, fix, progress)
            f.flush()
            os.fsync(f.fileno())
        have = _sha256_of(part)
        if have == row.sha256:
            part.replace(file)
            return
        part.unlink()
        if last or in_one_piece:  # else the pieces may not have been of one file: try once from the start
            break
    raise Unproven(
        f"{address.shown(url)} is not the archive that the lock knows as {row.name}",
        expected=f"SHA-256 {row.sha256}",
        found=f"SHA-256 {have}",
        fix="Do not use that file: the index or something on the way to it has changed it",
    )


@contextlib.contextmanager
def _one_fetcher(lock: Path) -> Iterator[None]:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise NoSource(
                        f"Another run has been fetching {lock.name[1:-5]} for half an hour", fix="End it and run again"
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(fd)
