"""What a refusal advises about a clone, an archive, the cache, an index or a tree half written is done, and the run goes on.

All happens in a folder with a blank in its name. Each test names the place that makes the refusal, as
tests/command/refusals.tsv does.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, NoSource
from kvroles.places import default_cache_dir
from kvroles.sources import archive
from kvroles.sources import index as index_module
from kvroles.tree import handles, stage
from kvroles.tree.member import Member
from support import index_server as answers
from support.advice import commands
from support.clones import in_
from support.driver import IMPATIENT, Ran, script
from support.files import put
from support.index_server import IndexServer
from support.mounts import Mounts
from support.refusals import made
from support.tiny import ARCHIVE, UTILS, Tiny, pristine

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]
Refused = Callable[..., Ran]
CLONE = "--upstream 'a clone' --vllm-rev main --output 'a new one'"
INTO = "--into 'a tree'"


def run(command: str, home: Path) -> None:
    subprocess.run(command, shell=True, cwd=home, check=True, capture_output=True)


# Clones, and what they hold.


def spoil_an_object(clone: Path, to: bytes = zlib.compress(b"blob 2\0x\n")) -> None:
    blob = in_(clone, "rev-parse", "main:README.md")
    file = clone / ".git/objects" / blob[:2] / blob[2:]
    file.unlink()
    file.write_bytes(to)


def cut_an_object(clone: Path) -> None:
    spoil_an_object(clone, b"")


def point_a_branch_at_nothing(clone: Path) -> None:
    (clone / ".git/refs/heads/main").write_text("x\n")


def take_the_objects(clone: Path) -> None:
    shutil.rmtree(clone / ".git/objects")
    put(clone / ".git", {"commondir": b"nowhere\n"})


def put_a_pipe_among_the_objects(clone: Path) -> None:
    os.mkfifo(clone / ".git/objects/ab-pipe")


def commit_without_a_tree(clone: Path) -> None:
    id_ = in_(clone, "hash-object", "-t", "commit", "--literally", "-w", "--stdin", data=b"tree 12\n\nx\n")
    (clone / ".git/refs/heads/main").write_text(f"{id_}\n")


@pytest.mark.parametrize(
    ("place", "spoil"),
    [
        ("sources.objects._damaged.1", spoil_an_object),
        ("sources.objects.__init__.1", cut_an_object),
        ("sources.clone._ref.1", point_a_branch_at_nothing),
        ("sources.clone._checked.1", take_the_objects),
        ("sources.clone._checked.2", put_a_pipe_among_the_objects),
        ("sources.objects._id.1", commit_without_a_tree),
    ],
)
def test_a_damaged_clone_is_cloned_again(
    refused: Refused, done: Apply, a_clone: Path, home: Path, place: str, spoil: Callable[[Path], None]
) -> None:
    shutil.copytree(a_clone, home / "the origin")
    spoil(a_clone)
    for command in commands(refused(place, CLONE, "lone ").err):  # git fsck, which says what is wrong and mends nothing
        subprocess.run(command, shell=True, cwd=home, check=False, capture_output=True)
    shutil.rmtree(a_clone)
    in_(home, "clone", "-q", str(home / "the origin"), str(a_clone))
    done(CLONE)


def test_another_folder_of_objects_is_named_without_quotes(
    refused: Refused, done: Apply, a_clone: Path, home: Path
) -> None:
    other = shutil.move(a_clone / ".git/objects", home / "the objects")
    put(a_clone, {".git/objects/info/alternates": f'"{other}"\n'.encode()})
    refused("sources.clone._stores.1", CLONE, "Write it there without quotes")
    put(a_clone, {".git/objects/info/alternates": f"{other}\n".encode()})
    done(CLONE)


@pytest.mark.parametrize(
    ("place", "entry"), [("sources.objects._odd.1", ".git/x"), ("tree.stage.write.1", "docs/features")]
)
def test_another_revision_is_named_than_one_that_cannot_be_written(
    refused: Refused, done: Apply, a_clone: Path, place: str, entry: str
) -> None:
    link = in_(a_clone, "hash-object", "-w", "--stdin", data=b"vllm")
    folder, name = entry.split("/")
    inner = in_(a_clone, "mktree", data=f"120000 blob {link}\t{name}\n".encode())
    kept = [line for line in in_(a_clone, "ls-tree", "main").splitlines() if not line.endswith("\tdocs")]
    lines = [*kept, f"040000 tree {inner}\t{folder}"]
    raw = b"".join(
        f"{line.split()[0].lstrip('0')} {line.partition(chr(9))[2]}\0".encode() + bytes.fromhex(line.split()[2])
        for line in sorted(lines, key=lambda line: line.partition("\t")[2])
    )
    tree = in_(a_clone, "hash-object", "-t", "tree", "--literally", "-w", "--stdin", data=raw)
    in_(a_clone, "tag", "odd", in_(a_clone, "commit-tree", "-m", "x", tree))
    refused(place, CLONE.replace("main", "odd"), "Name a")
    done(CLONE)


@pytest.mark.parametrize(
    ("place", "git"),
    [
        ("sources.git._binary.1", None),
        ("sources.git.need_git.1", "echo git version 1.8.0"),
        ("sources.git.run.1", "sleep 5"),
    ],
)
def test_without_a_git_that_answers_a_release_is_named(
    refused: Refused, done: Apply, a_clone: Path, home: Path, place: str, git: str | None
) -> None:
    put(home / "bin", {"x": b""} if git is None else {"git": f"#!/bin/sh\nPATH=/usr/bin:/bin\n{git}\n".encode()})
    for file in (home / "bin").iterdir():
        file.chmod(0o755)
    env = {"PATH": str(home / "bin")}
    refused(place, CLONE, "Check the network" if git == "sleep 5" else "or name a release", env=env,
            set_={"kvroles.sources.git._DEADLINE_S": 0.1})  # fmt: skip
    done("--vllm-rev 0.22.1 --output new", env=env)


@pytest.mark.parametrize("online", [False, True])
def test_a_local_clone_is_named_where_an_address_cannot_be_reached(
    refused: Refused, done: Apply, a_clone: Path, online: bool
) -> None:
    place = f"sources.upstream._fetched.{2 if online else 1}"
    address = "--upstream https://127.0.0.1:9/x --vllm-rev main --output 'a new one'"
    refused(place, address, "or name a local clone with --upstream", online=online)
    done(CLONE)


# Archives and folders of one revision.


def test_an_archive_of_another_commit_is_asked_for_that_one(
    refused: Refused, done: Apply, a_clone: Path, home: Path
) -> None:
    in_(a_clone, "archive", "--prefix=vllm/", "--output", str(home / "an archive.tar.gz"), "main")
    asked = "--upstream 'an archive.tar.gz' --output 'a new one' --vllm-rev"
    refused("sources.snapshot.need.1", f"{asked} 0000000", "Name that one")
    done(f"{asked} {in_(a_clone, 'rev-parse', 'main')}")


@pytest.mark.parametrize(
    ("place", "spoil"),
    [("sources.snapshot._of_archive.1", lambda data: data[:-100]), ("sources.snapshot._bytes.3", lambda _: b"PK\3\4")],
    ids=["cut", "a zip"],
)
def test_an_archive_that_cannot_be_read_is_downloaded_again(
    refused: Refused, done: Apply, tiny: Tiny, home: Path, place: str, spoil: Callable[[bytes], bytes]
) -> None:
    good = tiny.archive().read_bytes()
    asked = "--upstream 'an archive.tar.gz' --output 'a new one'"
    put(home, {"an archive.tar.gz": spoil(good)})
    refused(place, asked, "Download it again, as tar.gz")
    put(home, {"an archive.tar.gz": good})
    done(asked)


def test_a_pipe_in_a_folder_of_sources_is_moved_away(refused: Refused, done: Apply, here: Path, home: Path) -> None:
    os.mkfifo(here / "a pipe")
    refused("sources.snapshot._member.1", "--upstream 'a tree' --output 'a new one'", "Move it away")
    (here / "a pipe").rename(home / "a pipe")
    done("--upstream 'a tree' --output 'a new one'")


def test_a_folder_with_a_file_too_large_to_be_copied_is_patched_where_it_lies(
    refused: Refused, done: Apply, here: Path
) -> None:
    with (here / "large").open("wb") as f:
        f.truncate(archive.MAX_MEMBER + 1)
    asked = "--upstream 'a tree' --output 'a new one'"
    refused("sources.snapshot._too_large.1", asked, "Patch the folder where it lies, with --into")
    done(INTO)


# The cache.


def test_an_archive_is_copied_to_where_the_cache_would_have_it(
    refused: Refused, done: Apply, tiny: Tiny, home: Path
) -> None:
    asked = "--vllm-rev 0.22.1 --output 'a new one' --cache-dir 'a cache'"
    ran = refused("sources.cache._not_cached.1", asked, "or copy the archive there")
    assert f"Expected a cache/archives/{ARCHIVE} with" in ran.said
    (home / "a cache/archives").mkdir(parents=True)
    shutil.copy(tiny.archive(), home / "a cache/archives" / ARCHIVE)
    done(asked)


@pytest.mark.parametrize(("place", "cache"), [("_cached_or_fetched.1", "/proc/none"), ("_cached.2", "'a file'/x")])
def test_another_cache_is_named_than_one_that_cannot_be_used(
    refused: Refused, done: Apply, tiny: Tiny, home: Path, place: str, cache: str
) -> None:
    put(home, {"a file": b""})
    asked = f"--vllm-rev 0.22.1 --output 'a new one' --cache-dir {cache}"
    refused(f"sources.cache.{place}", asked, "with --cache-dir", online=True)
    done(f"--vllm-rev 0.22.1 --output 'a new one' --cache-dir '{tiny.cache}'")


def test_a_cache_that_others_may_write_is_not_shared(refused: Refused, done: Apply, tiny: Tiny, home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder to somebody else needs root")
    shutil.copytree(tiny.cache, home / "a cache")
    for folder in (home / "a cache", home / "a cache/archives"):
        os.chown(folder, 4711, 4711)
        folder.chmod(0o777)
    asked = "--vllm-rev 0.22.1 --output 'a new one' --cache-dir"
    refused("tree.handles._safe.1", f"{asked} 'a cache'", "give each user one of their own: --cache-dir")
    done(f"{asked} '{tiny.cache}'")


@pytest.fixture
def served(index: IndexServer, tiny: Tiny) -> IndexServer:
    """An index that serves the archive of the small 0.22.1."""
    index.serve(ARCHIVE, tiny.archive().read_bytes())
    return index


FETCHED = "--vllm-rev 0.22.1 --output 'a new one' --cache-dir 'a cache' --index-url"


def test_a_link_in_the_cache_is_deleted_by_the_command_that_is_named(
    refused: Refused, done: Apply, served: IndexServer, home: Path
) -> None:
    (home / "a cache/archives").mkdir(parents=True, mode=0o700)
    (home / "a cache/archives" / ARCHIVE).symlink_to("/dev/null")
    ran = refused("sources.cache._cached.1", f"{FETCHED} {served.url}", "Look at it, then delete it", online=True)
    run(*commands(ran.err), home)
    done(f"{FETCHED} {served.url}", online=True)


def test_a_run_that_fetches_for_too_long_is_ended(
    refused: Refused, done: Apply, served: IndexServer, home: Path
) -> None:
    (home / "a cache/archives").mkdir(parents=True, mode=0o700)
    with (home / "a cache/archives" / f".{ARCHIVE}.lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        waits = {"kvroles.sources.cache._WAIT_S": -1.0}
        refused(
            "sources.cache._one_fetcher.1", f"{FETCHED} {served.url}", "End it and run again", online=True, set_=waits
        )
    done(f"{FETCHED} {served.url}", online=True)


def test_another_cache_is_named_than_one_that_cannot_hold_the_objects_of_an_address(
    refused: Refused, done: Apply, a_clone: Path, home: Path
) -> None:
    mirror = f'[url "file://{a_clone}"]\n insteadOf = https://localhost/x\n[protocol "file"]\n allow = always\n'
    put(home, {".gitconfig": mirror.encode()})
    env = {"HOME": str(home)}
    address = "--upstream https://localhost/x --vllm-rev main --output 'a new one' --cache-dir"
    refused("sources.upstream._objects_of.1", f"{address} /proc/none", "another with --cache-dir", online=True, env=env)
    done(f"{address} 'a cache'", online=True, env=env)


def test_another_file_is_named_than_one_that_cannot_be_opened_or_is_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = made(monkeypatch)
    (home / "a loop").symlink_to("a loop")
    os.mkfifo(home / "a pipe")
    put(home, {"a file": b"x"})
    for name, says in (("a loop", "Name another file"), ("a pipe", "Name a file that can be read")):
        with pytest.raises(NoSource, match=says), handles.given(home / name):
            pass
    assert places == ["tree.handles.given.1", "tree.handles.given.2"]
    with handles.given(home / "a file") as f:
        assert f.read() == b"x"


def test_a_user_without_a_home_sets_one(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    places = made(monkeypatch)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError))
    with pytest.raises(Exception, match="Set HOME"):
        default_cache_dir()
    assert places == ["places.default_cache_dir.1"]
    monkeypatch.setenv("HOME", str(home))
    assert default_cache_dir() == home / ".cache/vllm-kv-roles"


# The index.


def odd(body: bytes, kind: str) -> answers.Answer:
    return lambda r: r.reply(200, body, Content_Type=kind)


PAGE, FILE, JSON = "/simple/vllm/", f"/files/{ARCHIVE}", "application/vnd.pypi.simple.v1+json"
FAULTS = [
    ("attempts.retrying.1", PAGE, answers.moved("gopher://x/")),
    ("attempts.retrying.2", PAGE, answers.status(404)),
    ("attempts.retrying.4", PAGE, answers.status(503)),
    ("attempts.retrying.2", FILE, answers.status(404)),
    ("index.files.1", PAGE, odd(b"%PDF", "application/pdf")),
    ("index.files.2", PAGE, answers.json_page([(ARCHIVE, "file:///etc/passwd")])),
    ("index.locate.1", PAGE, answers.json_page([(ARCHIVE, "gopher://x/y")])),
    ("index.locate.2", PAGE, answers.json_page([])),
    ("cache._fetch.1", PAGE, answers.json_page([])),
    ("cache._fetch.2", FILE, None),  # of the right size
]


@pytest.mark.parametrize(("place", "path", "fault"), FAULTS, ids=[f"{f[0]} {f[1]}" for f in FAULTS])
def test_another_index_is_named_than_one_that_does_not_serve_it(
    refused: Refused, done: Apply, served: IndexServer, place: str, path: str, fault: answers.Answer | None, tiny: Tiny
) -> None:
    served.on(path, fault or answers.file(bytes(tiny.row().archive.size)))
    says = "Do not use that file" if place.endswith("_fetch.2") else "ame an index with --index-url or PIP_INDEX_URL"
    refused(f"sources.{place}", f"{FETCHED} {served.url}", says, online=True, set_=IMPATIENT)
    with IndexServer() as other:
        other.serve(ARCHIVE, tiny.archive().read_bytes())
        done(f"{FETCHED} {other.url}", online=True)


def test_an_index_is_named_by_an_address(refused: Refused, done: Apply, served: IndexServer) -> None:
    refused("sources.index._index.1", f"{FETCHED} 'no address'", "Name an index with --index-url", online=True)
    done(f"{FETCHED} {served.url}", online=True)


@pytest.mark.parametrize(
    ("place", "env"),
    [("_certificates.1", {"PIP_CERT": "/no/such.pem"}), ("_check_proxies.1", {"https_proxy": "http://a b"})],
)
def test_a_setting_of_the_network_that_is_none_is_unset(
    refused: Refused, done: Apply, served: IndexServer, place: str, env: dict[str, str]
) -> None:
    secure = served.url.replace("http:", "https:")
    refused(f"sources.http.{place}", f"{FETCHED} {secure}", "or unset it", online=True, env=env, set_=IMPATIENT)
    done(f"{FETCHED} {served.url}", online=True)


def test_without_pip_the_index_stands_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    places = made(monkeypatch)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setattr(index_module, "_pips", list)
    with pytest.raises(Exception, match="or PIP_INDEX_URL"):
        index_module.default_index()
    assert places == ["sources.index.default_index.1"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    assert index_module.default_index() == "https://index.example/simple"


# Trees that another run is in, or was.


def journal(here: Path, text: str) -> None:
    put(here, {".kv-roles/journal.json": text.encode()})


STEP = {"path": UTILS, "before": "0", "after": "1", "staged": "0"}


@pytest.mark.parametrize(
    ("place", "text"),
    [("_finish.1", "{"), ("_finish.2", json.dumps({"steps": [STEP], "receipt": False}))],
)
def test_a_journal_that_cannot_be_followed_is_deleted_by_the_command_that_is_named(
    refused: Refused, done: Apply, here: Path, home: Path, place: str, text: str
) -> None:
    journal(here, text)
    run(*commands(refused(f"tree.journal.{place}", INTO, "rm -r -- ").err), home)
    assert (here / UTILS).read_bytes() == pristine("0.22.1")[UTILS]
    done(INTO)


def test_an_interrupted_run_is_finished_without_check(refused: Refused, done: Apply, here: Path) -> None:
    journal(here, json.dumps({"steps": [], "receipt": False}))
    refused("apply.in_place._finish.1", f"{INTO} --check", "Run again without --check")
    done(INTO)
    done(f"{INTO} --check")


def test_a_run_that_writes_for_too_long_is_ended(refused: Refused, done: Apply, here: Path) -> None:
    fd = os.open(here, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    refused("tree.writer._busy.1", INTO, "or end it, and run again", set_={"kvroles.tree.writer._WAIT_S": -1.0})
    os.close(fd)
    done(INTO)


def test_another_folder_is_named_than_one_that_came_to_hold_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = made(monkeypatch)

    def staged() -> stage.Staged:
        return stage.write_members(iter([Member("x", False, 0, b"x")]), home / "s", lambda *_: False, lambda _: None)

    put(home / "a new one", {"mine": b""})
    with pytest.raises(DoesNotApply, match="Choose another folder with --output"):
        stage.put_in_place(staged(), home / "a new one")
    assert places == ["tree.stage.put_in_place.2"]
    stage.put_in_place(staged(), home / "another one")
    assert (home / "another one/x").read_bytes() == b"x"


def test_a_merged_file_is_taken_out_by_the_command_that_is_named(
    refused: Refused, done: Apply, here: Path, home: Path
) -> None:
    data = pristine("0.22.1")[UTILS] + b"\n\n\n\n\n# ours\n"
    put(here, {UTILS: data})
    done(f"{INTO} --3way")
    receipt = here / ".kv-roles/receipt.json"
    receipt.write_text(receipt.read_text().replace(sha256(data), "0" * 64))
    ran = refused("apply.plan._check_merged.1", f"{INTO} --reverse", "Take it out by merging")
    done(ran.fix().partition(".py ")[2])
    assert (here / UTILS).read_bytes() == data


def test_a_tree_is_made_in_a_folder_of_a_mount_point(refused: Refused, done: Apply, home: Path, mounts: Mounts) -> None:
    mounts.small_disk(home / "a disk", "4m")
    ran = refused("tree.stage.may_take.1", "--vllm-rev 0.22.1 --output 'a disk'", "Name a folder in it")
    done(f"--vllm-rev 0.22.1 {ran.said.partition('with ')[2].rstrip('.')}")


def test_a_tree_is_made_in_a_folder_of_an_empty_one_below_what_is_somebody_else_s(
    tiny: Tiny, home: Path, somebody: tuple[str, ...]
) -> None:
    shutil.copytree(tiny.root.parent, home / "a project", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", str(home)], check=True)
    (home / "empty one").mkdir()
    os.chown(home / "empty one", 12345, 12345)
    asked = ("--vllm-rev", "0.22.1", "--offline", "--cache-dir", home / "a project/cache")
    tool = home / "a project/project/tools/apply.py"
    ran = script(tool, *asked, "--output", home / "empty one", cwd=home, prefix=somebody)
    ran.refused(1, "where you may not write", "Name a folder in it")
    named = shlex.split(ran.said.partition("with ")[2].rstrip("."))
    script(tool, *asked, *named, cwd=home, prefix=somebody).ok()
