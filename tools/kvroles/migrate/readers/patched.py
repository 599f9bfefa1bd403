"""Files called ``.patch`` or ``.diff``: a record of a change, a change that a build applies, or a patch of Kustomize's."""

from __future__ import annotations

import os

from kvroles.evidence.patterns import regex
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import mentions, registry

_NAME = regex(r"(?i)\.(?:patch|diff)(?:\.(?:\d+|gz|txt|old|bak))?$")
# Where a hunk begins, or what it adds or removes: of a unified diff, one with context, a plain one. No line of YAML does.
_HUNK = regex(r"(?m)^(?:@@+ -\d|\+|-[A-Za-z\"'{]|\*{15}$|\d+(?:,\d+)?[acd]\d+(?:,\d+)?\r?\n[<>-])")
_ADDED = regex(r"[+!>]|[ -]\+")
_APPLIES = regex(r"\bgit\s[^\n]{0,80}?\b(?:apply|am)\b|\bpatch\s+[^\n]{0,80}?-|\bpatch\s*<")
_ALL = regex(r"[\w./${}-]*\*\.(?:patch|diff)\b")  # what takes every patch of a folder
_TELLS = (".md", ".mdx", ".rst", ".adoc", ".ipynb", ".html", ".csv", ".tsv")  # pages, and tables of what there is


def is_named(name: str) -> bool:
    """Whether a file is a patch by its name."""
    return _NAME.search(name) is not None


def stem(name: str) -> str:
    """A file's name without what says that it is a patch: ``kv.json`` of ``kv.json.patch``; without a suffix if no language is
    known by the one that is left (``fix-0.24.0.patch``)."""
    short = _NAME.sub("", name)
    if short == name or registry.lang_of_name(short):
        return short
    folder, base = os.path.split(short)
    return os.path.join(folder, base.replace(".", "-"))


def has_hunks(s: str) -> bool:
    """Whether a text is one that ``patch`` applies."""
    return _HUNK.search(s) is not None


def adds(s: str, i: int) -> bool:
    """Whether the line of a diff at index ``i`` is one that it adds; the others are what the patched file says already."""
    return _ADDED.match(s, s.rfind("\n", 0, i) + 1) is not None


def applied(path: str, name: str) -> bool:
    """Whether a file beside a patch, or one folder up where what the user named holds that, names it: a build applies it. A page
    names it as what there is, but in a command."""
    if path == "-":
        return False
    folder, own = os.path.split(path)
    return any(
        _names(f, own)
        for up in ((folder, neighbours.plain(os.path.join(folder, ".."))) if os.path.dirname(name) else (folder,))
        for f in _files(up)
    )


@neighbours.once
def _files(folder: str) -> list[str]:
    """The files of a folder that may name a patch; another patch does not."""
    found = neighbours.entries(
        folder,
        lambda e: (
            not is_named(e.name) and e.is_file(follow_symlinks=False) and e.stat().st_size <= neighbours.MAX_BYTES
        ),
    )
    return found[: neighbours.MANY]


def _names(file: str, own: str) -> bool:
    """Whether a file names the patch ``own``, or every patch of a folder."""
    s = neighbours.text(file)
    page = file.lower().endswith(_TELLS)
    if page and _APPLIES.search(s) is None:
        return False
    if mentions.names(s, own):
        return True
    return not page and "*." in s and _ALL.search(s) is not None and _APPLIES.search(s) is not None
