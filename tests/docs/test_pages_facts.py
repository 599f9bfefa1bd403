"""Numbers, words and tables of the site come from the code, the lock and the data; these tests fail when they part."""

from __future__ import annotations

import json
import re

from kvroles.apply.state import State
from kvroles.contract import terms
from kvroles.errors import Exit
from kvroles.series import project
from kvworkshop.pages import effects, home, matrix, reference
from support import docs

SERIES, LOCK = project.load()


def test_home_counts_what_the_lock_says() -> None:
    table = home.fragments(SERIES, LOCK)["state-of-the-world.md"]
    states = [row.topics["connector-warning"].state for row in LOCK.releases.values()]
    assert f"({states.count('variant')} releases)" in table
    assert f"({states.count('native')} releases)" in table
    assert f"in {len(list(LOCK.releases.values())[-1].topics['stragglers'].files)} files" in table


def test_readme_counts_what_the_lock_says() -> None:
    readme = " ".join((docs.ROOT / "README.md").read_text().split())
    states = [row.topics["connector-warning"].state for row in LOCK.releases.values()]
    assert f"the {states.count('variant')} before it" in readme
    releases = list(LOCK.releases)
    assert f"{releases[0]} to {releases[-1]}" in readme


def test_the_picker_counts_the_releases_that_were_scanned() -> None:
    page = (docs.ROOT / "docs" / "does-my-release-care.md").read_text()
    assert f"of all {len(_data('role_effects.json')['releases'])} releases finds each place" in page


def test_the_warning_is_quoted_as_the_patches_write_it() -> None:
    warning = home.warning(SERIES)
    assert re.search(terms.QUERY, warning)
    for path in (docs.GUIDE, docs.ROOT / "README.md"):
        assert warning in path.read_text(), path
    assert terms.QUERY in docs.GUIDE.read_text()


def test_the_contract_page_has_every_clause_of_the_checker() -> None:
    assert [c.text for c in terms.CLAUSES.values() if not c.text.endswith(".")] == []
    page = (docs.ROOT / "docs" / "explanation" / "design.md").read_text()
    assert "\n## The contract\n" in page  # an error message sends readers there
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == [str(n) for n in terms.CLAUSES]


def test_the_states_page_has_every_state() -> None:
    assert [s for s, _ in home.states()] == [s.value for s in State]
    page = (docs.ROOT / "docs" / "explanation" / "states.md").read_text()
    for state in State:
        assert re.search(rf"^\| {state.value} \|", page, re.MULTILINE)


def test_every_exit_code_has_a_meaning() -> None:
    assert [n for n, _ in reference.exit_codes()] == [int(e) for e in Exit]


def _data(name: str) -> dict[str, object]:
    return json.loads((docs.ROOT / "docs" / "data" / name).read_bytes())


def test_the_matrix_has_a_row_a_release_and_a_link_a_variant() -> None:
    compat = _data("compat.json")
    page = matrix.fragments(compat, SERIES)["matrix.md"]
    assert re.findall(r'<tr id="v([^"]+)">', page) == list(reversed(LOCK.releases))
    for release, row in compat["releases"].items():
        html = page.split(f'<tr id="v{release}">')[1].split("</tr>")[0]
        assert (f'href="{matrix.COMMIT}{row["commit"]}"' in html) is (row["commit"] is not None)
        for topic in SERIES.topics:
            variant = row["topics"].get(topic.name, {}).get("variant")
            if variant:
                assert f'href="../patches/{topic.name}/{variant}/"' in html


def test_a_moved_hunk_shows_the_largest_offset_with_its_sign() -> None:
    assert matrix.furthest({"a": [0, 3], "b": [-70, 1]}) == -70
    assert matrix.furthest({}) == 0


def test_upstreams_own_tests_show_what_passed_before_and_after() -> None:
    run = {
        "versions": {"torch": "2.11.0", "nixl": "1.1.0"},
        "before": {"passed": 90},
        "after": {"passed": 92},
        "not_passed": [{}],
        "lost": [],
        "new_tests": {"m::test_kv_both_deprecation_warning": "passed"},
        "unsteady": [
            {"test": "m::test_now_and_then[a]", "before": ["passed", "failed"], "after": ["failed", "passed"]}
        ],
    }
    page = matrix.unit_runs({"releases": {"0.22.1": run}})["unit-runs.md"]
    assert "| 0.22.1 | torch 2.11.0, nixl 1.1.0 | 90 | 92 | 1 |" in page
    assert "| 0.22.1 | `test_now_and_then[a]` | passed, failed | failed, passed |" in page
    steady = matrix.unit_runs({"releases": {"0.22.1": {**run, "unsteady": []}}})["unit-runs.md"]
    assert "run again" not in steady
    assert "No test that passed fails; the tests of the deprecation pass." in steady
    bad = {"lost": ["m::test_a"], "new_tests": {"m::test_b": "failed"}}
    for wrong, said in (({**bad, "new_tests": {}}, "0.22.1: `test_a`"), (bad, "0.22.1: `test_a`, `test_b`"),
                        ({"new_tests": {}}, "0.22.1: no test of the deprecation")):  # fmt: skip
        page = matrix.unit_runs({"releases": {"0.30.0": run, "0.22.1": {**run, **wrong}}})["unit-runs.md"]
        assert "No test that passed fails" not in page
        assert f"Lost, or failing after the series: {said}" in page
    assert matrix.unit_runs(None) == matrix.unit_runs({"releases": {}}) == {"unit-runs.md": ""}


def test_a_breach_and_an_unchecked_clause_show_in_the_matrix() -> None:
    row = {"commit": None, "topics": {}, "contract": {"holds": False, "unchecked": {}}}
    assert "broken" in matrix.fragments({"releases": {"0.1.0": row}}, SERIES)["matrix.md"]
    row = {"commit": None, "topics": {}, "contract": {"holds": True, "unchecked": {"2": "no tests"}}}
    assert (
        "holds in part</span> <small>clause 2: no tests"
        in matrix.fragments({"releases": {"0.1.0": row}}, SERIES)["matrix.md"]
    )


def test_the_effects_table_shows_every_effect_and_all_of_its_evidence() -> None:
    data = _data("role_effects.json")
    page = effects.fragments(data)["effects.md"]
    assert data["releases"] == list(LOCK.releases)[: len(data["releases"])]  # a new release is read by a person first
    for effect in data["effects"]:
        row = page.split(f'<tr id="{effect["id"]}"')[1].split("</tr>")[0]
        assert f'data-releases="{" ".join(effects.releases_of(effect, data["releases"]))}"' in row
        for release, lines in effect["evidence"].items():
            for line in lines:
                assert f'{effects.BLOB}{release}/{line.replace(":", "#L")}"' in row


def test_every_feature_of_the_data_has_a_word_for_readers() -> None:
    assert {f for e in _data("role_effects.json")["effects"] for f in e["features"]} <= set(effects.FEATURES)
