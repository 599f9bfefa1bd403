"""The site as readers get it: deployed with mike into a repository of the test's own, served on this machine."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support import docs, terminal
from support.lacking import lacking

from .world import World

if TYPE_CHECKING:
    from .visit import Watched, playwright

EDIT_URI = "https://github.com/example/vllm-kv-roles/edit/main/docs/"
SCREENSHOTS = docs.ROOT / "build" / "screenshots"
# Chromium would else call home at its start; as root it needs --no-sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.site)


@dataclass(frozen=True)
class Built:
    """``checkout``: the sources with their generated pages. ``www``: what is served. ``html``: one version's folder in it."""

    checkout: Path
    www: Path
    html: Path


def tool(name: str, *words: str, cwd: Path, **env: str) -> str:
    """Run a script of ``cwd``, or a command of this environment; returns what it printed, and fails with it."""
    command = [sys.executable, name] if name.endswith(".py") else [str(Path(sys.executable).parent / name)]
    return terminal.output(
        *command, *words, cwd=cwd, env={**os.environ, "PATH": terminal.PATH, "NO_MKDOCS_2_WARNING": "1", **env}
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Deployed as version ``dev``, which is also ``latest`` and the default."""
    for module in ("mkdocs", "material", "mike"):
        pytest.importorskip(module, reason="the site's builders are missing: pip install -e '.[docs,site]'")
    folder = tmp_path_factory.mktemp("site")
    checkout = docs.checkout(folder / "checkout")
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "site"), ("EMAIL", "site@localhost"))
    }

    def git(*words: str) -> bytes:
        return subprocess.run(
            ["git", "-C", str(checkout), *words], env={**os.environ, **identity}, capture_output=True, check=True
        ).stdout

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "sources")
    tool("tools/pages.py", cwd=checkout)
    repo = {
        "REPO_URL": EDIT_URI.split("/edit/")[0],
        "EDIT_URI": EDIT_URI,
        "SITE_VERSIONS": "mike",
        "SITE_URL": "http://localhost/",
    }
    tool("mike", "deploy", "--update-aliases", "dev", "latest", cwd=checkout, **repo, **identity)
    tool("mike", "set-default", "-T", "overrides/redirect.html", "latest", cwd=checkout, **identity)
    www = folder / "www"
    www.mkdir()
    packed = git("archive", "gh-pages")
    subprocess.run(["tar", "xf", "-", "-C", str(www)], input=packed, check=True)
    return Built(checkout, www, www / "dev")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """``folder`` as a web site of this machine: its address, with a slash at the end."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def address(built: Built) -> Iterator[str]:
    """Where version ``dev`` is served, with a slash at the end."""
    with served(built.www) as root:
        yield f"{root}dev/"


@pytest.fixture(scope="session")
def zensical(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as zensical builds it, with its policies."""
    pytest.importorskip("zensical", reason="zensical is missing: pip install -e '.[docs]'")
    checkout = tmp_path_factory.mktemp("zensical") / "checkout"
    shutil.copytree(built.checkout, checkout, ignore=shutil.ignore_patterns(".git", "site", ".cache"))
    assert "No issues found" in tool("zensical", "build", "--clean", "--strict", cwd=checkout)
    assert "pages have their policy" in tool("tools/pages.py", "--seal", "site", cwd=checkout)
    return checkout / "site"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium; skips, with the reason, where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        lacking(f"no browser: none of {', '.join(names)} is installed")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[playwright.Browser]:
    """One browser for the tests of a module."""
    from .visit import playwright

    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def reader(browser: playwright.Browser, address: str) -> Iterator[Callable[..., Watched]]:
    """``reader(viewport=..., color_scheme=...)``: a new visitor. Console errors and requests elsewhere fail the test."""
    from .visit import DESKTOP, Watched

    seen: list[Watched] = []
    contexts = []

    def visit(**options: object) -> Watched:
        context = browser.new_context(**{"viewport": DESKTOP, **options})  # type: ignore[arg-type]
        context.set_default_timeout(120_000)  # ends a test that hangs; a machine under load is no fault of the site
        contexts.append(context)
        w = Watched(context.new_page(), address)
        host = urlsplit(address).netloc
        w.page.on("console", lambda m: w.faults.append(f"console: {m.text}") if m.type == "error" else None)
        w.page.on("pageerror", lambda e: w.faults.append(f"script: {e}"))
        w.page.on("response", lambda r: w.faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        w.page.on(
            "request",
            lambda r: (
                w.faults.append(f"leaves the site: {r.url}")
                if urlsplit(r.url).scheme.startswith(("http", "ws")) and urlsplit(r.url).netloc != host
                else None
            ),
        )
        seen.append(w)
        return w

    yield visit
    for context in contexts:
        context.close()
    for w in seen:
        assert not w.faults


@pytest.fixture
def world(tmp_path: Path, archive: Callable[[str], Path]) -> World:
    """A checkout, a clone and an index of the test's own, for the commands of the pages."""
    return World(tmp_path, archive)
