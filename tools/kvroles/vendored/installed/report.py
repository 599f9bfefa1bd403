"""What a person and a machine (``--json``, ``docs/data/vendor.schema.json``) read at the end of install, uninstall and verify."""

from __future__ import annotations

from typing import Any

from kvroles.apply.plan import TopicStatus
from kvroles.apply.report import colours, paint
from kvroles.said import said
from kvroles.vendored.installed import change, proof
from kvroles.vendored.installed.construction import Construction
from kvroles.vendored.installed.distribution import Installed

SCHEMA = 1


def topics_json(topics: tuple[TopicStatus, ...]) -> list[dict[str, Any]]:
    """Topics with their files' states."""
    return [
        {
            "topic": t.topic,
            "variant": t.variant,
            "state": t.state.value,
            "files": [{"path": f.path, "state": f.state.value} for f in t.files],
        }
        for t in topics
    ]


def topics_text(topics: tuple[TopicStatus, ...], left_out: tuple[str, ...]) -> list[str]:
    """The same in lines; ``left_out`` topics are named as what they are."""
    on = colours()
    lines = []
    for t in topics:
        lines.append(f"  {paint(t.state, 9, on)} {t.topic}{f' (variant {t.variant})' if t.variant else ''}")
        lines += [f"    {paint(f.state, 9, on)} {said(f.path)}" for f in t.files]
    if left_out:
        lines.append(f"  not part of a wheel: {', '.join(left_out)} (tests and docs)")
    return lines


def change_json(outcome: change.Outcome) -> dict[str, Any]:
    """``install`` and ``uninstall``."""
    return {
        "schema": SCHEMA,
        "did": outcome.did,
        "release": outcome.release,
        **_where(outcome.installed),
        "topics": topics_json(outcome.topics),
        "files": list(outcome.files),
        "bytecode_dropped": list(outcome.dropped),
        "not_in_a_wheel": list(outcome.left_out),
        "finished_interrupted_run": outcome.finished,
        "notes": list(outcome.notes),
    }


def change_text(outcome: change.Outcome) -> str:
    """``install`` and ``uninstall``."""
    did = {
        "installed": "patched in place",
        "uninstalled": "the originals are back",
        "nothing": "nothing was changed",
    }[outcome.did]
    found = outcome.installed
    lines = [f"{said(found.name)} {said(found.version)} in {said(found.site)}: {did}"]
    if outcome.finished:
        lines.append("  an interrupted run was finished first")
    lines += [f"  {said(note)}" for note in outcome.notes]
    lines += topics_text(outcome.topics, outcome.left_out)
    if outcome.did == "uninstalled":
        lines += [f"  restored  {said(path)}" for path in outcome.files]
    if outcome.dropped:
        lines.append(f"  stale bytecode dropped: {', '.join(map(said, outcome.dropped))}")
    return "\n".join(lines) + "\n"


def proof_json(result: proof.Proof) -> dict[str, Any]:
    """``verify``."""
    return {
        "schema": SCHEMA,
        "did": "verified",
        "release": result.release,
        **_where(result.installed),
        "how": result.how,
        "topics": topics_json(result.topics),
        "construction": {"warned": result.construction.warned, "unchecked": result.construction.unchecked},
    }


def proof_text(result: proof.Proof) -> str:
    """``verify``."""
    found = result.installed
    how = {"wheel": "a vendored wheel", "install": "patched in place", "native": "native, warns by itself"}[result.how]
    lines = [f"{said(found.name)} {said(found.version)} in {said(found.site)}: verified, {how}"]
    lines += topics_text(result.topics, ())
    lines.append(f"  construction  {_constructed(result.construction)}")
    return "\n".join(lines) + "\n"


def _constructed(built: Construction) -> str:
    if built.unchecked:
        return f"not checked: {said(built.unchecked)}"
    return ", ".join(f"{role}: {'warns once' if n else 'silent'}" for role, n in built.warned.items())


def _where(found: Installed) -> dict[str, Any]:
    return {"distribution": found.name, "version": found.version, "site_packages": str(found.site)}
