"""From the files that were found to their findings and the bytes to write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice

from kvroles import console
from kvroles.errors import Exit, KvRolesError, UsageError
from kvroles.evidence import c_library
from kvroles.evidence.text import BOM, TOKEN, TOKEN_RE, Text
from kvroles.migrate import findings, redact, sample, settings
from kvroles.migrate.answers import answer, comment
from kvroles.migrate.codes import CODES
from kvroles.migrate.files import globs, hits, neighbours, spelled, workers
from kvroles.migrate.model import Finding
from kvroles.migrate.readers import base
from kvroles.migrate.readers.base import File
from kvroles.migrate.result import FileResult
from kvroles.migrate.search import Coverage, Found
from kvroles.migrate.settings import Known, Options
from kvroles.progress import Progress
from kvroles.said import counted, shell

_LIMIT = 1000  # brackets within brackets: a parser's own stack holds some thousands
_SECONDS, _SECONDS_A_MB = 2.0, 1.0  # of processor time for one file
_TOKEN = re.compile(re.escape(TOKEN.encode()))
_NO_BRACKETS = bytes(b for b in range(256) if b not in b"()[]{}")
_ROUNDS = 60  # levels of brackets that are counted quickly; code that a person wrote has fewer
_MANY = 2_000  # occurrences in one file: a file that a person wrote has fewer


def each(found: list[Found], options: Options, coverage: Coverage, *, quiet: bool = True) -> list[FileResult]:
    """The result of every file in ``found`` that has one, in order; what is passed over is counted in ``coverage``.

    The files are read in worker processes: one that kills its worker, or takes too long, is unread. Without ``quiet`` a bar
    shows the progress.
    """
    sizes = {f.path: _size(f.path) for f in found if not f.skipped}
    with Progress("Reading", len(found), quiet=quiet, unit="files with kv_both") as bar, neighbours.unchanged():
        made = workers.each(
            partial(_one, options),
            found,
            budget=lambda f: budget(sizes.get(f.path, 0)),
            load=_ready if workers.processes(len(found)) > 1 else base.load,
            told=bar.at,
        )
    lost = [(f, result.why) for f, result in zip(found, made, strict=True) if isinstance(result, workers.Lost)]
    given_up = iter(_given_up(lost, options, lambda item: budget(sizes.get(item[0].path, 0))))
    out: list[FileResult] = []
    for f, result in zip(found, made, strict=True):
        if isinstance(result, workers.Lost):
            result = next(given_up)
        if isinstance(result, str):
            coverage.pass_over(result, f.path, f.repository)
            coverage.looked[f.repository] -= 1
        elif result is not None:
            result.repository = f.repository
            out.append(result)
    return out


def _given_up(
    lost: list[tuple[Found, str]],
    options: Options,
    seconds: Callable[[tuple[Found, str]], float],
    data: bytes | None = None,
) -> list[FileResult]:
    """The results of files whose processes were ``lost``, each with why; ``data`` is of the one that is no file.

    What they hold is read in worker processes as well: where that is lost too, a file is one finding.
    """

    def place(item: tuple[Found, str]) -> FileResult:
        f, why = item
        hit = hits.look(f.path) if data is None else hits.Hit(f.path, data)
        result = skipped(f.path, hit.skipped, hit.data) if hit.skipped else unread(f.path, hit.data, why)
        return _kept(result, hit.data, _options_of(f, options))

    made = workers.each(place, lost, budget=seconds, load=base.load) if lost else []
    return [
        _kept(unread(f.path, b"", why), b"", _options_of(f, options)) if isinstance(result, workers.Lost) else result
        for (f, why), result in zip(lost, made, strict=True)
    ]


def _ready() -> None:
    """Load the readers, and read two files of our own: what that compiles each process has from its start."""
    base.load()
    options = Options(settings.Settings(), proof=False)
    for name, text in (("page.md", sample.PAGE), ("test_program.py", sample.PROGRAM)):
        with suppress(KvRolesError):  # what is not installed the first file that takes it speaks of
            # Beside this path there are no files: none of the user's is read.
            of_bytes(f"/dev/null/{name}", name, text.encode(), options)


def of_input(data: bytes, options: Options) -> FileResult | None:
    """The result for the bytes of standard input, read in a worker process like a file; None if they hold no ``kv_both``."""
    hit = hits.judge("-", data[: hits.MAX_BYTES])
    if len(data) > hits.MAX_BYTES:
        hit = hits.Hit("-", skipped=f"larger than {hits.MAX_BYTES >> 20} MB")
    if hit.skipped:
        told = hit.binary or hit.data == b"" or TOKEN.encode() in hit.data
        return skipped("-", hit.skipped, hit.data) if told else None
    if not _holds(data):
        return None
    (made,) = workers.each(
        lambda _: of_bytes("-", "-", data, options), [None], budget=lambda _: budget(len(data)), load=base.load
    )
    if isinstance(made, workers.Lost):
        (made,) = _given_up([(Found("-", "-"), made.why)], options, lambda _: budget(len(data)), data)
    return made


def _options_of(found: Found, options: Options) -> Options:
    """``options`` with the settings that hold for a file."""
    return options if options.known is None else options._replace(settings=options.known.of(found.path, found.root))


def _kept(result: FileResult, data: bytes, options: Options) -> FileResult:
    """The result of a file that no reader finished, marked with the answers and settings that hold for it."""
    answers = options.settings.answers_of(result.path)
    if answers or options.keys:
        answer.name_unread(result.findings, data)
    answer.keep(result.findings, answers, f"{options.settings.file}: [[answer]]")
    findings.keep_by_settings(result.findings, options)
    return result


def budget(size: int) -> float:
    """The seconds of processor time that a file of so many bytes may take."""
    return _SECONDS + _SECONDS_A_MB * size / (1 << 20)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # reading the file reports it
        return 0


def _one(options: Options, found: Found) -> FileResult | str | None:
    """One file's result; the reason if the file is passed over; None if it holds no ``kv_both``."""
    options = _options_of(found, options)
    if found.skipped:
        return _kept(skipped(found.path, found.skipped), b"", options)
    named = os.path.normpath(found.root) == found.path
    hit = hits.look(found.path)
    if hit.binary and not named:
        return "binary"
    if hit.skipped:
        return _kept(skipped(hit.path, hit.skipped, hit.data), hit.data, options)
    below = "" if named else os.path.relpath(found.path, found.root)
    return of_bytes(hit.path, evidence_name(found.root, hit.path), hit.data, options, below=below, named=named)


