"""docs/data/ports.json: what a port of each release would have left to a person, had it been new (bench/ports.py)."""

from __future__ import annotations

import json
from pathlib import Path

from kvroles.series import project

TABLE = json.loads((Path(__file__).resolve().parents[2] / "docs" / "data" / "ports.json").read_bytes())["releases"]


def test_the_table_speaks_of_releases_that_have_an_archive() -> None:
    lock = project.load()[1]
    assert TABLE.keys() <= {r for r, row in lock.releases.items() if row.archive}


def test_nine_of_ten_ports_or_nearly_so_need_no_person() -> None:
    assert sum(not told["left"] for told in TABLE.values()) >= 0.85 * len(TABLE)


def test_what_a_port_makes_otherwise_is_no_file_of_the_runtime() -> None:
    assert not [path for told in TABLE.values() for path in told["otherwise"] if path.startswith("vllm/")]
