"""Before 0.24.0 no role protects a bidirectional prefill: freed blocks are loaded into while a step still writes them.

The test file of the topic ``bidirectional-fence`` runs on the real scheduler of releases that have no delayed free at all.
Its loads fail under every role, ``kv_both`` included; its tests of instances that never load pass, as the control.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kvworkshop.runtime.environments import Say
from support.vllm_runs import patched

from .test_bidirectional_fence import FILE, LOADS, TOPIC, outcomes

pytestmark = pytest.mark.behaviour

RELEASES = ["0.21.0", "0.22.1", "0.23.0"]
"""The first release with bidirectional transfer, the last without the warning, the last without the delay."""

ROLES = ["kv_both", "kv_consumer", "kv_producer"]
RED = {f"{LOADS}[{role}-{wrapped}]" for role in ROLES for wrapped in (False, True)}
GREEN = {f"test_prefill_that_never_loads_frees_at_once[{wrapped}]" for wrapped in (False, True)}


def fence_tests_for_every_role() -> str:
    """The topic's test file, with ``kv_both`` among the roles, and without what only releases from 0.24.0 on have."""
    (created,) = [f for f in TOPIC.patch(TOPIC.variants[0]).files if f.creates]
    text = b"".join(created.hunks[0].new).decode()
    for old, new in (
        ('["kv_consumer", "kv_producer"]', str(ROLES).replace("'", '"')),
        ("    assert vllm_config.max_concurrent_batches > 1\n", ""),  # a property since 0.23.0
    ):
        assert old in text
        text = text.replace(old, new)
    return text.partition("\n\ndef test_wrapper_role_still_counts")[0] + "\n"


@pytest.mark.parametrize("release", RELEASES)
def test_under_every_role_blocks_in_flight_are_loaded_into(release: str, tmp_path: Path, say: Say) -> None:
    tree = patched(release, tmp_path / "tree")
    (tree / FILE).write_text(fence_tests_for_every_role())
    seen = outcomes(tree, release, tmp_path, say)
    assert {name for name, outcome in seen.items() if outcome == "passed"} == GREEN, seen
    assert {name for name, outcome in seen.items() if outcome.startswith("assert not ({")} == RED, seen
