"""A clone, its settings, its objects and the cache may be anybody's: a run takes checked objects from it, and runs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.errors import NoSource
from kvroles.sources import address, clone, git, upstream
from support.driver import Ran, script
from support.tiny import CONNECTOR, SCRIPT, Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


def in_(folder: Path, *args: str, data: bytes | None = None) -> str:
    """``git ARGS`` in ``folder``, by nobody's settings."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always", "-c", "gc.auto=0")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *args], input=data, env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tiny: Tiny, tmp_path: Path) -> Path:
    """The small 0.22.1 as a repository, tagged; a link, a submodule and an LFS pointer in it."""
    folder = tiny.unpack(tmp_path / "a clone")
    (folder / "link").symlink_to("vllm")
    (folder / "picture.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    in_(folder, "init", "-q", "-b", "main")
    in_(folder, "add", "-Af", ".")
    in_(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},third_party/sub")
    in_(folder, "commit", "-q", "-m", "x")
    in_(folder, "tag", "v0.22.1")
    return folder


@pytest.fixture
def making(apply: Apply, tmp_path: Path) -> Callable[..., Ran]:
    """``making(upstream)``: apply.py on its tag v0.22.1 (or ``rev``), into ``new``, with a cache of its own."""

    def run(where: Path | str, *argv: str, rev: str = "v0.22.1", **kw: object) -> Ran:
        out = ("--output", tmp_path / "new", "--cache-dir", tmp_path / "cache")
        return apply("--upstream", where, "--vllm-rev", rev, *out, *argv, cwd=tmp_path, **kw)

    return run


Making = Callable[..., Ran]


def right(tree: Path, tiny: Tiny) -> None:
    """``tree`` is what the series makes of the small 0.22.1."""
    for path, data in tiny.applied().items():
        assert (tree / path).read_bytes() == data, path
    assert (tree / SCRIPT).stat().st_mode & 0o777 == 0o755


def nothing_left(tmp_path: Path) -> None:
    assert not (tmp_path / "new").exists()
    assert not [p for p in tmp_path.iterdir() if "kv-roles" in p.name]


# What the clone is set to run.


def set_everything(folder: Path, canary: Path) -> None:
    """Every setting of git that runs something, or that changes what is read, set in the clone ``folder``."""
    touch = f"touch '{canary}'; cat"
    run = folder.parent / "run.sh"
    run.write_text(f"#!/bin/sh\ntouch '{canary}'\ncat\n")
    run.chmod(0o755)
    settings = {
        "core.sshCommand": touch,
        "core.fsmonitor": str(run),
        "core.hooksPath": str(folder.parent / "hooks"),
        "core.pager": touch,
        "core.editor": touch,
        "core.askPass": str(run),
        "core.gitProxy": str(run),
        "core.alternateRefsCommand": touch,
        "core.attributesFile": str(folder.parent / "attributes"),
        "core.autocrlf": "true",
        "core.eol": "crlf",
        "core.worktree": "/",
        "core.useReplaceRefs": "true",
        "sequence.editor": touch,
        "credential.helper": f"!{touch}",
        "diff.external": str(run),
        "diff.x.textconv": touch,
        "diff.x.command": str(run),
        "filter.x.smudge": touch,
        "filter.x.clean": touch,
        "filter.x.process": touch,
        "filter.x.required": "true",
        "merge.x.driver": touch,
        "gpg.program": str(run),
        "gpg.ssh.program": str(run),
        "alias.cat-file": f"!{touch}",
        "alias.fetch": f"!{touch}",
        "alias.config": f"!{touch}",
        "pager.cat-file": touch,
        "protocol.ext.allow": "always",
        "uploadpack.packObjectsHook": touch,
        "remote.origin.url": f"ext::{run}",
        "remote.origin.vcs": "ext",
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": touch,
        "remote.origin.proxy": "http://127.0.0.1:1",
        "extensions.partialClone": "origin",
        "url.ext::sh -c x.insteadOf": "https://",
        "include.path": str(folder.parent / "more"),
        "includeIf.gitdir:/.path": str(folder.parent / "more"),
        "interactive.diffFilter": touch,
        "trailer.x.command": touch,
        "init.templateDir": str(folder.parent / "hooks"),
        "man.viewer": "x",
        "web.browser": "x",
        "log.showSignature": "true",
    }
    (folder.parent / "more").write_text(f"[core]\n\tsshCommand = {touch}\n\tfsmonitor = {run}\n")
    (folder.parent / "attributes").write_text("* filter=x diff=x merge=x text eol=crlf ident\n")
    hooks = folder.parent / "hooks"
    for place in (hooks, folder / ".git/hooks"):
        place.mkdir(exist_ok=True)
        for name in (
            "post-checkout",
            "post-index-change",
            "reference-transaction",
            "pre-auto-gc",
            "fsmonitor-watchman",
        ):
            shutil.copy(run, place / name)
    (folder / ".git/info/attributes").write_text("* filter=x diff=x merge=x text eol=crlf ident export-ignore\n")
    with open(folder / ".git/config", "a") as config:
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            kind, _, sub = section.partition(".")
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            inner = f' "{sub}"' if sub else ""
            config.write(f'[{kind}{inner}]\n\t{name} = "{quoted}"\n')


@pytest.mark.parametrize("form", [(), ("--check",)])
def test_a_clone_s_settings_run_no_command(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path, form: tuple[str, ...]
) -> None:
    canary = tmp_path / "canary"
    set_everything(repository, canary)
    assert making(repository, *form).code == 0
    assert not canary.exists()
    if not form:
        right(tmp_path / "new", tiny)
        assert (tmp_path / "new/link").readlink() == Path("vllm")
        assert b"oid sha256:00\n" in (tmp_path / "new/picture.bin").read_bytes()
        assert list((tmp_path / "new/third_party/sub").iterdir()) == []


def test_a_partial_clone_s_settings_run_no_command_when_it_lacks_a_file(
    making: Making, repository: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    lost = in_(repository, "rev-parse", "HEAD:README.md")
    (repository / ".git/objects" / lost[:2] / lost[2:]).unlink()
    set_everything(repository, canary)
    making(repository, online=True).refused(4, "lacks README.md")
    assert not canary.exists()
    nothing_left(tmp_path)


def test_no_call_of_git_runs_anything_of_a_clone(repository: Path, tmp_path: Path) -> None:
    """The calls one by one, from inside the clone as well."""
    canary = tmp_path / "canary"
    set_everything(repository, canary)
    code = (
        "import sys; from pathlib import Path; from kvroles.sources import clone, git, upstream\n"
        "there, cache = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "git.need_git(); git.safe_directories(); git.merge(b'a\\n', b'b\\n', b'c\\n'); c = clone.at(there)\n"
        "c.promised_by(); c.tags_like('v0'); git.config_of(there / '.git/config')\n"
        "found = upstream.find(str(there), 'v0.22.1', cache)\n"
        "assert sum(1 for _ in found.members()) > 10; assert upstream.find(str(there), found.sha[:9], cache).sha == found.sha\n"
    )
    command = [sys.executable, "-c", code, str(repository), str(tmp_path / "cache")]
    subprocess.run(command, cwd=repository, check=True)
    assert not canary.exists()


def test_git_is_called_by_one_module_alone() -> None:
    tools = Path(git.__file__).resolve().parents[2]
    for path in tools.rglob("*.py"):
        text = path.read_text()
        assert path.name == "git.py" or '["git"' not in text, path


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


def test_settings_of_the_user_do_not_change_the_bytes(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path
) -> None:
    (tmp_path / "attributes").write_text("* text eol=crlf ident\n")
    (tmp_path / "config").write_text(
        f"[core]\n\tattributesFile = {tmp_path}/attributes\n\tautocrlf = true\n[alias]\n\tcat-file = !false\n"
    )
    env = {"GIT_CONFIG_GLOBAL": str(tmp_path / "config"), "GIT_DIR": "/nowhere", "GIT_OBJECT_DIRECTORY": "/nowhere"}
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
    (repository / ".git" / name).write_text("zzz\n")
    making(repository, rev="v0.22.1" if "tags" in name else "HEAD").refused(4, "is a damaged clone", "fsck")
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


# Every layout of a clone.


def packed(repository: Path, _: Path) -> Path:
    in_(repository, "tag", "-a", "-m", "x", "annotated")
    in_(repository, "gc", "-q")
    in_(repository, "pack-refs", "--all")
    return repository


def bare(repository: Path, to: Path) -> Path:
    in_(repository, "clone", "-q", "--bare", ".", str(to))
    return to


def borrowed(repository: Path, to: Path) -> Path:
    in_(repository, "clone", "-qs", ".", str(to))
    return to


def shallow(repository: Path, to: Path) -> Path:
    in_(repository, "commit", "-q", "--allow-empty", "-m", "y")
    in_(repository, "tag", "-f", "v0.22.1")
    in_(repository, "clone", "-q", "--depth=1", f"file://{repository}", str(to))
    return to


def work_tree(repository: Path, to: Path) -> Path:
    in_(repository, "worktree", "add", "-q", "--detach", str(to))
    return to


def inside(repository: Path, _: Path) -> Path:
    return repository / "vllm" / "distributed"


@pytest.mark.parametrize("layout", [packed, bare, borrowed, shallow, work_tree, inside])
def test_a_clone_of_any_layout_gives_the_same_tree(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path, layout: Callable[[Path, Path], Path]
) -> None:
    place = layout(repository, tmp_path / "a second")
    for rev in (
        "v0.22.1",
        "HEAD",
        in_(repository, "rev-parse", "v0.22.1"),
        in_(repository, "rev-parse", "v0.22.1")[:8],
    ):
        making(place, rev=rev).ok()
        right(tmp_path / "new", tiny)
        shutil.rmtree(tmp_path / "new")


def test_a_clone_of_sha256_is_refused(making: Making, tmp_path: Path) -> None:
    in_(tmp_path, "init", "-q", "--object-format=sha256", "other")
    making(tmp_path / "other").refused(4, "objectformat = sha256")


def test_a_clone_with_reftables_is_refused(making: Making, repository: Path) -> None:
    in_(repository, "config", "core.repositoryFormatVersion", "1")
    in_(repository, "config", "extensions.refStorage", "reftable")
    making(repository).refused(4, "refstorage = reftable")


# Whose clone, whose cache.


def test_somebody_else_s_clone_is_not_trusted(making: Making, repository: Path, tiny: Tiny, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder to somebody else needs root")
    os.chown(repository, 4711, 4711)
    ran = making(repository).refused(4, "dubious ownership", f"git config --global --add safe.directory '{repository}'")
    assert "4711" in ran.said
    nothing_left(tmp_path)
    env = {"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    fix = ran.said[ran.said.index("git config") :].removesuffix(".")
    subprocess.run(["sh", "-c", fix], env={**os.environ, **env}, check=True)
    making(repository, env=env).ok()
    right(tmp_path / "new", tiny)


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[str]:
    """The repository at an address of the git protocol."""
    home = tmp_path / "served"
    home.mkdir()
    in_(repository, "clone", "-q", "--bare", ".", str(home / "vllm.git"))
    in_(home / "vllm.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    in_(home / "vllm.git", "config", "uploadpack.allowFilter", "true")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        "git",
        "daemon",
        "--export-all",
        f"--base-path={home}",
        "--listen=127.0.0.1",
        f"--port={port}",
        "--reuseaddr",
    ]
    daemon = subprocess.Popen([*command, "--verbose"], stderr=open(tmp_path / "asked", "wb"))  # noqa: SIM115
    for _ in range(1000):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.01)
    yield f"git://127.0.0.1:{port}/vllm.git"
    daemon.terminate()
    daemon.wait()


def test_a_planted_repository_in_a_cache_runs_no_command(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    making(served, online=True).ok()
    shutil.rmtree(tmp_path / "new")
    kept = next((tmp_path / "cache/upstream").iterdir())
    for name in (kept.name, kept.with_suffix(".git").name):
        planted = kept.with_name(name)
        in_(repository, "clone", "-q", ".", str(tmp_path / "planted"))
        set_everything(tmp_path / "planted", canary)
        shutil.copytree(tmp_path / "planted/.git", planted, dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "planted")
    making(served, online=True).ok()
    assert not canary.exists()
    right(tmp_path / "new", tiny)


def test_an_address_is_fetched_once_and_served_offline_by_its_commit(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    making(served, online=True).ok()
    shutil.rmtree(tmp_path / "new")
    making(served, rev=in_(repository, "rev-parse", "HEAD")).ok()
    right(tmp_path / "new", tiny)


def test_a_failed_fetch_leaves_no_repository_in_the_cache(making: Making, served: str, tmp_path: Path) -> None:
    making(served, rev="nosuch", online=True).refused(4, "could not be fetched")
    assert list((tmp_path / "cache/upstream").iterdir()) == []
    nothing_left(tmp_path)


def test_a_blobless_clone_is_fetched_in_one_request(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    partial = tmp_path / "partial"
    in_(repository, "clone", "-q", "--no-checkout", "--filter=blob:none", served, str(partial))
    before = (tmp_path / "asked").read_text().count("Request upload-pack")
    making(partial, online=True).ok()
    right(tmp_path / "new", tiny)
    assert (tmp_path / "asked").read_text().count("Request upload-pack") == before + 1
    shutil.rmtree(tmp_path / "new")
    making(partial).refused(4, "lacks", "could not be fetched", "--filter=blob:limit")
    nothing_left(tmp_path)


def test_a_partial_clone_of_a_clone_here_is_read_from_that(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path
) -> None:
    in_(repository, "config", "uploadpack.allowFilter", "true")
    in_(
        repository,
        "clone",
        "-q",
        "--no-checkout",
        "--filter=blob:none",
        f"file://{repository}",
        str(tmp_path / "partial"),
    )
    making(tmp_path / "partial").ok()
    right(tmp_path / "new", tiny)


def test_the_user_s_own_mirror_is_used(making: Making, served: str, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f'[url "{served}"]\n\tinsteadOf = https://git.invalid/vllm\n')
    making("https://git.invalid/vllm", online=True, env={"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}).ok()
    right(tmp_path / "new", tiny)


def test_no_credential_reaches_a_process_list_or_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("git")
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/lines"\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    for user in ("me:s3cret@", "s3cret@", "s3cret:x@"):
        with pytest.raises(NoSource) as e:
            upstream.find(f"http://{user}127.0.0.1:{port}/x", "main", tmp_path / "cache")
        assert "s3cret" not in str(e.value)
        assert "127.0.0.1" in str(e.value)
    assert "fetch" in (tmp_path / "lines").read_text()
    assert "s3cret" not in (tmp_path / "lines").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "HTTPS://u:s3cret@",
        "u:s3cret@host:path",
        "https:/u:s3cret@host/x",
        "https://u:s3/cret@host/x",
        "u:s3cret@host",
        "https://host/x?token=s3cret",
        "ext::sh -c 's3cret'",
        "ftp://u:s3cret@h/x",
        "https://u:s3cret@h:0/x",
        "https://u:s3cret@h /x",
        "-s3cret@h:x",
        "file://u:s3cret@h/x",
    ],
)
def test_an_address_that_is_none_keeps_its_password(tiny: Tiny, tmp_path: Path, url: str) -> None:
    ran = script(tiny.apply, f"--upstream={url}", "--vllm-rev=main", cwd=tmp_path)
    assert ran.code in (2, 4)
    assert "Traceback" not in ran.err
    assert "s3" not in ran.out + ran.err.replace("user's", "")
    assert "cret" not in ran.out + ran.err
    assert address.of_repository(url) is None


def test_a_git_of_the_current_folder_is_not_run(repository: Path, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\ntouch '{tmp_path}/canary'\n")
    (tmp_path / "git").chmod(0o755)
    env = {**os.environ, "PATH": f":.:{os.environ['PATH']}"}
    argv = ("--upstream", repository, "--vllm-rev", "v0.22.1", "--output", "new")
    script(tiny.apply, *argv, cwd=tmp_path, env=env).ok()
    assert not (tmp_path / "canary").exists()
    assert clone.at(repository).private == repository / ".git"


@pytest.mark.parametrize("way", ["named", "named in turn", "in a circle", "in quotes"])
def test_a_pipe_among_the_objects_that_a_clone_borrows_is_waited_for_without_end(
    making: Making, repository: Path, tmp_path: Path, way: str
) -> None:
    lent, between = tmp_path / "lent", tmp_path / "between"
    id_ = in_(repository, "rev-parse", f"HEAD:{CONNECTOR}")
    own = repository / ".git/objects"
    (own / id_[:2] / id_[2:]).unlink()
    for folder in (lent / id_[:2], lent / "info", between / "info"):
        folder.mkdir(parents=True)
    os.mkfifo(lent / id_[:2] / id_[2:])
    (between / "info/alternates").write_text(f"# a note\n{lent}\n")
    if way == "in a circle":
        (lent / "info/alternates").write_text(f"{between}\n")
    named = {"named": f"{lent}", "in quotes": f'"{lent}"'}.get(way, os.path.relpath(between, own))
    (own / "info/alternates").write_text(f"{named}\n")
    making(repository).refused(4, "in quotes" if way == "in quotes" else "is a device or a pipe")
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["SUDO_UID", "GIT_CONFIG_COUNT"])
@pytest.mark.parametrize("value", ["9" * 5000, "\u00b2", "-1", "x"])
def test_a_number_of_the_environment_that_is_none_is_no_traceback(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert clone.at(repository).objects.is_dir()
    git.need_git()
    git.fetching({})


def test_a_tag_of_a_thousand_digits_is_no_traceback(repository: Path) -> None:
    with (repository / ".git/packed-refs").open("a") as f:
        f.write(f"{'0' * 40} refs/tags/v0.22.{'9' * 5000}\n")
    assert len(clone.at(repository).tags_like("0.22.7")) > 0
