"""The pages that answer for a release: the picker of effects, and the path from one release to another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from .conftest import SCREENSHOTS, Built
from .visit import Watched, playwright

# --- does my release care? ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def role_effects(built: Built) -> dict[str, object]:
    return json.loads((built.checkout / "docs" / "data" / "role_effects.json").read_bytes())


def _shown(page: playwright.Page) -> list[str]:
    return page.locator("#effects tbody tr:visible").evaluate_all("rows => rows.map(r => r.id)")


def test_without_scripts_the_whole_table_is_there(
    reader: Callable[..., Watched], role_effects: dict[str, object]
) -> None:
    page = reader(java_script_enabled=False).open("does-my-release-care/")
    assert _shown(page) == [e["id"] for e in role_effects["effects"]]
    assert not page.locator("#picker").is_visible()


def test_a_release_without_effects_says_so(reader: Callable[..., Watched]) -> None:
    page = reader().open("does-my-release-care/")
    page.locator("select[name=release]").select_option("0.22.1")
    assert page.get_by_role("status").inner_text() == "vLLM 0.22.1: the role changes nothing."
    assert _shown(page) == []


def test_the_picker_narrows_by_release_side_and_feature(
    reader: Callable[..., Watched], role_effects: dict[str, object]
) -> None:
    from kvworkshop.pages.effects import releases_of

    page = reader().open("does-my-release-care/")
    page.locator("select[name=release]").select_option("0.27.0")
    page.get_by_label("also show what needs nothing of you").check()
    here = [e for e in role_effects["effects"] if "0.27.0" in releases_of(e, role_effects["releases"])]
    assert 1 < len(here) < len(role_effects["effects"])
    assert _shown(page) == [e["id"] for e in here]
    page.get_by_label("prefill", exact=True).check()
    mine = [e for e in here if not e["prefill"].startswith("Same")]
    assert _shown(page) == [e["id"] for e in mine]
    assert page.locator("#effects td.decode:visible").count() == 0
    page.get_by_label("bidirectional transfer").check()
    left = [e for e in mine if not e["features"] or {"bidirectional", "async-scheduling"} & set(e["features"])]
    assert _shown(page) == [e["id"] for e in left]
    assert f"{len(left)} thing" in page.get_by_role("status").inner_text()


def test_the_evidence_is_that_of_the_picked_release(
    reader: Callable[..., Watched], role_effects: dict[str, object]
) -> None:
    effect = next(e for e in role_effects["effects"] if e["id"] == "block-fence")
    page = reader().open("does-my-release-care/?release=0.24.0")
    row = page.locator("#block-fence")
    row.locator("summary").click()
    links = row.locator("li:visible a").evaluate_all("links => links.map(a => a.href)")
    assert [re.sub(r"^.*/blob/v0\.24\.0/", "", link).replace("#L", ":") for link in links] == effect["evidence"][
        "0.24.0"
    ]


def test_a_choice_survives_in_the_address(reader: Callable[..., Watched]) -> None:
    visit = reader()
    page = visit.open("does-my-release-care/")
    page.locator("select[name=release]").select_option("0.32.0")
    page.get_by_label("decode", exact=True).check()
    page.get_by_label("multimodal inputs").check()
    before = _shown(page)
    page.reload(wait_until="networkidle")
    assert _shown(page) == before
    assert page.locator("select[name=release]").input_value() == "0.32.0"
    assert page.get_by_label("decode", exact=True).is_checked()
    page.screenshot(path=str(SCREENSHOTS / "picker.png"), full_page=True)


def test_the_picker_shows_first_what_asks_something_of_the_reader(
    reader: Callable[..., Watched], role_effects: dict[str, object]
) -> None:
    page = reader().open("does-my-release-care/")
    acts = [e["id"] for e in role_effects["effects"] if e["action"]["needed"]]
    assert _shown(page) == acts
    assert "rows that need nothing of you are not shown" in page.get_by_role("status").inner_text()


def test_the_picker_says_that_it_does_not_know_a_release(reader: Callable[..., Watched]) -> None:
    page = reader().open("does-my-release-care/?release=99.0.0")
    assert "vLLM 99.0.0 is not a release this page knows" in page.get_by_role("status").inner_text()


def test_a_row_of_the_picker_can_be_linked(reader: Callable[..., Watched]) -> None:
    page = reader().open("does-my-release-care/#partial-tail")
    assert page.locator("#partial-tail").is_visible()  # although it asks nothing of the reader
    assert page.locator("#partial-tail a[href='#partial-tail']").count() == 1


def test_a_feature_that_is_ticked_does_not_hide_what_holds_for_everyone(reader: Callable[..., Watched]) -> None:
    page = reader().open("does-my-release-care/?release=0.33.0")
    page.get_by_label("multimodal inputs").check()
    assert "block-fence" in _shown(page)


# --- from release to release ----------------------------------------------------------------------------------------------


def _steps(page: playwright.Page) -> list[str]:
    return page.locator(".step:visible:not(.quiet)").evaluate_all("steps => steps.map(s => s.dataset.release)")


def test_a_path_holds_the_releases_on_the_way(reader: Callable[..., Watched]) -> None:
    page = reader().open("path/?from=0.18&to=0.24.0")
    assert _steps(page) == ["0.19.0", "0.21.0", "0.23.0", "0.24.0"]
    assert page.locator("select[name=from]").input_value() == "0.18.1"
    assert page.get_by_role("status").inner_text().startswith("From 0.18.1 to 0.24.0: ")
    page.locator("select[name=to]").select_option("0.26.0")
    assert _steps(page)[-1] == "0.26.0"
    page.reload(wait_until="networkidle")
    assert _steps(page)[-1] == "0.26.0"


def test_a_path_is_whole_without_scripts_and_each_release_has_an_anchor(
    reader: Callable[..., Watched], role_effects: dict[str, object]
) -> None:
    page = reader(java_script_enabled=False).open("path/")
    assert len(_steps(page)) > 10
    for release in role_effects["releases"]:
        assert page.locator(f"[id='v{release}']").count() == 1, release


def test_a_path_says_that_it_does_not_know_a_release(reader: Callable[..., Watched]) -> None:
    page = reader().open("path/?from=0.18&to=0.99.0")
    assert "0.99.0: not a release this page knows" in page.get_by_role("status").inner_text()
