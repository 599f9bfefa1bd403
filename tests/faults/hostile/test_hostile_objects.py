"""A clone's objects may be anybody's: damaged, put under another's id, or no tree. None of them changes a byte of what is made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.sources import clone
from support.clones import Making, in_, nothing_left, right, shallow
from support.driver import Ran
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


# What changes the bytes.


def test_a_replaced_object_is_not_taken_for_the_commit_asked_for(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path
) -> None:
    commit = in_(repository, "rev-parse", "HEAD")
    (repository / CONNECTOR).write_text("import os; os.system('id')\n")
    in_(repository, "commit", "-qam", "other")
    in_(repository, "replace", commit, in_(repository, "rev-parse", "HEAD"))
    (repository / ".git/info/grafts").write_text(f"{commit}\n")
    making(repository).ok()
    right(tmp_path / "new", tiny)
    assert json.loads((tmp_path / "new/.kv-roles/receipt.json").read_text())["revision"] == commit


@pytest.mark.parametrize("whose", ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"])
def test_settings_of_the_user_do_not_change_the_bytes(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path, whose: str
) -> None:
    (tmp_path / "attributes").write_text("* text eol=crlf ident\n")
    (tmp_path / "config").write_text(
        f"[core]\n\tattributesFile = {tmp_path}/attributes\n\tautocrlf = true\n[alias]\n\tcat-file = !false\n"
    )
    env = {whose: str(tmp_path / "config"), "GIT_DIR": "/nowhere", "GIT_OBJECT_DIRECTORY": "/nowhere"}
    making(repository, env=env).ok()
    right(tmp_path / "new", tiny)


def hidden_under(repository: Path, id_: str, kind: str, data: bytes) -> None:
    """Put an object with these bytes where the object ``id_`` lies."""
    file = repository / ".git/objects" / id_[:2] / id_[2:]
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(zlib.compress(f"{kind} {len(data)}\0".encode() + data))


@pytest.mark.parametrize("what", ["HEAD", "HEAD^{tree}", f"HEAD:{CONNECTOR}", "HEAD:vllm"])
def test_other_bytes_under_an_id_are_refused(making: Making, repository: Path, tmp_path: Path, what: str) -> None:
    id_ = in_(repository, "rev-parse", what)
    kind = in_(repository, "cat-file", "-t", id_)
    data = (
        subprocess.run(
            ["git", "-C", str(repository), "cat-file", kind, id_], capture_output=True, check=True
        ).stdout.replace(b"0", b"1")
        + b"\n"
    )
    hidden_under(repository, id_, kind, data)
    making(repository).refused(4, "is damaged")
    nothing_left(tmp_path)


# What is damaged, or no tree.


@pytest.mark.parametrize("kind", ["missing", "cut", "empty", "pack"])
def test_a_damaged_clone_gives_no_tree(making: Making, repository: Path, tmp_path: Path, kind: str) -> None:
    id_ = in_(repository, "rev-parse", f"HEAD:{CONNECTOR}")
    file = repository / ".git/objects" / id_[:2] / id_[2:]
    if kind == "pack":
        in_(repository, "gc", "-q")
        pack = next((repository / ".git/objects/pack").glob("*.pack"))
        pack.chmod(0o644)
        data = bytearray(pack.read_bytes())
        data[200:-40] = bytes(len(data) - 240)
        pack.write_bytes(data)
    else:
        file.chmod(0o644)
        {
            "missing": file.unlink,
            "cut": lambda: file.write_bytes(file.read_bytes()[:20]),
            "empty": lambda: file.write_bytes(b""),
        }[kind]()
    ran = making(repository).refused(4)
    assert "is damaged" in ran.said or "lacks" in ran.said
    nothing_left(tmp_path)


def test_a_pipe_among_the_objects_is_not_waited_for(making: Making, repository: Path, tmp_path: Path) -> None:
    id_ = in_(repository, "rev-parse", f"HEAD:{CONNECTOR}")
    file = repository / ".git/objects" / id_[:2] / id_[2:]
    file.unlink()
    os.mkfifo(file)
    making(repository).refused(4, "is a device or a pipe")
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["HEAD", "refs/tags/v0.22.1", "packed-refs", "config", "commondir"])
def test_a_pipe_in_place_of_a_ref_is_not_waited_for(making: Making, repository: Path, name: str) -> None:
    file = repository / ".git" / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    assert making(repository).code in (0, 2, 4)


def tree_of(repository: Path, *entries: tuple[str, bytes, str]) -> str:
    """A commit whose tree has these (mode, name, id), as no git would make it."""
    data = b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(id_) for mode, name, id_ in entries)
    id_ = hashlib.sha1(f"tree {len(data)}\0".encode() + data).hexdigest()
    hidden_under(repository, id_, "tree", data)
    return in_(repository, "commit-tree", id_, "-m", "x")


@pytest.mark.parametrize(
    "names",
    [[b".."], [b"."], [b""], [b".git"], [b".GIT"], [b".kv-roles"], [b"a/c"], [b"../../x"], [b"a", b"a"]],
    ids=repr,
)
def test_no_name_in_a_tree_leads_out_of_it(
    making: Making, repository: Path, tmp_path: Path, names: list[bytes]
) -> None:
    blob = in_(repository, "hash-object", "-w", "--stdin", data=b"x")
    making(repository, rev=tree_of(repository, *[("100644", n, blob) for n in names])).refused(
        4, "none that can be written"
    )
    nothing_left(tmp_path)


@pytest.mark.parametrize("mode", ["999999", "", "x", "0", "77777777777"])
def test_a_mode_that_is_none_is_read_as_git_reads_it(
    making: Making, repository: Path, tmp_path: Path, mode: str
) -> None:
    blob = in_(repository, "hash-object", "-w", "--stdin", data=b"x")
    assert making(repository, rev=tree_of(repository, (mode, b"a", blob))).code in (1, 4)
    nothing_left(tmp_path)


def test_a_link_and_a_folder_of_one_name_are_refused(making: Making, repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = in_(repository, "hash-object", "-w", "--stdin", data=str(outside).encode())
    below = in_(repository, "rev-parse", "HEAD:vllm")
    making(repository, rev=tree_of(repository, ("120000", b"vllm", link), ("40000", b"vllm", below))).refused(4)
    assert list(outside.iterdir()) == []
    nothing_left(tmp_path)


def test_a_tree_of_a_thousand_trees_does_not_fill_the_memory(making: Making, repository: Path, tmp_path: Path) -> None:
    id_ = in_(repository, "hash-object", "-w", "--stdin", data=b"x")
    mode = "100644"
    for _ in range(40):
        data = b"".join(f"{mode} ".encode() + n + b"\0" + bytes.fromhex(id_) for n in (b"a", b"b", b"c", b"d"))
        id_, mode = hashlib.sha1(f"tree {len(data)}\0".encode() + data).hexdigest(), "40000"
        hidden_under(repository, id_, "tree", data)
    making(repository, rev=in_(repository, "commit-tree", id_, "-m", "x")).refused(4, "holds more than")
    nothing_left(tmp_path)


def test_a_tag_of_a_tree_is_no_commit(making: Making, repository: Path, tmp_path: Path) -> None:
    in_(repository, "tag", "t", "HEAD^{tree}")
    in_(repository, "tag", "-a", "-m", "x", "u", "HEAD^{tree}")
    for rev in ("t", "u", "HEAD^{tree}"):
        assert making(repository, rev=rev).code == (2 if "^" in rev else 4)
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["HEAD", "refs/tags/v0.22.1", "refs/heads/main"])
def test_a_damaged_name_is_not_taken_for_one_that_is_not_there(
    making: Making, repository: Path, tmp_path: Path, name: str
) -> None:
    for text in ("zzz\n", ""):  # a file of no bytes is what a power cut leaves
        (repository / ".git" / name).write_text(text)
        making(repository, rev="v0.22.1" if "tags" in name else "HEAD").refused(4, "is a damaged clone", "fsck")
    nothing_left(tmp_path)


def test_a_whole_id_that_is_not_there_is_not_taken_for_damage(making: Making, repository: Path, tmp_path: Path) -> None:
    making(repository, rev="0" * 39 + "1").refused(2, "has no tag, branch or commit", "fetch")
    nothing_left(tmp_path)


def test_a_repository_without_a_commit_is_refused_for_a_name(making: Making, tmp_path: Path) -> None:
    in_(tmp_path, "init", "-q", "-b", "main", "empty")
    for rev in ("main", "HEAD"):
        making(tmp_path / "empty", rev=rev).refused(4, "holds no commit yet")
    nothing_left(tmp_path)


def test_what_lacks_an_object_says_how_it_comes_by_it(making: Making, repository: Path, tmp_path: Path) -> None:
    first = in_(repository, "rev-parse", "HEAD")
    place = shallow(repository, tmp_path / "shallow")
    making(place, rev=first).refused(4, "lacks", "fetch --unshallow")
    id_ = in_(repository, "rev-parse", f"HEAD:{CONNECTOR}")
    (repository / ".git/objects" / id_[:2] / id_[2:]).unlink()
    making(repository).refused(4, "lacks", "fsck")
    nothing_left(tmp_path)


def test_an_abbreviated_id_is_one_object_s_or_refused(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path
) -> None:
    id_ = in_(repository, "rev-parse", "v0.22.1^{commit}")
    making(repository, rev=id_[:6].upper()).ok()
    right(tmp_path / "new", tiny)
    shutil.rmtree(tmp_path / "new")
    seen: dict[str, bytes] = {}
    for data in (str(n).encode() for n in range(10_000)):
        short = hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()[:4]
        if short in seen:
            break
        seen[short] = data
    for twin in (seen[short], data):
        (tmp_path / "twin").write_bytes(twin)
        in_(repository, "hash-object", "-w", str(tmp_path / "twin"))
    assert making(repository, rev=short).refused(2, "several objects", "more digits")
    nothing_left(tmp_path)


def test_a_bundle_is_no_clone(making: Making, repository: Path, tmp_path: Path) -> None:
    in_(repository, "bundle", "create", "-q", str(tmp_path / "a.bundle"), "HEAD")
    making(tmp_path / "a.bundle").refused(4, "is a bundle", "git clone --bare")
    nothing_left(tmp_path)


def test_a_commit_without_nixl_leaves_no_tree(making: Making, repository: Path, tmp_path: Path) -> None:
    in_(repository, "rm", "-qr", "--cached", "vllm/distributed")
    in_(repository, "commit", "-qm", "x")
    making(repository, rev="main").refused(1)
    nothing_left(tmp_path)


def _ring(repository: Path, other: Path) -> None:
    for here, there in ((repository, other), (other, repository)):
        (here / ".git/objects/info").mkdir(parents=True, exist_ok=True)
        (here / ".git/objects/info/alternates").write_text(f"{there}/.git/objects\n")


def _long(file: Path) -> None:
    """``file`` with four terabytes of nothing behind it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as f:
        f.truncate(1 << 42)


LAYOUTS: dict[str, tuple[int, Callable[[Path, Path], object]]] = {
    "a git directory that names itself": (4, lambda at, _: _instead(at, "gitdir: .git\n")),
    "a git directory of a thousand folders": (4, lambda at, _: _instead(at, f"gitdir: {'/a' * 5000}\n")),
    "a git directory with a zero byte": (4, lambda at, _: _instead(at, "gitdir: /tmp\0/x\n")),
    "a common directory that is itself": (0, lambda at, _: (at / ".git/commondir").write_text(".\n")),
    "two clones that borrow from each other": (0, _ring),
    "a list of borrowed objects without an end": (
        4, lambda at, _: (at / ".git/objects/info/alternates").symlink_to("/dev/zero")
    ),
    "packed names of four terabytes": (0, lambda at, _: _long(at / ".git/packed-refs")),
    "a name with four terabytes behind it": (0, lambda at, _: _long(at / ".git/refs/tags/v0.22.1")),
    "a name of four terabytes": (
        4, lambda at, _: ((at / ".git/refs/tags/v0.22.1").unlink(), _long(at / ".git/refs/tags/v0.22.1"))
    ),
    "two branches that stand for each other": (
        2, lambda at, _: [(at / ".git/refs/tags" / n).write_text(f"ref: refs/tags/{m}\n") for n, m in (("v0.22.1", "b"), ("b", "v0.22.1"))]
    ),
}  # fmt: skip


