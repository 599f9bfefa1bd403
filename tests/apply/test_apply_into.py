"""``apply.py --into DIR``: an existing tree is changed in place, to exactly what the series makes of it, and back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.driver import Ran
from support.files import contents, put, snapshot
from support.tiny import Tiny

Apply = Callable[..., Ran]
OWN = {".kv-roles/.gitignore", ".kv-roles/receipt.json"}


def series_of(tree: Path) -> dict[str, bytes]:
    return {p: d for p, d in contents(tree).items() if p not in OWN}


@pytest.mark.parametrize("release", project.RELEASES)
def test_the_release_is_detected_and_the_series_applied(apply: Apply, tiny: Tiny, tmp_path: Path, release: str) -> None:
    tree = tiny.unpack(tmp_path / "t", release)
    assert f"vLLM {release} in {tree}: applied" in apply("--into", tree).ok().out
    assert series_of(tree) == tiny.applied(release)


@pytest.mark.parametrize("release", project.RELEASES)
def test_a_checkout_that_does_not_name_its_version_is_known_by_its_content(
    apply: Apply, tiny: Tiny, tmp_path: Path, release: str
) -> None:
    tree = tiny.unpack(tmp_path / "t", release)
    (tree / "PKG-INFO").unlink()
    assert f"vLLM {release} in" in apply("--into", tree).ok().out
    assert f"vLLM {release} in" in apply("--into", tree).ok().out  # and once it is patched, too


@pytest.mark.parametrize("release", project.RELEASES)
def test_reverse_gives_back_every_byte_and_mode(apply: Apply, tiny: Tiny, tmp_path: Path, release: str) -> None:
    tree = tiny.unpack(tmp_path / "t", release)
    before = snapshot(tmp_path)
    apply("--into", tree).ok()
    assert "reversed" in apply("--into", tree, "--reverse").ok().out
    assert snapshot(tmp_path) == before


def test_reverse_of_a_new_tree_gives_the_archives_content(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    apply("--vllm-rev", "0.22.1", "--output", "new").ok()
    apply("--into", "new", "--reverse").ok()
    assert contents(tmp_path / "new") == project.pristine("0.22.1")


def test_reverse_of_a_pristine_tree_says_so_and_changes_nothing(apply: Apply, tree: Path) -> None:
    before = snapshot(tree, times=True)
    assert "pristine already, nothing was changed" in apply("--into", tree, "--reverse").ok().out
    assert snapshot(tree, times=True) == before


def test_the_second_run_says_applied_already_and_touches_nothing(apply: Apply, tree: Path, tmp_path: Path) -> None:
    apply("--into", tree).ok()
    before = snapshot(tmp_path, times=True)
    assert "applied already, nothing was changed" in apply("--into", tree).ok().out
    assert snapshot(tmp_path, times=True) == before


def test_files_outside_the_series_keep_their_bytes_times_and_inodes(apply: Apply, tree: Path, tiny: Tiny) -> None:
    before = snapshot(tree, times=True)
    apply("--into", tree).ok()
    after = snapshot(tree, times=True)
    same = project.pristine("0.22.1").items() & tiny.applied().items()
    assert len(same) > 5
    for path, _ in same:
        assert after[path] == before[path]


def test_changed_files_keep_their_mode_and_owner(apply: Apply, tree: Path) -> None:
    (tree / project.GUIDE).chmod(0o660)
    if os.geteuid() == 0:
        os.chown(tree / project.GUIDE, 1234, 4321)
    want = (tree / project.GUIDE).stat()
    apply("--into", tree, umask=0o077).ok()
    have = (tree / project.GUIDE).stat()
    assert (have.st_mode, have.st_uid, have.st_gid) == (want.st_mode, want.st_uid, want.st_gid)
    assert (tree / project.SCRIPT).stat().st_mode & 0o777 == 0o755


def test_check_names_what_would_change_and_writes_nothing(apply: Apply, tree: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path, times=True)
    ran = apply("--into", tree, "--check").ok()
    assert "would be applied, 7 files would change (--check: nothing was written)" in ran.out
    apply("--into", tree, "--check", "--json").ok()
    assert snapshot(tmp_path, times=True) == before
    apply("--into", tree).ok()
    before = snapshot(tmp_path, times=True)
    assert "would be reversed, 7 files would change back" in apply("--into", tree, "--check", "--reverse").ok().out
    assert snapshot(tmp_path, times=True) == before


def test_check_and_run_report_the_same_files(apply: Apply, tree: Path) -> None:
    would = json.loads(apply("--into", tree, "--check", "--json").ok().out)
    did = json.loads(apply("--into", tree, "--json").ok().out)
    assert (would["did"], did["did"]) == ("would-apply", "applied")
    assert would["changed"] == did["changed"] == 7
    paths = [[f["path"] for t in r["topics"] for f in t["files"]] for r in (would, did)]
    assert paths[0] == paths[1]


def test_a_native_topic_is_reported_as_native_and_left_alone(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    tree = tiny.unpack(tmp_path / "t", "0.33.0")
    out = json.loads(apply("--into", tree, "--json").ok().out)
    states = {t["topic"]: t["state"] for t in out["topics"]}
    assert states["connector-warning"] == "native"
    assert states["stragglers"] == "applied"
    assert (tree / project.CONNECTOR).read_bytes() == project.pristine("0.33.0")[project.CONNECTOR]


def test_an_optional_topic_can_be_added_later_and_taken_out_with_the_rest(
    apply: Apply, tree: Path, tiny: Tiny, tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    apply("--into", tree).ok()
    apply("--into", tree, "--with", "louder").ok()
    assert series_of(tree) == tiny.applied(extra=("louder",))
    assert "applied already" in apply("--into", tree).ok().out
    apply("--into", tree, "--with", "louder", "--reverse").ok()
    assert snapshot(tmp_path) == before


def test_topics_added_one_by_one_leave_the_receipt_of_one_run(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    one, many = tiny.unpack(tmp_path / "one"), tiny.unpack(tmp_path / "many")
    apply("--into", one, "--with", "louder", "--with", "fence").ok()
    for argv in ((), ("--with", "louder"), ("--with", "fence")):
        apply("--into", many, *argv).ok()
    assert series_of(many) == series_of(one) == tiny.applied(extra=("louder", "fence"))
    assert (many / ".kv-roles/receipt.json").read_text() == (one / ".kv-roles/receipt.json").read_text()


def test_reverse_takes_out_optional_topics_too_named_or_not(apply: Apply, tree: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    apply("--into", tree, "--with", "louder", "--with", "fence").ok()
    apply("--into", tree, "--reverse").ok()
    assert snapshot(tmp_path) == before


def test_an_unknown_topic_is_named_with_those_there_are(apply: Apply, tree: Path) -> None:
    apply("--into", tree, "--with", "lauder").refused(2, "'lauder'", "louder")


def test_bytes_that_are_no_utf8_pass_through_untouched(apply: Apply, tree: Path) -> None:
    assert b"\xa9" in (tree / project.SCRIPT).read_bytes()
    apply("--into", tree).ok()
    data = (tree / project.SCRIPT).read_bytes()
    assert data == project.pristine("0.22.1")[project.SCRIPT].replace(b"kv_both", b"kv_producer", 1).replace(
        b"kv_both", b"kv_consumer"
    )


def test_a_git_checkout_shows_the_series_and_nothing_else(apply: Apply, tree: Path, tiny: Tiny) -> None:
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "pristine")
    apply("--into", tree).ok()
    touched = {p for p, d in tiny.applied().items() if project.pristine("0.22.1").get(p) != d}
    assert {line[3:] for line in git(tree, "status", "--porcelain", "-uall").splitlines()} == touched
    apply("--into", tree, "--reverse").ok()
    assert git(tree, "status", "--porcelain", "-uall", "--ignored") == ""


def test_a_tree_inside_another_git_work_tree_is_changed_all_the_same(apply: Apply, tmp_path: Path, tiny: Tiny) -> None:
    git(tmp_path, "init", "-q")
    put(tmp_path, {".gitignore": b"third_party/\n"})
    tree = tiny.unpack(tmp_path / "third_party/vllm")
    apply("--into", tree).ok()
    assert series_of(tree) == tiny.applied()
    apply("--vllm-rev", "0.22.1", "--output", "third_party/fresh").ok()
    assert series_of(tmp_path / "third_party/fresh") == tiny.applied()
    assert git(tmp_path, "status", "--porcelain") == "?? .gitignore\n"


def test_a_tree_reached_through_a_symbolic_link_is_changed_where_it_is(
    apply: Apply, tree: Path, tmp_path: Path, tiny: Tiny
) -> None:
    (tmp_path / "link").symlink_to(tree)
    apply("--into", tmp_path / "link").ok()
    assert (tmp_path / "link").is_symlink()
    assert series_of(tree) == tiny.applied()


def test_a_folder_beside_the_tree_that_cannot_be_written_is_no_obstacle(
    apply: Apply, tmp_path: Path, tiny: Tiny, read_only: Callable[..., None]
) -> None:
    tree = tiny.unpack(tmp_path / "closed/vllm")
    read_only(tmp_path / "closed", but=tree)
    apply("--into", tree).ok()
    assert series_of(tree) == tiny.applied()


def test_a_patched_tree_that_cannot_be_written_is_still_recognised(
    apply: Apply, tmp_path: Path, tree: Path, read_only: Callable[..., None]
) -> None:
    apply("--into", tree).ok()
    read_only(tmp_path)
    assert "applied already" in apply("--into", tree).ok().out


def git(folder: Path, *argv: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    done = subprocess.run(
        ["git", "-C", folder, *identity, *argv], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout
