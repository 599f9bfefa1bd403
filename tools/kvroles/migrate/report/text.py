"""The report: text for people, JSON, SARIF and GitHub annotations for machines."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from kvroles.migrate.codes import CODES, EFFECTS, Means
from kvroles.migrate.model import Finding, Kept, Level
from kvroles.said import said

if TYPE_CHECKING:
    from kvroles.migrate.run import FileResult
    from kvroles.migrate.search import Coverage

VERSION = 2


def document(results: list[FileResult], coverage: Coverage, form: str) -> dict[str, object]:
    """``results``, and what was looked at, as a document of ``form``: ``json`` or ``sarif``."""
    if form == "json":
        return as_json(results, coverage)
    # lazy: most runs need it late, or not at all
    from kvroles.migrate.report import sarif

    return sarif.log(results)


def diffs(results: list[FileResult]) -> str:
    """The changes as a patch; on a terminal without what it would obey, in GitHub's log without commands to it."""
    patch = "".join(unified(r) for r in results)
    if sys.stdout.isatty():
        return "".join(said(ln) + "\n" for ln in patch.splitlines())
    if patch and os.environ.get("GITHUB_ACTIONS") == "true":
        token = os.urandom(16).hex()
        return f"::stop-commands::{token}\n{patch}::{token}::\n"
    return patch


def unified(r: FileResult) -> str:
    """The change to one file as a unified diff; empty if there is none."""
    if r.after is None:
        return ""
    # lazy: needed only where text is compared
    import difflib

    a = r.before.decode("utf-8").splitlines(keepends=True)
    b = r.after.decode("utf-8").splitlines(keepends=True)
    lines = list(difflib.unified_diff(a, b, _name(f"a/{r.path}"), _name(f"b/{r.path}")))
    return "".join(ln if ln.endswith("\n") else ln + "\n\\ No newline at end of file\n" for ln in lines)


def _name(path: str) -> str:
    """A path in a patch, quoted as git does where it holds what a line cannot."""
    if said(path) == path and path.isprintable() and '"' not in path:
        return path
    quoted = "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in path.encode("utf-8", "surrogateescape")
    )
    return f'"{quoted}"'


def _shown(f: Finding, verbose: bool) -> bool:
    return verbose or (not f.suppressed and (f.level is not Level.NOTE or f.code in EFFECTS))


def text(results: list[FileResult], coverage: Coverage, *, verbose: bool, quiet: bool) -> str:
    """The report for people: the findings with their evidence, and what they were read from."""
    count: Counter[str] = Counter()
    out: list[str] = []
    for r in results:
        for f in r.findings:
            count[f.kept.how if f.kept is not None else f.code] += 1
            if quiet or not _shown(f, verbose):
                continue
            state = " (written)" if f.written else f" ({_kept(f.kept)})" if f.kept is not None else ""
            connector = f" [{f.connector}]" if f.connector else ""
            what = said(f"{f.code} {f.message}{connector}{state}")
            out.append(f"{said(f.path)}:{f.line}:{f.column}: {what}")
            out += [f"    {line}" for line in evidence(f, r)]
            if f.fix and not f.written:
                out.append(f"    to do: {said(f.fix)}")
    if coverage.names is not None and not quiet:
        out += [f"{said(path)}: passed over: {reason}" for reason, path in sorted(coverage.names)]
    out.append(summary(results, count, coverage))
    return "".join(line + "\n" for line in out)


def _kept(kept: Kept) -> str:
    """What leaves a finding as it is, in words."""
    words = {"answer": "kept by answer", "baseline": "kept by baseline", "silenced": "silenced"}[kept.how]
    return f"{words}: {kept.because}" if kept.because else words


def evidence(f: Finding, r: FileResult) -> list[str]:
    """The cues of a finding, each with its line."""
    out: list[str] = []
    for c in f.cues[:6]:
        where = f"line {_line(r, c.pos)}: " if c.pos >= 0 else ""
        words = " ".join(c.words.split())
        line = said(f"{where}{c.kind}: {words} -> {c.side.value}")
        if line not in out:
            out.append(line)
    return out


def _line(r: FileResult, pos: int) -> int:
    return r.lines.get(pos, 1)


