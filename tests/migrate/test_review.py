"""``migrate --review`` in a real terminal: keys, answers kept at each key, undo, and what is left when the terminal goes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pexpect
import pytest
from support.cost import slow_but
from support.mounts import Mounts

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
TOOL = [sys.executable, "-m", "kvcommand.main", "migrate"]
ANSWERS = Path(".kv-roles.toml")


@pytest.fixture(autouse=True)
def _files(here: Path) -> None:
    for name in "abc":
        Path(f"{name}.sh").write_text(f"#!/bin/bash\n# server {name}\n{UNSAID}")


class Screen:
    """A terminal of 80 columns in which a review runs."""

    def __init__(self, *args: str, width: int = 80, **env: str) -> None:
        environment = {"TERM": "xterm", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", **os.environ, **env}
        environment.pop("COLUMNS", None)
        if env.get("NO_COLOR") == "":
            environment.pop("NO_COLOR")
        self.child = pexpect.spawn(
            TOOL[0],
            [*TOOL[1:], "--review", *args],
            env=environment,
            dimensions=(24, width),
            encoding="utf-8",
            timeout=60,
        )
        self.text = ""

    def until(self, words: str) -> str:
        """What is shown up to ``words``, which are waited for."""
        self.child.expect_exact(words)
        self.text += self.child.before + words
        return str(self.child.before)

    def press(self, keys: str) -> None:
        self.child.send(keys)

    def end(self) -> int:
        """The exit code, once it has ended by itself."""
        self.child.expect(pexpect.EOF)
        self.text += self.child.before
        self.child.close()
        code = self.child.exitstatus
        return -self.child.signalstatus if code is None else code


def _answers() -> list[dict[str, str]]:
    return tomllib.loads(ANSWERS.read_text()).get("answer", []) if ANSWERS.exists() else []


def _roles() -> list[str]:
    return [re.findall(r"kv_(?:both|producer|consumer)", Path(f"{n}.sh").read_text())[0] for n in "abc"]


def test_each_case_is_shown_answered_kept_and_written_once_agreed() -> None:
    screen = Screen("--check", ".")
    shown = screen.until("(1 of 3) Which side? [p,d,b,s,u,q,?] ")
    assert "a.sh:3" in shown
    assert "KVR110 nothing says whether it is prefill or decode" in shown
    assert "  2 # server a" in shown
    assert "> 3 " in shown
    assert "^^^^^^^" in shown
    assert not ANSWERS.exists()
    screen.press("p")
    screen.until("(2 of 3) Which side? ")
    assert [(a["file"], a["side"]) for a in _answers()] == [("a.sh", "prefill")]  # at its key
    screen.press("d")
    screen.until("(3 of 3) Which side? ")
    screen.press("b")
    screen.until("Why does it stay kv_both? ")
    screen.press("either sode\x7f\x7f\x7fide may send\r")
    screen.until("3 answers are kept in .kv-roles.toml.")
    assert _roles() == ["kv_both"] * 3
    diff = screen.until("Write 2 roles in 2 files? [y,n] ")
    assert '+vllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_pro' in diff
    screen.press("y")
    assert screen.end() == 0
    assert _roles() == ["kv_producer", "kv_consumer", "kv_both"]
    assert _answers()[-1]["because"] == "either side may send"
    assert "2 roles written" in screen.text
    assert "1 kept by answer" in screen.text
    again = subprocess.run([*TOOL, "--check", "."], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout


def test_undo_skip_and_quit_and_what_no_key_is() -> None:
    ANSWERS.write_text('# mine\nexclude = ["old/**"]  # of last year\n')
    before = ANSWERS.read_text()
    screen = Screen(".")
    screen.until("(1 of 3) Which side?")
    screen.press("u")
    screen.until("This is the first one.")
    screen.until("(1 of 3) Which side?")
    screen.press("\x1b[A")  # an arrow
    screen.until("?  this help")
    screen.until("(1 of 3) Which side?")
    screen.press("p")
    screen.until("(2 of 3) Which side?")
    assert "# mine" in ANSWERS.read_text()
    assert "# of last year" in ANSWERS.read_text()
    screen.press("u")
    screen.until("(1 of 3) Which side?")
    assert ANSWERS.read_text() == before
    screen.press("s")
    screen.until("(2 of 3) Which side?")
    screen.press("b")
    screen.until("Why does it stay kv_both? ")
    screen.press("\r")
    screen.until("Without a reason nothing is kept.")
    screen.until("(2 of 3) Which side?")
    screen.press("d")
    screen.until("(3 of 3) Which side?")
    screen.press("q")
    screen.until("Write 1 role in 1 file? [y,n] ")
    screen.press("n")
    assert screen.end() == 0
    assert _roles() == ["kv_both"] * 3
    assert [a["file"] for a in _answers()] == ["b.sh"]


def test_with_write_it_does_not_ask() -> None:
    screen = Screen("--write", "a.sh")
    screen.until("(1 of 1) Which side?")
    screen.press("p")
    assert screen.end() == 0
    assert "Write" not in screen.text
    assert _roles()[0] == "kv_producer"


@pytest.mark.parametrize("how", slow_but(["interrupt"], ["interrupt", "hang up", "interrupt in a reason"]))
def test_what_was_answered_is_kept_when_the_review_is_broken_off(how: str) -> None:
    screen = Screen("--write", ".")
    screen.until("(1 of 3) Which side?")
    screen.press("p")
    screen.until("(2 of 3) Which side?")
    if how == "interrupt":
        screen.child.sendintr()
        assert screen.end() == 130
        assert "every answer given is kept" in " ".join(screen.text.split())
    elif how == "hang up":
        screen.child.close()  # the terminal goes, and with it the process
    else:
        screen.press("b")
        screen.until("Why does it stay kv_both? ")
        screen.press("half a reason\x03")
        assert screen.end() == 130
    assert [(a["file"], a["side"]) for a in _answers()] == [("a.sh", "prefill")]
    assert _roles() == ["kv_both"] * 3
    assert sorted(p.name for p in Path().iterdir()) == [".kv-roles.toml", "a.sh", "b.sh", "c.sh"]
    if how == "hang up":
        again = Screen("--write", ".")
        again.until("(1 of 2) Which side?")
        again.press("d")
        again.until("(2 of 2) Which side?")
        again.press("d")
        assert again.end() == 0


def test_unread_places_and_whole_files_take_a_reason_and_no_side() -> None:
    for name in "abc":
        Path(f"{name}.sh").unlink()
    Path("é.txt").write_bytes(b"# \xc3\xa9\n" + "é".encode() + b"(" * 3000 + b" kv_both\n")
    Path("x.lua").write_text("role = kv_both\n")
    Path("y.txt").write_bytes(b"\xff kv_both\n")
    screen = Screen("--check", ".")
    screen.until("(1 of 3) Which side? [b,s,u,q,?] ")
    screen.press("p")
    screen.until("A side does not settle this one.")
    screen.until("(1 of 3) Which side? [b,s,u,q,?] ")
    screen.press("bthe engine reads it, not vLLM\r")
    screen.until("(2 of 3) Which side? [b,s,u,q,?] ")
    screen.press("ban old log\r")
    screen.until("(3 of 3) Which side? [b,s,u,q,?] ")
    screen.press("bbrackets alone\r")
    assert screen.end() == 0
    assert "3 kept by answer" in screen.text
    assert "no NIXL role" not in screen.text


def test_nothing_from_a_name_or_a_line_moves_the_cursor_and_no_line_is_wider_than_the_terminal() -> None:
    for name in "abc":
        Path(f"{name}.sh").unlink()
    Path("e\x1b[2Jvil\n::error::.sh").write_text("# \x1b]0;title\x07 " + "x" * 200 + f"\nA={'y' * 300} 键{UNSAID}")
    screen = Screen(".", TERM="dumb")  # without the bar of the search
    shown = screen.until("(1 of 1) Which side?")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\\x1b[2Jvil\\n" in shown
    assert "...vllm serve" in shown or "kv_both" in shown
    assert max(len(line) for line in shown.split("\r\n") if "\\x1b[2J" not in line) <= 80
    screen.press("q")
    assert screen.end() == 0


@pytest.mark.slow
def test_colours_only_where_they_are_wanted() -> None:
    screen = Screen("a.sh", NO_COLOR="")
    assert "\x1b[1ma.sh:3\x1b[0m" in screen.until("Which side?")
    screen.press("q")
    assert screen.end() == 0


def test_a_suggestion_is_shown_and_not_written() -> None:
    for name in "abc":
        Path(f"{name}.sh").unlink()
    Path("decode.yaml").write_text(f"name: decode\nargs: ['--kv-transfer-config', '{NIXL}']\n")
    screen = Screen("--write", ".")
    shown = screen.until("(1 of 1) Which side?")
    assert "suggestion:  decode, by words too weak to act on" in shown
    assert "for decode:" in shown
    assert "for prefill: nothing" in shown
    screen.press("s")
    assert screen.end() == 0
    assert "kv_both" in Path("decode.yaml").read_text()
    assert not ANSWERS.exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "asks on a terminal, and standard input or output is none"),
        (["--json"], "goes not with -o json"),
        (["--sarif"], "goes not with -o sarif"),
        (["--diff"], "goes not with --diff"),
    ],
)
def test_without_a_terminal_it_is_an_error(args: list[str], words: str) -> None:
    ran = subprocess.run([*TOOL, "--review", *args, "."], input="p\n", capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert words in " ".join(ran.stderr.split())
    assert not ANSWERS.exists()


@pytest.mark.slow
def test_answers_are_not_kept_through_a_link() -> None:
    Path("mine.toml").write_text("# mine\n")
    ANSWERS.symlink_to("mine.toml")
    screen = Screen("a.sh")
    screen.until("(1 of 1) Which side?")
    screen.press("p")
    assert screen.end() == 1
    assert "it is a link" in " ".join(screen.text.split())
    assert Path("mine.toml").read_text() == "# mine\n"


@pytest.mark.slow
def test_a_line_that_changed_meanwhile_is_not_answered() -> None:
    screen = Screen("a.sh")
    screen.until("(1 of 1) Which side?")
    Path("a.sh").write_text(UNSAID.replace("serve m", "serve other"))
    screen.press("p")
    screen.until("The file changed since it was read")
    screen.until("(1 of 1) Which side?")
    screen.press("s")
    assert screen.end() == 0
    assert not ANSWERS.exists()


@pytest.mark.slow
def test_a_full_disk_leaves_the_answers_file_as_it_was_and_says_so(tmp_path: Path) -> None:
    """The disk fills up between two answers: the first is kept, the second is refused, and no file is half written."""
    mounts = Mounts()
    try:
        disk = mounts.small_disk(tmp_path / "disk", "256k")
        for name in "abc":
            (disk / f"{name}.sh").write_text(f"#!/bin/bash\n# server {name}\n{UNSAID}")
        (disk / ".git").mkdir()
        os.chdir(disk)
        screen = Screen("--write", ".")
        screen.until("(1 of 3) Which side? ")
        screen.press("p")
        screen.until("(2 of 3) Which side? ")
        before = {p: p.read_bytes() for p in disk.iterdir() if p.is_file()}
        assert [a["file"] for a in _answers()] == ["a.sh"]
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        screen.press("d")
        assert screen.end() == 1
        said = " ".join(screen.text.split())
        assert "The answer cannot be kept in " in said
        assert "No space left on device" in said
        assert "The answers before it are kept. Mend that and run again" in said
        assert "Traceback" not in said
        (disk / "filler").unlink()
        assert {p: p.read_bytes() for p in disk.iterdir() if p.is_file()} == before
        again = Screen("--write", ".")
        again.until("(1 of 2) Which side? ")  # it goes on with the rest
        again.press("d")
        again.until("(2 of 2) Which side? ")
        again.press("d")
        assert again.end() == 0
        assert [(a["file"], a["side"]) for a in _answers()] == [
            ("a.sh", "prefill"),
            ("b.sh", "decode"),
            ("c.sh", "decode"),
        ]
    finally:
        os.chdir(tmp_path)
        mounts.close()


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_keeps_no_answers_file_at_all(tmp_path: Path) -> None:
    mounts = Mounts()
    try:
        disk = mounts.small_disk(tmp_path / "disk", "64k")
        (disk / "a.sh").write_text(UNSAID)
        os.chdir(disk)
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        screen = Screen(".")
        screen.until("(1 of 1) Which side? ")
        screen.press("p")
        assert screen.end() == 1
        assert "No space left on device" in " ".join(screen.text.split())
        assert sorted(p.name for p in disk.iterdir()) == ["a.sh", "filler"]
    finally:
        os.chdir(tmp_path)
        mounts.close()


@pytest.mark.parametrize("before", ["", '# mine\nexclude = ["old/**"]\n'], ids=["no settings", "settings"])
@pytest.mark.parametrize("theirs", ["# theirs\n", '[side]\n"z.sh" = "decode"\n'], ids=["comment", "row"])
def test_an_answer_that_was_withdrawn_is_gone_whatever_others_wrote_meanwhile(before: str, theirs: str) -> None:
    if before:
        ANSWERS.write_text(before)
    screen = Screen("--write", "a.sh", "b.sh")
    screen.until("(1 of 2) Which side?")
    screen.press("p")
    screen.until("(2 of 2) Which side?")
    with ANSWERS.open("a") as f:
        f.write(theirs)
    screen.press("u")
    screen.until("(1 of 2) Which side?")
    screen.press("q")
    assert screen.end() == 0
    assert _roles() == ["kv_both"] * 3
    assert _answers() == []
    assert ANSWERS.read_text().startswith(before)
    assert ANSWERS.read_text().endswith(theirs)


def test_an_answer_that_cannot_be_withdrawn_ends_the_review_and_nothing_is_written() -> None:
    screen = Screen("--write", "a.sh", "b.sh")
    screen.until("(1 of 2) Which side?")
    screen.press("p")
    screen.until("(2 of 2) Which side?")
    ANSWERS.write_text(ANSWERS.read_text().replace('"prefill"', '"decode"'))
    screen.press("u")
    assert screen.end() == 1
    assert "The answer that was taken back stays in .kv-roles.toml" in " ".join(screen.text.split())
    assert _roles() == ["kv_both"] * 3
    assert [a["side"] for a in _answers()] == ["decode"]


def test_the_second_line_of_a_pasted_reason_is_no_key() -> None:
    screen = Screen("--write", ".")
    screen.until("(1 of 3) Which side?")
    screen.press("b")
    screen.until("Why does it stay kv_both? ")
    screen.press("either side\rp\rd may send\r")
    screen.until("(2 of 3) Which side?")
    screen.press("s")
    screen.until("(3 of 3) Which side?")
    screen.press("q")
    assert screen.end() == 0
    assert _roles() == ["kv_both"] * 3
    assert [(a["file"], a["because"]) for a in _answers()] == [("a.sh", "either side")]


@pytest.mark.parametrize("how", ["deleted", "truncated", "shorter"])
def test_a_file_that_is_gone_while_a_question_stands_is_told_and_the_review_goes_on(how: str) -> None:
    screen = Screen("--write", ".")
    screen.until("(1 of 3) Which side?")
    if how == "deleted":
        Path("b.sh").unlink()
    else:
        Path("b.sh").write_text("" if how == "truncated" else "#!/bin/bash\n")
    screen.press("s")
    assert "The file changed since it was read" in screen.until("(2 of 3) Which side?")
    screen.press("s")
    screen.until("(3 of 3) Which side?")
    screen.press("d")
    screen.end()
    assert "Traceback" not in screen.text
    assert "kv_consumer" in Path("c.sh").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_review_that_is_ended_by_a_signal_leaves_a_terminal_that_shows_what_is_typed(number: signal.Signals) -> None:
    screen = Screen("a.sh")
    screen.until("(1 of 1) Which side?")
    assert not screen.child.getecho()
    os.kill(screen.child.pid, number)
    screen.child.expect(pexpect.EOF)  # which is waited for no longer than the screen's time
    screen.child.wait()
    assert screen.child.signalstatus == number
    assert screen.child.getecho()


def test_a_terminal_that_does_not_say_how_wide_it_is_is_taken_for_80_columns() -> None:
    screen = Screen("a.sh", width=0)
    assert "-" * 80 in screen.until("(1 of 1) Which side?")
    screen.press("q")
    assert screen.end() == 0
