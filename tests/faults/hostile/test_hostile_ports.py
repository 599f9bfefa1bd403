"""What the maintainers' tools read and write: a tree, an archive or a commit that anybody made, and a disk that fills up."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clones import in_, set_everything
from support.driver import Ran
from support.tiny import OVERLAY, Tiny, next_series

pytestmark = pytest.mark.slow

Run = Callable[..., Ran]
MAY = (0, 1, 2, 3, 4)


@pytest.fixture
def project(tiny: Tiny, tmp_path: Path) -> Tiny:
    """A project of its own, in a folder with a blank in its name."""
    own = tiny.copy(tmp_path / "a project")
    (own.root / "docs/data").mkdir(parents=True)
    (own.root / "docs/data/unit_runs.json").write_text('{"schema": 1, "releases": {}}')
    return own


@pytest.fixture
def run(project: Tiny, tmp_path: Path) -> Run:
    """``run("port", ...)``: a tool of the project in ``tmp_path``, without the network; ``before`` runs in its process."""

    def ran(tool: str, *argv: str | Path, before: Callable[[], object] | None = None, **env: str) -> Ran:
        command = [sys.executable, project.root / f"tools/{tool}.py", *argv, "--offline", "--cache-dir", project.cache]
        done = subprocess.run(
            [*map(str, command)], cwd=tmp_path, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60, check=False, preexec_fn=before,
        )  # fmt: skip
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert "Traceback" not in err, err
        assert done.returncode in MAY, (done.returncode, err)
        assert "\x1b" not in out + err
        return Ran(done.returncode, out, err)

    return ran


@pytest.mark.parametrize(
    "stated",
    [b"\xff", b"../../../x", b"nonsense", b"9" * 5000, b"0.22.1\x1b[2J", b"0.22.1+../../x", b"\xe2\x80\xae0.22.1"],
)
def test_a_tree_that_says_it_is_no_release_ends_a_port_in_a_traceback(
    project: Tiny, run: Run, tmp_path: Path, stated: bytes
) -> None:
    tree = project.unpack(tmp_path / "tree")
    (tree / "PKG-INFO").write_bytes(b"Name: vllm\nVersion: " + stated + b"\n")
    ran = run("port", "--to", "tree", "--check")
    assert (ran.code, ran.said) == (2, "port.py: tree does not say which release it is. Name it with --as R.")
    assert run("port", "--to", "tree", "--as", "0.22.1", "--check").code == 0


@pytest.mark.parametrize("release", ["../../x", "nonsense", "9" * 400, "\x1b[2J"])
def test_a_release_that_is_a_path_names_files_elsewhere(project: Tiny, run: Run, tmp_path: Path, release: str) -> None:
    """The release is a part of the names of variants, and of the folder for conflicts."""
    project.unpack(tmp_path / "tree")
    shutil.copy(project.archive("0.22.1"), tmp_path / "vllm-0.22.1.tar.gz")
    for to in ("tree", "vllm-0.22.1.tar.gz"):
        ran = run("port", "--to", to, "--as", release)
        assert ran.code == 2
        assert "is no release. Name one, such as --as 0.34.0." in ran.said


def test_a_release_is_called_as_the_index_calls_it(project: Tiny, run: Run, tmp_path: Path) -> None:
    project.unpack(tmp_path / "tree")
    assert run("port", "--to", "tree", "--as", "v0.22.1", "--check").out.startswith("vLLM 0.22.1\n")


@pytest.mark.parametrize("size", [4 << 40, 1 << 20])
def test_an_archive_as_large_as_the_disk_is_taken_into_memory_by_a_port(run: Run, tmp_path: Path, size: int) -> None:
    with (tmp_path / "vllm-0.40.0.tar.gz").open("wb") as f:
        f.truncate(size)
    ran = run("port", "--to", "vllm-0.40.0.tar.gz", "--check")
    assert ran.code == (4 if size > 1 << 30 else 3)
    assert "vllm-0.40.0.tar.gz" in ran.said
    assert "memory" not in ran.said


def test_a_file_as_large_as_the_disk_in_a_tree_is_taken_into_memory_by_a_port(
    project: Tiny, run: Run, tmp_path: Path
) -> None:
    with (project.unpack(tmp_path / "tree") / "vllm/model.bin").open("wb") as f:
        f.truncate(4 << 40)
    ran = run("port", "--to", "tree", "--check")
    assert ran.code == 1
    assert "vllm/model.bin in" in ran.said
    assert "has 4398046511104 bytes, more than a source file has" in ran.said


def test_a_pipe_in_a_tree_is_waited_for_or_passed_over_by_a_port(project: Tiny, run: Run, tmp_path: Path) -> None:
    os.mkfifo(project.unpack(tmp_path / "tree") / "vllm/pipe")
    ran = run("port", "--to", "tree", "--check")
    assert ran.code == 1
    assert "vllm/pipe in" in ran.said


def test_a_folder_that_cannot_be_read_is_taken_for_an_empty_one(project: Tiny, run: Run, tmp_path: Path) -> None:
    """As deep as a tree of long names can be, a folder has no path that the system takes."""
    tree = project.unpack(tmp_path / "tree")
    here = os.open(tree, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    ran = run("port", "--to", "tree", "--check")
    subprocess.run(["rm", "-rf", tree], check=True)
    assert ran.code == 4
    assert "File name too long." in ran.said
    assert len(ran.said) < 1500


@pytest.mark.parametrize("to", ["a" * 5000, "/proc/self/mem", "/dev/zero", "/dev/stdin"])
def test_a_name_that_leads_to_no_archive_is_told_by_the_system_alone(run: Run, to: str) -> None:
    ran = run("port", "--to", to, "--check")
    assert ran.code == (2 if to != "/proc/self/mem" else ran.code)
    assert "The run ended" not in ran.said


@pytest.mark.parametrize("place", ["no such folder", "file"])
def test_a_tree_that_is_none_is_told_of_an_option_that_port_has(
    project: Tiny, run: Run, tmp_path: Path, place: str
) -> None:
    project.unpack(tmp_path / "tree")
    (tmp_path / "file").write_text("")
    ran = run("port", "--to", "tree", "--from-tree", place)
    assert (ran.code, "--into" in ran.said) == (2, False)
    assert f"--from-tree {place} is no folder" in ran.said


@pytest.mark.parametrize(
    "lock", [None, b"", b"[]", b'{"releases": []}', b'{"releases": {"0.22.1": {}}}', b'{"releases": {"0.22.1": {"topics": [1]}}}']
)  # fmt: skip
def test_a_commit_without_a_series_ends_keep_in_a_traceback(project: Tiny, run: Run, lock: bytes | None) -> None:
    kept = project.root / "patches/lock.json"
    whole = kept.read_bytes()
    kept.unlink() if lock is None else kept.write_bytes(lock)
    _commit(project.root)
    kept.write_bytes(whole)
    guide = project.root / "vllm_overlay" / OVERLAY
    guide.write_bytes(guide.read_bytes() + b"A later guide.\n")
    ran = run("port", "--keep", "HEAD")
    assert ran.code == 4
    assert "Commit HEAD holds no lock that can be read (patches/lock.json)" in ran.said


@pytest.mark.parametrize(
    "spoil", [(b"\n-- \n", b"\n--\n"), (b"docs/features", b"docs/\xff"), (b"@@", b"@"), (b"diff --git", b"")]
)
def test_a_damaged_patch_of_a_commit_ends_keep_in_a_traceback(
    project: Tiny, run: Run, spoil: tuple[bytes, bytes]
) -> None:
    (mail,) = (project.root / "patches/guides").glob("*.patch")
    whole = mail.read_bytes()
    mail.write_bytes(whole.replace(*spoil))
    _commit(project.root)
    mail.write_bytes(whole)
    run("port", "--keep", "HEAD")


def test_a_file_among_the_earlier_series_ends_keep_in_a_traceback(project: Tiny, run: Run) -> None:
    (project.root / "patches/earlier").mkdir()
    (project.root / "patches/earlier/x.patch").write_text("")
    _commit(project.root)
    ran = run("port", "--keep", "HEAD")
    assert ran.code == 3
    assert "patches/earlier/x.patch is damaged" in ran.said


def _commit(root: Path) -> None:
    in_(root, "init", "-q")
    in_(root, "add", "-Af", "patches", "vllm_overlay")
    in_(root, "commit", "-q", "-m", "x")


@pytest.mark.parametrize("argv", [("port", "--keep", "HEAD"), ("port", "--relock"), ("verify", "--lint")])
def test_settings_of_the_project_s_own_clone_run_a_command(
    project: Tiny, run: Run, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    """A clone of the project, or an archive of one with its ``.git``, may be anybody's too."""
    _commit(project.root)
    set_everything(project.root, tmp_path / "canary")
    run(*argv).ok()
    assert not (tmp_path / "canary").exists()