def summary(results: list[FileResult], count: Counter[str], coverage: Coverage) -> str:
    """One line: what was found, what can be or was written, what is left, and what it was read from."""
    written = sum(f.written for r in results for f in r.findings)
    certain = sum(f.role is not None and not f.suppressed for r in results for f in r.findings)
    unread = sum(n for c, n in count.items() if c in CODES and CODES[c].means is Means.UNREAD)
    open_ = sum(n for c, n in count.items() if c in CODES and CODES[c].means is Means.ROLE) - certain
    files = sum(any(f.role is not None and not f.suppressed for f in r.findings) for r in results)
    kept = {how: count[how] for how in ("answer", "baseline", "silenced") if count[how]}
    if not certain and not open_ and not unread and not kept:
        text = "no NIXL role says kv_both"
    elif written:
        text = f"{_of(written, 'role')} written, {certain - written} not written, {open_} to look at"
    else:
        text = (
            f"{_of(certain, 'role')} certain in {_of(files, 'file')}"
            + (" (--write rewrites them)" if certain else "")
            + f", {open_} to look at"
        )
    text += f", {unread} unread" if unread else ""
    notes = sum(n for c, n in count.items() if c in CODES and CODES[c].level is Level.NOTE)
    text += f"; {_of(notes, 'note')}" if notes else ""
    if by := [f"{n} by {how}" for how, n in kept.items() if how != "silenced"]:
        text += "; " + ", ".join([by[0].replace(" by", " kept by"), *by[1:]])
    text += f"; {kept['silenced']} silenced" if "silenced" in kept else ""
    text += f"; {_of(coverage.files, 'file')} looked at"
    if coverage.passed:
        text += "; passed over: " + ", ".join(f"{n} {reason}" for reason, n in sorted(coverage.passed.items()))
    return text


def _of(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_json(results: list[FileResult], coverage: Coverage) -> dict[str, object]:
    """The results as the JSON document of ``schema.json``."""
    return {
        "version": VERSION,
        "looked_at": coverage.files,
        "passed_over": dict(sorted(coverage.passed.items())),
        "findings": [_one(f, r) for r in results for f in r.findings],
        "changes": [
            {"path": r.path, "written": any(f.written for f in r.findings), "diff": unified(r)}
            for r in results
            if r.after is not None
        ],
    }


def _one(f: Finding, r: FileResult) -> dict[str, object]:
    out: dict[str, object] = {
        "code": f.code,
        "name": CODES[f.code].name,
        "level": f.level.value,
        "means": CODES[f.code].means.value,
        "path": f.path,
        "line": f.line,
        "column": f.column,
        "message": f.message,
        "side": f.side.value if f.side else None,
        "connector": f.connector,
        "role": f.role,
        "written": f.written,
        "suppressed": f.suppressed,
        "evidence": [
            {
                "side": c.side.value,
                "kind": c.kind,
                "words": c.words,
                "line": _line(r, c.pos) if c.pos >= 0 else None,
            }
            for c in f.cues
        ],
    }
    if f.kept is not None:
        out["kept"] = {"by": f.kept.how, "because": f.kept.because, "rule": f.kept.rule}
    if f.fix:
        out["fix"] = f.fix
    return out


def github(results: list[FileResult]) -> list[str]:
    """GitHub workflow commands, one for each finding that is shown."""
    kinds = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}
    out: list[str] = []
    for r in results:
        for f in r.findings:
            if not _shown(f, False) or f.written:
                continue
            text = f.message + "".join(f"\n{e}" for e in evidence(f, r)) + (f"\nto do: {f.fix}" if f.fix else "")
            title = _property(f"{f.code} {CODES[f.code].name}")
            out.append(
                f"::{kinds[f.level]} file={_property(f.path)},line={f.line},col={f.column},title={title}::{_data(text)}"
            )
    return out


def _data(s: str) -> str:
    parts = s.replace("\r\n", "\n").split("\n")
    return "%0A".join(said(part.replace("%", "%25")) for part in parts)


def _property(s: str) -> str:
    return said(s.replace("%", "%25")).replace(":", "%3A").replace(",", "%2C")
