"""Whatever the machine is like: full disks, foreign users, missing programs, other runs at the same time."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import Ran, is_a_paragraph, script
from support.files import contents, put, snapshot
from support.mounts import Mounts
from support.tiny import Tiny

Apply = Callable[..., Ran]
OWN = {".kv-roles/.gitignore", ".kv-roles/receipt.json"}


def series_of(tree: Path) -> dict[str, bytes]:
    return {p: d for p, d in contents(tree).items() if p not in OWN}


# Other programs.


def bare_path(folder: Path, *programs: str) -> dict[str, str]:
    """An environment whose PATH holds ``programs`` and nothing else."""
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return {"PATH": str(folder), "HOME": str(folder)}


def test_a_release_needs_no_git(tiny: Tiny, tmp_path: Path) -> None:
    env = bare_path(tmp_path / "bin", "bash")
    assert shutil.which("git", path=env["PATH"]) is None
    tree = tiny.unpack(tmp_path / "vllm")
    for argv in (("--vllm-rev", "0.22.1", "--output", "new"), ("--into", tree), ("--list", "--export", "mails")):
        script(tiny.apply, *argv, "--offline", "--cache-dir", tiny.cache, cwd=tmp_path, env=env).ok()
    assert series_of(tmp_path / "new") == series_of(tree) == tiny.applied()
    script(tiny.apply, "--into", tree, "--reverse", cwd=tmp_path, env=env).ok()
    assert contents(tree) == project.pristine("0.22.1")


NO_BASH = "contract  holds; clause 5 not checked: no bash on this machine"


def test_bytes_the_lock_knows_to_be_proven_need_no_bash(tiny: Tiny, tmp_path: Path) -> None:
    env = bare_path(tmp_path / "bin")
    tree = tiny.unpack(tmp_path / "vllm")
    ran = script(tiny.apply, "--into", tree, cwd=tmp_path, env=env).ok()
    assert "contract  holds\n" in ran.out
    contract = json.loads((tree / ".kv-roles/receipt.json").read_text())["contract"]
    assert contract == {"holds": True, "unchecked": {}}


def test_another_checker_than_the_lock_s_proves_anew(tiny: Tiny, tmp_path: Path) -> None:
    env = bare_path(tmp_path / "bin")
    copy = tiny.copy(tmp_path / "project")
    with (copy.root / "tools/kvroles/scan.py").open("a") as f:
        f.write("# another text\n")
    tree = copy.unpack(tmp_path / "vllm")
    assert NO_BASH in script(copy.apply, "--into", tree, cwd=tmp_path, env=env).ok().out
    assert json.loads((tree / ".kv-roles/receipt.json").read_text())["contract"] == {
        "holds": True,
        "unchecked": {"5": "no bash on this machine"},
    }


def test_another_file_than_the_lock_s_is_proven_anew(tiny: Tiny, tmp_path: Path) -> None:
    env = bare_path(tmp_path / "bin")
    tree = tiny.unpack(tmp_path / "vllm")
    with (tree / project.SCHEDULER).open("a") as f:  # of an optional topic: the default ones still fit
        f.write("# mine\n")
    assert NO_BASH in script(tiny.apply, "--into", tree, cwd=tmp_path, env=env).ok().out


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": "", "PATH": ""},
    ],
    ids=["C locale", "ascii output", "nothing set"],
)
def test_any_locale_will_do(tiny: Tiny, tmp_path: Path, env: dict[str, str]) -> None:
    tree = tiny.unpack(tmp_path / "vllm\u00e9")
    edited = tree / project.CONNECTOR
    script(tiny.apply, "--into", tree, cwd=tmp_path, env=env).ok()
    assert series_of(tree) == tiny.applied()
    edited.write_bytes(edited.read_bytes().replace(b"assert", "\t\u00e9 assert".encode()))
    ran = script(tiny.apply, "--into", tree, "--reverse", cwd=tmp_path, env=env)
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert project.CONNECTOR in ran.said


def test_a_folder_whose_name_is_no_text_is_a_folder_all_the_same(tiny: Tiny, tmp_path: Path) -> None:
    tree = tiny.unpack(tmp_path / os.fsdecode(b"vllm-\xff"))
    assert "vllm-\\udcff: applied" in script(tiny.apply, "--into", tree, cwd=tmp_path).ok().out
    assert json.loads(script(tiny.apply, "--into", tree, "--json", cwd=tmp_path).ok().out)["target"] == str(tree)
    assert series_of(tree) == tiny.applied()
    (tree / project.GUIDE).unlink()
    script(tiny.apply, "--into", tree, cwd=tmp_path).refused(1, "vllm-\\udcff")


def test_the_tools_run_from_a_read_only_checkout(tiny: Tiny, tmp_path: Path, read_only: Callable[..., None]) -> None:
    copy = tiny.copy(tmp_path / "project")
    read_only(copy.root)
    tree = tiny.unpack(tmp_path / "vllm")
    script(copy.apply, "--into", tree, cwd=tmp_path).ok()


# Disks.


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


def test_output_that_cannot_be_written_is_an_error_in_words(tiny: Tiny, tree: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, tiny.apply, "--list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    is_a_paragraph(done.stderr)
    assert "No space left" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tiny: Tiny, tmp_path: Path) -> None:
    command = f"'{sys.executable}' '{tiny.apply}' --list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


# Users.


@pytest.fixture
def somebody(tmp_path: Path) -> tuple[str, ...]:
    """The prefix that runs a command as a user without rights to anything of ours."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("running as another user needs root and setpriv")
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.owner() == "root" and folder.stat().st_mode & 0o011 != 0o011 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
        if folder.name.startswith("pytest-of-"):
            break
    return (setpriv, "--reuid=12345", "--regid=12345", "--clear-groups")


