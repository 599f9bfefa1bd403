"""Findings as a SARIF 2.1.0 log, with a fix where the role is certain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from kvroles.evidence.text import TOKEN
from kvroles.migrate.codes import CODES
from kvroles.migrate.model import Finding

if TYPE_CHECKING:
    from kvroles.migrate.run import FileResult

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def log(results: list[FileResult]) -> dict[str, object]:
    """The SARIF log of one run. Lines and columns count from 1, columns in code points."""
    used = sorted({f.code for r in results for f in r.findings})
    index = {code: i for i, code in enumerate(used)}
    rules = [
        {
            "id": code,
            "name": "".join(w.capitalize() for w in CODES[code].name.split("-")),
            "shortDescription": {"text": CODES[code].summary},
            "defaultConfiguration": {"level": CODES[code].level.value},
        }
        for code in used
    ]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "kv-roles",
                        "informationUri": "https://github.com/vllm-project/vllm/pull/43874",
                        "rules": rules,
                    }
                },
                "originalUriBaseIds": {"%SRCROOT%": {"uri": f"file://{quote(os.fsencode(os.getcwd()))}/"}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(f, index[f.code]) for r in results for f in r.findings],
            }
        ],
    }


def _artifact(path: str) -> dict[str, str]:
    """Where a file lies: below the current folder from there, else with its whole path."""
    if path == "-":
        return {"uri": "stdin"}
    here = os.path.relpath(path)
    if here == ".." or here.startswith("../"):
        return {"uri": f"file://{quote(os.fsencode(os.path.abspath(path)))}"}
    return {"uri": quote(os.fsencode(here)), "uriBaseId": "%SRCROOT%"}


def _result(f: Finding, index: int) -> dict[str, object]:
    region = {"startLine": f.line, "startColumn": f.column, "endColumn": f.column + len(TOKEN)}
    artifact = _artifact(f.path)
    text = f.message + (f" To do: {f.fix}." if f.fix else "")
    out: dict[str, object] = {
        "ruleId": f.code,
        "ruleIndex": index,
        "level": f.level.value,
        "message": {"text": text},
        "locations": [
            {"physicalLocation": {"artifactLocation": artifact, "region": region if f.pos >= 0 else {"startLine": 1}}}
        ],
        "properties": {
            "connector": f.connector,
            "side": f.side.value if f.side else None,
            "evidence": [f"{c.kind}: {c.words} -> {c.side.value}" for c in f.cues],
        },
    }
    if f.kept is not None:
        kind = "inSource" if f.kept.rule == "comment" else "external"
        suppression = {"kind": kind, "status": "accepted"}
        if f.kept.because:
            suppression["justification"] = f.kept.because
        out["suppressions"] = [suppression]
    if f.role and not f.written:
        out["fixes"] = [
            {
                "description": {"text": f"Set {f.role}"},
                "artifactChanges": [
                    {
                        "artifactLocation": artifact,
                        "replacements": [{"deletedRegion": region, "insertedContent": {"text": f.role}}],
                    }
                ],
            }
        ]
    return out
