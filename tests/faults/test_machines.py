"""Fetching an archive: credentials go to their own host alone, and the machine's proxy, certificates and index are used."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.errors import NoSource
from kvroles.sources import address, http
from kvroles.sources import index as index_module
from support import index_server as answers
from support.driver import Ran
from support.index_server import IndexServer
from support.tiny import ARCHIVE, Tiny

pytestmark = pytest.mark.slow

FILE = f"/files/{ARCHIVE}"
PAGE = "/simple/vllm/"
Fetching = Callable[..., Ran]


# Secrets.


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_credentials_in_the_address_go_to_its_host_alone_and_into_no_message(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path
) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    url = index.url.replace("//", "//me:s%40cret@")
    fetching(url=url).ok()
    assert {a.headers.get("authorization") for a in index.asked} == {basic("me:s@cret")}
    index.on(PAGE, answers.status(401))
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(tmp_path / "new")
    said = fetching(url=url).refused(4, "answered 401", f"{index.url}/vllm/")
    assert "cret" not in said.err


def test_credentials_are_not_carried_to_another_host(fetching: Fetching, index: IndexServer, tiny: Tiny) -> None:
    data = tiny.archive().read_bytes()
    with IndexServer() as other:
        other.serve(ARCHIVE, data)
        index.on(PAGE, answers.html_page([(ARCHIVE, f"/moved/{ARCHIVE}")]))
        index.on(f"/moved/{ARCHIVE}", answers.moved(f"{other.base}{FILE}"))
        fetching(url=index.url.replace("//", "//me:secret@")).ok()
        assert "authorization" not in other.asked_for(FILE)[0].headers
        assert index.asked_for(f"/moved/{ARCHIVE}")[0].headers["authorization"] == basic("me:secret")


def test_credentials_are_not_carried_from_https_to_http() -> None:
    https, http_, other = (address.parsed(u) for u in ("https://a.b/x", "http://a.b/x", "https://a.c/x"))
    assert https is not None
    assert http_ is not None
    assert other is not None
    assert https.takes_credentials_of(http_)  # as pip has it: the other way round they would leave encryption
    assert not http_.takes_credentials_of(https)
    assert not other.takes_credentials_of(https)


def test_credentials_come_from_netrc_too(fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login you password p4ss\n")
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    fetching(env={"NETRC": str(netrc)}).ok()
    assert {a.headers.get("authorization") for a in index.asked} == {basic("you:p4ss")}


@pytest.mark.parametrize("damage", [b"machine", b"\xff\xfe\x00", b"machine 127.0.0.1 login"])
def test_a_damaged_netrc_is_no_obstacle(
    fetching: Fetching, index: IndexServer, tiny: Tiny, tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / "netrc").write_bytes(damage)
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    fetching(env={"NETRC": str(tmp_path / "netrc")}).ok()


# The machine's own ways.


def test_the_environments_proxy_is_used(fetching: Fetching, index: IndexServer, tiny: Tiny) -> None:
    index.on(f"http://pkgs.invalid{PAGE}", answers.html_page([(ARCHIVE, FILE)]))
    index.on(f"http://pkgs.invalid{FILE}", answers.file(tiny.archive().read_bytes()))
    fetching(url="http://pkgs.invalid/simple", env={"http_proxy": index.base, "no_proxy": ""}).ok()


def test_no_proxy_is_heeded(fetching: Fetching, index: IndexServer, tiny: Tiny) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    fetching(env={"http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}).ok()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no machine trusts, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make a certificate with")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file.with_suffix(".key"), "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


@pytest.fixture
def secure(tiny: Tiny, certificate: Path) -> Iterator[IndexServer]:
    """An index that speaks TLS under ``certificate``."""
    with IndexServer() as server:
        server.speak_tls(certificate)
        server.serve(ARCHIVE, tiny.archive().read_bytes())
        yield server


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_organisations_certificate_is_named_in_the_usual_variables(
    fetching: Fetching, secure: IndexServer, certificate: Path, variable: str
) -> None:
    fetching(url=secure.url).refused(4, "is not trusted", "SSL_CERT_FILE")
    fetching(url=secure.url, env={variable: str(certificate)}).ok()


def test_a_certificate_nobody_vouches_for_is_refused_at_once(
    fetching: Fetching, secure: IndexServer, tmp_path: Path
) -> None:
    fetching(url=secure.url).refused(4, "certificate of https://127.0.0.1", "not trusted", "SSL_CERT_FILE")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "cache/archives" / ARCHIVE).exists()


def test_a_certificate_that_only_a_strict_python_refuses_is_told_so(
    secure: IndexServer, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.13 on the usual advice is a dead end: the bundle is named already. Here any Python is made that strict."""
    lax, leaf, plain = tmp_path / "lax.pem", tmp_path / "leaf.pem", tmp_path / "plain.cnf"
    plain.write_text("[req]\ndistinguished_name = dn\n[dn]\n")
    shutil.copy(certificate.with_suffix(".key"), leaf.with_suffix(".key"))
    request = ["openssl", "req", "-config", plain, "-x509", "-days", "2"]
    for command in (
        [*request, "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "lax.key", "-subj", "/CN=an authority",
         "-addext", "basicConstraints=CA:TRUE", "-out", lax],
        [*request, "-key", leaf.with_suffix(".key"), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-CA", lax, "-CAkey", tmp_path / "lax.key", "-out", leaf],
    ):  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(lax))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    monkeypatch.setattr(http, "_certificates", lambda: context)
    with IndexServer() as server:
        server.speak_tls(leaf)
        with pytest.raises(NoSource, match=r"is not trusted .*RFC 5280.*Python 3\.11 or 3\.12"):
            http.get_page(f"{server.url}/vllm/", "text/html", "")


def test_a_bundle_that_cannot_be_read_is_named(fetching: Fetching, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for bundle in (tmp_path / "none.pem", tmp_path / "junk.pem"):
        ran = fetching(url="https://127.0.0.1:9/simple", env={"PIP_CERT": str(bundle)})
        ran.refused(4, "$PIP_CERT", str(bundle))


@pytest.mark.parametrize("where", ["environment", "configuration file", "neither"])
def test_the_index_is_the_one_pip_is_set_to_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    if where == "environment":
        monkeypatch.setenv("PIP_INDEX_URL", "http://set.invalid/simple")
    elif where == "configuration file":
        (tmp_path / "pip.conf").write_text("[global]\nindex-url = http://set.invalid/simple\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    else:
        monkeypatch.setattr(index_module, "_pips", lambda: [["sh", "-c", _FAKE_PIP, "pip"]])
    assert index_module.default_index() == "http://set.invalid/simple"


_FAKE_PIP = (
    'case "$1" in download) echo "  -i, --index-url <url>  Base URL (default http://set.invalid/simple).";; esac'
)


def test_pip_itself_says_what_its_default_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    assert index_module.default_index().startswith("https://")


def test_without_pip_the_index_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setattr(index_module, "_pips", lambda: [["/nonexistent/pip"], ["false"]])
    with pytest.raises(NoSource, match="no pip here") as e:
        index_module.default_index()
    assert "--index-url or PIP_INDEX_URL" in str(e.value)


def test_no_code_of_ours_names_a_registry() -> None:
    root = Path(__file__).resolve().parents[2]
    host = "py" + "pi.org"
    for file in [*root.glob("tools/**/*.py"), *root.glob("tests/**/*.py"), *root.glob("docs/**/*.md")]:
        assert host not in file.read_text(), file
