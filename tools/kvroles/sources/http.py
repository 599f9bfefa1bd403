"""HTTP for a bare machine: proxies and certificates from the usual places, bounded time, clear last words.

Proxies come from the environment (``urllib.request.getproxies``); certificates from ``SSL_CERT_FILE``, ``SSL_CERT_DIR``,
``PIP_CERT``, ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``. Addresses are parsed in ``address``, and which credentials go to
them is decided in ``credentials``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urljoin

from kvroles.errors import NoSource, os_error
from kvroles.said import said
from kvroles.sources import address, credentials
from kvroles.sources.address import Address
from kvroles.sources.attempts import Again, Never, Slow, retrying
from kvroles.tree import handles

TIMEOUT_S = 30.0  # one wait for the other side to say something
SLOWEST_B_PER_S = 50_000  # a transfer slower than this over the whole attempt is given up
_MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)


class Deadline:
    """When one attempt has to be over, whatever trickles: two waits, and a second for every 50 kB that came.

    At the deadline the connection is shut, also where the library waits for the rest of a line, a header or a chunk.
    """

    def __init__(self) -> None:
        self._end = time.monotonic() + 2 * TIMEOUT_S
        self._line: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._over = False
        self.passed = False

    def got(self, size: int) -> None:
        """``size`` more bytes have come."""
        self._end += size / SLOWEST_B_PER_S

    def connect(self, *args: Any, **kw: Any) -> socket.socket:
        """As ``socket.create_connection``; the connection is watched from then on."""
        line = socket.create_connection(*args, **kw)
        self._unwatch()
        self._line = line.dup()  # TLS takes the first over
        self._watch()
        return line

    def close(self) -> None:
        self._over = True
        self._unwatch()

    def _watch(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            self.passed = True
            with contextlib.suppress(OSError):
                assert self._line is not None
                self._line.shutdown(socket.SHUT_RDWR)
        elif not self._over:
            self._timer = threading.Timer(left, self._watch)
            self._timer.daemon = True
            self._timer.start()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._line is not None:
            self._line.close()
            self._line = None


@dataclass(frozen=True)
class Answer:
    """A successful answer: its final address, content type and encoding, status, and the bytes it announces (None: unknown)."""

    url: str
    content_type: str
    encoding: str
    status: int
    length: int | None
    body: IO[bytes]
    deadline: Deadline


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects are followed below, where the next address is parsed before anything is done with it."""

    def http_error_302(self, *_: Any, **__: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _handlers(deadline: Deadline) -> list[urllib.request.BaseHandler]:
    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(connection(http.client.HTTPConnection), req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(connection(http.client.HTTPSConnection), req, context=_certificates())

    def connection(kind: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        def make(*args: Any, **kw: Any) -> http.client.HTTPConnection:
            made = kind(*args, **kw)
            made._create_connection = deadline.connect  # type: ignore[attr-defined]
            return made

        return make

    return [Http(), Https(), _NoRedirects()]


@cache
def _certificates() -> ssl.SSLContext:
    context = ssl.create_default_context()
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        bundle = os.environ.get(variable)
        if bundle:
            try:
                if os.path.isdir(bundle):
                    context.load_verify_locations(capath=bundle)
                else:
                    context.load_verify_locations(cafile=bundle)
            except OSError as e:
                why = getattr(e, "reason", None) or e.strerror
                raise NoSource(
                    f"The certificates in ${variable} ({bundle}) cannot be read: {why}",
                    fix="Name a readable PEM bundle there, or unset it",
                ) from None
    return context


@contextlib.contextmanager
def opened(url: str, headers: dict[str, str]) -> Iterator[Answer]:
    """The answer to a GET of ``url`` with ``headers``, while the context lasts.

    Raises Never for an address that cannot be asked, Slow when the attempt's time is over, and what the library raises.
    """
    there = address.parsed(url)
    if there is None:
        raise Never(f"The address {address.not_shown(url)} cannot be asked")
    if there.scheme == "file":
        with _opened_file(there) as body:
            yield Answer(url, "text/html", "", 200, os.fstat(body.fileno()).st_size, body, Deadline())
        return
    deadline = Deadline()
    try:
        with _followed(there, headers, deadline) as answer:
            yield answer
    except (OSError, http.client.HTTPException) as e:
        if deadline.passed:
            raise Slow("it took longer than the time for one attempt") from e
        raise
    finally:
        deadline.close()


def _opened_file(there: Address) -> IO[bytes]:
    try:
        return handles.regular(Path(unquote(there.path)).resolve())
    except (OSError, ValueError) as e:
        why = getattr(e, "strerror", None) or "no path"
        raise Never(f"{there.shown} cannot be read: {why}") from None


@contextlib.contextmanager
def _followed(there: Address, headers: dict[str, str], deadline: Deadline) -> Iterator[Answer]:
    """The answer at ``there``, redirects followed. Credentials stay with the host that they are for, as pip has it."""
    _check_proxies()
    opener = urllib.request.build_opener(*_handlers(deadline))
    opener.addheaders = [("User-agent", "vllm-kv-roles")]
    bearer = credentials.authorization(there)
    for _ in range(_MOST_REDIRECTS + 1):
        request = urllib.request.Request(there.url, headers=headers)
        if bearer:
            request.add_unredirected_header("Authorization", bearer)
        try:
            body = opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as e:
            location = e.headers.get("Location") if e.code in _REDIRECTS else None
            if location is None:
                raise
            e.close()
            there, bearer = _next(there, bearer, e.code, location)
            continue
        with body:
            length = body.headers.get("Content-Length")
            yield Answer(
                there.url,
                said(body.headers.get_content_type()),
                body.headers.get("Content-Encoding", "").strip().lower(),
                body.status,
                int(length) if length and length.isascii() and length.isdigit() and len(length) < 19 else None,
                body,
                deadline,
            )
        return
    raise Never(f"{there.shown} redirects without end")


def _next(here: Address, bearer: str | None, code: int, location: str) -> tuple[Address, str | None]:
    """Where a redirect leads, and the credentials to take there: those of the old address if it is the same host,
    those in the new address, or those that netrc has for it."""
    try:
        there = address.parsed(urljoin(here.url, location).partition("#")[0], ("http", "https"))
    except ValueError:
        there = None
    if there is None:
        raise Never(f"{here.shown} answers {code}, and names as the next address {address.not_shown(location)}")
    if there.user is None and bearer and there.takes_credentials_of(here):
        return there, bearer
    return there, credentials.authorization(there)


def _check_proxies() -> None:
    """Raise NoSource for a proxy whose address is none: what the library says of it may hold its password."""
    for scheme, proxy in urllib.request.getproxies().items():
        whole = proxy if "://" in proxy else f"http://{proxy}"
        if scheme in ("http", "https") and address.parsed(whole, ("http", "https")) is None:
            raise NoSource(
                f"The proxy for {scheme} in the environment is {address.not_shown(proxy)}",
                fix=f"Set {scheme}_proxy to http://HOST:PORT, or unset it",
            )


def get_page(url: str, accept: str, fix: str, limit: int = 64 << 20) -> tuple[bytes, str, str]:
    """(bytes, content type, final URL) of a page. Raises NoSource."""

    def attempt() -> tuple[bytes, str, str]:
        with opened(url, {"Accept": accept}) as answer:
            pieces = pieces_of(answer, limit)
            if answer.encoding in ("gzip", "x-gzip") and answer.content_type != "application/gzip":
                pieces = _unzipped(pieces, limit)  # some servers send it unasked
            return b"".join(pieces), answer.content_type, answer.url

    return retrying(url, attempt, fix)


def _unzipped(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    unzip = zlib.decompressobj(31)
    total = 0
    try:
        for piece in pieces:
            out = unzip.decompress(piece, limit + 1 - total)
            total += len(out)
            if total > limit or unzip.unconsumed_tail:
                raise Again(f"it unpacks to more than {limit} bytes")
            yield out
    except zlib.error as e:
        raise Again(f"what it sends is no gzip, as it says: {e}") from None
    if not unzip.eof:
        raise Again("what it sends ends in the middle")


def pieces_of(answer: Answer, limit: int) -> Iterator[bytes]:
    """The body in pieces; raises Again when it stalls, is cut short, or is longer than ``limit`` bytes."""
    started = time.monotonic()
    got = 0
    while True:
        piece = answer.body.read1(1 << 18) if hasattr(answer.body, "read1") else answer.body.read(1 << 18)
        if not piece:
            break
        got += len(piece)
        answer.deadline.got(len(piece))
        if got > limit:
            raise Again(f"it sends more than the {limit} bytes that were expected")
        if time.monotonic() - started > 2 * TIMEOUT_S + got / SLOWEST_B_PER_S:
            raise Again(f"it sends less than {SLOWEST_B_PER_S // 1000} kB/s")
        yield piece
    if answer.deadline.passed:
        raise Slow(f"it sends less than {SLOWEST_B_PER_S // 1000} kB/s")
    if answer.length is not None and got < answer.length:
        raise Again(f"it broke off after {got} of {answer.length} bytes")


def download(url: str, part: IO[bytes], size: int, fix: str, progress: Callable[[int], None]) -> bool:
    """Append the bytes of ``url`` to ``part`` until it holds ``size`` bytes, resuming what is there (RFC 9110, 14.2).

    ``progress`` is told how many bytes ``part`` holds. Returns whether they all came in one piece. Raises NoSource;
    ``part`` then keeps what came.
    """
    resumed = False

    def restart() -> int:
        part.truncate(0)
        return part.seek(0)

    def attempt() -> None:
        nonlocal resumed
        have = part.seek(0, os.SEEK_END)
        if have > size:
            have = restart()
        headers = {"Accept-Encoding": "identity"}
        if 0 < have < size:
            headers["Range"] = f"bytes={have}-"
        elif have == size:
            resumed = True
            return
        try:
            with opened(url, headers) as answer:
                if answer.status != 206 and have:
                    have = restart()
                resumed = have > 0
                for piece in pieces_of(answer, size - have):
                    try:
                        part.write(piece)
                        part.flush()
                    except OSError as e:
                        raise os_error(
                            "The archive could not be kept", e, "Choose another cache with --cache-dir", NoSource
                        ) from None
                    have += len(piece)
                    progress(have)
        except urllib.error.HTTPError as e:
            if e.code != 416 or not have:
                raise
            restart()  # what we hold is not the beginning of that file
            attempt()
            return
        if have < size:
            raise Again(f"it sent {have} of {size} bytes")

    retrying(url, attempt, fix)
    return not resumed
