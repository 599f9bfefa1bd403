"""The git binary, called so that neither the surroundings nor the repository's own settings change what it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from kvroles.errors import Exit, KvRolesError, NoSource, UsageError

OLDEST = (2, 20)  # fetch by commit id with --depth, and --filter on the server's side, are safe from there on
_DROPPED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_NAMESPACE")
_SETTINGS = (
    "core.autocrlf=false",  # bytes as committed, whatever the user's checkout does
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
)


def run(
    args: list[str], *, git_dir: Path | None = None, env: dict[str, str] | None = None, timeout_s: float = 3600
) -> subprocess.CompletedProcess[bytes]:
    """``git ARGS``, never interactive; the caller reads the exit code. Raises NoSource when there is no usable git."""
    binary = shutil.which("git")
    if binary is None:
        raise NoSource(
            "There is no git on this machine, which a tag, branch or commit needs",
            fix="Install git, or name a release: those come from archives and need none",
        )
    command = [binary]
    for setting in _SETTINGS:
        command += ["-c", setting]
    if git_dir is not None:
        command += [f"--git-dir={git_dir}"]
    clean = {k: v for k, v in os.environ.items() if k not in _DROPPED}
    clean |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(env or {})}
    try:
        return subprocess.run([*command, *args], env=clean, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise NoSource(f"git {args[0]} did not end within {timeout_s:.0f} s", fix="Check the network") from None


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line git wrote to standard error."""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def need_git() -> None:
    """Raises NoSource when git is missing or older than what revisions need."""
    done = run(["--version"])
    m = re.search(rb"(\d+)\.(\d+)", done.stdout)
    if m is None or (int(m[1]), int(m[2])) < OLDEST:
        raise NoSource(
            "The git on this machine is too old for tags, branches and commits",
            expected=f"git {OLDEST[0]}.{OLDEST[1]} or newer",
            found=done.stdout.decode("utf-8", "replace").strip() or said(done),
            fix="Install a newer git, or name a release: those come from archives and need none",
        )


def merge(current: bytes, base: bytes, other: bytes) -> tuple[bytes, int]:
    """A three-way merge: (the merged bytes, the number of conflicts in them)."""
    labels = ["-L", "the tree", "-L", "the release", "-L", "the series"]
    with tempfile.TemporaryDirectory() as name:
        sides = [Path(name) / side for side in ("tree", "release", "series")]
        for file, content in zip(sides, (current, base, other), strict=True):
            file.write_bytes(content)
        done = run(["merge-file", "-p", "--diff3", *labels, *map(str, sides)])
    if done.returncode < 0 or done.returncode > 127:
        raise KvRolesError(Exit.DOES_NOT_APPLY, f"git merge-file refuses: {said(done)}")
    return done.stdout, done.returncode


def checked_name(revision: str) -> str:
    """``revision`` if git can take it for nothing but a revision; raises UsageError otherwise."""
    if not revision or revision.startswith("-") or re.search(r"[\0-\x20~^:?*\[\\]|\.\.|@\{", revision):
        raise UsageError(
            f"{revision!r} is not the name of a tag, branch or commit", fix="Name one, such as v0.22.1 or main"
        )
    return revision