def test_somebody_else_s_tree_is_left_alone(tiny: Tiny, tmp_path: Path, somebody: tuple[str, ...]) -> None:
    shop = tmp_path / "shop"
    tree = tiny.unpack(shop / "vllm")
    readable(tiny.root.parent)
    before = snapshot(shop, times=True)
    for argv in (("--into", tree), ("--vllm-rev", "0.22.1", "--output", shop / "new")):
        ran = script(tiny.apply, *argv, "--offline", "--cache-dir", tiny.cache, cwd="/", prefix=somebody, env=ENV)
        ran.refused(1, "Permission denied", "write access", "nothing was changed")
    assert snapshot(shop, times=True) == before


def test_a_tree_that_cannot_be_read_is_named(tiny: Tiny, tmp_path: Path, somebody: tuple[str, ...]) -> None:
    readable(tiny.root.parent)
    tree = tiny.unpack(tmp_path / "vllm")
    (tree / project.GUIDE).chmod(0)
    script(tiny.apply, "--into", tree, cwd="/", prefix=somebody, env=ENV).refused(1, project.GUIDE, "Permission denied")
    tree.chmod(0)
    for argv in (("--into", tree), ("--vllm-rev", "0.22.1", "--output", tree)):
        ran = script(tiny.apply, *argv, "--offline", "--cache-dir", tiny.cache, cwd="/", prefix=somebody, env=ENV)
        ran.refused(1, str(tree), "Permission denied")


def test_another_user_makes_the_same_tree(tiny: Tiny, tmp_path: Path, somebody: tuple[str, ...]) -> None:
    readable(tiny.root.parent)
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    common = ("--vllm-rev", "0.22.1", "--offline", "--cache-dir", tiny.cache)
    script(tiny.apply, *common, "--output", theirs / "new", cwd="/", prefix=somebody, env=ENV).ok()
    script(tiny.apply, *common, "--output", tmp_path / "ours", cwd="/", env=ENV).ok()
    assert snapshot(theirs / "new") == snapshot(tmp_path / "ours")
    assert (theirs / "new").stat().st_uid == 12345


ENV = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}


def readable(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder, folder.parent]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


# Several runs at once, in real processes.


def at_once(tiny: Tiny, cwd: Path, *commands: tuple[str | Path, ...]) -> list[Ran]:
    running = [
        subprocess.Popen(
            [sys.executable, tiny.apply, *argv, "--offline", "--cache-dir", tiny.cache],
            cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for argv in commands
    ]  # fmt: skip
    ended = [(p, *p.communicate(timeout=120)) for p in running]
    return [Ran(p.returncode, out, err) for p, out, err in ended]


def test_runs_at_once_on_a_new_tree_build_it_once(tiny: Tiny, tmp_path: Path) -> None:
    for _ in range(2):
        ran = at_once(tiny, tmp_path, *[("--vllm-rev", "0.22.1", "--output", "new")] * 5)
        assert sorted("applied already" in r.ok().out for r in ran) == [False, True, True, True, True]
        assert series_of(tmp_path / "new") == tiny.applied()
        assert [p.name for p in tmp_path.iterdir()] == ["new"]
        shutil.rmtree(tmp_path / "new")


def test_runs_at_once_on_an_existing_tree_change_it_once(tiny: Tiny, tree: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ran = at_once(tiny, tmp_path, *[("--into", tree)] * 5)
        assert sorted("applied already" in r.ok().out for r in ran) == [False, True, True, True, True]
        assert series_of(tree) == tiny.applied()
        script(tiny.apply, "--into", tree, "--reverse", cwd=tmp_path).ok()
        assert [p.name for p in tmp_path.iterdir()] == ["vllm"]


def test_runs_at_once_in_both_directions_leave_one_of_the_two_states(tiny: Tiny, tree: Path, tmp_path: Path) -> None:
    for _ in range(2):
        commands = [("--into", tree), ("--into", tree, "--reverse")] * 3
        for r in at_once(tiny, tmp_path, *commands):
            r.ok()
        assert series_of(tree) in (tiny.applied(), project.pristine("0.22.1"))


def test_new_trees_of_two_releases_do_not_wait_for_each_other(tiny: Tiny, tmp_path: Path) -> None:
    for r in at_once(tiny, tmp_path, *[("--vllm-rev", release) for release in project.RELEASES]):
        assert "applied already" not in r.ok().out


def test_a_run_waits_for_another_no_longer_than_it_says(apply: Apply, tree: Path) -> None:
    fd = os.open(tree, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    ran = apply("--into", tree, set_={"kvroles.target._WAIT_S": 0.2})
    os.close(fd)
    ran.refused(1, f"Another run has been writing to {tree}", "run again")
    apply("--into", tree).ok()
