"""The report: text for people, JSON, SARIF and GitHub annotations for machines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TextIO

from kvroles.migrate.codes import CODES, EFFECTS
from kvroles.migrate.model import Finding, Level

if TYPE_CHECKING:
    from kvroles.migrate.run import FileResult

VERSION = 1


def render(results: list[FileResult], out: TextIO, *, form: str, diff: bool, verbose: bool, quiet: bool) -> None:
    """Print ``results`` in the form asked for."""
    match form:
        case "json":
            import json

            json.dump(as_json(results), out, indent=2, ensure_ascii=False)
            out.write("\n")
        case "sarif":
            import json

            from kvroles.migrate import sarif

            json.dump(sarif.log(results), out, indent=2, ensure_ascii=False)
            out.write("\n")
        case "github":
            for line in github(results):
                out.write(line + "\n")
        case _:
            if diff:
                for r in results:
                    out.write(unified(r))
            else:
                _text(results, out, verbose=verbose, quiet=quiet)


def unified(r: FileResult) -> str:
    """The change to one file as a unified diff; empty if there is none."""
    if r.after is None:
        return ""
    import difflib

    a = r.before.decode("utf-8").splitlines(keepends=True)
    b = r.after.decode("utf-8").splitlines(keepends=True)
    lines = list(difflib.unified_diff(a, b, f"a/{r.path}", f"b/{r.path}"))
    return "".join(ln if ln.endswith("\n") else ln + "\n\\ No newline at end of file\n" for ln in lines)


def _shown(f: Finding, verbose: bool) -> bool:
    return verbose or (not f.suppressed and (f.level is not Level.NOTE or f.code in EFFECTS))


def _text(results: list[FileResult], out: TextIO, *, verbose: bool, quiet: bool) -> None:
    count: Counter[str] = Counter()
    for r in results:
        for f in r.findings:
            count["suppressed" if f.suppressed else f.code] += 1
            if quiet or not _shown(f, verbose):
                continue
            state = " (written)" if f.written else " (silenced)" if f.suppressed else ""
            connector = f" [{f.connector}]" if f.connector else ""
            out.write(f"{f.path}:{f.line}:{f.column}: {f.code} {f.message}{connector}{state}\n")
            for line in evidence(f, r):
                out.write(f"    {line}\n")
            if f.fix and not f.written:
                out.write(f"    to do: {f.fix}\n")
    out.write(summary(results, count) + "\n")


def evidence(f: Finding, r: FileResult) -> list[str]:
    """The cues of a finding, each with its line."""
    out: list[str] = []
    for c in f.cues[:6]:
        where = f"line {_line(r, c.pos)}: " if c.pos >= 0 else ""
        words = " ".join(c.words.split())
        line = f"{where}{c.kind}: {words} -> {c.side.value}"
        if line not in out:
            out.append(line)
    return out


def _line(r: FileResult, pos: int) -> int:
    return r.lines.get(pos, 1)


def summary(results: list[FileResult], count: Counter[str]) -> str:
    """One line: what was found, what can be or was written, what is left."""
    written = sum(f.written for r in results for f in r.findings)
    certain = sum(f.role is not None and not f.suppressed for r in results for f in r.findings)
    skipped = count["KVR190"]
    open_ = sum(n for c, n in count.items() if c in CODES and CODES[c].level is Level.WARNING) - skipped
    files = sum(any(f.role is not None and not f.suppressed for f in r.findings) for r in results)
    if not certain and not open_:
        text = "no NIXL role says kv_both"
    elif written:
        text = f"{_of(written, 'role')} written, {certain - written} not written, {open_} to look at"
    else:
        text = (
            f"{_of(certain, 'role')} certain in {_of(files, 'file')}"
            + (" (--write rewrites them)" if certain else "")
            + f", {open_} to look at"
        )
    notes = sum(n for c, n in count.items() if c in CODES and CODES[c].level is Level.NOTE)
    text += f"; {_of(notes, 'note')}" if notes else ""
    text += f"; {_of(skipped, 'file')} skipped" if skipped else ""
    text += f"; {count['suppressed']} silenced" if count["suppressed"] else ""
    return text


def _of(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_json(results: list[FileResult]) -> dict[str, object]:
    """The results as the JSON document of ``schema.json``."""
    return {
        "version": VERSION,
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
    return s.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(s: str) -> str:
    return _data(s).replace(":", "%3A").replace(",", "%2C")
