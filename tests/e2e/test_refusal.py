"""``vllm serve`` with topic ``reject-kv-both``: what a user sees last, on patched 0.22.1 and on a native release."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kvworkshop.runtime import wheels
from kvworkshop.runtime.environments import Say
from kvworkshop.runtime.servers import Server, Setup, running
from support.served import nixl, start
from support.vllm_runs import patched

pytestmark = pytest.mark.e2e

EXIT_DEADLINE_S = 300.0


@pytest.fixture(scope="module")
def refusing(setup: Setup, tmp_path_factory: pytest.TempPathFactory, say: Say) -> Iterator[Setup]:
    """The release with the topic as well."""
    tree = patched(setup.release, tmp_path_factory.mktemp("refusing") / "tree", "--with", "reject-kv-both")
    wheels.copy_compiled(setup.release, tree, say)
    yield replace(setup, tree=tree)
    shutil.rmtree(tree)


def below_a_wrapper(role: str, store: Path) -> dict[str, Any]:
    """NIXL beside a connector that keeps kv_both, in a MultiConnector that keeps it too."""
    other = {
        "kv_connector": "ExampleConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"shared_storage_path": str(store)},
    }
    return {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_buffer_device": "cpu",
        "kv_connector_extra_config": {"connectors": [other, nixl(role)]},
    }


def ended(server: Server) -> list[str]:
    """The lines of a server that ended by itself with an error, blank ones left out."""
    try:
        code = server.process.wait(EXIT_DEADLINE_S)
    finally:
        server.stop()
    assert code == 1, server.tail()
    return [line for line in server.text().splitlines() if line.strip()]


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_refusal_is_the_last_line_of_the_server(refusing: Setup, tmp_path: Path, *, wrapped: bool) -> None:
    transfer = below_a_wrapper("kv_both", tmp_path) if wrapped else nixl("kv_both")
    lines = ended(start(refusing, f"refused-{wrapped}", transfer, 0))
    last = lines[-1]
    assert "ValueError: NixlConnector refuses kv_role='kv_both'" in last, lines[-20:]
    assert "kv_role='kv_producer' on prefill instances" in last
    assert "kv_role='kv_consumer' on decode instances" in last
    assert "docs/features/nixl_kv_role_migration.md" in last
    assert len([line for line in lines if line.startswith("Traceback")]) <= 1, "no traceback of a second process"
    assert not [line for line in lines if line.startswith(("(EngineCore", "(Worker"))], "no engine was started"


def test_an_explicit_child_serves_though_its_wrapper_says_both(refusing: Setup, tmp_path: Path) -> None:
    with running([start(refusing, "accepted", below_a_wrapper("kv_producer", tmp_path), 0)]) as (server,):
        assert server.get("/v1/models")
