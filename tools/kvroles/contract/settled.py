"""Roles that nothing in their surroundings names a side for: what is set there, and why. Data only.

A row is (path, owner, role, reason). The owner is the function the role stands in, or a key of the same config. Where a
test works with either role the row still names one, so that a role that was exchanged is seen.
"""

from __future__ import annotations

from typing import NamedTuple


class Settled(NamedTuple):
    """``role`` is what ``path`` says within ``owner``, for ``reason``."""

    path: str
    owner: str
    role: str
    reason: str


# A unit test builds one connector in one process and plays the other end itself. Where it names no side, upstream's own
# change (vllm-project/vllm#43874) sets kv_consumer throughout, and so does this series.
UNIT_TESTS = "kv_consumer"

ROWS = (
    Settled(
        "tests/v1/kv_connector/unit/test_rixl_gpu_mem_diag.py",
        "test_gpu_memory_rixl_hma",
        "kv_producer",
        "The test measures an instance that registers its memory and serves one prompt; either role does the same. "
        "Releases before 0.23.0 say kv_producer here, from the time of their variant",
    ),
    Settled(
        "docs/design/nixl_kv_cache_lease.md",
        "kv_lease_duration",
        "kv_producer",
        "The lease is kept by the prefill instance: the table above the example says 'on P'",
    ),
)
