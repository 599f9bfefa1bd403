"""The files found to findings, and the bytes to write."""

from __future__ import annotations

import os
from functools import partial

from kvroles.errors import Exit, KvRolesError
from kvroles.evidence.text import TOKEN, TOKEN_RE, Text
from kvroles.migrate import findings, parallel, walk
from kvroles.migrate.codes import CODES
from kvroles.migrate.model import Finding
from kvroles.migrate.readers import base
from kvroles.migrate.readers.base import File
from kvroles.migrate.search import Found
from kvroles.migrate.settings import Options

_WORTH_SHARING = 16  # files; fewer are judged in the time that a process takes to start


class FileResult:
    """One file's findings; its bytes before and after, where something is to be written.

    ``lines`` are those that the places of the findings' evidence stand in: a file's text is not kept, so that what a
    run holds grows with what it found and not with what it read.
    """

    def __init__(self, path: str, findings: list[Finding], lines: dict[int, int] | None = None) -> None:
        self.path = path
        self.findings = findings
        self.lines = lines if lines is not None else {}
        self.before = b""
        self.after: bytes | None = None


def each(found: list[Found], options: Options) -> list[FileResult]:
    """The result of every file found that has one, in order."""
    if worth := len(found) >= _WORTH_SHARING:
        base.load()
    return parallel.shared(partial(_one, options), found, worth=worth)


def _one(options: Options, found: Found) -> list[FileResult]:
    hit = walk.Hit(found.path, skipped=found.skipped) if found.skipped else walk.look(found.path)
    if hit.skipped:
        return [skipped(hit.path, hit.skipped)]
    result = of_bytes(hit.path, evidence_name(found.root, hit.path), hit.data, options)
    return [] if result is None else [result]


def evidence_name(root: str, path: str) -> str:
    """The part of a path that may count as evidence: below the current folder, else below the argument's."""
    here = os.path.relpath(path)
    if not here.startswith(".."):
        return here
    base = os.path.dirname(os.path.abspath(root))
    return os.path.relpath(os.path.abspath(path), base)


def skipped(path: str, why: str) -> FileResult:
    return FileResult(path, [Finding("KVR190", CODES["KVR190"].level, path, 1, 1, f"skipped: {why}")])


def of_bytes(path: str, name: str, data: bytes, options: Options) -> FileResult | None:
    """The result for one file's bytes, or None if nothing in it is NIXL's or ours to speak of."""
    if TOKEN.encode() not in data:
        return None
    try:
        text = Text.of_file(data)
    except UnicodeDecodeError:
        return skipped(path, "not UTF-8")
    ctx = File(path, name, text, options.settings.connectors)
    try:
        found = findings.of_file(ctx, options)
    except (RecursionError, MemoryError):
        return skipped(path, "nested too deep")
    except ImportError as e:
        raise KvRolesError(
            Exit.USAGE,
            f"{e.name} is not installed, which reading {path} takes",
            fix="Run: pip install . in this repository",
        ) from None
    except Exception as e:  # one odd file must not cost the report on all the others
        return skipped(path, f"reading it failed ({type(e).__name__}: {e}); nothing in it was changed")
    result = FileResult(path, found, lines={c.pos: ctx.line(c.pos)[0] for f in found for c in f.cues if c.pos >= 0})
    if options.proof and any(f.role for f in found):
        result.after = _checked(result, data, ctx, options)
        result.before = data if result.after is not None else b""
    return result


def _checked(result: FileResult, data: bytes, ctx: File, options: Options) -> bytes | None:
    """The edited bytes, read again: the same findings must come out, less those written. Else nothing is offered."""
    from kvroles.migrate import rewrite  # only where a change is proposed

    wanted = [f for f in result.findings if f.role]
    try:
        after = rewrite.edited(data, ctx.text, result.findings)
        text = Text.of_file(after)
        again = findings.of_file(File(ctx.path, ctx.name, text, ctx.nixl), options)
    except Exception as e:  # whatever it is, what cannot be read again is not offered
        why = str(e) or type(e).__name__
    else:
        left = len(TOKEN_RE.findall(text.s))
        if left == len(TOKEN_RE.findall(ctx.text.s)) - len({f.pos for f in wanted}) and not any(f.role for f in again):
            return after
        why = "reading it again after the change gave another result"
    for f in wanted:
        f.code, f.level, f.message, f.role = "KVR117", CODES["KVR117"].level, f"{f.message}: not offered, {why}", None
    return None


def left(results: list[FileResult]) -> list[Finding]:
    """The findings that ``--check`` fails on: all that is not a note, written or silenced."""
    return [f for r in results for f in r.findings if CODES[f.code].actionable and not f.suppressed and not f.written]
