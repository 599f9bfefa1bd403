"""``--range A..B`` and ``--since DAY``: a row a commit, nothing written, and an exit code for a pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny as project
from support.clones import in_ as git
from support.driver import Ran
from support.files import put, snapshot
from support.tiny import SCRIPT, UNIT

Apply = Callable[..., Ran]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Five commits: a release, an unrelated change, a script that no variant fits, a role of no side, and a release again."""
    folder = tmp_path / "clone"
    script = project.pristine("0.22.1")[SCRIPT]
    states = [
        {},
        {"README.md": b"# Another word\n"},
        {SCRIPT: script.replace(b"--port 8100", b"--port 8100 --seed 1").replace(b"8200", b"8200 --seed 1")},
        {UNIT: project.pristine("0.22.1")[UNIT] + b'\n\nCONFIG = dict(kv_connector="NixlConnector", kv_role="kv_both")\n'},
        {},
    ]  # fmt: skip
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for number, state in enumerate(states):
        put(folder, {**project.pristine("0.22.1"), "README.md": f"{number}".encode(), **state})
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", f"{number}")
        git(folder, "tag", f"c{number}")
    return folder


def rows(ran: Ran) -> list[Any]:
    return list(json.loads(ran.out)["commits"])


def test_each_commit_is_a_row_and_one_that_is_refused_fails(apply: Apply, clone: Path) -> None:
    before = snapshot(clone, times=True)
    ran = apply("--upstream", clone, "--range", "c0..c4", "--json")
    assert ran.code == 1
    assert [r["outcome"] for r in rows(ran)] == ["proven", "by meaning", "refused", "proven"]
    assert [r["commit"] for r in rows(ran)] == [git(clone, "rev-parse", f"c{n}") for n in (1, 2, 3, 4)]
    assert rows(ran)[0]["release"] == "0.22.1"
    assert rows(ran)[1]["by_meaning"] == [SCRIPT]
    assert UNIT in rows(ran)[2]["why"]
    assert snapshot(clone, times=True) == before
    table = apply("--upstream", clone, "--range", "c0..c4")
    assert table.code == 1
    assert "4 commits: 2 proven, 1 by meaning, 1 refused" in table.out


def test_a_range_that_is_all_proven_succeeds(apply: Apply, clone: Path) -> None:
    assert [r["outcome"] for r in rows(apply("--upstream", clone, "--range", "c0..c2", "--json").ok())] == [
        "proven",
        "by meaning",
    ]


def test_an_end_may_be_named_by_how_far_it_lies_behind(apply: Apply, clone: Path) -> None:
    told = rows(apply("--upstream", clone, "--range", "main~4..main~3", "--json").ok())
    assert [r["commit"] for r in told] == [git(clone, "rev-parse", "c1")]
    apply("--upstream", clone, "--range", "main~9..main").refused(4, "history")


def test_exact_and_part_count_for_each_commit(apply: Apply, clone: Path) -> None:
    assert apply("--upstream", clone, "--range", "c1..c2", "--exact").code == 1
    apply("--upstream", clone, "--range", "c0..c4", "--part", "runtime").ok()


def test_since_judges_what_came_after_a_day(apply: Apply, clone: Path) -> None:
    assert len(rows(apply("--upstream", clone, "--since", "2001-01-01", "--vllm-rev", "c2", "--json").ok())) == 3


def test_what_a_clone_lacks_is_not_taken_for_read(apply: Apply, clone: Path) -> None:
    blob = git(clone, "rev-parse", "c1:csrc/table.bin")
    (clone / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    ran = apply("--upstream", clone, "--range", "c0..c1")
    assert ran.code == 1
    assert "Not read, because the clone lacks them: csrc/table.bin" in ran.out


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (("--range", "c0"), 2, "OLD..NEW"),
        (("--range", "c0...c2"), 2, "OLD..NEW"),
        (("--range", "c0..nosuch"), 2, "nosuch"),
        (("--range", "c2..c0"), 2, "holds no commit"),
        (("--range=--all..c2",), 2, "--all"),
        (("--since", "yesterday"), 2, "YYYY-MM-DD"),
        (("--since", "2026-02-30"), 2, "YYYY-MM-DD"),
        (("--since", "2099-01-01"), 2, "holds no commit"),
        (("--range", "c0..c1", "--output", "x"), 2, "--output"),
        (("--range", "c0..c1", "--check"), 2, "--check"),
        (("--range", "c0..c1", "--vllm-rev", "c1"), 2, "Leave --vllm-rev out"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_a_bad_range_is_named(apply: Apply, clone: Path, asked: tuple[str, ...], code: int, says: str) -> None:
    apply("--upstream", clone, *asked).refused(code, says)


def test_a_range_needs_a_clone_with_its_history(apply: Apply, clone: Path, tmp_path: Path) -> None:
    apply("--upstream", "https://localhost/vllm", "--range", "a..b").refused(2, "clone on this machine")
    apply("--range", "c0..c1").refused(2, "clone on this machine")
    apply("--upstream", tmp_path, "--range", "c0..c1").refused(4, "not a git repository")
    lost = git(clone, "rev-parse", "c1")
    (clone / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    apply("--upstream", clone, "--range", "c0..c4").refused(4, "history")
    shutil.rmtree(clone / ".git" / "objects")
    assert apply("--upstream", clone, "--range", "c0..c4").code in (2, 4)
