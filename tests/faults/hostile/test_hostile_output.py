"""What is printed: a name, an answer or a line that others wrote is text, and an output that fails changes no result."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvroles.console import Parser
from kvroles.errors import UsageError
from kvroles.migrate import cli as migrate
from kvroles.said import as_json, page, said
from kvworkshop.pages import policy
from support.driver import Ran, is_a_paragraph, script
from support.tiny import Tiny

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).resolve().parents[3] / "tools"
# What writes to a standard stream itself, and why.
_ITSELF = {
    "kvroles/console.py": "it is the one way to print",
    "kvroles/__init__.py": "speaks before anything can be imported",
    "kvroles/progress.py": "draws over its own line",
    "kvroles/migrate": "has a report of its own, which escapes by form",
    "kvworkshop/runtime/drivers": "runs inside vLLM's interpreter, where nothing of ours can be imported",
    "kvroles/vendored/installed/construction.py": "the text of a program for another interpreter",
}
BAD = "a\x1b[2Jb\r\n::error::c\u202egnp.\u200b"


@given(st.text())
def test_a_foreign_string_is_one_line_without_anything_a_terminal_obeys(text: str) -> None:
    shown = said(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\u061c\ufeff")
    shown.encode()
    assert said(shown) == shown


@given(st.text(alphabet=":#[]va so\n\terr"))
def test_a_foreign_string_gives_a_ci_runner_no_command(text: str) -> None:
    for line in (said(text), *page(text).split("\n"), *said(f"x {text}").split(" "), as_json({"a": text})):
        assert not line.strip().startswith("::")
        assert "##[" not in line
        assert "##vso[" not in line


def test_an_error_s_paragraph_is_safe_whoever_prints_it() -> None:
    assert str(UsageError(f"{BAD} is odd", found=BAD, fix=BAD)).isprintable()


@pytest.mark.parametrize("path", sorted(TOOLS.rglob("*.py")), ids=lambda p: str(p.relative_to(TOOLS)))
def test_there_is_one_way_to_print(path: Path) -> None:
    inside = path.relative_to(TOOLS).as_posix()
    if any(inside.startswith(known) for known in _ITSELF):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        stream = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")
        round_it = called in ("print", "argparse.ArgumentParser") or (stream and not _only_asked(node, path))
        assert not round_it, f"{inside}:{getattr(node, 'lineno', 0)}"


def _only_asked(node: ast.AST, path: Path) -> bool:
    """Whether the line at ``node`` asks for a property of the stream, or names a type, and writes nothing."""
    line = path.read_text().splitlines()[getattr(node, "lineno", 1) - 1]
    return "isatty" in line or ".flush()" in line


@pytest.mark.parametrize(
    "argv", [("--into",), ("--output",), ("--vllm-rev",), ("--upstream", "x", "--vllm-rev"), ("--with",)]
)
def test_an_argument_puts_nothing_into_a_terminal_or_a_ci_log(
    tiny: Tiny, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    ran = script(tiny.apply, *argv, BAD, cwd=tmp_path)
    assert ran.code == 2
    harmless(ran)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_name_of_a_tree_puts_nothing_into_a_terminal_or_a_ci_log(
    tiny: Tiny, tmp_path: Path, form: tuple[str, ...]
) -> None:
    tree = tiny.unpack(tmp_path / BAD)
    ran = script(tiny.apply, "--into", tree, *form, cwd=tmp_path)
    assert ran.code == 0
    harmless(ran)


def harmless(ran: Ran) -> None:
    for line in (ran.out + ran.err).split("\n"):
        assert line.isprintable(), repr(line)
        assert not line.lstrip().startswith("::"), line


@pytest.mark.parametrize(
    "argv", [["http://u:secret@h/"], ["--index-url=http://u:secret@h", "--nope"], ["--jobs", "u:secret@h"]]
)
def test_an_argument_nobody_asked_for_gives_away_no_credential(
    argv: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    parser = Parser(prog="x", allow_abbrev=False)
    parser.add_argument("--jobs", type=int)
    with pytest.raises(SystemExit) as e:
        parser.parse_args(argv)
    assert e.value.code == 2
    assert "secret" not in capfd.readouterr().err


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    "given", ["http://u:secret@h/x", "u:secret@h", "https:/u:secret@h", "u:sec/ret@h", "ssh://u:secret@h:1"]
)
@pytest.mark.parametrize(
    "option",
    ["", "--config=", "--baseline=", "--from-list=", "--target-vllm=", "--side=", "--nothing=", "-o", "--jobs "],
    ids=lambda o: o or "path",
)
def test_an_address_given_for_something_else_gives_away_its_password(
    option: str,
    given: str,
    form: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A repository's address where a path is asked for is a slip of every day."""
    monkeypatch.chdir(tmp_path)
    argv = [f"{option}{given}", *form, *(["."] if option else [])]
    for words in (argv, ["x", *form, given]):  # a path behind an option is none
        assert migrate.main(words) == 2
    out, err = capfd.readouterr()
    assert "secret" not in (out + err).replace("sec/ret", "secret")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("argv", "code"), [("--list", 0), ("--list --vllm-rev 0.8.5", 2), ("--nonsense", 2)])
