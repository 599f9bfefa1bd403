"""The findings as GitHub workflow commands, which annotate the lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvroles.migrate.codes import CODES
from kvroles.migrate.model import Level
from kvroles.migrate.report.text import evidence, worth_saying
from kvroles.said import said

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult


def github(results: list[FileResult]) -> list[str]:
    """GitHub workflow commands, one for each finding that is shown."""
    kinds = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}
    out: list[str] = []
    for r in results:
        for f in r.findings:
            if not worth_saying(f) or f.written:
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
    return said(s.replace("%", "%25").replace(":", "%3A").replace(",", "%2C"))
