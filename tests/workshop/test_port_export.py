"""port.py --export-upstream: an optional topic as one commit for vLLM itself, which ``git am`` takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kvroles.apply import plan as plans
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
SERIES, LOCK = project.load()


@pytest.mark.parametrize(
    ("topic", "subject", "page"),
    [
        ("reject-kv-both", "[KVConnector] Reject kv_role='kv_both'", True),
        ("bidirectional-fence", "[Core] Fence freed blocks wherever KV is loaded", False),
    ],
)
def test_an_export_is_a_commit_on_the_pristine_newest_release(
    tmp_path: Path, topic: str, subject: str, page: bool
) -> None:
    newest = list(LOCK.releases)[-1]
    command = [sys.executable, ROOT / "tools" / "port.py", "--export-upstream", topic, "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "git am --keep-non-patch --signoff" in done.stdout
    clone = tmp_path / "vllm"
    pristine = release_files.extract(LOCK.releases[newest], SERIES, Options(default_cache_dir())).files
    for path, data in pristine.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_bytes(data)

    def git(*args: str) -> str:
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@localhost")
        return subprocess.run(["git", *who, *args], cwd=clone, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    git("add", "-Af", ".")
    git("commit", "-qm", "pristine")
    git("am", "-q", "--keep-non-patch", "--signoff", str(tmp_path / f"0001-{topic}.patch"))
    said = git("log", "-1", "--format=%B")
    assert said.startswith(f"{subject}\n\n")
    assert "Test plan:\n\n    pytest tests/" in said
    assert said.rstrip().endswith("Signed-off-by: Ann <ann@localhost>")
    assert "Topic:" not in said
    assert "Applies-To:" not in said
    row = LOCK.releases[newest]
    plan = plans.plan(pristine.get, row, SERIES, SERIES.chosen((topic,)))
    made = {c.path: c.after for c in plan.changes}
    ours = set(row.topics[topic].files) | (set(SERIES.overlay) if page else set())
    assert set(git("show", "--name-only", "--format=").split()) == ours
    assert all((clone / path).read_bytes() == made[path] for path in ours)