def evidence_name(root: str, path: str) -> str:
    """The part of a path that may count as evidence: the path from the current folder, or from the folder of ``root`` if the
    path is not below the current one."""
    here = os.path.relpath(path)
    if not here.startswith(".."):
        return here
    base = os.path.dirname(os.path.abspath(root))
    return os.path.relpath(os.path.abspath(path), base)


def skipped(path: str, why: str, data: bytes = b"") -> FileResult:
    """The result for a file that could not be read: one finding for each ``kv_both`` in ``data``, or one for the file."""
    return _lost("KVR190", path, f"skipped: {why}", data)


def not_written(result: FileResult, why: str) -> None:
    """Say of each role in ``result`` that it was certain and could not be written: nobody knows what the file holds by now."""
    for f in result.findings:
        if f.role is not None:
            f.code, f.level, f.message, f.role = "KVR190", CODES["KVR190"].level, f"skipped: not written, {why}", None
    result.after, result.patch = None, ""


def unread(path: str, data: bytes, why: str) -> FileResult:
    """The result for a file that no reader finished: each ``kv_both`` in it is unread."""
    return _lost("KVR118", path, f"unread: {why}", data)


def _lost(code: str, path: str, message: str, data: bytes) -> FileResult:
    """A result with the same finding for each ``kv_both`` in ``data``, or one in line 1 if there is none."""
    found: list[Finding] = []
    line, last, column = 1, 0, 1
    for m in islice(_TOKEN.finditer(data), _MANY):
        feeds = data.count(b"\n", last, m.start())
        line += feeds
        start = data.rfind(b"\n", last, m.start()) + 1 if feeds else last
        column = (1 if feeds else column) + len(data[start : m.start()].decode("utf-8", "replace"))
        last = m.start()
        found.append(Finding(code, CODES[code].level, path, line, column, message, pos=last))
    return FileResult(path, found or [Finding(code, CODES[code].level, path, 1, 1, message)])


