"""Roles in HCL."""

from __future__ import annotations

from functools import partial

from kvroles.evidence.data import path_to
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.text import Text
from kvroles.migrate.readers import lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.hcl.tree import tree_of


class _Hcl:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in HCL. A token in text that the grammar could not parse gives none, and so counts as unread."""
        tree = tree_of(text, owner, file)
        out = [Site(text.at(i), owner, "comment") for i in text.tokens() if tree.commented(i)]
        with file.knowing(tree.value_of):
            out += tree.sites()
        return out

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The owners of the value at ``at`` and what its line says; None in a comment."""
        tree = file.kept("hcl", text, owner, partial(tree_of, text, owner, file))
        if tree.commented(at):
            return None
        return lines.owner(text, at, tree.scopes(path_to(tree.root, at), follow=False), file)


HCL = _Hcl()
