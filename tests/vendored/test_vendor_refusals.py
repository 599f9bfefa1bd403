"""Each refusal of ``vendor`` has a row in refusals.tsv: the test that causes it and takes the way out of it."""

from __future__ import annotations

from support.refusals import VENDORED


def test_every_refusal_has_one_row_and_every_row_a_test() -> None:
    assert VENDORED.check() == []


def test_a_test_of_many_refusals_has_a_case_for_each() -> None:
    assert VENDORED.unnamed() == []
