"""``apply.py --vllm-rev REV --output DIR``: a release becomes a patched and proven tree at DIR, in one step."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.digest import sha256
from support import tiny as project
from support.driver import Ran
from support.files import OWN, contents, put, series_of, snapshot
from support.tiny import Tiny

Apply = Callable[..., Ran]


@pytest.mark.parametrize("release", project.RELEASES)
def test_the_tree_is_upstreams_with_the_series_in_it(apply: Apply, tiny: Tiny, tmp_path: Path, release: str) -> None:
    apply("--vllm-rev", release, "--output", tmp_path / "new").ok()
    files = contents(tmp_path / "new")
    assert {p: d for p, d in files.items() if p not in OWN} == tiny.applied(release)
    assert files.keys() & OWN == OWN


def test_the_default_place_is_build_vllm_rev(apply: Apply, tmp_path: Path) -> None:
    assert "build/vllm-0.22.1: applied, 7 files changed" in apply("--vllm-rev", "v0.22.1").ok().out
    assert (tmp_path / "build/vllm-0.22.1/PKG-INFO").is_file()


@pytest.mark.parametrize(("word", "release"), [("latest", "0.33.0"), ("v0.9.0", "0.9.0"), ("0.9.0.0", "0.9.0")])
def test_a_release_can_be_named_in_several_ways(apply: Apply, tmp_path: Path, word: str, release: str) -> None:
    apply("--vllm-rev", word, "-q").ok()
    assert [p.name for p in (tmp_path / "build").iterdir()] == [f"vllm-{release}"]


def test_nothing_but_the_tree_is_left_behind(apply: Apply, tmp_path: Path) -> None:
    apply("--vllm-rev", "0.22.1", "--output", tmp_path / "out" / "new").ok()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]


def test_the_second_run_says_applied_already_and_touches_nothing(apply: Apply, tmp_path: Path) -> None:
    apply("--vllm-rev", "0.22.1", "--output", "new").ok()
    before = snapshot(tmp_path, times=True)
    again = apply("--vllm-rev", "0.22.1", "--output", "new").ok()
    assert "applied already, nothing was changed" in again.out
    assert snapshot(tmp_path, times=True) == before


def test_an_empty_folder_is_filled(apply: Apply, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    apply("--vllm-rev", "0.22.1", "--output", "new").ok()
    assert (tmp_path / "new/vllm/__init__.py").is_file()


def test_a_pristine_tree_at_the_output_is_changed_in_place(apply: Apply, tiny: Tiny, tree: Path) -> None:
    os.utime(tree / "README.md", (1, 1))
    apply("--vllm-rev", "0.22.1", "--output", tree).ok()
    assert (tree / "README.md").stat().st_mtime == 1
    assert series_of(tree) == tiny.applied()


def test_an_optional_topic_comes_only_when_asked_for(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    apply("--vllm-rev", "0.22.1", "--output", "plain").ok()
    apply("--vllm-rev", "0.22.1", "--output", "more", "--with", "louder", "--with", "fence").ok()
    plain, more = contents(tmp_path / "plain"), contents(tmp_path / "more")
    assert {p for p in plain if plain[p] != more[p] and p not in OWN} == {project.CONNECTOR, project.SCHEDULER}
    assert {p: d for p, d in more.items() if p not in OWN} == tiny.applied(extra=("louder", "fence"))


@pytest.mark.parametrize("umask", [0o077, 0o000, 0o022])
def test_modes_and_times_are_the_same_whatever_the_umask(apply: Apply, tmp_path: Path, umask: int) -> None:
    (tmp_path / "build").mkdir()
    apply("--vllm-rev", "0.22.1", "--output", "build/new", umask=umask).ok()
    made = snapshot(tmp_path / "build/new", times=True)
    for path, entry in made.items():
        executable = entry[0] == "folder" or path == project.SCRIPT
        assert entry[1] == (0o755 if executable else 0o644), path
        assert entry[-2] == project.MTIME * 10**9, path


def test_the_receipt_says_what_was_done_and_nothing_of_where_or_when(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    apply("--vllm-rev", "0.22.1", "--output", "one").ok()
    apply("--vllm-rev", "0.22.1", "--output", "two/three", env={"TZ": "Asia/Tokyo", "HOME": "/nowhere"}).ok()
    one = (tmp_path / "one/.kv-roles/receipt.json").read_bytes()
    assert (tmp_path / "two/three/.kv-roles/receipt.json").read_bytes() == one
    assert str(tmp_path).encode() not in one
    receipt = json.loads(one)
    row = tiny.row()
    assert row.tree is not None
    assert receipt["release"] == "0.22.1"
    assert receipt["archive"] == row.archive._asdict()
    assert receipt["tree"] == row.tree.after
    assert {t: v["state"] for t, v in receipt["topics"].items()} == dict.fromkeys(receipt["topics"], "applied")
    assert receipt["topics"]["guides"]["patch"] == sha256((tiny.root / "patches/guides/0.22.1.patch").read_bytes())
    for path, data in tiny.applied().items():
        before = project.pristine("0.22.1").get(path)
        if before != data:
            assert receipt["files"].pop(path) == {"before": before and sha256(before), "after": sha256(data)}
    assert receipt["files"] == {}


def test_the_digest_is_the_one_coreutils_make(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    ran = apply("--vllm-rev", "0.22.1", "--output", "new").ok()
    command = "find . -path ./.kv-roles -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    made = subprocess.run(["bash", "-c", command], cwd=tmp_path / "new", capture_output=True, text=True, check=True)
    row = tiny.row()
    assert row.tree is not None
    assert made.stdout.split()[0] == row.tree.after
    assert f"sha256 {row.tree.after}, {len(tiny.applied())} files" in ran.out


def test_check_says_what_would_be_done_and_writes_nothing(apply: Apply, tmp_path: Path) -> None:
    ran = apply("--vllm-rev", "0.22.1", "--output", "out/new", "--check").ok()
    assert "would be applied, 7 files would change" in ran.out
    assert "pristine  guides" in ran.out
    assert snapshot(tmp_path) == {".": snapshot(tmp_path)["."]}


def test_a_symbolic_link_to_the_output_is_followed_once(apply: Apply, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    apply("--vllm-rev", "0.22.1", "--output", "link").ok()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/vllm/__init__.py").is_file()


def test_the_folder_of_another_project_is_left_alone(apply: Apply, tmp_path: Path) -> None:
    put(tmp_path / "mine", {"notes.txt": b"mine"})
    before = snapshot(tmp_path, times=True)
    apply("--vllm-rev", "0.22.1", "--output", "mine").refused(2, "mine is not a vLLM source tree", "--output")
    assert snapshot(tmp_path, times=True) == before


def test_another_release_at_the_output_is_left_alone(apply: Apply, tiny: Tiny, tmp_path: Path) -> None:
    tiny.unpack(tmp_path / "old", "0.9.0")
    before = snapshot(tmp_path, times=True)
    apply("--vllm-rev", "0.22.1", "--output", "old").refused(1, "old is vLLM 0.9.0", "0.22.1")
    assert snapshot(tmp_path, times=True) == before


def test_a_file_at_the_output_is_left_alone(apply: Apply, tmp_path: Path) -> None:
    put(tmp_path, {"file": b"mine"})
    apply("--vllm-rev", "0.22.1", "--output", "file").refused(2, "file is a file, not a folder", "--output")
    apply("--vllm-rev", "0.22.1", "--output", "file/below").refused(2, "file is a file, not a folder", "--output")
    assert contents(tmp_path) == {"file": b"mine"}


def test_a_link_to_nowhere_at_the_output_is_left_alone(apply: Apply, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    apply("--vllm-rev", "0.22.1", "--output", "link").refused(2, "link does not exist")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link"]


def test_nothing_to_reverse_where_there_is_no_tree(apply: Apply, tmp_path: Path) -> None:
    apply("--vllm-rev", "0.22.1", "--output", "new", "--reverse").refused(2, "new does not exist", "--into")
    assert list(tmp_path.iterdir()) == []
