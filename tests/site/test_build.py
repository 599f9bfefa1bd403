"""Both builders make the site without a warning, and every link on it leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support import terminal

from .conftest import EDIT_URI, Built, tool


class Page(HTMLParser):
    """What a page links to, loads and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.headings: list[str] = []
        self._heading = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if "id" in a:
            self.anchors.add(a["id"])
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in a:
            self.loads.append(a["src"])
        if tag == "link" and a.get("rel", "") in ("stylesheet", "icon", "preload", "modulepreload", "preconnect"):
            self.loads.append(a["href"])
        self._heading = tag in ("h1", "h2")

    def handle_data(self, data: str) -> None:
        if self._heading and data.strip():
            self.headings.append(data.strip())
            self._heading = False


def pages_below(folder: Path) -> dict[str, Page]:
    """URL path -> page, for every page but the error page."""
    return {
        p.relative_to(folder).as_posix().removesuffix("index.html"): Page(p)
        for p in sorted(folder.rglob("*.html"))
        if p.name != "404.html"
    }


@pytest.fixture(scope="module")
def pages(built: Built) -> dict[str, Page]:
    return pages_below(built.html)


def target(html: Path, page: str, link: str) -> Path:
    """The file below ``html`` that ``link`` on ``page`` leads to."""
    path = (html / page / unquote(urlsplit(link).path)).resolve()
    return path / "index.html" if path.is_dir() else path


def test_mkdocs_builds_strictly(built: Built, tmp_path: Path) -> None:
    said = tool("mkdocs", "build", "--strict", "-d", str(tmp_path / "out"), cwd=built.checkout)
    assert "WARNING" not in said
    print(next(line for line in said.splitlines() if "built in" in line))


def test_every_internal_link_and_anchor_leads_somewhere(built: Built, pages: dict[str, Page]) -> None:
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            file = target(built.html, name, link)
            if not file.is_file():
                broken.append(f"{name}: {link}: no such page")
            elif parts.fragment and file.suffix == ".html":
                anchors = pages[file.relative_to(built.html).as_posix().removesuffix("index.html")].anchors
                if unquote(parts.fragment) not in anchors:
                    broken.append(f"{name}: {link}: no such anchor")
    assert not broken
    assert sum(len(p.links) for p in pages.values()) > 1000


def test_links_that_leave_the_site_hold_no_sign_of_the_text_around_them(pages: dict[str, Page]) -> None:
    away = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    assert len(away) > 100
    assert not [link for link in away if re.search(r"[\s\[\]<>)'\",.]$|[\[\]<>\s]", link)]


def test_pages_load_nothing_from_elsewhere_and_miss_nothing(built: Built, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        for load in page.loads:
            assert not urlsplit(load).netloc, f"{name} loads {load}"
            assert target(built.html, name, load).is_file(), f"{name} lacks {load}"


def test_no_markup_is_left_in_what_a_reader_sees(built: Built) -> None:
    """A table whose bars or a mail whose signs were taken for Markdown, or not taken, would show here."""
    for path in sorted(built.html.rglob("*.html")):
        html = path.read_text(encoding="utf-8")
        assert r"\|</" not in html, path
        outside = re.sub(r"<(script|style|pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
        shown = re.sub(r"<[^>]+>", " ", outside)
        for left in ("| ---", "```", "--8<--", "**", "](", "{ #", "\\<", "\\*", "\\|"):
            assert left not in shown, f"{path}: {left}"
        assert not re.search(r"<code>[^<]*\\\|", html), path


def test_edit_links_open_the_source(built: Built, pages: dict[str, Page]) -> None:
    root = EDIT_URI.removesuffix("docs/")
    seen = 0
    for name, page in pages.items():
        edits = {link for link in page.links if link.startswith(root)}
        assert len(edits) == 1, name
        source = built.checkout / edits.pop().removeprefix(root)
        assert source.exists(), f"{name}: {source}"
        tracked = subprocess.run(
            ["git", "-C", str(built.checkout), "ls-files", "--", str(source)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert tracked.stdout, f"{name}: {source} is not in the repository"
        seen += 1
    assert seen > 50


def test_raw_patches_are_served_byte_for_byte(built: Built) -> None:
    served = sorted((built.html / "patches").rglob("*.patch"))
    series = [p for p in (built.checkout / "patches").rglob("*.patch") if p.parent.name != "earlier"]
    assert len(served) == len(series)
    for file in served:
        assert file.read_bytes() == (built.checkout / "patches" / file.relative_to(built.html / "patches")).read_bytes()


def test_the_diff_on_a_page_is_the_whole_patch(built: Built) -> None:
    page = (built.html / "patches" / "guides" / "0.22.0" / "index.html").read_text()
    text = re.sub(r"<[^>]+>", "", page)
    raw = (built.checkout / "patches" / "guides" / "0.22.0.patch").read_text()
    for line in raw.splitlines():
        plain = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert plain.strip() in text.replace("&quot;", '"').replace("&#39;", "'"), line


def test_zensical_builds_the_same_pages(zensical: Path, pages: dict[str, Page]) -> None:
    theirs = pages_below(zensical)
    assert set(theirs) == set(pages)
    for name, page in pages.items():
        assert theirs[name].headings[:1] == page.headings[:1], name
        ours = {a for a in page.anchors if not a.startswith("__")}
        lost = {a for a in ours - theirs[name].anchors if not a.startswith(("search", "data-md"))}
        assert not lost, f"{name}: {sorted(lost)[:5]}"


def test_both_builders_work_without_a_network(built: Built, tmp_path: Path) -> None:
    """What the pages need is in the user's cache after the first time, the playground too."""
    isolated = shutil.which("unshare")
    if isolated is None or subprocess.run([isolated, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare cannot take the network away here")
    checkout = tmp_path / "checkout"
    shutil.copytree(built.checkout, checkout, ignore=shutil.ignore_patterns(".git", "site", ".cache"))
    script = """set -e
python tools/pages.py
mkdocs build --strict -d mkdocs-site
zensical build --clean --strict
python tools/pages.py --seal site"""
    done = subprocess.run(
        [isolated, "-rn", "bash", "-c", script],
        cwd=checkout,
        env={**os.environ, "PATH": terminal.PATH, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for site in ("mkdocs-site", "site"):
        made = checkout / site
        assert "Content-Security-Policy" in (made / "migration" / "index.html").read_text()
        assert (made / "assets" / "playground").is_dir() == (built.html / "assets" / "playground").is_dir()


def test_a_build_reports_a_broken_link(built: Built, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(built.checkout, checkout, ignore=shutil.ignore_patterns(".git", "site"))
    with (checkout / "docs" / "first-tree.md").open("a") as f:
        f.write("\n[nowhere](nowhere.md) and [no anchor](migration.md#no-such-heading)\n")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "no-such-heading" in done.stderr
