"""What the version R+kvroles.N does to pins: with the real pip and the real uv, beside the official wheel and alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wheels
from support.cost import slow_but
from support.driver import Ran

Vendor = Callable[..., Ran]
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or ""
OURS, THEIRS = "0.22.1+kvroles.1", "0.22.1"


@pytest.fixture
def folder(vendor: Vendor, wheel: Path, tmp_path: Path) -> Path:
    """A folder with the vendored wheel alone, and an index of it."""
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "own wheels", "--index").ok()
    return tmp_path / "own wheels"


def installs(tool: str, tmp_path: Path, *argv: str) -> str | None:
    """The version of vllm that ``tool`` installs into a fresh environment, or None where it refuses."""
    assert UV, "uv is part of the test requirements"
    site = wheels.environment(tmp_path / f"env-{len(list(tmp_path.iterdir()))}")
    python = site.parents[2] / "bin" / "python"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    env |= {"UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(tmp_path / "uv-cache"), "PIP_CONFIG_FILE": os.devnull}
    command = {
        "pip": [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "--disable-pip-version-check",
            "install",
            "-q",
            "--no-compile",
        ],
        "uv": [UV, "pip", "install", "-q", "--python", str(python)],
    }[tool]
    done = subprocess.run([*command, "--no-deps", *argv], capture_output=True, text=True, env=env, cwd=tmp_path)
    found = [p.name.removeprefix("vllm-").removesuffix(".dist-info") for p in site.glob("vllm-*.dist-info")]
    assert bool(found) is (done.returncode == 0), done.stderr
    return found[0] if found else None


@pytest.mark.parametrize("tool", slow_but(["uv"], ["pip", "uv"]))
def test_an_index_of_ones_own_serves_the_vendored_wheel(folder: Path, tmp_path: Path, tool: str) -> None:
    index = ("--index-url", f"{folder.as_uri()}/simple")
    assert installs(tool, tmp_path, *index, "vllm==0.22.1") == OURS
    assert installs(tool, tmp_path, *index, f"vllm=={OURS}") == OURS
    assert installs(tool, tmp_path, *index, "vllm===0.22.1") is None


@pytest.mark.parametrize("tool", slow_but(["uv"], ["pip", "uv"]))
def test_a_folder_without_an_index_serves_it(folder: Path, tmp_path: Path, tool: str) -> None:
    assert installs(tool, tmp_path, "--no-index", "--find-links", str(folder), "vllm==0.22.1") == OURS


@pytest.mark.parametrize("tool", slow_but(["uv"], ["pip", "uv"]))
@pytest.mark.slow
def test_beside_the_official_wheel_every_pin_but_the_arbitrary_one_takes_the_vendored(
    folder: Path, wheel: Path, tmp_path: Path, tool: str
) -> None:
    """Which is why an index of one's own holds it alone."""
    shutil.copy(wheel, folder)
    both = ("--no-index", "--find-links", str(folder))
    assert installs(tool, tmp_path, *both, "vllm==0.22.1") == OURS
    assert installs(tool, tmp_path, *both, "vllm>=0.22,<0.23") == OURS
    assert installs(tool, tmp_path, *both, f"vllm=={OURS}") == OURS
    assert installs(tool, tmp_path, *both, "vllm===0.22.1") == THEIRS
    (tmp_path / "constraints.txt").write_text("vllm==0.22.1\n")
    assert installs(tool, tmp_path, *both, "-c", "constraints.txt", "vllm") == OURS


@pytest.mark.slow
def test_a_pin_with_hashes_takes_what_has_the_hash_or_fails(
    vendor: Vendor, folder: Path, wheel: Path, tmp_path: Path
) -> None:
    """Of an index, which tells hashes, pip takes the file that has one; of a bare folder, and with uv, the pin fails."""
    shutil.copy(wheel, folder)
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", folder, "--index").ok()
    official = hashlib.sha256(wheel.read_bytes()).hexdigest()
    own = hashlib.sha256(next(folder.glob("*kvroles*.whl")).read_bytes()).hexdigest()
    both = ("--no-index", "--find-links", str(folder), "--require-hashes", "-r", "pins.txt")
    pins = tmp_path / "pins.txt"
    pins.write_text(f"vllm==0.22.1 --hash=sha256:{official}\n")
    index = ("--index-url", f"{folder.as_uri()}/simple", "--require-hashes", "-r", "pins.txt")
    assert installs("pip", tmp_path, *index) == THEIRS
    assert {installs("uv", tmp_path, *index), installs("pip", tmp_path, *both), installs("uv", tmp_path, *both)} == {
        None
    }
    pins.write_text(f"vllm==0.22.1 --hash=sha256:{official} --hash=sha256:{own}\n")
    assert (installs("pip", tmp_path, *both), installs("uv", tmp_path, *both)) == (OURS, None)
    pins.write_text(f"vllm=={OURS} --hash=sha256:{own}\n")
    assert {installs("pip", tmp_path, *both), installs("uv", tmp_path, *both)} == {OURS}
    pins.write_text(f"vllm==={THEIRS} --hash=sha256:{official}\n")
    assert {installs("pip", tmp_path, *both), installs("uv", tmp_path, *both)} == {THEIRS}


def test_the_index_says_in_both_formats_what_lies_in_the_folder(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    sha = hashlib.sha256(wheel.read_bytes()).hexdigest()
    told = json.loads((folder / "simple/vllm/index.json").read_bytes())
    assert told["meta"]["api-version"] == "1.0"
    (file,) = told["files"]
    assert (file["filename"], file["hashes"], file["size"]) == (wheel.name, {"sha256": sha}, wheel.stat().st_size)
    page = (folder / "simple/vllm/index.html").read_text()
    assert f"../../{wheel.name.replace('+', '%2B')}#sha256={sha}" in page
    assert '<a href="vllm/">' in (folder / "simple/index.html").read_text()
