"""Whatever the machine is like: full disks, foreign users, missing programs, other runs at the same time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import Ran, is_a_paragraph, script
from support.files import BARE, contents, readable, snapshot
from support.index_server import IndexServer
from support.tiny import Tiny

pytestmark = pytest.mark.slow

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
    for argv in (
        ("--vllm-rev", "0.22.1", "--output", "new"),
        ("--into", tree),
        ("--list", "--export", "mails", "--vllm-rev", "0.33.0"),
    ):
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
    terms = copy.root / "tools/kvroles/contract/terms.py"
    terms.write_text(re.sub(r"(?m)^CHECKER = \d+$", "CHECKER = 0", terms.read_text()))
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
def test_a_tree_is_patched_and_refused_in_words_in_any_locale(tiny: Tiny, tmp_path: Path, env: dict[str, str]) -> None:
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


# Output.


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_output_that_cannot_be_written_is_an_error_in_words(tiny: Tiny, form: tuple[str, ...]) -> None:
    for argv, code in ((("--list",), 1), (("--list", "--vllm-rev", "0.8.5"), 2)):
        with open("/dev/full", "w") as full:
            command = [sys.executable, tiny.apply, *argv, *form]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == code
        is_a_paragraph(done.stderr)
        assert code == 2 or "Standard output cannot be written: No space left" in done.stderr


def test_a_closed_pipe_is_no_error(tiny: Tiny, tmp_path: Path) -> None:
    command = f"'{sys.executable}' '{tiny.apply}' --list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


# Users.


def test_somebody_else_s_tree_is_left_alone(tiny: Tiny, tmp_path: Path, somebody: tuple[str, ...]) -> None:
    shop = tmp_path / "shop"
    tree = tiny.unpack(shop / "vllm")
    readable(tiny.root.parent)
    before = snapshot(shop, times=True)
    for argv in (("--into", tree), ("--vllm-rev", "0.22.1", "--output", shop / "new")):
        ran = script(tiny.apply, *argv, "--offline", "--cache-dir", tiny.cache, cwd="/", prefix=somebody, env=BARE)
        ran.refused(1, "Permission denied", "write access", "nothing was changed")
    assert snapshot(shop, times=True) == before


def test_a_cache_that_cannot_be_written_is_not_the_tree_s_fault(
    tiny: Tiny, tmp_path: Path, somebody: tuple[str, ...], index: IndexServer
) -> None:
    readable(tiny.root.parent)
    (tmp_path / "cache").mkdir(mode=0o755)
    argv = ("--vllm-rev", "0.22.1", "--cache-dir", tmp_path / "cache", "--index-url", index.url, "--check")
    ran = script(tiny.apply, *argv, cwd="/", prefix=somebody, env=BARE)
    ran.refused(
        4, f"{tmp_path / 'cache'}", "Permission denied", "write access there, or choose another with --cache-dir"
    )


def test_a_tree_that_cannot_be_read_is_named(tiny: Tiny, tmp_path: Path, somebody: tuple[str, ...]) -> None:
    readable(tiny.root.parent)
    tree = tiny.unpack(tmp_path / "vllm")
    (tree / project.GUIDE).chmod(0)
    script(tiny.apply, "--into", tree, cwd="/", prefix=somebody, env=BARE).refused(
        1, project.GUIDE, "Permission denied", "Give yourself read access there"
    )
    tree.chmod(0)
    for argv in (("--into", tree), ("--vllm-rev", "0.22.1", "--output", tree)):
        ran = script(tiny.apply, *argv, "--offline", "--cache-dir", tiny.cache, cwd="/", prefix=somebody, env=BARE)
        ran.refused(1, str(tree), "Permission denied")
