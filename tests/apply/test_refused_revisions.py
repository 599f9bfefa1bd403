"""A commit that the series does not fit: the way out that is named is a command, and it gets out."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.advice import commands
from support.clones import in_ as git
from support.driver import Ran
from support.files import contents, put

Apply = Callable[..., Ran]

REWORDED = (b"self.kv_cache_config = kv_cache_config", b"self.ours = kv_cache_config")
FAR_EDIT = (b'logger.info("started")', b'logger.info("ours")')


def edited(*edits: tuple[bytes, bytes]) -> bytes:
    data = project.pristine("0.22.1")[project.CONNECTOR]
    for old, new in edits:
        assert old in data
        data = data.replace(old, new)
    return data


@pytest.fixture
def clone(tmp_path: Path) -> Callable[..., Path]:
    """``clone(files)``: one commit, the small 0.22.1 with ``files`` in it, in a folder with a blank in its name."""

    def make(files: dict[str, bytes]) -> Path:
        folder = tmp_path / "my clone"
        put(folder, {**project.pristine("0.22.1"), **files})
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "one")
        return folder

    return make


@pytest.mark.parametrize("asked", [("--vllm-rev", "main"), ("--range", "main~0..main"), ("--since", "2000-01-01")])
def test_the_merge_that_a_refused_commit_is_told_of_can_be_run(
    apply: Apply, clone: Callable[..., Path], tmp_path: Path, asked: tuple[str, ...]
) -> None:
    folder = clone({project.CONNECTOR: edited(REWORDED, FAR_EDIT)})
    if asked[0] == "--range":
        git(folder, "commit", "-q", "--allow-empty", "-m", "two")
        asked = ("--range", "main~1..main")
    ran = apply("--upstream", folder, *asked, "--exact")
    assert ran.code == 1
    said = ran.err if asked[0] == "--vllm-rev" else ran.out
    assert f"--upstream '{folder}' --vllm-rev {git(folder, 'rev-parse', 'main')} --3way" in " ".join(said.split())


def test_a_commit_is_merged_into_a_new_tree(apply: Apply, clone: Callable[..., Path], tmp_path: Path) -> None:
    folder = clone(
        {project.CONNECTOR: edited(FAR_EDIT, (b"        self.role = role\n", b"        self.role = role  # ours\n"))}
    )
    made = apply("--upstream", folder, "--vllm-rev", "main", "--output", "new", "--3way", "--exact").ok()
    text = (tmp_path / "new" / project.CONNECTOR).read_bytes()
    assert b"# ours" in text
    assert b"is deprecated for NixlConnector" in text
    assert "connector-warning" in made.out


def test_a_conflict_of_a_new_tree_is_resolved_in_a_checkout(
    apply: Apply, clone: Callable[..., Path], tmp_path: Path
) -> None:
    folder = clone({project.CONNECTOR: edited(REWORDED)})
    ran = apply("--upstream", folder, "--vllm-rev", "main", "--output", "my new", "--3way", "--exact").refused(
        1, "The series conflicts with my new in 1 file,", "no tree was made", "worktree add"
    )
    both = (tmp_path / "my new.kv-roles-conflicts" / project.CONNECTOR).read_bytes()
    assert b"<<<<<<<" in both
    assert not (tmp_path / "my new").exists()
    told_so = re.search(r"checkout: `(git .*)`, then `(python .*)`\.", " ".join(ran.err.split()))
    assert told_so
    add, into = told_so.groups()
    subprocess.run(add, shell=True, check=True, cwd=tmp_path, capture_output=True)
    told = apply(*shlex.split(into)[2:]).refused(1, "copy the files over the tree's", "run again with --3way")
    conflict = tmp_path / "my new.kv-roles-conflicts" / project.CONNECTOR
    conflict.write_bytes(re.sub(rb"(?m)^(<<<<<<<|=======|>>>>>>>|\|\|\|\|\|\|\|).*\n", b"", conflict.read_bytes()))
    copy = commands(told.err)[-1]
    subprocess.run(copy, shell=True, check=True, cwd=tmp_path)
    apply(*shlex.split(into)[2:]).ok()
    assert b"is deprecated for NixlConnector" in (tmp_path / "my new" / project.CONNECTOR).read_bytes()


def test_a_check_writes_no_conflicts(apply: Apply, clone: Callable[..., Path], tmp_path: Path) -> None:
    folder = clone({project.CONNECTOR: edited(REWORDED)})
    before = contents(tmp_path)
    apply("--upstream", folder, "--vllm-rev", "main", "--output", "new", "--3way", "--exact", "--check").refused(
        1, "conflicts", "without --check"
    )
    assert contents(tmp_path) == before
    apply("--upstream", folder, "--vllm-rev", "main", "--output", "new", "--3way", "--exact").refused(1, "conflicts")
    assert b"<<<<<<<" in (tmp_path / "new.kv-roles-conflicts" / project.CONNECTOR).read_bytes()


def test_a_commit_that_holds_other_line_ends_is_told_to_commit_those_of_vllm(
    apply: Apply, clone: Callable[..., Path]
) -> None:
    folder = clone({project.CONNECTOR: project.pristine("0.22.1")[project.CONNECTOR].replace(b"\n", b"\r\n")})
    ran = apply("--upstream", folder, "--vllm-rev", "main", "--output", "new").refused(1, "CRLF", "commit them with LF")
    assert "git clone" not in ran.err
