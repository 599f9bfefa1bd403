"""The maintainer's day: porting to a release, to a made-up future one, and back from a hand-resolved tree."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from kvroles import engine, verifying
from kvroles.lock import Lock
from kvroles.places import default_cache_dir
from kvroles.series import Series

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
SERIES, LOCK = engine.load()
CONNECTOR = "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py"
KVLAYOUT = "tests/distributed/test_kvlayout.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that a test may let port.py write to."""
    copy = tmp_path / "project"
    for name in ("patches", "tools", "vllm_overlay"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def port(project: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "tools" / "port.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=project, check=False)


def files_of(release: str) -> dict[str, bytes]:
    options = verifying.Options(default_cache_dir())
    return dict(verifying.extract(LOCK.releases[release], SERIES, options).files)


def archive(folder: Path, release: str, files: dict[str, bytes]) -> Path:
    """A source archive of a release that does not exist."""
    path = folder / f"vllm-{release}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {**files, "vllm/__init__.py": b""}.items():
            info = tarfile.TarInfo(f"vllm-{release}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def patches(project: Path) -> dict[str, bytes]:
    return {str(p.relative_to(project)): p.read_bytes() for p in (project / "patches").rglob("*.patch")}


def test_a_known_release_changes_no_byte(project: Path) -> None:
    before = patches(project), (project / "patches" / "lock.json").read_bytes()
    done = port(project, "--to", "0.33.0")
    assert done.returncode == 0, done.stderr
    assert "The series serves it as it is." in done.stdout
    assert (patches(project), (project / "patches" / "lock.json").read_bytes()) == before


def test_a_future_release_that_fits_gets_a_lock_row_and_no_variant(project: Path, tmp_path: Path) -> None:
    future = {p: b"# a line more\n" + d if p.endswith(".py") else d for p, d in files_of("0.33.0").items()}
    before = patches(project)
    done = port(project, "--to", archive(tmp_path, "0.34.0", future), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["written"] == ["patches/lock.json"]
    assert patches(project) == before
    row = Lock.load(project).releases["0.34.0"]
    assert row.topics["connector-warning"].state == "native"
    assert row.topics["stragglers"].variant == SERIES.topic("stragglers").variants[-1]


def test_a_reworded_neighbour_is_merged_into_a_new_variant(project: Path, tmp_path: Path) -> None:
    future = files_of("0.33.0")
    # The line above the hunk is reworded, two lines away from the change: exact context fails, a merge does not.
    patch = next(
        f for f in SERIES.topic("stragglers").patch(SERIES.topic("stragglers").variants[-1]).files if f.path == KVLAYOUT
    )
    first = patch.hunks[0].old[0]
    assert future[KVLAYOUT].count(first) >= 1
    at = future[KVLAYOUT].index(b"".join(patch.hunks[0].old))
    future[KVLAYOUT] = (
        future[KVLAYOUT][:at]
        + b"        # a new neighbour\n"
        + future[KVLAYOUT][at:].replace(first, first.rstrip() + b"  # reworded\n", 1)
    )
    done = port(project, "--to", archive(tmp_path, "0.34.0", future), "--json")
    report = json.loads(done.stdout)
    outcome = {t["topic"]: t["outcome"] for t in report["topics"]}
    assert outcome["stragglers"] in ("merged", "conflict")
    if outcome["stragglers"] == "merged":
        assert done.returncode == 0, done.stdout
        assert "0.34.0" in Series.load(project).topic("stragglers").variants
        newest = SERIES.topic("stragglers").variants[-1]
        assert b",<0.34.0" in (project / "patches" / "stragglers" / f"{newest}.patch").read_bytes()
    else:
        assert done.returncode == 1
        assert any(KVLAYOUT in item for item in report["left"])


def test_a_hand_resolved_tree_becomes_variants(project: Path, tmp_path: Path) -> None:
    future = files_of("0.33.0")
    future[KVLAYOUT] = future[KVLAYOUT].replace(b'kv_role="kv_both"', b'kv_role = "kv_both"')
    source = archive(tmp_path, "0.34.0", future)
    assert port(project, "--to", source).returncode == 1
    options = verifying.Options(default_cache_dir())
    plan = engine.plan(
        verifying.extract(LOCK.releases["0.33.0"], SERIES, options).files.get,
        LOCK.releases["0.33.0"],
        SERIES,
        SERIES.chosen(),
    )
    resolved = dict(future) | {c.path: c.after for c in plan.changes if c.after is not None and c.path != KVLAYOUT}
    nixl = future[KVLAYOUT].index(b'kv_connector="NixlConnector"')
    tail = future[KVLAYOUT][nixl:].replace(b'kv_role = "kv_both"', b'kv_role = "kv_consumer"', 1)
    tail = tail.replace(
        b'{"kv_connector": "NixlConnector", "kv_role": "kv_both"}',
        b'{"kv_connector": "NixlConnector", "kv_role": "kv_consumer"}',
    )
    resolved[KVLAYOUT] = future[KVLAYOUT][:nixl] + tail
    tree = tmp_path / "resolved"
    for path, data in {**resolved, "vllm/__init__.py": b""}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    done = port(project, "--to", source, "--from-tree", tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0.34.0" in Series.load(project).topic("stragglers").variants
    row = Lock.load(project).releases["0.34.0"]
    assert row.topics["stragglers"].variant == "0.34.0"
    # Variants of the other topics, and those of earlier releases but for the closed range, are the same to the byte.
    was, now = patches(ROOT), patches(project)
    newest = f"patches/stragglers/{SERIES.topic('stragglers').variants[-1]}.patch"
    assert {p for p in was if was[p] != now.get(p)} == {newest}
    assert now[newest].replace(b",<0.34.0", b"") == was[newest]


def test_a_change_that_is_no_topics_business_is_refused_before_anything_is_written(
    project: Path, tmp_path: Path
) -> None:
    source = archive(tmp_path, "0.34.0", {**files_of("0.33.0"), "vllm/logger.py": b"import logging\n"})
    tree = tmp_path / "tree"
    subprocess.run(["tar", "xzf", str(source), "-C", str(tmp_path)], check=True)
    (tmp_path / "vllm-0.34.0").rename(tree)
    (tree / "vllm" / "logger.py").write_bytes(b"import logging.handlers\n")
    before = patches(project)
    done = port(project, "--to", source, "--from-tree", tree)
    assert done.returncode == 1
    assert " ".join(done.stderr.split()).startswith("port.py: vllm/logger.py is changed in ")
    assert patches(project) == before


def test_a_moved_connector_is_reported_with_its_new_place(project: Path, tmp_path: Path) -> None:
    future = files_of("0.33.0")
    text = future.pop(CONNECTOR)
    future["vllm/distributed/kv_transfer/kv_connector/v1/nixl/pull_connector.py"] = text
    before = patches(project)
    done = port(project, "--to", archive(tmp_path, "0.34.0", future))
    assert done.returncode == 1
    assert "nixl/pull_connector.py" in done.stdout
    assert "Left for a person" in done.stdout
    assert patches(project) == before


def test_a_new_kv_both_upstream_is_left_to_a_person_with_its_line(project: Path, tmp_path: Path) -> None:
    future = files_of("0.33.0")
    future["examples/new_nixl.sh"] = (
        b'vllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'
    )
    done = port(project, "--to", archive(tmp_path, "0.34.0", future))
    assert done.returncode == 1
    assert "examples/new_nixl.sh:1" in done.stdout


def test_the_lock_is_what_the_archives_make_it(project: Path) -> None:
    assert port(project, "--relock", "--check").stdout == "Nothing changed.\n"
