"""What is printed is safe for whoever reads it, and the exit code is true although printing failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cost import slow_but

pytestmark = pytest.mark.usefixtures("here")

TOOL = Path(__file__).parents[2] / "tools/migrate.py"
CONFIG = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
GOOD = f"# prefill\nvllm serve m --kv-transfer-config '{CONFIG}'\n"
ERRORS: list[list[str]] = [["missing"], ["--side", "x", "."], ["--wri", "."], [], ["--config", "no", "."]]
FORMS = [(), ("--json",), ("--sarif",), ("--github",), ("--diff",), ("-v",)]


def _run(*args: str | bytes, encoding: str = "utf-8", **kw: object) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": env, **kw}
    return subprocess.run([sys.executable, TOOL, *args], check=False, **kw)  # type: ignore[call-overload, no-any-return]


def _shell(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("TOOL", f"{sys.executable} {TOOL}")],
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", slow_but(["ascii"], ["utf-8", "latin-1", "ascii"]))
def test_any_name_and_any_evidence_on_any_output(form: tuple[str, ...], encoding: str) -> None:
    Path(os.fsdecode(b"caf\xe9.sh")).write_text(GOOD)
    Path("zh.sh").write_text(GOOD.replace("# prefill", "# prefill: 预填充 😀"))
    ran = _run("--check", *form, ".", encoding=encoding)
    summary = b"2 roles certain in 2 files (--write rewrites them), 0 to look at; 2 files looked at\n"
    assert (ran.returncode, ran.stderr) == (1, summary if form == ("--diff",) else b"")
    if form in {("--json",), ("--sarif",)}:
        json.loads(ran.stdout)
    elif form != ("--diff",):
        assert ran.stdout.count(b"KVR101") == 2


def test_what_was_written_is_told_whatever_the_output_can_hold() -> None:
    Path("zh.sh").write_text(GOOD.replace("# prefill", "# prefill: 预填充"))
    ran = _run("--write", ".", encoding="ascii")
    assert (ran.returncode, ran.stderr, b"1 role written" in ran.stdout) == (0, b"", True)


@pytest.mark.parametrize("form", [(), ("-v",), ("--github",)])
def test_nothing_from_a_name_or_a_text_moves_the_cursor_or_commands_a_log(form: tuple[str, ...]) -> None:
    Path("a\x1b[2Jb\n::error title=x::y.sh").write_text(GOOD.replace("# prefill", "# prefill \x1b[31m\u202e"))
    Path("::error title=z::.sh").write_text(GOOD)
    Path("logs").mkdir()
    Path("logs/::warning::\r.txt").write_text("kv_both")
    ran = _run(*form, ".")
    assert ran.returncode == 0
    assert not {0x1B, 0x0D} & set(ran.stdout)
    assert "\u202e".encode() not in ran.stdout
    said = [line for line in ran.stdout.splitlines() if line.lstrip().startswith(b"::")]
    assert len(said) == (2 if form == ("--github",) else 0)
    assert all(line.startswith(b"::error file=") for line in said)


def test_a_patch_of_an_odd_name_is_one_that_git_takes() -> None:
    name = 'a\n::error::"b".sh'
    Path(name).write_text(GOOD)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "apply", "-"], input=_run("--diff", ".").stdout, check=True)
    assert "kv_producer" in Path(name).read_text()


def test_a_patch_in_the_log_of_an_action_gives_it_no_commands() -> None:
    Path("a.sh").write_text(f"::error::x\n{GOOD}")
    ran = _run("--diff", ".", env={**os.environ, "GITHUB_ACTIONS": "true"})
    first, last = ran.stdout.splitlines()[0], ran.stdout.splitlines()[-1]
    assert first.startswith(b"::stop-commands::")
    assert last == b"::" + first.removeprefix(b"::stop-commands::") + b"::"


@pytest.mark.parametrize("form", slow_but([""], ["", "--json", "--github", "-v"]))
@pytest.mark.parametrize("what", slow_but([], ["| head -1", "| true"]))
def test_a_pipe_closed_early_changes_no_exit_code(form: str, what: str) -> None:
    for n in range(300):
        Path(f"{n}.sh").write_text(GOOD)
    ran = _shell(f"TOOL --check {form} . {what}")
    assert (ran.returncode, ran.stderr) == (1, b"")
    for n in range(300):
        Path(f"{n}.sh").write_text("echo\n")
    assert _shell(f"TOOL --check {form} . {what}").returncode == 0


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("TOOL --check . >&-", 1, ""),
        ("TOOL good >&-", 0, ""),
        ("TOOL good > /dev/full", 1, "kv-roles: Standard output cannot be written: No space left on device.\n"),
        ("TOOL --check . > /dev/full", 1, ""),
        ("TOOL missing 2>&-", 2, ""),
        ("TOOL missing 2>/dev/full", 2, ""),
        ("TOOL --bogus 2>&-", 2, ""),
        ("TOOL --check . 2>&- >&-", 1, ""),
        ("TOOL - <&-", 2, "kv-roles: Standard input is closed. Pipe a text into it, or name a path.\n"),
    ],
)
def test_an_output_that_is_closed_or_full_ends_with_a_code_and_in_words(command: str, code: int, said: str) -> None:
    Path("run.sh").write_text(GOOD)
    Path("good").mkdir()
    ran = _shell(command)
    assert (ran.returncode, ran.stderr.decode()) == (code, said)


def test_a_file_is_written_although_nothing_can_be_printed() -> None:
    Path("run.sh").write_text(GOOD)
    assert _shell("TOOL --write . > /dev/full").returncode == 1
    assert "kv_producer" in Path("run.sh").read_text()


@pytest.mark.parametrize("args", slow_but([["missing"], []], ERRORS))
def test_an_error_is_an_object_with_json(args: list[str]) -> None:
    ran = _run("--json", *args)
    error = json.loads(ran.stdout)
    assert (ran.returncode, error["code"], set(error)) == (2, 2, {"version", "error", "code"})
    assert error["error"][:20] in " ".join(ran.stderr.decode().split())


@pytest.mark.parametrize("option", slow_but(["--wri"], ["--wri", "--chec", "--j", "--sid=x=prefill"]))
def test_an_option_is_only_known_by_its_whole_name(option: str) -> None:
    Path("run.sh").write_text(GOOD)
    ran = _run(option, ".")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert b"kv-roles: error: " in ran.stderr
    assert Path("run.sh").read_text() == GOOD


def test_an_error_names_a_path_without_what_a_terminal_obeys() -> None:
    ran = _run("no\x1b[31m\n::error::such")
    assert (ran.returncode, ran.stderr) == (2, b"kv-roles: no\\x1b[31m \\x3a:error::such does not exist.\n")


def test_more_than_is_read_of_standard_input_is_unread_and_passed_on_whole() -> None:
    data = b"#" * (9 << 20) + b"\n" + GOOD.encode()
    ran = _run("--check", "-", input=data)
    assert ran.returncode == 1
    assert b"-:1:1: KVR190 skipped: larger than 8 MB" in ran.stdout
    ran = _run("--write", "-", input=data)
    assert ran.stdout == data


def test_json_says_what_was_looked_at_and_what_was_passed_over() -> None:
    Path("run.sh").write_text(GOOD)
    Path("a.png").write_bytes(b"x")
    Path("node_modules").mkdir()
    report = json.loads(_run("--json", ".").stdout)
    assert (report["looked_at"], report["passed_over"]) == (1, {"binary": 1, "environment": 1})
    assert [f["means"] for f in report["findings"]] == ["role"]


def test_sarif_places_are_relative_to_a_named_base_or_whole() -> None:
    Path("in").mkdir()
    Path("in/a b.sh").write_text(GOOD)
    Path("out.sh").write_text(GOOD)
    whole = str(Path("in/a b.sh").absolute())
    log = json.loads(_run("--sarif", whole, "../out.sh", cwd="in").stdout)["runs"][0]
    found = [r["locations"][0]["physicalLocation"]["artifactLocation"] for r in log["results"]]
    assert found == [
        {"uri": "a%20b.sh", "uriBaseId": "%SRCROOT%"},
        {"uri": "out.sh", "uriBaseId": "%SRCROOT2%"},
    ]
    assert log["originalUriBaseIds"] == {
        "%SRCROOT%": {"uri": f"{Path('in').absolute().as_uri()}/"},
        "%SRCROOT2%": {"uri": f"{Path.cwd().as_uri()}/"},
    }
