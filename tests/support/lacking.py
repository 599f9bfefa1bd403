"""What a machine lacks for a test: the test is skipped, with the reason, and fails in CI, where nothing may be missing."""

from __future__ import annotations

import functools
import os
from typing import NoReturn

import pytest
from kvroles.errors import NoSource
from kvroles.places import default_cache_dir
from kvroles.said import counted
from kvroles.series import project
from kvroles.series.lock import ReleaseRow
from kvroles.sources import index, release_files
from kvroles.sources.release_files import Options


def lacking(why: str) -> NoReturn:
    """Skip, or fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@functools.cache  # an index that could not be reached once is not waited for again
def releases_out_of_reach() -> str | None:
    """Why the files of some release cannot be had: they are not in the cache, and the index cannot be asked. Else None."""
    series, lock = project.load()
    offline = Options(default_cache_dir(), offline=True)

    def at_hand(row: ReleaseRow) -> bool:
        if row.archive is not None:
            return (offline.cache_dir / "archives" / row.archive.name).is_file()
        try:
            release_files.files_of(row, series, lock, offline)
        except NoSource:
            return False
        return True

    absent = [release for release, row in lock.releases.items() if not at_hand(row)]
    if absent:
        try:
            index.files("vllm", None)
        except NoSource as e:
            return f"the files of {counted(len(absent), 'release')} are not in the cache and cannot be fetched: {e}"
    return None
