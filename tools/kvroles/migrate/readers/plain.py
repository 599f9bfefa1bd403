"""Texts without structure of their own: a bare value, prose, a log, a language that no reader knows."""

from __future__ import annotations

from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers.base import ByLine, File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree

_ROLE_BEFORE = regex(r"kv_role\\*[\"']\s*:\s*\\*[\"']$")  # part of an object whose rest stands elsewhere


class _Plain(ByLine):
    """Every ``kv_both`` in it is of the one ``kind`` that the text is of."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:  # noqa: ARG002 (a Reader has it)
        """Every ``kv_both`` in ``text``, of the one kind."""
        return [Site(text.at(i), owner, self._kind) for i in text.tokens()]


class _Prose(_Plain):
    """Prose, but for the role of an object whose rest stands elsewhere."""

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:  # noqa: ARG002 (a Reader has it)
        """Every ``kv_both`` in ``text``."""
        return [loose(text, i, owner) for i in text.tokens()]


class _Unknown(_Plain):
    """A language that is not read: objects in it are found all the same, but nothing in them is changed."""

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """Every ``kv_both`` in ``text``, the roles among them as ``unknown``."""
        sites = file.read(text, owner, "json")
        known = {s.pos for s in sites}
        for i in text.tokens():
            if text.at(i) not in known and (found := objects.nearest(text, i)) is not None:
                sites += [s for s in Tree(found, text, owner, file).sites() if s.pos == text.at(i)]
        return [Site(s.pos, s.scope, "unknown" if s.kind == "role" else s.kind, s.connector, s.wrappers) for s in sites]


def loose(text: Text, i: int, owner: Scope) -> Site:
    """A token in no object: the role of one whose rest stands elsewhere, or a value that only a sign can explain."""
    if _ROLE_BEFORE.search(text.s[max(0, i - 40) : i]):
        return Site(text.at(i), owner, "role", None, exact=False)
    return Site(text.at(i), owner, "value")


LOG = _Plain("log")
VALUE = _Plain("value")
PROSE = _Prose("value")
UNKNOWN = _Unknown("value")
