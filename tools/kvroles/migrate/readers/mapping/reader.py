"""JSON and JSON5, in files and in any other text: the objects in it, whatever stands round them."""

from __future__ import annotations

from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers.base import ByLine, File
from kvroles.migrate.readers.mapping import lists, objects
from kvroles.migrate.readers.mapping.tree import Tree
from kvroles.migrate.readers.plain import loose

_QUOTED_OR_NOTE = regex(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|(?P<note>(?<![:\w])//)")


def hashed(s: str) -> str:
    """``s`` with every ``//`` that begins a comment written as ``#``, character for character."""
    return _QUOTED_OR_NOTE.sub(lambda m: "# " if m.group("note") else m.group(), s)


class _Json(ByLine):
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in the objects of ``text``; what stands in no object is a mention."""
        out: list[Site] = []
        done = -1
        source = text.same_places(hashed(text.s)) if "//" in text.s else text
        for i in text.tokens():
            if i < done:
                continue
            found = objects.enclosing(text, i)
            if found is None:
                out.append(loose(text, i, owner))
                continue
            done = found.end
            trees: list[Tree] = []
            for root in lists.documents(found):
                trees.append(Tree(root, source, owner, file, source is not text, beside=trees))
            out += [site for tree in trees for site in tree.sites()]
        return out


JSON = _Json()
