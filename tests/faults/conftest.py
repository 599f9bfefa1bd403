"""Fixtures of the faults: the commands that write, as scenarios to be spoilt, and the figures that a full sweep keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import scenarios
from support.driver import IMPATIENT, Driver, Ran
from support.index_server import IndexServer
from support.scenarios import Scenario
from support.tiny import Tiny

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import harness

COMMAND = "TMPDIR=/dev/shm python -m pytest tests/faults -m '' --figures"


@pytest.fixture
def fetching(apply: Callable[..., Ran], index: IndexServer, tmp_path: Path) -> Callable[..., Ran]:
    """``fetching()``: build the small 0.22.1 with an empty cache, from the faulty index, with little patience."""

    def run(*argv: str, url: str | None = None, timeout_s: float = 30, **kw: object) -> Ran:
        where = ("--cache-dir", tmp_path / "cache", "--output", tmp_path / "new", "--index-url", url or index.url)
        patience = {**IMPATIENT, "kvroles.sources.http.TIMEOUT_S": timeout_s}
        return apply("--vllm-rev", "0.22.1", *where, *argv, online=True, set_=patience, **kw)

    return run


@pytest.fixture(scope="session")
def drivers(
    tiny: Tiny, shim: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Callable[..., Ran]]]:
    """``apply``, ``vendor`` and ``migrate`` of the small project, each in a process that forks a child a run."""
    loaded = {
        "apply": (),
        "vendor": ("kvroles.vendored.wheel.build", "kvroles.vendored.image.context"),
        "migrate": ("kvroles.migrate.run", "kvroles.migrate.files.rewrite", "kvroles.migrate.readers.yaml.reader"),
    }
    made = {
        name: Driver(tiny.root / "tools", tmp_path_factory.mktemp(name), name, *modules, shim=shim)
        for name, modules in loaded.items()
    }

    def tool(name: str) -> Callable[..., Ran]:
        own = ("--cache-dir", str(tiny.cache), "--offline") if name == "apply" else ()
        return lambda *argv, **kw: made[name].run(*argv, *own, **kw)

    yield {name: tool(name) for name in made}
    for driver in made.values():
        driver.close()


@pytest.fixture(scope="session")
def _scenarios() -> dict[str, Scenario]:
    return {}


@pytest.fixture(params=scenarios.NAMES)
def scenario(
    request: pytest.FixtureRequest,
    drivers: dict[str, Callable[..., Ran]],
    tiny: Tiny,
    _scenarios: dict[str, Scenario],
    tmp_path_factory: pytest.TempPathFactory,
) -> Scenario:
    """Each command that writes, in turn; see ``support/scenarios.py``."""
    if request.param not in _scenarios:
        _scenarios[request.param] = scenarios.make(request.param, drivers, tiny, tmp_path_factory.mktemp("scenario"))
    return _scenarios[request.param]


@pytest.fixture(scope="session")
def _sums() -> dict[tuple[str, str], dict[str, Any]]:
    return {}


@pytest.fixture
def figures(
    request: pytest.FixtureRequest, _sums: dict[tuple[str, str], dict[str, Any]]
) -> Callable[[str, str, dict[str, Any]], None]:
    """``figures(subject, name, found)`` keeps what a test measured in bench/results.json, if the run has ``--figures``.

    What several tests find under one name is added up, but for how many moments a command has. ``--figures add`` goes on
    from what the file has: a sweep that takes too long for one run is made in several.
    """
    wanted = request.config.getoption("--figures")

    def keep(subject: str, name: str, found: dict[str, Any]) -> None:
        kept = harness.kept(subject).get(name, {}) if wanted == "add" else {}
        known = _sums.setdefault((subject, name), dict(kept))
        for key, value in found.items():
            known[key] = known.get(key, 0) + value if key in known and key != "points" else value
        if wanted:
            harness.write(subject, {name: known, "command": COMMAND}, merge=True)

    return keep


_COUNTED = {
    "test_hostile_archives": ("hostile", "archives"),
    "test_hostile_wheels": ("hostile", "wheels"),
    "test_damaged_data": ("hostile", "patches, lock, series, overlay"),
    "test_networks": ("networks", "indexes, files, certificates, caches"),
    "test_machines": ("networks", "indexes, files, certificates, caches"),
}


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest, figures: Callable[[str, str, dict[str, Any]], None]) -> None:
    """The cases of the files whose only figure is how many there are and that all of them hold."""
    if request.path.stem in _COUNTED:
        figures(*_COUNTED[request.path.stem], {"cases": 1})