def test_a_closed_stream_changes_no_exit_code(tiny: Tiny, closed: str, argv: str, code: int) -> None:
    command = f"'{sys.executable}' '{tiny.apply}' {argv} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_closed_stream_takes_no_output_into_a_file_of_the_tree(tiny: Tiny, tmp_path: Path) -> None:
    tree = tiny.unpack(tmp_path / "vllm")
    subprocess.run(["bash", "-c", f"'{sys.executable}' '{tiny.apply}' --into '{tree}' >&- 2>&-"], check=True)
    assert script(tiny.apply, "--into", tree, cwd=tmp_path).ok().out.count("applied already") == 1


@pytest.mark.parametrize(
    ("argv", "code"), [("--list --json", 0), ("--vllm-rev 0.8.5 --list", 2), ("--help", 0), ("", 2)]
)
def test_a_reader_that_hung_up_changes_no_exit_code(tiny: Tiny, argv: str, code: int) -> None:
    command = f"'{sys.executable}' '{tiny.apply}' {argv} 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{code}\n", "")


def test_a_full_disk_under_the_output_comes_after_the_whole_change(tiny: Tiny, tmp_path: Path) -> None:
    tree = tiny.unpack(tmp_path / "vllm")
    with open("/dev/full", "w") as full:
        command = [sys.executable, str(tiny.apply), "--into", str(tree)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    is_a_paragraph(done.stderr)
    assert "applied already" in script(tiny.apply, "--into", tree, cwd=tmp_path).ok().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_an_encoding_that_lacks_a_character_ends_no_run(tiny: Tiny, tmp_path: Path, encoding: str) -> None:
    tree = tiny.unpack(tmp_path / "\u8bbe\u7f6e\U0001f600")
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    script(tiny.apply, "--into", tree, cwd=tmp_path, env=env)
    ran = script(tiny.apply, "--into", tree, cwd=tmp_path, env=env)
    assert (ran.code, ran.err.replace("\x00", "")) in ((0, ""), (0, "\xff\xfe"))


def test_an_old_python_says_which_one_is_needed(tiny: Tiny) -> None:
    code = f"import sys; sys.version_info = (3, 10, 4); sys.argv = ['apply.py']; sys.path.insert(0, {str(TOOLS)!r}); import kvroles"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Python 3.11" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_that_came_with_the_text_of_a_page_is_let_run_by_its_policy(tmp_path: Path) -> None:
    """The policy names scripts by their hashes: one that somebody else's text brought must not be among them."""
    page = '<head><meta charset="utf-8"><script>own=new URL("{}",location)</script></head><body>{}</body>'
    for name, root in (("a", "."), ("b", ".."), ("404", "/dev/")):
        (tmp_path / f"{name}.html").write_text(page.format(root, name))
    assert policy.seal(tmp_path) == 3
    assert "sha256-" in (tmp_path / "a.html").read_text()
    (tmp_path / "b.html").write_text(page.format("..", "</article><script>alert(1)</script>"))
    with pytest.raises(ValueError, match=r"b\.html: a script that no other page has: 'alert"):
        policy.seal(tmp_path)
