"""Findings as a SARIF 2.1.0 log as GitHub's code scanning takes it, with a fix where the role is certain.

Files are named from the top of their repository (``uriBaseId``), so that the log fits a checkout anywhere. A result's
fingerprint is of what its place is, not of where: a finding stays the same one when lines above it come or go.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from kvroles.evidence.text import TOKEN
from kvroles.migrate.codes import CODES, TO_DO
from kvroles.migrate.files import walk
from kvroles.migrate.model import Finding

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def log(results: list[FileResult]) -> dict[str, object]:
    """The SARIF log of one run. Lines and columns count from 1, columns in code points."""
    used = sorted({f.code for r in results for f in r.findings})
    index = {code: i for i, code in enumerate(used)}
    bases = _Bases()
    found = [_result(f, index[f.code], bases) for r in results for f in r.findings]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "kv-roles",
                        "informationUri": "https://github.com/vllm-project/vllm/pull/43874",
                        "rules": [_rule(code) for code in used],
                    }
                },
                "originalUriBaseIds": bases.as_sarif(),
                "columnKind": "unicodeCodePoints",
                "results": found,
            }
        ],
    }


def _rule(code: str) -> dict[str, object]:
    c = CODES[code]
    return {
        "id": code,
        "name": "".join(w.capitalize() for w in c.name.split("-")),
        "shortDescription": {"text": c.summary},
        "fullDescription": {"text": f"{c.summary} {TO_DO[code]}"},
        "help": {
            "text": f"{c.summary}\n\nWhat to do: {TO_DO[code]}",
            "markdown": f"{c.summary}\n\n**What to do.** {TO_DO[code]}",
        },
        "defaultConfiguration": {"level": c.level.value},
        "properties": {
            "tags": ["vllm", "nixl", c.means.value],
            "problem.severity": {"error": "error", "warning": "warning"}.get(c.level.value, "recommendation"),
            "precision": "very-high" if c.level.value == "error" else "high",
        },
    }


class _Bases:
    """The folders that files are named from: the current one's repository first, then those of other files."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._of_label: dict[str, str] = {}
        self.id(_top(os.getcwd()))

    def id(self, folder: str) -> str:
        """The id of a folder."""
        number = len(self._ids) + 1
        return self._ids.setdefault(folder, "%SRCROOT%" if number == 1 else f"%SRCROOT{number}%")

    def artifact(self, path: str) -> dict[str, str]:
        """Where a file lies."""
        if path == "-":
            return {"uri": "stdin"}
        folder = os.path.dirname(path)
        if folder not in self._of_label:
            self._of_label[folder] = _top(os.path.abspath(folder))
        top = self._of_label[folder]
        uri = quote(os.fsencode(os.path.relpath(os.path.abspath(path), top)))
        return {"uri": uri, "uriBaseId": self.id(top)}

    def as_sarif(self) -> dict[str, dict[str, str]]:
        """The ids and their folders."""
        return {
            name: {"uri": f"file://{quote(os.fsencode(folder.rstrip('/')))}/"} for folder, name in self._ids.items()
        }


def _top(folder: str) -> str:
    """The top of a folder's repository; without one the current folder if it lies below that, else itself."""
    if (top := walk.top_of(folder)) is not None:
        return top
    cwd = os.getcwd()
    return cwd if folder == cwd or folder.startswith(cwd.rstrip("/") + "/") else folder


def _result(f: Finding, index: int, bases: _Bases) -> dict[str, object]:
    region: dict[str, object] = {"startLine": f.line, "startColumn": f.column, "endColumn": f.column + len(TOKEN)}
    artifact = bases.artifact(f.path)
    text = f.message + (f" To do: {f.fix}." if f.fix else "")
    place: dict[str, object] = dict(region) if f.pos >= 0 else {"startLine": 1}
    if f.shown:
        place["snippet"] = {"text": f.shown}
    out: dict[str, object] = {
        "ruleId": f.code,
        "ruleIndex": index,
        "level": f.level.value,
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": place}}],
        "partialFingerprints": {"kvRolesPlace/v1": _fingerprint(artifact["uri"], f)},
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


def _fingerprint(uri: str, f: Finding) -> str:
    return hashlib.sha256(f"{uri}\0{f.key or f'{f.line}:{f.column}'}\0{f.code}".encode()).hexdigest()[:32]
