"""A run that is killed, at whatever moment, leaves the old state, the new one, or one that the next run finishes.

The moments are counted, not slept for: the run kills itself with SIGKILL just before its n-th change to the file system,
or in the middle of it (see ``support/driver_main.py``).
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import KILLED, Ran
from support.files import snapshot
from support.tiny import Tiny

Apply = Callable[..., Ran]
Snapshot = dict[str, tuple[object, ...]]
SOME = 8  # moments per scenario in the default run; the slow tests take them all


@dataclass
class Scenario:
    """A command on a workshop folder: the folder's state before it and after it, and the number of its moments."""

    argv: tuple[str, ...]
    prepare: Callable[[Path], None]
    before: Snapshot
    after: Snapshot
    points: int

    def moments(self, every: bool) -> Iterator[int]:
        """Moments to die at: all of them, or some spread over the whole run, its last steps among them."""
        step = 1 if every else max(1, self.points // SOME)
        yield from range(self.points, 0, -step)


@pytest.fixture(params=["new tree", "into", "reverse", "add a topic"])
def scenario(request: pytest.FixtureRequest, apply: Apply, tiny: Tiny, tmp_path: Path) -> Scenario:
    def nothing(_: Path) -> None:
        pass

    def pristine(shop: Path) -> None:
        tiny.unpack(shop / "vllm")

    def applied(shop: Path) -> None:
        if not (tmp_path / "applied").exists():
            apply("--into", tiny.unpack(tmp_path / "applied")).ok()
        shutil.copytree(tmp_path / "applied", shop / "vllm")

    argv, prepare = {
        "new tree": (("--vllm-rev", "0.22.1", "--output", "vllm"), nothing),
        "into": (("--into", "vllm"), pristine),
        "reverse": (("--into", "vllm", "--reverse"), applied),
        "add a topic": (("--into", "vllm", "--with", "louder"), applied),
    }[request.param]
    shop = tmp_path / "model"
    shop.mkdir()
    prepare(shop)
    before = snapshot(shop)
    ran = apply(*argv, cwd=shop, count=True).ok()
    after = snapshot(shop)
    assert before != after
    return Scenario(argv, prepare, before, after, ran.points)


def sweep(scenario: Scenario, apply: Apply, tmp_path: Path, every: bool) -> None:
    killed = 0
    for moment in scenario.moments(every):
        shop = tmp_path / "shop"
        shutil.rmtree(shop, ignore_errors=True)
        shop.mkdir()
        scenario.prepare(shop)
        ran = apply(*scenario.argv, cwd=shop, kill_at=moment)
        assert ran.code in (KILLED, 0), (moment, ran)
        killed += ran.code == KILLED
        no_file_is_torn(snapshot(shop), scenario, moment)
        finished_either_way(scenario, apply, shop, tmp_path / "other", moment)
    assert killed >= SOME // 2


def no_file_is_torn(now: Snapshot, scenario: Scenario, moment: int) -> None:
    """What users read is old or new, whole; anything else lies under a name of ours."""
    tree = {p for p in now if p == "vllm" or p.startswith("vllm/")}
    if "vllm" not in scenario.before and tree:
        assert {p: now[p] for p in tree} == {p: e for p, e in scenario.after.items() if p in tree}, moment
    for path in now:
        if ".kv-roles" not in path and now[path] != scenario.before.get(path):
            assert now[path] == scenario.after.get(path), (moment, path)
    for path in scenario.before.keys() & scenario.after.keys():
        assert path in now, (moment, path)


def finished_either_way(scenario: Scenario, apply: Apply, shop: Path, other: Path, moment: int) -> None:
    """The same command again leads to the new state, and where there is a tree, --reverse to the pristine one."""
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(shop, other, symlinks=True)
    before = snapshot(shop)
    check = apply(*scenario.argv, "--check", cwd=shop)
    if check.code:
        check.refused(3, "interrupted", "Run again without --check")
    assert snapshot(shop) == before, moment
    apply(*scenario.argv, cwd=shop).ok()
    assert snapshot(shop) == scenario.after, moment
    if (other / "vllm").exists():
        apply("--into", "vllm", "--reverse", cwd=other).ok()
        left = {p: e for p, e in snapshot(other).items() if not p.startswith(".vllm.kv-roles")}
        assert {p[5:]: e[2] for p, e in left.items() if e[0] == "file"} == project.pristine("0.22.1"), moment
        assert not any(".kv-roles" in p for p in left), moment


def test_a_kill_at_some_moments(scenario: Scenario, apply: Apply, tmp_path: Path) -> None:
    sweep(scenario, apply, tmp_path, every=False)


@pytest.mark.slow
def test_a_kill_at_every_moment(scenario: Scenario, apply: Apply, tmp_path: Path) -> None:
    sweep(scenario, apply, tmp_path, every=True)


def test_two_kills_in_a_row(scenario: Scenario, apply: Apply, tmp_path: Path) -> None:
    for first in (scenario.points // 3, scenario.points // 2, scenario.points - 10):
        shop = tmp_path / "shop"
        shutil.rmtree(shop, ignore_errors=True)
        shop.mkdir()
        scenario.prepare(shop)
        apply(*scenario.argv, cwd=shop, kill_at=first)
        apply(*scenario.argv, cwd=shop, kill_at=scenario.points // 4)
        no_file_is_torn(snapshot(shop), scenario, first)
        apply(*scenario.argv, cwd=shop).ok()
        assert snapshot(shop) == scenario.after


def test_an_interrupt_from_the_keyboard_is_no_different(scenario: Scenario, apply: Apply, tmp_path: Path) -> None:
    for moment in list(scenario.moments(every=False))[::2]:
        shop = tmp_path / "shop"
        shutil.rmtree(shop, ignore_errors=True)
        shop.mkdir()
        scenario.prepare(shop)
        ran = apply(*scenario.argv, cwd=shop, kill_at=moment, kill_with=signal.SIGINT)
        if ran.code:
            ran.refused(130, "interrupted", "the next run finishes it")
        no_file_is_torn(snapshot(shop), scenario, moment)
        finished_either_way(scenario, apply, shop, tmp_path / "other", moment)


@pytest.fixture
def interrupted(apply: Apply, tiny: Tiny, tmp_path: Path) -> Path:
    """A tree whose change was decided and partly carried out when its run was killed."""
    tree = tmp_path / "vllm"
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
    ):
        journal.write_bytes(damaged)
        before = snapshot(interrupted.parent)
        apply("--into", interrupted).refused(3, "journal", "is damaged", ".kv-roles")
        assert snapshot(interrupted.parent) == before
