"""The oldest release, the last one that is patched and the newest: the patched constructor, compiled from the real bytes.

Every release, with vLLM imported, is tests/behaviour/test_construct.py.
"""

from __future__ import annotations

import re

import pytest
from kvroles.errors import Unproven
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.series.lock import ReleaseRow
from kvroles.sources import archive, cache
from kvworkshop.runtime import wheels
from kvworkshop.runtime.environments import Say
from packaging.version import Version
from support.light import light_construct
from support.vllm_runs import QUERY, connector_path, patched_connector, say

__all__ = ["say"]

pytestmark = pytest.mark.upstream

_, LOCK = project.load()


def connector(row: ReleaseRow, say: Say) -> bytes:
    """The release's own connector file: out of its source archive, or its CPU wheel where it has none."""
    path = connector_path(row)
    if row.archive is None:
        return (wheels.unpacked(row.release, say) / path).read_bytes()
    blob = cache.archive_bytes(row.archive, default_cache_dir())
    chunks = archive.inflate(blob, row.archive.name)
    found = archive.members(chunks, row.archive.name, row.archive.top, path.__eq__)
    return next(found).data


@pytest.mark.parametrize("release", [*list(LOCK.releases)[:1], "0.22.1", *list(LOCK.releases)[-1:]])
def test_both_warns_and_explicit_roles_do_not(release: str, say: Say) -> None:
    row = LOCK.releases[release]
    source = patched_connector(row, connector(row, say))
    names = ["NixlConnector"]
    if Version(release) >= Version("0.24.0"):
        names += ["NixlPullConnector", "NixlPushConnector"]
    else:
        with pytest.raises(Unproven, match="does not define"):
            light_construct(source, "kv_both", "NixlPushConnector")
    for name in names:
        (warning,) = light_construct(source, "kv_both", name)
        assert re.search(QUERY, warning)
        assert "kv_role='kv_producer'" in warning
        assert "kv_role='kv_consumer'" in warning
        assert light_construct(source, "kv_producer", name) == []
        assert light_construct(source, "kv_consumer", name) == []


def test_the_unpatched_connector_is_silent(say: Say) -> None:
    row = LOCK.releases["0.22.1"]
    assert light_construct(connector(row, say), "kv_both") == []
