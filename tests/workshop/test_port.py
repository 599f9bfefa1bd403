"""The maintainer's day: porting to a release, to a made-up future one, and back from a hand-resolved tree."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from kvroles.apply import plan as plans
from kvroles.places import default_cache_dir
from kvroles.series.lock import Lock
from kvroles.series.project import load as load_project
from kvroles.series.topics import Series
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from support.files import own_cache

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
SERIES, LOCK = load_project()
NEWEST = list(LOCK.releases)[-1]
_MAJOR, _MINOR = NEWEST.split(".")[:2]
NEXT, AFTER_NEXT = (f"{_MAJOR}.{int(_MINOR) + n}.0" for n in (1, 2))  # releases that are yet to come
STRAGGLERS = SERIES.topic("stragglers").variant_for(NEWEST)  # the variant that serves the newest release
CONNECTOR = "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py"
KVLAYOUT = "tests/distributed/test_kvlayout.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that a test may let port.py write to."""
    copy = tmp_path / "project"
    for name in ("patches", "tools", "vllm_overlay"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    own_cache(tmp_path / "caches" / "vllm-kv-roles")  # a port keeps archives that nobody published
    return copy


def run(project: Path, tool: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "tools" / tool), *map(str, args)]
    env = {**os.environ, "XDG_CACHE_HOME": str(project.parent / "caches")}
    return subprocess.run(command, capture_output=True, text=True, cwd=project, env=env, check=False)


