"""Where vLLM's own repository is, and which files of it the series is about beside those that a variant names."""

from __future__ import annotations

from typing import NamedTuple

from kvroles.contract import terms
from kvroles.series.topics import Series

REPOSITORY = "https://github.com/vllm-project/vllm"

# What vLLM PR #43874 itself moved, by topic: where a release holds all of it, the topic is native there.
UPSTREAM_FILES = {
    "connector-warning": terms.CONNECTORS,
    "unit-tests": (
        terms.TEST_FILE,
        "tests/v1/kv_connector/unit/test_nixl_connector_hma.py",
        "tests/v1/kv_connector/unit/test_multi_connector.py",
        "tests/v1/kv_connector/unit/test_rixl_gpu_mem_diag.py",
        "tests/v1/kv_connector/unit/utils.py",
    ),
    "integration-scripts": (
        "tests/v1/kv_connector/nixl_integration/run_accuracy_test.sh",
        "tests/v1/kv_connector/nixl_integration/spec_decode_acceptance_test.sh",
    ),
    "guides": ("docs/features/nixl_connector_usage.md", "docs/design/nixl_kv_cache_lease.md"),
}


class Completed(NamedTuple):
    """What an optional topic completes in vLLM's own code: ``name``, in ``path``, from release ``since`` on.

    ``what`` is what the code does, ``without`` what a user of older code does.
    """

    path: str
    name: str
    since: str
    what: str
    without: str


# Where the code is not there, an optional topic has nothing to lie on.
COMPLETED = {
    "bidirectional-fence": Completed(
        "vllm/v1/core/sched/scheduler.py",
        "defer_block_free",
        "0.24.0",
        "holds freed blocks back while a step may write them",
        "start bidirectional prefill instances with --no-async-scheduling",
    ),
}

VERSION_FILE = "vllm/_version.py"  # written when an archive is built; from 0.10.2 on it names the commit


def paths_of_interest(series: Series) -> set[str]:
    """Every path that some variant changes, or that native topics or the release's commit are read from."""
    paths = {p for files in UPSTREAM_FILES.values() for p in files} | set(series.overlay) | {VERSION_FILE}
    for topic in series.topics:
        for variant in topic.variants:
            paths |= {f.path for f in topic.patch(variant).files}
    return paths
