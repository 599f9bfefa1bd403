"""A visit to the site with a browser. Whoever imports this skips where the browser's library is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[site]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: pip install -e '.[site]'")
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@dataclass
class Watched:
    """A browser page, and what went wrong on it."""

    page: playwright.Page
    address: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> playwright.Page:
        """Go to ``path`` of the site, and wait until everything it loads is there and its diagrams are drawn."""
        self.page.goto(self.address + path, wait_until="networkidle")
        self.page.locator("pre.mermaid").first.wait_for(state="detached")
        return self.page

    def laid_out(self, path: str) -> playwright.Page:
        """Go to ``path`` of the site, and wait until the theme's script has laid it out, which is sooner than all of ``open``.

        Until then a sidebar has no height, and axe takes it for one that scrolls and that no key reaches.
        """
        self.page.goto(self.address + path, wait_until="load")
        laid_out = ".md-sidebar--primary[hidden], .md-sidebar--primary .md-sidebar__scrollwrap[style]"
        self.page.locator(laid_out).first.wait_for(state="attached")
        return self.page


def faults_of(page: playwright.Page) -> list[str]:
    """What axe finds on ``page`` as it is now, of any impact."""
    return [
        f"{v['id']}: {v['help']}: {n['target']} {n['html'][:120]}"
        for v in axe.Axe().run(page).response["violations"]
        for n in v["nodes"]
    ]


def search(page: playwright.Page, words: str) -> str:
    """Type ``words`` as a reader does; returns the path that the first result leads to.

    Results come while one types, so wait for those of all the words: their links carry the words.
    """
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially(words)
    first = page.locator(f".md-search-result__link[href*='h={words}' i]").first
    first.wait_for()
    return urlsplit(first.get_attribute("href") or "").path


def clipboard(page: playwright.Page) -> str:
    """What was copied, once the page says that it was. (A policy stops the polling of ``wait_for_function``.)"""
    page.locator(".md-dialog--active").wait_for()
    return str(page.evaluate("navigator.clipboard.readText()"))
