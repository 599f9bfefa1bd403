"""The files that lie beside an output and say where it comes from: an SBOM, and a statement that an own command may sign."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from pathlib import Path

from kvroles.errors import Exit, KvRolesError, UsageError, os_error
from kvroles.vendored.provenance import sbom, statement
from kvroles.vendored.wheel.wheel import Built, Source

_SIGNING_S = 600.0  # a person may have to touch a key


def for_wheel(source: Source, built: Built, sign_with: str | None) -> tuple[Path, ...]:
    """Write ``<wheel>.cdx.json`` and ``<wheel>.intoto.json``; have the latter signed. Returns their paths."""
    bom = sbom.for_wheel(source, built)
    files = {
        built.path.with_name(built.path.name + ".cdx.json"): bom,
        built.path.with_name(built.path.name + ".intoto.json"): statement.for_wheel(source, built, bom),
    }
    return write(files, sign_with)


def write(files: dict[Path, bytes], sign_with: str | None) -> tuple[Path, ...]:
    """Write ``files``, each in one step, and hand the last, the statement, to ``sign_with``; on failure no new one is left."""
    new = [path for path in files if not path.exists()]
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    try:
        for path, part in parts.items():
            with part.open("wb") as f:
                f.write(files[path])
                f.flush()
                os.fsync(f.fileno())
        for path, part in parts.items():
            os.replace(part, path)
        if sign_with:
            sign(list(files)[-1], sign_with)
    except BaseException as e:
        for path in (*new, *parts.values()):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if isinstance(e, OSError):
            raise os_error("The provenance could not be written", e) from None
        raise
    return tuple(files)


def sign(path: Path, command: str) -> None:
    """Run ``command`` on the statement ``path``: ``{}`` in its words stands for the path, else the path is added last.

    It is run without a shell; where it leaves its signature is its own affair. Raises UsageError when it cannot be run and
    KvRolesError (code 3) when it fails.
    """
    try:
        words = shlex.split(command)
    except ValueError as e:
        raise UsageError(f"--sign-with {command!r} is not a command: {e}") from None
    if not words:
        raise UsageError(
            "--sign-with is empty", fix="Give it a command such as 'cosign sign-blob --bundle {}.bundle {}'"
        )
    filled = [w.replace("{}", str(path)) for w in words]
    if filled == words:
        filled.append(str(path))
    try:
        done = subprocess.run(
            filled, timeout=_SIGNING_S, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UsageError(f"The signing command {filled[0]!r} could not be run ({type(e).__name__})") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise KvRolesError(
            Exit.UNPROVEN,
            f"The signing command {filled[0]!r} failed with code {done.returncode}",
            found=said or None,
            fix="Nothing unsigned was left behind; mend the command and run again",
        )
