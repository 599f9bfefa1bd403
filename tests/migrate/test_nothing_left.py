"""What was not read is never called clean: any encoding, any size, short reads, and what is no file any more when it is opened."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from kvroles.evidence.text import Text
from kvroles.migrate import cli, findings, run
from kvroles.migrate.answers import identity
from kvroles.migrate.files import hits, spelled, walk, workers

KEY = "kv_role"
NIXL = f"""vllm serve m --kv-transfer-config '{{"kv_connector":"NixlConnector","{KEY}":"kv_both"}}'"""
FILLER = "# filler line of a dump\n" * 60_000  # more than one piece of the search


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    """The tests run in an empty folder."""


def _check(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    code = cli.main(["--check", *args])
    return code, capsys.readouterr().out


WIDE = {
    "large, with its mark": (NIXL + "\n" + FILLER).encode("utf-16"),
    "large, at the end": (FILLER + NIXL).encode("utf-16-le"),
    "large and big endian": (NIXL + "\n" + FILLER).encode("utf-16-be"),
    "large and UTF-32": (FILLER + NIXL).encode("utf-32"),
    "behind other text": b"# start prefill\r\n" + ("& " + NIXL).encode("utf-16-le"),
    "behind other text of an odd length": b"# start  prefill\r\n" + ("& " + NIXL).encode("utf-16-le"),
    "behind much other text": b"# start prefill\r\n" * 9_000 + ("& " + NIXL).encode("utf-16-le"),
    "of Chinese": ("预填充\n" + NIXL).encode("utf-16-le"),
    "of much Chinese": ("预填充" * 400 + NIXL).encode("utf-16-le"),
    "of Chinese, big endian": ("预填充\n" + NIXL).encode("utf-16-be"),
    "UTF-32 without its mark": ("预填充\n" + NIXL).encode("utf-32-le"),
}


@pytest.mark.parametrize("path", [".", "run.ps1"])
@pytest.mark.parametrize("what", WIDE)
def test_the_word_in_any_encoding_is_unread(capsys: pytest.CaptureFixture[str], what: str, path: str) -> None:
    Path("run.ps1").write_bytes(WIDE[what])
    code, out = _check(capsys, path)
    assert (code, "KVR190" in out, "no NIXL role says" in out) == (1, True, False), out


def test_where_one_place_is_read_another_in_utf_16_is_not_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.ps1").write_bytes((NIXL + "\r\n").encode() * 200 + ("& " + NIXL).encode("utf-16-le"))
    code, out = _check(capsys, ".")
    assert (code, "run.ps1:201:" in out) == (1, True), out


def test_a_file_too_large_to_be_read_says_that_the_word_is_not_there_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("dump").write_bytes((FILLER * 4 + NIXL).encode("utf-16"))
    assert "larger than 8 MB, and it holds kv_both in another spelling or encoding" in _check(capsys, ".")[1]


@pytest.mark.parametrize("most", [1, 7, 400])
@pytest.mark.parametrize(
    "data",
    [b"# x\n" * 200 + NIXL.encode(), ("# x\n" * 200 + NIXL).encode("utf-16"), b" " * 300 + b"kv_role=kv%5Fboth"],
    ids=["plain", "UTF-16", "escaped"],
)
def test_a_short_read_is_not_the_end_of_a_file(monkeypatch: pytest.MonkeyPatch, data: bytes, most: int) -> None:
    """As of FUSE and of network file systems."""
    real = os.readv
    monkeypatch.setattr(os, "readv", lambda fd, buffers: real(fd, [buffers[0][:most]]))
    Path("a.sh").write_bytes(data)
    assert list(hits.holding(["a.sh"])) == ["a.sh"]


def test_a_size_that_is_not_told_is_not_the_end_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of FUSE, where what a file holds is made when it is read."""
    Path("a.sh").write_bytes(b"# x\n" * (1 << 19) + NIXL.encode())
    real, seek = os.fstat, os.lseek

    def unsized(fd: int) -> os.stat_result:
        had = real(fd)
        return os.stat_result((*had[:6], 0, *had[7:10]))

    def without(fd: int, at: int, how: int) -> int:
        if how == os.SEEK_END:
            return 0
        if how == os.SEEK_DATA:
            raise OSError(6, "No such device or address")
        return seek(fd, at, how)

    monkeypatch.setattr(os, "fstat", unsized)
    monkeypatch.setattr(os, "lseek", without)
    assert list(hits.holding(["a.sh"])) == ["a.sh"]


