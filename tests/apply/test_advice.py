"""What a refusal advises can be run as it stands, in folders with a blank in their names, and gets out of it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.advice import commands
from support.clones import in_ as git
from support.driver import Ran
from support.files import put

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a blank in its name, in which all happens."""
    (tmp_path / "my work").mkdir()
    return tmp_path / "my work"


@pytest.fixture
def made(home: Path) -> Callable[..., Path]:
    """``made("name", *options)``: a repository with two commits and a tag, made by ``git init`` with ``options``."""

    def make(name: str, *options: str) -> Path:
        folder = home / name
        put(folder, project.pristine("0.22.1"))
        git(folder, "init", "-q", "-b", "main", *options)
        for number in (1, 2):
            put(folder, {"README.md": b"%d\n" % number})
            git(folder, "add", "-A")
            git(folder, "commit", "-q", "-m", f"{number}")
        return folder

    return make


def run(command: str, home: Path) -> None:
    env = {**os.environ, "HOME": str(home), "GIT_CONFIG_SYSTEM": os.devnull, "GIT_ALLOW_PROTOCOL": "file"}
    done = subprocess.run(command, shell=True, cwd=home.parent, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def cloned(*argv: str | Path) -> None:
    run(shlex.join(["git", "clone", "-q", *map(str, argv)]), Path(argv[-1]).parent)


def test_a_tag_that_was_not_fetched(apply: Apply, made: Callable[..., Path], home: Path) -> None:
    origin = made("the origin")
    cloned("--no-local", origin, home / "a clone")
    git(origin, "tag", "later")
    asked = ("--upstream", home / "a clone", "--vllm-rev", "later", "--output", home / "new")
    (command,) = commands(apply(*asked).refused(2, "has no tag").err)
    run(command, home)
    apply(*asked).ok()


@pytest.mark.parametrize("asked", [("--vllm-rev", "FIRST"), ("--range", "main~2..main")])
def test_a_commit_before_those_of_a_shallow_clone(
    apply: Apply, made: Callable[..., Path], home: Path, asked: tuple[str, str]
) -> None:
    origin = made("the origin")
    git(origin, "commit", "-q", "--allow-empty", "-m", "3")
    cloned("--depth", "1", f"file://{origin}", home / "a clone")
    asked = (asked[0], asked[1].replace("FIRST", git(origin, "rev-parse", "main~1")))
    into = ("--output", home / "new") if asked[0] == "--vllm-rev" else ()
    ran = apply("--upstream", home / "a clone", *asked, *into)
    assert ran.code == 4, ran
    (command,) = commands(ran.err)
    assert shlex.split(command)[2] == str(home / "a clone")
    run(command, home)
    apply("--upstream", home / "a clone", *asked, *into).ok()


def test_a_bundle_is_read_once_the_command_that_is_named_has_cloned_it(
    apply: Apply, made: Callable[..., Path], home: Path
) -> None:
    git(made("the origin"), "bundle", "create", "-q", str(home / "a bundle"), "main")
    (command,) = commands(
        apply("--upstream", home / "a bundle", "--vllm-rev", "main", "--output", home / "new").refused(4, "bundle").err
    )
    run(command, home)
    clone = shlex.split(command)[-1]
    apply("--upstream", clone, "--vllm-rev", "main", "--output", home / "new").ok()


def test_a_clone_of_sha256(apply: Apply, made: Callable[..., Path], home: Path) -> None:
    clone = made("a clone", "--object-format=sha256")
    ran = apply("--upstream", clone, "--vllm-rev", "main", "--output", home / "new").refused(4, "objectformat")
    (command,) = commands(ran.err)
    run(command, home)
    archive = shlex.split(command)[-2]
    apply("--upstream", archive, "--output", home / "new").ok()


def test_a_clone_that_somebody_else_owns(apply: Apply, made: Callable[..., Path], home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder to somebody else needs root")
    clone = made("a clone")
    for path in (clone, clone / ".git"):
        os.chown(path, 4711, 4711)
    asked = ("--upstream", clone, "--vllm-rev", "main", "--output", home / "new")
    ran = apply(*asked, env={"HOME": str(home)}).refused(4, "dubious ownership")
    (command,) = commands(ran.err)
    run(command, home)
    apply(*asked, env={"HOME": str(home)}).ok()


def test_a_tree_that_is_there_already(apply: Apply, made: Callable[..., Path], home: Path) -> None:
    asked = ("--upstream", made("a clone"), "--vllm-rev", "main", "--output", home / "a tree")
    apply(*asked).ok()
    (command,) = commands(apply(*asked).refused(2, "is there already").err)
    apply(*shlex.split(command)[2:]).ok()


def test_a_topic_applied_by_half(apply: Apply, tree: Path, home: Path) -> None:
    moved = tree.rename(home / "a tree")
    apply("--into", moved).ok()
    put(moved, {project.UTILS: project.pristine("0.22.1")[project.UTILS]})
    (command,) = commands(apply("--into", moved).refused(1, "partial").err)
    apply(*shlex.split(command)[2:]).ok()


def test_an_installation_is_sent_to_the_tool_for_it(apply: Apply, home: Path) -> None:
    site = home / "site packages"
    put(site, {"vllm/__init__.py": b"", "vllm-0.22.1.dist-info/METADATA": b""})
    (command,) = commands(apply("--into", site).refused(2, "installed vLLM").err)
    assert shlex.split(command)[-3:] == ["install", "--site-packages", str(site)]


def test_files_of_other_line_ends(apply: Apply, made: Callable[..., Path], home: Path) -> None:
    origin = made("the origin")
    cloned("--config", "core.autocrlf=true", origin, home / "a checkout")
    ran = apply("--into", home / "a checkout").refused(1, "CRLF")
    command = " ".join(ran.err.split()).partition("`")[2].partition("`")[0]
    run(command, home)
    apply("--into", shlex.split(command)[-1]).ok()
