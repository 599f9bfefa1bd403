"""The files of a release that the series is about, from its archive; for releases without one (0.15.x), from what there is.

Which releases have no archive, and which of their files cannot be had, is said here alone: others know only files whose
bytes after the series are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.topics import Series
from kvroles.series.upstream_files import paths_of_interest
from kvroles.sources import archive, extracts
from kvroles.sources.cache import archive_bytes

# Published as wheels only. Which of their files equal those of 0.14.1 was read off the git tags; of the two that
# equal no other release's and are in no wheel, the SHA-256 at the tag is all there is.
WITHOUT_ARCHIVE = {
    release: {
        "tests/v1/kv_connector/unit/test_nixl_connector.py": "5e717d001cc4d6b973346b441e2ddf708465c5fb630ac22ce10f4baad92ba6da",
        "docs/features/nixl_connector_usage.md": "77dd74a379c48361b74819f37610693ceeff2d30c0cae8dbc74a2398f2e4fd55",
    }
    for release in ("0.15.0", "0.15.1")
}
LIKE_WITHOUT_ARCHIVE = "0.14.1"  # the release whose other files they share
_WHEEL_PLATFORM = "x86_64"


def files_without_archive(release: str, shipped: Mapping[str, bytes], like: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of interest of a release that has wheels only, as far as they can be had."""
    rest = {p: d for p, d in like.items() if not p.startswith("vllm/") and p not in WITHOUT_ARCHIVE[release]}
    return {**rest, **shipped}


@dataclass(frozen=True)
class Options:
    """Where archives come from, and what unpacks them."""

    cache_dir: Path
    index_url: str | None = None
    offline: bool = False
    inflate: extracts.Inflate = archive.inflate


def extract(row: ReleaseRow, series: Series, options: Options) -> extracts.Extract:
    """The files of a release that the series is about, from the cache of such files or from its archive."""
    assert row.archive is not None
    wanted = paths_of_interest(series)
    found = extracts.load(options.cache_dir, row.archive.sha256, wanted)
    if found is None:
        blob = archive_bytes(row.archive, options.cache_dir, index_url=options.index_url, offline=options.offline)
        found = extracts.of_archive(blob, row.archive, row.archive.top, wanted, options.inflate)
        extracts.store(options.cache_dir, row.archive.sha256, wanted, found)
    return found


def files_of(row: ReleaseRow, series: Series, lock: Lock, options: Options) -> dict[str, bytes]:
    """The files of interest of any release, as far as they can be had (all, but for 0.15.x)."""
    if row.archive is not None:
        return extract(row, series, options).files
    like = extract(lock.releases[LIKE_WITHOUT_ARCHIVE], series, options).files
    return files_without_archive(row.release, _shipped(row, options), like)


def _shipped(row: ReleaseRow, options: Options) -> dict[str, bytes]:
    """The members of the release's wheel that some topic changes, read through range requests (a wheel is half a
    gigabyte), each checked by its hash."""
    want: dict[str, str] = {}
    for topic in row.topics.values():
        for path, f in topic.files.items():
            if path.startswith("vllm/") and f.before is not None:
                want.setdefault(path, f.before)
    key = " ".join([row.release, *sorted(want.values())])
    found = extracts.load(options.cache_dir, key, set(want))
    if found is None or _other(found, want) is not None:
        if options.offline:
            raise NoSource(
                f"The files that the wheel of vLLM {row.release} ships are not in the cache and --offline forbids "
                "fetching them",
                fix="Run once without --offline",
            )
        # lazy: two releases are read so, and only until the cache holds their files
        import zipfile

        from kvroles.sources import index, ranges

        wheel = next(w for w in row.wheels if _WHEEL_PLATFORM in w.name)
        url = index.locate(wheel.name, "vllm", options.index_url)
        with ranges.RangeFile(url, wheel.size) as member, zipfile.ZipFile(member) as z:
            found = extracts.Extract({path: z.read(path) for path in want}, b"")
        if (other := _other(found, want)) is not None:
            raise Unproven(
                f"{other} in the wheel of vLLM {row.release} is not the one in the lock",
                expected=want[other],
                found=sha256(found.files[other]),
                fix="Name another index with --index-url or PIP_INDEX_URL",
            )
        extracts.store(options.cache_dir, key, set(want), found)
    return found.files


def _other(found: extracts.Extract, want: Mapping[str, str]) -> str | None:
    """The first file of ``found`` whose SHA-256 is not the one that ``want`` has for it; None where all are right."""
    return next((path for path, sha in want.items() if sha256(found.files[path]) != sha), None)
