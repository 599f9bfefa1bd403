"""The paths of a run: those of the command line, and those of a list."""

from __future__ import annotations

import os
import sys

from kvroles.errors import UsageError

_NAMED = 5  # missing paths of a list that an error names
_MOST = 256 << 20  # bytes of a list


def given(paths: list[str], listed: str | None, *, null: bool) -> list[str]:
    """All paths, each of which is there. Raises ``UsageError`` for one that is not, and for a list without any."""
    if listed is None and null:
        raise UsageError(
            "-0 says how a list is divided, and none is given", fix="Add --from-list FILE, or leave -0 out"
        )
    if listed is None and not paths:
        raise UsageError("No path is given", fix="Name files or folders, or a list of them with --from-list")
    for path in paths:
        if path != "-" and not os.path.lexists(path):
            raise UsageError(f"{path} does not exist")
    if listed is None:
        return paths
    if "-" in paths:
        raise UsageError("- stands for standard input and goes with no list", fix="Leave - or --from-list out")
    shown = "standard input" if listed == "-" else listed
    found = _divided(_read(listed), null=null)
    if not found:
        raise UsageError(
            f"--from-list: {shown} names no path",
            fix="Leave the run out where nothing is listed: nothing was looked at",
        )
    missing = [p for p in found if not os.path.lexists(p)]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise UsageError(
            f"--from-list: {shown} names paths that do not exist",
            found=", ".join(missing[:_NAMED]) + more,
            fix="Take them out of the list, or run where they are; a path with a line feed takes -0",
        )
    return [*paths, *found]


def _read(listed: str) -> bytes:
    if listed == "-":
        if sys.stdin is None:
            raise UsageError("Standard input is closed", fix="Pipe a list into it, or name a file")
        data = sys.stdin.buffer.read(_MOST + 1)
    else:
        try:
            with open(listed, "rb") as f:
                data = f.read(_MOST + 1)
        except OSError as e:
            raise UsageError(f"--from-list {listed} cannot be read", found=e.strerror or str(e)) from None
    if len(data) > _MOST:
        raise UsageError(f"--from-list: the list is larger than {_MOST >> 20} MB", fix="Divide it")
    return data


def _divided(data: bytes, *, null: bool) -> list[str]:
    if not null and b"\0" in data:
        raise UsageError("--from-list: the list holds a zero byte", fix="Add -0 for a list as find -print0 writes it")
    parts = data.split(b"\0") if null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    # A file called "-" is no standard input here.
    return ["./-" if p == b"-" else os.fsdecode(p) for p in parts if p]
