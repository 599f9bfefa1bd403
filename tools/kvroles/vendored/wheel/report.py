"""What a person and a machine (``--json``) read at the end of ``wheel``."""

from __future__ import annotations

from typing import Any

from kvroles.said import said
from kvroles.vendored.installed.report import SCHEMA, topics_json, topics_text
from kvroles.vendored.wheel import build


def wheel_json(outcome: build.Outcome) -> dict[str, Any]:
    """``wheel``."""
    source, built = outcome.source, outcome.built
    return {
        "schema": SCHEMA,
        "did": outcome.did,
        "release": outcome.release,
        "input": {
            "path": str(source.path),
            "sha256": source.sha256,
            "distribution": source.distribution,
            "version": source.version,
            "official": source.official is not None,
        },
        "output": None
        if built is None
        else {"path": str(built.path), "sha256": built.sha256, "size": built.size, "version": built.version},
        "provenance": [str(p) for p in outcome.beside],
        "topics": topics_json(outcome.topics),
        "not_in_a_wheel": list(source.part.left_out),
        "notes": list(outcome.notes),
    }


def wheel_text(outcome: build.Outcome) -> str:
    """``wheel``."""
    source, built = outcome.source, outcome.built
    kind = "the official wheel" if source.official else "not the official file; its members agree with its RECORD"
    lines = [f"vLLM {outcome.release}, {said(source.path.name)} ({kind}): {'built' if built else 'nothing was built'}"]
    lines += [f"  {note}" for note in outcome.notes]
    lines += topics_text(outcome.topics, source.part.left_out)
    if built:
        lines += [f"  wheel     {said(built.path)}", f"  sha256    {built.sha256}", f"  version   {built.version}"]
        lines += [f"  beside it {p}" for p in outcome.beside]
    return "\n".join(lines) + "\n"
