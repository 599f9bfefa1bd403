"""PowerShell by its tree-sitter grammar: configs in commands, hash tables, variables and here-strings."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice

from tree_sitter import Node

from kvroles.evidence import argv
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, join
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar, lines
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.powershell.choices import Choice
from kvroles.migrate.readers.powershell.quoting import filled
from kvroles.migrate.readers.powershell.scopes import Script
from kvroles.migrate.readers.powershell.source import STRINGS, inner_nodes
from kvroles.migrate.readers.words import role_set

_BARE = frozenset({"generic_token", "command_parameter"})
_PARAM = regex(r"(?is)\bparam\s*\([^{}]*?\)\s*\n")
_HOPS = 3  # variables that a value is followed through


def _operands(node: Node) -> list[Node]:
    """The operands of an expression of ``+`` or of commas, those of inner ones included; the node itself for any other."""
    if node.type in {"additive_expression", "array_literal_expression"} and node.named_child_count > 1:
        return [operand for c in node.named_children for operand in _operands(c)]
    if node.named_child_count == 1 and node.type.endswith("_expression") and node.type != "parenthesized_expression":
        return _operands(node.named_children[0])
    return [node]


class _PowerShell:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in a script. A token where the grammar met an error gets none here, and so is unread."""
        script = _Reading(text, owner, file)
        out: list[Site] = []
        done = -1
        with file.knowing(script.value_of):
            for i in text.tokens():
                if i >= done:
                    sites, done = script.at(i)
                    out += sites
        return out

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The owners of the word at ``at``; None in a comment."""
        script = file.kept("powershell", text, owner, partial(_Reading, text, owner, file))
        node = grammar.at(script.root, at)
        return None if node.type == "comment" else script.chain(node)


class _Reading(Script):
    """One script ``t`` with the owner ``up`` in a file, and the sites in it."""

    def __init__(self, t: Text, up: Scope, file: File) -> None:
        super().__init__(t, up, file)
        self._known: dict[tuple[str, bool, int, int, int], set[str | None]] = {}

    def at(self, i: int) -> tuple[list[Site], int]:
        """The sites of the string or word that holds index ``i``, and the index after it."""
        for node in grammar.owners(grammar.at(self.root, i, len(TOKEN))):
            if node.type == "comment":
                inside = self.t.tokens_in(node.start_byte, node.end_byte)
                return [Site(self.t.at(k), self.up, "comment") for k in inside], node.end_byte
            if node.type == "ERROR":
                break
            if node.type in STRINGS | _BARE:
                return self._word(node), node.end_byte
        return [], i + 1

    def _word(self, node: Node) -> list[Site]:
        """The sites in a string or bare word: by the innermost owner that says what it is, else as a text of its own."""
        word = self._text(node)
        if not word.tokens():
            return []
        scope = Scope.deferred(partial(self.chain, node))
        k = word.tokens()[0]
        choice = self._choice(node)
        if (made := self._put_together(node, choice)) is not None:
            a, b = self.t.at(node.start_byte), self.t.at(node.end_byte)
            return [s for s in self.ctx.read(made, scope) if a <= s.pos < b]
        for owner in grammar.owners(node):
            if choice is not None and choice.holds(owner):
                continue
            if (
                owner.type == "comparison_expression" and owner.child_count > 1
            ) or owner.type == "switch_clause_condition":
                return [Site(word.at(n), scope, "comparison") for n in word.tokens()]
            if owner.type == "hash_entry" and word.s.strip() == TOKEN:
                return [self._entry(owner, word, scope)]
            if (
                owner.type == "assignment_expression"
                and word.s.strip() == TOKEN
                and not self._listed(node, owner, choice)
            ):
                name = self._target(owner)
                beside = self.ctx.connector_beside(name, self._connectors) if connectors.is_role_key(name) else None
                return [self._named_site(name, owner, word, scope, beside)]
            if owner.type == "script_parameter" and owner.parent is not None and word.s.strip() == TOKEN:
                held = next((c for c in owner.named_children if c.type == "variable"), None)
                default = next((c for c in owner.named_children if c.type == "script_parameter_default"), None)
                if held is not None and default is not None and default.start_byte <= node.start_byte:
                    return [self._named_site(grammar.text(self.t, held).strip("${}"), owner, word, scope, None)]
            words = self._words(owner)
            if words:
                index = next((n for n, w in enumerate(words) if w.start_byte <= node.start_byte < w.end_byte), -1)
                found = (
                    role_set([argv.Word(self._text(w).s, -1) for w in words], index, self.ctx) if index >= 0 else None
                )
                if found is not None:
                    scope = lines.keyed(found.key, word.at(0), scope, self.ctx)
                    exact = word.exact(k, len(TOKEN))
                    return [Site(word.at(k), scope, "role", found.connector, (), found.extra, exact)]
                break
        return self.ctx.read(word, scope)

    def _listed(self, node: Node, assignment: Node, choice: Choice | None) -> bool:
        """Whether a string in an assignment is a word of a list or command; the values of a ``choice`` are none."""
        owners = (o for o in grammar.owners(node) if choice is None or not choice.holds(o))
        return any(self._words(o) for o in owners if o.start_byte > assignment.start_byte)

    def _entry(self, entry: Node, word: Text, scope: Scope) -> Site:
        """The site of ``kv_both`` as the value of a hash table's entry."""
        k = word.s.index(TOKEN)
        m = self._mapping(entry.parent)
        if not connectors.is_role_key(self._key(entry)):
            table = next((o for o in grammar.owners(entry) if o.type == "assignment_expression"), None)
            name = self._target(table) if table is not None and self.ctx.side_of(self._key(entry)) else ""
            return self._named_site(name, entry, word, scope, None, element=True)
        around = [
            self._mapping(o) for o in grammar.owners(entry) if o.type == "hash_literal_body" and o != entry.parent
        ]
        wrappers = connectors.wrappers(around)
        connector = self.ctx.named(connectors.connector_of(m))
        exact = word.exact(k, len(TOKEN)) and connectors.one_role(m)
        return Site(word.at(k), scope, "role", connector, wrappers, connectors.settings(m), exact)

    def _named_site(
        self, name: str, holder: Node, word: Text, scope: Scope, connector: str | None, *, element: bool = False
    ) -> Site:
        """The site of a role in the variable or, with ``element``, the table ``name``, which ``holder`` sets.

        ``connector`` is the one that is set beside it; with None the variable's uses say it.
        """
        k = word.tokens()[0]
        home = next((o for o in grammar.owners(holder) if o.type == "function_statement"), self.root)
        found = self._fed(name, element, home, _HOPS) if connector is None and name else set()
        connector = connector if connector is not None else next(iter(found)) if len(found) == 1 else None
        kind = "role" if connector is not None or (connectors.is_role_key(name) and not element) else "value"
        return Site(word.at(k), scope, kind, connector, exact=word.exact(k, len(TOKEN)))

    def _fed(self, name: str, element: bool, home: Node, hops: int) -> set[str | None]:
        """The connectors of the configs whose role is the variable ``name`` of the function or script ``home``, or with
        ``element`` an item of it. ``hops`` assignments to other variables are followed."""
        key = name.lower(), element, home.start_byte, home.end_byte, hops
        if key not in self._known:
            self._known[key] = self._find_fed(name, element, home, hops)
        return self._known[key]

    def _find_fed(self, name: str, element: bool, home: Node, hops: int) -> set[str | None]:
        found: set[str | None] = set()
        tail = r"(?=[\[.])" if element else r"(?![\w\[.])"
        for m in islice(re.finditer(rf"(?i)\$\{{?(?:\w+:)?{re.escape(name)}\}}?{tail}", self.t.s), MANY):
            use = grammar.at(self.root, m.start(), 2)
            if not home.start_byte <= m.start() < home.end_byte or self._means_another(use, name, home):
                continue
            for owner in grammar.owners(use):
                if owner.type in STRINGS:
                    round_it = objects.round_place(self._text(owner), self.t.at(m.start()))
                    if round_it is not None and connectors.is_role_key(round_it[1]):
                        found.add(self.ctx.named(connectors.connector_of(round_it[0])))
                    break
                if owner.type == "hash_entry":
                    if connectors.is_role_key(self._key(owner)):
                        found.add(self.ctx.named(connectors.connector_of(self._mapping(owner.parent))))
                    break
                if owner.type == "assignment_expression":
                    value = owner.child_by_field_name("value")
                    taker = self._target(owner)
                    if (
                        hops
                        and taker
                        and taker.lower() != name.lower()
                        and value is not None
                        and value.start_byte <= m.start()
                    ):
                        found |= self._fed(taker, False, home, hops - 1)
                    break
                if owner.type in {"command", "function_statement"}:
                    break
        return found

    def _means_another(self, use: Node, name: str, home: Node) -> bool:
        """Whether a function between ``use`` and ``home`` has a parameter or a variable of the same name."""
        for owner in grammar.owners(use):
            if owner == home:
                return False
            if owner.type == "function_statement":
                source = grammar.text(self.t, owner)
                head = source[: source.find("{")] + (m[0] if (m := _PARAM.search(source)) else "")
                own = rf"(?i)\$\{{?{re.escape(name)}\b"
                if re.search(own, head) or re.search(rf"{own}\}}?\s*=(?!=)", source):
                    return True
        return False

    def _put_together(self, node: Node, choice: Choice | None) -> Text | None:
        """The text of the outermost expression that joins the string ``node`` with others; None if there is none."""
        made: Text | None = None
        for owner in grammar.owners(node):
            if owner.type in {"command", "hash_entry", "assignment_expression", "statement_list"}:
                break
            if choice is None or not choice.holds(owner):
                made = found if (found := self._made(owner, node)) is not None else made
        return made

    def _made(self, owner: Node, node: Node) -> Text | None:
        """The text that the expression ``owner`` makes with ``node`` by ``-f`` or ``+``; None for any other expression."""
        if owner.type == "format_expression" and (
            at := next((c for c in owner.named_children if c.type == "format_operator"), None)
        ):
            template = inner_nodes(owner.named_children[0], STRINGS)
            if node.start_byte < at.end_byte or len(template) != 1:
                return None
            given = [self._part(c, node) for c in _operands(owner.named_children[-1])]
            return filled(self._text(template[0]), given)
        if owner.type == "additive_expression" and owner.named_child_count > 1:
            return join(self._part(c, node) for c in _operands(owner))
        return None

    def _part(self, operand: Node, node: Node) -> Text:
        """The text of an operand: that of ``node`` if it holds ``node``, else its own if it is one string, else a placeholder."""
        if operand.start_byte <= node.start_byte < operand.end_byte:
            return self._text(node)
        strings = inner_nodes(operand, STRINGS) if operand.type not in STRINGS else [operand]
        if len(strings) == 1 and grammar.text(self.t, operand).strip() == grammar.text(self.t, strings[0]):
            return self._text(strings[0])
        return self.t.pick("${_}", [operand.start_byte] * 4, operand.end_byte)


POWERSHELL = _PowerShell()
