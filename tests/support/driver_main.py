"""The process behind ``support.driver``: imports the tools once, then forks a child for every run it is asked for.

``python driver_main.py TOOLS TOOL [MODULE ...]`` loads the modules too, reads one JSON request a line on standard input
and answers with one a line on standard output. The child runs the tool as the command line would. With ``spoil`` (how,
number, error, signal) the N-th moment at which it is about to change the file system is spoilt, by ``faults.c``, which has
to be preloaded; how many moments there were goes to a file.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import sys
import traceback
from typing import Any

CRASHED = 70  # an exception came out of the tool


def _shim() -> ctypes.CDLL:
    shim = ctypes.CDLL(None)
    shim.faults_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    shim.faults_count.restype = ctypes.c_long
    return shim


def child(request: dict[str, Any], tool: Any) -> int:
    for fd, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a run that reads its input would wait for the next request
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    if request.get("umask") is not None:
        os.umask(request["umask"])
    for name, value in request["set"].items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    made = _noted() if request["made"] else []
    made_file = os.open(request["made"] or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    exec(request["first"], {})
    if request["powerless"]:
        importlib.import_module("powers").give_up()  # beside this file
    if request["spoil"]:
        if request["swap"]:
            _shim().faults_swap(*(p.encode() for p in request["swap"]))
        _shim().faults_arm(*request["spoil"])
    try:
        whole = getattr(tool, "main", None)
        code = int(whole(request["argv"]) if whole else tool.guarded(tool.parser(), tool.run, request["argv"]))
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = CRASHED
    if request["spoil"]:
        points = _shim().faults_count()
        _shim().faults_arm(0, 0, 0, 0)
        with open(request["count_file"], "w") as f:
            f.write(str(points))
    os.write(made_file, "".join(made).encode())
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _noted() -> list[str]:
    """A list that gets the line of code that makes each error, in the order in which they are made."""
    found: list[str] = []
    error = importlib.import_module("kvroles.errors").KvRolesError
    real = error.__init__

    def noted(self: Any, *args: Any, **kw: Any) -> None:
        frame: Any = sys._getframe(1)
        while frame.f_code.co_filename.endswith("/kvroles/errors.py"):
            frame = frame.f_back
        found.append(f"{frame.f_code.co_filename}:{frame.f_lineno}\n")
        real(self, *args, **kw)

    error.__init__ = noted
    return found


def _house() -> list[str]:
    """The modules that runs load when they need them: loaded here, they cost each run nothing."""
    rooms = [importlib.import_module(f"kvroles.{room}") for room in ("apply", "contract", "series", "sources", "tree")]
    return [f"{room.__name__}.{module.name}" for room in rooms for module in pkgutil.iter_modules(room.__path__)]


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from kvroles.sources import cache, http, index  # noqa: F401 - so that requests can set what they hold

    tool, *_ = [importlib.import_module(name) for name in (*sys.argv[2:], *_house())]
    sys.dont_write_bytecode = True  # a run's changes of the file system are counted, and bytecode is none of them

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = CRASHED
            try:
                code = child(request, tool)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


if __name__ == "__main__":
    main()
