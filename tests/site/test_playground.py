"""The playground in a real browser: the verdicts of the command line, and nothing sent anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kvroles.migrate import run
from kvroles.migrate.settings import Options, Settings
from support import verdicts

from .conftest import SCREENSHOTS, Built, tool
from .visit import faults_of, playwright

ELSEWHERE = {"python", "hcl", "typescript", "powershell", "go", "toml", "javascript", "rust"}  # parsers not served
ODD = """\
kind: Deployment
metadata: {name: llm-%s}
spec: {args: [--kv-transfer-config, '{"kv_connector":"NixlConnector","kv_role":"kv_both","x":"<img src=x onerror=owned>"}']}
"""


@pytest.fixture(autouse=True)
def there(built: Built) -> None:
    if not (built.html / "assets" / "playground" / "kvroles.zip").is_file():
        pytest.skip("this build left the playground out: npm could not fetch it")


class Form:
    """The form, filled in and sent as a reader does."""

    def __init__(self, page: playwright.Page) -> None:
        self.page = page
        page.set_default_timeout(120_000)

    def read(self, name: str, text: str) -> tuple[str, str]:
        """What is said of ``text`` in a line, and each finding as ``line:code``."""
        self.page.get_by_role("textbox", name="File name").fill(name)
        self.page.get_by_role("textbox", name="Configuration").fill(text)
        self.page.get_by_role("button", name="Read it").click()
        self.page.locator("#playground-form button:enabled").wait_for()
        found = self.page.locator("#playground-found > li").evaluate_all(
            "x => x.map(li => li.querySelector('strong').textContent.slice(5) + ':' + li.querySelector('a').textContent)"
        )
        return self.page.locator("#playground-says").inner_text(), " ".join(found)


@dataclass
class Loaded:
    """A page on which Python has been loaded, what that asked for, and what went wrong on it."""

    form: Form
    early: list[str]
    asked: list[playwright.Request]
    faults: list[str]


@pytest.fixture(scope="module")
def loaded(browser: playwright.Browser, address: str) -> Iterator[Loaded]:
    context = browser.new_context(color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    asked: list[playwright.Request] = []
    page.on("request", lambda r: asked.append(r))
    page.goto(f"{address}playground/", wait_until="networkidle")
    early = [r.url for r in asked]
    asked.clear()
    form = Form(page)
    assert form.read("a.yaml", ODD % "prefill")[1] == "3:KVR101"
    yield Loaded(form, early, list(asked), faults)
    context.close()
    assert not faults


def test_python_is_not_loaded_before_the_first_click(loaded: Loaded) -> None:
    assert not [url for url in loaded.early if "/assets/playground/" in url]


def test_all_that_loading_asks_for_is_files_of_this_site(loaded: Loaded, address: str) -> None:
    assert sum(request.url.startswith(f"{address}assets/playground/") for request in loaded.asked) > 5
    for request in loaded.asked:  # the browser asks for the page's icon when it likes
        assert request.method == "GET"
        assert request.post_data is None
        assert request.url.startswith(address)
        assert "?" not in request.url


def test_nothing_is_asked_of_anyone_once_python_is_there(loaded: Loaded) -> None:
    page, asked = loaded.form.page, list[str]()
    page.on("request", lambda r: asked.append(r.url))
    page.context.set_offline(True)
    assert loaded.form.read("b.yaml", ODD % "server")[1] == "3:KVR110"
    page.context.set_offline(False)
    assert not asked


def test_each_kv_both_has_its_role_its_evidence_and_the_change(loaded: Loaded) -> None:
    said, _ = loaded.form.read("a.yaml", ODD % "prefill")
    assert said.startswith("1 role certain in 1 file, 0 to look at")
    shown = loaded.form.page.locator("article").inner_text()
    for words in (
        "becomes kv_producer",
        "KVR101",
        "name: llm-prefill",
        "(line 2)",
        "+spec: {args: [--kv-transfer-config",
    ):
        assert words in shown
    link = loaded.form.page.locator("#playground-found").get_by_role("link", name="KVR101")
    assert link.evaluate("a => a.href").endswith("/dev/kvr/KVR101/")


def test_verdicts_are_those_of_the_command_line(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the labelled corpus and what fuzzing found: the same findings on the same lines, or "not read here"."""
    monkeypatch.chdir(tmp_path)  # no file beside the one that is read, as in the browser
    same, elsewhere, wrong = 0, set(), []
    for place, (name, data) in verdicts.inputs().items():
        text = _pasted(data)
        if text is None:
            continue
        said, found = loaded.form.read(name, text)
        if said.startswith("Not read here"):
            elsewhere.add(said.partition("parser for ")[2].partition(",")[0])
            continue
        result = run.of_bytes(name, name, text.encode(), Options(Settings()))
        wanted = " ".join(f"{f.line}:{f.code}" for f in result.findings) if result is not None else ""
        same += found == wanted
        if found != wanted:
            wrong.append(f"{place}: {found} instead of {wanted}; {said}")
    assert not wrong, "\n".join(wrong)
    assert elsewhere <= ELSEWHERE
    assert same > 330
    print(f"{same} texts have the same verdict")


def _pasted(data: bytes) -> str | None:
    """What a form makes of a file: text, with the line ends of a page. None for what cannot be pasted."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if "\0" in text or not text:
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_what_is_pasted_is_shown_as_text(loaded: Loaded) -> None:
    page = loaded.form.page
    assert loaded.form.read("<b>x</b>.yaml", ODD % "prefill")[1] == "3:KVR101"
    assert page.locator("article img, #playground-found b, #playground-change b").count() == 0
    assert "<img src=x" in page.locator("#playground-change").inner_text()


@pytest.mark.parametrize("name", ["serve.py", "main.tf", "values.toml"])
def test_what_takes_another_parser_is_not_read_here(loaded: Loaded, name: str) -> None:
    said, found = loaded.form.read(name, 'kv_role = "kv_both"\n')
    assert said.startswith("Not read here")
    assert not found


def test_the_result_can_be_read_by_anyone(loaded: Loaded) -> None:
    """axe finds nothing, in both schemes, with findings and a change on the page; a phone shows it."""
    page = loaded.form.page
    loaded.form.read("a.yaml", ODD % "prefill")
    assert not faults_of(page)
    page.screenshot(path=str(SCREENSHOTS / "playground-result.png"), full_page=True)
    page.get_by_title("Switch to dark mode").click()
    page.locator("body[data-md-color-scheme=slate]").wait_for()
    assert not faults_of(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_copy_that_could_not_fetch_it_is_built_and_says_so(built: Built, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(built.checkout, checkout, ignore=shutil.ignore_patterns(".git", "site", ".cache"))
    said = tool(
        "tools/pages.py", "--cache-dir", str(tmp_path / "empty"), "--no-diagrams", cwd=checkout, PATH="/nowhere"
    )
    assert "The playground is left out" in said
    tool("mkdocs", "build", "--strict", "-d", str(tmp_path / "out"), cwd=checkout)
    assert "Not in this copy of the site" in (tmp_path / "out" / "playground" / "index.html").read_text()
    assert not (tmp_path / "out" / "assets" / "playground").exists()
    index = json.loads((tmp_path / "out" / "search" / "search_index.json").read_text())
    assert any(d["location"].startswith("playground/") for d in index["docs"])