def _holds(data: bytes) -> bool:
    """Whether bytes hold ``kv_both`` in any spelling."""
    return c_library.within(data, TOKEN.encode()) or spelled.holds(data)


def of_bytes(
    path: str, name: str, data: bytes, options: Options, *, below: str | None = None, named: bool = False
) -> FileResult | None:
    """The result for one file's bytes, or None if ``kv_both`` is not in them in any spelling.

    ``name`` is the part of the path that may count as evidence, ``below`` the part below what the user named, by which a
    record is known (as ``name`` if None); ``named`` whether the user named the very file.
    """
    if not _holds(data):
        return None
    try:
        text = Text.of_file(data)
    except UnicodeDecodeError:
        return _kept(skipped(path, "not UTF-8", data), data, options)
    if _nested(data):
        return _kept(unread(path, data, f"brackets are nested more than {_LIMIT} deep"), data, options)
    if (count := len(text.words())) > _MANY:
        first = data[: data.index(TOKEN.encode()) + len(TOKEN)]
        return _kept(_lost("KVR118", path, f"unread: it holds kv_both {count} times", first), b"", options)
    ctx = File(path, name, text, options.settings.connectors)
    ctx.below, ctx.asked_for = name if below is None else below, named
    options.settings.used.clear()
    try:
        found = _found(ctx, options)
    except (RecursionError, MemoryError):
        why = "nested too deep, or too large for the memory that reading may take"
        return _kept(unread(path, data, why), data, options)
    except ImportError as e:
        raise KvRolesError(
            Exit.USAGE,
            f"{e.name} is not installed, which reading {path} takes",
            fix=console.libraries(),
        ) from None
    except KvRolesError:
        raise
    except Exception as e:  # one odd file must not cost the report on all the others
        why = f"reading it failed ({type(e).__name__}: {redact.masked(str(e))}); nothing in it was changed"
        return _kept(unread(path, data, why), data, options)
    result = FileResult(path, found, lines={c.pos: ctx.line(c.pos)[0] for f in found for c in f.cues if c.pos >= 0})
    result.used = frozenset(options.settings.used)
    if comment.SIGN in ctx.low:
        result.stale = comment.without_line(ctx.text.s.split("\n"), [f.line for f in found])
    if options.proof and any(f.role for f in found):
        result.after = _checked(result, data, ctx, options)
        result.before = data if result.after is not None else b""
    _show(result, ctx.text.s, data.startswith(BOM), options)
    return result


def _found(ctx: File, options: Options) -> list[Finding]:
    """The findings of a file."""
    return findings.of_file(
        ctx, options, partial(_beside, ctx, options._replace(pairs=False, proof=False, lines=False))
    )


def _beside(ctx: File, options: Options, path: str) -> list[Finding]:
    """The findings of the file at ``path``, which lies beside one that is read, or beside its folder."""
    if options.settings.excluded(path) is not None:
        return []
    hit = hits.look(path)
    if hit.binary:
        return []
    used = set(options.settings.used)
    name = path.removeprefix(ctx.path.removesuffix(ctx.name))
    result = skipped(path, hit.skipped, hit.data) if hit.skipped else of_bytes(path, name, hit.data, options)
    options.settings.used.clear()  # what decides there is no use of a row here
    options.settings.used.update(used)
    return result.findings if result is not None else []


