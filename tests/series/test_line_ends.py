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
from support.docs import ROOT

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


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it stands here, committed with its bytes kept, in a folder with a blank in its name."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so there are no tracked files to clone")
    folder = tmp_path_factory.mktemp("line ends") / "the project"
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git("init", "-q", cwd=folder)
    git("add", "-A", "-f", cwd=folder)
    git("commit", "-qm", "x", cwd=folder)
    return folder


def clone(source: Path, to: Path, settings: str = "") -> Path:
    git("clone", "-q", str(source), str(to), cwd=source, settings=settings)
    return to


@pytest.mark.parametrize("setting", ["autocrlf = true", "autocrlf = input", "eol = crlf"])
def test_a_clone_holds_every_byte_that_was_committed(repository: Path, tmp_path: Path, setting: str) -> None:
    settings = f"[core]\n {setting}\n"
    copy = clone(repository, tmp_path / "copy", settings)
    names = [n for n in git("ls-files", "-z", cwd=repository).split("\0") if n]
    assert len(names) > 500
    assert [n for n in names if (copy / n).read_bytes() != (repository / n).read_bytes()] == []
    assert git("status", "--porcelain", cwd=copy, settings=settings) == ""


def test_the_tools_run_in_a_clone_with_autocrlf(repository: Path, tmp_path: Path) -> None:
    copy = clone(repository, tmp_path / "copy", CONVERTING)
    for name, argv in {"apply.py": ["--list"], "verify.py": ["--lint"]}.items():
        done = tool(copy, name, *argv)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@pytest.mark.upstream
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


@pytest.mark.parametrize("place", ["patches/lock.json", "patches/series", "vllm_overlay", "patches/connector-warning"])
def test_converted_files_are_named_as_such_and_the_command_given_gets_out_of_it(
    repository: Path, tmp_path: Path, place: str
) -> None:
    copy = clone(repository, tmp_path / "a copy")
    at = copy / place
    for file in [at] if at.is_file() else [p for p in at.rglob("*") if p.is_file()]:
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = tool(copy, "verify.py", "--lint")
    said = done.stdout + done.stderr
    assert done.returncode == (3 if done.stderr else 1), said  # 1: the lint ran, and these are its findings
    assert "Traceback" not in said
    assert place in said
    assert "has CRLF line ends" in said
    command = command_in(said)
    git(*command[1:], cwd=tmp_path, settings=CONVERTING)
    assert tool(Path(command[-1]), "verify.py", "--lint").returncode == 0


def test_converted_files_outside_a_git_checkout_name_no_git_command(repository: Path, tmp_path: Path) -> None:
    copy = clone(repository, tmp_path / "copy")
    shutil.rmtree(copy / ".git")
    lock = copy / "patches" / "lock.json"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    done = tool(copy, "apply.py", "--list")
    assert done.returncode == 3
    assert "without conversion of line ends" in " ".join(done.stderr.split())
    assert "`" not in done.stderr


@pytest.mark.upstream
@pytest.mark.parametrize("names_release", [True, False], ids=["archive", "checkout"])
def test_a_converted_vllm_checkout_is_named_as_such_and_the_command_given_gets_out_of_it(
    tmp_path: Path, archive: Callable[[str], Path], names_release: bool
) -> None:
    source = tmp_path / "source"
    shutil.unpack_archive(archive("0.22.1"), tmp_path, filter="data")  # our own files, not its author's
    (tmp_path / "vllm-0.22.1").rename(source)
    if not names_release:
        (source / "PKG-INFO").unlink()
    git("init", "-q", cwd=source)
    git("add", "-A", "-f", cwd=source)
    git("commit", "-qm", "x", cwd=source)
    tree = clone(source, tmp_path / "a tree", CONVERTING)
    for argv in ((), ("--check",), ("--3way",)):
        done = tool(ROOT, "apply.py", "--into", tree, "--offline", *argv)
        assert done.returncode == 1, done.stderr
        assert "has CRLF line ends, where vLLM has LF" in " ".join(done.stderr.split()), argv
        assert "--3way" not in done.stderr
    command = command_in(done.stderr)
    git(*command[1:], cwd=tmp_path, settings=CONVERTING)
    assert "contract  holds" in tool(ROOT, "apply.py", "--into", command[-1], "--offline").stdout
