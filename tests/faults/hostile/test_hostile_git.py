"""A clone may be set to run commands, and laid out in any way: a run takes its objects, and runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.sources import git
from support.advice import commands
from support.clones import Making, in_, nothing_left, right, set_everything, shallow
from support.driver import Ran
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


# What the clone is set to run.


@pytest.mark.parametrize("form", [(), ("--check",)])
def test_a_clone_s_settings_run_no_command(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path, form: tuple[str, ...]
) -> None:
    canary = tmp_path / "canary"
    set_everything(repository, canary)
    assert making(repository, *form).code == 0
    assert not canary.exists()
    if not form:
        right(tmp_path / "new", tiny)
        assert (tmp_path / "new/link").readlink() == Path("vllm")
        assert b"oid sha256:00\n" in (tmp_path / "new/picture.bin").read_bytes()
        assert list((tmp_path / "new/third_party/sub").iterdir()) == []


@pytest.mark.parametrize("promised_by", ["an ext:: address", "ssh://nowhere.invalid/x"])
def test_a_partial_clone_s_settings_run_no_command_when_it_lacks_a_file(
    making: Making, repository: Path, tmp_path: Path, promised_by: str
) -> None:
    canary = tmp_path / "canary"
    lost = in_(repository, "rev-parse", "HEAD:README.md")
    (repository / ".git/objects" / lost[:2] / lost[2:]).unlink()
    set_everything(repository, canary)
    if promised_by.startswith("ssh:"):
        config = repository / ".git/config"
        lines = [line for line in config.read_text().splitlines() if "url = " not in line]
        config.write_text("\n".join([*lines, '[remote "origin"]', f"\turl = {promised_by}", ""]))
    making(repository, online=True).refused(4, "lacks README.md")
    assert not canary.exists()
    nothing_left(tmp_path)


def test_no_call_of_git_runs_anything_of_a_clone(repository: Path, tmp_path: Path) -> None:
    """The calls one by one, from inside the clone as well."""
    canary = tmp_path / "canary"
    set_everything(repository, canary)
    code = (
        "import sys; from pathlib import Path; from kvroles.sources import clone, git, upstream\n"
        "there, cache = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "git.need_git(); git.safe_directories(); git.merge(b'a\\n', b'b\\n', b'c\\n'); c = clone.at(there)\n"
        "c.promised_by(); c.tags_like('v0'); git.config_of(there / '.git/config')\n"
        "found = upstream.find(str(there), 'v0.22.1', cache)\n"
        "assert sum(1 for _ in found.members()) > 10; assert upstream.find(str(there), found.sha[:9], cache).sha == found.sha\n"
    )
    command = [sys.executable, "-c", code, str(repository), str(tmp_path / "cache")]
    subprocess.run(command, cwd=repository, check=True)
    assert not canary.exists()


def test_git_is_called_by_one_module_alone() -> None:
    tools = Path(git.__file__).resolve().parents[2]
    for path in tools.rglob("*.py"):
        assert path.name == "git.py" or '["git"' not in path.read_text(), path


# Every layout of a clone.


def packed(repository: Path, _: Path) -> Path:
    in_(repository, "tag", "-a", "-m", "x", "annotated")
    in_(repository, "gc", "-q")
    in_(repository, "pack-refs", "--all")
    return repository


def bare(repository: Path, to: Path) -> Path:
    in_(repository, "clone", "-q", "--bare", ".", str(to))
    return to


def borrowed(repository: Path, to: Path) -> Path:
    in_(repository, "clone", "-qs", ".", str(to))
    return to


def work_tree(repository: Path, to: Path) -> Path:
    in_(repository, "worktree", "add", "-q", "--detach", str(to))
    return to


def inside(repository: Path, _: Path) -> Path:
    return repository / "vllm" / "distributed"


@pytest.mark.parametrize("layout", [packed, bare, borrowed, shallow, work_tree, inside])
def test_a_clone_of_any_layout_gives_the_same_tree(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path, layout: Callable[[Path, Path], Path]
) -> None:
    place = layout(repository, tmp_path / "a second")
    for rev in (
        "v0.22.1",
        "HEAD",
        in_(repository, "rev-parse", "v0.22.1"),
        in_(repository, "rev-parse", "v0.22.1")[:8],
    ):
        making(place, rev=rev).ok()
        right(tmp_path / "new", tiny)
        shutil.rmtree(tmp_path / "new")


def test_a_clone_of_sha256_is_refused(making: Making, tmp_path: Path) -> None:
    in_(tmp_path, "init", "-q", "--object-format=sha256", "other")
    making(tmp_path / "other").refused(4, "objectformat = sha256")


@pytest.mark.parametrize(("version", "extension"), [("1", "extensions.refsInTheCloud"), ("2", "core.bare")])
def test_a_clone_of_a_form_that_nobody_here_knows_is_not_read_as_one_that_is_known(
    making: Making, repository: Path, version: str, extension: str
) -> None:
    in_(repository, "config", extension, "false")
    in_(repository, "config", "core.repositoryFormatVersion", version)
    making(repository).refused(4, "which is not read here", extension.lower() if version == "1" else "version = 2")


@pytest.mark.parametrize("kind", ["no settings", "a pipe"])
def test_a_clone_whose_settings_cannot_be_read_is_not_taken_for_one_without(
    making: Making, repository: Path, kind: str
) -> None:
    (repository / ".git/config").unlink()
    if kind == "a pipe":
        os.mkfifo(repository / ".git/config")
    else:
        (repository / ".git/config").write_text("[core\n")
    making(repository).refused(4, ".git/config")


def test_a_clone_whose_settings_are_damaged_is_mended(making: Making, repository: Path) -> None:
    kept = (repository / ".git/config").read_text()
    (repository / ".git/config").write_text(f"{kept}[core\n")
    (command,) = commands(making(repository).refused(4, "is damaged").err)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert f"line {kept.count(chr(10)) + 1}" in done.stderr
    (repository / ".git/config").write_text(kept)
    making(repository).ok()


def test_a_clone_with_reftables_is_refused(making: Making, repository: Path) -> None:
    in_(repository, "config", "core.repositoryFormatVersion", "1")
    in_(repository, "config", "extensions.refStorage", "reftable")
    making(repository).refused(4, "refstorage = reftable")
