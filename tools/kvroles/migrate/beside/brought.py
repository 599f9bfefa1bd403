"""Which side the files that bring another in, by an import, a source or an include, use what it defines for.

A variable or function that its own file uses for one side is of both if such a file uses it for the other side.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence import decide, kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD, is_distinct, mentioned, name_sides, split_name, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.beside import defined
from kvroles.migrate.beside.near import files_in, language_of, shown_path
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import mentions
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.of_file import file_scope

_SCRIPT = regex(
    r"\b(?:from|import)\s*\(?\s*[\"']([^\"'\n]+)[\"']|\brequire\(\s*[\"']([^\"'\n]+)[\"']"
    r"|\b(?:import|export|const|let|var)\s+(?:type\s+)?(\{[^{}]{1,2000}\})\s*(?=from\s|=\s*(?:await\s+)?(?:require|import)\()"
)
# By language: the statements that bring another file in; their groups name the files, and what is taken of them.
_STATEMENTS = {
    "python": regex(
        r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^()]{0,4000}\)|[^\n#]*)|import[ \t]+([^\n#]+))"
        r"|\b(?:import_module|__import__)\(\s*[\"']([\w.]+)[\"']",
        re.M,
    ),
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "rust": regex(r"^[ \t]*(?:pub(?:\([^()\n]*\))?[ \t]+)?(?:use\s+([^;]{1,2000});|mod\s+(\w+)\s*;)", re.M),
    "go": regex(r"^[ \t]*(?:import[ \t]+)?(?:[\w.]+[ \t]+)?\"([\w./-]+)\"[ \t]*\r?$", re.M),
    "shell": regex(r"(?:^|[;&|({!]|\b(?:then|do|else))[ \t]*(?:\.|source|load)[ \t]+([^\n;&|#]+)", re.M),
    "make": regex(r"^[ \t]*[-s]?include[ \t]+([^\n#]+)", re.M),
    "just": regex(r"^[ \t]*(?:import\??[ \t]+[\"']([^\"'\n]+)|mod\??[ \t]+(\w+(?:[ \t]+[\"'][^\"'\n]+)?))", re.M),
    "powershell": regex(r"^[ \t]*(?:\.|Import-Module|using[ \t]+module)[ \t]+([^\n;|#]+)", re.M | re.I),
}
_GROUPS = {"typescript": "javascript", "tsx": "javascript"}
# They take all that the other file sets; the rest take what they name.
_WHOLE = frozenset({"shell", "make", "just", "powershell"})
_PACKAGES = frozenset({"__init__", "index", "mod"})  # a file of that name is imported by its folder's
_PATHS = regex(r"[\w./-]+")
_VARIABLE = regex(r"\$\w+")
_HERE = frozenset({"", ".", "..", "crate", "self", "super"})
# The name of a class that is one of another, in the languages that have them.
_SUBCLASS = r"\bclass[ \t]+(\w+)[ \t]*(?:\([^()]{{0,300}}(?<![\w]){0}\b|extends[ \t]+(?:\w+\.){{0,3}}{0}\b)"
_ROUNDS = 3  # files that hand on what they bring in
_SET = (
    r"(?m)^[ \t]*(?:(?:export|declare|local|readonly|const|let|var|static|pub)[ \t]+(?:-\w+[ \t]+)*)*\$?{0}"
    r"[ \t]*(?::[^=\n]*)?[:?+]?=(?!=)(?![^\n]*(?<![\w]){0}(?!\w))"
    r"|(?:\b(?:def|function|fn|func)[ \t]+|(?m:^)[ \t]*){0}[ \t]*\([^\n]*(?<=[:{{])[ \t]*$"
)


class _Near(NamedTuple):
    """A file near another that brings files in: where it lies, its language, and the words of the statements that do so."""

    path: str
    language: str
    words: frozenset[str]


def holder(chain: list[Scope], cues: list[Cue]) -> Scope | None:
    """The outermost variable, function or class in ``chain``: what other files can name. None if there is none, or if what
    stands in a function says more than names do: that holds whoever calls it."""
    found = next((s for s in reversed(chain) if s.kind in {"variable", "function", "class"} and s.name), None)
    if found is None:
        return None
    return None if found.kind == "function" and any(c.weight > kinds.FUNCTION.weight for c in cues) else found


def uses(ctx: FileCtx, holders: list[Scope]) -> dict[str, dict[Side, Cue]]:
    """What each side, prefill or decode, is seen to use each of ``holders``, by name, for in the files that bring this one in."""
    out: dict[str, dict[Side, Cue]] = {s.name: {} for s in holders}
    functions = {s.name for s in holders if s.kind == "function"}
    classes = {s.name for s in holders if s.kind == "class"}
    for near in _bringing(ctx, frozenset(out)):
        s = neighbours.text(near.path)
        for name in sorted(out):
            if name in s and name in classes:
                out[name] = _subclassed(near, s, name) | out[name]
            elif name in s and _means_it(s, near, name, function=name in functions):
                shown = shown_path(os.path.dirname(ctx.name), os.path.dirname(ctx.path), near.path)
                out[name] = _used(near, shown, s, name, ctx) | out[name]
    return out


def _bringing(ctx: FileCtx, names: frozenset[str]) -> list[_Near]:
    """The files near this one that bring it in: by themselves, or by another that does and hands on what it brings in."""
    language = language_of(os.path.basename(ctx.path))
    group = _GROUPS.get(language, language)
    own = os.path.normpath(ctx.path)
    near = [n for path in _near(ctx) if (n := _read(path)) is not None]
    todo = [n for n in near if n.language in {group, "make"} and os.path.normpath(n.path) != own]
    found: list[_Near] = []
    handing = [own]
    for _ in range(_ROUNDS):
        new = [n for n in todo if any(_brings(n, path, group) for path in handing)]
        found += new
        todo = [n for n in todo if n not in new]
        handing = [n.path for n in new if n.language in _WHOLE or "*" in n.words or names & n.words]
        if not handing or not todo:
            break
    return found


def _brings(near: _Near, path: str, group: str) -> bool:
    """Whether a file brings in the one at ``path``. A name without its folder is that of the file beside, if there is one."""
    folder, base = os.path.split(os.path.abspath(path))
    of = os.path.dirname(os.path.abspath(near.path))
    if group == "go" and of == folder:
        return True
    stem = base.split(".", 1)[0]
    names = {base} if group in _WHOLE else {base, stem}
    if group == "go" or (stem in _PACKAGES and group not in _WHOLE):
        folder, package = os.path.split(folder)
        names = {package}
    if any(f"{os.path.basename(folder)}/{name}" in near.words for name in names):
        return True
    return not names.isdisjoint(near.words) and (of == folder or names.isdisjoint(neighbours.names(near.path)))


def _near(ctx: FileCtx) -> Iterator[str]:
    """The files of the folder, one down, one up, and in the folders beside."""
    folder = os.path.dirname(ctx.path)
    yield from _files(folder)
    for below in neighbours.folders(folder):
        yield from _files(below)
    if "/" not in ctx.name:
        return  # what is above was not asked about
    parent = os.path.normpath(os.path.join(folder, ".."))
    yield from _files(parent)
    own, seen = os.path.basename(os.path.abspath(folder)), 0
    for beside in neighbours.folders(parent):
        if os.path.basename(beside) != own and seen < neighbours.MANY:
            found = _files(beside)
            seen += len(found)
            yield from found


@neighbours.once
def _files(folder: str) -> list[str]:
    return files_in(folder, _STATEMENTS)


@neighbours.once
def _read(path: str) -> _Near | None:
    """What a file brings in; None if that is nothing."""
    language = language_of(path)
    words: set[str] = set()
    for m in _STATEMENTS[language].finditer(neighbours.text(path)):
        for said in filter(None, m.groups()):
            words |= {"*"} & set(said)
            words |= _named(said, language)
    group = _GROUPS.get(language, language)
    return _Near(path, group, frozenset(words)) if words or group == "go" else None


def _named(said: str, language: str) -> set[str]:
    """The words of a statement: of each path its parts, with the folder before them where that is named (``decode/kv``), with
    their suffix and without."""
    out: set[str] = set()
    plain = _VARIABLE.sub("", said).replace("::", "/").replace("\\", "/")
    for path in _PATHS.findall(plain.replace(".", "/") if language == "python" else plain):
        before = ""
        for part in path.split("/"):
            at = "" if before in _HERE or language == "rust" else f"{before}/"
            out |= {at + part, at + part.split(".", 1)[0]}
            before = part
    return out


def _subclassed(near: _Near, s: str, name: str) -> dict[Side, Cue]:
    """The sides, prefill or decode, whose classes in the text of a file are one of class ``name``."""
    out: dict[Side, Cue] = {}
    for m in re.finditer(_SUBCLASS.format(re.escape(name)), s):
        if len(sides := name_sides(m[1]) & set(PD)) == 1:
            words = f"{os.path.basename(near.path)}: {m[1]} is a {name}"
            out.setdefault(next(iter(sides)), kinds.EXTENDED.cue(Side.SHARED, words))
    return out


def _means_it(s: str, near: _Near, name: str, *, function: bool) -> bool:
    """Whether a text that brings a file in means by ``name`` what that sets.

    Not where it sets the name itself; nor where it names the twin of a function as well: each is called for its own side. The
    name of a function in a script may be any word, if it is a common one.
    """
    if function and (any(mentions.names(s, twin) for twin in twins(name))):
        return False
    if function and near.language in _WHOLE and not is_distinct(name) and not mentioned(name):
        return False
    if near.language == "go" and not defined.means_it(s, name):
        return False
    return re.search(_SET.format(re.escape(name)), s) is None


def _used(near: _Near, shown: str, s: str, name: str, ctx: FileCtx) -> dict[Side, Cue]:
    """What each side, prefill or decode, is seen to use ``name`` for in the text of a file that brings ``ctx`` in."""
    word = re.escape(name)
    taken = [name, *dict.fromkeys(re.findall(rf"(?<![\w.]){word}\s+as\s+(\w+)", s))]
    if f".{name}" in s or f"::{name}" in s:  # of a module
        s = re.sub(rf"(?<![\w.])\w+(?:\.|::)(?={word}(?!\w))", lambda m: " " * len(m.group()), s)
    other = File(near.path, shown, Text(s))
    other.company = other.company or f"it takes {name} from {ctx.name}, which is of one side"
    base = os.path.basename(near.path)
    up = Scope("other file", shown, None, file_scope(shown, other).cues)
    out: dict[Side, Cue] = {}
    for each in taken:
        users = mentions.owners(language_of(base), other.text, each, up, other)
        verdicts = [decide.of_use(use, each) for use in users]
        sides = {side for v in verdicts for side in (PD if v.why == "shared" else (v.side,))}
        # A function called ``decode`` may decode anything, but not where it takes what a server of prefill is given.
        bare = any(s.kind == "function" and split_name(s.name) == ("decode",) for use in users for s in use.chain())
        sides |= {Side.DECODE} if bare else set()
        cue = kinds.EXTENDED.cue(Side.SHARED, f"{base} uses {name}")
        out |= {side: cue for side in PD if side in sides}
    return out