@pytest.mark.parametrize("kind", ["fifo", "fifo with a writer", "device", "endless device"])
def test_what_is_no_file_any_more_when_it_is_opened_is_unread(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    Path("a.sh").write_text(NIXL)
    real = walk.spread
    fds = []

    def swapped(root: str, many: int) -> walk.Listed:
        """The folder as it was; then the file is another thing."""
        found = real(root, many)
        Path("a.sh").unlink()
        if "fifo" in kind:
            os.mkfifo("a.sh")
            if "writer" in kind:
                fds.append(os.open("a.sh", os.O_RDWR | os.O_NONBLOCK))
                os.write(fds[0], b"true\n")
        else:  # opened as the device itself is; making one takes rights
            opened = os.open
            device = "/dev/zero" if "endless" in kind else "/dev/null"
            Path("a.sh").touch()
            monkeypatch.setattr(os, "open", lambda p, *a, **kw: opened(device if p == "a.sh" else p, *a, **kw))
        return found

    monkeypatch.setattr(walk, "spread", swapped)
    code, out = _check(capsys, ".")
    for fd in fds:
        os.close(fd)
    assert (code, "a.sh:1:1: KVR190 skipped: not a regular file" in out) == (1, True), out


def test_an_empty_file_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").touch()
    assert _check(capsys, ".") == (0, "no NIXL role says kv_both; 1 file looked at\n")


@contextmanager
def _as_nobody() -> Iterator[None]:
    """As a user who may not do everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_link_into_a_folder_that_may_not_be_searched_is_unread(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    top = Path(tempfile.mkdtemp(dir="/tmp"))  # nobody may go down to pytest's own folders
    try:
        (top / "closed/in").mkdir(parents=True)
        (top / "closed/in/x.sh").write_text(NIXL)
        (top / "l").mkdir()
        (top / "l/a.sh").symlink_to("../closed/in/x.sh")
        (top / "l/gone.sh").symlink_to("../closed.sh")
        top.chmod(0o755)
        (top / "closed").chmod(0o000)
        monkeypatch.chdir(top)
        with _as_nobody():
            code, out = _check(capsys, "l")
    finally:
        (top / "closed").chmod(0o700)
        shutil.rmtree(top)
    assert code == 1
    assert "l/a.sh:1:1: KVR190 skipped: a link to " in out
    assert "Permission denied" in out
    assert "passed over: 1 link that leads nowhere" in out


@pytest.mark.parametrize("swap", [False, True])
def test_another_spelling_beside_a_connector_far_away_is_found(capsys: pytest.CaptureFixture[str], swap: bool) -> None:
    parts = ["connector: NixlConnector\n", "prefill:\n  kvRole: both\n"]
    Path("a.yaml").write_text(("# fill\n" * 160_000).join(parts[::-1] if swap else parts))
    code, out = _check(capsys, ".")
    assert (code, "KVR118 unread" in out) == (1, True), out


def _deploy(made: dict[str, str]) -> None:
    """A folder with a config and the files ``made``."""
    for name, text in {**made, "run.sh": NIXL}.items():
        path = Path("deploy", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "made",
    [
        {"pyvenv.cfg": ""},
        {"pyvenv.cfg": "home = /usr/bin\n"},
        {"pyvenv.cfg": "", "bin/x": ""},
        {"conda-meta/x": ""},
        {"conda-meta/x": "", "lib/x": ""},
        {"conda-meta/history": ""},
    ],
    ids=lambda made: " ".join(made),
)
def test_a_folder_is_no_environment_by_one_file(capsys: pytest.CaptureFixture[str], made: dict[str, str]) -> None:
    _deploy(made)
    assert _check(capsys, ".")[0] == 1


@pytest.mark.parametrize(
    "made",
    [
        {"pyvenv.cfg": "home = /usr/bin\n", "Scripts/x": ""},
        {"pyvenv.cfg": "include-system-site-packages = false\nHOME=/usr\n", "lib/x": ""},
        {"conda-meta/history": "", "bin/x": ""},
        {"conda-meta/a.json": "{}", "lib/x": ""},
    ],
    ids=lambda made: " ".join(made),
)
def test_an_environment_is_passed_over(capsys: pytest.CaptureFixture[str], made: dict[str, str]) -> None:
    _deploy(made)
    assert _check(capsys, ".") == (0, "nothing was looked at; passed over: 1 environment\n")


@pytest.mark.parametrize("name", ["run.sh", "run"])
def test_a_link_that_is_called_a_text_is_read_whatever_it_leads_to(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("store.db").write_text(NIXL)
    Path(name).symlink_to("store.db")
    code, out = _check(capsys, ".")
    assert (code, f"{name}:1:" in out) == (1, True), out


def test_a_zero_in_the_path_of_a_submodule_costs_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".gitmodules").write_bytes(b'[submodule "a"]\n\tpath = lib\0x\n[submodule "b"]\n\tpath = gone\n')
    Path("a.sh").write_text(NIXL)
    code, out = _check(capsys, ".")
    assert (code, "a.sh:1:" in out, "passed over: 1 not checked out" in out) == (1, True, True), out


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("args", [["--sarif"], ["--baseline", "known.json"]], ids=["sarif", "baseline"])
def test_the_process_that_reports_reads_no_text_of_a_file_that_was_given_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: list[str], slow: bool
) -> None:
    Path("a.sh").write_text("true\n" + NIXL)
    parent, real = os.getpid(), identity.places
    if "--baseline" in args:
        assert _check(capsys, *args, "--write-baseline", "a.sh")[0] == 0
        Path("a.sh").write_text("false\n" + NIXL.replace(" m ", " n "))

    def spin(*_: object) -> NoReturn:
        while True:
            pass

    def places(s: str) -> list[identity.Place]:
        if os.getpid() == parent:
            assert not s
        elif slow:
            spin()
        return real(s)

    monkeypatch.setattr(findings, "of_file", spin)
    monkeypatch.setattr(identity, "places", places)
    monkeypatch.setattr(run, "_SECONDS", 0.3)
    monkeypatch.setattr(workers, "_SLOWEST", 1 << 30)
    code, out = _check(capsys, *args, "a.sh")
    assert (code, "unread: reading it takes too long" in out) == (1, True), out
    assert slow or "a.sh:2:" in out or '"startLine": 2' in out


def test_what_a_place_stands_under_is_gone_through_once() -> None:
    """A key is made of all lines above that are indented less; it is what it was."""
    deep = "".join(" " * i + "a b c " * 3_000 + "\n" for i in range(390))
    s = deep + "".join(" " * 391 + f'role: "kv_both" {i}\n' for i in range(1_990))
    before = time.process_time()
    found = identity.places(s)
    assert len({p.key for p in found}) == 1_990
    assert time.process_time() - before < 20
    s = "kind: X\nmetadata:\n  name: y\n---\nkind: Z\n  name: t\n# c kv_both é \\ '\nkv_both kv_both\n\tkv_both\n"
    keys = "fb20a844a5685602", "b7dd32272aa61f25", "3b186299b00d2233", "98b7cae6582e9507"
    assert tuple(p.key for p in identity.places(s)) == keys


@pytest.mark.parametrize(
    "text",
    [
        "Nixl " + "both " * 200_000,
        f"Nixl {KEY} " + ("return " + " " * 150 + " KV_BOTH ") * 5_000,
        f"Nixl {KEY} KV_BOTH=1 " + ("return " + " " * 150 + " KV_BOTH ") * 5_000,
        f"Nixl {KEY} = " * 50_000,
    ],
    ids=["halves", "capitals", "capitals that are said", "keys"],
)
def test_another_spelling_is_looked_for_in_proportion_to_the_text(text: str) -> None:
    before = time.process_time()
    spelled.holds(text.encode())
    assert time.process_time() - before < 4
    list(spelled.places(Text(text)))
    assert time.process_time() - before < 8


def test_the_first_place_of_another_spelling_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(spelled, "_is_said", lambda *a: asked.append(a))
    assert spelled.holds(f"Nixl {KEY} ".encode() + b"return KV_BOTH " * 100)
    assert len(asked) == 1


def test_where_a_file_that_was_given_up_says_it_is_found_in_one_pass() -> None:
    """All in one line: its columns are counted on from each other."""
    before = time.process_time()
    found = run.unread("a", b"x" * 4_000_000 + "é kv_both".encode() * 2_000, "why").findings
    assert (len(found), found[0].column, found[1].column) == (2_000, 4_000_003, 4_000_012)
    assert time.process_time() - before < 5


def test_what_is_opened_is_never_waited_for() -> None:
    assert hits.FLAGS & os.O_NONBLOCK
    os.mkfifo("a.sh")
    assert stat.S_ISFIFO(Path("a.sh").stat().st_mode)
    assert hits.look("a.sh").skipped == hits.SPECIAL
