"""Pull mode: decode refuses a prefill stage that holds only some of the layers, in every release that lets PP start.

The real worker of each release shakes hands with what a stage of a prefill with pipeline parallelism 2 offers: half of
the regions. The release's own fake stands for the NIXL library; the control is a prefill that offers all regions.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.series import project
from kvroles.series.release import version
from kvworkshop.runtime.environments import Say
from support.vllm_runs import patched

from .test_bidirectional_fence import outcomes_of

pytestmark = pytest.mark.behaviour

_, LOCK = project.load()
RELEASES = [r for r in LOCK.releases if version(r) >= version("0.26.0")]
FILE = "tests/v1/kv_connector/unit/test_prefill_stage.py"
PROGRAM = '''
from dataclasses import fields
from unittest.mock import patch

import pytest

from .test_nixl_connector import (
    FakeNixlConnectorWorker,
    FakeNixlWrapper,
    KVConnectorRole,
    NixlAgentMetadata,
    NixlConnector,
    create_vllm_config,
    make_kv_cache_config,
)

BLOCK = 32
LENGTH = 4096 * BLOCK
WRAPPER = "vllm.distributed.kv_transfer.kv_connector.v1.nixl.base_worker.NixlWrapper"


def decode_worker():
    """A decode worker that has registered two layers."""
    config = create_vllm_config(block_size=BLOCK)
    kv_cache = make_kv_cache_config(block_size=BLOCK)
    connector = NixlConnector(config, KVConnectorRole.WORKER, kv_cache)
    assert connector.connector_worker.__class__.__name__.endswith("PullConnectorWorker")
    worker = FakeNixlConnectorWorker(config, connector.engine_id, hand_shake_latency=0)
    worker.num_blocks = 1
    worker.num_regions = 2
    worker.block_len_per_layer = [LENGTH] * 2
    worker.block_stride_per_layer = [LENGTH] * 2
    worker.slot_size_per_layer = [4096] * 2
    worker._region_is_mla = [False] * 2
    worker.dst_num_blocks[worker.engine_id] = 1
    worker.region_num_blocks = [1] * 2
    worker.region_group_ids = [0] * 2
    worker.region_mem_types = [worker.nixl_memory_type] * 2
    for name in ("num_blocks", "group_ids", "mem_types"):
        seen = getattr(worker, f"dst_region_{name}", None)
        if seen is not None:
            seen[worker.engine_id] = getattr(worker, f"region_{name}")
    return worker


def offer(worker, layers):
    """What a prefill that holds this many layers says in the handshake."""
    said = dict(
        engine_id="prefill",
        agent_metadata=FakeNixlWrapper.AGENT_METADATA,
        kv_caches_base_addr=[0] * layers,
        device_id=0,
        num_blocks=1,
        block_lens=[LENGTH] * layers,
        block_strides=[LENGTH] * layers,
        kv_cache_layout=worker.kv_cache_layout,
        block_size=worker.block_size,
        ssm_sizes=(0, 0),
        attn_backend_name=worker.backend_name,
        physical_blocks_per_logical_kv_block=1,
    )
    known = {f.name for f in fields(NixlAgentMetadata)}
    return NixlAgentMetadata(**{k: v for k, v in said.items() if k in known})


@patch(WRAPPER, FakeNixlWrapper)
def test_stage_is_refused(default_vllm_config, dist_init):
    worker = decode_worker()
    with pytest.raises(AssertionError, match="Number of KV layers must match"):
        worker.add_remote_agent(offer(worker, 1), remote_tp_size=1)


@patch(WRAPPER, FakeNixlWrapper)
def test_whole_prefill_is_taken(default_vllm_config, dist_init):
    worker = decode_worker()
    worker.add_remote_agent(offer(worker, 2), remote_tp_size=1)
'''


@pytest.mark.parametrize("release", RELEASES)
def test_decode_refuses_a_stage_of_a_prefill_with_pp(release: str, tmp_path: Path, say: Say) -> None:
    tree = patched(release, tmp_path / "tree")
    (tree / FILE).write_text(PROGRAM)
    seen = outcomes_of(FILE, tree, release, tmp_path, say)
    assert seen == {"test_stage_is_refused": "passed", "test_whole_prefill_is_taken": "passed"}
