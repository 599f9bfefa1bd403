"""docs/data/forks.json and the page made of it: what was tried, at which commit, when, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from kvroles.series import project
from kvworkshop.pages import elsewhere

DATA = Path(__file__).resolve().parents[2] / "docs" / "data"
FORKS = json.loads((DATA / "forks.json").read_bytes())


def test_the_table_is_as_its_schema_says() -> None:
    jsonschema.validate(FORKS, json.loads((DATA / "forks.schema.json").read_bytes()))


def test_it_was_made_with_this_series_or_an_earlier_one() -> None:
    assert FORKS["series"] <= project.load().series.earlier.number


def test_each_row_that_is_refused_says_why_and_no_other_does() -> None:
    assert all((row["outcome"] == "refused") == (row["why"] is not None) for row in FORKS["rows"])


def test_nearly_all_that_carry_nixl_are_proven() -> None:
    nixl = [row for row in FORKS["rows"] if "There is no NixlConnector" not in (row["why"] or "")]
    assert len(nixl) >= 20
    assert sum(row["outcome"] != "refused" for row in nixl) >= 0.9 * len(nixl)


def test_the_page_shows_each_row_with_its_commit_and_the_day_of_the_trial() -> None:
    page = elsewhere.page(FORKS)
    assert FORKS["tried"] in page
    for row in FORKS["rows"]:
        assert f"/{row['repository']}/commit/{row['commit']}" in page
        assert f"`{row['ref']}`" in page


def test_ports_are_counted_from_their_table() -> None:
    told = {"releases": {"0.1.0": {"left": []}, "0.2.0": {"left": ["a conflict"]}}}
    assert elsewhere.ports(told) == "Tried so, 1 of 2 releases need no person. A person was needed for 0.2.0.\n"


def test_the_page_says_what_was_drawn_of_main_and_that_no_nightly_wheel_was_tried() -> None:
    page = elsewhere.page(FORKS)
    drawn = FORKS["main"]
    assert drawn["proven"] + drawn["by_meaning"] + drawn["refused"] == drawn["commits"]
    assert f"Of {drawn['commits']} commits of main" in page
    assert "No nightly wheel itself was tried" in page
    assert "No nightly wheel itself was tried" in elsewhere.page({k: v for k, v in FORKS.items() if k != "main"})
