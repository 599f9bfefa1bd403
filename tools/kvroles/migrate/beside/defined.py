"""Which side the files round a file put to use what it defines: a named template, a value of a chart, a variable, a key, an
object. What they do with the file itself is told in ``across``, ``taken_whole`` and ``made_from``."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from kvroles.evidence import decide, given, kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD, is_distinct, mentioned, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.beside.near import files_in, language_of, shown_path
from kvroles.migrate.files import hits, neighbours
from kvroles.migrate.readers import mentions
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.of_file import file_scope
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template.actions import Branch

_PACKAGE = regex(r"(?:\s|//[^\n]*\n)*package\s")  # Go's
_LOOP = 4000  # characters of a loop: what a longer one does with one template is not seen at once
_HEAD = 40  # characters of the action that defines a template, its name left out
# How a named template is included, and how a macro is called or imported.
_TAKEN = (r"[\"'`]{0}[\"'`]", r"(?<![\w-]){0}\s*\(|\bimport\b[^%\n]*?(?<![\w.-]){0}(?![\w.-])")


def included(ctx: FileCtx, block: Branch) -> dict[Side, Cue]:
    """What each side, prefill or decode, is seen to include the named template or macro ``block`` for: in the file itself,
    outside of the block, and in the files of its chart, of the charts beside it, or of the folder."""
    name, own = template.defined(block), os.path.normpath(ctx.path)
    taken = re.compile(_TAKEN[block.condition.startswith("macro")].format(re.escape(name)))
    out: dict[Side, Cue] = {}
    for path in [own, *(p for p in _of_chart(ctx) if p != own)] if ctx.path != "-" else []:
        here = path == own
        s = ctx.text.s if here else neighbours.text(path)
        if name not in s or taken.search(s) is None:  # a word of many texts may be a template's name
            continue
        if f".{name}(" in s:  # imported as a module
            s = re.sub(rf"\b\w+\.(?={re.escape(name)}\()", lambda m: " " * len(m.group()), s)
        shown = ctx.name if here else shown_path(os.path.dirname(ctx.name), os.path.dirname(own), path)
        own_block = range(block.start - len(name) - _HEAD, block.end) if here else None
        out = _used(_opened(path, shown, s), name, "includes", own_block) | out
        if (head := _for_each(s, taken, name)) is not None:
            cue = kinds.EXTENDED.cue(Side.SHARED, f"{os.path.basename(path)} includes {name} in: {head}"[:120])
            out = dict.fromkeys(PD, cue) | out
    return out


# The head of a loop, but over numbers.
_EACH = regex(r"range\b(?![^\n]*\b(?:until|untilStep|seq|int)\b)|for\b(?![^\n]*\brange\()")


def _for_each(s: str, taken: re.Pattern[str], name: str) -> str | None:
    """The head of a loop of a template's over both sides or over what is not known, in which nothing but ``name`` speaks of a
    side: each of what it goes over is given that. None without one."""
    for b in template.branches(s):
        if _EACH.match(b.condition) and not b.negated and b.end - b.start <= _LOOP and taken.search(s, b.start, b.end):
            over = {side for w in re.findall(r"[\w-]+", b.condition) for side in mentioned(w)}
            said = re.findall(r"[\w-]+", s[b.start : b.end].replace(name, ""))
            if (not over or over >= set(PD)) and not any(mentioned(w) for w in said):
                return b.condition
    return None


def of_values(ctx: FileCtx, keys: list[str]) -> dict[Side, Cue]:
    """What each side, prefill or decode, is seen to take the value at ``keys``, outermost first, of a chart's values for: in
    the chart's templates, which name it or what it is in by the whole path."""
    folder = os.path.dirname(ctx.path)
    names = [f".Values.{'.'.join(keys[:n])}" for n in range(len(keys), 0, -1) if n > 1 or n == len(keys)]
    out: dict[Side, Cue] = {}
    templates = os.path.join(folder, "templates")
    for path in [p for where in (templates, *neighbours.folders(templates)) for p in files_in(where)]:
        s = neighbours.text(path)
        name = next((n for n in names if n in s), "")
        if not name:
            continue
        shown = shown_path(os.path.dirname(ctx.name), folder, path)
        out = _used(File(path, shown, Text(s)), name, "takes") | out
        if (head := _for_each(s, re.compile(rf"{re.escape(name)}(?![\w-])"), name)) is not None:
            cue = kinds.EXTENDED.cue(Side.SHARED, f"{os.path.basename(path)} takes {name} in: {head}"[:120])
            out = dict.fromkeys(PD, cue) | out
    return out


