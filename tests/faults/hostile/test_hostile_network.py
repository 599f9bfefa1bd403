"""An index, a proxy and whoever stands between: what they answer costs bounded time, and learns no credential."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvroles.errors import KvRolesError, NoSource
from kvroles.sources import address, attempts, credentials, http, index
from support import index_server as answers
from support.driver import Ran
from support.index_server import IndexServer
from support.tiny import ARCHIVE, Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]
SECRET = "s3cret"


# Time.


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes, bytes], str]]:
    """``dripping(start, drop)``: the address of a server that answers ``start`` and then ``drop`` again and again."""
    stop = threading.Event()
    listeners = []

    def serve(start: bytes, drop: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk(line: socket.socket) -> None:
            with line:
                try:
                    line.recv(1 << 16)
                    line.sendall(start)
                    while not stop.wait(0.02):
                        line.sendall(drop)
                except OSError:
                    pass

        def accept() -> None:
            while not stop.is_set():
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/simple"

    yield serve
    stop.set()
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"x"),
        (b"HTTP/1.1 302 Found\r\nLocation: ", b"x"),
    ],
    ids=[
        "100 Continue",
        "status",
        "headers",
        "a header",
        "a chunk size",
        "a trailer",
        "a body",
        "a body without measure",
        "a redirect",
    ],
)
def test_a_server_that_drips_does_not_hold_a_run_for_ever(
    fetching: Apply, dripping: Callable[[bytes, bytes], str], tmp_path: Path, start: bytes, drop: bytes
) -> None:
    fetching(url=dripping(start, drop), timeout_s=0.5).refused(4)
    assert not (tmp_path / "new").exists()


# Size.


@pytest.mark.parametrize("as_json", [True, False])
def test_a_page_that_is_zipped_unasked_is_read(fetching: Apply, index: IndexServer, tiny: Tiny, as_json: bool) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    kind = "application/vnd.pypi.simple.v1+json" if as_json else "text/html"
    plain = f'<a href="../../files/{ARCHIVE}">{ARCHIVE}</a>'
    if as_json:
        plain = json.dumps({"files": [{"filename": ARCHIVE, "url": f"../../files/{ARCHIVE}"}]})
    body = gzip.compress(plain.encode())
    index.on("/simple/vllm/", lambda r: r.reply(200, body, Content_Type=kind, Content_Encoding="gzip"))
    fetching().ok()


def test_a_page_that_unpacks_to_a_bomb_is_refused(index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_PAUSES_S", (0.0, 0.0, 0.0))
    body = gzip.compress(bytes(64 << 20))
    index.on("/x", lambda r: r.reply(200, body, Content_Type="text/html", Content_Encoding="gzip"))
    with pytest.raises(NoSource, match="unpacks to more"):
        http.get_page(f"{index.base}/x", "*/*", "Check", limit=1 << 20)


# Addresses.

PARTS = st.text(st.characters(codec="utf-8") | st.sampled_from("@:/?#%\\ \t[]"), max_size=8)


@given(st.sampled_from(["http", "https", "HTTPS", "ftp", "", "ssh", "http:/"]), PARTS, PARTS, PARTS)
def test_no_form_of_an_address_gives_away_what_stands_before_its_host(scheme: str, a: str, b: str, c: str) -> None:
    for url in (
        f"{scheme}://{a}{SECRET}{b}@{c}",
        f"{scheme}://{a}:{SECRET}{b}@{c}/x",
        f"{a}:{SECRET}{b}@{c}",
        f"{scheme}:/{a}:{SECRET}@{c}",
        f"{scheme}://h{a}/x?{b}={SECRET}",
    ):
        if url.startswith(("/", "./", "../")):
            continue  # a path of the user's own
        assert SECRET not in address.shown(url), url
        found = address.parsed(url)
        if found is not None:
            assert SECRET not in found.host
            assert SECRET not in found.path
        if address.of_repository(url) is not None:  # git is given no other, so that it names no other
            assert SECRET not in address.without_secrets(f"fatal: unable to access '{url}': no")


@given(st.text(max_size=40))
def test_any_text_at_all_is_an_address_or_none(text: str) -> None:
    for url in (text, f"http://{text}", f"https://h/{text}"):
        found = address.parsed(url)
        if found is not None:
            assert found.url.isascii()
            assert address.parsed(found.whole) == found
        address.shown(url).encode()
        address.of_repository(url)


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{SECRET}@127.0.0.1:0/simple",
        f"http://u:{SECRET}@127.0.0.1 /simple",
        f"u:{SECRET}@127.0.0.1/simple",
        f"https:/u:{SECRET}@127.0.0.1",
        f"http://u:{SECRET}/w@127.0.0.1/simple",
        f"HTTP://u:{SECRET}@127.0.0.1:1/simple",
        f"http://127.0.0.1:1/simple?token={SECRET}",
        f"http://u:{SECRET}@127.0.0.1:99999/simple",
        f"http://u:{SECRET}@[::1/simple",
        f"http://\u00fc{SECRET}\ud800@h/simple",
    ],
)
def test_an_index_address_keeps_its_password(fetching: Apply, url: str) -> None:
    ran = fetching(url=url, timeout_s=2)
    assert ran.code == 4
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize(
    "link",
    [
        "{base}:0/x",
        "{base}/a b",
        "http://u:s3cret@h /x",
        "http://u:s3cret@h:0/x",
        "u:s3cret@h",
        "http://\ud800/",
        "//[",
        "ftp://u:s3cret@h/x",
        "{base}/gone?X-Amz-Signature=s3cret&token=s3cret",
    ],
)
def test_a_link_of_an_index_keeps_its_password(fetching: Apply, index: IndexServer, link: str) -> None:
    href = link.format(base=index.base)
    body = json.dumps({"files": [{"filename": ARCHIVE, "url": href}]}).encode()
    index.on("/simple/vllm/", lambda r: r.reply(200, body, Content_Type="application/vnd.pypi.simple.v1+json"))
    ran = fetching(timeout_s=2).refused(4)
    assert SECRET not in ran.err


@pytest.mark.parametrize("where", ["filename", "url", "digest"])
def test_half_a_character_in_an_index_ends_in_no_traceback(
    fetching: Apply, index: IndexServer, tiny: Tiny, where: str
) -> None:
    half = {"filename": f"\ud800{ARCHIVE}", "url": "../../files/\ud800", "digest": "\ud800"}
    file = {"filename": ARCHIVE, "url": f"../../files/{ARCHIVE}", "hashes": {}}
    file |= {"hashes": {"sha256": half["digest"]}} if where == "digest" else {where: half[where]}
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    body = json.dumps({"meta": {"api-version": "1.1"}, "files": [file]}).encode()
    kind = "application/vnd.pypi.simple.v1+json"
    index.on("/simple/vllm/", lambda r: r.reply(200, body, Content_Type=kind))
    ran = fetching()
    assert ran.code == (0 if where == "digest" else 4)  # the lock's hash counts, not the index's
    assert "Traceback" not in ran.err


def test_an_index_address_of_other_letters_is_refused_in_words(fetching: Apply) -> None:
    fetching(url="http://\u4f8b\u5b50.invalid/\u4f8b", timeout_s=2).refused(4, "xn--")


# Credentials.


def redirect(to: str) -> answers.Answer:
    return lambda r: r.reply(302, Location=to)


def authorization(index: IndexServer, path: str) -> list[str | None]:
    return [a.headers.get("authorization") for a in index.asked_for(path)]


@pytest.fixture
def netrc(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    def write(text: str) -> dict[str, str]:
        (tmp_path / "netrc").write_text(text)
        (tmp_path / "netrc").chmod(0o600)
        return {"NETRC": str(tmp_path / "netrc")}

    return write


def test_the_default_entry_of_netrc_goes_to_the_named_host_alone(
    fetching: Apply, index: IndexServer, tiny: Tiny, netrc: Callable[[str], dict[str, str]]
) -> None:
    elsewhere = index.base.replace("127.0.0.1", "localhost")
    path = index.serve(ARCHIVE, tiny.archive().read_bytes(), href=f"{elsewhere}/files/{ARCHIVE}")
    fetching(env=netrc(f"default login u password {SECRET}\n")).ok()
    assert authorization(index, "/simple/vllm/") != [None]
    assert authorization(index, path) == [None]


def test_a_redirect_to_a_host_that_netrc_knows_carries_its_credentials(
    fetching: Apply, index: IndexServer, tiny: Tiny, netrc: Callable[[str], dict[str, str]]
) -> None:
    elsewhere = index.base.replace("127.0.0.1", "localhost")
    path = index.serve(ARCHIVE, tiny.archive().read_bytes(), href="/moved", as_json=True)
    index.on("/moved", redirect(f"{elsewhere}{path}"))
    fetching(env=netrc(f"machine localhost login u password {SECRET}\n")).ok()
    assert authorization(index, path) != [None]


def test_credentials_in_a_redirect_are_not_looked_up_as_a_host(fetching: Apply, index: IndexServer, tiny: Tiny) -> None:
    path = index.serve(ARCHIVE, tiny.archive().read_bytes(), href="/moved", as_json=True)
    index.on("/moved", redirect(f"{index.base.replace('://', f'://u:{SECRET}@')}{path}"))
    fetching().ok()
    assert authorization(index, path) != [None]


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://h/x", f"http://u:{SECRET}@h:0/x", "http://a b/", "//["])
def test_no_redirect_leads_to_a_file_or_gives_away_a_password(fetching: Apply, index: IndexServer, to: str) -> None:
    index.on("/simple/vllm/", redirect(to))
    ran = fetching().refused(4, "302")
    assert SECRET not in ran.err


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("scheme", ["file://", "FILE://localhost", "file:"])
def test_no_index_leads_to_a_file_of_this_machine(
    fetching: Apply, index: IndexServer, tiny: Tiny, scheme: str, as_json: bool
) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes(), href=f"{scheme}{tiny.archive()}", as_json=as_json)
    fetching().refused(4, "a file of this machine")


def test_a_redirect_carries_no_credentials_to_another_port(fetching: Apply, index: IndexServer, tiny: Tiny) -> None:
    with IndexServer() as other:
        path = other.serve(ARCHIVE, tiny.archive().read_bytes())
        index.serve(ARCHIVE, b"", href="/moved", as_json=True)
        index.on("/moved", redirect(f"{other.base}{path}"))
        fetching(url=index.url.replace("://", f"://u:{SECRET}@")).ok()
        assert authorization(index, "/moved") != [None]
        assert authorization(other, path) == [None]


@pytest.mark.parametrize(
    "proxy", [f"http://u:{SECRET}/w@127.0.0.1:1", f"http://u:{SECRET}@127.0.0.1:x", f"u:{SECRET}@[::"]
)
def test_a_proxy_s_address_keeps_its_password(fetching: Apply, index: IndexServer, proxy: str) -> None:
    ran = fetching(env={"http_proxy": proxy, "no_proxy": ""}, url="http://index.invalid/simple", timeout_s=2).refused(4)
    assert SECRET not in ran.err


def test_credentials_are_kept_out_of_what_a_program_prints_of_an_address() -> None:
    found = address.parsed(f"https://u:{SECRET}@h/x?sig={SECRET}")
    assert found is not None
    assert SECRET not in repr(found)
    assert SECRET not in repr(address.of_repository(f"https://u:{SECRET}@h/x"))
    assert credentials.authorization(found) is not None


# What lies around.


def test_a_pip_of_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pip.py", "pip3", "pip"):
        (tmp_path / name).write_text(
            f"#!/bin/sh\n''':'\ntouch {tmp_path}/canary\n'''\nopen('{tmp_path}/canary', 'w')\n"
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f".{':'}")
    monkeypatch.setenv("PATH", ":.")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    try:
        index.default_index()
    except KvRolesError:
        pass
    assert not (tmp_path / "canary").exists()


_PAGE = b"<a href=x>vllm-0.22.1.tar.gz</a>"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
ODD = {
    "an encoding nobody has": b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=evil\r\n\r\n" + _PAGE,
    "an encoding that is none of text": b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=hex\r\n\r\n" + _PAGE,
    "two hundred headers": _OK + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n" + _PAGE,
    "a header of a megabyte": _OK + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n" + _PAGE,
    "no headers at all": _PAGE,
    "a status that is none": b"HTTP/1.1 -1 x\r\n\r\n",
    "another protocol": b"HTTP/9.9 200 OK\r\n\r\n" + _PAGE,
    "a length below nothing": _OK + b"Content-Length: -5\r\n\r\n" + _PAGE,
    "a length of thirty digits": _OK + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n" + _PAGE,
    "a chunk below nothing": _OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx",
    "a chunk larger than all memory": _OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    "a coding that nobody asked for": _OK + b"Content-Encoding: br\r\n\r\nx",
    "a zip that is cut": _OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
    "come back in thirty years": b"HTTP/1.1 503 S\r\nRetry-After: 1000000000\r\nContent-Length: 0\r\n\r\n",
    "come back when it is no number": b"HTTP/1.1 503 S\r\nRetry-After: nan\r\nContent-Length: 0\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n",
    "a redirect that is no address": b"HTTP/1.1 302 F\r\nLocation: http://a\xe2\x80\xaeb\x1b[2J/\r\nContent-Length: 0\r\n\r\n",
    "a redirect to its own data": b"HTTP/1.1 302 F\r\nLocation: data:text/html,x\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_no_answer_that_http_does_not_know_ends_in_a_traceback_or_is_obeyed(
    fetching: Apply, index: IndexServer, tmp_path: Path, name: str
) -> None:
    def answer(r: answers.Request) -> None:
        r.wfile.write(ODD[name])
        r.close_connection = True

    index.on("/simple/vllm/", answer)
    ran = fetching(timeout_s=5)
    assert (ran.code, ran.out) == (4, ""), ran
    assert "Traceback" not in ran.err
    assert ran.said.isprintable()
    assert not (tmp_path / "new").exists()
