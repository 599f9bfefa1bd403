"""Many repositories in one run: lists of paths, each repository's own settings, and what a run says of what it did not look at."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from kvroles import progress
from kvroles.migrate import cli

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"


@pytest.fixture(autouse=True)
def _fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two repositories that answer one question differently, and a folder to run in."""
    monkeypatch.chdir(tmp_path)
    for name, side in (("one", "prefill"), ("two", "decode")):
        Path(name, "deploy").mkdir(parents=True)
        Path(name, ".git").mkdir()
        Path(name, "deploy/run.sh").write_text(UNSAID)
        Path(name, ".kv-roles.toml").write_text(f'[side]\n"deploy/*.sh" = "{side}"\n')
    Path("here").mkdir()
    monkeypatch.chdir("here")


def _run(capsys: pytest.CaptureFixture[str], *args: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    old = sys.stdin
    if stdin is not None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        code = cli.main(list(args))
    finally:
        sys.stdin = old
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


LISTS = {
    "lines": ([], b"../one\n../two\n"),
    "no line feed at the end, CRLF, empty lines": ([], b"../one\r\n\r\n\n../two"),
    "zero bytes": (["-0"], b"../one\0../two\0"),
    "files": ([], b"../one/deploy/run.sh\n../two/deploy/run.sh\n"),
    "twice": ([], b"../one\n../two\n../one\n"),
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("how", ["file", "-"])
def test_a_list_of_repositories_each_with_its_own_settings(
    capsys: pytest.CaptureFixture[str], kind: str, how: str
) -> None:
    options, listed = LISTS[kind]
    Path("file").write_bytes(listed)
    code, out, _ = _run(
        capsys, "--write", "--check", "--from-list", how, *options, stdin=listed if how == "-" else None
    )
    assert code == 0
    assert "2 roles written" in out
    assert "kv_producer" in Path("../one/deploy/run.sh").read_text()
    assert "kv_consumer" in Path("../two/deploy/run.sh").read_text()


def test_a_list_goes_with_paths_and_absolute_ones_and_links(capsys: pytest.CaptureFixture[str]) -> None:
    Path("link").symlink_to("../two")
    Path("list").write_text(f"link\n{Path('../one').resolve()}\n")
    Path("own.sh").write_text(f"# prefill\n{UNSAID}")
    _, out, _ = _run(capsys, "-v", "--from-list", "list", "own.sh")
    assert "own.sh:2:79: KVR101" in out
    assert "link/deploy/run.sh:1:79: KVR102" in out
    assert "one/deploy/run.sh:1:79: KVR101" in out


def test_a_name_with_a_line_feed_takes_zero_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a\nb.sh").write_text(f"# prefill\n{UNSAID}")
    assert "1 role certain" in _run(capsys, "--from-list", "-", "-0", stdin=b"a\nb.sh\0")[1]
    code, _, err = _run(capsys, "--from-list", "-", stdin=b"a\nb.sh\n")
    assert (code, "a path with a line feed takes -0" in err) == (2, True)


def test_a_file_called_minus_in_a_list_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("-").write_text(f"# prefill\n{UNSAID}")
    assert "1 role certain" in _run(capsys, "--from-list", "-", stdin=b"-\n")[1]


@pytest.mark.parametrize(
    ("args", "listed", "words"),
    [
        ([], b"", "names no path"),
        ([], b"\n\n", "names no path"),
        ([], b"../one\nmissing\n../gone\n", "Found missing, ../gone"),
        ([], b"../one\0../two\0", "Add -0"),
        (["-"], b"../one\n", "goes with no list"),
    ],
)
def test_a_list_that_cannot_be_what_was_meant_is_an_error_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], args: list[str], listed: bytes, words: str
) -> None:
    Path("list").write_bytes(listed)
    code, out, err = _run(capsys, "--write", "--from-list", "list", *args)
    assert (code, out) == (2, "")
    assert words in err
    assert Path("../one/deploy/run.sh").read_text() == UNSAID


@pytest.mark.parametrize("args", [[], ["-0", "."], ["--from-list", "nowhere"], ["--from-list", "."]])
def test_a_wrong_list_of_paths_is_a_usage_error(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert _run(capsys, *args)[0] == 2


@pytest.mark.parametrize("form", [["--json"], ["-o", "json"], ["-ojson"], ["--output=json"]])
def test_an_error_in_place_of_a_report_has_its_version(capsys: pytest.CaptureFixture[str], form: list[str]) -> None:
    for args in (["missing"], ["--bogus", "."], ["--from-list", "nowhere"]):
        code, out, _ = _run(capsys, *form, *args)
        error = json.loads(out)
        assert (code, error["version"], error["code"]) == (2, 3, 2)


@pytest.mark.parametrize(
    "path", ["../one", "../here/../one", "/one", "link/one", "../one/deploy", "../one/deploy/run.sh"]
)
def test_globs_of_a_repositorys_settings_match_however_its_path_is_written(
    capsys: pytest.CaptureFixture[str], path: str
) -> None:
    Path("link").symlink_to("..")
    path = str(Path("..").resolve()) + path if path.startswith("/") else path
    assert "KVR101" in _run(capsys, "-v", path)[1]


@pytest.mark.parametrize("row", ['[side]\n"gone/*.sh" = "decode"\n', '[both]\n"gone.sh" = "it is a demo"\n'])
def test_a_row_of_the_settings_that_names_no_file_is_an_error_where_the_run_covers_its_folder(
    capsys: pytest.CaptureFixture[str], row: str
) -> None:
    settings = Path("../one/.kv-roles.toml")
    settings.write_text(row)
    assert _run(capsys, "../one/deploy/run.sh")[0] == 0, "a hook passes a few files"
    assert _run(capsys, "../one/deploy")[0] == 0
    for paths in (["../one"], ["../two", "../one"], [".."]):
        code, out, err = _run(capsys, "--write", *paths)
        assert (code, out) == (2, "")
        assert "names no file" in err
        assert "one/.kv-roles.toml: [" in err
    assert Path("../two/deploy/run.sh").read_text() == UNSAID
    settings.write_text('[side]\n"deploy/*.sh" = "prefill"\n')
    assert _run(capsys, "--write", "--check", "../one")[0] == 0
    assert _run(capsys, "--check", "../one")[0] == 0, "a row for a file that needs it no more is none without a file"


def test_an_option_that_names_no_file_is_always_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "--side", "gone/*.sh=decode", "../one/deploy/run.sh")
    assert (code, "names no file that was looked at" in err) == (2, True)


def test_the_order_of_the_report_is_that_of_the_paths(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [f["path"] for f in json.loads(_run(capsys, "--json", "../two", "../one")[1])["findings"]]
    assert paths == ["../two/deploy/run.sh", "../one/deploy/run.sh"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_one_bar_on_a_terminal_that_is_gone_when_the_run_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    for n in range(60):
        Path("many", f"d{n}").mkdir(parents=True)
        Path("many", f"d{n}", "a.txt").write_text("kv_both\n")
    monkeypatch.setattr(progress, "_FIRST_S", 0)
    monkeypatch.setattr(progress, "_EVERY_S", 0)
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    cli.main([*(["-q"] if quiet else []), "many"])
    monkeypatch.undo()
    seen = terminal.getvalue()
    if quiet:
        assert seen == ""
        return
    assert "Searching  [" in seen
    assert "of 2 parts" in seen
    assert "100% of 60 files with kv_both" in seen
    assert "\n" not in seen
    assert seen.endswith("\r\033[K")
