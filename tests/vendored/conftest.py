"""``vendor("install", ...)`` runs the small project's vendor.py; ``site`` is an installation of the small 0.22.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import oci, wheels
from support.driver import Driver, Ran
from support.tiny import Tiny

_LOADED = ("kvroles.vendored.wheel.build", "kvroles.vendored.image.context")


@pytest.fixture(scope="session")
def _vendor_driver(tiny: Tiny, shim: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tiny.root / "tools", tmp_path_factory.mktemp("vendor-driver"), "vendor", *_LOADED, shim=shim)
    yield driver
    driver.close()


@pytest.fixture
def vendor(_vendor_driver: Driver, tmp_path: Path) -> Callable[..., Ran]:
    """The small project's ``vendor.py``, run in ``tmp_path``."""

    def run(*argv: str | Path, cwd: Path = tmp_path, **kw: Any) -> Ran:
        return _vendor_driver.run(*argv, cwd=cwd, **kw)

    return run


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A pristine wheel of the small 0.22.1."""
    return wheels.make(tmp_path / "in")


@pytest.fixture
def site(tmp_path: Path, wheel: Path) -> Path:
    """The site-packages of an environment in which that wheel is installed."""
    return wheels.installed(tmp_path / "env", wheel)


@pytest.fixture
def patched(vendor: Callable[..., Ran], site: Path) -> Path:
    """The same, with the series applied in place."""
    vendor("install", "--site-packages", site).ok()
    return site


@pytest.fixture
def files(site: Path) -> oci.Files:
    """The files of the installed package, at their place in an image."""
    bin_ = "opt/venv/bin"
    return {**oci.folder(site, oci.AT), bin_: None, f"{bin_}/vllm": (site.parents[2] / "bin/vllm").read_bytes()}


@pytest.fixture
def base(files: oci.Files, tmp_path: Path) -> Path:
    return oci.layout(tmp_path / "the base", files)
