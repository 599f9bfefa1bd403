"""The git binary: every call of it, in one of two ways, so that no repository's settings are ever seen.

``reading`` calls run in an empty git directory of our own whose objects are those of a clone: no configuration, attribute,
filter, hook, replace reference, graft or lazy fetch of the clone, the user or the system has a say in what bytes come out.
``fetching`` calls run in such a directory too, with the user's and the system's settings (proxy, certificates, credential
helper, mirrors by ``insteadOf``), because those say how this machine reaches the network.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kvroles import places
from kvroles.console import search_path
from kvroles.errors import Exit, KvRolesError, NoSource, UsageError
from kvroles.said import said, shell
from kvroles.tree import handles

OLDEST = (2, 32)  # GIT_CONFIG_GLOBAL; GIT_CONFIG_COUNT is of 2.31, fetch --stdin of 2.29
_PIPE = 1 << 20  # bytes; any user may ask for as much: pipe(7)
_READ = 1 << 16  # bytes of one read from it: what stays in a processor's cache
_DEADLINE_S = 1800.0  # one call, whatever trickles; all of vLLM's tree is 30 MB
# Where things lie is ours to say, also where the user's own settings count.
_WHERE = re.compile(
    r"GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX|CONFIG"
    r"|CEILING_DIRECTORIES|REPLACE_REF_BASE|GRAFT_FILE|SHALLOW_FILE|QUARANTINE_PATH|INTERNAL_.*|EXTERNAL_DIFF|EXEC_PATH)"
)
_READING = {
    "core.commitGraph": "false",  # what a file beside the objects says of them is not checked, the objects are
    "core.multiPackIndex": "false",
    "core.packedGitWindowSize": "8m",  # memory: a clone of vLLM is 400 MB
    "core.packedGitLimit": "64m",
    "core.deltaBaseCacheLimit": "32m",
}
_FETCHING = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # one pack, not thousands of files
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "120",
}
_TRANSPORTS = (
    "http:https:ssh:git:file"  # never ext, which runs a command; file: a mirror that the user's insteadOf names
)


@contextlib.contextmanager
def directory(objects: Path) -> Iterator[dict[str, str]]:
    """The environment of an empty git directory of our own whose objects are in folder ``objects``; it goes at the end."""
    with tempfile.TemporaryDirectory(prefix="kv-roles-git-") as name:
        own = Path(name)
        (own / "refs").mkdir()
        (own / "objects").mkdir()
        (own / "HEAD").write_text("ref: refs/heads/none\n")
        (own / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        yield {"GIT_DIR": name, "GIT_OBJECT_DIRECTORY": str(objects.resolve()), "GIT_NO_REPLACE_OBJECTS": "1"}


def reading(where: Mapping[str, str]) -> dict[str, str]:
    """The environment of a call that reads: nobody's settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return {
        **clean,
        **_common(),
        **where,
        **_settings(_READING),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def fetching(where: Mapping[str, str], settings: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """The environment of a call that fetches: the user's and the system's settings, then ours, then ``settings``.

    ``settings`` go by the environment, which other users cannot see, not by the command line, which they can.
    """
    clean = {k: v for k, v in os.environ.items() if not _WHERE.fullmatch(k)}
    count = int(count) if (count := clean.get("GIT_CONFIG_COUNT", "0")).isdecimal() and len(count) < 10 else 0
    ours = _settings([*_FETCHING.items(), *settings], after=count)
    return {"GIT_ALLOW_PROTOCOL": _TRANSPORTS, **clean, **_common(), **where, **ours, "GIT_TERMINAL_PROMPT": "0"}


def _common() -> dict[str, str]:
    return {"LC_ALL": "C", "PATH": search_path(), "GIT_PAGER": "cat", "GIT_EDITOR": "false"}


def _settings(settings: Mapping[str, str] | Sequence[tuple[str, str]], after: int = 0) -> dict[str, str]:
    pairs = list(settings.items() if isinstance(settings, Mapping) else settings)
    out = {"GIT_CONFIG_COUNT": str(after + len(pairs))}
    for number, (key, value) in enumerate(pairs, after):
        out |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return out


@contextlib.contextmanager
def started(args: Sequence[str], env: Mapping[str, str], stdin: IO[bytes] | int) -> Iterator[Started]:
    """``git ARGS``, its output to be read while it runs; ended, with all that it started, when the block ends.

    It is ended too when the time for it is over: its output then ends in the middle.
    """
    with tempfile.TemporaryFile() as complaints:  # no pipe: nobody reads one while the output is read
        process = subprocess.Popen(
            [_binary(), *args],
            env=dict(env),
            cwd=env.get("GIT_WORK_TREE")
            or env.get("GIT_DIR", "/"),  # what lies in the user's current folder is nobody's setting
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=complaints,
            bufsize=_READ,
            start_new_session=True,
        )
        assert process.stdout is not None
        with contextlib.suppress(AttributeError, OSError):  # Linux, and as far as this user may have large pipes
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE)  # git reads ahead while its last words are written
        git = Started(process, process.stdout, complaints)
        late = threading.Timer(_DEADLINE_S, git.end)
        late.daemon = True
        late.start()
        try:
            yield git
        finally:
            late.cancel()
            git.end()
            process.stdout.close()
            process.wait()


