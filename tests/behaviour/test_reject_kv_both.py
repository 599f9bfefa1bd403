"""``reject-kv-both`` on the real classes: kv_both is refused on either side and below a wrapper, explicit roles are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.series import project
from kvworkshop.runtime import construct
from kvworkshop.runtime.environments import Say, for_source, interpreter
from support.vllm_runs import patched

pytestmark = pytest.mark.behaviour

SERIES, LOCK = project.load()
TOPIC = SERIES.topic("reject-kv-both")
NEWEST = list(LOCK.releases)[-1]


@pytest.mark.parametrize("release", list(dict.fromkeys([*TOPIC.variants, NEWEST])))
def test_only_kv_both_is_refused(release: str, tmp_path: Path, say: Say) -> None:
    tree = patched(release, tmp_path / "tree", "--with", TOPIC.name)
    seen = construct.construct(interpreter(for_source(release), say), tree, release)
    assert [o.case for o in seen] == construct.cases(release)
    for outcome in seen:
        assert [w for w in outcome.warnings if "kv_role" in w] == [], "a refusal is no warning"
        if outcome.case.kv_role != "kv_both":
            assert outcome.error is None, (outcome.case, outcome.error)
            continue
        assert outcome.error is not None, outcome.case
        last = outcome.error.strip().splitlines()[-1]
        assert last.startswith("ValueError: NixlConnector refuses kv_role='kv_both'"), last
        assert "kv_role='kv_producer' on prefill instances" in last
        assert "kv_role='kv_consumer' on decode instances" in last
