"""A reader that crashes, hangs or gives up costs the file it read, no other; that file is unread, with its lines."""

from __future__ import annotations

import faulthandler
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.migrate import cli, findings, run
from kvroles.migrate.files import workers

GOOD = '# prefill\nvllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'


@pytest.fixture(autouse=True)
def _files(here: Path) -> None:
    for n in range(6):
        Path(f"good{n}.sh").write_text(GOOD)
    Path("bad.sh").write_text(f"\n{GOOD}")


def _spoilt(monkeypatch: pytest.MonkeyPatch, what: object) -> None:
    real, parent = findings.of_file, os.getpid()

    def of_file(
        ctx: findings.File, options: findings.Options, beside: Callable[[str], list[findings.Finding]]
    ) -> list[findings.Finding]:
        assert os.getpid() != parent, "the process that reports never reads a text itself"
        if ctx.path == "bad.sh":
            faulthandler.disable()  # pytest's own would print where the crash that is wanted happened
            assert callable(what)
            what()
        return real(ctx, options, beside)

    monkeypatch.setattr(findings, "of_file", of_file)


def _spin() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "the process that read it was ended by SIGSEGV"),
        (lambda: os._exit(3), "the process that read it ended with 3"),
        (_spin, "reading it takes too long"),
        (lambda: bytearray(1 << 40), "nested too deep, or too large for the memory that reading may take"),
        (lambda: [][0], "reading it failed (IndexError: list index out of range); nothing in it was changed"),
    ],
    ids=["crash", "exit", "hang", "memory", "exception"],
)
@pytest.mark.parametrize("cores", [1, 3])
def test_a_file_that_ends_its_process_is_unread_and_the_others_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: object, why: str, cores: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    # Of processor time, and for that file alone: on a busy machine the others take as long as they need.
    monkeypatch.setattr(run, "budget", lambda size: 0.2 if size > len(GOOD) else 60.0)
    monkeypatch.setattr(workers, "_SLOWEST", 1 << 30)
    _spoilt(monkeypatch, what)
    assert cli.main(["--check", "--write", "."]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert f"bad.sh:3:79: KVR118 unread: {why}" in out
    assert "6 roles written" in out
    assert Path("bad.sh").read_text() == f"\n{GOOD}"


def test_standard_input_is_read_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr(findings, "of_file", crash)
    result = run.of_input(GOOD.encode(), run.Options(run.settings.Settings()))
    assert result is not None
    assert [(f.code, f.line) for f in result.findings] == [("KVR118", 2)]


def test_a_process_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still, save while a process waits for what never comes."""
    waits, hours, kill = Path("waits"), itertools.count(step=3600.0), os.kill

    def ended(pid: int, number: int) -> None:
        kill(pid, number)
        waits.unlink(missing_ok=True)

    monkeypatch.setattr(time, "monotonic", lambda: next(hours) if waits.exists() else 0.0)
    monkeypatch.setattr(os, "kill", ended)

    def work(item: int) -> int:
        if item == 1:
            waits.touch()
            signal.pause()
        return item * 2

    made = workers.each(work, [0, 1, 2, 3], budget=lambda _: 0.5, load=lambda: None)
    assert made == [0, workers.Lost("reading it did not come to an end"), 4, 6]


def test_results_come_in_order_whatever_their_size() -> None:
    made = workers.each(lambda n: bytes(n), list(range(0, 400_000, 9_999)), budget=lambda _: 9, load=lambda: None)
    assert [len(b) for b in made if isinstance(b, bytes)] == list(range(0, 400_000, 9_999))


def test_no_process_is_left_behind() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("odd")
        return item

    before = _children()
    with pytest.raises(ValueError, match="odd"):
        workers.each(work, list(range(9)), budget=lambda _: 9, load=lambda: None)
    assert _children() <= before


def _children() -> set[str]:
    """The process numbers of this process's children; other tests may have left one that they wait for later."""
    with subprocess.Popen(["ps", "-A", "-o", "ppid=,pid="], stdout=subprocess.PIPE, text=True) as ps:
        rows = [line.split() for line in ps.communicate()[0].splitlines()]
    return {pid for ppid, pid in rows if int(ppid) == os.getpid()} - {str(ps.pid)}


def test_brackets_deeper_than_a_parser_bears_are_not_given_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("deep.go").write_text("package a\nvar x = " + "[" * 60_000 + "\n// kv_both\n")
    assert cli.main(["--check", "deep.go"]) == 1
    assert "deep.go:3:4: KVR118 unread: brackets are nested more than 1000 deep" in capsys.readouterr().out


PATTERNS = {
    "a.py": "<!--", "b.sh": "kv_both ", "c.md": "prefill_decode_", "d.j2": "\n", "e.yaml": "{{ a }} ", "f.go": "[", "g.js": "prefill.",
    "h.yaml": "kv_role: kv_both\n", "i.json": '"kv_both",', "j.tf": "A=kv_both\n", "k.ps1": "<!--", "Dockerfile": "$(", "l.toml": "[",
    "m.sh": "<", "n.txt": "{% if a %}",
}  # fmt: skip


@pytest.mark.slow
def test_whatever_is_repeated_a_file_is_read_or_unread_and_the_next_one_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_SECONDS", 0.5)
    for name, pattern in PATTERNS.items():
        Path("many").mkdir(exist_ok=True)
        Path("many", name).write_text(pattern * (80_000 // len(pattern)) + "\n" + GOOD)
    assert cli.main(["--check", "."]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert [name for name in PATTERNS if f"many/{name}:" not in out] == []
    assert out.count("good") == 6


def test_a_file_that_says_it_thousands_of_times_is_one_finding(capsys: pytest.CaptureFixture[str]) -> None:
    Path("many.txt").write_text("x\n" + "kv_both\n" * 3_000)
    assert cli.main(["--check", "many.txt"]) == 1
    assert "many.txt:2:1: KVR118 unread: it holds kv_both 3000 times" in capsys.readouterr().out


def test_the_colours_of_a_log_are_no_brackets_that_are_never_closed() -> None:
    coloured = "\x1b[1;36m(APIServer pid=1)\x1b[0;0m INFO 01-01 10:00:00 ready\n"
    Path("console").write_text(
        coloured * 600 + coloured.replace("ready", "kv_connector='NixlConnector', kv_role='kv_both'")
    )
    assert cli.main(["--check", "console"]) == 0


_COMPILED = """
import sys
from re import _compiler
compiled, whole = [], _compiler.compile
_compiler.compile = lambda *a: compiled.append(a) or whole(*a)
from kvroles.migrate import run, settings
run._ready() if sys.argv[2:] else run.base.load()
before, given = len(compiled), open(sys.argv[1], "rb").read()
run.of_bytes("-", "a.sh", given, run.Options(settings.Settings(), proof=False))
print(len(compiled) - before)
"""


def test_what_most_files_take_is_compiled_before_a_process_is_forked() -> None:
    def left(*ready: str) -> int:
        command = [sys.executable, "-c", _COMPILED, "bad.sh", *ready]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert left("ready") * 4 < left()
