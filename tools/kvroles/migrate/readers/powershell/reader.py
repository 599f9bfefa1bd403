"""PowerShell by its tree-sitter grammar: configs in commands, hash tables, variables and here-strings, and their owners."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property, partial
from itertools import islice, pairwise

from tree_sitter import Node

from kvroles.evidence import argv, comments, data_cues, kinds, pickers
from kvroles.evidence.data import Map, Scalar
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.names import PD, mentioned
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, join
from kvroles.migrate import connectors
from kvroles.migrate.readers import grammar, lines
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.powershell.choices import Choice, choices
from kvroles.migrate.readers.powershell.quoting import filled, undoubled, unescaped
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template.actions import Branch
from kvroles.migrate.readers.words import role_set

_STRINGS = frozenset(
    {"verbatim_string_characters", "expandable_string_literal", "verbatim_here_string_characters"}
    | {"expandable_here_string_literal"}
)
_WORDS = _STRINGS | {"generic_token", "command_parameter", "variable", "decimal_integer_literal"}
_BARE = frozenset({"generic_token", "command_parameter"})
_PARAM = regex(r"(?is)\bparam\s*\([^{}]*?\)\s*\n")
_HOPS = 3  # variables that a value is followed through
# A line that sets a variable to one string without an expansion.
_SET = regex(
    r"(?im)^[ \t]*(?:\[\w+\]\s*)?\$(?:env:|script:|global:)?(\w+)\s*=\s*(?:\"([^\"$`\n]*)\"|'([^'\n]*)')[ \t\r]*(?:;[ \t\r]*)?$"
)


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
    """One script ``t`` with the owner ``up`` in a file."""

    def __init__(self, t: Text, up: Scope, file: File) -> None:
        self.t = t
        self.up = up
        self.ctx = file
        self._known: dict[tuple[str, bool, int, int, int], set[str | None]] = {}
        self.choices = list(choices(t.s))
        masked = bytearray(t.ascii())
        for choice in self.choices:  # the grammar lacks ``c ? a : b``: masked, it is parsed as the list ``c , a , b``
            masked[choice.mark] = masked[choice.colon] = ord(",")
        self.root = grammar.parse("powershell", t, masked=bytes(masked) if self.choices else None)

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
                if owner.type in _STRINGS:
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

    def _choice(self, node: Node) -> Choice | None:
        """The ``c ? a : b`` of which a node is a value; None if it is of none."""
        n = bisect_right(self.choices, node.start_byte, key=lambda c: c.start) - 1
        return self.choices[n] if n >= 0 and self.choices[n].index_of(node.start_byte) is not None else None

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
            template = _inner(owner.named_children[0], _STRINGS)
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
        strings = _inner(operand, _STRINGS) if operand.type not in _STRINGS else [operand]
        if len(strings) == 1 and grammar.text(self.t, operand).strip() == grammar.text(self.t, strings[0]):
            return self._text(strings[0])
        return self.t.pick("${_}", [operand.start_byte] * 4, operand.end_byte)

    # -- values -------------------------------------------------------------------------------------------------------

    def _text(self, node: Node) -> Text:
        """The text of a word without its quotes and escapes; a variable stays as it is written."""
        a, b = node.start_byte, node.end_byte
        match node.type:
            case "verbatim_string_characters":
                return undoubled(self.t.slice(a + 1, b - 1), "'")
            case "expandable_string_literal":
                return unescaped(undoubled(self.t.slice(a + 1, b - 1), '"'))
            case "verbatim_here_string_characters":
                return self.t.slice(a + 2, b - 2)
            case "expandable_here_string_literal":
                return unescaped(self.t.slice(a + 2, b - 2))
        return self.t.slice(a, b)

    def _words(self, node: Node) -> list[Node]:
        """The words of a command, its name first, or of a list; empty for any other node."""
        if node.type == "command":
            return _inner(node, _WORDS | {"command_name"})
        if node.type == "array_literal_expression" and node.named_child_count > 1:
            return _inner(node, _WORDS)
        return []

    def _key(self, entry: Node) -> str:
        """The key of a hash table's entry, without quotes."""
        key = next((c for c in entry.named_children if c.type == "key_expression"), None)
        return grammar.text(self.t, key).strip("\"'") if key is not None else ""

    def _mapping(self, body: Node | None) -> Map:
        """The entries of a hash table as a mapping; a value that is neither a string nor a table becomes a placeholder."""
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
        """The variable that an assignment sets, ``KV_ROLE`` for ``$env:KV_ROLE``; empty if it sets an item or a member."""
        source = grammar.text(self.t, assignment).split("=", 1)[0]
        m = re.match(r"\s*(?:\[[\w.]+\]\s*)?\$(?:\{?(?:env|script|global|local):)?(\w+)\}?\s*\+?$", source, re.I)
        return m.group(1) if m is not None else ""

    @cached_property
    def _values(self) -> list[tuple[str, str]]:
        """The script's variables that are set to a plain string, each time with that."""
        return [(m[1], m[3] if m[2] is None else m[2]) for m in _SET.finditer(self.t.s)]

    @cached_property
    def _connectors(self) -> list[tuple[str, str]]:
        """The first ``MANY`` of these variables that name a connector."""
        return [(key, value) for key, value in self._values if connectors.is_connector_key(key)][:MANY]

    def value_of(self, name: str) -> str | None:
        """The one plain string that a variable is set to, or None."""
        found = {value for key, value in self._values if key.lower() == name.lower()}
        return found.pop() if len(found) == 1 else None

    # -- owners -------------------------------------------------------------------------------------------------------

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        scope = self.up
        choice = self._choice(node)
        owners = [o for o in grammar.owners(node) if choice is None or o == node or not choice.holds(o)][::-1]
        for owner, inner in pairwise(owners):
            match owner.type:
                case "function_statement":
                    said = next((c for c in owner.named_children if c.type == "function_name"), None)
                    word = grammar.text(self.t, said) if said is not None else ""
                    scope = self._named(kinds.FUNCTION, word, scope, owner)
                    if follow and word:
                        scope.find_uses = partial(
                            self._uses, re.compile(rf"(?i)(?<![\w-]){re.escape(word)}(?![\w-])"), owner
                        )
                case "if_statement" | "elseif_clause" | "else_clause" | "switch_clause":
                    scope = self._branch(owner, inner, scope)
                case "ERROR" if owner.parent is not None and owner.parent.type == "switch_clause":
                    scope = self._branch(owner.parent, inner, scope)
                case "assignment_expression" if inner == owner.child_by_field_name("value"):
                    name = self._target(owner)
                    scope = self._named(kinds.VARIABLE, name, scope, owner)
                    if follow and name:
                        used = re.compile(rf"(?i)[$@]\{{?(?:\w+:)?{re.escape(name)}(?!\w)(?!\s*\+?=(?!=))")
                        scope.find_uses = partial(self._uses, used, owner)
                case "hash_literal_body":
                    through = self._key(inner) if inner.type == "hash_entry" else None
                    scope = data_cues.map_scope(self._mapping(owner), scope, self.ctx, through)
                case "hash_entry":
                    scope = self._named(kinds.KEY, key := self._key(owner), scope, owner)
                    side = scope.cues[0].side if len(scope.cues) == 1 else None
                    if follow and side in PD:
                        scope.find_handed_on = partial(self._handed_on, owner, key, side.other)
                case "command" | "array_literal_expression" if words := self._words(owner):
                    scope = self._command(words, node, scope)
            if owner.type == "statement_list":
                scope = self._before(inner, self._otherwise(owner, inner, scope))
        if choice is not None:
            scope = branches_of.scope_of(choice.branch(self.t.s, node.start_byte), scope, self.t, self.ctx)
        return scope

    def _named(self, kind: kinds.Kind, name: str, up: Scope, node: Node) -> Scope:
        return Scope(kind.name, name, up, self.ctx.name_cues(kind, name, self.t.at(node.start_byte)))

    def _uses(self, pattern: re.Pattern[str], own: Node) -> list[Scope]:
        """The owners of every match of ``pattern`` outside the node ``own`` and comments."""
        out: list[Scope] = []
        for m in islice(pattern.finditer(self.t.s), MANY):
            use = grammar.at(self.root, m.start(), 2)
            if own.start_byte <= m.start() < own.end_byte or use.type == "comment":
                continue
            out.append(self.chain(use))
            out[-1].place = self.t.at(m.start())
        return out

    def _handed_on(self, entry: Node, key: str, other: Side) -> Cue | None:
        """The cue of what is of side ``other`` and set to the value of an entry of a table: ``$kv.decode = $kv.prefill``."""
        held = next((o for o in grammar.owners(entry) if o.type == "assignment_expression"), None)
        table = self._target(held) if held is not None else ""
        part = rf"\${re.escape(table)}(?:\.|\[[\"']){re.escape(key)}\b"
        for m in re.finditer(rf"(?im)^[ \t]*(?P<taker>[^\s#=]+)[ \t]*=[ \t]*{part}", self.t.s) if table else ():
            if mentioned(m["taker"]) == {other}:
                return kinds.HANDED_ON.cue(other, m["taker"], self.t.at(m.start("taker")))
        return None

    def _otherwise(self, block: Node, inner: Node, up: Scope) -> Scope:
        """The scope of ``inner`` where an ``if`` before it leaves: ``if ($Role -ne 'prefill') { exit }``."""
        leaving = (c for c in islice(block.named_children, MANY) if c.end_byte <= inner.start_byte)
        left = [(c, words) for c in leaving if (words := self._left_where(c))]
        if not left or pickers.set_again(left[-1][1], self.t.s, left[-1][0].end_byte, inner.start_byte):
            return up
        body, place = grammar.text(self.t, inner), self.t.at(left[-1][0].start_byte)
        conditions = [words for _, words in left]
        return Scope("branch", "else", up, pickers.left_cues(conditions, "", body, self.ctx, place, asked=True))

    def _left_where(self, node: Node) -> str:
        """What an ``if`` asks that knows no other case and leaves where that holds; empty for any other statement."""
        if node.type != "if_statement" or any(c.type in {"else_clause", "elseif_clauses"} for c in node.named_children):
            return ""
        asked = node.child_by_field_name("condition")
        done = next((c for c in node.named_children if c.type == "statement_block"), None)
        held = done.named_children[-1] if done is not None and done.named_children else None
        last = held.named_children[-1] if held is not None and held.named_children else None
        if asked is None or last is None or last.type != "flow_control_statement":
            return ""
        words = grammar.text(self.t, asked)
        return words if pickers.asks(words) else ""

    def _branch(self, node: Node, inner: Node, up: Scope) -> Scope:
        """The scope of the block ``inner`` of an ``if``, ``elseif``, ``else`` or ``switch`` clause; ``up`` for its condition."""
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
        if node.type == "switch_clause":  # several on one line are one to the grammar
            parts = [part for c in node.children for part in (c.children if c.type == "ERROR" else [c])]
            ends = [c.end_byte for c in parts if c.type == "statement_block" and c.end_byte <= inner.start_byte]
            words = self.t.s[max(ends, default=node.start_byte) : inner.start_byte].strip()
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
        """The scope of the comment lines right above a statement and the comment at its end; ``up`` if they say no side."""
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
        start = self.t.s.rfind("\n", 0, statement.end_byte) + 1  # in the tree a comment may be part of the statement
        end = self.t.s.find("\n", statement.end_byte)
        line = self.t.s[start : end if end >= 0 else len(self.t.s)]
        trailing = comments.behind(line)
        if trailing is not None and not line.lstrip().startswith("#"):
            cues += comments.said([(self.t.at(start + trailing[0]), trailing[1])], self.ctx)
        return Scope("block", "", up, cues) if cues else up


def _inner(node: Node, types: frozenset[str] | set[str]) -> list[Node]:
    """The outermost nodes below ``node`` whose type is one of ``types``, in order."""
    out: list[Node] = []
    todo = [node]
    while todo:
        n = todo.pop()
        if n.type in types and n != node:
            out.append(n)
        else:
            todo += reversed(n.named_children)
    return out


POWERSHELL = _PowerShell()
