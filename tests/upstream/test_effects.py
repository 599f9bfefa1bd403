"""The table of role effects against the source of every release."""

from __future__ import annotations

import re

import pytest
from kvroles.effects import run
from kvroles.effects.check import problems
from kvroles.effects.scan import scan
from kvroles.effects.source import archive_path, python_files
from kvroles.effects.table import load
from kvroles.places import default_cache_dir

pytestmark = pytest.mark.upstream


def test_every_role_site_of_every_release_is_explained_and_every_claim_is_true() -> None:
    table = load(run.TABLE)
    examined = run.examine(table, default_cache_dir())
    for release in examined.unread:  # no archive was ever published; say so rather than pass in silence
        print(f"{release}: not read, no wheel of it is in the cache")
    assert set(examined.unread) <= set(table.wheel_only)
    assert problems(table, examined.readings) == []
    assert all(not r.unexplained for r in examined.readings.values())
    assert len(examined.readings) >= 41


def test_the_scan_sees_what_plain_text_search_sees() -> None:
    """A simpler witness: no line of NIXL's own files asks for the role without the scan reporting it."""
    for release in ("0.9.0", "0.22.1", "0.23.0", "0.29.0", "0.33.0"):
        files = python_files(archive_path(default_cache_dir(), release))
        own = {path: data for path, data in files.items() if "/nixl" in path and "kv_connector" in path}
        reported = {(site.file, site.line) for site in scan(own).sites}
        asks = re.compile(r"\.kv_role\b|\.is_kv_(producer|consumer)\b|\bkv_role in\b")
        for path, data in own.items():
            for number, line in enumerate(data.decode().splitlines(), 1):
                if asks.search(line):
                    assert (path, number) in reported, f"{release}: {path}:{number}"
