"""How every tool starts and ends: arguments, one paragraph on failure, an exit code, never a traceback for the user's own."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from kvroles.errors import Exit, KvRolesError, UsageError


def guarded(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], argv: Sequence[str] | None = None
) -> int:
    """Parse, run, and turn a KvRolesError into its paragraph on standard error and its exit code.

    With ``--json`` the error is printed as ``{"error": ..., "code": N}`` on standard output too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path may hold what the terminal's encoding does not
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser.parse_args(argv)
    try:
        code = run(args)
        sys.stdout.flush()
        return code
    except KvRolesError as e:
        return _failed(parser, args, e)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; the target is as it was, or the next run finishes it.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as e:
        return without_library(parser.prog, e)
    except BrokenPipeError:  # `| head` closed our output: not our failure
        _drop_output()
        return Exit.DONE
    except OSError as e:  # what the operating system refuses is the user's to mend, wherever it came up
        _flush()
        # Every write to a target names what it wrote; what has no name and found no room was printed.
        unnamed = "Standard output cannot be written: " if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else ""
        where = f"{e.filename}: " if e.filename is not None else unnamed
        return _failed(parser, args, KvRolesError(Exit.DOES_NOT_APPLY, f"{where}{e.strerror or e}"))


def without_library(prog: str, e: ModuleNotFoundError) -> int:
    """Say that a library is not installed, and how to get it; returns the exit code. Raises ``e`` when it is no library."""
    name = str(e.name).partition(".")[0]
    if name in ("kvroles", "kvworkshop"):
        raise e
    root = Path(__file__).resolve().parents[2]
    lack = UsageError(
        f"It needs the library {name!r}, which {sys.executable} lacks",
        fix=f"Run 'python -m pip install -e .' in {root}; apply.py alone needs none",
    )
    _say(prog, lack)
    return lack.code


def _failed(parser: argparse.ArgumentParser, args: argparse.Namespace, e: KvRolesError) -> int:
    if getattr(args, "json", False):
        with contextlib.suppress(OSError):
            print(json.dumps({"error": str(e), "code": int(e.code)}))
        _flush()
    _say(parser.prog, e)
    return e.code


def _say(prog: str, e: KvRolesError) -> None:
    """The error's paragraph on standard error, as wide as the terminal."""
    width = min(100, max(40, _columns()))
    print(textwrap.fill(f"{prog}: {e}", width, break_long_words=False, break_on_hyphens=False), file=sys.stderr)


def _flush() -> None:
    """Write out what was printed, and drop what cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Point standard output at nothing, so that Python does not complain of it once more when it exits."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return 100
