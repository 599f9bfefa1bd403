"""Fetching an archive: from any honest index, by any of its ways; a faulty one is named, within bounded time."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvroles.digest import sha256
from kvroles.errors import NoSource
from kvroles.series.lock import ArchiveRow
from kvroles.sources import attempts, cache, http
from kvroles.sources import index as index_module
from support import index_server as answers
from support.driver import Ran
from support.files import contents
from support.index_server import IndexServer
from support.mounts import Mounts
from support.tiny import ARCHIVE, Tiny

pytestmark = pytest.mark.slow

FILE = f"/files/{ARCHIVE}"
PAGE = "/simple/vllm/"
Fetching = Callable[..., Ran]


def no_trace(tmp_path: Path) -> None:
    """Nothing was built, and nothing under the archive's name is in the cache."""
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "cache/archives" / ARCHIVE).exists()


# Honest indexes.


@pytest.mark.parametrize("as_json", [False, True], ids=["html", "json"])
@pytest.mark.parametrize("href", ["relative", "rooted", "absolute", "other host", "escaped"])
def test_an_index_may_answer_in_html_or_json_with_any_kind_of_url(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path, href: str, as_json: bool
) -> None:
    urls = {
        "relative": f"../..{FILE}#sha256=00",
        "rooted": FILE,
        "absolute": f"{index.base}{FILE}",
        "other host": f"{index.base.replace('127.0.0.1', 'localhost')}{FILE}?key=1",
        "escaped": FILE.replace("-", "%2D") + "#x",
    }
    index.serve(ARCHIVE, tiny.archive().read_bytes(), href=urls[href], as_json=as_json)
    index.on(FILE.replace("-", "%2D"), answers.file(tiny.archive().read_bytes()))
    fetching().ok()
    assert (tmp_path / "cache/archives" / ARCHIVE).read_bytes() == tiny.archive().read_bytes()


def test_html_with_a_base_and_newer_attributes(fetching: Fetching, index: IndexServer, tiny: Tiny) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    page = (
        f'<html><head><base href="{index.base}/files/"></head><body><a>no address</a>'
        f'<A HREF="{ARCHIVE}" data-requires-python="&gt;=3.9" data-yanked="">x</A></body>'
    ).encode()
    index.on(PAGE, lambda r: r.reply(200, page, Content_Type="text/html"))
    fetching().ok()


def test_redirects_are_followed_and_links_resolved_where_they_lead(
    fetching: Fetching, index: IndexServer, tiny: Tiny
) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    index.on(PAGE, answers.moved("/mirror/deep/er/vllm/", 301))
    index.on("/mirror/deep/er/vllm/", answers.html_page([(ARCHIVE, f"../../../..{FILE}")]))
    fetching().ok()


