"""Where a run writes may be anybody's: no link, pipe or list that somebody put there leads a write elsewhere, or holds a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.tree import handles
from kvroles.vendored.provenance import files as published
from support import tiny as project
from support.driver import Ran, script

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]
TOOLS = Path(__file__).resolve().parents[3] / "tools"
PRECIOUS = b"mine\n"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file elsewhere that a planted link leads to."""
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "precious"
    file.write_bytes(PRECIOUS)
    return file


def test_a_link_called_like_a_mail_is_not_written_through(apply: Apply, tmp_path: Path, precious: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "0001-connector-warning.patch").symlink_to(precious)
    apply("--list", "--export", folder, "--vllm-rev", "0.22.1").ok()
    assert precious.read_bytes() == PRECIOUS
    assert not (folder / "0001-connector-warning.patch").is_symlink()


def test_a_link_in_a_tree_called_like_the_report_is_not_written_through(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "report.html").symlink_to(precious)
    ran = script(TOOLS / "migrate.py", "--html", "report.html", ".", cwd=tmp_path / "tree")
    assert ran.code == 0, ran
    assert precious.read_bytes() == PRECIOUS
    assert (tmp_path / "tree" / "report.html").read_bytes().startswith(b"<!doctype html>")


@pytest.mark.parametrize("planted", ["the file", "a folder above it", "the folder for conflicts"])
def test_a_link_in_the_way_of_a_conflict_is_not_written_through(
    apply: Apply, tree: Path, tmp_path: Path, precious: Path, planted: str
) -> None:
    text = (tree / project.CONNECTOR).read_bytes()
    (tree / project.CONNECTOR).write_bytes(text.replace(b"self.kv_cache_config = kv", b"self.ours = kv"))
    folder = tree.parent / f"{tree.name}.kv-roles-conflicts"
    if planted == "the file":
        (folder / project.CONNECTOR).parent.mkdir(parents=True)
        (folder / project.CONNECTOR).symlink_to(precious)
    elif planted == "a folder above it":
        folder.mkdir()
        (folder / "vllm").symlink_to(precious.parent)
    else:
        folder.symlink_to(precious.parent)
    ran = apply("--into", tree, "--3way")
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err
    assert precious.read_bytes() == PRECIOUS
    assert [p.name for p in precious.parent.iterdir()] == ["precious"]


def test_a_list_of_names_that_lead_out_moves_nothing(tmp_path: Path, precious: Path) -> None:
    """A folder as a killed run leaves it, planted beside where a wheel is going to lie."""
    output = tmp_path / "dist" / "in" / "a.whl"
    ready = output.parent / ".a.whl.kv-roles.ready"
    ready.mkdir(parents=True)
    (ready / ".names").write_text("../../elsewhere/precious\n../../../elsewhere/precious\n")
    published.finish(output)
    assert precious.read_bytes() == PRECIOUS
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["dist", "elsewhere", "in", "precious"]


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_something_else_in_place_of_a_list_of_names_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    ready = tmp_path / ".a.whl.kv-roles.ready"
    ready.mkdir()
    os.mkfifo(ready / ".names") if kind == "pipe" else (ready / ".names").symlink_to("/dev/zero")
    with pytest.raises(OSError, match=r"regular|symbolic"):
        published.finish(tmp_path / "a.whl")


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_something_in_the_place_of_a_staging_folder_is_not_waited_for_or_followed(
    apply: Apply, tmp_path: Path, precious: Path, kind: str
) -> None:
    staging = tmp_path / ".new.kv-roles.staging"
    if kind == "pipe":
        os.mkfifo(staging)
    elif kind == "link":
        staging.symlink_to(precious.parent)
    else:
        staging.mkdir()
        os.mkfifo(staging / "pipe")
    apply("--vllm-rev", "0.22.1", "--output", "new").ok()
    assert precious.read_bytes() == PRECIOUS
    assert not os.path.lexists(staging)


@pytest.fixture
def fork(tree: Path) -> Path:
    """A tree that is no release, so that all of it is looked at."""
    (tree / "PKG-INFO").unlink()
    (tree / project.SCRIPT).write_bytes((tree / project.SCRIPT).read_bytes() + b"# ours\n")
    return tree


def test_a_file_as_large_as_the_disk_in_a_fork_is_not_taken_into_memory(apply: Apply, fork: Path) -> None:
    with (fork / "weights.bin").open("wb") as f:
        f.truncate(1 << 42)
    apply("--into", fork).ok()


def test_a_file_as_large_as_the_disk_in_a_source_file_s_place_is_refused(apply: Apply, tree: Path) -> None:
    with (tree / project.CONNECTOR).open("wb") as f:
        f.truncate(1 << 42)
    apply("--into", tree).refused(1, project.CONNECTOR, "more than a source file has")


def test_a_role_far_into_a_large_file_of_a_fork_is_found(apply: Apply, fork: Path) -> None:
    """What is not taken into memory is searched all the same."""
    with (fork / "log.txt").open("wb") as f:
        f.seek(1 << 30)
        f.write(b'--kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n')
    apply("--into", fork).refused(1, "log.txt")


@pytest.mark.parametrize("at", [0, 1, handles._PIECE - 3, handles._PIECE, 3 * handles._PIECE - 1])
def test_a_word_is_found_wherever_the_pieces_end(tmp_path: Path, at: int) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * at + b"kv_both" + b"x")
    with handles.regular(file) as f:
        assert handles.holds(f, b"kv_both")
        assert not handles.holds(f, b"kv_botx")
