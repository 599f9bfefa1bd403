"""The files of a vLLM release that are read: out of its verified source archive, or out of a wheel where there is none."""

from __future__ import annotations

import zipfile
from collections.abc import Callable

from kvroles.errors import NoSource
from kvroles.series.lock import ReleaseRow
from kvroles.sources import archive, cache, extracts, index, ranges
from kvroles.sources.release_files import Options

_WANTED = {"vllm/**/*.py"}  # what an extract kept from a wheel is filed under


def release_files(row: ReleaseRow, options: Options, also: Callable[[str], bool] = lambda _: False) -> dict[str, bytes]:
    """``vllm/**/*.py`` of a release by path, and what else of its archive ``also`` is true of, fetched if need be.

    A wheel holds the Python files only. Any wheel will do for a release without an archive: those files are the same
    everywhere. Of half a gigabyte only these files are read, and kept in the cache. Raises NoSource when the files
    cannot be had, ``offline`` among the reasons, and Unproven when the archive is not the one in the lock.
    """
    if row.archive is not None:
        blob = cache.archive_bytes(row.archive, options.cache_dir, index_url=options.index_url, offline=options.offline)
        chunks = archive.inflate(blob, row.archive.name)
        return {
            m.path: m.data
            for m in archive.members(chunks, row.archive.name, row.archive.top, lambda p: is_python(p) or also(p))
        }
    wheel = row.wheels[0]
    kept = extracts.load(options.cache_dir, wheel.sha256, _WANTED)
    if kept is None:
        if options.offline:
            raise NoSource(
                f"The Python files of vLLM {row.release} are not in the cache and --offline forbids fetching them",
                fix="Run once without --offline",
            )
        url = index.locate(wheel.name, "vllm", options.index_url)
        with ranges.RangeFile(url, wheel.size) as f, zipfile.ZipFile(f) as z:
            kept = extracts.Extract({name: z.read(name) for name in z.namelist() if is_python(name)}, b"")
        extracts.store(options.cache_dir, wheel.sha256, _WANTED, kept)
    return kept.files


def is_python(path: str) -> bool:
    """Whether ``path`` is a Python file of the package."""
    return path.startswith("vllm/") and path.endswith(".py")
