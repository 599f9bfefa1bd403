"""Each refusal of ``vendor`` has a row in refusals.tsv: the test that runs what its fix line says, or why no command can help."""

from __future__ import annotations

from pathlib import Path

from support.docs import ROOT
from support.refusals import Table

TABLE = Table(Path(__file__).with_name("refusals.tsv"), [ROOT / "tools/kvroles/vendored"])


def test_every_refusal_has_one_row_and_every_row_a_test_or_a_reason() -> None:
    assert TABLE.check() == []
