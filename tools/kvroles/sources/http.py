"""HTTP for a bare machine: proxies, certificates and credentials from the usual places, bounded time, clear last words.

Proxies come from the environment (``urllib.request.getproxies``); certificates from ``SSL_CERT_FILE``, ``SSL_CERT_DIR``,
``PIP_CERT``, ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``; credentials from the URL or ``~/.netrc`` (``$NETRC``).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import netrc
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from functools import cache
from typing import IO, TypeVar
from urllib.parse import unquote, urlsplit

from kvroles.errors import NoSource, os_error

ATTEMPTS = 4
TIMEOUT_S = 30.0  # one wait for the other side to say something
SLOWEST_B_PER_S = 50_000  # a transfer slower than this over the whole attempt is given up
_PAUSES_S = (0.5, 1.5, 4.0)
_LONGEST_PAUSE_S = 10.0  # however long a Retry-After asks for


@dataclass(frozen=True)
class Answer:
    """A successful answer: its final URL, content type, status, and the number of bytes it announces (None: unknown)."""

    url: str
    content_type: str
    status: int
    length: int | None
    body: http.client.HTTPResponse


class _KeepSecrets(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never carry credentials to another host or out of encryption (urllib would)."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if new is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:  # scheme, host and port
            new.remove_header("Authorization")
        return new


def hide(url: str) -> str:
    """``url`` without credentials, for requests and messages."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + slashes + host.rpartition("@")[2] + slash + path


def is_address(url: str) -> bool:
    """Whether ``url`` is one that can be asked: http, https or file, with a host, and nothing that cannot stand in one."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https", "file")
            and bool(parts.hostname or parts.scheme == "file")
            and parts.port != 0
            and not re.search(r"[\x00-\x20\x7f]", url)
        )
    except ValueError:
        return False


class _Https(urllib.request.HTTPSHandler):
    """Reads the machine's certificates, which takes a while, at the first address that needs them."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(http.client.HTTPSConnection, req, context=_certificates())


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


@cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Https(), _KeepSecrets())


def _authorization(url: str) -> str | None:
    parts = urlsplit(url)
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    else:
        try:
            entry = netrc.netrc(os.environ.get("NETRC")).authenticators(parts.hostname or "")
        except (OSError, ValueError, netrc.NetrcParseError):  # ValueError: not in the locale's encoding
            return None
        if entry is None:
            return None
        pair = f"{entry[0]}:{entry[2]}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


@contextlib.contextmanager
def _open(url: str, headers: dict[str, str]) -> Iterator[Answer]:
    authorization = _authorization(url)
    request = urllib.request.Request(hide(url), headers=headers)
    if authorization:
        request.add_header("Authorization", authorization)
    with _opener().open(request, timeout=TIMEOUT_S) as body:
        length = body.headers.get("Content-Length")
        yield Answer(
            body.geturl(),
            body.headers.get_content_type(),
            getattr(body, "status", None) or 200,
            int(length) if length and length.isdigit() else None,
            body,
        )


class Again(Exception):  # noqa: N818
    """This attempt failed in a way another may not; ``pause`` is what the server asked for, in seconds."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


_T = TypeVar("_T")


def retrying(url: str, attempt: Callable[[], _T], fix: str) -> _T:
    """Call ``attempt`` up to four times; raises NoSource with the last reason, or at once where repeating cannot help."""
    last = ""
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except Again as e:
            last, pause = str(e), e.pause
        except urllib.error.HTTPError as e:
            if e.code not in (408, 425, 429) and e.code < 500:
                raise NoSource(f"{hide(url)} answered {e.code} {e.reason}", fix=fix) from None
            last, pause = f"it answered {e.code} {e.reason}", _retry_after(e.headers)
        except (OSError, http.client.HTTPException) as e:  # URLError, timeouts, resets and cut answers among them
            reason = getattr(e, "reason", None) or e
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise NoSource(
                    f"The certificate of {hide(url)} is not trusted ({reason.verify_message})",
                    fix="Name your organisation's certificate bundle in SSL_CERT_FILE",
                ) from None
            last, pause = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__, None
        if number < ATTEMPTS - 1:
            time.sleep(min(pause if pause is not None else _PAUSES_S[number], _LONGEST_PAUSE_S))
    raise NoSource(f"{hide(url)} could not be read in {ATTEMPTS} attempts: {last}", fix=fix)


def _retry_after(headers: Message | None) -> float | None:
    value = headers.get("Retry-After") if headers else None
    return float(value) if value and value.isdigit() else None


def get_page(url: str, accept: str, fix: str, limit: int = 64 << 20) -> tuple[bytes, str, str]:
    """(bytes, content type, final URL) of a page. Raises NoSource."""

    def attempt() -> tuple[bytes, str, str]:
        with _open(url, {"Accept": accept}) as answer:
            body = b"".join(_pieces(answer, limit))
            return body, answer.content_type, answer.url

    return retrying(url, attempt, fix)


def _pieces(answer: Answer, limit: int) -> Iterator[bytes]:
    """The body in pieces; raises Again when it stalls, is cut short, or is longer than ``limit`` bytes."""
    started = time.monotonic()
    got = 0
    while True:
        piece = answer.body.read1(1 << 18) if hasattr(answer.body, "read1") else answer.body.read(1 << 18)
        if not piece:
            break
        got += len(piece)
        if got > limit:
            raise Again(f"it sends more than the {limit} bytes that were expected")
        if time.monotonic() - started > 2 * TIMEOUT_S + got / SLOWEST_B_PER_S:
            raise Again(f"it sends less than {SLOWEST_B_PER_S // 1000} kB/s")
        yield piece
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
            with _open(url, headers) as answer:
                if answer.status != 206 and have:
                    have = restart()
                resumed = have > 0
                for piece in _pieces(answer, size - have):
                    try:
                        part.write(piece)
                        part.flush()
                    except OSError as e:
                        raise os_error("The archive could not be kept", e, kind=NoSource) from None
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


class RangeFile(io.RawIOBase):
    """A file on a server, read in blocks by range requests (RFC 9110, 14.2), for ``zipfile`` to find one member in."""

    _BLOCK = 1 << 16

    def __init__(self, url: str, size: int) -> None:
        """``size`` is the file's length in bytes, known beforehand."""
        self._url = url
        self._size = size
        self._at = 0
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, n: int = -1) -> bytes:
        end = self._size if n < 0 else min(self._at + n, self._size)
        out = bytearray()
        while self._at < end:
            number, skip = divmod(self._at, self._BLOCK)
            piece = self._block(number)[skip : skip + end - self._at]
            out += piece
            self._at += len(piece)
        return bytes(out)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * self._BLOCK
            end = min(start + self._BLOCK, self._size)

            def attempt() -> bytes:
                with _open(self._url, {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}) as answer:
                    if answer.status != 206:
                        raise NoSource(f"{hide(self._url)} cannot be read in parts (it answers {answer.status})")
                    data = b"".join(_pieces(answer, end - start))
                    if len(data) != end - start:
                        raise Again(f"it sent {len(data)} of {end - start} bytes")
                    return data

            self._blocks[number] = retrying(self._url, attempt, "Check the network")
        return self._blocks[number]
