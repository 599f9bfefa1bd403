"""Which side the files round a file put it to use for: those beside it, one folder up, one down, in the folder of the
other side, and a chart's templates.

Only asked where nothing but a file's name, or what is said in it, tells its side: ``prefill.env`` is prefill's until the
decode service's ``env_file`` names it. Whole deployments are not followed: what is named by a variable, two folders away or
by another tool's rules is not seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from kvroles.evidence import decide, kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.deployment import Deployment
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.marks import commented
from kvroles.evidence.names import PD, mentioned, name_sides, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, occurrences
from kvroles.migrate import hits, neighbours
from kvroles.migrate.readers import lines, mentions, registry
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.of_file import file_scope

_READ = frozenset(
    {"shell", "yaml", "python", "go", "rust", "docker", "make", "just", "unit", "json", "toml", "powershell", "hcl"}
    | {"javascript", "typescript", "tsx"}
)
_BOTH = TOKEN.encode()
# What stands before a name: folders, variables and what commands tell, as ``$(dirname "$0")``. Compiled where a name is found:
# few files are asked.
_PATH = r"(?:\$\((?:[^()\n]|\$\([^()\n]*\))*\)|[\w.~/${}()\"-])*$"
_OPENS = regex(r"[\"'(]")  # a call's argument: ``file("``
_DEFAULTS = r"(?m)^defaults:[ \t]*(?:\[[^\]\n]*?|(?:\r?\n[ \t]*-[^\n]*)*?\r?\n[ \t]*-[ \t]*)(?<![\w.-])({})(?![\w.-])"
_EXTENDS = (  # of a service that sets no command of its own
    r"(?m)^(?P<in>[ \t]+)extends:[ \t]*(?P<how>\{[^}\n]*\}|(?:\r?\n(?P=in)[ \t]+[^\n]*)+)[ \t]*\r?$"
    r"(?!(?:\n(?P=in)[^\n]*)*\n(?P=in)(?:command|entrypoint|args):)"
)
# A filter or a copy that reads one file and writes another.
_MAKES = (
    b"copy",
    b'"w',
    b"'w",
    b"write_text",
    b"tee ",
    b"s/",
    b"s|",
    b"s#",
    b"s,",
    b"s@",
    b"s!",
    b"replace(",
    b"//",
    b"cp ",
    b"ln -s",
    b"install ",
    b"> ",
    b"yq",
    b"jq",
    b"envsubst",
    b"kubectl ",
)
_SENT = regex(
    r"(?:^|[\s;&|(@])(?:(?:sed|yq|jq|awk|perl|tr|m4|cat|envsubst|ytt|gomplate|jinja2?)\s(?P<read>.*?)"
    r"(?:>|\btee\b)\s*[\"']?(?P<to>[\w./${}-]+)"
    r"|(?:cp|install|ln\s+-s\w*)\s(?P<read2>.*)\s[\"']?(?P<copy>[\w./${}-]+)[\"']?\s*(?:$|[;&|#]))"
    r"|\b(?:copy\w*|rename|replace|symlink)\(\s*(?P<read3>[^,\n]+),\s*[\"'](?P<given>[\w./-]+)[\"']"
)
# A filter that sets what it reads in one file anew and hands it on, or a command that changes what the file makes.
_CHANGED = regex(
    r"(?:^|[\s;&|(@=])(?:(?:go)?[yj]q|dasel|envsubst|sed|perl|ytt|gomplate|jinja2?)\s"
    r"|\bkubectl\s+(?:\S+\s+){0,4}?(?:patch|set|label|annotate)\s"
)
_CHANGES = regex(r"=|\b(?:g?sub|set|put|with|arg\w*)\b|\bs[/|#,@!]")
_SIDES_WORD = regex(r"[A-Za-z][\w-]*")
# A side's word that a variable takes the place of: ``sed "s/prefill/$role/"``.
_VARIED = regex(r"\bs([/|#,@!])[^\n/|#,@!]*(?:prefill|decode)[^\n/|#,@!]*\1[^\n/|#,@!]*\$")
_SAVED = regex(r"\bopen\(\s*[rf]?[\"']([\w./-]+)[\"']\s*,\s*[\"'][wx]|\bPath\([\"']([\w./-]+)[\"']\)\.write_")
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
_OWN_CONFIG = regex(r"kv_?[rR]ole|kv_?[cC]onnector")
_NONE_RUNS = regex(r"\b(?:replicas|count)[\"']?\s*[:=]\s*0\b")
_UNIT = regex(r"\.(?:service|container)(?:\.\w+)?$")
_KUSTOMIZE = frozenset({"kustomization.yaml", "kustomization.yml"})
_SOURCES = (
    r"(?:^|[;&|({\s])(?:\.|source|exec(?:\s+(?:ba|z|da)?sh)?)\s+[\"']?$|^\s*(?:COPY|ADD)\s"  # or is put into an image
)


class _Candidate(NamedTuple):
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
    for candidate in _candidates(ctx):
        for side, cue in _in_file(candidate):
            out.setdefault(side, cue)
    for side, cue in (*_by_folder(ctx), *_by_image(ctx)):
        out.setdefault(side, cue)
    return out


_IMAGE = regex(r"(?im)^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(?P<image>\S+)")


def _by_image(ctx: FileCtx) -> Iterator[tuple[Side, Cue]]:
    """The other side, with the cue for it, where its Dockerfile beside this one is built upon an image that is named for this
    one's side, and has no config of its own."""
    own = os.path.basename(ctx.path)
    sides = name_sides(own)
    if len(sides) != 1 or not sides <= set(PD) or language_of(own) != "docker":
        return
    side, folder = next(iter(sides)), os.path.dirname(ctx.path)
    for twin in sorted(ctx.siblings & set(twins(own))):
        text = neighbours.text(os.path.join(folder, twin))
        upon = [m for m in _IMAGE.finditer(text) if name_sides(m["image"].split(":")[0].rsplit("/", 1)[-1]) == sides]
        if upon and _OWN_CONFIG.search(text) is None:
            yield side.other, kinds.BUILT_UPON.cue(Side.SHARED, f"{twin}: {upon[0].group().strip()}")


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
        and _OWN_CONFIG.search(text) is not None
        and _NONE_RUNS.search(text) is None
        and Deployment(Text(text)).prefill_off is None
        for text in texts
    )