def _instead(repository: Path, text: str) -> None:
    shutil.rmtree(repository / ".git")
    (repository / ".git").write_text(text)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_clone_that_goes_round_in_a_ring_or_never_ends_holds_no_run(
    making: Making, repository: Path, tmp_path: Path, name: str
) -> None:
    """Each ends within the time of a test, as the commit that was asked for or in words."""
    in_(tmp_path, "init", "-q", "other")
    code, lay = LAYOUTS[name]
    lay(repository, tmp_path / "other")
    ran = making(repository)
    assert (ran.code, "Traceback" in ran.err) == (code, False), ran
    assert len(ran.err) < 2000
    if code:
        assert not (tmp_path / "new").exists()


def test_a_hundred_thousand_tags_do_not_hold_a_refusal(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = "1" * 40
    lines = "".join(f"{id_} refs/tags/v0.22.{n}\n" for n in range(100_000))
    (repository / ".git/packed-refs").write_text(lines)
    sorted_: list[str] = []
    real = clone._by_number
    monkeypatch.setattr(clone, "_by_number", lambda name: (sorted_.append(name), real(name))[1])
    assert clone.at(repository).tags_like("v0.22.x")[0] == "v0.22.99999"
    assert len(sorted_) <= 10_000


@pytest.mark.parametrize(
    "name", ["HEAD", "refs/tags/v0.22.1", "packed-refs", "config", "commondir", "objects/info/alternates"]
)
def test_a_file_of_a_clone_that_is_a_link_to_a_secret_does_not_show_it(
    making: Making, repository: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "token").write_text("s3cret-of-the-user\n")
    file = repository / ".git" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to(tmp_path / "token")
    for revision in ("HEAD", "v0.22.1", "zz"):
        ran = making(repository, "--vllm-rev", revision)
        assert "s3cret" not in ran.out + ran.err, ran