def test_a_folder_of_files_is_an_index_too(fetching: Fetching, tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "wheelhouse/simple/vllm"
    folder.mkdir(parents=True)
    shutil.copy(tiny.archive(), folder)
    (folder / "index.html").write_text(f'<html><a href="{ARCHIVE}">x</a></html>')
    fetching(url=(tmp_path / "wheelhouse/simple").as_uri()).ok()


def test_a_cached_archive_asks_nobody(fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "cache/archives").mkdir(parents=True)
    shutil.copy(tiny.archive(), tmp_path / "cache/archives")
    fetching().ok()
    assert index.asked == []


def test_a_damaged_cached_archive_is_fetched_again(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path
) -> None:
    (tmp_path / "cache/archives").mkdir(parents=True)
    (tmp_path / "cache/archives" / ARCHIVE).write_bytes(tiny.archive().read_bytes()[:-9])
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    fetching().ok()
    assert (tmp_path / "cache/archives" / ARCHIVE).read_bytes() == tiny.archive().read_bytes()


def test_the_cache_holds_nothing_but_archives_when_done(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path
) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    fetching().ok()
    assert {p for p in contents(tmp_path / "cache") if not p.endswith(".lock")} == {f"archives/{ARCHIVE}"}


# Broken downloads.


def test_a_broken_download_is_resumed_where_it_broke(fetching: Fetching, index: IndexServer, tiny: Tiny) -> None:
    data = tiny.archive().read_bytes()
    third = len(data) // 3
    index.serve(ARCHIVE, data)
    index.on(FILE, answers.cut(data, third), answers.cut(data, third), answers.file(data))
    fetching().ok()
    assert [a.headers.get("range") for a in index.asked_for(FILE)] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_download_broken_by_a_kill_is_resumed_by_the_next_run(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path
) -> None:
    data = tiny.archive().read_bytes()
    index.serve(ARCHIVE, data)
    index.on(FILE, answers.cut(data, 500), answers.nothing, answers.nothing, answers.nothing)
    fetching().refused(4)
    index.on(FILE, answers.file(data))
    fetching().ok()
    assert index.asked_for(FILE)[-1].headers["range"] == "bytes=500-"


def test_a_server_without_ranges_is_asked_from_the_start(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path
) -> None:
    data = tiny.archive().read_bytes()
    index.serve(ARCHIVE, data)
    index.on(FILE, answers.cut(data, 500), answers.whole(data))
    fetching().ok()


def test_a_part_that_the_server_will_not_continue_is_thrown_away(
    fetching: Fetching, index: IndexServer, tiny: Tiny
) -> None:
    data = tiny.archive().read_bytes()
    index.serve(ARCHIVE, data)
    index.on(FILE, answers.cut(data, 500), answers.status(416), answers.file(data))
    fetching().ok()


@pytest.mark.parametrize("junk", [b"junk", b"junk" * 100_000])
def test_a_part_that_never_was_of_this_file_is_thrown_away(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path, junk: bytes
) -> None:
    data = tiny.archive().read_bytes()
    part = tmp_path / "cache/archives" / f".{ARCHIVE}.{sha256(data)[:12]}.part"
    part.parent.mkdir(parents=True)
    for leftover in (junk, junk[:1] * len(data)):
        part.write_bytes(leftover)
        index.serve(ARCHIVE, data)
        fetching().ok()
        assert not part.exists()
        (tmp_path / "cache/archives" / ARCHIVE).unlink()
        shutil.rmtree(tmp_path / "new")


def test_a_lie_in_the_range_is_found_out_by_the_hash(fetching: Fetching, index: IndexServer, tiny: Tiny) -> None:
    data = tiny.archive().read_bytes()
    index.serve(ARCHIVE, data)
    index.on(FILE, answers.cut(data, 500), lambda r: r.reply(206, data[400:-100]), answers.file(data))
    fetching().ok()


# Faulty indexes: (what the page or file answers, phrases of the last word).

DATA = b"not the archive"
FAULTY_PAGES = {
    "404": (answers.status(404), "answered 404"),
    "403": (answers.status(403), "answered 403"),
    "500": (answers.status(500), "4 attempts: it answered 500"),
    "503": (answers.status(503, Retry_After="0"), "4 attempts: it answered 503"),
    "429": (answers.status(429), "4 attempts: it answered 429"),
    "garbage text": (lambda r: r.reply(200, b"hello", Content_Type="text/plain"), "no index page"),
    "garbage html": (lambda r: r.reply(200, b"\xff<![x <a <a href", Content_Type="text/html"), "index"),
    "html without files": (answers.html_page([]), "does not hold"),
    "a login page": (
        lambda r: r.reply(200, b"<html><a href='/login'>log in</a></html>", Content_Type="text/html"),
        "does not hold",
    ),
    "other files": (answers.html_page([("vllm-0.0.1.tar.gz", "x")]), "1 other file"),
    "broken json": (lambda r: r.reply(200, b'{"files": [', Content_Type="application/json"), "no index page"),
    "other json": (lambda r: r.reply(200, b'{"detail": []}', Content_Type="application/json"), "no index page"),
    "deep json": (lambda r: r.reply(200, b"[" * 200_000, Content_Type="application/json"), "no index page"),
    "a link that is no url": (answers.html_page([(ARCHIVE, f"http://[bad/{ARCHIVE}")]), "no index page"),
    "a json link that is no url": (answers.json_page([(ARCHIVE, "http://[bad/")]), "no index page"),
    "a json link to nowhere": (answers.json_page([(ARCHIVE, f"gopher://x/{ARCHIVE}")]), "gopher"),
    "not http": (answers.garbage, "4 attempts"),
    "hangs up": (answers.nothing, "4 attempts"),
    "says nothing": (answers.hanging, "4 attempts: timed out"),
    "cut page": (answers.cut(b"<html>" * 100, 50), "4 attempts: it broke off after 50 of 600 bytes"),
    "a redirect loop": (answers.moved(PAGE), "redirect"),
    "a redirect to a file": (answers.moved("file:///etc/hostname"), "302"),
    "a redirect to nowhere": (answers.moved("http://127.0.0.1:9/x"), "4 attempts: Connection refused"),
}


@pytest.mark.parametrize("fault", FAULTY_PAGES)
def test_a_faulty_index_page_is_named(fetching: Fetching, index: IndexServer, tmp_path: Path, fault: str) -> None:
    answer, words = FAULTY_PAGES[fault]
    index.on(PAGE, answer)
    fetching(timeout_s=0.3 if answer is answers.hanging else 30).refused(4, words, "--index-url")
    no_trace(tmp_path)


FAULTY_FILES = {
    "404": (4, answers.status(404), "answered 404"),
    "500": (4, answers.status(500), "4 attempts: it answered 500"),
    "says nothing": (4, answers.hanging, "4 attempts: timed out"),
    "short, honestly": (4, answers.file(DATA), "4 attempts: it sent 15 of"),
    "short, without ranges": (4, answers.whole(DATA), "4 attempts: it sent 15 of"),
    "short, announced longer": (4, answers.lying(DATA, 10**6), "4 attempts"),
    "announced shorter": (4, answers.lying(DATA * 1000, 10), "4 attempts: it sent 10 of"),
    "without end": (4, answers.lying(DATA * 10**5, 15 * 10**5), "4 attempts: it sends more than"),
    "a redirect loop": (4, answers.moved(FILE), "redirect"),
    "cut every time": (4, answers.cut(DATA * 10**5, 10), "4 attempts: it broke off"),
}


@pytest.mark.parametrize("fault", FAULTY_FILES)
def test_a_faulty_file_is_named(fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path, fault: str) -> None:
    code, answer, words = FAULTY_FILES[fault]
    index.serve(ARCHIVE, b"")
    index.on(FILE, answer)
    fetching(timeout_s=0.3 if answer is answers.hanging else 30).refused(code, words)
    no_trace(tmp_path)


def test_a_file_of_the_right_size_and_another_hash_is_refused(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path
) -> None:
    data = bytes(reversed(tiny.archive().read_bytes()))
    index.serve(ARCHIVE, data)
    ran = fetching()
    ran.refused(3, f"{index.base}{FILE} is not the archive", sha256(data), sha256(tiny.archive().read_bytes()))
    no_trace(tmp_path)
    assert not list((tmp_path / "cache/archives").glob(".*part"))


def test_a_slow_server_is_given_up(monkeypatch: pytest.MonkeyPatch, index: IndexServer, tmp_path: Path) -> None:
    monkeypatch.setattr(http, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(attempts, "_PAUSES_S", (0, 0, 0))
    index.on(FILE, answers.dripping(b"x" * 10_000, 0.05))
    with (tmp_path / "part").open("a+b") as part, pytest.raises(NoSource, match="sends less than 50 kB/s"):
        http.download(f"{index.base}{FILE}", part, 10_000, "Check", lambda _: None)


def test_a_server_may_ask_for_a_pause_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, index: IndexServer, tmp_path: Path
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    index.on("/x", *[answers.status(503, Retry_After=s) for s in ("2", "86400", "never")], answers.whole(b"ok"))
    assert http.get_page(f"{index.base}/x", "*/*", "")[0] == b"ok"
    assert pauses == [2.0, 10.0, 4.0]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/simple", "http://no-such-host.invalid/simple", "http://127.0.0.1:x/simple", "http://[::1/simple",
     "http://127.0.0.1:99999/simple", "nonsense", "ftp://x/simple", "http://a b/simple", "http:///simple",
     "file:///no/such/folder", "https://127.0.0.1:9/simple"],
)  # fmt: skip
def test_an_index_that_is_not_there_is_named(fetching: Fetching, tmp_path: Path, url: str) -> None:
    fetching(url=url).refused(4, "--index-url")
    no_trace(tmp_path)


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(["html", "json"]))
def test_no_page_whatever_makes_it_crash(body: bytes, kind: str) -> None:
    read = index_module.files_of
    try:
        read(body, f"text/{kind}", "http://x/simple/vllm/")
    except ValueError:
        pass