# How one of Ansible's roles takes another whole, and how a play does.
_ROLE_TAKEN = (
    r"(?:(?:include|import)_role:\s*(?:\{{[^}}\n]{{0,80}}\b)?name:\s*"
    r"|\bdependencies:(?:\s*\[[^\]\n]{{0,80}}|(?:\n[^\n]*){{0,20}}?\n[ \t]*-)\s*\{{?\s*(?:role:\s*)?)"
    r"[\"']?{}[\"']?(?![\w.-])"
)


def _by_folder(ctx: FileCtx) -> Iterator[tuple[Side, Cue]]:
    """The other side, with the cue for it, where the folder beside that of the file, named for that side, takes this folder or
    the file by its path, or as a role of Ansible's, and the file that does so has no config of its own."""
    path, shown, inside = os.path.dirname(ctx.path), os.path.dirname(ctx.name), os.path.basename(ctx.path)
    while shown:
        own = os.path.basename(shown)
        sides = name_sides(own)
        if len(sides) == 1 and sides <= set(PD):
            break
        path, shown, inside = os.path.dirname(path), os.path.dirname(shown), f"{own}/{inside}"
    else:
        return
    side, above = next(iter(sides)), os.path.dirname(path)
    taken = re.compile(rf"\.\./{re.escape(own)}(?:/(?:[\w.-]+/)*{re.escape(os.path.basename(inside))}|/?)(?![\w./-])")
    role = re.compile(_ROLE_TAKEN.format(re.escape(own))) if os.path.basename(above) == "roles" else None
    for beside in neighbours.folders(above):
        if name_sides(os.path.basename(beside)) != {side.other}:
            continue
        for found in [p for where in (beside, *neighbours.folders(beside)) for p in files_in(where)]:
            text = neighbours.text(found)
            m = taken.search(text) or (role.search(text) if role is not None else None)
            if (
                m is not None
                and _OWN_CONFIG.search(text) is None
                and not commented(text, m.start(), language_of(found))
            ):
                words = " ".join(m.group().split())[-80:]
                yield (
                    side.other,
                    kinds.EXTENDED.cue(Side.SHARED, f"{shown_path(os.path.dirname(shown), above, found)}: {words}"),
                )
                return


