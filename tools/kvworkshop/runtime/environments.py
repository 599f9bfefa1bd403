"""Interpreters that can import and run vLLM, built on demand into the cache and kept.

An environment is a virtual environment with the pinned requirements of ``requirements/<name>.txt``. A layer is a folder of
packages that comes before those of another environment. The folder's name holds a hash of what it was made from, so that a
changed pin makes a new one beside it. It counts as built once its marker is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from kvroles.errors import NoSource
from kvroles.places import default_cache_dir
from packaging.version import Version

Say = Callable[[str], None]
"""Takes one line of progress."""

LAYERS = {
    "oldest": "old",
    "torch-2.7": "old",
    "torch-2.8": "old",
    "torch-2.9": "old",
    "torch-2.10": "old",
    "torch-2.14": "new",
}
"""Layers, and the environment that each is laid over."""

MARKER = "ready"
REPORT_EVERY_S = 30.0


@dataclass(frozen=True)
class Interpreter:
    """A Python to run vLLM with, and the folders that come before its own packages on the path."""

    python: Path
    layers: tuple[Path, ...] = ()


def for_source(release: str) -> str:
    """The name of the environment that can import ``release`` from its source tree."""
    version = Version(release)
    if version < Version("0.10.0"):
        return "oldest"
    return "old" if version < Version("0.24.0") else "new"


def requirements(name: str) -> str:
    """The text of an environment's pinned requirements."""
    return (resources.files(__package__) / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def interpreter(name: str, say: Say) -> Interpreter:
    """The environment ``name``, built first if need be (two to five minutes; 2 to 7 GB).

    Raises :class:`kvroles.errors.NoSource` where a requirement cannot be installed.
    """
    base = LAYERS.get(name)
    if base is not None:
        under = interpreter(base, say)
        return Interpreter(under.python, (_built(name, _fill_layer, under.python, say), *under.layers))
    return Interpreter(_built(name, _fill_environment, Path(sys.executable), say) / "bin" / "python")


def _built(name: str, fill: Callable[[Path, str, Path, Say], None], python: Path, say: Say) -> Path:
    text = requirements(name)
    version = "{}.{}".format(*sys.version_info[:2])
    key = hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()[:12]
    folder = default_cache_dir() / "envs" / f"{name}-{key}"
    with one_builder(folder):
        if not (folder / MARKER).exists():
            # A virtual environment holds its own path, so it is built in place; what lacks the marker was
            # cut short.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            started = time.monotonic()
            say(f"environment {name}: building in {folder}")
            fill(folder, name, python, say)
            (folder / MARKER).touch()
            say(f"environment {name}: built in {time.monotonic() - started:.0f} s, {size(folder) / 1e9:.1f} GB")
    return folder


def _fill_environment(folder: Path, name: str, _: Path, say: Say) -> None:
    venv.create(folder, with_pip=True, symlinks=True)
    pinned = folder / "requirements.txt"
    pinned.write_text(requirements(name), encoding="utf-8")
    python = folder / "bin" / "python"
    torch = next(line for line in requirements(name).splitlines() if line.startswith("torch=="))
    # torch brings the libraries of whichever build the index gives, CPU or CUDA; all else is in the list.
    # Nothing is compiled ahead: most modules are never imported, and compiling them all doubles the time.
    with_libraries = ["--no-compile", torch, "--constraint", str(pinned)]
    pip(python, with_libraries, folder / "pip.log", f"environment {name}: torch", say)
    pip(
        python,
        ["--no-compile", "--no-deps", "-r", str(pinned)],
        folder / "pip.log",
        f"environment {name}: packages",
        say,
    )


def _fill_layer(folder: Path, name: str, python: Path, say: Say) -> None:
    pinned = folder / "requirements.txt"
    pinned.write_text(requirements(name), encoding="utf-8")
    arguments = ["--no-compile", "--no-deps", "--target", str(folder), "-r", str(pinned)]
    pip(python, arguments, folder / "pip.log", f"environment {name}: packages", say)


def pip(python: Path, arguments: list[str], log: Path, label: str, say: Say, command: str = "install") -> None:
    """Run one pip command with its output in ``log``, saying every half minute that it is still at it.

    Raises :class:`kvroles.errors.NoSource` with the last of the log when pip fails.
    """
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    # What a caller's pip is bound to (.ci/run binds it) is about this project, not about what runs vLLM.
    environ = {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PYTHONPATH")}
    started = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python, "-m", "pip", command, *options, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while True:
            try:
                code = process.wait(REPORT_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                say(f"{label}: {time.monotonic() - started:.0f} s")
    if code != 0:
        errors = [line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line]
        raise NoSource(
            f"{label}: pip {command} failed with exit code {code}",
            expected="every pinned requirement from the index that pip is set to use",
            found=" ".join(errors[-3:]) or f"no ERROR line in {log}",
            fix=f"Read {log}, then run the same command again; what is there already is kept",
        )


def size(folder: Path) -> int:
    """Bytes of the files below ``folder``, links not followed."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() or p.is_symlink())


@contextmanager
def one_builder(folder: Path) -> Iterator[None]:
    """Keep other processes out while ``folder`` is made; released by the system if this process dies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
