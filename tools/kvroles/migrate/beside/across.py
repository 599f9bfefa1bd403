"""Which side the files round a file put it to use for: those beside it, one folder up, one down, in the folders beside
its own, and a chart's templates.

Only asked where nothing but a file's name, or what is said in it, tells its side: ``prefill.env`` is prefill's until the
decode service's ``env_file`` names it. Whole deployments are not followed: what is named by a variable, further away or by
another tool's rules is not seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence import decide, kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.deployment import Deployment
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD, mentioned, name_sides, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate.beside.near import OWN_CONFIG, files_in, language_of, late, shown_path
from kvroles.migrate.beside.taken_whole import by_folder, by_image
from kvroles.migrate.files import hits, neighbours
from kvroles.migrate.readers import mentions, registry
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.of_file import file_scope

_DEPLOYS = frozenset({"yaml", "json", "hcl"})
_BOTH = TOKEN.encode()
# What stands before a name: folders, variables and what commands tell, as ``$(dirname "$0")``. Compiled where a name is found:
# few files are asked.
_PATH = r"(?:\$\((?:[^()\n]|\$\([^()\n]*\))*\)|[\w.~/${}()\"-])*$"
_OPENS = regex(r"[\"'(]")  # a call's argument: ``file("``
_DEFAULTS = r"(?m)^defaults:[ \t]*(?:\[[^\]\n]*?|(?:\r?\n[ \t]*-[^\n]*)*?\r?\n[ \t]*-[ \t]*)(?<![\w.-])({})(?![\w.-])"
# By which source code takes what another file of it sets; not where it has a config of its own.
_SCRIPT_IMPORTS = r"(?:\bfrom|\brequire\(|\bimport\(?)\s*[\"'][\w.@/-]*?{folder}/{stem}(?:\.\w+)?[\"']"
_IMPORTS = {
    "python": r"(?m)^[ \t]*(?:from[ \t]+[\w.]*?{folder}\.?(?<!\w){stem}[ \t]+import\b"
    r"|import[ \t]+(?:\w+\.)*?{folder}\.?(?<!\w){stem}\b)",
    "javascript": _SCRIPT_IMPORTS,
    "typescript": _SCRIPT_IMPORTS,
    "tsx": _SCRIPT_IMPORTS,
    "rust": r"\buse\s+[\w:]*?{folder}(?:::)?(?<!\w){stem}\b|\bmod\s+{stem}\s*;",
}
_NONE_RUNS = regex(r"\b(?:replicas|count)[\"']?\s*[:=]\s*0\b")
_UNIT = regex(r"\.(?:service|container)(?:\.\w+)?$")
_SOURCES = (
    r"(?:^|[;&|({\s])(?:\.|source|exec(?:\s+(?:ba|z|da)?sh)?)\s+[\"']?$|^\s*(?:COPY|ADD)\s"  # or is put into an image
)


class Candidate(NamedTuple):
    """A file that may name the one at hand: its path, the same as evidence, the name to look for, and what may stand before that
    name there."""

    path: str
    shown: str
    name: str
    before: tuple[str, ...]


def uses(ctx: FileCtx) -> dict[Side, Cue]:
    """What each side, prefill or decode, is seen to use the file by; empty if no file round it names it."""
    if ctx.path == "-":
        return {}
    out: dict[Side, Cue] = {}
    for candidate in candidates(ctx):
        for side, cue in in_file(candidate):
            out.setdefault(side, cue)
    for side, cue in (*by_folder(ctx), *by_image(ctx)):
        out.setdefault(side, cue)
    return out


def configures_twin(ctx: FileCtx, names: set[str]) -> bool:
    """Whether a file beside this one names the twin of one of ``names`` and holds a config of vLLM's: ``vllm-prefill`` of
    ``vllm-decode``. Not where its prefill servers are switched off."""
    if ctx.path == "-":
        return False
    others = {twin for name in names for twin in twins(name)}
    beside = [p for p in files_in(os.path.dirname(ctx.path)) if os.path.normpath(p) != os.path.normpath(ctx.path)]
    texts = (neighbours.text(path) for path in beside) if others else ()
    return any(
        any(mentions.names(text, twin) for twin in others)
        and OWN_CONFIG.search(text) is not None
        and _NONE_RUNS.search(text) is None
        and Deployment(Text(text)).prefill_off is None
        for text in texts
    )


def candidates(ctx: FileCtx) -> Iterator[Candidate]:
    """The files that may name this one."""
    folder, name = os.path.split(ctx.path)
    shown = os.path.dirname(ctx.name)
    own = os.path.basename(os.path.abspath(folder))
    below, here, above = (f"{own}/",), ("", "./", "/", f"{own}/"), ("../", "/")
    for path in (*files_in(folder), *late(ctx.path)):
        if os.path.basename(path) != name:
            yield Candidate(path, shown_path(shown, folder, path), name, here)
    for child in neighbours.folders(folder):
        for path in files_in(child):
            yield Candidate(path, shown_path(shown, folder, path), name, above)
    if not shown:
        return  # what is above was not asked about
    parent = os.path.join(folder, "..")
    for path in files_in(parent):
        yield Candidate(path, shown_path(os.path.dirname(shown), parent, path), name, below)
    for path in files_in(os.path.join(parent, "templates")):
        yield Candidate(path, shown_path(os.path.dirname(shown), parent, path), name, below)
    others = twins(own)
    for beside in neighbours.folders(parent):
        near = os.path.basename(beside)
        if near in others or (near != own and mentioned(name)):
            for path in files_in(beside) if near in others else _deploying(beside):
                yield Candidate(path, shown_path(os.path.dirname(shown), parent, path), name, below)
    if "kustomization.yaml" in ctx.siblings:  # a base: its folder is what others name
        for beside in neighbours.folders(parent):
            path = os.path.join(beside, "kustomization.yaml")
            if os.path.basename(beside) != own and os.path.isfile(path) and not os.path.islink(path):
                yield Candidate(path, shown_path(os.path.dirname(shown), parent, path), own, above)


def _deploying(folder: str) -> list[str]:
    """The files in a folder, and one folder down, that a tool which deploys may read."""
    found = [path for where in (folder, *neighbours.folders(folder)) for path in files_in(where)]
    return [path for path in found if language_of(path) in _DEPLOYS][: neighbours.MANY]


# A release and all the files of values that it is given, in a command or as a list.
_LAID = regex(
    r"\bhelm\s(?:[^\n;&|\\]|\\\r?\n)*"
    r"|\b(?:values|valueFiles|valuesFiles)[\"']?:[ \t]*(?:\[[^\]]*\]|\r?\n(?:[ \t]*-[^\n]*\n?)+)"
)


def _laid_together(s: str, name: str) -> re.Match[str] | None:
    """Where a text gives one Helm release the file ``name`` and its twin: what both hold is laid one over the other."""
    others = twins(name)
    if not any(other in s for other in others):
        return None
    laid = (m for m in _LAID.finditer(s) if mentions.names(m.group(), name))
    return next((m for m in laid if any(mentions.names(m.group(), other) for other in others)), None)


def _leads(path: str, before: tuple[str, ...]) -> bool:
    """Whether what stands before a name leads to the folder: one of the endings in ``before``, or where the tree lies on the
    machine that runs it (``/etc/vllm/``, ``$HOME/``), if that counts."""
    if "/" in before and (path.startswith("/") or "$" in path or "~" in path):
        return True
    return any(path == end or (end[-1:] == "/" and len(end) > 2 and path.endswith(end)) for end in before)


def in_file(file: Candidate) -> Iterator[tuple[Side, Cue]]:
    """The side that each place of ``file`` that names the one at hand is about, with the cue for it."""
    hit = hits.look(file.path)
    stem = os.path.splitext(file.name)[0]
    has_defaults = b"\ndefaults:" in b"\n" + hit.data[:4096] and os.fsencode(stem) in hit.data
    imported = _IMPORTS.get(language_of(file.path), "") if os.fsencode(stem) in hit.data else ""
    if not (has_defaults or imported or os.fsencode(file.name) in hit.data):
        return
    if _UNIT.search(file.name) and _UNIT.search(file.path):
        return  # units name each other for the order in which they are started
    # A file says the same before its own roles are rewritten and after, and whatever single bytes it holds.
    data = hit.data.replace(b"kv_producer", _BOTH).replace(b"kv_consumer", _BOTH).replace(b"\0", b" ")
    text = Text.of_file(data.decode("utf-8", "replace").encode())
    ctx = File(file.path, file.shown, text)
    named = file_scope(file.shown, ctx).cues
    up = Scope("other file", file.shown, None, named)
    own = name_sides(file.name)
    if len(own) == 1 and own <= set(PD) and (m := _laid_together(text.s, file.name)) is not None:
        words = " ".join(m.group().split())[:80]
        yield next(iter(own)).other, kinds.EXTENDED.cue(Side.SHARED, f"{file.shown}: {words}")

    def cue(side: Side, first: Cue, place: int, words: str) -> tuple[Side, Cue]:
        line = text.s.count("\n", 0, place) + 1
        return side, Cue(side, first.weight, f"used in {file.shown}, line {line}", words)

    # Hydra's list of defaults names files without their suffix.
    listed = has_defaults and language_of(file.name) == "yaml"
    if listed and (m := re.search(_DEFAULTS.format(re.escape(stem)), text.s)) is not None:
        verdict = decide.of_use(up)
        if verdict.side in PD:
            yield cue(verdict.side, verdict.cues[0], m.end(), m.group(1))
    of = (
        re.escape(file.before[0].rstrip("/")) if len(file.before) == 1 else ""
    )  # the folder, where that is to be named too
    importing = re.compile(imported.format(stem=re.escape(stem), folder=of)) if imported else None
    if importing is not None and (m := importing.search(text.s)) is not None and OWN_CONFIG.search(text.s) is None:
        verdict = decide.of_use(up)
        if verdict.side in PD:
            yield cue(verdict.side, verdict.cues[0], m.end(), " ".join(m.group().split()))
    started = registry.lang_of_name(file.name) in {"shell", "python"} and not file.name.endswith(".env")
    for use in mentions.owners(language_of(os.path.basename(file.path)), text, file.name, up, ctx):
        line = text.s[text.s.rfind("\n", 0, use.place) + 1 : use.place] if use.place >= 0 else ""
        said = re.search(_PATH, line)
        if use.place < 0 or said is None:
            continue
        path = said.group().lstrip("\"'(")
        if not _leads(path, file.before) and not _leads(_OPENS.split(path)[-1], file.before):
            continue
        # A script that is started, and not sourced, is a server of its own: the other file's name says nothing of it.
        up.cues = [] if started and not re.search(_SOURCES, line[: said.start()]) else named
        verdict = decide.of_use(use)
        for side in PD if verdict.why in {"shared", "conflict"} else (verdict.side,):
            if side in PD:
                yield cue(side, verdict.cues[0], use.place, verdict.cues[0].words)
