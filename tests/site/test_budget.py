"""What a page costs a reader on a slow line: bytes, requests, and words before any script has run."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .conftest import Built
from .visit import playwright

LIMIT = 300_000  # bytes of the guide and all that it loads, compressed
PAGES = [
    "migration/",
    "",
    "does-my-release-care/",
    "howto/rewrite-configs/",
    "symptoms/",
    "playground/",
    "howto/many-repositories/",
    "404.html",
]


class _Packed(http.server.SimpleHTTPRequestHandler):
    """Serves as the hosts of static sites do: text compressed. ``sent`` counts the bytes of bodies."""

    sent = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            self.send_error(404)
            return
        body = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with self.lock:
            type(self).sent += len(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def packed(built: Built) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Packed, directory=str(built.www)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/dev/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_and_all_that_it_loads_stays_within_its_budget(
    path: str,
    packed: str,
    browser: playwright.Browser,
) -> None:
    """A first visit, until the network is idle: the search and its index are loaded when somebody searches."""
    page = browser.new_page()
    answers: list[playwright.Response] = []
    page.on("response", lambda r: answers.append(r))
    before = _Packed.sent
    page.goto(packed + path, wait_until="networkidle")
    size = _Packed.sent - before
    print(f"{path or 'home'}: {size} bytes, {len(answers)} requests")
    assert size < LIMIT, sorted((len(a.body()), a.url) for a in answers)
    assert not [(a.status, a.url) for a in answers if a.status >= 400]
    assert {urlsplit(a.url).netloc for a in answers} == {urlsplit(packed).netloc}
    page.close()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "Does it break today?"),
        ("migration/", "Moving NIXL off kv_both"),
        ("does-my-release-care/", "Delay before freed blocks are used again"),
        ("path/", "If you set explicit roles"),
        ("symptoms/", "is deprecated"),
    ],
)
def test_a_page_can_be_read_before_and_without_scripts(
    path: str,
    words: str,
    packed: str,
    browser: playwright.Browser,
) -> None:
    """Scripts that never arrive keep no word back, and nothing of the text is hidden until they run."""
    page = browser.new_page()
    page.route("**/*.js", lambda route: route.abort())
    page.goto(packed + path, wait_until="domcontentloaded")
    assert page.get_by_text(words).first.is_visible()
    page.close()


def test_no_script_holds_up_the_first_paint(built: Built) -> None:
    """In the head stand no scripts of other files; those of the theme and ours come behind the text."""
    for page in sorted(built.html.rglob("*.html")):
        head = page.read_text("utf-8").partition("</head>")[0]
        assert "<script src" not in head, page