def taken_over(ctx: FileCtx) -> dict[str, tuple[Side, Cue]]:
    """The services of a compose file that another file beside it extends as they are, with the side they serve there."""
    folder, name = os.path.split(ctx.path)
    out: dict[str, tuple[Side, Cue]] = {}
    if ctx.path == "-" or "services:" not in ctx.text.s:
        return out
    for path in files_in(folder):
        if os.path.basename(path) == name or language_of(os.path.basename(path)) != "yaml":
            continue
        text = neighbours.text(path)
        for m in re.finditer(_EXTENDS, text) if name in text else ():
            taken = dict(re.findall(r"(file|service):[ \t]*[\"']?(?:\./)?([\w./-]+)", m.group("how")))
            taker = re.findall(rf"(?m)^(?!{m.group('in')})[ \t]+([\w.-]+):[ \t]*(?:#.*)?\r?$", text[: m.start()])[-1:]
            sides = name_sides(taker[0]) if taker else frozenset()
            if taken.get("file") == name and "service" in taken and len(sides) == 1:
                side, words = next(iter(sides)), f"{os.path.basename(path)}: {taker[0]} extends {taken['service']}"
                out.setdefault(taken["service"], (side, kinds.EXTENDED.cue(Side.SHARED, words)))
    return out


def made_into(ctx: FileCtx, side: Side) -> Cue | None:
    """The cue that a file round this one, which is of ``side``, makes the other side's from it: by putting one side's words in
    the place of the other's, or by writing what it reads here to a file named for the other side. None if none is seen to.

    A file that changes words of its own is not meant where the other side's file stands beside this one.
    """
    own = os.path.basename(ctx.path)
    alone = ctx.siblings.isdisjoint(twins(own))
    for candidate in _candidates(ctx) if ctx.path != "-" else ():
        if os.path.basename(candidate.path) in _KUSTOMIZE:
            folder = os.path.basename(os.path.dirname(os.path.abspath(candidate.path)))
            if name_sides(folder) != {side.other}:
                continue  # it lists what there is
            if taken := next((cue for other, cue in _in_file(candidate) if other is side.other), None):
                return kinds.MADE_FROM_OTHER.cue(Side.SHARED, f"{candidate.shown}: {taken.words}")
            continue
        s, words = _made(candidate.path, *neighbours.state(candidate.path))
        named = [i for i in occurrences(s, own) if not (s[i - 1 : i].isalnum() or s[i - 1 : i] in {"-", "_"})]
        line = next((ln for i in named if _written(ln := lines.line_at(s, i), own, side)), "")
        if named and not line:
            saved = (m for m in _SAVED.finditer(s) if _of_other(m[1] or m[2], own, side))
            line = next((m.group() for m in saved if s.count(os.path.basename(m[1] or m[2])) == 1), "")
        if line or (words and named and alone):
            return kinds.MADE_FROM_OTHER.cue(Side.SHARED, f"{candidate.shown}: {line.strip()[:80] or words}")
    return None


def _written(line: str, own: str, side: Side) -> bool:
    """Whether a line writes what it reads in ``own``, a file of ``side``, to a file that is named for the other side."""
    if _VARIED.search(line):
        return True
    if _changed(line, own, side):
        return True
    m = _SENT.search(line)
    if m is None or own not in (m["read"] or m["read2"] or m["read3"] or ""):
        return False
    return _of_other(m["to"] or m["copy"] or m["given"] or "", own, side)


def _changed(line: str, own: str, side: Side) -> bool:
    """Whether a line puts the other side into what it reads in ``own``, a file of ``side``: ``yq '.metadata.name = "decode"'``.
    Not where it names the other side's file too: each may be handed on for its own side."""
    if own not in line or _CHANGED.search(line) is None or any(mentions.names(line, twin) for twin in twins(own)):
        return False
    words = line.replace(own, " ")
    return _CHANGES.search(words) is not None and any(mentioned(w) == {side.other} for w in _SIDES_WORD.findall(words))


