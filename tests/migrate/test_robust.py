"""Bad input is reported and skipped, the rest is done; a write is all or nothing and keeps mode and owner; never a traceback."""

from __future__ import annotations

import bz2
import codecs
import fcntl
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.errors import KvRolesError
from kvroles.evidence import c_library
from kvroles.evidence.frames import Side
from kvroles.evidence.text import Text
from kvroles.migrate import cli, run, search
from kvroles.migrate.answers import baseline
from kvroles.migrate.answers.answer import Answer
from kvroles.migrate.answers.settings_file import SettingsFile
from kvroles.migrate.files import hits, rewrite
from kvroles.migrate.settings import Options, Settings

GOOD = '# prefill\nvllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'
TOOLS = str(Path(cli.__file__).parents[2])
NIXL = b'NixlConnector "kv_role":"kv_both"'


@pytest.fixture(autouse=True)
def _files(here: Path) -> None:
    Path("good.sh").write_text(GOOD)


def _written(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    """Run ``--write .``: the good file is done whatever else is there; ``code`` is 1 where one could not be written."""
    assert cli.main(["--write", *(args or (".",))]) == code
    out, err = capsys.readouterr()
    assert err == ""
    assert "kv_producer" in Path("good.sh").read_text()
    return out


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_text_with_a_zero_byte_is_no_binary_file(encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = "#!/bin/sh\n# startet den Präfill-Server\nvllm serve m --kv-transfer-config '" + NIXL.decode() + "'\0\n"
    Path("start.sh").write_bytes(script.encode(encoding))
    said = _checked(capsys, ".")
    assert "start.sh:3:61: KVR190 skipped: zero bytes among its text: not read; save it without them" in said


def test_a_binary_file_is_passed_over_and_unread_if_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    data = b"\x7fELF\0\0" + NIXL
    Path("core.dump").write_bytes(data)
    assert "passed over: 1 binary" in _written(capsys)
    assert "core.dump:1:32: KVR190 skipped: binary" in _written(capsys, "core.dump", ".")
    assert Path("core.dump").read_bytes() == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (codecs.BOM_UTF16_LE + NIXL.decode().encode("utf-16-le"), "UTF-16: not read; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + NIXL.decode().encode("utf-16-be"), "UTF-16: not read; save it as UTF-8"),
        (NIXL.decode().encode("utf-16-le"), "UTF-16 without its mark: not read; save it as UTF-8"),
        (NIXL.decode().encode("utf-16-be"), "UTF-16 without its mark: not read; save it as UTF-8"),
        (codecs.BOM_UTF32_LE + NIXL.decode().encode("utf-32-le"), "UTF-32: not read; save it as UTF-8"),
        (b"caf\xe9 " + NIXL, "not UTF-8"),
        (b"\xed\xa0\x80" + NIXL, "not UTF-8"),
    ],
)
def test_a_file_that_is_not_utf_8_is_unread_and_says_why(
    capsys: pytest.CaptureFixture[str], data: bytes, why: str
) -> None:
    Path("odd.yaml").write_bytes(data)
    assert re.search(rf"odd.yaml:1:\d+: KVR190 skipped: {why}", _written(capsys))
    assert Path("odd.yaml").read_bytes() == data


@pytest.mark.parametrize("text", ["NixlConnector kv_bot", ""])
def test_utf_16_without_kv_both_is_not_spoken_of(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("odd.yaml").write_bytes(codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
    Path("odd2.yaml").write_bytes(b"")  # read into the same buffer
    assert "odd" not in _written(capsys)


def test_a_file_of_100_mb_is_unread_only_if_it_says_kv_both(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("big.json").open("wb") as f:
        f.write(b"[")
        for _ in range(100):
            f.write(b" " * (1 << 20))
        f.write(NIXL)
    with Path("big-without.json").open("wb") as f:
        f.truncate(100 << 20)
    out = _written(capsys)
    assert "big.json:1:1: KVR190 skipped: larger than 8 MB, and it holds kv_both once, first in line 1" in out
    assert "big-without" not in out


NEEDLES = {"first": b"kv_both", "last": b"\0 x\nkv_both", "cut": b"kv_bot", "spread": b"kv_b\0oth", "empty": b""}


def test_a_needle_is_found_at_either_end_and_behind_a_zero(tmp_path: Path) -> None:
    for name, data in [*NEEDLES.items(), ("after", b"h")]:  # the last is right behind what the one buffer held before
        (tmp_path / name).write_bytes(data)
    found = hits.holding(str(tmp_path / name) for name in [*NEEDLES, "after"])
    assert [os.path.basename(p) for p in found] == ["first", "last"]


@pytest.mark.parametrize("strstr", [True, False])
def test_a_text_is_searched_with_the_c_library_and_without(strstr: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not strstr:
        monkeypatch.setitem(sys.modules, "ctypes", None)
    c_library._strstr.cache_clear()
    try:
        inside = [Text.of_file(data).has("kv_both") for data in NEEDLES.values()]
    finally:
        c_library._strstr.cache_clear()
    assert inside == [True, True, False, False, False]


def test_many_processes_find_what_one_finds_in_the_order_of_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("good.sh").unlink()
    for n in range(search._FOLDERS + 40):
        folder = Path(f"a{n % 7}", f"b{n % 60}", f"c{n}")
        folder.mkdir(parents=True)
        (folder / "x.sh").write_text(GOOD if n % 5 == 0 else "echo\n")
    for n in range(450):
        Path(f"f{n}.sh").write_text(GOOD if n % 40 == 0 else "echo\n")
    said = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert cli.main(["--json", "."]) == 0
        said.append(capsys.readouterr().out)
    paths = [f["path"] for f in json.loads(said[0])["findings"]]
    assert len(paths) == (search._FOLDERS + 40 + 4) // 5 + 12
    assert paths == sorted(paths, key=lambda p: (p.count("/") > 0, p.split("/")))
    assert said[0] == said[1]


def test_a_helper_process_that_is_killed_while_it_searches_is_one_paragraph(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        Path(f"f{n}.sh").write_text(GOOD)
    monkeypatch.setattr(search, "_WORTH_SHARING", 10)
    monkeypatch.setattr(search, "_AT_ONCE", 3)
    main, holding, readers = os.getpid(), hits.holding, search._load_readers
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(
        hits, "holding", lambda *a: holding(*a) if os.getpid() == main else os.kill(os.getpid(), signal.SIGKILL)
    )
    monkeypatch.setattr(search, "_load_readers", lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT))
    assert cli.main(["--write", "."]) == 1
    assert "so nothing was changed. Run the same command again" in " ".join(capsys.readouterr().err.split())
    assert Path("good.sh").read_text() == GOOD
    monkeypatch.setattr(hits, "holding", holding)
    monkeypatch.setattr(search, "_load_readers", readers)
    assert cli.main(["--write", "."]) == 0


@pytest.mark.parametrize("cores", [1, 2])
def test_a_reader_that_is_not_installed_is_one_paragraph(cores: int) -> None:
    for n in range(450):
        Path(f"f{n}.sh").write_text(GOOD)
    code = (
        f"import os, sys; os.cpu_count = lambda: {cores}; sys.modules['tree_sitter'] = None\n"
        f"sys.path.insert(0, {TOOLS!r})\n"
        "from kvroles.migrate import cli; sys.exit(cli.main(['--write', '.']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tree_sitter is not installed, which reading f" in " ".join(done.stderr.split())
    assert Path("good.sh").read_text() == GOOD
    assert cli.main(["--write", "good.sh"]) == 0  # with it


def test_a_needle_across_the_border_of_two_pieces(tmp_path: Path) -> None:
    for at in range(hits._CHUNK - 8, hits._CHUNK + 2):
        path = tmp_path / "x.txt"
        path.write_bytes(b" " * at + b"kv_both" + b" " * 20)
        assert list(hits.holding([str(path)])) == [str(path)]


DEEP = {
    "a.json": b"[" * 200_000 + NIXL,
    "b.json": b'{"a":' * 5_000 + b'{"kv_connector":"NixlConnector","kv_role":"kv_both"}' + b"}" * 5_000,
    "a.yaml": b"- " * 3_000 + NIXL,
    "b.yaml": b"".join(b" " * i + b"k:\n" for i in range(3_000)) + b" " * 3_000 + NIXL,
    "c.yaml": b"[" * 100_000 + NIXL,
    "a.py": b"x = " + b"(" * 20_000 + b"'" + NIXL.replace(b'"', b"") + b"'" + b")" * 20_000,
    "b.py": b"x = " + b"-" * 50_000 + b"f('" + NIXL + b"')",
    "a.sh": b"$(" * 5_000 + b"echo '" + NIXL + b"'" + b")" * 5_000,
    "b.sh": b"if true; then " * 3_000 + b"vllm serve --x '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'",
    "a.go": b"package a\nvar x = " + b"f(" * 20_000 + b'`{"kv_connector":"NixlConnector","kv_role":"kv_both"}`' + b")" * 20_000,
    "a.rs": b"fn a() {" * 5_000 + b'let x = r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#;',
    "a.toml": b"a = " + b"[" * 50_000 + b"'kv_both NixlConnector'",
    "a.md": b"> " * 20_000 + b"`{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}`",
    "a.ipynb": b'{"cells":' + b"[" * 100_000 + NIXL,
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_ends_no_run(capsys: pytest.CaptureFixture[str], name: str) -> None:
    Path(name).write_bytes(DEEP[name])
    out = _written(capsys)
    assert "Traceback" not in out
    assert "reading it failed" not in out


BROKEN = {
    "tab.yaml": b"a:\n\t- {kv_connector: NixlConnector, kv_role: kv_both\n  b: ]\n",
    "half.json": b'{"kv_connector":"NixlConnector","kv_role":"kv_both"',
    "quote.sh": b"vllm serve --kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}\n# decode\n",
    "fi.sh": b"if [ x; then\n  vllm serve --x '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'\ndone\nesac",
    "paren.py": b"prefill = f({'kv_connector': 'NixlConnector', 'kv_role': 'kv_both'\ndef (:\n",
    "string.py": b"x = 'NixlConnector kv_both\n",
    "cut.go": b'package a\nfunc prefill() { x := "{\\"kv_connector\\":\\"NixlConnector\\",\\"kv_role\\":\\"kv_both',
    "cut.rs": b'fn prefill() { let x = r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"',
    "cut.toml": b"[prefill\nkv = '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}",
    "cut.ipynb": b'{"cells":[{"cell_type":"code","source":["x = NixlConnector kv_both',
    "cut.md": b"## prefill\n```bash\nvllm serve --x '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}",
    "open-at-the-end.md": b"`kv_both` NixlConnector\n\n```",
    "Dockerfile": b"CMD [\"NixlConnector\", \"kv_both\"\nRUN <<EOF\nkv_both NixlConnector\n",
    "Makefile": b"prefill:\n\tvllm '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}\n\tx \\",
    "x.yaml.j2": b"{% if prefill %}\n- kv: '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'\n{% else\n{{ nope\n",
    "empty-keys.json5": b"{kv_connector: 'NixlConnector', : , kv_role: 'kv_both',,}",
    "only.yaml": b"kv_both NixlConnector",
    "nul-late.yaml": b"a: NixlConnector kv_both\n" + b" " * 9000 + b"\0",
    "control.yaml": b"a: NixlConnector \x01 kv_both\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_read_as_far_as_it_goes_and_nothing_but_roles_changes(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path(name).write_bytes(BROKEN[name])
    out = _written(capsys)
    assert "reading it failed" not in out
    before, after = BROKEN[name], Path(name).read_bytes()
    assert after.replace(b"kv_producer", b"kv_both").replace(b"kv_consumer", b"kv_both") == before


def test_a_link_given_by_name_is_written_where_it_points(capsys: pytest.CaptureFixture[str]) -> None:
    Path("real").mkdir()
    Path("good.sh").rename("real/run.sh")
    Path("good.sh").symlink_to("real/run.sh")
    _written(capsys, "-v", "good.sh")
    assert Path("good.sh").is_symlink()


def test_pipes_and_sockets_do_not_hang(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe.sh")
    _written(capsys)
    _written(capsys, "-v", "good.sh", "pipe.sh")


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self/status").exists(), reason="needs a way to be refused")
def test_unreadable_files_and_folders(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret.sh").write_text(GOOD)
    Path("closed").mkdir()
    real_open, real_scan = os.open, os.scandir

    def refuse_open(path: str, *a: int, **kw: int) -> int:
        if str(path).endswith("secret.sh"):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *a, **kw)

    def refuse_scan(path: str) -> os._ScandirIterator[str]:  # type: ignore[name-defined]
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real_scan(path)

    monkeypatch.setattr(os, "open", refuse_open)
    monkeypatch.setattr(os, "scandir", refuse_scan)
    out = _written(capsys)
    assert "secret.sh:1:1: KVR190 skipped: Permission denied" in out
    assert "closed:1:1: KVR190 skipped: Permission denied" in out


def test_a_file_that_changes_while_it_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("two/down").mkdir(parents=True)  # where nobody asks it who uses good.sh
    moving = Path("two/down/moving.sh")
    moving.write_text(GOOD)
    real = hits._all

    def slow(fd: int, size: int) -> bytes:
        data = real(fd, size)
        if os.readlink(f"/proc/self/fd/{fd}").endswith("moving.sh") and moving.read_text() == GOOD:
            with moving.open("a") as f:
                f.write("# more\n")
        return data

    monkeypatch.setattr(hits, "_all", slow)
    assert "two/down/moving.sh:2:79: KVR190 skipped: it changed while it was read" in _written(capsys)
    assert moving.read_text() == GOOD + "# more\n"


def test_a_file_that_changes_before_it_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("moving.sh").write_text(GOOD)
    real = rewrite.write

    def late(path: str, before: bytes, after: bytes) -> None:
        if path == "moving.sh":
            Path(path).write_text("somebody else's\n")
        real(path, before, after)

    monkeypatch.setattr(rewrite, "write", late)
    assert "moving.sh:2:79: KVR190 skipped: not written, it changed since it was read" in _written(capsys, code=1)
    assert Path("moving.sh").read_text() == "somebody else's\n"


def test_a_write_that_fails_leaves_the_file_and_no_litter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bad.sh").write_text(GOOD)
    real = os.rename

    def refuse(source: str, target: str, **folders: int) -> None:
        if str(target).endswith("bad.sh"):
            raise OSError(28, "No space left on device")
        real(source, target, **folders)

    monkeypatch.setattr(os, "rename", refuse)
    assert "bad.sh:2:79: KVR190 skipped: not written, No space left on device" in _written(capsys, code=1)
    assert Path("bad.sh").read_text() == GOOD
    assert sorted(p.name for p in Path().iterdir()) == ["bad.sh", "good.sh"]


def test_a_file_that_another_run_is_writing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    Path("held.sh").write_text(GOOD)
    with Path("held.sh").open("rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        assert "held.sh:2:79: KVR190 skipped: not written, another run is writing it" in _written(capsys, code=1)
    assert Path("held.sh").read_text() == GOOD
    assert "held.sh:2" in _written(capsys, "-v", ".")


def test_what_a_killed_run_left_is_neither_read_nor_kept(capsys: pytest.CaptureFixture[str]) -> None:
    left = f".kv-roles-{hashlib.sha256(b'good.sh').hexdigest()[:16]}"
    Path(left).write_text(GOOD)
    assert left not in _written(capsys)
    assert [p.name for p in Path().iterdir()] == ["good.sh"]


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o644, 0o4711])
def test_mode_and_owner_are_kept(capsys: pytest.CaptureFixture[str], mode: int) -> None:
    if os.geteuid() == 0:
        os.chown("good.sh", 12345, 23456)
    Path("good.sh").chmod(mode)
    before = Path("good.sh").stat()
    _written(capsys)
    after = Path("good.sh").stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, mode)


def test_a_file_with_two_names_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.sh").write_text(GOOD)
    os.link("one.sh", "two.sh")
    out = _written(capsys, code=1)
    assert out.count("more than one name") == 2
    assert Path("one.sh").read_text() == GOOD
    assert Path("one.sh").samefile("two.sh")


def test_a_file_given_twice_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _written(capsys, "-v", "good.sh", "./good.sh", ".").count("KVR101") == 1


def test_a_reader_that_fails_leaves_its_file_unread(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvroles.migrate.readers import toml

    def broken(*_: object) -> list[object]:
        raise KeyError("odd")

    monkeypatch.setattr(toml, "_read", broken)
    Path("a.toml").write_text("kv = 'NixlConnector kv_both'\n")
    assert "a.toml:1:21: KVR118 unread: reading it failed (KeyError: 'odd')" in _written(capsys)


def test_a_rewrite_that_cannot_be_read_again_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(data: bytes, *_: object) -> bytes:
        return data.replace(b"kv_both", b"kv_both kv_both")

    monkeypatch.setattr(rewrite, "edited", wrong)
    result = run.of_bytes("a.sh", "a.sh", GOOD.encode(), Options(Settings()))
    assert result is not None
    assert result.after is None
    assert [f.code for f in result.findings] == ["KVR117"]


def test_of_very_many_uses_no_more_are_looked_at_than_a_person_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvroles.migrate.readers.mapping import tree

    walks: list[int] = []
    real = tree.path_to

    def counted(root: tree.Node, target: int) -> list[tree.Node]:
        walks.append(target)
        return real(root, target)

    monkeypatch.setattr(tree, "path_to", counted)
    steps = "".join(f"- name: s{i}\n  run: vllm serve $KV\n" for i in range(2_000))
    config = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
    result = run.of_bytes("a.yaml", "a.yaml", f"env:\n  KV: '{config}'\nsteps:\n{steps}".encode(), Options(Settings()))
    assert result is not None
    assert [f.code for f in result.findings] == ["KVR110"]
    assert len(walks) < 300


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_what_is_compressed_is_not_called_clean(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    """The role does not stand in its bytes; nobody has looked."""
    packed = pack(NIXL)
    Path("dump").write_bytes(packed)
    assert "dump:1:1: KVR190 skipped: compressed: not read; unpack it" in _checked(capsys, "dump")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed)))
    assert "KVR190 skipped: compressed: not read; unpack it" in _checked(capsys, "-")


def test_a_binary_standard_input_is_not_called_clean(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\x7fELF\0\0")))
    assert "-:1:1: KVR190 skipped: binary: not read" in _checked(capsys, "-")


def _checked(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What a gate that fails says of ``args``."""
    assert cli.main(["--check", *args]) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize("how", ["in place", "in place, of one size", "by a rename", "mode"])
def test_what_an_editor_saves_while_a_file_is_written_is_not_lost(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The disk takes its time, and an editor saves in between."""
    file = Path("good.sh")
    theirs = file.read_text().replace("serve m", "serve n" if how == "in place, of one size" else "serve other")
    fsync = os.fsync

    def slow(fd: int) -> None:
        fsync(fd)
        if how == "mode":
            file.chmod(0o700)
        elif how == "by a rename":
            Path("saved").write_text(theirs)
            Path("saved").rename(file)
        else:
            file.write_text(theirs)

    monkeypatch.setattr(os, "fsync", slow)
    assert cli.main(["--write", "."]) == 1
    assert "not written, it changed since it was read" in " ".join(capsys.readouterr().out.split())
    assert file.stat().st_mode & 0o100 if how == "mode" else file.read_text() == theirs
    assert "kv_both" in file.read_text()
    assert sorted(p.name for p in here.iterdir()) == ["good.sh"]


@pytest.mark.parametrize("name", ["settings", "baseline"])
def test_what_an_editor_saves_in_a_file_of_ours_meanwhile_is_not_lost(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = here / name
    file.write_text("# old\n" if name == "settings" else '{"kv-roles-baseline": 1}')
    fsync, saved = os.fsync, [b"# theirs\n"]

    def slow(fd: int) -> None:
        fsync(fd)
        if saved:
            file.write_bytes(saved.pop())

    monkeypatch.setattr(os, "fsync", slow)
    if name == "settings":
        SettingsFile(str(file)).put(Answer("a.sh", "0" * 12, Side.PREFILL, "", "x"))  # it tries again
        assert "prefill" in file.read_text()
    else:
        with pytest.raises(KvRolesError, match="changed since it was read"):
            baseline.write(str(file), [], [])
    assert file.read_text().startswith("# theirs\n")
