"""``apply.py --into DIR``: an existing tree is changed in place, to exactly what the series makes of it, and back."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.advice import commands
from support.driver import Ran
from support.files import contents, put, series_of, snapshot
from support.tiny import Tiny

Apply = Callable[..., Ran]
Untouched = Callable[..., Ran]


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


def test_changed_files_keep_their_mode(apply: Apply, tree: Path) -> None:
    (tree / project.GUIDE).chmod(0o660)
    apply("--into", tree, umask=0o077).ok()
    assert (tree / project.GUIDE).stat().st_mode & 0o777 == 0o660
    assert (tree / project.SCRIPT).stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_changed_files_keep_their_owner(apply: Apply, tree: Path) -> None:
    os.chown(tree / project.GUIDE, 1234, 4321)
    apply("--into", tree).ok()
    have = (tree / project.GUIDE).stat()
    assert (have.st_uid, have.st_gid) == (1234, 4321)


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
    apply("--into", tree, "--reverse").ok()
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


def test_one_topic_is_taken_out_and_the_others_stay(apply: Apply, tree: Path, tiny: Tiny) -> None:
    apply("--into", tree, "--with", "louder", "--with", "fence").ok()
    apply("--into", tree, "--reverse", "--only", "fence").ok()
    assert series_of(tree) == tiny.applied(extra=("louder",))
    assert "applied already" in apply("--into", tree, "--with", "louder").ok().out
    topics = json.loads((tree / ".kv-roles/receipt.json").read_text())["topics"]
    assert (topics["louder"]["state"], topics["fence"]["state"]) == ("applied", "pristine")


def test_a_default_topic_is_taken_out_alone_and_the_receipt_says_that_nothing_is_proven(
    apply: Apply, tree: Path, tiny: Tiny
) -> None:
    apply("--into", tree).ok()
    ran = apply("--into", tree, "--reverse", "--only", "unit-tests").ok()
    assert "contract" not in ran.out
    assert (tree / project.UTILS).read_bytes() == project.pristine("0.22.1")[project.UTILS]
    assert json.loads((tree / ".kv-roles/receipt.json").read_text())["contract"] is None
    apply("--into", tree).ok()
    assert series_of(tree) == tiny.applied()


def test_a_topic_under_another_is_not_taken_out_alone(apply: Apply, tree: Path, untouched: Untouched) -> None:
    apply("--into", tree, "--with", "louder").ok()
    ran = untouched(
        lambda: apply("--into", tree, "--reverse", "--only", "connector-warning"),
        1,
        "Topic louder lies on topic connector-warning",
    )
    for command in (ran.fix(), f"python tools/apply.py --into {tree} --reverse --only connector-warning"):
        apply(*shlex.split(command)[2:]).ok()
    assert (tree / project.CONNECTOR).read_bytes() == project.pristine("0.22.1")[project.CONNECTOR]


@pytest.mark.parametrize("topic", ["louder", "nope"])
def test_a_topic_that_is_not_there_cannot_be_taken_out(
    apply: Apply, tree: Path, untouched: Untouched, topic: str
) -> None:
    apply("--into", tree).ok()
    untouched(lambda: apply("--into", tree, "--reverse", "--only", topic), 2, topic)


def test_a_topic_that_was_not_asked_for_stays_and_is_named_with_the_way_out(
    apply: Apply, tree: Path, tiny: Tiny
) -> None:
    apply("--into", tree, "--with", "louder").ok()
    out = apply("--output", tree, "--vllm-rev", "0.22.1").ok().out
    assert "Topic louder is in the tree too, and stays" in out
    command = commands(out)[0]
    assert command.endswith("--reverse --only louder")
    apply(*shlex.split(command)[2:]).ok()
    assert series_of(tree) == tiny.applied()


def test_a_proven_merge_is_a_state_of_its_own(apply: Apply, tree: Path) -> None:
    apply("--into", tree).ok()
    with (tree / project.CONNECTOR).open("a") as f:
        f.write("# mine\n")
    edited = (tree / project.CONNECTOR).read_bytes()
    apply("--into", tree, "--reverse", "--3way").ok()
    assert "merged    connector-warning" in apply("--into", tree, "--3way").ok().out
    assert (tree / project.CONNECTOR).read_bytes() == edited
    ran = apply("--into", tree, "--check").ok()
    assert "merged    connector-warning" in ran.out
    assert "applied already, nothing was changed" in ran.out
    apply("--into", tree, "--reverse").ok()
    assert (tree / project.CONNECTOR).read_bytes() == project.pristine("0.22.1")[project.CONNECTOR] + b"# mine\n"


def test_a_tree_patched_by_git_am_has_no_receipt_and_none_is_named(apply: Apply, tree: Path, tmp_path: Path) -> None:
    apply("--list", "--export", "mails", "--vllm-rev", "0.22.1").ok()
    mails = sorted((tmp_path / "mails").iterdir())
    for argv in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "pristine"), ("am", "-q", *mails)):
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *argv]
        subprocess.run(
            git, cwd=tree, check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        )
    for argv in ((), ("--check",)):
        ran = apply("--into", tree, *argv).ok()
        assert "applied already" in ran.out
        assert "receipt" not in ran.out
        assert json.loads(apply("--into", tree, *argv, "--json").ok().out)["receipt"] is None


def test_the_target_is_named_as_the_user_names_it_in_every_run(apply: Apply) -> None:
    first, second = (json.loads(apply("--vllm-rev", "0.22.1", "--json").ok().out) for _ in range(2))
    assert first["target"] == second["target"] == "build/vllm-0.22.1"
    assert first["receipt"] == second["receipt"] == "build/vllm-0.22.1/.kv-roles/receipt.json"


def test_an_installation_is_sent_to_the_tool_for_installations(apply: Apply, tmp_path: Path, tree: Path) -> None:
    site = tmp_path / "site packages"
    site.mkdir()
    shutil.copytree(tree / "vllm", site / "vllm")
    (site / "vllm-0.22.1.dist-info").mkdir()
    ran = apply("--into", site)
    ran.refused(2, "holds an installed vLLM (vllm-0.22.1.dist-info), not a source tree")
    assert ran.fix() == f"python tools/vendor.py install --site-packages '{site}'"
