"""An installation that an earlier series of ours patched: named, brought up to date, and taken back to what vLLM ships."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import tiny as project
from support import wheels
from support.driver import Driver, Ran
from support.files import contents
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]
NOW = b"is deprecated: set "


@pytest.fixture
def later(tiny: Tiny, tmp_path: Path) -> Iterator[Vendor]:
    """The next version of the project, which warns in other words."""
    root = project.next_series(tiny, tmp_path / "later").root
    driver = Driver(root / "tools", root, "vendor", "kvroles.vendored.wheel.build")
    yield lambda *argv: driver.run(*argv, cwd=tmp_path)
    driver.close()


def sources(site: Path) -> dict[str, bytes]:
    return {p: d for p, d in contents(site).items() if not p.endswith(".pyc")}


def test_verify_names_the_series_and_install_replaces_it(vendor: Vendor, later: Vendor, site: Path) -> None:
    before = sources(site)
    vendor("install", "--site-packages", site).ok()
    later("verify", "--site-packages", site).refused(3, "patched by series 1 of this project", "install")
    said = later("install", "--site-packages", site).ok().out
    assert "series 1" in said
    assert NOW in (site / CONNECTOR).read_bytes()
    later("verify", "--site-packages", site, "--isolated").ok()
    later("uninstall", "--site-packages", site).ok()
    assert sources(site) == before


def test_a_second_install_over_an_earlier_series_changes_nothing(vendor: Vendor, later: Vendor, site: Path) -> None:
    vendor("install", "--site-packages", site).ok()
    later("install", "--site-packages", site).ok()
    once = contents(site)
    later("install", "--site-packages", site).ok()
    assert contents(site) == once


def test_a_damaged_original_is_never_taken_for_one(vendor: Vendor, later: Vendor, site: Path) -> None:
    vendor("install", "--site-packages", site).ok()
    (kept,) = site.glob(f"*.dist-info/kv-roles/originals/{CONNECTOR}")
    kept.write_bytes(b"nothing of vLLM's\n")
    before = contents(site)
    later("install", "--site-packages", site).refused(3, "stored original", CONNECTOR)
    assert contents(site) == before


def test_a_vendored_wheel_of_an_earlier_series_is_made_anew_from_the_official_one(
    vendor: Vendor, later: Vendor, wheel: Path, tmp_path: Path
) -> None:
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    (made,) = (tmp_path / "out").glob("*.whl")
    later("wheel", "--vllm-rev", "0.22.1", "--wheel", made, "--output", tmp_path / "again").refused(
        1, "earlier series of this project"
    )
    site = wheels.installed(tmp_path / "vendored", made)
    before = contents(site)
    later("install", "--site-packages", site).refused(1, "earlier series of this project", "wheel")
    assert contents(site) == before
