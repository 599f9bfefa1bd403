"""The package index: which one to ask, and where it keeps a file (PEP 503 HTML, PEP 691 JSON)."""

from __future__ import annotations

import ast
import html.parser
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from kvroles import places
from kvroles.console import search_path
from kvroles.errors import NoSource
from kvroles.said import counted
from kvroles.sources import address, credentials, http
from kvroles.sources.address import Address

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.5, text/html;q=0.2"
ASK = "Name an index with --index-url or PIP_INDEX_URL"


def default_index() -> str:
    """The simple index that pip is set to use on this machine: environment, then its configuration, then its own default.

    Raises NoSource when there is no pip to ask and the environment names none.
    """
    url = os.environ.get("PIP_INDEX_URL")
    if url:
        return url
    for pip in _pips():
        config = _run([*pip, "config", "list"])
        values = dict(re.findall(r"^([\w.:-]+)=(.*)$", config, re.MULTILINE))
        for section in ("download", "install", "global"):
            if f"{section}.index-url" in values:
                return str(ast.literal_eval(values[f"{section}.index-url"]))
        # pip prints its built-in default nowhere else; a wide terminal keeps the address in one piece.
        m = re.search(r"--index-url.*?\(default:?\s+(\S+?)\)", _run([*pip, "download", "--help"]), re.DOTALL)
        if m and "://" in m[1]:
            return m[1]
    raise NoSource("There is no pip here to tell which package index this machine uses", fix=ASK)


def _pips() -> list[list[str]]:
    found = [[sys.executable, "-P", "-m", "pip"]]  # -P: never a pip.py that lies in the current folder
    for name in ("pip3", "pip"):
        path = places.find_program(name)
        if path:
            found.append([path])
    return found


def _run(command: list[str]) -> str:
    env = {**os.environ, "COLUMNS": "2000", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PATH": search_path()}
    if "PIP_CONFIG_FILE" in env:
        env["PIP_CONFIG_FILE"] = os.path.abspath(env["PIP_CONFIG_FILE"])
    if "PYTHONPATH" in env:  # relative to the folder we are in, which pip is not to look into
        env["PYTHONPATH"] = os.pathsep.join(p for p in env["PYTHONPATH"].split(os.pathsep) if os.path.isabs(p))
    try:
        done = subprocess.run(
            command, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=60, check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@dataclass(frozen=True)
class IndexFile:
    """A file the index lists; ``sha256`` and ``size`` (bytes) are None where it does not say (PEP 700 made size part of it)."""

    name: str
    url: str
    sha256: str | None = None
    size: int | None = None


def files(project: str, index_url: str | None) -> list[IndexFile]:
    """Every file of ``project`` on the index (default: this machine's).

    Raises NoSource when the index cannot be read, or answers neither HTML nor JSON.
    """
    there = _index(index_url)
    credentials.name(there.host)
    page = there.below(project)
    if there.scheme == "file" and Path(unquote(page.path)).is_dir():
        page = page.below("index.html", "")
    body, content_type, base = http.get_page(page.whole, _ACCEPT, f"Check the network, or {ASK[0].lower()}{ASK[1:]}")
    try:
        found = files_of(body, content_type, base)
    except ValueError:
        raise NoSource(f"{page.shown} answers with something that is no index page ({content_type})", fix=ASK) from None
    if there.scheme != "file" and (local := next((f for f in found if f.url[:5].lower() == "file:"), None)):
        raise NoSource(f"{page.shown} says that {local.name} is a file of this machine, which no index knows", fix=ASK)
    return [IndexFile(f.name, _with_credentials(f.url, there), f.sha256, f.size) for f in found]


def _index(index_url: str | None) -> Address:
    index = index_url or default_index()
    there = address.parsed(index)
    if there is None:
        raise NoSource(f"The package index {address.shown(index)} is not the address of a package index", fix=ASK)
    return there


def locate(filename: str, project: str, index_url: str | None) -> str:
    """The URL of ``filename`` among the files of ``project``. Raises NoSource when the index does not hold it."""
    found = files(project, index_url)
    for file in found:
        if file.name == filename:
            if address.parsed(file.url) is None:
                raise NoSource(
                    f"The package index says that {filename} is at an address {address.not_shown(file.url)}",
                    fix=ASK,
                )
            return file.url
    raise NoSource(
        f"The package index {_index(index_url).shown} does not hold {filename}",
        found=counted(len(found), "other file") if found else "no file at all",
        fix=ASK,
    )


def files_of(body: bytes, content_type: str, base: str) -> list[IndexFile]:
    """Every file of an index page found at ``base``, with absolute URLs. ValueError when it is no such page."""
    try:
        listed = _json_files(body) if content_type.endswith("json") else _html_files(body)
        return [IndexFile(f.name, urljoin(base, f.url).partition("#")[0], f.sha256, f.size) for f in listed]
    except (
        KeyError,
        TypeError,
        AttributeError,
        AssertionError,
        RecursionError,
        UnicodeError,
    ) as e:  # the parsers' ways to give up
        raise ValueError(f"not an index page: {e}") from None


def _with_credentials(url: str, index: Address) -> str:
    """``url`` with the credentials of ``index`` when both are on one host (as pip does)."""
    there = address.parsed(url)
    if there is None or there.user is not None or index.user is None or not there.takes_credentials_of(index):
        return url
    return replace(there, user=index.user, password=index.password).whole


def _json_files(body: bytes) -> list[IndexFile]:
    out = []
    for f in json.loads(body)["files"]:
        sha256, size = f.get("hashes", {}).get("sha256"), f.get("size")
        known = sha256 if isinstance(sha256, str) else None
        out.append(IndexFile(str(f["filename"]), str(f["url"]), known, size if isinstance(size, int) else None))
    return out


class _Anchors(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.base = ""
        self.is_page = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_page = self.is_page or tag in ("html", "body", "a")
        href = dict(attrs).get("href")
        if tag == "base" and href:
            self.base = href
        elif tag == "a" and href:
            name = unquote(urlsplit(href).path).rpartition("/")[2]
            self.links.append((name, urljoin(self.base, href)))


def _html_files(body: bytes) -> list[IndexFile]:
    parser = _Anchors()
    parser.feed(body.decode("utf-8", "replace"))
    if not parser.is_page:
        raise ValueError("not HTML")
    return [IndexFile(name, url) for name, url in parser.links]
