"""Whoever starts a run leaves it signals, streams and a folder: none of them makes a failed check pass, a report end in the middle,
or a run last for ever."""

from __future__ import annotations

import contextlib
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


_FULL = Path("/dev/full")
_TO = {"closed": "-", "full": str(_FULL)}


@pytest.mark.parametrize("how", list(_TO))
@pytest.mark.parametrize(
    ("argv", "code"),
    [(["--help"], 0), ([], 2), (["--version"], 0), (["--print-completion", "bash"], 0), (["--print-completion"], 2), (["nosuch"], 2)],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)  # fmt: skip
def test_a_stream_that_is_closed_or_full_makes_a_traceback_of_the_help(
    tmp_path: Path, argv: list[str], code: int, how: str
) -> None:
    """What could not be written for want of a disk is told by the code; what nobody wants to read changes none."""
    assert _FULL.is_char_device()
    for fd in (1, 2):
        main = f"import sys; sys.path.insert(0, {str(TOOLS)!r}); from kvcommand.main import main; sys.exit(main())"
        script = f'exec {fd}>&{_TO[how]}; exec "$@"' if how == "closed" else f'exec {fd}>"{_TO[how]}"; exec "$@"'
        ran = subprocess.run(
            ["bash", "-c", script, "bash", sys.executable, "-c", main, *argv],
            cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        lost = how == "full" and fd == 1 and code == 0
        assert "Traceback" not in ran.stderr
        assert ran.returncode == (1 if lost else code), (fd, ran)
        assert ("Standard output cannot be written: No space left on device" in ran.stderr) == lost


def test_a_library_that_is_not_there_ends_kv_roles_in_a_traceback(tmp_path: Path) -> None:
    main = "import sys; sys.modules['shtab'] = None; from kvcommand.main import main; sys.exit(main())"
    ran = started("-c", main, "--print-completion", "bash", cwd=tmp_path, PYTHONPATH=str(TOOLS))
    assert (ran.code, ran.out) == (2, "")
    assert "kv-roles: It needs the library 'shtab'" in ran.said


@pytest.mark.parametrize("tool", sorted(p.stem for p in TOOLS.glob("*.py")))
def test_an_interrupt_before_a_tool_has_begun_ends_it_in_a_traceback(tmp_path: Path, tool: str) -> None:
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "tools/kvroles/__init__.py"
    module.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n" + module.read_text())
    ran = started(tmp_path / "tools" / f"{tool}.py", "--help", cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (-signal.SIGINT, "", "")


def test_an_interrupt_of_a_tool_that_has_begun_is_told(tmp_path: Path) -> None:
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "tools/kvroles/apply/command.py"
    module.write_text(
        module.read_text().replace("def run(args", "def run(_): signal.raise_signal(2)\nimport signal\ndef old(args")
    )
    ran = started(tmp_path / "tools/apply.py", "--list", cwd=tmp_path)
    assert (ran.code, "Traceback" in ran.err) == (130, False)
    assert "apply.py: interrupted" in ran.said


_INTERRUPTED = """
import os, signal, sys
from kvcommand import main
main.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT)
sys.exit(main.main())
"""


@pytest.mark.parametrize("argv", [["."], ["apply", "--list"], ["verify"], ["--print-completion", "zsh"]])
def test_an_interrupt_while_a_command_is_loaded_ends_it_in_a_traceback(tmp_path: Path, argv: list[str]) -> None:
    ran = started("-c", _INTERRUPTED, *argv, cwd=tmp_path, PYTHONPATH=str(TOOLS))
    prog = f"kv-roles {argv[0]}" if argv[0].isalpha() else "kv-roles"
    assert (ran.code, ran.out, ran.err) == (130, "", f"{prog}: interrupted.\n")


_AT_EACH_RELEASE = """
import os, runpy, signal, sys, time
tool, act, *argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(tool))
from kvworkshop.verify import prove
proven = prove.prove_release
def prove_release(release, *args, **kw):
    exec(act)
    return proven(release, *args, **kw)
prove.prove_release = prove_release
sys.argv = [tool, *argv]
runpy.run_path(tool, run_name="__main__")
"""


def test_a_verify_that_is_ended_leaves_processes_that_hold_its_pipes(tiny: Tiny, tmp_path: Path) -> None:
    """A step of CI waits until its output is closed, by whoever holds it."""
    act = "os.write(1, b'.'); time.sleep(0.3)"
    argv = ("--jobs", "2", "--offline", "--cache-dir", str(tiny.cache))
    command = [sys.executable, "-c", _AT_EACH_RELEASE, str(tiny.root / "tools/verify.py"), act, *argv]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.read(2) == b".."
            run.terminate()
            run.communicate(timeout=30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == -signal.SIGTERM


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_process_of_verify_that_is_ended_ends_it_in_a_traceback(tiny: Tiny, tmp_path: Path, jobs: str) -> None:
    """As a machine out of memory does it; the releases before and after it are proven all the same."""
    act = "release == '0.22.1' and os.kill(os.getpid(), signal.SIGKILL)"
    argv = ("--jobs", jobs, "--offline", "--cache-dir", tiny.cache)
    project = tiny.copy(tmp_path / "a project")
    (project.root / "docs/data").mkdir(parents=True)
    (project.root / "docs/data/unit_runs.json").write_text('{"schema": 1, "releases": {}}')
    ran = started("-c", _AT_EACH_RELEASE, project.root / "tools/verify.py", act, *argv, cwd=tmp_path)
    assert ran.code == 3
    assert ran.said == (
        "verify.py: vLLM 0.22.1 is not proven: the process that read it was ended by SIGKILL. Run again, with --jobs 1 where "
        "memory is short."
    )
    assert "2 of 3 proven" in ran.out