def by_name(ctx: FileCtx, names: set[tuple[str, str]]) -> dict[tuple[str, str], dict[Side, Cue]]:
    """What each side, prefill or decode, is seen to use the variables, keys or objects ``names`` of this file for, in the files
    beside it or one folder up that do not set them themselves. With a name stands the part of the object that is meant, or an
    empty text. Each of these files is read once."""
    folder = os.path.dirname(ctx.path)
    where = [folder] if "/" not in ctx.name else [folder, os.path.join(folder, "..")]
    out: dict[tuple[str, str], dict[Side, Cue]] = {name: {} for name in names}
    for path in [p for f in where for p in files_in(f) if os.path.normpath(p) != os.path.normpath(ctx.path)]:
        data = hits.look(path).data
        found = [(name, part) for name, part in names if name.encode() in data]
        if not found:
            continue
        s = data.decode("utf-8", "replace")
        shown = shown_path(os.path.dirname(ctx.name), folder, path)
        other = File(path, shown, Text(s))
        for name, part in sorted(found):
            if not given.defines(s, name) and means_it(s, name):
                for taken in _taken(s, name, part):
                    out[name, part] = _used(other, taken, "uses") | out[name, part]
    return out


def _taken(s: str, name: str, part: str) -> list[str]:
    """By which words a text takes the object ``name``, or its ``part``: by the name, and by the part if that is named too. Where
    the twin of the part is named, the name says nothing of which of the two is taken."""
    by_part = [part] if part and mentions.names(s, part) else []
    return by_part if part and any(mentions.names(s, twin) for twin in twins(part)) else [name, *by_part]


def means_it(s: str, name: str) -> bool:
    """Whether a text that does not set ``name`` can mean by it what another file sets: a short word may be any, but as the name
    of an object, and where source code does not take it as a parameter."""
    if is_distinct(name):
        return True
    word = re.escape(name)
    if _PACKAGE.match(s) is not None:
        return re.search(rf"\bfunc\b[^\n{{]{{0,200}}[(,]\s*{word}(?:,\s*\w+)*\s+[\w.*\[\]]", s) is None
    return re.search(rf"(?i)name[\"']?:\s*[\"']?{word}[\"']?\s*(?:[,}}#\n]|\Z)", s) is not None


@lru_cache(maxsize=8)
def _opened(path: str, shown: str, s: str) -> File:
    """A file of which several names are asked, one after another."""
    return File(path, shown, Text(s))


@lru_cache(maxsize=8)
def _owner(other: File, *, named: bool) -> Scope:
    """The owner of all that stands in another file; its name speaks if it is ``named``."""
    return Scope("other file", other.name, None, file_scope(other.name, other).cues if named else [])


def _used(other: File, name: str, how: str, own_block: range | None = None) -> dict[Side, Cue]:
    """What each side, prefill or decode, is seen to use ``name`` for in a file; ``how`` is the word for it.

    ``own_block`` is given where the file is the one at hand: its uses in there do not count, nor does the file's name.
    """
    up = _owner(other, named=own_block is None)
    base = os.path.basename(other.path)
    uses = mentions.owners(language_of(base), other.text, name, up, other)
    verdicts = [decide.of_use(use, name) for use in uses if own_block is None or use.place not in own_block]
    sides = {side for v in verdicts for side in (PD if v.why == "shared" else (v.side,))}
    return {side: kinds.EXTENDED.cue(Side.SHARED, f"{base} {how} {name}") for side in PD if side in sides}


def _of_chart(ctx: FileCtx) -> list[str]:
    """The files that may include what a file's templates define: those below the chart or library chart that it is in, and
    those of the charts beside that; without a chart, those of its folder. No file above what the user named is looked at."""
    parts, path = ctx.name.split("/")[:-1], os.path.normpath(ctx.path)
    top = len(parts)
    if "templates" in parts:
        top = parts.index("templates")
        top = parts.index("charts") if "charts" in parts[:top] else top
    folder = os.path.dirname(path)
    for _ in range(len(parts) - top):
        folder = os.path.dirname(folder)
    out: list[str] = []
    todo = [folder]
    while todo and len(out) < neighbours.MANY:
        out += files_in(todo[0])
        todo = [*todo[1:], *neighbours.folders(todo[0])][: neighbours.MANY] if top < len(parts) else todo[1:]
    return [os.path.normpath(p) for p in out[: neighbours.MANY]]
