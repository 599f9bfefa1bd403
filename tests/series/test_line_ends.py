"""Line ends: a clone of the project keeps its bytes under core.autocrlf, and what was converted all the same is said to be so."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cost import slow_but
from support.docs import ROOT
from support.driver import Ran

PERSON = {f"GIT_{who}_{what}": "x@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
CONVERTING = "[core]\n autocrlf = true\n"  # a user's own settings


def git(*words: str, cwd: Path, settings: str = "") -> str:
    """Run git for a user whose own settings are ``settings``."""
    own = cwd.parent / "gitconfig"
    own.write_text(settings)
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | PERSON
    env |= {"GIT_CONFIG_GLOBAL": str(own), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *words], cwd=cwd, env=env, check=True, capture_output=True, text=True).stdout


def tool(root: Path, name: str, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "10000", "PYTHONPATH": str(root / "tools")}
    return subprocess.run(
        [sys.executable, root / "tools" / name, *argv], cwd=root, env=env, capture_output=True, text=True, check=False
    )


def command_in(message: str) -> list[str]:
    """The one command that an error names between backticks, in however many lines the terminal showed it."""
    (command,) = set(re.findall(r"`(git [^`]+)`", " ".join(message.split())))
    return shlex.split(command)


def committed(folder: Path, *places: str) -> Path:
    """The project's files below ``places`` as they stand here, committed in ``folder`` with their bytes kept."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so there are no tracked files to clone")
    wanted = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *places, cwd=ROOT)
    for name in wanted.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git("init", "-q", cwd=folder)
    git("add", "-A", "-f", cwd=folder)
    git("commit", "-qm", "x", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the project."""
    return committed(tmp_path_factory.mktemp("whole") / "the project", ".")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tools consist of and read, in a folder with a blank in its name."""
    places = (".gitattributes", "tools", "patches", "vllm_overlay", "docs/data")
    return committed(tmp_path_factory.mktemp("line ends") / "the project", *places)


def clone(source: Path, to: Path, settings: str = "") -> Path:
    git("clone", "-q", str(source), str(to), cwd=source, settings=settings)
    return to


@pytest.mark.parametrize("setting", ["autocrlf = true", "autocrlf = input", "eol = crlf"])
def test_a_clone_holds_every_byte_that_was_committed(whole: Path, tmp_path: Path, setting: str) -> None:
    settings = f"[core]\n {setting}\n"
    copy = clone(whole, tmp_path / "copy", settings)
    names = [n for n in git("ls-files", "-z", cwd=whole).split("\0") if n]
    assert len(names) > 500
    assert [n for n in names if (copy / n).read_bytes() != (whole / n).read_bytes()] == []
    assert git("status", "--porcelain", cwd=copy, settings=settings) == ""


@pytest.mark.slow
def test_the_tools_run_in_a_clone_with_autocrlf(repository: Path, tmp_path: Path) -> None:
    copy = clone(repository, tmp_path / "copy", CONVERTING)
    for name, argv in {"apply.py": ["--list"], "verify.py": ["--lint"]}.items():
        done = tool(copy, name, *argv)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@pytest.mark.upstream
@pytest.mark.slow
def test_a_release_is_patched_from_a_clone_with_autocrlf(
    repository: Path, tmp_path: Path, archive: Callable[[str], Path]
) -> None:
    cache = archive("0.22.1").parents[1]
    copy = clone(repository, tmp_path / "copy", CONVERTING)
    done = tool(
        copy, "apply.py", "--vllm-rev", "0.22.1", "--offline", "--cache-dir", cache, "--output", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    assert "contract  holds" in done.stdout


@pytest.mark.parametrize(
    ("place", "command"),
    slow_but(
        [("patches/series", ("apply.py", "--list"))],
        [
            ("patches/lock.json", ("apply.py", "--list")),
            ("patches/series", ("apply.py", "--list")),
            ("vllm_overlay", ("apply.py", "--list")),
            ("patches/connector-warning", ("verify.py", "--lint")),
        ],
    ),
)
def test_converted_files_are_named_as_such_and_the_command_given_gets_out_of_it(
    repository: Path, tmp_path: Path, place: str, command: tuple[str, str]
) -> None:
    copy = clone(repository, tmp_path / "a copy")
    at = copy / place
    for file in [at] if at.is_file() else [p for p in at.rglob("*") if p.is_file()]:
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = tool(copy, *command)
    said = done.stdout + done.stderr
    assert done.returncode == (3 if done.stderr else 1), said  # 1: the lint ran, and these are its findings
    assert "Traceback" not in said
    assert place in said
    assert "has CRLF line ends" in said
    words = command_in(said)
    git(*words[1:], cwd=tmp_path, settings=CONVERTING)
    assert tool(Path(words[-1]), *command).returncode == 0


def test_converted_files_outside_a_git_checkout_name_no_git_command(repository: Path, tmp_path: Path) -> None:
    copy = clone(repository, tmp_path / "copy")
    shutil.rmtree(copy / ".git")
    lock = copy / "patches" / "lock.json"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    done = tool(copy, "apply.py", "--list")
    assert done.returncode == 3
    assert "without conversion of line ends" in " ".join(done.stderr.split())
    assert "`" not in done.stderr


@pytest.mark.parametrize("names_release", [True, False], ids=["archive", "checkout"])
def test_a_converted_vllm_checkout_is_named_as_such_and_the_command_given_gets_out_of_it(
    tmp_path: Path, apply: Callable[..., Ran], tree: Path, names_release: bool
) -> None:
    if not names_release:
        (tree / "PKG-INFO").unlink()
    git("init", "-q", cwd=tree)
    git("add", "-A", "-f", cwd=tree)
    git("commit", "-qm", "x", cwd=tree)
    converted = clone(tree, tmp_path / "a tree", CONVERTING)
    for argv in ((), ("--check",), ("--3way",)):
        done = apply("--into", converted, *argv)
        assert done.code == 1, done.err
        assert "has CRLF line ends, where vLLM has LF" in " ".join(done.err.split()), argv
        assert "--3way" not in done.err
    command = command_in(done.err)
    git(*command[1:], cwd=tmp_path, settings=CONVERTING)
    assert "contract  holds" in apply("--into", command[-1]).ok().out
