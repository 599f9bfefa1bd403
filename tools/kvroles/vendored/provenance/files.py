"""The files that lie beside an output and say where it comes from: an SBOM, and a statement that an own command may sign."""

from __future__ import annotations

import base64
import contextlib
import filecmp
import glob
import json
import os
import shlex
import subprocess
from pathlib import Path

from kvroles.errors import Exit, KvRolesError, UsageError
from kvroles.places import leaves
from kvroles.tree import handles
from kvroles.tree.stage import discard
from kvroles.vendored import bill
from kvroles.vendored.provenance import statement
from kvroles.vendored.wheel.wheel import Built, Source, of_wheel

BILL, STATEMENT = ".cdx.json", ".intoto.json"
_TYPE = "application/vnd.in-toto+json"
_SUCH = "Give it a command such as `cosign attest-blob --yes --statement {} --bundle {}.bundle`"
_SIGNING_S = 600.0  # a person may have to touch a key


def for_wheel(source: Source, built: Built) -> dict[str, bytes]:
    """Name -> bytes of what lies beside a vendored wheel; the statement, which is signed, comes last."""
    date = source.date.isoformat()
    ancestor = (of_wheel(source), source.sha256)
    topics = source.planned.topics
    file = (built.path.name, built.sha256)
    bom = bill.wheel(source.part, topics, source.distribution, built.version, file, ancestor, date)
    return {
        f"{built.path.name}{BILL}": bom,
        f"{built.path.name}{STATEMENT}": statement.for_wheel(source, built, bom),
    }


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` (name -> bytes) into ``folder``. Raises OSError."""
    for name, data in files.items():
        handles.write(folder / name, data)


def publish(staging: Path, output: Path) -> tuple[Path, ...]:
    """Put a finished set (a wheel, and what lies beside it) from ``staging`` in the place of that of the wheel ``output``.

    One rename decides it: after that ``finish`` moves the whole set, now or, if this run is killed, in the next. Returns what
    lies beside the wheel. Raises OSError when the disk refuses.
    """
    names = sorted(p.name for p in staging.iterdir() if p.is_file() and not p.name.startswith("."))
    write(staging, {_NAMES: "".join(f"{n}\n" for n in names).encode()})
    _flush(staging)
    staging.rename(_ready(output))
    _flush(output.parent)
    finish(output)
    return tuple(output.parent / n for n in names if n != output.name)


def finish(output: Path) -> None:
    """Finish the publication of the wheel ``output`` that a killed run began, if there is one.

    A wheel never lies beside the provenance of another: an older wheel of this name is deleted first, and the new one is moved
    last. The signature of an older statement is deleted too.
    """
    ready, folder, name = _ready(output), output.parent, output.name
    if not ready.is_dir():
        return
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError):  # all were moved, and the folder was being deleted
        with handles.regular(ready / _NAMES) as f:
            told = f.read(1 << 20).decode("utf-8", "replace").splitlines()
        names = [n for n in told if not leaves(n) and "/" not in n]  # the folder may be somebody else's
    statement_name = f"{name}{STATEMENT}"
    if output.exists() and (ready / name).exists() and not _equal(output, ready / name):
        output.unlink()
    if (ready / statement_name).exists() and not _equal(folder / statement_name, ready / statement_name):
        for stale in folder.glob(f"{glob.escape(name)}{STATEMENT}*"):
            if stale.name not in names and (stale.is_file() or stale.is_symlink()):
                stale.unlink()
    for one in [*(n for n in names if n not in (name, statement_name)), statement_name, name]:
        if (ready / one).exists():
            os.replace(ready / one, folder / one)
    _flush(folder)
    discard(ready)


_NAMES = ".names"  # of the files of a set, one a line


def _ready(output: Path) -> Path:
    return output.with_name(f".{output.name}.kv-roles.ready")


def _flush(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _equal(a: Path, b: Path) -> bool:
    try:
        return a.stat().st_size == b.stat().st_size and filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False


def sign(path: Path, command: str) -> None:
    """Run ``command`` on the statement ``path``: ``{}`` in its words stands for the path, else the path is added last.

    With ``{pae}`` in it the command signs the bytes that DSSE says are signed, ``{sig}`` is where it leaves the signature, and
    the envelope is written beside the statement (https://github.com/secure-systems-lab/dsse, "protocol.md").
    It is run without a shell. Without ``{sig}`` the command itself decides where its signature lies. Raises UsageError when it
    cannot be run and KvRolesError (code 3) when it fails.
    """
    try:
        words = shlex.split(command)
    except ValueError as e:
        raise UsageError(f"--sign-with {command!r} is not a command: {e}", fix=_SUCH) from None
    if not words:
        raise UsageError(
            "--sign-with is empty",
            fix=_SUCH,
        )
    pae, sig = (path.with_name(f".{path.name}.{kind}") for kind in ("pae", "sig"))
    in_envelope = any("{pae}" in w for w in words)
    stands_for = {"{}": path, "{pae}": pae, "{sig}": sig}
    filled = list(words)
    for mark, file in stands_for.items():
        filled = [w.replace(mark, str(file)) for w in filled]
    if filled == words:
        filled.append(str(path))
    payload = path.read_bytes()
    if in_envelope:
        pae.write_bytes(b"DSSEv1 %d %s %d %s" % (len(_TYPE), _TYPE.encode(), len(payload), payload))
    try:
        done = subprocess.run(
            filled, timeout=_SIGNING_S, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UsageError(
            f"The signing command {filled[0]!r} could not be run ({type(e).__name__})", fix=_SUCH
        ) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise KvRolesError(
            Exit.UNPROVEN,
            f"The signing command {filled[0]!r} failed with code {done.returncode}",
            found=said or None,
            fix="Nothing was published unsigned; mend the command and run again",
        )
    if in_envelope:
        try:
            signature = sig.read_bytes()
        except OSError:
            raise UsageError(
                f"The signing command {filled[0]!r} left no signature where {{sig}} stands",
                fix="Let it write there: `openssl dgst -sha256 -sign KEY -out {sig} {pae}`",
            ) from None
        envelope = {
            "payloadType": _TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        }
        path.with_name(f"{path.name}.dsse").write_text(json.dumps(envelope) + "\n", encoding="utf-8")
        for file in (pae, sig):
            file.unlink(missing_ok=True)