# The cache.


def test_concurrent_runs_fetch_once(index: IndexServer, tiny: Tiny, tmp_path: Path) -> None:
    data = tiny.archive().read_bytes()
    index.serve(ARCHIVE, data)
    row = ArchiveRow(ARCHIVE, sha256(data), len(data))
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(cache.archive_bytes(row, tmp_path, index_url=index.url)))
        for _ in range(6)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert got == [data] * 6
    assert len(index.asked_for(FILE)) == 1


def test_a_full_disk_under_the_cache_is_not_blamed_on_the_network(
    fetching: Fetching, index: IndexServer, tmp_path: Path, tiny: Tiny, mounts: Mounts
) -> None:
    mounts.small_disk(tmp_path / "cache", "8k")
    (tmp_path / "cache/filler").write_bytes(b"x" * 7000)
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    fetching().refused(4, "No space left", "Free some space")
    assert len(index.asked_for(FILE)) <= 1
    no_trace(tmp_path)


def test_a_cache_that_cannot_be_written_is_named(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path, read_only: Callable[..., None]
) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    (tmp_path / "cache").mkdir()
    read_only(tmp_path / "cache")
    fetching().refused(4, "cache", "Read-only file system" if os.geteuid() == 0 else "Permission denied")
    no_trace(tmp_path)


def test_a_cache_that_is_a_file_is_named(fetching: Fetching, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    fetching().refused(4, "cache", "--cache-dir")


def test_a_cache_that_cannot_be_written_serves_what_it_holds(
    fetching: Fetching, tiny: Tiny, tmp_path: Path, read_only: Callable[..., None]
) -> None:
    (tmp_path / "cache/archives").mkdir(parents=True)
    shutil.copy(tiny.archive(), tmp_path / "cache/archives")
    read_only(tmp_path / "cache")
    fetching().ok()