def _show(result: FileResult, text: str, marked: bool, options: Options) -> None:
    """Mask the quotes in the findings, and set what a report shows of the file: the patch and the lines. ``text`` is the file's,
    without the byte order mark that one which is ``marked`` begins with."""
    mark = len(BOM.decode()) if marked else 0
    before = redact.Shown(BOM.decode() + text if marked else text)
    after = None
    if result.after is not None:
        # lazy: only where a change is proposed
        from kvroles.migrate.report import diff

        after = redact.Shown(result.after.decode("utf-8"))
        result.patch = diff.unified(result.path, before, after)
    for f in result.findings:
        f.message = redact.masked(f.message, prose=True)
        f.connector = redact.masked(f.connector) if f.connector else f.connector
        f.cues = [
            c if c.kind == "answer" else c._replace(words=before.words(c.words, c.pos + mark if c.pos >= 0 else -1))
            for c in f.cues
        ]
        if options.lines and f.pos >= 0:
            f.shown = before.excerpt(f.line, f.column)
            f.shown_after = after.excerpt(f.line, f.column) if after is not None and f.role else ""


def _nested(data: bytes) -> bool:
    """Whether brackets are nested deeper than the stack of a parser written in C allows."""
    if b"\x1b" in data:
        data = data.replace(b"\x1b[", b"")  # a terminal colour's bracket is never closed
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(_ROUNDS):  # each round removes the innermost pairs
        if len(brackets) <= _LIMIT:
            return False
        brackets = brackets.replace(b"()", b"").replace(b"[]", b"").replace(b"{}", b"")
    depth = 0
    for bracket in brackets:
        depth = depth + 1 if bracket in b"([{" else max(0, depth - 1)
        if depth > _LIMIT:
            return True
    return False


def _checked(result: FileResult, data: bytes, ctx: File, options: Options) -> bytes | None:
    """The edited bytes, or None if reading them again does not give the same findings less those written.

    With None the findings are changed to say why nothing is rewritten.
    """
    # lazy: only where a change is proposed
    from kvroles.migrate.files import rewrite

    wanted = [f for f in result.findings if f.role]
    try:
        after = rewrite.edited(data, ctx.text, result.findings)
        text = Text.of_file(after)
        ctx_after = File(ctx.path, ctx.name, text, ctx.nixl)
        ctx_after.below, ctx_after.asked_for = ctx.below, ctx.asked_for
        again = _found(ctx_after, options)
    except Exception as e:  # whatever the reason: a change that cannot be read again is not offered
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
    """The findings that ``--check`` fails on: all but notes, written ones and silenced ones."""
    return [f for r in results for f in r.findings if CODES[f.code].actionable and not f.suppressed and not f.written]


def check_sides(known: Known, coverage: Coverage, results: list[FileResult]) -> None:
    """Raise ``UsageError`` for an answer of the command line that names no file, or a line where it decides nothing."""
    used = {n for r in results for n in r.used}
    for n, (glob, line, side) in enumerate(known.given):
        given = f"`{shell('--side', f'{glob}:{line}={side.value}' if line else f'{glob}={side.value}')}`"
        if n in used or (not line and n in coverage.sides):
            continue
        at = [f for r in results if globs.named(r.path, glob, (".",)) for f in r.findings if f.line == line]
        if not line or (not at and n not in coverage.sides):
            raise UsageError(
                f"{given} names no file that was looked at",
                found=f"{counted(coverage.files, 'file')} at or below the paths",
                fix="Name the file as the findings do",
            )
        found = "; ".join(f"{f.code} {f.message}" for f in at) or "no kv_both in that line"
        raise UsageError(
            f"{given} has no effect there",
            expected="a line with a role whose side is to decide",
            found=found,
            fix="Leave it out, or name another line",
        )