def test_keep_outside_of_a_clone_names_an_option_that_port_lacks(run: Run) -> None:
    ran = run("port", "--keep", "HEAD")
    assert (ran.code, "--upstream" in ran.said) == (4, False)
    assert "Run it in a clone of the project" in ran.said


@pytest.mark.parametrize("broken", ["an object", "HEAD"])
def test_a_clone_that_lacks_what_keep_reads_is_told_of_an_option_that_port_lacks(
    project: Tiny, run: Run, broken: str
) -> None:
    _commit(project.root)
    blob = in_(project.root, "rev-parse", "HEAD:patches/lock.json").strip()
    if broken == "an object":
        (project.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    else:
        (project.root / ".git/HEAD").unlink()
        os.mkfifo(project.root / ".git/HEAD")
    ran = run("port", "--keep", "HEAD")
    assert (ran.code, "--upstream" in ran.said) == (4, False)
    assert "Clone the project again" in ran.said


@pytest.mark.parametrize("folder", ["vllm_overlay", "patches"])
def test_a_link_in_the_series_has_what_lies_elsewhere_locked(
    project: Tiny, run: Run, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "secret").write_text("of this machine\n")
    planted = project.root / folder / "planted"
    planted.symlink_to(tmp_path / "secret")
    lock = (project.root / "patches/lock.json").read_bytes()
    for argv in (("port", "--relock"), ("verify", "--lint")):
        ran = run(*argv)
        assert ran.code == 3
        assert f"{folder}/planted is a link" in ran.said
        assert "Delete the link, and put the file itself there" in ran.said
    assert (project.root / "patches/lock.json").read_bytes() == lock


def test_a_link_called_like_an_exported_topic_is_written_through(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/0001-louder.patch").symlink_to(tmp_path / "mine")
    run("port", "--export-upstream", "louder", "--output", "out").ok()
    assert (tmp_path / "mine").read_text() == "mine\n"
    assert (tmp_path / "out/0001-louder.patch").read_bytes().startswith(b"From ")


@pytest.mark.parametrize("where", ["louder", "louder/vllm", "louder/vllm/distributed"])
def test_a_link_in_the_way_of_an_optional_conflict_is_written_through(
    project: Tiny, run: Run, tmp_path: Path, where: str
) -> None:
    project.unpack(tmp_path / "tree")
    (tmp_path / "mine").mkdir()
    (tmp_path / "out" / where).parent.mkdir(parents=True)
    (tmp_path / "out" / where).symlink_to(tmp_path / "mine")
    ran = run("port", "--to", "tree", "--as", "0.9.5", "--output", "out", "--check")
    assert ran.code == 1
    assert list((tmp_path / "mine").rglob("*")) == []


_NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}  # Python itself leaves half of a file of it there


def _small(size: int) -> Callable[[], object]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_leaves_half_of_what_verify_writes(project: Tiny, run: Run) -> None:
    table = project.root / "docs/data/compat.json"
    run("verify", "--write").ok()
    whole = table.read_bytes()
    ran = run("verify", "--write", before=_small(len(whole) - 1), **_NO_BYTECODE)
    assert ran.code == 1
    assert table.read_bytes() == whole
    assert sorted(p.name for p in table.parent.iterdir()) == ["compat.json", "unit_runs.json"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_full_disk_leaves_half_of_what_port_writes(project: Tiny, run: Run, share: float) -> None:
    lock = project.root / "patches/lock.json"
    whole = lock.read_bytes()
    lock.write_bytes(
        whole.replace(b'"before": "', b'"before": "0', 1).replace(b'"before": "0', b'"before": "', 1) + b"\n"
    )
    odd = lock.read_bytes()
    ran = run("port", "--relock", before=_small(int(len(whole) * share)), **_NO_BYTECODE)
    assert ran.code == 1
    assert lock.read_bytes() == odd
    run("port", "--relock").ok()
    assert lock.read_bytes() == whole


WORKSHOP = Path(__file__).resolve().parents[3] / "tools/kvworkshop"
KEEPS = ("port/*.py", "verify/*.py", "effects/*.py", "runtime/unit_runs.py")  # what writes files that are committed


@pytest.mark.parametrize("path", sorted(p for k in KEEPS for p in WORKSHOP.glob(k)), ids=lambda p: p.stem)
def test_a_full_disk_leaves_half_of_a_file_that_is_written_round_the_one_way(path: Path) -> None:
    assert not re.search(r"\.write_(?:text|bytes)\(|\bopen\([^)]*[\"'][wax]", path.read_text(encoding="utf-8"))


def test_a_full_disk_loses_the_earlier_series(tiny: Tiny, run: Run, project: Tiny, tmp_path: Path) -> None:
    later = next_series(tiny, tmp_path / "later")
    kept = later.root / "patches/earlier"
    held = {p.name: p.read_bytes() for p in kept.iterdir()}
    in_(later.root, "add", "-A", "patches", "vllm_overlay")
    in_(later.root, "commit", "-q", "-m", "Series 2")
    for mail in (later.root / "patches/guides").iterdir():
        mail.write_bytes(mail.read_bytes().replace(b"one per side.", b"one for each."))
    command = [sys.executable, str(later.root / "tools/port.py"), "--keep", "HEAD"]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **_NO_BYTECODE},
        preexec_fn=_small(900),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert {p.name: p.read_bytes() for p in kept.iterdir()} == held


def test_a_full_disk_makes_a_finding_of_a_good_patch(run: Run) -> None:
    """Without its scratch repository git takes no mail, whatever is in it."""
    ran = run("verify", "--lint", before=_small(4096), **_NO_BYTECODE)
    if ran.code:
        assert "KVR008" not in ran.out
        assert "a repository to try patches in" in ran.said or "The run ended" in ran.said


def test_a_machine_without_bash_is_told_to_write_that_down(run: Run) -> None:
    run("verify", "--write").ok()
    ran = run("verify", PATH="/nonexistent")
    assert ran.code == 3
    assert "Found not checked here: " in ran.said
    assert "bash" in ran.said


def test_a_damaged_table_of_unit_runs_ends_verify_in_a_traceback(project: Tiny, run: Run) -> None:
    for text in (
        '{"schema": 1, "releases": {"0.22.1": {}}}',
        '{"schema": 1, "releases": {"0.22.1": 1}}',
        "[]",
        "",
        "[" * 99999,
    ):
        (project.root / "docs/data/unit_runs.json").write_text(text)
        ran = run("verify", "--release", "0.22.1")
        assert ran.code in (1, 3)


@pytest.mark.parametrize("env", [{"XDG_CACHE_HOME": "cache"}, {"HOME": "cache", "XDG_CACHE_HOME": ""}])
def test_a_cache_in_the_current_folder_is_taken_for_the_user_s(tiny: Tiny, tmp_path: Path, env: dict[str, str]) -> None:
    """Whoever filled that folder would have filled the cache: what is kept of an archive is taken at its word there."""
    for place in ("cache/vllm-kv-roles", "cache/.cache/vllm-kv-roles"):
        shutil.copytree(tiny.cache, tmp_path / place)
    ran = subprocess.run(
        [sys.executable, tiny.root / "tools/apply.py", "--vllm-rev", "0.22.1", "--offline"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path / "none"), **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode in (2, 4)
    assert "cache/vllm-kv-roles" not in ran.stderr.replace(str(tmp_path / "none" / ".cache"), "")
