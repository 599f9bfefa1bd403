"""A tree, or a folder around it, in which somebody swaps folders for links while a run is writing: nothing is written elsewhere.

At each moment of a run a folder is put aside and a link to another, which has the same names in it, takes its place. The run may
end as it likes, but the other folder stays as it was. Links that lie there from the start are in ``unit/test_refusals_tree.py``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvroles.errors import Unproven
from kvroles.tree import stage
from support import scenarios
from support.driver import How, Ran, Spoil
from support.files import contents, put, snapshot
from support.scenarios import SITE, Scenario
from support.tiny import Tiny

pytestmark = pytest.mark.slow

SOME, MANY = 12, 500
SITE_INFO = f"{SITE}/vllm-0.22.1.dist-info"
VICTIMS = [
    ("into", "vllm/docs"), ("into", "vllm/docs/features"), ("into", "vllm/vllm"), ("into", "vllm/tests/v1"), ("into", "vllm/.kv-roles"),
    ("into", "vllm/.kv-roles/stage"), ("into", "vllm"),
    ("reverse", "vllm/docs"), ("reverse", "vllm/vllm"), ("reverse", "vllm/.kv-roles"), ("reverse", "vllm/.kv-roles/stage"),
    ("new tree", ".vllm.kv-roles.staging"),
    ("vendor install", f"{SITE}/vllm"), ("vendor install", f"{SITE}/vllm/distributed"), ("vendor install", f"{SITE}/.kv-roles"),
    ("vendor uninstall", f"{SITE}/vllm"), ("vendor uninstall", f"{SITE_INFO}/kv-roles"),
    ("migrate", "k8s"),
]  # fmt: skip


@pytest.fixture
def scenario(
    request: pytest.FixtureRequest, drivers: dict[str, Callable[..., Ran]], tiny: Tiny, tmp_path: Path
) -> Scenario:
    return scenarios.make(request.param, drivers, tiny, tmp_path / "scenario")


def swapped(scenario: Scenario, victim: str, at_most: int, tmp_path: Path) -> int:
    """Swap ``victim`` at each moment; how many moments that were."""
    runs = 0
    for moment in scenario.moments(at_most):
        shop = scenario.fresh(tmp_path / "shop")
        decoy = tmp_path / "decoy"
        shutil.rmtree(decoy, ignore_errors=True)
        decoy.mkdir()
        for name in ("vllm", "docs/features", "stage", "distributed", "originals", "tests/v1", "v1"):
            put(decoy / name, {"precious": b"1"})
        put(decoy, {"receipt.json": b"{}", "prefill.yaml": b"precious", "0": b"precious", ".gitignore": b"precious"})
        before = snapshot(decoy)
        ran = scenario.run(shop, Spoil(How.SWAP, moment, swap=(shop / victim, decoy)))
        assert snapshot(decoy) == before, (moment, ran)
        runs += 1
    return runs


@pytest.mark.parametrize(("scenario", "victim"), VICTIMS, indirect=["scenario"])
def test_a_folder_swapped_for_a_link_at_some_moments(scenario: Scenario, victim: str, tmp_path: Path) -> None:
    swapped(scenario, victim, SOME, tmp_path)


def test_a_folder_swapped_for_the_staged_tree_is_not_put_in_place(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    staged = stage.Staged(staging)
    staging.rename(tmp_path / "aside")
    for swap in (
        lambda: staging.symlink_to(put(tmp_path / "other", {"precious": b"1"})),
        lambda: put(staging, {"a": b""}),
    ):
        swap()
        with pytest.raises(Unproven, match="somebody has put another in its place"):
            stage.put_in_place(staged, tmp_path / "vllm")
        assert not os.path.lexists(tmp_path / "vllm")
        stage.discard(staging)
    assert contents(tmp_path / "other") == {"precious": b"1"}


@pytest.mark.sweep
@pytest.mark.parametrize(("scenario", "victim"), VICTIMS, indirect=["scenario"])
def test_a_folder_swapped_for_a_link_at_every_moment(
    scenario: Scenario, victim: str, tmp_path: Path, figures: Callable[[str, str, dict[str, Any]], None]
) -> None:
    runs = swapped(scenario, victim, MANY, tmp_path)
    figures("hostile", "folders swapped for links during a run", {"cases": runs})
