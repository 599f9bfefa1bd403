"""What the guide says of releases, held against the releases: each feature it dates came when it says, and not before."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.series.lock import Lock
from kvroles.sources.archive import inflate, members
from support import docs

LOCK = Lock.load()
KNOWN = [r for r, row in LOCK.releases.items() if row.archive]
GUIDE = " ".join(docs.GUIDE.read_text(encoding="utf-8").split())

# What the guide says; the release it came with; what shows it in that release's source.
DATED = [
    ("from 0.11.0 on, lines with `KV Transfer metrics` and successful transfers", "0.11.0", rb"KV Transfer metrics"),
    ("Separate encode workers exist from 0.11.1 on.", "0.11.1", rb"\bec_role\b"),
    ("`ECSharedStorageConnector` before 0.13.0", "0.13.0", rb"class ECExampleConnector\b"),
    ("`kv_load_failure_policy` set to `recompute` (0.13.0 and later)", "0.13.0", rb"\bkv_load_failure_policy\b"),
    ("From 0.13.0 on, P and D compare a hash", "0.13.0", rb"def compute_nixl_compatibility_hash\b"),
    ("With `bidirectional_kv_xfer` (0.21.0 and later", "0.21.0", rb"\bbidirectional_kv_xfer\b"),
    ("`NixlPushConnector` (0.24.0 and later)", "0.24.0", rb"class NixlPushConnector\b"),
    ("From 0.32.0 on, `vllm:num_requests_kv_fetch_by_stage`", "0.32.0", rb"num_requests_kv_fetch_by_stage"),
]


@pytest.fixture(scope="module")
def source(archive: Callable[[str], Path]) -> Callable[[str], bytes]:
    """``source("0.22.1")``: the whole of that release's ``vllm/``, one file after the other."""

    @functools.cache
    def read(release: str) -> bytes:
        row = LOCK.releases[release].archive
        assert row is not None
        blob = archive(release).read_bytes()
        files = members(inflate(blob, row.name), row.name, row.top)
        return b"\n".join(m.data for m in files if m.path.startswith("vllm/") and m.path.endswith(".py"))

    return read


@pytest.mark.parametrize(("says", "first", "shows"), DATED, ids=[d[0][:40] for d in DATED])
def test_what_the_guide_dates_came_with_that_release(
    says: str, first: str, shows: bytes, source: Callable[[str], bytes]
) -> None:
    assert says in GUIDE
    before = KNOWN[KNOWN.index(first) - 1]
    assert re.search(shows, source(first)), f"not in {first}"
    assert not re.search(shows, source(before)), f"in {before} already"


@pytest.mark.parametrize("release", [KNOWN[0], KNOWN[-1]])
def test_no_release_takes_a_connector_without_a_role(release: str, source: Callable[[str], bytes]) -> None:
    assert "vLLM refuses a `kv_connector` without a `kv_role`" in GUIDE
    assert re.search(rb"kv_connector is not None and self\.kv_role is None:\s+raise ValueError", source(release))


def test_pipeline_parallelism_was_refused_under_any_role(source: Callable[[str], bytes]) -> None:
    assert "| 0.23.0 to 0.25.1 | does not start, under any role |" in GUIDE
    refusal = rb"received pp_rank > 0 handshake metadata.*\s+.*does not support PP-disaggregated KV transfer"
    assert [bool(re.search(refusal, source(r))) for r in ("0.22.1", "0.23.0", "0.25.1")] == [False, True, True]
