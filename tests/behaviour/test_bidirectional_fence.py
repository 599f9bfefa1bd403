"""The fence round freed blocks: the topic's own test on the real scheduler, with the topic and without it.

Without it a bidirectional prefill instance that says ``kv_producer`` is told to load KV into blocks that a step in
flight may still write. The test file is upstream's in style and ships with the topic; here it also runs on trees that
do not have the topic, which is the evidence that the topic is needed.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from kvroles.series import project
from kvworkshop.runtime.environments import Say, for_source, interpreter
from kvworkshop.runtime.trees import hide_metadata, variables
from support.vllm_runs import patched

pytestmark = pytest.mark.behaviour

SERIES, LOCK = project.load()
TOPIC = SERIES.topic("bidirectional-fence")
FILE = "tests/v1/kv_connector/unit/test_bidirectional_fence.py"
RELEASES = [r for r, row in LOCK.releases.items() if row.topics[TOPIC.name].state == "variant"]
DEADLINE_S = 900.0

LOADS = "test_load_waits_for_step_in_flight"
RED_WITHOUT = {f"{LOADS}[kv_producer-False]", f"{LOADS}[kv_producer-True]", f"{LOADS}[kv_consumer-True]"}
"""By role of NIXL, and whether it is below a MultiConnector that says ``kv_producer``."""
GREEN_WITHOUT = {
    f"{LOADS}[kv_consumer-False]",
    "test_prefill_that_never_loads_frees_at_once[False]",
    "test_prefill_that_never_loads_frees_at_once[True]",
    "test_wrapper_role_still_counts",
}


def outcomes(tree: Path, release: str, work: Path, say: Say) -> dict[str, str]:
    """Each test of the topic's file, run in ``tree``: ``passed``, or the first line of what went wrong."""
    return outcomes_of(FILE, tree, release, work, say)


def outcomes_of(file: str, tree: Path, release: str, work: Path, say: Say) -> dict[str, str]:
    """Each test of ``file`` below ``tree``: ``passed``, or the first line of what went wrong."""
    python = interpreter(for_source(release), say)
    hide_metadata(tree)
    report = work / "report.xml"
    command = [python.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", file]
    done = subprocess.run(
        command, cwd=tree, env=variables(python, tree, release), capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert report.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    seen = {}
    for case in ET.parse(report).iter("testcase"):
        wrong = [child.get("message", "") for child in case if child.tag in ("failure", "error", "skipped")]
        seen[case.get("name", "")] = wrong[0].partition("\n")[0] if wrong else "passed"
    return seen


@pytest.mark.parametrize("release", RELEASES)
def test_without_the_topic_blocks_in_flight_are_loaded_into(release: str, tmp_path: Path, say: Say) -> None:
    tree = patched(release, tmp_path / "tree")
    variant = TOPIC.variant_for(release)
    assert variant is not None
    (created,) = [f for f in TOPIC.patch(variant).files if f.creates]
    assert created.path == FILE
    (tree / FILE).write_bytes(b"".join(created.hunks[0].new))
    seen = outcomes(tree, release, tmp_path, say)
    assert {name for name, outcome in seen.items() if outcome == "passed"} == GREEN_WITHOUT
    assert {name for name, outcome in seen.items() if outcome.startswith("assert not ({")} == RED_WITHOUT, seen


@pytest.mark.parametrize("release", RELEASES)
def test_with_the_topic_a_load_waits(release: str, tmp_path: Path, say: Say) -> None:
    tree = patched(release, tmp_path / "tree", "--with", TOPIC.name)
    seen = outcomes(tree, release, tmp_path, say)
    assert seen == dict.fromkeys(RED_WITHOUT | GREEN_WITHOUT, "passed")
