"""A baseline: what was open on the day it was written, so that a gate fails on what is new only.

A finding is known by its file, by its code and by what its line is (``answers.identity``): moved lines stay known, and a line of
which another thing is found is new. A baseline keeps nothing from being rewritten: a role that is certain is written, and is then
no entry any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import Exit, KvRolesError, UsageError
from kvroles.migrate.codes import CODES, RETIRED
from kvroles.migrate.files import rewrite
from kvroles.migrate.model import Kept

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult

VERSION = 1
_KEYS = {"code", "key", "line"}
_MAX_BYTES = 256 << 20
_FIX = "Write it anew with --write-baseline"


class Entry(NamedTuple):
    """A finding as a baseline knows it: its file, from the baseline's folder, what its line is, its code; for people the line."""

    file: str
    key: str
    code: str
    line: str


def load(path: str) -> list[Entry]:
    """The entries of a baseline. Raises ``UsageError`` for what is none, or is of another version."""
    # lazy: most runs have no baseline
    import json

    if not os.path.lexists(path):
        raise UsageError(f"--baseline {path} does not exist", fix="Write it with --write-baseline")
    if not os.path.isfile(path) or os.path.getsize(path) > _MAX_BYTES:
        raise UsageError(
            f"--baseline {path} is no regular file of at most {_MAX_BYTES >> 20} MB",
            fix="Name the file that was written",
        )
    try:
        with open(path, "rb") as f:
            document = json.loads(f.read())
    except OSError as e:
        raise UsageError(f"--baseline {path} cannot be read", found=e.strerror or str(e)) from None
    except (ValueError, RecursionError) as e:
        raise _broken(path, f"no JSON: {e}") from None
    if not isinstance(document, dict) or "kv-roles-baseline" not in document:
        raise _broken(path, "no key kv-roles-baseline")
    if (version := document["kv-roles-baseline"]) != VERSION:
        raise UsageError(
            f"--baseline {path} is of another version", expected=str(VERSION), found=repr(version)[:80], fix=_FIX
        )
    files = document.get("findings")
    if not isinstance(files, dict):
        raise _broken(path, "findings that are no object")
    out = []
    for file, rows in files.items():
        if not isinstance(rows, list):
            raise _broken(path, f"no list for {file!r}")
        for row in rows:
            if not isinstance(row, dict) or set(row) != _KEYS or not all(isinstance(v, str) for v in row.values()):
                raise _broken(path, f"an entry of {file!r} that is not made of code, key and line")
            out.append(Entry(file, row["key"], RETIRED.get(row["code"]) or row["code"], row["line"]))
    return out


def _broken(path: str, why: str) -> UsageError:
    return UsageError(f"--baseline {path} is no baseline", found=why, fix=_FIX)


def keep(results: Iterable[FileResult], entries: list[Entry], path: str) -> None:
    """Mark the findings that the baseline at ``path`` knows."""
    known = {(e.file, e.key, e.code) for e in entries}
    for r in results:
        name = _name(r.path, path)
        for f in r.findings:
            if f.kept is None and CODES[f.code].actionable and not f.written and (name, f.key, f.code) in known:
                f.kept = Kept("baseline", "", path)


def gone(results: Iterable[FileResult], entries: list[Entry], path: str, paths: list[str]) -> list[Entry]:
    """The entries, of files that the run covers, that are no finding any more: written, answered, of another code now, or their
    line is gone."""
    met = {
        (_name(r.path, path), f.key, f.code) for r in results for f in r.findings if f.kept and f.kept.how == "baseline"
    }
    roots = [_name(p, path) for p in paths]
    return [
        e
        for e in entries
        if (e.file, e.key, e.code) not in met
        and any(e.file == root or root == "." or e.file.startswith(root.rstrip("/") + "/") for root in roots)
    ]


def write(path: str, results: Iterable[FileResult], others: Iterable[Entry]) -> int:
    """Write what is open in ``results``, and ``others``, as the baseline at ``path``; how many entries it has.

    Raises ``KvRolesError`` if it cannot be written; it is then as it was.
    """
    # lazy: most runs have no baseline
    import json

    entries = {
        Entry(_name(r.path, path), f.key, f.code, f.excerpt)
        for r in results
        for f in r.findings
        if CODES[f.code].actionable and not f.written and (f.kept is None or f.kept.how == "baseline")
    }
    made = {(e.file, e.key, e.code) for e in entries}
    entries |= {e for e in others if (e.file, e.key, e.code) not in made}
    files: dict[str, list[str]] = {}
    for e in sorted(entries):
        row = json.dumps({"code": e.code, "key": e.key, "line": e.line})
        files.setdefault(e.file, []).append(f"   {row}")
    rows = ",\n".join(f"  {json.dumps(file)}: [\n" + ",\n".join(of_file) + "\n  ]" for file, of_file in files.items())
    text = f'{{\n "kv-roles-baseline": {VERSION},\n "findings": {{\n{rows}\n }}\n}}\n'
    _replace(path, text.encode("ascii"))
    return len(entries)


def _replace(path: str, data: bytes) -> None:
    try:
        with open(path, "rb") as f:
            before = f.read()
    except FileNotFoundError:
        before = None
    except OSError as e:
        raise _refused(path, e.strerror or str(e)) from None
    try:
        if before is None:
            rewrite.create(path, data)
        elif before != data:
            rewrite.write(path, before, data)
    except rewrite.NotWrittenError as e:
        raise _refused(path, str(e)) from None


def _refused(path: str, why: str) -> KvRolesError:
    return KvRolesError(
        Exit.DOES_NOT_APPLY, f"The baseline cannot be written to {path}: {why}", fix="Name another file"
    )


def _name(path: str, baseline: str) -> str:
    """A file's path from the folder of the baseline, both as they really are."""
    if path == "-":
        return path
    return os.path.relpath(os.path.realpath(path), os.path.dirname(os.path.realpath(baseline)))
