"""What a person and a machine (``--json``, ``docs/data/vendor.schema.json``) read at the end of install, uninstall and verify."""

from __future__ import annotations

from typing import Any

from kvroles.apply.report import colours, paint
from kvroles.apply.state import TopicStatus
from kvroles.said import said
from kvroles.vendored.installed import change, proof
from kvroles.vendored.installed.construction import Construction
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.installed.proof import Look

SCHEMA = 1
_LISTED = 20  # warnings in a summary; --json has all


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
        "read": outcome.read,
        "changed_by_others": list(outcome.warnings),
        "construction": outcome.construction,
    }


def change_text(outcome: change.Outcome) -> str:
    """``install`` and ``uninstall``."""
    did = {
        "installed": "patched in place",
        "uninstalled": "the originals are back",
        "nothing": "nothing was changed",
    }[outcome.did]
    lines = [f"{_title(outcome.installed)}: {did}"]
    if outcome.finished:
        lines.append("  an interrupted run was finished first")
    lines += [f"  {said(note)}" for note in outcome.notes]
    lines += topics_text(outcome.topics, outcome.left_out)
    if outcome.did == "uninstalled":
        lines += [f"  restored  {said(path)}" for path in outcome.files]
    if outcome.dropped:
        lines.append(f"  stale bytecode dropped: {', '.join(map(said, outcome.dropped))}")
    if outcome.did == "installed":
        lines.append(f"  read      {outcome.read}")
        lines += _warned(outcome.warnings)
        lines.append(f"  connector {outcome.construction}; 'verify' proves the result")
    return "\n".join(lines) + "\n"


def proof_json(result: proof.Proof) -> dict[str, Any]:
    """``verify``."""
    look = result.look
    compiled = look.bytecode
    return {
        "schema": SCHEMA,
        "did": result.word,
        "release": result.release,
        **_where(result.installed),
        "how": result.how,
        "topics": topics_json(result.topics),
        "read": {
            "files": look.census.read,
            "as_recorded": look.census.as_recorded,
            "unvouched": look.census.unvouched,
            "links": look.census.links,
            "bytecode": None
            if compiled is None
            else {"as_compiled": compiled.same, "unused": compiled.unused, "of_another_python": compiled.others},
            "startup_code": [
                {"path": str(s.path), "kind": s.kind, "sha256": s.sha256, "vouched_for_by": s.owner}
                for s in look.startup
            ],
            "plugins": [
                {"group": p.group, "name": p.name, "value": p.value, "metadata": p.of} for p in look.guests.plugins
            ],
            "plugin_lists_not_read": list(look.guests.unread),
            "preloaded": list(look.guests.preloads),
        },
        "imports": {
            "asked": look.imports,
            "isolated": bool(result.installed.search and result.installed.search.run.isolated),
            "with_pythonpath": None if look.imports is None else _added(result.installed),
        },
        "changed_by_others": list(look.warnings),
        "construction": {"warned": result.construction.warned, "unchecked": result.construction.unchecked},
        "notes": [] if result.note is None else [result.note],
    }


def proof_text(result: proof.Proof) -> str:
    """``verify``."""
    how = {"wheel": "a vendored wheel", "install": "patched in place", "native": "native, warns by itself"}[result.how]
    lines = [f"{_title(result.installed)}: {result.word}, {how}"]
    if result.note:
        lines.append(f"  {said(result.note)}")
    lines += topics_text(result.topics, ())
    lines += _looked(result.look, result.installed)
    lines.append(f"  construction  {_constructed(result.construction)}")
    return "\n".join(lines) + "\n"


def _looked(look: Look, found: Installed) -> list[str]:
    lines = [f"  read          {look.sentence}"]
    if look.bytecode is None:
        lines.append("  bytecode      not compared: no interpreter for these packages is known; name one with --python")
    else:
        b = look.bytecode
        others = f", {b.others} of another Python not read" if b.others else ""
        lines.append(
            f"  bytecode      {b.same} as compiled from its source, {b.unused} that Python would not use{others}"
        )
    for start in look.startup:
        lines.append(
            f"  start-up code {said(start.path)} ({said(start.owner) if start.owner else 'nobody vouches for it'})"
        )
    if look.imports is None:
        lines.append("  imports       not asked: no interpreter for these packages is known; name one with --python")
    else:
        added = _added(found)
        how = "isolated (-I)" if found.search and found.search.run.isolated else "run as this was run"
        how += f", with PYTHONPATH={said(added)} added" if added else ""
        lines.append(f"  imports       {look.imports} modules, each from the file that was read; Python {how}")
    for p in look.guests.plugins:
        lines.append(
            f"  not read      {said(p.value)}, the plugin {said(p.name)} ({said(p.group)}) of {said(p.of)}: may run inside vLLM"
        )
    lines += [f"  not read      {said(one)}: whether it names plugins is not known" for one in look.guests.unread]
    lines += [f"  not read      {said(one)}: loaded into Python before it starts" for one in look.guests.preloads]
    return lines + _warned(look.warnings)


def _warned(warnings: tuple[str, ...]) -> list[str]:
    lines = [f"  by others     {said(one)}" for one in warnings[:_LISTED]]
    if len(warnings) > _LISTED:
        lines.append(f"  by others     {len(warnings) - _LISTED} more; --json lists all")
    return lines


def _added(found: Installed) -> str | None:
    added = found.missing_from_path
    return None if added is None else str(added)


def _constructed(built: Construction) -> str:
    if built.unchecked:
        return f"not checked: {said(built.unchecked)}"
    return ", ".join(f"{role}: {'warns once' if n else 'silent'}" for role, n in built.warned.items())


def _title(found: Installed) -> str:
    return said(" ".join(filter(None, [found.name, found.version, "in", str(found.site)])))


def _where(found: Installed) -> dict[str, Any]:
    return {"distribution": found.name, "version": found.version, "site_packages": str(found.site)}
