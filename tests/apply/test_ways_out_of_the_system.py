"""What the operating system refuses, or what goes wrong outside of the tool, is named; once it is mended the same run goes on.

All happens in a folder with a blank in its name. Each test names the place that makes the refusal, as
tests/command/refusals.tsv does.
"""

from __future__ import annotations

import errno
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kvroles.digest import sha256
from kvroles.errors import Exit, KvRolesError, NoSource, Unproven
from kvroles.sources import cache as cache_module
from kvroles.sources import extracts, release_files
from kvroles.sources.release_files import Options
from kvroles.tree import stage
from kvroles.tree.member import Member
from support import index_server as answers
from support import wheels
from support.clones import in_
from support.driver import How, Ran, Spoil
from support.files import put
from support.index_server import IndexServer
from support.mounts import Mounts
from support.refusals import made, place_of
from support.tiny import ARCHIVE, CONNECTOR, STRAGGLER, UTILS, Tiny, pristine

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]
Refused = Callable[..., Ran]
INTO = "--into 'a tree'"
COPY = "--upstream 'a tree' --output 'a new one'"
SHELF = "--vllm-rev 0.22.1 --output 'a shelf/new'"
REWORDED = (b"self.kv_cache_config = kv_cache_config", b"self.ours = kv_cache_config")


# What may not be read or written.


@pytest.mark.parametrize(
    ("place", "line", "path", "mode", "says"),
    [
        ("apply.in_place._mentions.1", INTO, "a tree/examples/ours.md", 0o000, "read access there, and run again"),
        ("apply.merge.keep.1", f"{INTO} --3way --exact", "a tree.kv-roles-conflicts", 0o555, "write access there, and run again"),
        ("tree.tree.__init__.4", INTO, "a tree", 0o000, "read access there, and run again"),
        ("tree.tree.read.3", INTO, f"a tree/{UTILS}", 0o000, "read access there, and run again"),
        ("tree.journal.commit.1", INTO, "a tree", 0o555, "write access there, and run again"),
        ("tree.writer._open_lock.2", SHELF, "a shelf", 0o555, "write access there, or choose another place with --output"),
        ("sources.snapshot._member.2", COPY, f"a tree/{UTILS}", 0o000, "read access there, and run again"),
        ("sources.snapshot._refuse.1", COPY, "a tree/docs", 0o000, "read access there, and run again"),
    ],
)  # fmt: skip
def test_once_access_is_given_the_same_run_goes_on(
    refused: Refused, apply: Apply, here: Path, home: Path,
    place: str, line: str, path: str, mode: int, says: str,
) -> None:  # fmt: skip
    files = {"examples/ours.md": pristine("0.22.1")[STRAGGLER].replace(b"kv_both", b"kv_producer")}
    if place != "tree.journal.commit.1":
        files[CONNECTOR] = pristine("0.22.1")[CONNECTOR] + b"# ours\n"
        (here / "PKG-INFO").unlink()
    if place.startswith("apply.merge"):
        files[CONNECTOR] = pristine("0.22.1")[CONNECTOR].replace(*REWORDED)
    put(here, files)
    put(home, {"a shelf/x": b"", "a tree.kv-roles-conflicts/x": b""})
    before = (home / path).stat().st_mode
    (home / path).chmod(mode)
    ran = refused(place, line, says, powerless=True)
    assert "nothing was changed" in ran.said
    (home / path).chmod(before)
    again = apply(*shlex.split(line), cwd=home, powerless=True)
    if place.startswith("apply.merge"):  # it writes what conflicts, and says how to go on
        again.refused(1, "conflict", "Resolve the conflicts in")
    else:
        again.ok()


