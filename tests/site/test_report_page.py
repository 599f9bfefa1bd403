"""The page of ``migrate --html`` in a real browser: anyone can read it, with and without JavaScript, and it asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.migrate import cli

from .conftest import SCREENSHOTS
from .visit import faults_of, playwright

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
EVIL = "<img src=x onerror=alert(1)>"
Open = Callable[..., "playwright.Page"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on two repositories."""
    folder = tmp_path_factory.mktemp("report")
    for name, text in {
        "one/deploy/prefill.sh": f"# prefill\n{UNSAID}",
        f"one/deploy/{EVIL.replace('/', '')}.sh": f"{UNSAID.strip()} # {EVIL}\n",
        "two/decode.yaml": f"# Decode server, to be read by everyone who can\nargs: ['{NIXL}']\n",
        "two/x.env": f"HF_TOKEN=planted\nKV='{NIXL.replace('NixlConnector', '$CONNECTOR')}'\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name.split("/")[0] / ".git").mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert cli.main(["-q", "--html", str(folder / "report.html"), str(folder / "one"), str(folder / "two")]) == 0
    return folder / "report.html"


@pytest.fixture
def visit(browser: playwright.Browser, report: Path) -> Iterator[Open]:
    """Opens the page; a fault in the console, an alert or a request for anything else fails the test."""
    contexts, faults = [], []

    def opened(**options: object) -> playwright.Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("dialog", lambda d: faults.append(f"dialog: {d.message}"))
        page.on("request", lambda r: faults.append(r.url) if r.url != report.as_uri() else None)
        page.goto(report.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anyone_can_read_it(visit: Open, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    assert faults_of(page) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"report-{scheme}.png"), full_page=True)
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert faults_of(page) == []


def test_words_state_and_repository_choose_the_cases(visit: Open) -> None:
    page = visit()
    shown = page.locator("article:visible")
    assert shown.count() == 4
    assert page.locator("output").inner_text() == "4 of 4 cases"
    page.get_by_label("Words").fill("everyone decode")
    assert [shown.count(), page.locator("output").inner_text()] == [1, "1 of 4 cases"]
    page.get_by_label("Words").fill("")
    page.get_by_label("State").select_option(label="A person has to decide")
    assert shown.count() >= 1
    page.get_by_label("State").select_option(label="all")
    page.get_by_label("Repository").select_option(index=1)
    assert shown.count() == 2
    assert page.locator("section[data-group]:visible").count() == 1


def test_it_is_driven_by_the_keyboard_alone(visit: Open) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the cases"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "cases"
    page.keyboard.press("Tab")
    page.keyboard.type("nothing has these words")
    assert page.locator("output").inner_text() == "0 of 4 cases"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_without_javascript_all_of_it_is_there(visit: Open) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator("article:visible").count() == 4
    assert page.locator("form:visible").count() == 0


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: playwright.Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.owned = 1'}))"
    )
    assert page.evaluate("window.owned") is None
    page.close()


def test_it_prints_all_cases_and_no_form(visit: Open) -> None:
    page = visit()
    page.emulate_media(media="print")
    assert page.locator("form:visible").count() == 0
    assert page.locator("article:visible").count() == 4
