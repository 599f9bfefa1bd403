"""A tree that the series does not fit is refused, named, and left exactly as it was."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import Ran
from support.files import contents, put, snapshot
from support.tiny import Tiny

Apply = Callable[..., Ran]


Untouched = Callable[..., Ran]


def edit(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new))


def test_an_edit_where_a_hunk_goes_is_named_with_both_texts(apply: Apply, tree: Path, untouched: Untouched) -> None:
    edit(tree / project.CONNECTOR, b"self.kv_cache_config = kv_cache_config", b"self.mine = kv_cache_config")
    untouched(
        lambda: apply("--into", tree),
        1,
        f"Topic connector-warning does not apply to {project.CONNECTOR}",
        "hunk 1 does not fit",
        "Expected `self.kv_cache_config = kv_cache_config` at line 9",
        "Found `self.mine = kv_cache_config`",
        f"`python tools/apply.py --into {tree} --3way`",
    )


def test_an_edit_of_white_space_alone_is_said_to_be_one(apply: Apply, tree: Path, untouched: Untouched) -> None:
    edit(tree / project.CONNECTOR, b"        self.kv_cache_config", b"\tself.kv_cache_config")
    untouched(lambda: apply("--into", tree), 1, "line 9", "the same text with other white space", "`→self.kv")


def test_an_edit_elsewhere_in_a_file_is_still_an_edit(apply: Apply, tree: Path, untouched: Untouched) -> None:
    edit(tree / project.SCRIPT, b"set -e", b"set -ex")
    untouched(lambda: apply("--into", tree), 1, f"{project.SCRIPT} in {tree} is edited", "every hunk", "--3way")


def test_edits_outside_the_series_are_ignored(apply: Apply, tree: Path) -> None:
    put(tree, {"README.md": b"mine\n", "vllm/mine.py": b"x = 1\n"})
    apply("--into", tree).ok()
    assert (tree / "README.md").read_bytes() == b"mine\n"


@pytest.mark.parametrize("argv", [("--check",), ("--reverse",), ("--json",), ("-q",)])
def test_an_edit_is_refused_by_every_form_of_the_command(
    apply: Apply, tree: Path, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    edit(tree / project.SCRIPT, b"set -e", b"set -ex")
    before = snapshot(tmp_path, times=True)
    ran = apply("--into", tree, *argv)
    assert ran.code == 1
    assert f"{project.SCRIPT} in {tree} is edited" in ran.said
    if "--json" in argv:
        error = json.loads(ran.out)
        assert error["code"] == 1
        assert " ".join(error["error"].split()) in ran.said
    assert snapshot(tmp_path, times=True) == before


def test_an_edit_after_the_series_was_applied_is_not_overwritten_by_reverse(
    apply: Apply, tree: Path, untouched: Untouched
) -> None:
    apply("--into", tree).ok()
    edit(tree / project.GUIDE, b"one per side", b"one for each side")
    untouched(lambda: apply("--into", tree, "--reverse"), 1, project.GUIDE)


@pytest.mark.parametrize("argv", [(), ("--reverse",)])
def test_an_edit_on_top_of_the_series_is_not_taken_for_a_hunk_that_does_not_fit(
    apply: Apply, tree: Path, untouched: Untouched, argv: tuple[str, ...]
) -> None:
    apply("--into", tree).ok()
    with (tree / project.CONNECTOR).open("a") as f:
        f.write("# mine\n")
    untouched(
        lambda: apply("--into", tree, *argv),
        1,
        f"{project.CONNECTOR} in {tree} is edited",
        "the topic's change is in it, and another beside it",
        " ".join(["python tools/apply.py --into", str(tree), *argv, "--3way"]),
    )
    apply("--into", tree, "--reverse", "--3way").ok()
    assert (tree / project.CONNECTOR).read_bytes() == project.pristine("0.22.1")[project.CONNECTOR] + b"# mine\n"


def test_a_tree_that_says_which_release_it_is_is_no_other(apply: Apply, tree: Path, untouched: Untouched) -> None:
    edit(tree / "PKG-INFO", b"Version: 0.22.1", b"Version: 0.9.0")
    for argv in (("--into", tree), ("--output", tree)):
        untouched(
            lambda argv=argv: apply(*argv, "--vllm-rev", "0.22.1"), 1, f"{tree} is vLLM 0.9.0, not 0.22.1", "--output"
        )


def test_an_edited_migration_guide_is_not_overwritten(apply: Apply, tree: Path, untouched: Untouched) -> None:
    put(tree, {project.OVERLAY: b"our own page\n"})
    untouched(lambda: apply("--into", tree), 1, f"{project.OVERLAY} in {tree} is edited", "no such file")


def test_a_missing_file_is_named(apply: Apply, tree: Path, untouched: Untouched) -> None:
    (tree / project.UTILS).unlink()
    untouched(lambda: apply("--into", tree), 1, f"{project.UTILS} is missing from {tree}")


def test_a_crlf_checkout_is_recognised_for_what_it_is(apply: Apply, tree: Path, untouched: Untouched) -> None:
    for path, data in contents(tree).items():
        if b"\0" not in data:
            (tree / path).write_bytes(data.replace(b"\n", b"\r\n"))
    untouched(lambda: apply("--into", tree), 1, "has CRLF line ends, where vLLM has LF", "core.autocrlf=false")


def test_a_topic_applied_by_half_is_partial(apply: Apply, tree: Path, tiny: Tiny, untouched: Untouched) -> None:
    put(tree, {project.UTILS: tiny.applied()[project.UTILS]})
    for argv in ((), ("--check",), ("--reverse",)):
        untouched(
            lambda argv=argv: apply("--into", tree, *argv),
            1,
            "Topic unit-tests is partial",
            "1 of 2 files",
            f"{project.UTILS} applied and {project.UNIT} pristine",
            f"--into {tree} {'--reverse ' if '--reverse' in argv else ''}--3way`",
        )


def test_some_topics_applied_and_some_not_is_no_obstacle(apply: Apply, tree: Path, tiny: Tiny) -> None:
    put(tree, {project.SCRIPT: tiny.applied()[project.SCRIPT]})
    assert "applied, 6 files changed" in apply("--into", tree).ok().out
    assert {p: d for p, d in contents(tree).items() if not p.startswith(".kv-roles")} == tiny.applied()


def test_into_refuses_what_is_no_tree_and_names_it(apply: Apply, tmp_path: Path, untouched: Untouched) -> None:
    put(tmp_path / "other", {"setup.py": b""})
    (tmp_path / "file").write_bytes(b"")
    untouched(lambda: apply("--into", "other"), 2, "other is not a vLLM source tree", "vllm/__init__.py")
    untouched(lambda: apply("--into", "file"), 2, "file is a file, not a folder")
    untouched(lambda: apply("--into", "nowhere"), 2, "nowhere does not exist")
    untouched(lambda: apply("--into", "file/below"), 2, "file/below does not exist")
    untouched(lambda: apply("--into", "x" * 300), 2, "File name too long")
    untouched(lambda: apply("--vllm-rev", "0.22.1", "--output", "x" * 300), 1, "File name too long")


def test_a_tree_without_nixl_is_refused(apply: Apply, tree: Path, untouched: Untouched) -> None:
    (tree / "PKG-INFO").unlink()
    (tree / project.CONNECTOR).unlink()
    untouched(lambda: apply("--into", tree), 1, "There is no NixlConnector", "--vllm-rev")


def test_a_fork_s_own_config_that_says_kv_both_is_named_before_anything_is_written(
    apply: Apply, tree: Path, untouched: Untouched
) -> None:
    (tree / "PKG-INFO").unlink()
    edit(tree / project.SCRIPT, b"set -e", b"set -ex")  # no release any more, though all of the series fits
    apply("--into", tree, "--check").ok()
    put(tree, {"recipes/ours.json": b'{"kv_connector": "NixlConnector", "kv_role": "kv_both"}\n'})
    untouched(lambda: apply("--into", tree), 1, "recipes/ours.json:1: a NIXL config says kv_both (clause 3)")


def test_a_link_in_place_of_a_file_is_not_followed(
    apply: Apply, tree: Path, tmp_path: Path, untouched: Untouched
) -> None:
    (tree / project.GUIDE).rename(tmp_path / "elsewhere.md")
    (tree / project.GUIDE).symlink_to(tmp_path / "elsewhere.md")
    untouched(lambda: apply("--into", tree), 1, project.GUIDE, "symbolic link", "never followed")


def test_a_link_in_place_of_a_folder_is_not_followed(
    apply: Apply, tree: Path, tmp_path: Path, untouched: Untouched
) -> None:
    (tree / "docs").rename(tmp_path / "docs")
    (tree / "docs").symlink_to(tmp_path / "docs")
    untouched(lambda: apply("--into", tree), 1, "docs/features", "symbolic link", "never followed")


@pytest.mark.parametrize("first", ["pristine", "applied"])
@pytest.mark.parametrize("name", ["", "stage", "journal.json", "receipt.json", ".gitignore"])
def test_links_in_place_of_our_own_files_are_not_followed(
    apply: Apply, tree: Path, tmp_path: Path, name: str, first: str
) -> None:
    if first == "applied":
        apply("--into", tree).ok()
    own = tree / ".kv-roles" / name
    if name == "" and own.exists():
        own.rename(tmp_path / "before")
    own.parent.mkdir(exist_ok=True)
    if own.is_file():
        own.unlink()
    victim = put(tmp_path / "victim", {"precious": b"1", "stage/precious": b"2", "receipt.json": b"{}"})
    own.symlink_to(victim if name in ("", "stage") else victim / "precious")
    for argv in ((), ("--reverse",), ()):
        apply("--into", tree, *argv)
        assert contents(victim) == {"precious": b"1", "stage/precious": b"2", "receipt.json": b"{}"}


def test_what_is_no_file_at_all_is_refused(apply: Apply, tree: Path) -> None:
    (tree / project.GUIDE).unlink()
    os.mkfifo(tree / project.GUIDE)  # to open it for reading would wait for ever
    apply("--into", tree).refused(1, project.GUIDE)
    (tree / project.GUIDE).unlink()
    (tree / project.GUIDE).mkdir()
    apply("--into", tree).refused(1, project.GUIDE)
    (tree / project.GUIDE).rmdir()
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(tree / "docs/features")
        s.bind("nixl_connector_usage.md")
    apply("--into", tree).refused(1, project.GUIDE)


def test_a_read_only_tree_is_left_as_it_was(
    apply: Apply, tree: Path, tmp_path: Path, read_only: Callable[..., None], untouched: Untouched
) -> None:
    read_only(tmp_path)
    untouched(lambda: apply("--into", tree), 1, "Read-only file system", "nothing was changed")
    untouched(lambda: apply("--vllm-rev", "0.22.1", "--output", "new"), 1, "Read-only file system", "--output")
    apply("--into", tree, "--check").ok()
    apply("--vllm-rev", "0.22.1", "--output", "new", "--check").ok()
