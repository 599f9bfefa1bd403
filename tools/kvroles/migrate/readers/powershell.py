"""PowerShell, by its tree-sitter grammar: commands, hash tables, variables, functions, branches, here-strings."""

from __future__ import annotations

import re
from functools import cached_property, partial
from itertools import islice, pairwise

from tree_sitter import Node

from kvroles.evidence import argv, comments, data_cues
from kvroles.evidence.data import Map, Scalar
from kvroles.evidence.frames import Cue, Scope, Site, Weight
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, join
from kvroles.migrate import connectors
from kvroles.migrate.readers import grammar, lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.mentions import MANY
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template.actions import Branch
from kvroles.migrate.readers.words import role_set

_STRINGS = frozenset(
    {"verbatim_string_characters", "expandable_string_literal", "verbatim_here_string_characters"}
    | {"expandable_here_string_literal"}
)
_WORDS = _STRINGS | {"generic_token", "command_parameter", "variable", "decimal_integer_literal"}
_BARE = frozenset({"generic_token", "command_parameter"})
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


class _PowerShell:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in a script; where the grammar gave up round one, none is made of it."""
        script = _Script(text, owner, file)
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
        script = file.kept("powershell", text, owner, partial(_Script, text, owner, file))
        node = grammar.at(script.root, at)
        return None if node.type == "comment" else script.chain(node)


class _Script:
    def __init__(self, t: Text, up: Scope, file: File) -> None:
        self.t = t
        self.up = up
        self.ctx = file
        self.root = grammar.parse("powershell", t)

    def at(self, i: int) -> tuple[list[Site], int]:
        """The sites of the string or word that holds index ``i``, and the index after it."""
        for node in grammar.owners(grammar.at(self.root, i, len(TOKEN))):
            if node.type == "comment":
                inside = self.t.tokens_in(node.start_byte, node.end_byte)
                return [Site(self.t.at(k), self.up, "comment") for k in inside], node.end_byte
            if node.type == "ERROR":
                break
            if node.type in _STRINGS | _BARE:
                return self._word(node), node.end_byte
        return [], i + 1

    def _word(self, node: Node) -> list[Site]:
        word = self._text(node)
        if not word.tokens():
            return []
        scope = Scope.deferred(partial(self.chain, node))
        k = word.tokens()[0]
        for owner in grammar.owners(node):
            if (
                owner.type == "comparison_expression" and owner.child_count > 1
            ) or owner.type == "switch_clause_condition":
                return [Site(word.at(n), scope, "comparison") for n in word.tokens()]
            if owner.type == "hash_entry" and word.s.strip() == TOKEN:
                return [self._entry(owner, word, scope)]
            if owner.type == "assignment_expression" and word.s.strip() == TOKEN and not self._listed(node, owner):
                name = self._target(owner)
                if not connectors.is_role_key(name):
                    return [Site(word.at(k), scope, "value")]
                connector = self.ctx.connector_beside(name, self._connectors)
                return [Site(word.at(k), scope, "role", connector, exact=word.exact(k, len(TOKEN)), feeds=name)]
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

    def _listed(self, node: Node, assignment: Node) -> bool:
        """Whether a string of an assignment is one of several."""
        return any(self._words(o) for o in grammar.owners(node) if o.start_byte > assignment.start_byte)

    def _entry(self, entry: Node, word: Text, scope: Scope) -> Site:
        k = word.s.index(TOKEN)
        m = self._mapping(entry.parent)
        if not connectors.is_role_key(self._key(entry)):
            return Site(word.at(k), scope, "value")
        around = [
            self._mapping(o) for o in grammar.owners(entry) if o.type == "hash_literal_body" and o != entry.parent
        ]
        wrappers = tuple(c for c in map(connectors.connector_of, around) if c)
        connector = self.ctx.named(connectors.connector_of(m))
        exact = word.exact(k, len(TOKEN)) and connectors.one_role(m)
        return Site(word.at(k), scope, "role", connector, wrappers, connectors.settings(m), exact)

    # -- values -------------------------------------------------------------------------------------------------------

    def _text(self, node: Node) -> Text:
        """What a word stands for: quotes and escapes taken off, a variable as it is written."""
        a, b = node.start_byte, node.end_byte
        match node.type:
            case "verbatim_string_characters":
                return _undoubled(self.t.slice(a + 1, b - 1), "'")
            case "expandable_string_literal":
                return _unescaped(_undoubled(self.t.slice(a + 1, b - 1), '"'))
            case "verbatim_here_string_characters":
                return self.t.slice(a + 2, b - 2)
            case "expandable_here_string_literal":
                return _unescaped(self.t.slice(a + 2, b - 2))
        return self.t.slice(a, b)

    def _words(self, node: Node) -> list[Node]:
        """The words of a command with its name, or of a list; nothing for anything else."""
        if node.type == "command":
            return _inner(node, _WORDS | {"command_name"})
        if node.type == "array_literal_expression" and node.named_child_count > 1:
            return _inner(node, _WORDS)
        return []

    def _key(self, entry: Node) -> str:
        key = next((c for c in entry.named_children if c.type == "key_expression"), None)
        return grammar.text(self.t, key).strip("\"'") if key is not None else ""

    def _mapping(self, body: Node | None) -> Map:
        """The entries of a hash table; what is no string is a placeholder."""
        m = Map(*((body.start_byte, body.end_byte) if body is not None else (0, 0)))
        for entry in body.named_children if body is not None else ():
            if entry.type != "hash_entry" or len(entry.named_children) < 2:
                continue
            key, value = entry.named_children[0], entry.named_children[-1]
            inner = _inner(value, frozenset({"hash_literal_body"}))
            strings = _inner(value, _STRINGS)
            node: Map | Scalar
            if inner:
                node = self._mapping(inner[0])
            else:
                alone = len(strings) == 1 and grammar.text(self.t, value).strip() == grammar.text(self.t, strings[0])
                text = (
                    self._text(strings[0])
                    if alone
                    else Text("$" + grammar.text(self.t, value)[:60], self.t.at(value.start_byte))
                )
                node = Scalar(text, value.start_byte, value.end_byte)
            m.pairs.append(
                (Scalar(Text(self._key(entry), self.t.at(key.start_byte)), key.start_byte, key.end_byte), node)
            )
        return m

    def _target(self, assignment: Node) -> str:
        """The variable that an assignment sets: ``KV_ROLE`` of ``$env:KV_ROLE``."""
        source = grammar.text(self.t, assignment).split("=", 1)[0]
        m = re.match(r"\s*(?:\[[\w.]+\]\s*)?\$(?:\{?(?:env|script|global|local):)?(\w+)\}?\s*\+?$", source, re.I)
        return m.group(1) if m is not None else ""

    @cached_property
    def _values(self) -> list[tuple[str, str]]:
        """What the script's variables are set to, of those that are set to one string."""
        return [(m[1], m[2] or m[3]) for m in _SET.finditer(self.t.s)]

    @cached_property
    def _connectors(self) -> list[tuple[str, str]]:
        """Those of them that name a connector, as far as anybody writes them by hand."""
        return [(key, value) for key, value in self._values if connectors.is_connector_key(key)][:MANY]

    def value_of(self, name: str) -> str | None:
        """The one string that a variable is set to."""
        found = {value for key, value in self._values if key.lower() == name.lower()}
        return found.pop() if len(found) == 1 else None

    # -- owners -------------------------------------------------------------------------------------------------------

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        scope = self.up
        owners = list(grammar.owners(node))[::-1]
        for owner, inner in pairwise(owners):
            match owner.type:
                case "function_statement":
                    said = next((c for c in owner.named_children if c.type == "function_name"), None)
                    word = grammar.text(self.t, said) if said is not None else ""
                    scope = self._named("function", word, scope, owner)
                    if follow and word:
                        scope.find_uses = partial(
                            self._uses, re.compile(rf"(?i)(?<![\w-]){re.escape(word)}(?![\w-])"), owner
                        )
                case "if_statement" | "elseif_clause" | "else_clause" | "switch_clause":
                    scope = self._branch(owner, inner, scope)
                case "assignment_expression" if inner == owner.child_by_field_name("value"):
                    name = self._target(owner)
                    scope = self._named("variable", name, scope, owner)
                    if follow and name:
                        used = re.compile(rf"(?i)[$@]\{{?(?:\w+:)?{re.escape(name)}(?!\w)(?!\s*\+?=(?!=))")
                        scope.find_uses = partial(self._uses, used, owner)
                case "hash_literal_body":
                    through = self._key(inner) if inner.type == "hash_entry" else None
                    scope = data_cues.map_scope(self._mapping(owner), scope, self.ctx, through)
                case "hash_entry":
                    scope = self._named("key", self._key(owner), scope, owner)
                case "command" | "array_literal_expression" if words := self._words(owner):
                    scope = self._command(words, node, scope)
            if owner.type == "statement_list":
                scope = self._before(inner, scope)
        return scope

    def _named(self, kind: str, name: str, up: Scope, node: Node) -> Scope:
        sides = self.ctx.sides_of(name)
        cues = [Cue(s, Weight.NAMED, kind, name, self.t.at(node.start_byte)) for s in sides if len(sides) == 1]
        return Scope(kind, name, up, cues)

    def _uses(self, pattern: re.Pattern[str], own: Node) -> list[Scope]:
        """The owners of every place that ``pattern`` is found in, outside of ``own``."""
        out: list[Scope] = []
        for m in islice(pattern.finditer(self.t.s), MANY):
            use = grammar.at(self.root, m.start(), 2)
            if own.start_byte <= m.start() < own.end_byte or use.type == "comment":
                continue
            out.append(self.chain(use))
            out[-1].place = self.t.at(m.start())
        return out

    def _branch(self, node: Node, inner: Node, up: Scope) -> Scope:
        if inner.type != "statement_block":
            return up
        first: tuple[int, int] | None = None
        otherwise = node.type == "else_clause" and node.parent is not None
        if otherwise and node.parent is not None:
            node = node.parent
            done = next((c for c in node.named_children if c.type == "statement_block"), None)
            if done is not None and not any(c.type == "elseif_clauses" for c in node.named_children):
                first = done.start_byte, done.end_byte
        asked = node.child_by_field_name("condition") or next(
            (c for c in node.named_children if c.type == "switch_clause_condition" or c.type == "pipeline"), None
        )
        words = grammar.text(self.t, asked) if asked is not None else ""
        words = f"if $_ -eq {words}" if node.type == "switch_clause" else f"if {words}"
        branch = Branch(inner.start_byte, inner.end_byte, words, otherwise, first)
        return branches_of.scope_of(branch, up, self.t, self.ctx)

    def _command(self, nodes: list[Node], site: Node, up: Scope) -> Scope:
        words = [argv.Word(self._text(n).s, self.t.at(n.start_byte)) for n in nodes]
        index = next((i for i, n in enumerate(nodes) if n.start_byte <= site.start_byte < n.end_byte), -1)
        scope = Scope("command", words[0].s, up, argv.cues(words, self.ctx, skip=index))
        scope.launch = any(w.s.startswith("--") for w in words)
        scope.flags = argv.flags_of(words)
        return scope

    def _before(self, statement: Node, up: Scope) -> Scope:
        """The comment on the lines right above a statement, and the one at the end of its last line."""
        first = self.t.s.rfind("\n", 0, statement.start_byte) + 1
        above: list[tuple[int, str]] = []
        while first > 0:
            start = self.t.s.rfind("\n", 0, first - 1) + 1
            line = self.t.s[start : first - 1].strip()
            if not line.startswith("#"):
                break
            above.append((self.t.at(start), line.strip("# ")))
            first = start
        cues = comments.said(above[::-1], self.ctx)
        start = self.t.s.rfind("\n", 0, statement.end_byte) + 1  # the tree counts a comment to the statement
        end = self.t.s.find("\n", statement.end_byte)
        line = self.t.s[start : end if end >= 0 else len(self.t.s)]
        trailing = comments.behind(line)
        if trailing is not None and not line.lstrip().startswith("#"):
            cues += comments.said([(self.t.at(start + trailing[0]), trailing[1])], self.ctx)
        return Scope("block", "", up, cues) if cues else up