def port(project: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return run(project, "port.py", *args)


def files_of(release: str) -> dict[str, bytes]:
    options = Options(default_cache_dir())
    return dict(release_files.extract(LOCK.releases[release], SERIES, options).files)


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
    done = port(project, "--to", NEWEST)
    assert done.returncode == 0, done.stderr
    assert "The series serves it as it is." in done.stdout
    assert (patches(project), (project / "patches" / "lock.json").read_bytes()) == before


def test_a_future_release_that_fits_gets_a_lock_row_and_no_variant(project: Path, tmp_path: Path) -> None:
    future = {p: b"# a line more\n" + d if p.endswith(".py") else d for p, d in files_of(NEWEST).items()}
    before = patches(project)
    done = port(project, "--to", archive(tmp_path, NEXT, future), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["written"] == ["patches/lock.json"]
    assert patches(project) == before
    row = Lock.load(project).releases[NEXT]
    assert row.topics["connector-warning"].state == "native"
    assert row.topics["stragglers"].variant == SERIES.topic("stragglers").variants[-1]


@pytest.mark.slow
def test_an_archive_that_no_index_holds_is_at_hand_once_it_is_ported(project: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs" / "data", project / "docs" / "data")
    shutil.copy(ROOT / "README.md", project)
    source = archive(tmp_path, NEXT, {**files_of(NEWEST), "vllm/logger.py": b"import logging\n"})
    assert "kept " not in port(project, "--to", source, "--check").stdout
    done = port(project, "--to", source)
    assert f"  kept   {tmp_path / f'caches/vllm-kv-roles/archives/vllm-{NEXT}.tar.gz'}\n" in done.stdout
    assert "  wrote  docs/data/compat.json\n" in done.stdout
    assert f"{next(iter(LOCK.releases))} to {NEXT}" in (project / "README.md").read_text()
    source.unlink()
    proven = run(project, "verify.py", "--release", NEXT, "--offline")
    assert (proven.returncode, proven.stderr) == (0, "")
    assert port(project, "--to", NEXT, "--offline").returncode == 0
    made = run(project, "apply.py", "--vllm-rev", NEXT, "--offline", "--output", "new", "-q")
    assert made.returncode == 0, made.stderr


@pytest.mark.slow
@pytest.mark.long
def test_a_reworded_neighbour_is_merged_into_a_new_variant(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
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
    done = port(project, "--to", archive(tmp_path, NEXT, future), "--json")
    report = json.loads(done.stdout)
    outcome = {t["topic"]: t["outcome"] for t in report["topics"]}
    assert outcome["stragglers"] in ("merged", "by meaning", "conflict")
    if outcome["stragglers"] != "conflict":
        assert done.returncode == 0, done.stdout
        assert NEXT in Series.load(project).topic("stragglers").variants
        newest = SERIES.topic("stragglers").variants[-1]
        assert f",<{NEXT}".encode() in (project / "patches" / "stragglers" / f"{newest}.patch").read_bytes()
    else:
        assert done.returncode == 1
        assert any(KVLAYOUT in item for item in report["left"])


@pytest.mark.slow
def test_a_hand_resolved_tree_becomes_variants(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    future[KVLAYOUT] = future[KVLAYOUT].replace(b'kv_role="kv_both"', b'kv_role = "kv_both"')
    source = archive(tmp_path, NEXT, future)
    options = Options(default_cache_dir())
    plan = plans.plan(
        release_files.extract(LOCK.releases[NEWEST], SERIES, options).files.get,
        LOCK.releases[NEWEST],
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
    assert NEXT in Series.load(project).topic("stragglers").variants
    row = Lock.load(project).releases[NEXT]
    assert row.topics["stragglers"].variant == NEXT
    # Variants of the other topics, and those of earlier releases but for the closed range, are the same to the byte.
    was, now = patches(ROOT), patches(project)
    newest = f"patches/stragglers/{SERIES.topic('stragglers').variants[-1]}.patch"
    assert {p for p in was if was[p] != now.get(p)} == {newest}
    assert now[newest].replace(f",<{NEXT}".encode(), b"") == was[newest]


@pytest.mark.slow
def test_a_change_to_a_file_of_no_topic_is_refused_before_anything_is_written(project: Path, tmp_path: Path) -> None:
    source = archive(tmp_path, NEXT, {**files_of(NEWEST), "vllm/logger.py": b"import logging\n"})
    tree = tmp_path / "tree"
    subprocess.run(["tar", "xzf", str(source), "-C", str(tmp_path)], check=True)
    (tmp_path / f"vllm-{NEXT}").rename(tree)
    (tree / "vllm" / "logger.py").write_bytes(b"import logging.handlers\n")
    before = patches(project)
    done = port(project, "--to", source, "--from-tree", tree)
    assert done.returncode == 1
    assert " ".join(done.stderr.split()).startswith("port.py: vllm/logger.py is changed in ")
    assert patches(project) == before


WARNING = b"Using kv_role='kv_both' with NixlConnector is deprecated "
SCHEDULER = "vllm/v1/core/sched/scheduler.py"
EDGE_CASES = "tests/v1/kv_connector/nixl_integration/run_edge_case_test.sh"


def outcomes(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {t["topic"]: (t["outcome"], t["note"]) for t in report["topics"]}


def surveyed(project: Path, tmp_path: Path, future: dict[str, bytes]) -> dict[str, Any]:
    """The report on a release that leaves something to a person; nothing was written."""
    before = patches(project), (project / "patches" / "lock.json").read_bytes()
    done = port(project, "--to", archive(tmp_path, NEXT, future), "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert (patches(project), (project / "patches" / "lock.json").read_bytes()) == before
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.slow
def test_a_moved_connector_is_reported_with_its_new_place(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    home = CONNECTOR.replace("connector.py", "pull_connector.py")
    future[home] = future.pop(CONNECTOR)
    report = surveyed(project, tmp_path, future)
    assert outcomes(report)["connector-warning"] == ("moved", home)
    assert {o for t, (o, _) in outcomes(report).items() if t in ("unit-tests", "guides")} == {"native"}
    assert outcomes(report)["stragglers"] == ("fit", "")
    assert f"{CONNECTOR} is gone, and {home} holds its text" in report["left"]
    (clause,) = [item for item in report["left"] if "clause 1" in item]
    assert f"NixlConnector is defined in {home}" in clause
    assert "tools/kvroles/contract/terms.py" in clause


@pytest.mark.slow
def test_a_split_connector_is_reported_with_where_the_warning_went(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    text = future[CONNECTOR]
    base, pull = text.index(b"class NixlBaseConnector"), text.index(b"class NixlPullConnector")
    home = CONNECTOR.replace("connector.py", "base_connector.py")
    future[home] = text[:pull]
    future[CONNECTOR] = text[:base] + b"from .base_connector import NixlBaseConnector\n\n\n" + text[pull:]
    report = surveyed(project, tmp_path, future)
    assert outcomes(report)["connector-warning"] == ("changed", CONNECTOR)
    (clause,) = [item for item in report["left"] if "clause 1" in item]
    assert f"the words of the warning are in {home}" in clause
    assert not any(CONNECTOR in item and "conflicts" in item and "topic" not in item for item in report["left"])


@pytest.mark.slow
def test_words_upstream_changed_keep_the_refusal_all_the_same(project: Path, tmp_path: Path) -> None:
    """No merge carries the refusal over the reworded warning: the statement is put in its place by syntax."""
    future = files_of(NEWEST)
    assert WARNING in future[CONNECTOR]
    future[CONNECTOR] = future[CONNECTOR].replace(WARNING, b"NixlConnector: kv_role='kv_both' has been deprecated ")
    done = port(project, "--to", archive(tmp_path, NEXT, future), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert outcomes(report)["connector-warning"] == ("native", "")
    outcome, note = outcomes(report)["reject-kv-both"]
    assert (outcome, CONNECTOR in note) == ("by meaning", True)
    variant = (project / "patches" / "reject-kv-both" / f"{NEXT}.patch").read_text(encoding="utf-8")
    assert "+            raise ValueError(KV_BOTH_REFUSED)" in variant


@pytest.mark.slow
def test_words_upstream_dropped_are_missed(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    future[CONNECTOR] = future[CONNECTOR].replace(WARNING, b"NixlConnector would rather not see kv_both ")
    report = surveyed(project, tmp_path, future)
    assert outcomes(report)["connector-warning"] == ("changed", CONNECTOR)
    assert any(item.startswith(f"{CONNECTOR}: neither") for item in report["left"])


@pytest.mark.parametrize("path", [EDGE_CASES, "tests/v1/kv_connector/unit/test_nixl_connector.py"])
@pytest.mark.slow
def test_a_renamed_file_is_reported_with_its_new_name(project: Path, tmp_path: Path, path: str) -> None:
    future = files_of(NEWEST)
    folder, _, name = path.rpartition("/")
    new = f"{folder}/{name.replace('test', 'check')}"
    future[new] = future.pop(path)
    report = surveyed(project, tmp_path, future)
    assert f"{path} is gone, and {new} holds its text" in report["left"]
    assert new in json.dumps(report["by_meaning"]), "the file under its new name is given its roles"


@pytest.mark.slow
@pytest.mark.long
def test_a_script_that_is_gone_ends_its_variant(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    del future[EDGE_CASES]
    done = port(project, "--to", archive(tmp_path, NEXT, future))
    assert done.returncode == 0, done.stdout + done.stderr
    stragglers = Series.load(project).topic("stragglers")
    assert EDGE_CASES not in {f.path for f in stragglers.patch(NEXT).files}
    assert EDGE_CASES in {f.path for f in stragglers.patch(STRAGGLERS).files}
    assert stragglers.patch(STRAGGLERS).trailers["Applies-To"] == f">={STRAGGLERS},<{NEXT}"


@pytest.mark.slow
def test_a_topic_upstream_has_made_its_own_ends(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    plan = plans.plan(future.get, LOCK.releases[NEWEST], SERIES, SERIES.chosen())
    future |= {c.path: c.after for c in plan.changes if c.before is not None and c.after is not None}
    done = port(project, "--to", archive(tmp_path, NEXT, future), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(json.loads(done.stdout))["stragglers"] == ("native", "")
    stragglers = Series.load(project).topic("stragglers")
    assert stragglers.variant_for(NEWEST) == STRAGGLERS
    assert stragglers.variant_for(NEXT) is None
    newest = f"patches/stragglers/{stragglers.variants[-1]}.patch"
    assert {p for p, raw in patches(ROOT).items() if raw != patches(project)[p]} == {newest}
    assert lint(project) == "The patches are clean.\n"


@pytest.mark.slow
@pytest.mark.long
def test_a_topic_that_comes_back_leaves_the_release_between_alone(project: Path, tmp_path: Path) -> None:
    own = files_of(NEWEST)
    plan = plans.plan(own.get, LOCK.releases[NEWEST], SERIES, SERIES.chosen())
    done_upstream = {c.path: c.after for c in plan.changes if c.before is not None and c.after is not None}
    for release, files in ((NEXT, own | done_upstream), (AFTER_NEXT, own)):
        done = port(project, "--to", archive(tmp_path, release, files))
        assert done.returncode == 0, done.stdout + done.stderr
    stragglers = Series.load(project).topic("stragglers")
    assert [stragglers.variant_for(r) for r in (NEWEST, NEXT, AFTER_NEXT)] == [STRAGGLERS, None, AFTER_NEXT]
    assert stragglers.patch(STRAGGLERS).trailers["Applies-To"] == f">={STRAGGLERS},<{NEXT}"
    states = {r: row.topics["stragglers"].state for r, row in Lock.load(project).releases.items()}
    assert (states[NEXT], states[AFTER_NEXT]) == ("absent", "variant")


@pytest.mark.slow
def test_an_optional_topic_is_resolved_by_hand_and_the_port_is_then_done(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    old, new = b"if multiple_inflight_batches and kv_transfer_config.is_kv_consumer:", b"if self._overlaps() and "
    assert old in future[SCHEDULER]
    future[SCHEDULER] = future[SCHEDULER].replace(old, new + b"kv_transfer_config.is_kv_consumer:")
    source = archive(tmp_path, NEXT, future)
    done = port(project, "--to", source)
    assert done.returncode == 1
    assert "--from-tree DIR --with bidirectional-fence" in done.stdout

    row = LOCK.releases[NEWEST]
    plan = plans.plan(files_of(NEWEST).get, row, SERIES, SERIES.chosen(("bidirectional-fence",)))
    resolved = {**future, **{c.path: c.after for c in plan.changes if c.path != SCHEDULER and c.after is not None}}
    resolved[SCHEDULER] = future[SCHEDULER].replace(
        new + b"kv_transfer_config.is_kv_consumer:", new + b"self.connector.loads_kv:"
    )
    tree = tmp_path / "resolved"
    for path, data in {**resolved, "vllm/__init__.py": b""}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    was = patches(project)
    done = port(project, "--to", source, "--from-tree", tree, "--with", "bidirectional-fence")
    assert done.returncode == 0, done.stdout + done.stderr
    now = patches(project)
    newest = f"patches/bidirectional-fence/{SERIES.topic('bidirectional-fence').variants[-1]}.patch"
    assert now.keys() - was.keys() == {f"patches/bidirectional-fence/{NEXT}.patch"}
    assert {p for p in was if was[p] != now[p]} == {newest}
    assert now[newest].replace(f",<{NEXT}".encode(), b"") == was[newest]
    assert Lock.load(project).releases[NEXT].topics["bidirectional-fence"].variant == NEXT

    lock = (project / "patches" / "lock.json").read_bytes()
    again = port(project, "--to", source)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "The series serves it as it is." in again.stdout
    assert (patches(project), (project / "patches" / "lock.json").read_bytes()) == (now, lock)


@pytest.mark.slow
def test_with_needs_a_tree_and_an_optional_topic(project: Path, tmp_path: Path) -> None:
    assert port(project, "--to", NEWEST, "--with", "bidirectional-fence").returncode == 2
    wrong = port(project, "--to", NEWEST, "--from-tree", tmp_path, "--with", "stragglers")
    assert wrong.returncode == 2
    assert "part of the default series" in wrong.stderr


def lint(project: Path) -> str:
    return run(project, "verify.py", "--lint").stdout


@pytest.mark.slow
def test_a_new_kv_both_upstream_is_left_to_a_person_with_its_line(project: Path, tmp_path: Path) -> None:
    future = files_of(NEWEST)
    future["examples/new_nixl.sh"] = (
        b'vllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'
    )
    done = port(project, "--to", archive(tmp_path, NEXT, future))
    assert done.returncode == 1
    assert "examples/new_nixl.sh:1" in done.stdout


@pytest.mark.slow
def test_the_lock_is_what_the_archives_make_it(project: Path) -> None:
    assert port(project, "--relock", "--check").stdout == "Nothing changed.\n"
