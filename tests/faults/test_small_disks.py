"""Real small disks, disks without inodes, and limits: what the injected faults stand for."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.errors import DoesNotApply
from kvroles.tree import stage
from support.driver import Ran
from support.files import contents, put, series_of, snapshot
from support.mounts import Mounts
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


@pytest.mark.parametrize("size", ["16k", "40k", "64k"])
def test_a_full_disk_leaves_no_half_tree(apply: Apply, tiny: Tiny, tmp_path: Path, mounts: Mounts, size: str) -> None:
    disk = mounts.small_disk(tmp_path / "disk", size)
    put(disk, {"mine": b"x" * 100})
    apply("--vllm-rev", "0.22.1", "--output", disk / "new").refused(1, "No space left", "Free some space")
    assert contents(disk) == {"mine": b"x" * 100}


def test_a_full_disk_leaves_an_existing_tree_as_it_was(
    apply: Apply, tiny: Tiny, tmp_path: Path, mounts: Mounts
) -> None:
    disk = mounts.small_disk(tmp_path / "disk", "256k")
    tree = tiny.unpack(disk / "vllm")
    fill(disk / "filler", leave=4096 * 4)
    before = snapshot(disk)
    apply("--into", tree).refused(1, "No space left", "nothing was changed")
    assert snapshot(disk) == before
    (disk / "filler").unlink()
    apply("--into", tree).ok()
    fill(disk / "filler", leave=4096 * 2)
    before = snapshot(disk)
    apply("--into", tree, "--reverse").refused(1, "No space left", "nothing was changed")
    assert snapshot(disk) == before


def fill(file: Path, leave: int) -> None:
    with file.open("wb") as f:
        st = os.statvfs(file)
        f.write(b"x" * (st.f_bavail * st.f_frsize - leave))


def test_running_out_of_inodes_is_a_full_disk_too(apply: Apply, tmp_path: Path, mounts: Mounts) -> None:
    disk = mounts.small_disk(tmp_path / "disk", "4m", inodes=12)
    apply("--vllm-rev", "0.22.1", "--output", disk / "new").refused(1, "No space left")
    assert list(disk.iterdir()) == []


def test_a_limit_on_file_sizes_is_met_like_a_full_disk(tiny: Tiny, tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    done = subprocess.run(
        [sys.executable, "-B", tiny.apply, "--vllm-rev", "0.22.1", "--offline", "--cache-dir", tiny.cache],
        cwd=tmp_path, preexec_fn=limited, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    Ran(done.returncode, done.stdout, done.stderr).refused(1, "File too large")
    assert not list((tmp_path / "build").iterdir())


def test_a_failure_while_a_decided_change_is_carried_out_says_that_the_next_run_finishes_it(
    apply: Apply, tree: Path, tiny: Tiny, read_only: Callable[..., None], mounts: Mounts
) -> None:
    read_only(tree / "docs")
    apply("--into", tree).refused(1, "decided but not finished", "the next run finishes it")
    assert (tree / ".kv-roles/journal.json").exists()
    mounts.close()
    apply("--into", tree).ok()
    assert series_of(tree) == tiny.applied()


def test_a_mount_point_as_the_output_is_named_before_anything_is_fetched(
    apply: Apply, tiny: Tiny, tmp_path: Path, mounts: Mounts
) -> None:
    """Nothing can be renamed to one; the advice, pasted, ends in a tree."""
    disk = mounts.small_disk(tmp_path / "a disk", "4m")
    argv = ("--vllm-rev", "0.22.1", "--cache-dir", tiny.cache)
    refused = apply(*argv, "--output", disk).refused(1, "is a mount point", f"--output '{disk}/vllm'")
    assert list(disk.iterdir()) == []
    (way,) = re.findall(r"--output '([^']+)'", refused.said)
    apply(*argv, "--output", way).ok()
    assert Path(way, "vllm/__init__.py").is_file()


def test_an_empty_folder_of_ours_below_one_that_is_not(
    apply: Apply, tiny: Tiny, tmp_path: Path, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "theirs" / "our own"
    ours.mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, *a, **kw: Path(p) != ours.parent and real(p, *a, **kw))
    with pytest.raises(DoesNotApply, match=r"is empty, but .*/theirs, .* --output '.*our own/vllm'"):
        stage.may_take(ours)
