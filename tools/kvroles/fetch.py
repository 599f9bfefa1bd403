"""A release -> its verified archive, from the cache that concurrent runs share or from the package index."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import index, web
from .digest import sha256
from .errors import NoSource, Unproven
from .lock import ArchiveRow
from .target import os_error

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
    folder = cache_dir / "archives"
    file = folder / row.name
    blob = _cached(file, row)
    if blob is not None:
        return blob
    if offline:
        raise NoSource(
            f"{row.name} is not in the cache and --offline forbids fetching it",
            expected=f"{file} with SHA-256 {row.sha256}",
            fix="Run once without --offline, or copy the archive there",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_fetcher(folder / f".{row.name}.lock"):
            blob = _cached(file, row)  # the run we waited for may have fetched it
            if blob is None:
                blob = _fetch(row, file, project, index_url, progress)
            return blob
    except OSError as e:
        raise os_error(f"The cache {folder} cannot be written to", e, "Choose another with --cache-dir") from None


def _cached(file: Path, row: ArchiveRow) -> bytes | None:
    try:
        blob = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise os_error(f"{file} cannot be read", e, "Choose another cache with --cache-dir") from None
    return blob if sha256(blob) == row.sha256 else None


def _fetch(row: ArchiveRow, file: Path, project: str, index_url: str | None, progress: Callable[[int], None]) -> bytes:
    url = index.locate(row.name, project, index_url)
    part = file.with_name(f".{row.name}.{row.sha256[:12]}.part")
    for last in (False, True):
        with part.open("a+b") as f:
            resumed = f.seek(0, os.SEEK_END) > 0
            web.download(url, f, row.size, f"Check the network, or {index.ASK[0].lower()}{index.ASK[1:]}", progress)
            f.flush()
            os.fsync(f.fileno())
        blob = part.read_bytes()
        have = sha256(blob)
        if have == row.sha256:
            part.replace(file)
            return blob
        part.unlink()
        if last or not resumed:  # what a resumed download began with may have been at fault: try once from the start
            break
    raise Unproven(
        f"{web.hide(url)} is not the archive that the lock knows as {row.name}",
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
