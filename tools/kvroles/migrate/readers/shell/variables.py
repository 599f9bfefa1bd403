"""The variables of a shell's script: where each is set, and which of its uses see what was set there."""

from __future__ import annotations

import re
from functools import cached_property

from tree_sitter import Node

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers import grammar

BLOCKS = frozenset(
    {"program", "do_group", "compound_statement", "subshell", "if_statement", "else_clause", "elif_clause", "case_item", "list"}
)  # fmt: skip
_MENTIONED = regex(r"(?=\$\{?(\w+))\$")
_AFTER_NAME = frozenset("}:[/#%@^,")
# What takes a variable's value by its name: ``${!name}``, ``declare -n alias=NAME``.
_BY_NAME = regex(r"\$\{!(?P<held>\w+)|\b(?:declare|local|typeset)\s+-\w*n\w*\s+(?P<alias>\w+)=")
_ASSIGNS = regex(r"(?<![\w$])(\w+)=[\"']?\Z")
_SET = regex(r"(?<![\w$])(\w+)=(?!=)")
_NEAR = 80  # characters before a name in which what is set to it stands


def places(pattern: re.Pattern[str], s: str) -> dict[str, list[int]]:
    """Where each name stands that the pattern finds in ``s``: to look for each by itself goes through the text for each."""
    out: dict[str, list[int]] = {}
    for m in pattern.finditer(s):
        out.setdefault(m[1], []).append(m.start() if pattern is _MENTIONED else m.start(1))
    return out


def assigned(t: Text, node: Node) -> str:
    """The variable that an assignment sets."""
    name = node.child_by_field_name("name")
    return t.s[name.start_byte : name.end_byte].split("[")[0] if name else ""


class Variables:
    """The variables of the shell text ``t``, whose syntax tree is ``root``."""

    t: Text
    root: Node

    def uses(self, name: str, node: Node) -> list[Node]:
        """The uses of a variable that may see the value set by ``node``: no later assignment surely replaces it."""
        sets = self.assignments(name)
        out: list[Node] = []
        own = (i for i in self._mentions.get(name, ()) if self._ends_at(i, name))
        for start in (*own, *self._by_name(name)):
            if start < node.end_byte:
                continue
            use = grammar.at(self.root, start, 2)
            owners = list(grammar.owners(use))
            if any(
                o.type == "comment" or (o.type == "variable_assignment" and assigned(self.t, o) == name) for o in owners
            ):
                continue  # in a comment, or in an assignment that adds to the variable
            if not any(node.end_byte <= a.start_byte < start and _covers(a, use, node, self.t, name) for a in sets):
                out.append(use)
        return out

    def _ends_at(self, i: int, name: str) -> bool:
        """Whether the mention of a variable at index ``i`` is one of its value: ``${NAME:-...}`` is, ``${NAME+...}`` is not."""
        return self.t.s[i + 1] != "{" or self.t.s[i + 2 + len(name) : i + 3 + len(name)] in _AFTER_NAME

    def _by_name(self, name: str) -> list[int]:
        """Where the text takes the value of a variable by its name: through a variable that holds the name, or in a function that
        is given it."""
        if not self._takers:
            return []
        out: list[int] = []
        for m in re.finditer(rf"(?<![\w$={{]){re.escape(name)}(?![\w=])|(?<==){re.escape(name)}(?![\w=])", self.t.s):
            holder = _ASSIGNS.search(self.t.s, max(0, m.start() - _NEAR), m.start())
            if holder is not None:
                out += self._takers.get(holder[1], ())
            elif grammar.at(self.root, m.start(), len(name)).type == "word":
                out.append(m.start())
        return out

    @cached_property
    def _takers(self) -> dict[str, list[int]]:
        """Where the text takes the value of the variable whose name each variable holds."""
        out: dict[str, list[int]] = {}
        for m in _BY_NAME.finditer(self.t.s):
            if m["held"]:
                out.setdefault(m["held"], []).append(m.start())
            else:
                out.setdefault(m["alias"], []).extend(self._mentions.get(m["alias"], ()))
        return out

    def assignments(self, name: str) -> list[Node]:
        """The assignments that set a variable anew (not those that add to it)."""
        out: list[Node] = []
        for start in self._sets.get(name, ()):
            found = grammar.at(self.root, start, len(name))
            for o in grammar.owners(found):
                if o.type == "variable_assignment":
                    if not re.search(rf"\$\{{?{re.escape(name)}\b", grammar.text(self.t, o)):
                        out.append(o)
                    break
        return out

    @cached_property
    def _mentions(self) -> dict[str, list[int]]:
        """Where the text names each variable for its value: ``$NAME``, ``${NAME``."""
        return places(_MENTIONED, self.t.s)

    @cached_property
    def _sets(self) -> dict[str, list[int]]:
        """Where the text sets each variable: ``NAME=``."""
        return places(_SET, self.t.s)


def _covers(assignment: Node, use: Node, own: Node, t: Text, name: str) -> bool:
    """Whether ``use`` surely sees the value of ``assignment``: it stands in the same block, or behind an ``if`` whose branches
    all set the variable. An ``if`` with the assignment ``own``, whose uses are looked for, in it does not count."""
    node: Node | None = assignment
    while node is not None:
        block = next((o for o in grammar.owners(node) if o is not node and o.type in BLOCKS and o.type != "list"), None)
        if block is None:
            return False
        if block.start_byte <= use.start_byte < block.end_byte:
            return not assignment.start_byte <= use.start_byte < assignment.end_byte
        branch = block if block.type in {"else_clause", "elif_clause", "if_statement"} else None
        head = (
            next((o for o in grammar.owners(branch) if o.type == "if_statement"), None) if branch is not None else None
        )
        if head is None or head.start_byte <= own.start_byte < head.end_byte or not _all_branches_set(head, t, name):
            return False
        node = head
    return False


def _all_branches_set(head: Node, t: Text, name: str) -> bool:
    """Whether an ``if`` has an ``else`` and every branch sets the variable."""
    others = [c for c in head.children if c.type in {"elif_clause", "else_clause"}]
    if not any(c.type == "else_clause" for c in others):
        return False
    sets = re.compile(rf"(?m)(?:^|[;\s]){re.escape(name)}=")
    first = t.s[head.start_byte : others[0].start_byte]
    return sets.search(first) is not None and all(sets.search(grammar.text(t, c)) for c in others)
