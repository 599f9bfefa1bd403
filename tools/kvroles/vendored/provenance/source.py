"""The program itself, as an input of what it builds: the commit of its checkout, and the digest of its files."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kvroles.digest import sha256, tree_digest

_FOLDERS = ("tools", "patches", "vllm_overlay")


@dataclass(frozen=True)
class Checkout:
    """``commit`` of the checkout; ``clean`` when what the program is made of is as committed."""

    commit: str
    clean: bool


@cache
def checkout() -> Checkout | None:
    """The git checkout that this program runs from, or None where it is none."""
    root = Path(__file__).resolve().parents[4]
    if not (root / ".git").exists():
        return None
    # No configuration but git's own defaults, no hooks, no fsmonitor: the checkout's settings run no command here.
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C",
    }
    git = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, env=env, check=True, timeout=60
        )
        state = subprocess.run(
            [*git, "status", "--porcelain", "--", *_FOLDERS],
            capture_output=True,
            text=True,
            env=env,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Checkout(head.stdout.strip(), not state.stdout.strip())


@cache
def digest() -> str:
    """The digest of the program's files, patches included (see ``digest.tree_digest``); the same for equal checkouts."""
    root = Path(__file__).resolve().parents[4]
    files = {}
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and "egg-info" not in str(path):
                files[path.relative_to(root).as_posix()] = sha256(path.read_bytes())
    return tree_digest(files)
