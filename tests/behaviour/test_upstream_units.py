"""Upstream's own unit tests that touch NIXL, before and after the series, in environments that match the pins."""

from __future__ import annotations

import pytest
from kvroles.contract import terms
from kvworkshop.runtime import unit_runs
from kvworkshop.runtime.environments import Say
from kvworkshop.runtime.upstream_tests import Comparison, name_of

pytestmark = pytest.mark.behaviour


RELEASES = [
    pytest.param(release, marks=() if release in unit_runs.IN_CI else pytest.mark.sweep)
    for release in unit_runs.ENVIRONMENTS
]


@pytest.fixture(scope="module", params=RELEASES)
def comparison(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, say: Say) -> Comparison:
    folder = tmp_path_factory.mktemp("units") / "trees"
    compared, _ = unit_runs.compare(request.param, folder, say)
    return compared


def test_no_test_that_passed_is_lost(comparison: Comparison) -> None:
    assert comparison.lost == []


def test_the_series_brings_no_new_failure(comparison: Comparison) -> None:
    assert comparison.new_failures == []


def test_the_two_new_tests_pass(comparison: Comparison) -> None:
    assert {name_of(test).partition("[")[0] for test in comparison.new_tests} == set(terms.TESTS)
    assert set(comparison.new_tests.values()) == {"passed"}


def test_most_tests_can_run_here(comparison: Comparison) -> None:
    """A run in which hardly anything passes proves nothing about the rest."""
    count = comparison.after.count()
    assert count["passed"] > 4 * (count["failed"] + count["error"])