_SET = regex(
    r"(?im)^[ \t]*(?:\[\w+\]\s*)?\$(?:env:|script:|global:)?(\w+)\s*=\s*(?:\"([^\"$`\n]*)\"|'([^'\n]*)')[ \t\r]*(?:;[ \t\r]*)?$"
)


def _inner(node: Node, kinds: frozenset[str] | set[str]) -> list[Node]:
    """The nodes of some kinds below ``node``, outermost first, in order; none below another."""
    out: list[Node] = []
    todo = [node]
    while todo:
        n = todo.pop()
        if n.type in kinds and n != node:
            out.append(n)
        else:
            todo += reversed(n.named_children)
    return out


def _undoubled(t: Text, quote: str) -> Text:
    """A quote that is written twice inside its own kind is one."""
    parts: list[Text] = []
    start = 0
    for m in re.finditer(quote * 2, t.s):
        parts.append(t.slice(start, m.start() + 1))
        start = m.end()
    return join([*parts, t.slice(start, len(t.s))]) if parts else t


def _unescaped(t: Text) -> Text:
    """Back-quote escapes decoded."""
    if "`" not in t.s:
        return t
    parts: list[Text] = []
    start = 0
    for m in re.finditer(r"(?s)`(.)", t.s):
        parts.append(t.slice(start, m.start()))
        char = t.slice(m.start(1), m.end(1))
        parts.append(char.same_places(_ESCAPES.get(m[1], m[1])) if m[1] != "\n" else t.slice(m.end(), m.end()))
        start = m.end()
    return join([*parts, t.slice(start, len(t.s))])


POWERSHELL = _PowerShell()
