"""Fixtures and helpers for tests that run vLLM itself: progress lines, and trees as ``tools/apply.py`` leaves them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kvroles.apply import plan as plans
from kvroles.series import project
from kvroles.series.lock import ReleaseRow
from kvworkshop.runtime import wheels
from kvworkshop.runtime.environments import Say

APPLY = Path(__file__).parents[2] / "tools" / "apply.py"
QUERY = r"kv_role='kv_both'.*deprecated"
"""The log query of the contract, by which patched and native instances are found alike."""

TESTS_OF = {"0.15.0": "0.14.1", "0.15.1": "0.14.1"}
"""Releases without a source archive, and the one whose tests are the same in what is used here."""


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Print a line of progress past pytest's capture: what is built here takes minutes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {text}", file=sys.stderr, flush=True)

    return line


def patched(release: str, folder: Path, *options: str) -> Path:
    """The tree of ``release`` in ``folder``, made by ``tools/apply.py`` as a user would."""
    command = [sys.executable, str(APPLY), "--vllm-rev", release, "--output", str(folder), "-q", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def pristine(release: str, folder: Path) -> Path:
    """The tree of ``release`` as upstream has it: patched, and the series taken back out."""
    tree = patched(release, folder)
    command = [sys.executable, str(APPLY), "--into", str(tree), "--reverse", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tree


def connector_path(row: ReleaseRow) -> str:
    """The file of a release that the connector's topic is about."""
    (path,) = row.topics["connector-warning"].files
    return path


def patched_connector(row: ReleaseRow, data: bytes) -> bytes:
    """``data``, the release's connector, with the series applied; checked against the lock by the engine."""
    series, _ = project.load()
    path = connector_path(row)
    topics = (series.topic("connector-warning"),)
    plan = plans.plan(
        lambda p: data if p == path else None, row, series, topics, where=f"the connector of {row.release}"
    )
    return next((c.after for c in plan.changes if c.path == path and c.after is not None), data)


def patched_from_wheel(row: ReleaseRow, folder: Path, say: Say) -> Path:
    """A patched tree of a release without a source archive: ``vllm/`` from its CPU wheel, tests from a neighbour."""
    wheel = wheels.unpacked(row.release, say)
    shutil.copytree(wheel / "vllm", folder / "vllm")
    connector = folder / connector_path(row)
    connector.write_bytes(patched_connector(row, connector.read_bytes()))
    neighbour = patched(TESTS_OF[row.release], folder.with_name(folder.name + "-neighbour"))
    shutil.copytree(neighbour / "tests", folder / "tests")
    shutil.rmtree(neighbour)
    return folder
