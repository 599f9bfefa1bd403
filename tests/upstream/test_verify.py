"""verify.py: the lock and compat.json are true for every release, and a lie in either is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from kvroles import engine

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


def test_all_43_releases_are_proven_and_compat_json_says_so() -> None:
    done = verify(ROOT, "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "43 of 43 proven, 2 of them as far as their files can be had" in done.stdout
    assert "0.15.1: clause 2 not checked" in done.stdout


def test_compat_json_fits_its_schema_and_names_every_release() -> None:
    data = json.loads(COMPAT.read_bytes())
    schema = json.loads((ROOT / "docs" / "data" / "compat.schema.json").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(data)
    _, lock = engine.load()
    assert list(data["releases"]) == list(lock.releases)
    assert len(data["releases"]) == 43


def test_shards_cover_every_release_once() -> None:
    from kvroles.compat import selection

    parts = [selection([], True, f"{i}/3") for i in (1, 2, 3)]
    assert sorted(r for part in parts for r in part) == sorted(engine.load()[1].releases)


def test_drift_from_compat_json_fails_and_names_the_release(project: Path) -> None:
    data = json.loads((project / "docs/data/compat.json").read_bytes())
    data["releases"]["0.22.1"]["files"] = 1
    (project / "docs/data/compat.json").write_text(json.dumps(data))
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "0.22.1" in done.stderr
    assert "--write" in done.stderr


def test_a_changed_patch_is_found(project: Path) -> None:
    spoil(project / "patches/connector-warning/0.20.0.patch", b"on decode instances.", b"on decode instance.")
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "connector-warning" in done.stderr


def test_a_wrong_hash_in_the_lock_is_found(project: Path) -> None:
    row = json.loads((project / "patches/lock.json").read_bytes())["releases"]["0.22.1"]
    spoil(project / "patches/lock.json", row["tree"]["after"].encode(), b"0" * 64)
    done = verify(project, "--release", "0.22.1")
    assert done.returncode == 3
    assert "digest of the patched tree" in done.stderr.replace("\n", " ")


def test_the_patches_are_lint_clean() -> None:
    done = verify(ROOT, "--lint")
    assert done.returncode == 0, done.stdout
    assert done.stdout == "The patches are clean.\n"


@pytest.mark.parametrize(
    ("code", "file", "old", "new"),
    [
        ("KVR001", "connector-warning/0.20.0.patch", b"Remove-When: ", b"Removes: "),
        ("KVR002", "connector-warning/0.20.0.patch", b"Topic: connector-warning", b"Topic: guides"),
        ("KVR002", "connector-warning/0.20.0.patch", b"Native-Since: 0.23.0", b"Native-Since: 0.24.0"),
        ("KVR003", "connector-warning/0.20.0.patch", b">=0.20.0,<0.23.0", b">=0.20.0,<0.22.0"),
        ("KVR005", "connector-warning/0.20.0.patch", b'on prefill instances and "\n', b'on prefill instances and " \n'),
        ("KVR007", "series", b"guides\n", b"guides\nguides\n"),
        ("KVR010", "connector-warning/0.20.0.patch", b"@@ -95,2 +95,8 @@", b"@@ -95,2 +95,9 @@"),
    ],
)  # fmt: skip
def test_each_lint_code_finds_what_it_is_for(project: Path, code: str, file: str, old: bytes, new: bytes) -> None:
    spoil(project / "patches" / file, old, new)
    done = verify(project, "--lint", "--json")
    found = {f["code"] for f in json.loads(done.stdout)} if done.stdout.startswith("[") else set()
    assert done.returncode == 1, done.stderr
    assert code in found


def test_an_unknown_release_is_a_usage_error() -> None:
    done = verify(ROOT, "--release", "0.99.0")
    assert done.returncode == 2
    assert "0.33.0" in done.stderr
