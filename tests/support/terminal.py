"""Commands run as at a terminal: their output and their errors are one text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# The commands of the environment that tests, also where nobody has activated it, before those of the machine.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def run(*words: str | Path, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command; its standard error goes where its standard output goes."""
    return subprocess.run(
        words, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def output(*words: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
    """What a command prints. The test fails with that text where the command fails."""
    done = run(*words, cwd=cwd, env=env)
    assert done.returncode == 0, f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
