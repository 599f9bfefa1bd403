"""``vendor.py wheel`` without ``--wheel``: the official file of the lock, for the right machine, checked, streamed, kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.digest import sha256
from kvroles.errors import NoSource
from kvroles.series.lock import ArchiveRow
from kvroles.series.project import load as load_project
from kvroles.vendored.wheel import build as building
from support.driver import Ran, script
from support.index_server import IndexServer
from support.tiny import Tiny


@pytest.fixture
def published(tiny: Tiny, wheel: Path, index: IndexServer, tmp_path: Path) -> Callable[..., Ran]:
    """``published(...)``: vendor.py of a project whose lock knows the small wheel, which the index serves."""
    project = tiny.copy(tmp_path / "project")
    lock = project.lock()
    blob = wheel.read_bytes()
    row = lock.releases["0.22.1"]._replace(wheels=(ArchiveRow(wheel.name, sha256(blob), len(blob)),))
    (project.root / "patches/lock.json").write_bytes(lock._replace(releases={**lock.releases, "0.22.1": row}).dumps())
    index.serve(wheel.name, blob)

    def run(*argv: str) -> Ran:
        where = ("--cache-dir", tmp_path / "cache", "--output", tmp_path / "out", "--index-url", index.url)
        argv = ("wheel", "--vllm-rev", "0.22.1", "--arch", "x86_64", *where, *argv)
        return script(project.root / "tools" / "vendor.py", *argv, cwd=tmp_path)

    return run


def test_the_official_wheel_is_fetched_once_and_known_as_such(
    published: Callable[..., Ran], wheel: Path, index: IndexServer, tmp_path: Path
) -> None:
    told = json.loads(published("--json").ok().out)
    assert told["input"]["official"] is True
    assert (tmp_path / "cache/wheels" / wheel.name).read_bytes() == wheel.read_bytes()
    published("--offline").ok()
    assert len(index.asked_for(f"/files/{wheel.name}")) == 1


def test_another_file_under_its_name_is_refused(
    published: Callable[..., Ran], wheel: Path, index: IndexServer, tmp_path: Path
) -> None:
    data = bytearray(wheel.read_bytes())
    data[1000] ^= 1
    index.serve(wheel.name, bytes(data))
    published().refused(3, wheel.name, "Expected SHA-256")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache/wheels" / wheel.name).exists()


def test_offline_without_the_file_is_no_source(published: Callable[..., Ran], wheel: Path) -> None:
    published("--offline").refused(4, wheel.name, "--offline forbids fetching it")


def test_the_latest_build_for_the_machine_is_picked(tiny: Tiny) -> None:
    names = [
        f"vllm-0.20.1{build}-cp38-abi3-manylinux_2_35_{arch}.whl"
        for build in ("", "-1", "-10", "-2")
        for arch in ("x86_64", "aarch64")
    ]
    row = tiny.row()._replace(wheels=tuple(ArchiveRow(n, "0" * 64, 1) for n in names))
    assert building.pick(row, "x86_64").name == "vllm-0.20.1-10-cp38-abi3-manylinux_2_35_x86_64.whl"
    assert building.pick(row, "arm64").name == "vllm-0.20.1-10-cp38-abi3-manylinux_2_35_aarch64.whl"
    with pytest.raises(NoSource, match="riscv64"):
        building.pick(row, "riscv64")


def test_an_architecture_without_a_wheel_is_refused_by_name() -> None:
    _, lock = load_project()
    with pytest.raises(NoSource, match=r"0\.9\.0 for aarch64\. Expected x86_64\. Name another architecture"):
        building.pick(lock.releases["0.9.0"], "arm64")
    with pytest.raises(NoSource, match=r"for riscv64\. Expected x86_64 or aarch64\."):
        building.pick(lock.releases["0.22.1"], "riscv64")