@dataclass(frozen=True)
class Started:
    """A git that runs: what it says is read from ``out``."""

    process: subprocess.Popen[bytes]
    out: IO[bytes]
    complaints: IO[bytes]

    def end(self) -> None:
        """Kill it and all that it started, as far as they run."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """End it; the last line that it wrote to standard error."""
        self.end()
        self.complaints.seek(0)
        return last_words(self.complaints.read(1 << 20), self.process.wait())


def run(
    args: Sequence[str], env: Mapping[str, str], *, stdin: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    """``git ARGS``, never interactive; the caller reads the exit code. Raises NoSource when it does not end in time."""
    begun = time.monotonic()
    with started(args, env, stdin) as git:
        out = git.out.read()
        code = git.process.wait()
        git.complaints.seek(0)
        err = git.complaints.read(1 << 20)
    if code and time.monotonic() - begun > _DEADLINE_S:
        raise NoSource(f"git {args[0]} did not end within {_DEADLINE_S:.0f} s", fix="Check the network")
    return subprocess.CompletedProcess([*args], code, out, err)


def _binary() -> str:
    binary = places.find_program("git")
    if binary is None:
        raise NoSource(
            "There is no git on this machine, which a tag, branch or commit needs",
            fix="Install git, or name a release: those come from archives and need none",
        )
    return binary


def last_words(stderr: bytes, code: int) -> str:
    """The last line that git wrote to standard error."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return said(lines[-1][:300]) if lines else f"exit code {code}"


def need_git() -> None:
    """Raises NoSource when git is missing or older than what revisions need."""
    done = run(["--version"], reading({}))
    m = re.search(rb"(\d+)\.(\d+)", done.stdout)
    if m is None or (int(m[1]), int(m[2])) < OLDEST:
        raise NoSource(
            "The git on this machine is too old for tags, branches and commits",
            expected=f"git {OLDEST[0]}.{OLDEST[1]} or newer",
            found=done.stdout.decode("utf-8", "replace").strip() or last_words(done.stderr, done.returncode),
            fix="Install a newer git, or name a release: those come from archives and need none",
        )


def safe_directories() -> list[str]:
    """The folders whose owner the user's and the system's git settings say to trust (``safe.directory``)."""
    with directory(Path("/")) as where:
        done = run(["config", "-z", "--type=path", "--get-all", "safe.directory"], fetching(where))
    out: list[str] = []
    for value in done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        out = [*out, value] if value else []  # an empty value takes back those before it: git-config(1)
    return out


def config_of(file: Path) -> list[tuple[str, str]]:
    """The settings in the configuration ``file`` as data, nothing included; [] when there is none.

    Raises NoSource for one that cannot be read: what form the clone has is then not known.
    """
    if not os.path.lexists(file):
        return []
    with handles.given(file) as text, directory(Path("/")) as where:
        done = run(["config", "-z", "--file", "-", "--no-includes", "--list"], reading(where), stdin=text)
    if done.returncode:
        raise NoSource(
            f"{file} is damaged: {last_words(done.stderr, done.returncode)}",
            fix=f"Mend it (`{shell('git', 'config', '--file', file, '--list')}` names the line), or clone the repository again",
        )
    lines = done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return [(key, value) for key, _, value in (line.partition("\n") for line in lines)]


def merge(current: bytes, base: bytes, other: bytes) -> tuple[bytes, int]:
    """A three-way merge: (the merged bytes, the number of conflicts in them)."""
    labels = ["-L", "the tree", "-L", "the release", "-L", "the series"]
    with tempfile.TemporaryDirectory() as name, directory(Path("/")) as where:
        sides = [Path(name) / side for side in ("tree", "release", "series")]
        for file, content in zip(sides, (current, base, other), strict=True):
            file.write_bytes(content)
        done = run(["merge-file", "-p", "--diff3", *labels, *map(str, sides)], reading(where))
    if done.returncode < 0 or done.returncode > 127:
        why = last_words(done.stderr, done.returncode)
        raise KvRolesError(Exit.DOES_NOT_APPLY, f"git merge-file refuses: {why}")
    return done.stdout, done.returncode


def in_scratch(folder: Path, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """``git ARGS`` in ``folder``, a repository that is made for one test of a patch; nobody's settings, an author of ours."""
    who = {f"GIT_{role}_{part}": "kv-roles@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    where = {"GIT_DIR": str(folder / ".git"), "GIT_WORK_TREE": str(folder)}
    with tempfile.TemporaryFile() as text:
        text.write(stdin)
        text.seek(0)
        return run(args, reading(where) | who, stdin=text)


def checked_name(revision: str) -> str:
    """``revision`` if git can take it for nothing but a revision; raises UsageError otherwise.

    The rules are those of git-check-ref-format(1).
    """
    if (
        not revision
        or revision.startswith(("-", "/"))
        or re.search(r"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.lock(?:/|$)|[/.]$", revision)
        or re.search("[\ud800-\udfff]", revision)
    ):
        raise UsageError(
            f"{revision!r} is not the name of a tag, branch or commit", fix="Name one, such as v0.22.1 or main"
        )
    return revision
