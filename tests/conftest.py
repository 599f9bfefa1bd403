"""Fixtures that the tests share. The small project they run on is described in ``support/tiny.py``."""

from __future__ import annotations

import errno
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from kvroles import places
from kvroles.errors import NoSource
from kvroles.series.lock import Lock
from kvroles.sources import cache as fetch
from support import tiny as tiny_project
from support.driver import Driver, Ran, build_shim
from support.index_server import IndexServer
from support.lacking import lacking, releases_out_of_reach
from support.mounts import Mounts
from support.tiny import Tiny

# A machine that is busy makes an example slow, and no test wrong. A change is judged by the same examples before and after it;
# new ones are looked for every night (fuzz.yml, --hypothesis-profile=search), where a find holds up nobody's change.
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("search", **_PATIENT)
hypothesis.settings.register_profile("suite", **_PATIENT, derandomize=True)
hypothesis.settings.load_profile("suite")

_MAY_USE_THE_NETWORK = {"upstream", "behaviour", "e2e", "site"}
_HERE = {"127.0.0.1", "::1", "localhost"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--figures",
        choices=["new", "add"],
        nargs="?",
        const="new",
        help="keep what tests/faults measures in bench/results.json; add: to what an earlier run of other tests kept there",
    )


def pytest_configure() -> None:
    """Start a process again when the kernel could not read the program's name; keep bytecode where Python puts it by itself.

    EFAULT from execve is the virtual machine's fault, not a program's: it was seen once in some 100,000 starts, under two
    threads that start processes at once. The child has run nothing by then, so that another try changes nothing.
    """
    start = subprocess.Popen.__init__

    def start_again(self: Any, *args: Any, **kwargs: Any) -> None:
        for last in (False, False, True):
            try:
                start(self, *args, **kwargs)
            except OSError as e:
                if last or e.errno != errno.EFAULT:
                    raise
            else:
                return

    subprocess.Popen.__init__ = start_again  # type: ignore[method-assign]
    # A shell that starts a test run in the background has it ignore these two, and so all that the run starts.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    os.environ.pop("PYTHONUNBUFFERED", None)  # as a person's shell has it: what is printed waits in a buffer
    os.environ.pop("PYTHONPYCACHEPREFIX", None)  # tests look for bytecode beside its source
    sys.pycache_prefix = None
    # Hundreds of interpreters are started: without bytecode each of them would compile the tools again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    _late_address_grammars()


def _late_address_grammars() -> None:
    """Let jsonschema build its grammars of internationalised addresses when one is asked for: all of them take two seconds.

    jsonschema imports ``rfc3987_syntax`` wherever that is installed, and its import builds 38 grammars. Few tests check such
    an address.
    """
    name = "rfc3987_syntax"
    if name in sys.modules or importlib.util.find_spec(name) is None:
        return

    @functools.cache
    def real() -> Any:
        del sys.modules[name]
        return importlib.import_module(name)

    late: Any = types.ModuleType(name)
    late.is_valid_syntax = lambda term, value: real().is_valid_syntax(term, value)
    sys.modules[name] = late


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that read real archives come last, the longest of them first: what fails in a second is told in the first seconds,
    and no process is left with a long one at the end."""
    items.sort(
        key=lambda item: (item.get_closest_marker("upstream") is not None, item.get_closest_marker("long") is None)
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that reads real archives is not begun where they cannot be had: before its fixtures, which read them too."""
    if item.get_closest_marker("upstream") and (why := releases_out_of_reach()) is not None:
        lacking(why)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests reach this machine only, unless a marker says otherwise; so do the tools they start, by their environment."""
    if any(request.node.get_closest_marker(name) for name in _MAY_USE_THE_NETWORK):
        return
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in _HERE:
            pytest.fail(f"a test without a network marker tried to reach {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody answers


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The small project, built once; tests that damage it take a ``copy``."""
    return tiny_project.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The library that counts and spoils a run's changes to the file system; None without a C compiler."""
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def _driver(tiny: Tiny, shim: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tiny.root / "tools", tmp_path_factory.mktemp("driver"), shim=shim)
    yield driver
    driver.close()


@pytest.fixture
def apply(tiny: Tiny, _driver: Driver, tmp_path: Path) -> Callable[..., Ran]:
    """``apply("--into", tree)``: the small project's tool, run in ``tmp_path`` on its own archives and offline."""

    def run(*argv: str | Path, online: bool = False, cwd: Path = tmp_path, **kw: Any) -> Ran:
        own = () if "--cache-dir" in argv else ("--cache-dir", tiny.cache)
        return _driver.run(*argv, *own, *(() if online else ("--offline",)), cwd=cwd, **kw)

    return run


@pytest.fixture
def tree(tiny: Tiny, tmp_path: Path) -> Path:
    """A pristine tree of the small 0.22.1."""
    return tiny.unpack(tmp_path / "vllm")


@pytest.fixture
def index() -> Iterator[IndexServer]:
    """A package index on this machine, with faults on demand."""
    with IndexServer() as server:
        yield server


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Small disks and read-only folders; skips, with the reason, where mounting is not permitted."""
    mounts = Mounts()
    yield mounts
    mounts.close()


@pytest.fixture
def read_only(mounts: Mounts) -> Callable[..., None]:
    """``read_only(folder, but=...)``: nothing below ``folder`` can be written any more."""
    return mounts.read_only


@pytest.fixture(scope="session")
def archive() -> Callable[[str], Path]:
    """``archive("0.22.1")``: the real archive, from the user's cache or fetched into it once."""
    lock = Lock.load()
    cache = places.default_cache_dir()
    failed: list[NoSource] = []  # an index that could not be reached once is not waited for again

    def get(release: str) -> Path:
        row = lock.releases[release].archive
        assert row is not None
        try:
            fetch.archive_bytes(row, cache, offline=bool(failed))
        except NoSource as e:
            failed.append(e)
            lacking(f"{row.name} is not in the cache and cannot be fetched: {failed[0]}")
        return cache / "archives" / row.name

    return get


@pytest.fixture
def somebody(tmp_path: Path) -> tuple[str, ...]:
    """The prefix that runs a command as a user without rights to anything of ours."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("running as another user needs root and setpriv")
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.owner() == "root" and folder.stat().st_mode & 0o011 != 0o011 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
        if folder.name.startswith("pytest-of-"):
            break
    return (setpriv, "--reuid=12345", "--regid=12345", "--clear-groups")
