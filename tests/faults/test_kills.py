"""A run that is killed, at whatever moment, leaves the old state, the new one, or one that the next run finishes.

The moments are counted, not slept for: ``support/faults.c`` sends SIGKILL at the n-th call that changes the file system, or in
the middle of it, with half of the bytes written or, at an fsync, half of the file lost.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.driver import How, Spoil
from support.files import snapshot
from support.scenarios import Scenario, sweep

pytestmark = pytest.mark.slow

Keep = Callable[[str, str, dict[str, Any]], None]
SOME, MANY = 4, 500  # moments per scenario in the default run, and in the sweep; all of them where there are fewer


def kills(scenario: Scenario, at_most: int) -> list[Spoil]:
    return [Spoil(How.KILL, moment) for moment in scenario.moments(at_most)]


def test_a_kill_at_some_moments(scenario: Scenario, tmp_path: Path) -> None:
    left = sweep(scenario, kills(scenario, SOME), tmp_path)
    assert left["old"]


@pytest.mark.sweep
def test_a_kill_at_every_moment_or_at_500(scenario: Scenario, tmp_path: Path, figures: Keep) -> None:
    left = sweep(scenario, kills(scenario, MANY), tmp_path)
    assert left["old"]
    figures("kills", scenario.name, {**left, "lost_or_mixed": 0})


def test_two_kills_in_a_row(scenario: Scenario, tmp_path: Path) -> None:
    for first in (scenario.points // 3, scenario.points // 2, scenario.points - 5):
        shop = scenario.fresh(tmp_path / "shop")
        scenario.run(shop, Spoil(How.KILL, first))
        scenario.run(shop, Spoil(How.KILL, max(2, scenario.points // 4)))
        assert scenario.run(shop).code == 0
        assert snapshot(shop) == scenario.after


def test_an_interrupt_from_the_keyboard_is_no_different(scenario: Scenario, tmp_path: Path) -> None:
    for moment in scenario.moments(4):
        shop = scenario.fresh(tmp_path / "shop")
        ran = scenario.run(shop, Spoil(How.KILL, moment, signal_=signal.SIGINT))
        if ran.code:
            assert ran.code == 130
            assert "interrupted" in ran.said
            assert "Traceback" not in ran.err
        assert scenario.run(shop).code == 0
        assert snapshot(shop) == scenario.after
