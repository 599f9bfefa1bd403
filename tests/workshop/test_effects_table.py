"""The table of role effects against the source of every release."""

from __future__ import annotations

import re

import pytest
from kvroles.places import default_cache_dir
from kvroles.series.lock import Lock
from kvroles.sources.release_files import Options
from kvworkshop.effects import run
from kvworkshop.effects.scan import scan
from kvworkshop.effects.source import release_files
from support.cost import slow_but

pytestmark = pytest.mark.upstream

OPTIONS = Options(default_cache_dir())


@pytest.mark.slow
@pytest.mark.long
def test_every_role_site_of_every_release_is_explained_and_every_claim_is_true() -> None:
    """As ``tools/effects.py --check`` does it; what the claims say of other projects needs clones of them."""
    lock = Lock.load()
    summary = run.check(run.Job(lock, OPTIONS), claims_path=run.CLAIMS)
    assert summary.startswith(f"{len(lock.releases)} releases read, ")
    assert "not read" not in summary


@pytest.mark.parametrize("release", slow_but(["0.22.1"], ["0.9.0", "0.22.1", "0.23.0", "0.29.0", "0.33.0"]))
def test_no_line_of_nixls_own_files_asks_for_the_role_unseen(release: str) -> None:
    """A simpler witness than the syntax tree: a text search finds nothing that the scan does not report."""
    files = release_files(Lock.load().releases[release], OPTIONS)
    own = {path: data for path, data in files.items() if "/nixl" in path and "kv_connector" in path}
    assert own
    reported = {(site.file, site.line) for site in scan(own).sites}
    asks = re.compile(r"\.kv_role\b|\.is_kv_(producer|consumer)\b|\bkv_role in\b")
    for path, data in own.items():
        for number, line in enumerate(data.decode().splitlines(), 1):
            if asks.search(line):
                assert (path, number) in reported, f"{path}:{number}"