def _of_other(path: str, own: str, side: Side) -> bool:
    """Whether a path is that of a file of the other side than ``own``, a file of ``side``, and of the same kind."""
    to = os.path.basename(path)
    return os.path.splitext(to)[1] == os.path.splitext(own)[1] and name_sides(to) == {side.other}


@lru_cache(maxsize=512)
def _made(path: str, _written: int, size: int) -> tuple[str, str]:
    """The text of a file that may make one side's file from the other's, and the words by which it changes one side into the
    other; both are empty for any other file."""
    data = neighbours.data(path, size)
    low = data.lower()
    if b"prefill" not in low or b"decode" not in low or not any(sign in low for sign in _MAKES):
        return "", ""
    text = Text(data.decode("utf-8", "replace"))
    words = Deployment(text).substituted
    return text.s, words[0] if words is not None else ""


def _candidates(ctx: FileCtx) -> Iterator[_Candidate]:
    """The files that may name this one."""
    folder, name = os.path.split(ctx.path)
    shown = os.path.dirname(ctx.name)
    own = os.path.basename(os.path.abspath(folder))
    below, here, above = (f"{own}/",), ("", "./", "/", f"{own}/"), ("../", "/")
    for path in files_in(folder):
        if os.path.basename(path) != name:
            yield _Candidate(path, shown_path(shown, folder, path), name, here)
    for child in neighbours.folders(folder):
        for path in files_in(child):
            yield _Candidate(path, shown_path(shown, folder, path), name, above)
    if not shown:
        return  # what is above was not asked about
    parent = os.path.join(folder, "..")
    for path in files_in(parent):
        yield _Candidate(path, shown_path(os.path.dirname(shown), parent, path), name, below)
    for path in files_in(os.path.join(parent, "templates")):
        yield _Candidate(path, shown_path(os.path.dirname(shown), parent, path), name, below)
    others = twins(own)
    for beside in neighbours.folders(parent) if others else ():
        if os.path.basename(beside) in others:
            for path in files_in(beside):
                yield _Candidate(path, shown_path(os.path.dirname(shown), parent, path), name, below)
    if "kustomization.yaml" in ctx.siblings:  # a base: its folder is what others name
        for beside in neighbours.folders(parent):
            path = os.path.join(beside, "kustomization.yaml")
            if os.path.basename(beside) != own and os.path.isfile(path) and not os.path.islink(path):
                yield _Candidate(path, shown_path(os.path.dirname(shown), parent, path), own, above)


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


def shown_path(shown: str, folder: str, path: str) -> str:
    """``path``, which is in or near ``folder``, as evidence, where the folder is ``shown`` as evidence."""
    return os.path.normpath(os.path.join(shown, os.path.relpath(path, folder or ".")))


def files_in(folder: str) -> list[str]:
    """The files in a folder that may name another, in order; links are not followed."""
    return neighbours.entries(
        folder,
        lambda e: (
            bool(language_of(e.name)) and e.is_file(follow_symlinks=False) and e.stat().st_size <= neighbours.MAX_BYTES
        ),
    )[: neighbours.MANY]


def language_of(name: str) -> str:
    """The language of a file of that name, if such files name others; else empty."""
    lang = registry.lang_of_name(name)
    return lang if lang in _READ else ""


def _in_file(file: _Candidate) -> Iterator[tuple[Side, Cue]]:
    """The side that each place of ``file`` that names the one at hand is about, with the cue for it."""
    hit = hits.look(file.path)
    stem = os.path.splitext(file.name)[0]
    has_defaults = b"\ndefaults:" in b"\n" + hit.data[:4096] and os.fsencode(stem) in hit.data
    imported = _IMPORTS.get(language_of(file.path), "") if os.fsencode(stem) in hit.data else ""
    if hit.skipped or not (has_defaults or imported or os.fsencode(file.name) in hit.data):
        return
    if _UNIT.search(file.name) and _UNIT.search(file.path):
        return  # units name each other for the order in which they are started
    try:
        # A file says the same before its own roles are rewritten and after.
        text = Text.of_file(hit.data.replace(b"kv_producer", _BOTH).replace(b"kv_consumer", _BOTH))
    except UnicodeDecodeError:
        return
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
    if importing is not None and (m := importing.search(text.s)) is not None and _OWN_CONFIG.search(text.s) is None:
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