def test_each_file_of_a_new_tree_that_cannot_be_written_is_written_by_the_next_run(apply: Apply, home: Path) -> None:
    argv = ("--vllm-rev", "0.22.1", "--output", "a new one")
    points = apply(*argv, cwd=home, count=True).points
    missing = {
        "tree.writer._open_lock.2",
        "tree.stage.write_members.1",
        "tree.stage.write.2",
        "tree.stage.own_folder.1",
        "tree.stage.put_in_place.3",
    }
    for moment in range(1, points + 1):
        shutil.rmtree(home / "a new one", ignore_errors=True)
        ran = apply(*argv, cwd=home, note=True, spoil=Spoil(How.FAIL_FROM, moment, errno.ENOSPC))
        if ran.code:
            ran.refused(1, "No space left on device", "Free some space")
            assert not (home / "a new one").exists()
            missing -= {place_of(line) for line in ran.made}
            apply(*argv, cwd=home).ok()
        if not missing:
            return
    raise AssertionError(f"nothing was refused in {missing}")


def test_an_archive_that_the_cache_s_disk_cannot_hold_is_kept_once_there_is_room(
    refused: Refused, done: Apply, tiny: Tiny, index: IndexServer, home: Path, mounts: Mounts
) -> None:
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    disk = mounts.small_disk(home / "a disk", "64k")
    put(disk, {"in the way": b"x" * 65_000})
    fetched = f"--vllm-rev 0.22.1 --output 'a new one' --cache-dir 'a disk/cache' --index-url {index.url}"
    refused("sources.http.attempt.1", fetched, "Free some space", online=True)
    (disk / "in the way").unlink()
    done(fetched, online=True)


# What somebody else does meanwhile, or a file system gets wrong.


