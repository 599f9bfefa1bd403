"""The commands that a message advises, as a shell is given them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


def commands(said: str) -> list[str]:
    """The commands and options in ``said``, which stand between backticks."""
    return re.findall(r"`([^`]+)`", " ".join(said.split()))


def pasted(command: str, cwd: Path, **env: str) -> str:
    """Run a fix line as a person would; returns what it printed."""
    done = subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout
