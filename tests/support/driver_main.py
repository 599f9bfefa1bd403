"""The process behind ``support.driver``: imports the tools once, then forks a child for every run it is asked for.

``python driver_main.py TOOLS TOOL [MODULE ...]`` loads the modules too, reads one JSON request a line on standard input
and answers with one a line on standard output. The child runs the tool as the command line would. With ``kill_at`` N it
sends itself the signal ``kill_with`` at the N-th moment at which it is about to change the file system; how many there
were goes to a file.

The moments are the interpreter's own audit events for opening a file to write, renaming, removing, making and removing
folders, and changing modes, owners and times, plus ``os.write`` and ``os.fsync``. Those two count twice: once with half
of the bytes on disk, once whole.
"""

from __future__ import annotations

import builtins
import importlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

_CHANGES = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.utime", "os.link", "os.symlink",
    "os.truncate",
}  # fmt: skip
CRASHED = 70  # an exception came out of the tool


class Moments:
    """Counts the moments, and ends the process at the one asked for."""

    def __init__(self, kill_at: int | None, kill_with: int) -> None:
        self.count = 0
        self._kill_at = kill_at
        self._kill_with = kill_with

    def one(self) -> bool:
        """Whether this is the moment to die at."""
        self.count += 1
        return self.count == self._kill_at

    def pass_or_die(self) -> None:
        if self.one():
            self.die()

    def die(self) -> None:
        os.kill(os.getpid(), self._kill_with)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            self.pass_or_die()

    def install(self) -> None:
        write, fsync, opened = os.write, os.fsync, builtins.open

        def torn_write(fd: int, data: Any) -> int:
            if self.one():
                write(fd, data[: len(data) // 2])
                self.die()
            self.pass_or_die()
            return write(fd, data)

        def torn_fsync(fd: int) -> None:
            if self.one():
                size = os.fstat(fd).st_size
                if Path(f"/proc/self/fd/{fd}").is_file():
                    os.ftruncate(fd, size // 2)
                self.die()
            self.pass_or_die()
            fsync(fd)

        def empty_open(file: Any, mode: str = "r", *args: Any, **kw: Any) -> Any:
            out = opened(file, mode, *args, **kw)
            if set(mode) & set("wax+"):
                self.pass_or_die()  # the file is there, and holds nothing yet
            return out

        os.write, os.fsync = torn_write, torn_fsync
        builtins.open = io.open = empty_open  # type: ignore[assignment]
        sys.addaudithook(self.audit)


def child(request: dict[str, Any], apply: Any) -> int:
    for fd, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    if request.get("umask") is not None:
        os.umask(request["umask"])
    for name, value in request["set"].items():
        module, _, attribute = name.rpartition(".")
        setattr(sys.modules[module], attribute, value)
    moments = Moments(request["kill_at"], request["kill_with"])
    if request["count"]:
        moments.install()
    try:
        code = int(apply.guarded(apply.parser(), apply.run, request["argv"]))
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = CRASHED
    points = moments.count
    sys.stdout.flush()
    sys.stderr.flush()
    with open(request["count_file"], "w") as f:
        f.write(str(points))
    return code


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from kvroles import fetch, index, web  # noqa: F401 - so that requests can set what they hold

    apply, *_ = [importlib.import_module(name) for name in sys.argv[2:]]

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = CRASHED
            try:
                code = child(request, apply)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


if __name__ == "__main__":
    main()
