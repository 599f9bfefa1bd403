"""The Python files of a vLLM release: out of its verified source archive, or out of a wheel where there is no archive."""

from __future__ import annotations

import zipfile

from .. import archive, fetch, index, touched, web
from ..errors import NoSource
from ..lock import ReleaseRow
from ..verifying import Options

_WANTED = {"vllm/**/*.py"}  # what an extract kept from a wheel is filed under


def python_files(row: ReleaseRow, options: Options) -> dict[str, bytes]:
    """``vllm/**/*.py`` of a release by path, fetched if need be.

    Any wheel will do for a release without an archive: the Python files are the same on every platform. Of half a
    gigabyte only these files are read, and kept in the cache. Raises NoSource when the files cannot be had, ``offline``
    among the reasons, and Unproven when the archive is not the one in the lock.
    """
    if row.archive is not None:
        blob = fetch.archive_bytes(row.archive, options.cache_dir, index_url=options.index_url, offline=options.offline)
        chunks = archive.inflate(blob, row.archive.name)
        return {m.path: m.data for m in archive.members(chunks, row.archive.name, row.archive.top, _is_wanted)}
    wheel = row.wheels[0]
    kept = touched.load(options.cache_dir, wheel.sha256, _WANTED)
    if kept is None:
        if options.offline:
            raise NoSource(
                f"The Python files of vLLM {row.release} are not in the cache and --offline forbids fetching them",
                fix="Run once without --offline",
            )
        url = index.locate(wheel.name, "vllm", options.index_url)
        with web.RangeFile(url, wheel.size) as f, zipfile.ZipFile(f) as z:
            kept = touched.Extract({name: z.read(name) for name in z.namelist() if _is_wanted(name)}, b"")
        touched.store(options.cache_dir, wheel.sha256, _WANTED, kept)
    return kept.files


def _is_wanted(path: str) -> bool:
    return path.startswith("vllm/") and path.endswith(".py")
