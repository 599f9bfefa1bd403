"""A disk that is full, broken, or not ours to write to, at any moment of a run, damages no target.

Each call that changes the file system fails once, or from then on, as a disk that stays full; a write may have taken half of its
bytes by then. A write that takes fewer bytes than it was given, and says so, is no fault at all: the run goes on. Real small
disks are in ``test_small_disks.py``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.driver import How, Spoil
from support.files import snapshot
from support.scenarios import Scenario, spoilt, sweep

pytestmark = pytest.mark.slow

Keep = Callable[[str, str, dict[str, Any]], None]
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
WAYS = [
    (How.FAIL_ONCE, "EIO"),
    (How.FAIL_ONCE, "EACCES"),
    (How.FAIL_ONCE, "ENOSPC"),
    (How.FAIL_FROM, "ENOSPC"),
    (How.FAIL_FROM, "EIO"),
]
SOME, MANY = 2, 500


def faults(scenario: Scenario, at_most: int) -> list[Spoil]:
    return [Spoil(how, moment, ERRORS[name]) for how, name in WAYS for moment in scenario.moments(at_most)]


def test_a_fault_at_some_moments(scenario: Scenario, tmp_path: Path) -> None:
    sweep(scenario, faults(scenario, SOME), tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize(("how", "name"), WAYS, ids=lambda v: v if isinstance(v, str) else v.name.lower())
def test_a_fault_at_every_moment(scenario: Scenario, how: How, name: str, tmp_path: Path, figures: Keep) -> None:
    left = sweep(scenario, [Spoil(how, moment, ERRORS[name]) for moment in scenario.moments(MANY)], tmp_path)
    figures("io_faults", scenario.name, {**left, "damaged": 0})


def short(scenario: Scenario, at_most: int, tmp_path: Path) -> int:
    runs = 0
    for moment in scenario.moments(at_most):
        shop = scenario.fresh(tmp_path / "shop")
        ran = scenario.run(shop, Spoil(How.SHORT, moment))
        assert ran.code == 0, (moment, ran)
        assert snapshot(shop) == scenario.after, moment
        runs += 1
    return runs


def test_some_writes_that_take_less_than_they_were_given(scenario: Scenario, tmp_path: Path) -> None:
    short(scenario, 4, tmp_path)


@pytest.mark.sweep
def test_every_write_that_takes_less_than_it_was_given(scenario: Scenario, tmp_path: Path, figures: Keep) -> None:
    runs = short(scenario, MANY, tmp_path)
    found = {"points": scenario.points, "runs": runs, "old": 0, "new": runs, "partial": 0, "damaged": 0}
    figures("io_faults", scenario.name, found)


def turned_round(scenario: Scenario, at_most: int, tmp_path: Path) -> None:
    """What is staged is read back before a change is decided: a bit that is another way round leaves the old state."""
    if scenario.name in ("new tree", "vendor wheel", "migrate"):
        pytest.skip(
            "only what is changed in place is staged; a new tree or wheel is named by the hash of what was meant"
        )
    sweep(scenario, [Spoil(How.FLIP, moment) for moment in scenario.moments(at_most)], tmp_path)


def test_a_bit_that_is_turned_round_in_some_writes(scenario: Scenario, tmp_path: Path) -> None:
    turned_round(scenario, 8, tmp_path)


@pytest.mark.sweep
def test_a_bit_that_is_turned_round_in_every_write(scenario: Scenario, tmp_path: Path) -> None:
    turned_round(scenario, MANY, tmp_path)


def test_a_fault_of_the_disk_reaches_the_tools(scenario: Scenario, tmp_path: Path) -> None:
    """The faults reach the tools: the very first change of all cannot be made, and everything is as it was."""
    assert spoilt(scenario, Spoil(How.FAIL_FROM, 1, errno.ENOSPC), tmp_path / "shop") == "old"
