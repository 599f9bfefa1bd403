"""A package index on this machine that serves files as told, honestly or not."""

from __future__ import annotations

import html
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answer = Callable[["Request"], None]


@dataclass
class Asked:
    """One request the server has had."""

    path: str
    headers: dict[str, str]


class Request(http.server.BaseHTTPRequestHandler):
    """One request; the faults below are functions of it."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}))
            answers = self.server.answers.get(self.path.partition("?")[0])
            answer = None if not answers else answers.pop(0) if len(answers) > 1 else answers[0]
        (answer or status(404))(self)

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, code: int, body: bytes = b"", **headers: str) -> None:
        """A complete answer."""
        self.send_response(code)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def handle_error(self, *_: Any) -> None:
        pass  # a client that hangs up is what some tests are about


@dataclass
class IndexServer:
    """``with IndexServer() as index``: ``index.url`` is its simple index. Answers are given per path."""

    _server: _Server = field(default_factory=_Server)
    _scheme: str = "http"

    def __enter__(self) -> IndexServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def speak_tls(self, certificate: Path) -> None:
        """From now on, speak TLS with ``certificate`` (its key beside it as ``.key``)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https"

    @property
    def base(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.base}/simple"

    @property
    def asked(self) -> list[Asked]:
        """What has been asked for, in order."""
        with self._server.lock:
            return list(self._server.asked)

    def asked_for(self, path: str) -> list[Asked]:
        return [a for a in self.asked if a.path == path]

    def on(self, path: str, *answers: Answer) -> None:
        """Answer ``path`` with each of ``answers`` in turn, and with the last from then on."""
        self._server.answers[path] = list(answers)

    def serve(self, name: str, data: bytes, *, href: str | None = None, as_json: bool = False) -> str:
        """Serve ``data`` as file ``name`` of project vllm, listed under ``href``; returns the file's path here."""
        path = f"/files/{name}"
        listing = json_page if as_json else html_page
        self.on("/simple/vllm/", listing([(name, href or f"../..{path}#sha256=0")]))
        self.on(path, file(data))
        return path


def html_page(links: list[tuple[str, str]]) -> Answer:
    """A project page as PEP 503 has it."""
    anchors = "".join(f'<a href="{html.escape(href)}">{name}</a><br/>\n' for name, href in links)
    body = f"<!DOCTYPE html><html><body>{anchors}</body></html>".encode()
    return lambda r: r.reply(200, body, Content_Type="text/html; charset=utf-8")


def json_page(links: list[tuple[str, str]]) -> Answer:
    """A project page as PEP 691 has it."""
    body = json.dumps({"meta": {"api-version": "1.0"}, "files": [{"filename": n, "url": u} for n, u in links]}).encode()
    return lambda r: r.reply(200, body, Content_Type="application/vnd.pypi.simple.v1+json")


def file(data: bytes) -> Answer:
    """A file: whole, from where the client asks for it, or the part that it asks for."""

    def answer(r: Request) -> None:
        span = r.headers.get("Range", "")
        if span.startswith("bytes="):
            first, _, last = span[6:].partition("-")
            start, end = int(first), min(int(last or len(data)), len(data) - 1)
            if start >= len(data):
                r.reply(416)
                return
            r.reply(206, data[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(data)}")
        else:
            r.reply(200, data, Content_Type="application/octet-stream")

    return answer


def whole(data: bytes) -> Answer:
    """A file from a server that knows no ranges."""
    return lambda r: r.reply(200, data)


def status(code: int, body: bytes = b"<html>no</html>", **headers: str) -> Answer:
    """An answer that is an error."""
    return lambda r: r.reply(code, body, Content_Type="text/html", **headers)


def moved(to: str, code: int = 302) -> Answer:
    """A redirect."""
    return lambda r: r.reply(code, Location=to)


def cut(data: bytes, after: int) -> Answer:
    """Announces all of ``data`` and hangs up after ``after`` bytes of what was asked for."""

    def answer(r: Request) -> None:
        span = r.headers.get("Range", "")
        start = int(span[6:].rstrip("-")) if span.startswith("bytes=") else 0
        r.send_response(206 if start else 200)
        if start:
            r.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        r.send_header("Content-Length", str(len(data) - start))
        r.end_headers()
        r.wfile.write(data[start : start + after])
        r.close_connection = True

    return answer


def lying(data: bytes, length: int) -> Answer:
    """Announces ``length`` bytes and sends ``data``."""

    def answer(r: Request) -> None:
        r.send_response(200)
        r.send_header("Content-Length", str(length))
        r.end_headers()
        r.wfile.write(data)
        r.close_connection = True

    return answer


def hanging(r: Request) -> None:
    """Accepts the request and never says a word, until the test is over."""
    assert isinstance(r.server, _Server)
    r.server.stopping.wait()
    r.close_connection = True


def dripping(data: bytes, every_s: float) -> Answer:
    """Sends a byte at a time, so that no single wait is ever long."""

    def answer(r: Request) -> None:
        r.send_response(200)
        r.send_header("Content-Length", str(len(data)))
        r.end_headers()
        for i in range(len(data)):
            if r.server.stopping.is_set():
                return
            r.wfile.write(data[i : i + 1])
            r.wfile.flush()
            time.sleep(every_s)

    return answer


def nothing(r: Request) -> None:
    """Hangs up without an answer."""
    r.close_connection = True


def garbage(r: Request) -> None:
    """Answers, but not in HTTP."""
    r.wfile.write(b"\x00\xff\xfe SSH-2.0-nonsense\r\n" * 3)
    r.close_connection = True
