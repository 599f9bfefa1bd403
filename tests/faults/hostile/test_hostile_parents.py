"""Whoever starts a run leaves it signals, streams and a folder: none of them makes a failed check pass, a report end in the middle,
or a run last for ever."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wheels
from support.driver import Ran
from support.tiny import Tiny

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).resolve().parents[3] / "tools"
ROLE = 'vllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'


def started(*argv: str | Path, cwd: Path, before: Callable[[], object] | None = None, **env: str) -> Ran:
    """Run a tool by this interpreter, after ``before`` in its process."""
    command = [sys.executable, *map(str, argv)]
    kw = {"cwd": cwd, "env": {**os.environ, **env}, "stdin": subprocess.DEVNULL, "timeout": 60}
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=before, **kw)  # type: ignore[call-overload]
    return Ran(done.returncode, done.stdout, done.stderr)


_PARSES = """
from kvroles import console
from kvroles.contract import clauses
console.start()
print(*[b.path for b in clauses.shells_parse({"a.sh": b"a() { b\\n", "b.sh": b"echo\\n"})[0]])
"""


@pytest.mark.parametrize("ignored", [False, True])
def test_a_parent_that_ignores_its_children_makes_no_failed_check_pass(tmp_path: Path, ignored: bool) -> None:
    """Where SIGCHLD is ignored, the exit code of a child is lost, and Python takes it for 0."""
    ignore = (lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) if ignored else None
    assert started("-c", _PARSES, cwd=tmp_path, before=ignore, PYTHONPATH=str(TOOLS)).ok().out == "a.sh\n"


@pytest.mark.parametrize("argv", [("--check", "--json"), ("--check", "--sarif")], ids=lambda a: a[1])
def test_a_pipe_that_takes_no_more_gets_the_whole_report_in_the_end(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A parent may share a pipe that does not wait (Node does): it then takes 64 KiB, and an error for the rest."""
    for n in range(150):
        (tmp_path / f"run{n}.sh").write_text(ROLE)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([sys.executable, TOOLS / "migrate.py", *argv, "."], cwd=tmp_path, stdout=writer) as run:
        os.close(writer)
        with open(reader, "rb") as stream:
            first = os.read(reader, 1)  # it prints now; what is read from here on is read after the pipe was full
            report = first + stream.read()
    assert len(report) > 1 << 16
    assert json.loads(report)
    assert run.returncode == 1


def test_an_input_that_does_not_wait_is_waited_for(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    argv = [sys.executable, TOOLS / "migrate.py", "--check", "-"]
    with subprocess.Popen(argv, cwd=tmp_path, stdin=reader, stdout=subprocess.PIPE, text=True) as run:
        while run.poll() is None and not os.get_blocking(reader):  # until it is about to read, or has given up
            pass
        os.close(reader)
        os.write(writer, ROLE.encode())
        os.close(writer)
        out, _ = run.communicate(timeout=60)
    assert (run.returncode, "KVR110" in out) == (1, True)


@pytest.mark.parametrize("flag", ["-P", "-I"])
@pytest.mark.parametrize("tool", ["apply", "vendor", "migrate", "verify", "port"])
def test_a_checkout_s_tool_runs_the_checkout_s_code(tmp_path: Path, tool: str, flag: str) -> None:
    """Under -P (PYTHONSAFEPATH in many images) a script's own folder is not on the path: an installed release would run instead."""
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tools/kvroles/__init__.py").write_text("raise SystemExit('this checkout')\n")
    assert started(flag, tmp_path / "tools" / f"{tool}.py", "--help", cwd=tmp_path).err == "this checkout\n"


_WITHOUT_THREADS = """
import runpy, sys, threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("what", ["tree", "wheel"])
def test_a_parent_that_allows_no_threads_ends_a_run_in_a_traceback(tiny: Tiny, tmp_path: Path, what: str) -> None:
    wheel = wheels.make(tmp_path / "in")
    argv = {
        "tree": ("apply.py", "--vllm-rev", "0.22.1", "--output", "new", "--offline", "--cache-dir", tiny.cache),
        "wheel": ("vendor.py", "wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", "new"),
    }[what]
    tool = tiny.root / "tools" / argv[0]
    ran = started("-c", _WITHOUT_THREADS, tool, *argv[1:], cwd=tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "The run ended for lack of threads" in ran.said
    assert not [p for p in tmp_path.glob("new/*") if p.suffix != ".lock"]
    started(tool, *argv[1:], cwd=tmp_path).ok()


def test_a_run_from_a_folder_that_was_deleted_says_so(tmp_path: Path) -> None:
    def leave() -> None:
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")

    (tmp_path / "a dir").mkdir()
    ran = started(TOOLS / "migrate.py", "--check", ".", cwd=tmp_path / "a dir", before=leave)
    assert (ran.code, ran.out) == (2, "")
    assert "The current folder was deleted. Go to one that exists (`cd`)" in ran.said
    assert started(TOOLS / "migrate.py", "--check", ".", cwd=tmp_path / "a dir").code == 0
