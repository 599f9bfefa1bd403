"""Who owns a word of a PowerShell script: its command, hash table, variable, branch and function, and the comment at it."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice, pairwise

from tree_sitter import Node

from kvroles.evidence import argv, comments, conditions, data_cues, kinds, loops, pickers
from kvroles.evidence.data import path_to
from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.names import PD, mentioned, own
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.mapping.inherits import over
from kvroles.migrate.readers.powershell.source import SET, Source
from kvroles.migrate.readers.shell.script import SERVER
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template.actions import Branch

# What writes to files, and the name of one.
_WRITES = regex(r"(?i)(?:(?:^|\|)[ \t]*(?:Out-File|Set-Content|Add-Content|Tee-Object)\b|(?<!\d)>>?)")
_EACH = regex(r"(?i)(?:ForEach-Object|ForEach|%)(?![\w-])")
_FILE = regex(r"(?<![\w.-])[\w$:./\\{}-]{1,200}\.(?:json|ya?ml|env|txt|conf|cfg|ini|toml|ps1|sh)\b")


class Script(Source):
    """One script. ``chain`` gives the owners of any node of it."""

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
                case "foreach_statement" | "pipeline_chain":
                    scope = self._loop(owner, inner, scope)
                case "if_statement" | "elseif_clause" | "else_clause" | "switch_clause":
                    scope = self._branch(owner, inner, scope)
                case "ERROR" if owner.parent is not None and owner.parent.type == "switch_clause":
                    scope = self._branch(owner.parent, inner, scope)
                case "assignment_expression" | "script_parameter" if (name := self._set_by(owner, inner)) is not None:
                    scope = self._named(kinds.VARIABLE, name, scope, owner)
                    if follow and name:
                        used = re.compile(rf"(?i)[$@]\{{?(?:\w+:)?{re.escape(name)}(?!\w)(?!\s*\+?=(?!=))")
                        scope.find_uses = partial(self._uses, used, owner)
                case "hash_literal_body":
                    through = self._key(inner) if inner.type == "hash_entry" else None
                    if not any(o.type == "hash_literal_body" for o in owners[: owners.index(owner)]):
                        root = self._mapping(owner)
                        scope = over(root, path_to(root, node.start_byte), scope, self.ctx)
                    scope = data_cues.map_scope(self._mapping(owner), scope, self.ctx, through)
                case "hash_entry":
                    scope = self._named(kinds.KEY, key := self._key(owner), scope, owner)
                    side = scope.cues[0].side if len(scope.cues) == 1 else None
                    if follow and side in PD:
                        scope.find_handed_on = partial(self._handed_on, owner, key, side.other)
                case "pipeline" if targets := self._written(owner):
                    scope = Scope("file", targets[-1].s, scope, argv.redirect_cues(targets, self.ctx))
                case "command" | "array_literal_expression" if words := self._words(owner):
                    scope = self._command(words, node, scope)
            if owner.type == "statement_list":
                scope = self._told(owner, inner, node, self._otherwise(owner, inner, scope))
                scope = self._before(inner, scope)
        if choice is not None:
            scope = branches_of.scope_of(choice.branch(self.t.s, node.start_byte), scope, self.t, self.ctx)
        return scope

    def _set_by(self, node: Node, inner: Node) -> str | None:
        """The name of the variable that an assignment or a parameter gives ``inner``; None where that is no value of it."""
        if node.type == "assignment_expression":
            return self._target(node) if inner == node.child_by_field_name("value") else None
        held = next((c for c in node.named_children if c.type == "variable"), None)
        return grammar.text(self.t, held).strip("${}") if held is not None and held != inner else None

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

    def _told(self, block: Node, inner: Node, site: Node, up: Scope) -> Scope:
        """The scope of ``inner`` behind what sets a role's variable, if that still has its value at ``site`` and no server was
        started since: ``$env:ROLE = 'prefill'``."""
        before = [c for c in islice(block.named_children, MANY) if c.end_byte <= inner.start_byte]
        for statement in reversed(before if inner.type != "function_statement" else []):  # it may be called at any time
            source = grammar.text(self.t, statement)
            if (m := SET.fullmatch(source.strip())) is not None:
                between = self.t.s[statement.end_byte : site.start_byte]
                again = rf"(?im)\${{?(?:\w+:)?{re.escape(m[1])}\}}?(?:\s*=(?!=)|\s+in\b)|^[ \t]*\.[ \t]"
                place = self.t.at(statement.start_byte)
                cues = argv.env_cues(m[1], m[3] if m[2] is None else m[2], place, self.ctx)
                if cues and cues[0].weight == Weight.FLAG and re.search(again, between) is None:
                    return Scope("block", "", up, [kinds.ROLE_ASSIGNED.cue(cues[0].side, source.strip()[:80], place)])
            elif SERVER.search(source):
                break
        return up

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
            ends = [c.end_byte for c in _blocks(node) if c.end_byte <= inner.start_byte]
            words = self.t.s[max(ends, default=node.start_byte) : inner.start_byte].strip()
        words = f"if {self._switched(node)} -eq {words}" if node.type == "switch_clause" else f"if {words}"
        other = _else_of(node) if node.type == "if_statement" and not otherwise else None
        branch = Branch(inner.start_byte, inner.end_byte, words, otherwise, first, other)
        scope = branches_of.scope_of(branch, up, self.t, self.ctx)
        if node.type == "switch_clause":
            whole = next((o for o in islice(grammar.owners(node), 1, 5) if o.type == "switch_statement"), node)
            two = sum(len(_blocks(c)) for c in _clauses(whole)) == 2
            scope.fork = (self.t.at(whole.start_byte), inner.start_byte) if two else None
        return scope

    def _loop(self, node: Node, inner: Node, up: Scope) -> Scope:
        """The scope of what a ``foreach`` or ``ForEach-Object`` does for each of both sides; ``up`` of any other."""
        if node.type == "pipeline_chain" and _EACH.match(grammar.text(self.t, inner)) is None:
            return up
        head = self.t.s[node.start_byte : inner.start_byte]
        if loops.over(head, self.ctx) is not Side.SHARED:
            return up
        words = head.strip(" |\n")[:80]
        return Scope("loop", words, up, [kinds.LOOP_OVER_BOTH.cue(Side.SHARED, words, self.t.at(node.start_byte))])

    def _switched(self, clause: Node) -> str:
        """What a ``switch`` compares: as it stands where a name in it is not of this server's own, else PowerShell's ``$_``."""
        switch = next((o for o in islice(grammar.owners(clause), 1, 5) if o.type == "switch_statement"), clause)
        head = next((c for c in switch.named_children if c.type == "switch_condition"), None)
        asked = grammar.text(self.t, head)[1:-1].strip() if head is not None else ""
        return "$_" if all(own(name) for name in conditions.members(asked)) else asked

    def _written(self, pipeline: Node) -> list[argv.Word]:
        """The files that the commands of a pipeline write what they are given to."""
        source, start = grammar.text(self.t, pipeline), pipeline.start_byte
        return [
            argv.Word(name.group(), self.t.at(start + name.start()))
            for writes in _WRITES.finditer(source)
            for name in _FILE.finditer(source, writes.end(), len(source))
        ]

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


def _clauses(switch: Node) -> list[Node]:
    """The clauses of a ``switch``."""
    body = next((c for c in switch.named_children if c.type == "switch_body"), switch)
    held = [
        c for part in body.named_children for c in (part.named_children if part.type == "switch_clauses" else [part])
    ]
    return [c for c in held if c.type == "switch_clause"]


def _blocks(clause: Node) -> list[Node]:
    """What the arms in a clause of a ``switch`` run: several on one line are one clause to the grammar."""
    parts = [part for c in clause.children for part in (c.children if c.type == "ERROR" else [c])]
    return [c for c in parts if c.type == "statement_block"]


def _else_of(node: Node) -> tuple[int, int] | None:
    """The span of what an ``if`` without an ``elseif`` does otherwise; None where it has no ``else``."""
    clauses = [c for c in node.named_children if c.type in {"elseif_clauses", "else_clause"}]
    return (clauses[0].start_byte, clauses[0].end_byte) if [c.type for c in clauses] == ["else_clause"] else None