def test_an_archive_that_another_run_changes_is_taken_with_a_cache_of_one_s_own(
    tiny: Tiny, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = made(monkeypatch)
    row = tiny.row().archive
    real = cache_module._fetch

    def fetched_and_changed(*args: Any, **kw: Any) -> None:
        real(*args, **kw)
        (home / "shared/archives" / ARCHIVE).write_bytes(b"x" * row.size)

    with IndexServer() as served:
        served.serve(ARCHIVE, tiny.archive().read_bytes())
        monkeypatch.setattr(cache_module, "_fetch", fetched_and_changed)
        with pytest.raises(KvRolesError, match="Run again with a cache of your own"):
            cache_module.archive_bytes(row, home / "shared", index_url=served.url)
        assert places == ["sources.cache._cached_or_fetched.2"]
        assert cache_module.archive_bytes(row, home / "my own", index_url=served.url) == tiny.archive().read_bytes()


def test_a_staged_tree_that_somebody_put_another_in_place_of_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = made(monkeypatch)

    def staged() -> stage.Staged:
        return stage.write_members(iter([Member("x", False, 0, b"x")]), home / "s", lambda *_: False, lambda _: None)

    first = staged()
    (home / "s").rename(home / "put aside")
    put(home, {"s/x": b"theirs"})
    with pytest.raises(Unproven, match="somebody has put another in its place"):
        stage.put_in_place(first, home / "a new one")
    assert places == ["tree.stage.put_in_place.1"]
    shutil.rmtree(home / "s")
    stage.put_in_place(staged(), home / "a new one")
    assert (home / "a new one/x").read_bytes() == b"x"


READ_BACK_IN_A_TREE = """
from kvroles.apply import prove
real = prove.journal.commit
def commit(tree, *args):
    real(tree, *args)
    read = tree.read
    tree.read = lambda path: (read(path) or b"") + b"x"
prove.journal.commit = commit
"""
READ_BACK_IN_A_NEW_TREE = """
from kvroles.tree import stage
real = stage.write
def write(staged, path, data):
    real(staged, path, data)
    staged.hashes[path] = "0"
stage.write = write
"""
A_JUDGE_IS_KILLED = """
import os
from kvroles.apply import many
many._Judge.row = lambda *_: os.kill(os.getpid(), 9)
"""
A_BROKEN_CONTRACT = """
from kvroles.contract import check
real = check.check
def checked(*args, **kw):
    verdict = real(*args, **kw)
    return verdict._replace(breaches=("one of ours",))
check.check = checked
"""


@pytest.mark.parametrize(
    ("place", "line", "fault", "says"),
    [
        ("apply.prove.write_back.1", INTO, READ_BACK_IN_A_TREE, "was read back with other bytes"),
        (
            "apply.new_tree.run.1",
            "--vllm-rev 0.22.1 --output 'a new one'",
            READ_BACK_IN_A_NEW_TREE,
            "was read back from",
        ),
        ("apply.prove.prove_plan.3", f"{INTO} --with louder", A_BROKEN_CONTRACT, "take its newest revision"),
        ("apply.many.judged.1", "--upstream 'a clone' --range main~2..main", A_JUDGE_IS_KILLED, "a shorter range"),
    ],
)
def test_without_the_fault_the_same_run_goes_on(
    refused: Refused, done: Apply, here: Path, a_clone: Path, place: str, line: str, fault: str, says: str
) -> None:
    in_(a_clone, "commit", "-q", "--allow-empty", "-m", "3")
    piece = {"kvroles.apply.many._PIECE": 1}
    refused(place, line, says, first=fault, set_=piece)
    done(line.replace("main~2..", "main~1.."), set_=piece)


def test_a_tree_whose_file_cannot_be_merged_by_this_git_is_merged_by_another(
    refused: Refused, done: Apply, here: Path, home: Path
) -> None:
    git = shutil.which("git")
    put(home, {"bin/git": f'#!/bin/sh\ncase "$*" in *merge-file*) exit 255;; esac\nexec {git} "$@"\n'.encode()})
    (home / "bin/git").chmod(0o755)
    (here / "PKG-INFO").unlink()
    put(here, {CONNECTOR: pristine("0.22.1")[CONNECTOR].replace(*REWORDED)})
    refused(
        "sources.git.merge.1",
        f"{INTO} --3way --exact",
        "git merge-file refuses",
        env={"PATH": f"{home}/bin:/usr/bin:/bin"},
    )
    refused("apply.merge.settle.3", f"{INTO} --3way --exact", "Resolve the conflicts in")
    done(INTO)


def test_an_object_larger_than_any_file_of_vllm_is_gone_round_by_another_revision(
    refused: Refused, done: Apply, a_clone: Path
) -> None:
    put(a_clone, {"vllm/large.py": b"# a long one\n" * 9000})
    in_(a_clone, "add", "-A")
    in_(a_clone, "commit", "-q", "-m", "3")
    line = "--upstream 'a clone' --vllm-rev {} --output 'a new one'"
    before = in_(a_clone, "rev-parse", "main~1")
    small = {"kvroles.sources.objects.MAX_MEMBER": 100_000}
    refused("sources.objects._object.1", line.format("main"), "Name a revision without it", set_=small)
    done(line.format(before), set_=small)


def test_a_clone_of_a_newer_form_is_cloned_again(refused: Refused, done: Apply, a_clone: Path, home: Path) -> None:
    line = "--upstream 'a clone' --vllm-rev main --output 'a new one'"
    in_(home, "clone", "-q", str(a_clone), "the origin")
    in_(a_clone, "config", "core.repositoryformatversion", "1")
    in_(a_clone, "config", "extensions.neverheardof", "true")
    refused("sources.clone._checked.4", line, "Clone it again")
    shutil.rmtree(a_clone)
    in_(home, "clone", "-q", "the origin", "a clone")
    done(line)


def test_an_archive_that_is_damaged_is_refused_and_a_whole_one_is_read(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release's archive whose hash is right and whose content is not was published so."""
    places = made(monkeypatch)
    row, data = tiny.row().archive, tiny.archive().read_bytes()
    with pytest.raises(Unproven, match=rf"Archive {row.name} is refused: .*Delete it and run again"):
        extracts.of_archive(data[:-20], row, row.top, {CONNECTOR})
    assert places == ["sources.archive._broken.1"]
    assert CONNECTOR in extracts.of_archive(data, row, row.top, {CONNECTOR}).files


# What a process is given: streams, descriptors, memory.


def test_a_report_that_cannot_be_written_is_written_elsewhere(tiny: Tiny, home: Path) -> None:
    argv = [sys.executable, str(tiny.apply), "--list"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(argv, cwd=home, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == Exit.DOES_NOT_APPLY
    assert b"Standard output cannot be written: No space left on device" in done.stderr  # console.finish.1
    with (home / "a file").open("wb") as file:
        assert subprocess.run(argv, cwd=home, stdout=file, check=False).returncode == Exit.DONE
    assert b"louder" in (home / "a file").read_bytes()


LIMIT = "import resource; resource.setrlimit(resource.{}, ({},) * 2)"


def test_a_run_that_may_open_too_few_files_ends_in_the_system_s_words(
    refused: Refused, done: Apply, here: Path
) -> None:
    refused("console._of_the_system.2", INTO, "Too many open files", first=LIMIT.format("RLIMIT_NOFILE", 4))
    done(INTO)


def test_a_file_that_the_system_breaks_off_is_replaced_by_one_that_it_reads(
    refused: Refused, done: Apply, tiny: Tiny, home: Path
) -> None:
    put(home, {"an archive": tiny.archive().read_bytes()})
    line = "--upstream '{}' --output 'a new one'"
    refused("sources.snapshot._bytes.1", line.format("/proc/self/mem"), "Input/output error")
    done(line.format("an archive"))


def test_a_run_that_may_take_too_little_memory_says_so(refused: Refused, done: Apply, tiny: Tiny, home: Path) -> None:
    put(home, {"an archive": tiny.archive().read_bytes()})
    with (home / "a long one").open("wb") as f:
        f.truncate(1 << 30)
    line = "--upstream '{}' --output 'a new one'"
    refused(
        "console.guarded.1", line.format("a long one"), "for lack of memory", first=LIMIT.format("RLIMIT_AS", 1 << 29)
    )
    done(line.format("an archive"))


# The files that a wheel ships, where a release has no archive.


@pytest.fixture
def wheel_row(home: Path) -> tuple[Any, bytes]:
    """A release of one wheel, as the lock would know it, and that wheel."""
    made_ = wheels.make(home)
    changed = SimpleNamespace(files={CONNECTOR: SimpleNamespace(before=sha256(pristine("0.22.1")[CONNECTOR]))})
    file = SimpleNamespace(name=made_.name, size=made_.stat().st_size)
    return SimpleNamespace(release="0.15.1", topics={"x": changed}, wheels=[file]), made_.read_bytes()


def test_the_files_of_a_wheel_are_fetched_once_and_then_taken_from_the_cache(
    wheel_row: tuple[Any, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = made(monkeypatch)
    row, data = wheel_row
    with IndexServer() as served:
        served.serve(row.wheels[0].name, data)
        options = Options(home / "a cache", served.url)
        with pytest.raises(NoSource, match="Run once without --offline"):
            release_files._shipped(row, replace(options, offline=True))
        assert places == ["sources.release_files._shipped.1"]
        for again in (options, replace(options, offline=True)):
            assert release_files._shipped(row, again) == {CONNECTOR: pristine("0.22.1")[CONNECTOR]}


@pytest.mark.parametrize("place", ["ranges.attempt.1", "release_files._shipped.2"])
def test_another_index_is_named_than_one_that_serves_no_parts_or_another_wheel(
    wheel_row: tuple[Any, bytes], home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    places = made(monkeypatch)
    row, data = wheel_row
    name = row.wheels[0].name
    with IndexServer() as odd, IndexServer() as right:
        right.serve(name, data)
        other = wheels.make(home / "other", change={CONNECTOR: pristine("0.22.1")[CONNECTOR] + b"# x\n"}).read_bytes()
        odd.serve(name, other)
        if place.startswith("ranges"):
            odd.on(f"/files/{name}", answers.whole(data))
        else:
            row.wheels[0].size = len(other)
        with pytest.raises(KvRolesError, match="ame another index with --index-url"):
            release_files._shipped(row, Options(home / "a cache", odd.url))
        assert places == [f"sources.{place}"]
        row.wheels[0].size = len(data)
        found = release_files._shipped(row, Options(home / "a cache", right.url))
        assert found == {CONNECTOR: pristine("0.22.1")[CONNECTOR]}
