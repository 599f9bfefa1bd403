"""What the servers of a release share, one server to compare with, and all logs printed when a test fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from kvworkshop.runtime import models, wheels
from kvworkshop.runtime.environments import Say, interpreter
from kvworkshop.runtime.servers import Server, Setup
from support.served import STARTED, start
from support.vllm_runs import patched, say

__all__ = ["say"]

ENVIRONMENTS = {"0.22.1": "torch-2.11", "0.30.0": "new"}
"""The releases whose servers run here: the last one patched, and one that warns natively."""


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, say: Say) -> Iterator[Setup]:
    """The patched tree of a release with compiled parts lent to it, and a model made on the spot."""
    release = request.param
    home = tmp_path_factory.mktemp(f"servers-{release}")
    python = interpreter(ENVIRONMENTS[release], say)
    tree = patched(release, home / "tree")
    wheels.copy_compiled(release, tree, say)
    yield Setup(python, tree, release, models.write_llama(home / "model"), home / "logs")
    shutil.rmtree(tree)
    STARTED.clear()


@pytest.fixture(scope="session")
def aggregated(setup: Setup) -> Iterator[Server]:
    """The server that every answer is compared with: no transfer at all. Whoever asks for it first waits for it."""
    server = start(setup, "aggregated", None, 0)
    yield server
    server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add the end of every server's log to the report of a failed test."""
    report = yield
    if report.failed and item.get_closest_marker("e2e"):
        for server in STARTED:
            report.sections.append((f"log of {server.name}", server.tail()))
    return report
