"""A tree whose run was killed in the middle of a decided change: what the next run says, and what it will not guess at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import KILLED, Ran
from support.files import snapshot
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


@pytest.fixture
def interrupted(apply: Apply, tiny: Tiny, tmp_path: Path) -> Path:
    """A tree whose change was decided and partly carried out when its run was killed."""
    tree = tmp_path / "vllm"
    apply(
        "--into", tiny.unpack(tmp_path / "first")
    ).ok()  # the cache is warm for the run that is counted, as for those killed
    moment = apply("--into", tiny.unpack(tmp_path / "model"), count=True).ok().points
    while not (tree / ".kv-roles/journal.json").exists():
        moment -= 3
        shutil.rmtree(tree, ignore_errors=True)
        assert apply("--into", tiny.unpack(tree), kill_at=moment).code == KILLED
    return tree


def test_an_interrupted_tree_says_so_when_it_is_finished(apply: Apply, interrupted: Path) -> None:
    assert "An interrupted run was finished first." in apply("--into", interrupted).ok().out


def test_a_file_changed_after_the_kill_is_not_overwritten(apply: Apply, interrupted: Path) -> None:
    (interrupted / project.SCRIPT).write_bytes(b"mine\n")
    before = snapshot(interrupted)
    for argv in ((), ("--reverse",)):
        ran = apply("--into", interrupted, *argv)
        ran.refused(1, "interrupted", f"{project.SCRIPT} was changed since", ".kv-roles")
    assert snapshot(interrupted) == before


def test_a_damaged_journal_is_not_guessed_at(apply: Apply, interrupted: Path) -> None:
    journal = interrupted / ".kv-roles/journal.json"
    whole = journal.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        b"[]",
        b'{"steps": [1]}',
        b"\xff\xfe",
        whole.replace(b"vllm/", b"../"),
        whole.replace(b"vllm/", b"\\ud800/"),
        b"[" * 100_000,
    ):
        journal.write_bytes(damaged)
        before = snapshot(interrupted.parent)
        apply("--into", interrupted).refused(3, "journal", "is damaged", ".kv-roles")
        assert snapshot(interrupted.parent) == before
