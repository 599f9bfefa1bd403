"""The report for people: first what needs them, by folder, last a table of the repositories and one line of summary."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from kvroles.migrate.codes import CODES, EFFECTS
from kvroles.migrate.model import Finding, Kept, Level
from kvroles.migrate.report import table
from kvroles.migrate.search import EXCLUDED
from kvroles.said import counted, said

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage

_NEEDS = ("unread", "to decide", "left")


def worth_saying(f: Finding) -> bool:
    """Whether a finding is one to act on, or tells what changes with a role."""
    return not f.suppressed and (f.level is not Level.NOTE or f.code in EFFECTS)


def text(
    results: list[FileResult], coverage: Coverage, *, verbose: bool = False, quiet: bool = False, check: bool = False
) -> str:
    """The report. What is certain counts as needing a person only with ``check``, where it fails; ``verbose`` lists it, and all
    else that is folded into counts."""
    rows = table.rows(results, coverage)
    out: list[str] = []
    if not quiet:
        needs = _NEEDS if check else _NEEDS[:2]
        out += _by_folder(results, needs)
        if verbose:
            rest = [line for r in results for f in r.findings if table.state(f) not in needs for line in _finding(f, r)]
            out += ["", *rest] if out and rest else rest
        else:
            out += _effects(results)
        if coverage.names is not None:
            out += [f"{said(path)}: passed over: {reason}" for reason, path in sorted(coverage.names)]
        if len(rows) > 1 or any(any(row[2:6]) for row in rows):
            out += [*([""] if out else []), *table.text(rows), ""]
    out.append(summary(results, coverage, rows))
    return "".join(line + "\n" for line in out)


def _by_folder(results: list[FileResult], needs: tuple[str, ...]) -> list[str]:
    """What needs a person, each folder with its counts."""
    folders: dict[str, list[tuple[Finding, FileResult]]] = {}
    for r in results:
        for f in r.findings:
            if table.state(f) in needs:
                folders.setdefault(os.path.dirname(r.path) or ".", []).append((f, r))
    out: list[str] = []
    for folder, found in folders.items():
        count = Counter(table.state(f) for f, _ in found)
        what = ", ".join(f"{count[s]} {s}" for s in needs if count[s])
        out += [*([""] if out else []), f"{said(folder)}: {what}"]
        for f, r in sorted(found, key=lambda fr: needs.index(table.state(fr[0]))):
            out += _finding(f, r)
    return out


def _finding(f: Finding, r: FileResult) -> list[str]:
    """The lines of one finding: where and what, the evidence that decided, and what to do."""
    state = " (written)" if f.written else f" ({_kept(f.kept)})" if f.kept is not None else ""
    connector = f" [{f.connector}]" if f.connector else ""
    out = [f"{said(place(f))}: {said(f'{f.code} {f.message}{connector}{state}')}"]
    out += [f"    {line}" for line in evidence(f, r)]
    if f.fix and not f.written and f.kept is None:
        out.append(f"    to do: {said(f.fix)}")
    return out


def place(f: Finding) -> str:
    """Where a finding is: a line of a file, or the field of an object."""
    if f.object and f.path != "-":
        return f"{f.object}: {f.field}" if f.field else f.object
    return f"{f.path}:{f.line}:{f.column}" + (f" ({f.object})" if f.object else "")


def _effects(results: list[FileResult]) -> list[str]:
    """What changes with the roles, a line for each kind."""
    count = Counter(f.code for r in results for f in r.findings if f.code in EFFECTS and not f.suppressed)
    return [
        f"{code} in {counted(n, 'place')}: {CODES[code].summary} (-v lists them)" for code, n in sorted(count.items())
    ]


def _kept(kept: Kept) -> str:
    """What leaves a finding as it is, in words."""
    words = {"answer": "kept by answer", "baseline": "kept by baseline", "silenced": "silenced"}[kept.how]
    return f"{words}: {kept.because}" if kept.because else words


def evidence(f: Finding, r: FileResult) -> list[str]:
    """The cues of a finding, each with its line."""
    out: list[str] = []
    for c in f.cues[:6]:
        line = r.line(c)
        where = f"line {line}: " if line else ""
        words = " ".join(c.words.split())
        said_of = said(f"{where}{c.kind}: {words} -> {c.side.value}")
        if said_of not in out:
            out.append(said_of)
    return out


def summary(results: list[FileResult], coverage: Coverage, rows: list[table.Row]) -> str:
    """One line: what was found, what can be or was written, what is left, and what it was read from."""
    _, _, written, left, open_, unread, kept, _ = table.total(rows)
    how = Counter(f.kept.how for r in results for f in r.findings if f.kept is not None)
    excluded = coverage.passed[EXCLUDED]  # files that hold the word, and that nobody looked into
    found = any((written, left, open_, unread, kept, excluded))
    if not found and not coverage.files:
        text = "nothing was looked at"
    elif not found:
        text = "no NIXL role says kv_both"
    elif written:
        text = f"{counted(written, 'role')} written, {left} not written, {open_} to look at"
    else:
        files = sum(any(table.state(f) == "left" for f in r.findings) for r in results)
        text = f"{counted(left, 'role')} certain in {counted(files, coverage.unit)}"
        text += f"{' (--write rewrites them)' if left and coverage.unit == 'file' else ''}, {open_} to look at"
    text += f", {unread} unread" if unread else ""
    notes = sum(CODES[f.code].level is Level.NOTE and not f.suppressed for r in results for f in r.findings)
    text += f"; {counted(notes, 'note')}" if notes else ""
    if by := [f"{how[h]} by {h}" for h in ("answer", "baseline") if how[h]]:
        text += "; " + ", ".join([by[0].replace(" by", " kept by"), *by[1:]])
    text += f"; {how['silenced']} silenced" if how["silenced"] else ""
    text += f"; {counted(coverage.files, coverage.unit)} looked at" if found or coverage.files else ""
    if coverage.passed:
        text += "; passed over: " + ", ".join(f"{n} {reason}" for reason, n in sorted(coverage.passed.items()))
    return text
