"""verify.py: the lock and compat.json are true for every release, and a lie in either is found."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from kvroles.apply import plan as plans
from kvroles.errors import Unproven
from kvroles.places import default_cache_dir
from kvroles.series.project import load as load_project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from kvworkshop.verify import prove

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
COMPAT = ROOT / "docs" / "data" / "compat.json"


def verify(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tools" / "verify.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that a test may spoil."""
    copy = tmp_path / "project"
    for name in ("patches", "tools", "vllm_overlay", "docs/data"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def spoil(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new, 1))


@pytest.mark.slow
def test_all_releases_are_proven_and_compat_json_says_so() -> None:
    count = len(load_project()[1].releases)
    done = verify(ROOT, "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} of {count} proven, 2 of them as far as their files can be had" in done.stdout
    assert "0.15.1: clause 2 not checked" in done.stdout


def test_compat_json_fits_its_schema_and_names_every_release() -> None:
    data = json.loads(COMPAT.read_bytes())
    schema = json.loads((ROOT / "docs" / "data" / "compat.schema.json").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(data)
    _, lock = load_project()
    assert list(data["releases"]) == list(lock.releases)


def test_shards_cover_every_release_once() -> None:
    from kvworkshop.verify.compat import selection

    parts = [selection([], True, f"{i}/3") for i in (1, 2, 3)]
    assert sorted(r for part in parts for r in part) == sorted(load_project()[1].releases)


def test_drift_from_compat_json_fails_and_names_the_release(project: Path) -> None:
    data = json.loads((project / "docs/data/compat.json").read_bytes())
    data["releases"]["0.22.1"]["files"] = 1
    (project / "docs/data/compat.json").write_text(json.dumps(data))
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "0.22.1" in done.stderr
    assert "--write" in done.stderr


def test_a_changed_patch_is_found(project: Path) -> None:
    spoil(project / "patches/guides/0.22.0.patch", b"# Prefill instance", b"# A prefill instance")
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "topic guides" in done.stderr.replace("\n", " ")


def test_a_wrong_hash_in_the_lock_is_found(project: Path) -> None:
    row = json.loads((project / "patches/lock.json").read_bytes())["releases"]["0.22.1"]
    spoil(project / "patches/lock.json", row["tree"]["after"].encode(), b"0" * 64)
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "digest of the patched tree" in done.stderr.replace("\n", " ")


def test_a_wrong_key_of_the_contract_in_the_lock_is_found(project: Path) -> None:
    lock = json.loads((project / "patches/lock.json").read_bytes())
    lock["releases"]["0.22.1"]["contract"] = "0" * 64
    (project / "patches/lock.json").write_text(json.dumps(lock))
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "digest of the contract's key" in done.stderr.replace("\n", " ")


@pytest.mark.parametrize("spoilt", [{"docs/lost.md": b"1"}, {"vllm/__init__.py": b"2"}])
def test_a_way_back_that_leads_elsewhere_is_found(spoilt: dict[str, bytes]) -> None:
    series, lock = load_project()
    row = lock.releases["0.22.1"]
    files = release_files.extract(row, series, Options(default_cache_dir())).files
    plan = plans.plan(files.get, row, series, series.chosen())
    after = {**files, **{c.path: c.after for c in plan.changes if c.after is not None}}
    prove._reverse(row, after, files, series, ())
    with pytest.raises(Unproven, match=r"does not restore the bytes of vLLM 0\.22\.1"):
        prove._reverse(row, after, {**files, **spoilt}, series, ())


def test_an_archive_that_cannot_be_had_is_no_release_that_is_not_proven(tmp_path: Path) -> None:
    done = verify(ROOT, "--release", "0.22.1", "--release", "0.9.0", "--offline", "--cache-dir", str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.startswith("verify.py: vLLM 0.22.1 cannot be had: vllm-0.22.1.tar.gz is not in the cache")
    assert "(nor can 1 more)" in done.stderr.replace("\n", " ")


def test_what_is_not_proven_is_told_before_what_cannot_be_had(
    project: Path, tmp_path: Path, archive: Callable[[str], Path]
) -> None:
    row = json.loads((project / "patches/lock.json").read_bytes())["releases"]["0.9.0"]
    spoil(project / "patches/lock.json", row["tree"]["after"].encode(), b"0" * 64)
    (tmp_path / "archives").mkdir()
    shutil.copy(archive("0.9.0"), tmp_path / "archives")
    done = verify(project, "--release", "0.22.1", "--release", "0.9.0", "--offline", "--cache-dir", str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith("verify.py: vLLM 0.9.0 is not proven: The digest of the patched tree")


def test_fewer_processes_than_none_are_a_usage_error() -> None:
    done = verify(ROOT, "--release", "0.9.0", "--jobs", "-3")
    assert done.returncode == 2
    assert "--jobs -3" in done.stderr


def test_a_narrow_terminal_gets_columns_that_can_be_read() -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", 24, 60, 0, 0))
    command = [sys.executable, str(ROOT / "tools" / "verify.py"), "--release", "0.22.1"]
    env = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(command, stdout=side, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(side)
        out = read_all(main)
    assert process.returncode == 0
    assert out.splitlines()[0].split() == ["release", "contract", "proven"]
    assert out.splitlines()[1].split() == ["0.22.1", "holds", "yes"]


def read_all(terminal: int) -> str:
    out = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while piece := os.read(terminal, 4096):
            out += piece
    os.close(terminal)
    return out.decode()


@pytest.mark.slow
def test_the_patches_are_lint_clean() -> None:
    done = verify(ROOT, "--lint")
    assert done.returncode == 0, done.stdout
    assert done.stdout == "The patches are clean.\n"


def test_an_unknown_release_is_a_usage_error() -> None:
    done = verify(ROOT, "--release", "0.99.0")
    assert done.returncode == 2
    assert list(load_project()[1].releases)[-1] in done.stderr
