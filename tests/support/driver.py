"""Run ``apply.py`` of a project many times without paying Python's start each time, and kill it where a test says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from .advice import commands
from .driver_main import CRASHED

_MAIN = Path(__file__).with_name("driver_main.py")
KILLED = -9
IMPATIENT = {"kvroles.sources.attempts._PAUSES_S": [0.0, 0.0, 0.0]}  # for tests of a faulty index


class How(IntEnum):
    """What ``faults.c`` is to do; its own numbers."""

    COUNT = 1
    KILL = 2
    FAIL_ONCE = 3
    FAIL_FROM = 4  # that moment and all after it, as a disk that stays full
    SHORT = 5  # half of the bytes are written, and said to be
    SWAP = 6  # a folder is put aside, and a link to another takes its place
    FLIP = 7  # a bit of what is written is another than was given


@dataclass(frozen=True)
class Spoil:
    """Moment number ``at`` (from 1) of a run, and what is to happen then; ``error`` is an errno."""

    how: How
    at: int
    error: int = 0
    signal_: signal.Signals = signal.SIGKILL
    swap: tuple[Path, Path] | None = None  # the folder, and where the link leads


def build_shim(folder: Path) -> Path | None:
    """``faults.c`` compiled into ``folder``; None without a compiler, which on CI is an error."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        assert os.environ.get("CI") != "true", "the tests of faults need a C compiler"
        return None
    shim = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    return shim


@dataclass(frozen=True)
class Ran:
    """How a run ended: exit code (negative: the signal), what it printed, and how many moments it changed files at."""

    code: int
    out: str
    err: str
    points: int = 0
    made: tuple[str, ...] = ()  # the lines of code that made its errors, where that was asked for

    @property
    def said(self) -> str:
        """Standard error as one line, however it was wrapped."""
        return " ".join(self.err.split())

    def refused(self, code: int, *phrases: str) -> Ran:
        """Assert a refusal as every tool makes it: this exit code, nothing on standard output, and one paragraph that
        holds ``phrases`` on standard error."""
        assert self.code == code, (self.code, self.out, self.err)
        assert self.out == ""
        is_a_paragraph(self.err)
        for phrase in phrases:
            assert phrase in self.said, (phrase, self.said)
        return self

    def fix(self) -> str:
        """The command that the refusal names as the way out, the last one where there are several."""
        found = [c for c in commands(self.said) if c.startswith("python ")]
        assert found, self.said
        return found[-1]

    def ok(self) -> Ran:
        """Assert success and silence on standard error."""
        assert (self.code, self.err) == (0, ""), (self.code, self.out, self.err)
        return self


def is_a_paragraph(err: str) -> None:
    """Assert that ``err`` is one paragraph of whole sentences, with no trace of the program's insides."""
    prog = err.split()[0] if err else ""
    assert prog in ("apply.py:", "vendor.py:"), err
    assert err.endswith(".\n"), err
    assert "\n\n" not in err, err
    for inside in ("Traceback", "Errno", "Error(", ".py:", "<_io", "b'"):
        assert inside not in err.removeprefix(prog), err
    assert len(err) < 1500, textwrap.shorten(err, 300)


class Driver:
    """A process that has the tools of one project loaded, and forks a child for each run."""

    def __init__(self, tools: Path, folder: Path, tool: str = "apply", *loaded: str, shim: Path | None = None) -> None:
        self._folder = folder
        self._shim = shim
        self._process = subprocess.Popen(
            [sys.executable, str(_MAIN), str(tools), tool, *loaded],
            env={**os.environ, **({"LD_PRELOAD": str(shim)} if shim else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def run(
        self,
        *argv: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        set_: Mapping[str, Any] | None = None,
        umask: int | None = None,
        count: bool = False,
        kill_at: int | None = None,
        kill_with: signal.Signals = signal.SIGKILL,
        spoil: Spoil | None = None,
        note: bool = False,
        powerless: bool = False,
        first: str = "",
    ) -> Ran:
        """Run ``apply.py argv``; ``set_`` changes module attributes (``kvroles.sources.http.TIMEOUT_S``) for this run only.

        ``count`` counts the moments at which it changes the file system; ``kill_at`` kills it at one, ``spoil`` does worse.
        ``note`` keeps which lines of code made its errors. ``powerless``: modes of files hold for root too.
        ``first`` is Python that the process runs before: a fault that nothing outside of it can cause.
        """
        if kill_at is not None:
            spoil = Spoil(How.KILL, kill_at, signal_=kill_with)
        elif count:
            spoil = Spoil(How.COUNT, 0)
        if spoil is not None and self._shim is None:
            pytest.skip("there is no C compiler (cc) here to build tests/support/faults.c with")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: self._folder / name for name in ("out", "err", "count", "made")}
        for file in files.values():
            file.unlink(missing_ok=True)
        request = {
            "argv": [str(a) for a in argv],
            "cwd": str(cwd),
            "env": dict(env or {}),
            "set": dict(set_ or {}),
            "umask": umask,
            "spoil": [spoil.how, spoil.at, spoil.error, int(spoil.signal_)] if spoil else None,
            "swap": [str(p) for p in spoil.swap] if spoil and spoil.swap else None,
            "powerless": powerless,
            "first": first,
            "made": str(files["made"]) if note else None,
            "out": str(files["out"]),
            "err": str(files["err"]),
            "count_file": str(files["count"]),
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())
        out, err = (files[name].read_text(errors="replace") for name in ("out", "err"))
        assert code != CRASHED, err
        points = int(files["count"].read_text() or 0) if files["count"].exists() else 0
        made = files["made"].read_text().splitlines() if files["made"].exists() else []
        return Ran(code, out, err, points, tuple(made))


def script(
    apply: Path,
    *argv: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    timeout: float = 120,
) -> Ran:
    """Run the script itself in a process of its own, as a user does; ``prefix`` goes before the interpreter."""
    done = subprocess.run(
        [*prefix, sys.executable, str(apply), *map(str, argv)],
        cwd=cwd,
        env=env,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
