"""``--part runtime|tests|docs``: one part of a tree is patched, taken back and judged; nothing is said of the others."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvroles.contract import terms
from kvroles.sources.git import in_scratch
from support import tiny as project
from support.driver import Ran
from support.files import contents
from support.tiny import CONNECTOR, GUIDE, OVERLAY, SCRIPT, STRAGGLER, UNIT, UTILS, Tiny

Apply = Callable[..., Ran]
Untouched = Callable[..., Ran]
CHANGES = {"runtime": {CONNECTOR}, "tests": {UNIT, UTILS, SCRIPT}, "docs": {GUIDE, STRAGGLER, OVERLAY}}
of_each = pytest.mark.parametrize("part", CHANGES)


def receipt(tree: Path) -> Any:
    return json.loads((tree / ".kv-roles" / "receipt.json").read_bytes())


def changed(tree: Path) -> set[str]:
    pristine = project.pristine("0.22.1")
    return {p for p, d in contents(tree).items() if not p.startswith(".kv-roles/") and d != pristine.get(p)}


@of_each
def test_only_its_files_are_changed_in_a_tree_that_is_there(apply: Apply, tree: Path, tiny: Tiny, part: str) -> None:
    count = len(CHANGES[part])
    assert (
        f": applied, {'1 file' if count == 1 else f'{count} files'} changed\n"
        in apply("--into", tree, "--part", part).ok().out
    )
    assert changed(tree) == CHANGES[part]
    assert {p: d for p, d in contents(tree).items() if p in CHANGES[part]}.items() <= tiny.applied().items()
    assert "nothing was changed" in apply("--into", tree, "--part", part).ok().out
    apply("--into", tree, "--part", part, "--reverse").ok()
    assert changed(tree) == set()
    assert not (tree / ".kv-roles").exists()


@of_each
def test_only_its_files_are_changed_in_a_new_tree(apply: Apply, tmp_path: Path, part: str) -> None:
    told = json.loads(apply("--vllm-rev", "0.22.1", "--output", tmp_path / "new", "--part", part, "--json").ok().out)
    assert told["part"] == part
    assert changed(tmp_path / "new") == CHANGES[part]
    assert receipt(tmp_path / "new")["parts"] == [part]


def test_what_was_not_looked_at_is_said(apply: Apply, tree: Path) -> None:
    told = json.loads(apply("--into", tree, "--part", "runtime", "--json").ok().out)
    assert set(told["contract"]["unchecked"]) == {"2", "3", "4"}
    assert "outside of runtime" in told["contract"]["unchecked"]["3"]
    assert receipt(tree)["contract"]["unchecked"] == told["contract"]["unchecked"]
    assert {p for t in told["topics"] for p in (f["path"] for f in t["files"])} == {CONNECTOR}


def _clauses(out: str) -> dict[int, str]:
    """The lines of ``apply -v`` on the contract, by number."""
    return {int(m[1]): m[2] for m in re.finditer(r"^    (\d+) (.+)$", out, re.MULTILINE)}


def test_verbose_names_every_clause_and_says_of_each_what_was_not_looked_at(apply: Apply, tree: Path) -> None:
    names = {n: clause.name for n, clause in terms.CLAUSES.items()}
    assert _clauses(apply("--vllm-rev", "0.22.1", "--check", "-v").ok().out) == names
    found = _clauses(apply("--into", tree, "--part", "runtime", "-v").ok().out)
    assert found.keys() == names.keys()
    assert {n for n, line in found.items() if line != names[n]} == {2, 3, 4}
    assert found[2] == f"{names[2]}: not checked: it is about tests, and only runtime was looked at"


@pytest.mark.parametrize("fork", [False, True], ids=["a release", "a fork"])
def test_a_tree_that_lost_tests_and_docs_is_patched_where_it_runs(
    apply: Apply, tree: Path, fork: bool, untouched: Untouched
) -> None:
    for gone in ("tests", "docs", "examples"):
        shutil.rmtree(tree / gone)
    if fork:
        (tree / "PKG-INFO").unlink()
        (tree / CONNECTOR).write_bytes(b"# A fork's own line.\n" + (tree / CONNECTOR).read_bytes())
    untouched(lambda: apply("--into", tree), 1, "--part runtime")
    before = contents(tree)
    apply("--into", tree, "--part", "runtime").ok()
    assert {p for p, d in contents(tree).items() if before.get(p) != d and ".kv-roles" not in p} == {CONNECTOR}
    apply("--into", tree, "--part", "runtime", "--reverse").ok()
    assert contents(tree) == before


def test_an_edit_in_another_part_does_not_count(apply: Apply, tree: Path, untouched: Untouched) -> None:
    (tree / SCRIPT).write_bytes(b"kv_both\n")
    apply("--into", tree, "--part", "runtime", "--check").ok()
    apply("--into", tree, "--part", "docs").ok()
    untouched(lambda: apply("--into", tree, "--part", "tests"), 1, SCRIPT)


def test_parts_follow_each_other_to_the_whole_series(apply: Apply, tree: Path, tiny: Tiny) -> None:
    apply("--into", tree, "--part", "docs").ok()
    apply("--into", tree, "--part", "runtime").ok()
    assert receipt(tree)["parts"] == ["docs", "runtime"]
    assert {p for t in receipt(tree)["topics"].values() for p in t["files"]} == CHANGES["docs"] | CHANGES["runtime"]
    apply("--into", tree, "--part", "tests").ok()
    assert "parts" not in receipt(tree)
    assert {p: d for p, d in contents(tree).items() if not p.startswith(".kv-roles/")} == tiny.applied()


def test_a_whole_run_completes_what_a_part_began(apply: Apply, tree: Path, tiny: Tiny) -> None:
    apply("--into", tree, "--part", "runtime").ok()
    apply("--into", tree).ok()
    assert {p: d for p, d in contents(tree).items() if not p.startswith(".kv-roles/")} == tiny.applied()
    assert "parts" not in receipt(tree)


def test_one_part_is_taken_out_of_a_whole_tree_and_the_receipt_keeps_the_rest(apply: Apply, tree: Path) -> None:
    apply("--into", tree).ok()
    apply("--into", tree, "--part", "tests", "--reverse").ok()
    assert changed(tree) == CHANGES["docs"] | CHANGES["runtime"]
    assert receipt(tree)["parts"] == ["docs", "runtime"]
    apply("--into", tree, "--reverse").ok()
    assert changed(tree) == set()


def test_what_a_clone_lacks_of_other_parts_is_left_out_and_named(apply: Apply, tree: Path, tmp_path: Path) -> None:
    in_scratch(tree, "init", "-q", "-b", "main")
    in_scratch(tree, "add", "-A")
    in_scratch(tree, "commit", "-q", "-m", "x")
    blob = in_scratch(tree, "rev-parse", "main:csrc/table.bin").stdout.decode().strip()
    (tree / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    source = ("--upstream", tree, "--vllm-rev", "main")
    apply(*source, "--output", tmp_path / "whole").refused(4, "csrc/table.bin")
    assert not (tmp_path / "whole").exists()
    assert "csrc/table.bin" in apply(*source, "--output", tmp_path / "new", "--part", "runtime").ok().out
    assert receipt(tmp_path / "new")["lacking"] == ["csrc/table.bin"]
    assert changed(tmp_path / "new") == {CONNECTOR}
    apply(*source, "--output", tmp_path / "docs", "--part", "docs").refused(4, "csrc/table.bin")


def test_a_part_has_no_effect_with_list_and_a_word_that_is_none_is_named(apply: Apply, tree: Path) -> None:
    assert apply("--list", "--part", "docs").code == 2
    assert apply("--into", tree, "--part", "kernels").code == 2
