"""A source tree without git as ``--upstream``: a tar.gz as GitHub makes them, or an unpacked folder."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import Ran
from support.files import contents, put

Apply = Callable[..., Ran]


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    return subprocess.run(["git", "-C", str(folder), *who, *args], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A release as a commit, with a link in it, in a clone of its own."""
    folder = tmp_path / "clone"
    put(folder, project.pristine("0.22.1"))
    (folder / "PKG-INFO").unlink()
    (folder / "AGENTS.md").write_bytes(b"x\n")
    (folder / "CLAUDE.md").symlink_to("AGENTS.md")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return folder


@pytest.fixture
def tarball(clone: Path, tmp_path: Path) -> Path:
    git(clone, "archive", "--prefix=vllm-main/", "-o", str(tmp_path / "main.tar.gz"), "main")
    return tmp_path / "main.tar.gz"


def tree(folder: Path) -> dict[str, bytes]:
    return {p: d for p, d in contents(folder).items() if not p.startswith((".kv-roles", ".git/"))}


def test_an_archive_gives_the_tree_that_its_clone_gives(
    apply: Apply, clone: Path, tarball: Path, tmp_path: Path
) -> None:
    apply("--upstream", clone, "--vllm-rev", "main", "--output", tmp_path / "a").ok()
    said = apply("--upstream", tarball, "--output", tmp_path / "b").ok().out
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert os.readlink(tmp_path / "b" / "CLAUDE.md") == "AGENTS.md"
    commit = git(clone, "rev-parse", "main").strip()
    assert f"says that it is commit {commit}" in " ".join(said.split())
    receipts = [json.loads((tmp_path / x / ".kv-roles" / "receipt.json").read_bytes()) for x in "ab"]
    assert [r["revision"] for r in receipts] == [commit, None]
    assert receipts[0]["tree"] == receipts[1]["tree"]


def test_a_folder_without_git_gives_the_tree_that_its_clone_gives(apply: Apply, clone: Path, tmp_path: Path) -> None:
    apply("--upstream", clone, "--vllm-rev", "main", "--output", tmp_path / "a").ok()
    (clone / ".git").rename(tmp_path / "away")
    before = tree(clone)
    apply("--upstream", clone, "--vllm-rev", "mine", "--output", tmp_path / "b").ok()
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tree(clone) == before


def test_a_folder_without_git_below_a_clone_is_not_taken_for_that_clone(
    apply: Apply, clone: Path, tmp_path: Path
) -> None:
    inner = clone / "copy"
    put(inner, project.pristine("0.22.1"))
    apply("--upstream", inner, "--check").ok()


def test_a_tree_that_lost_its_tests_is_patched_in_part(apply: Apply, clone: Path, tmp_path: Path) -> None:
    (clone / ".git").rename(tmp_path / "away")
    git(tmp_path, "init", "-q", "empty")
    for name in ("tests", "docs"):
        subprocess.run(["rm", "-r", str(clone / name)], check=True)
    assert apply("--upstream", clone, "--check").code == 1
    apply("--upstream", clone, "--part", "runtime", "--output", tmp_path / "out").ok()


def test_an_archive_of_another_commit_is_refused(apply: Apply, tarball: Path, tmp_path: Path) -> None:
    ran = apply("--upstream", tarball, "--vllm-rev", "0123456789ab", "--output", tmp_path / "out")
    assert ran.code == 2
    assert "is not commit 0123456789ab" in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()


def _made(kind: bytes, name: str, target: str = "") -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", format=tarfile.PAX_FORMAT) as t:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        t.addfile(member)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"", "neither a clone nor an archive"),
        (b"PK\x03\x04" + bytes(600), "neither a clone nor an archive"),
        (b"\x1f\x8b" + bytes(600), "refused"),
        (_made(tarfile.REGTYPE, "vllm-x/../../out"), "leaves the tree"),
        (_made(tarfile.LNKTYPE, "vllm-x/a", "vllm-x/b"), "hard link"),
        (_made(tarfile.FIFOTYPE, "vllm-x/a"), "named pipe"),
        (_made(tarfile.SYMTYPE, "vllm-x/.git/hooks", "/tmp"), "leaves the tree"),
    ],
    ids=["nothing", "a zip", "a damaged gzip", "a file outside", "a hard link", "a pipe", "a link in .git"],
)
def test_what_is_no_archive_of_a_tree_is_refused_in_words(apply: Apply, tmp_path: Path, blob: bytes, says: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(blob)
    ran = apply("--upstream", tmp_path / "a.tar.gz", "--vllm-rev", "main", "--output", tmp_path / "out")
    assert (ran.code, says in " ".join(ran.err.split())) == (4, True), ran.err
    assert sorted(p.name for p in tmp_path.iterdir() if "out" in p.name) == []


def test_an_archive_that_is_cut_leaves_nothing(apply: Apply, tarball: Path, tmp_path: Path) -> None:
    tarball.write_bytes(tarball.read_bytes()[:-400])
    ran = apply("--upstream", tarball, "--output", tmp_path / "out")
    assert ran.code == 4
    assert sorted(p.name for p in tmp_path.iterdir() if "out" in p.name) == []
