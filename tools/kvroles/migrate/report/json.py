"""The report as one JSON document, whose schema is ``docs/data/migrate.schema.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvroles.migrate.codes import CODES
from kvroles.migrate.model import Finding
from kvroles.migrate.report import SCHEMA, table

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage


def as_json(results: list[FileResult], coverage: Coverage) -> dict[str, object]:
    """The results, and what was looked at, as that document."""
    return {
        "version": SCHEMA,
        "looked_at": coverage.files,
        "passed_over": dict(sorted(coverage.passed.items())),
        "repositories": [row.as_json() for row in table.rows(results, coverage)],
        "findings": [_one(f, r) for r in results for f in r.findings],
        "changes": [
            {"path": r.path, "written": any(f.written for f in r.findings), "diff": r.patch}
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
        "repository": r.repository,
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
                "line": r.line(c) or None,
            }
            for c in f.cues
        ],
    }
    if f.kept is not None:
        out["kept"] = {"by": f.kept.how, "because": f.kept.because, "rule": f.kept.rule}
    for name, value in (("object", f.object), ("field", f.field), ("fix", f.fix)):
        if value:
            out[name] = value
    return out
