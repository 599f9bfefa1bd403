"""Who owns a word of a shell script: its command, variable, branch, function, and what is said right before them."""

from __future__ import annotations

import re
from functools import partial

from tree_sitter import Node

from kvroles.migrate import argv, connectors, grammar, objects, shell_words
from kvroles.migrate.context import FileCtx
from kvroles.migrate.data import Map, Scalar, path_to
from kvroles.migrate.model import Cue, Scope, Side, Weight
from kvroles.migrate.text import Text
from kvroles.migrate.words import name_sides, role_value, title_side

_BLOCKS = {"program", "do_group", "compound_statement", "subshell", "if_statement", "else_clause", "elif_clause", "case_item", "list"}
_SERVER = re.compile(r"\bvllm\s+serve\b|--kv[-_]transfer[-_]config|\bkv_both\b|-m\s+(?:vllm|dynamo)\.|api_server|dynamo\.vllm")
_SAYS = {"echo", "printf", "log", "info", "log_info", "print", "warn", "say", "banner", "header", "print_status", "step", "cecho", "e"}
_PID = re.compile(r"^\s*(?:local\s+|export\s+)?(\w+)=\"?\$!")


def assigned(t: Text, node: Node) -> str:
    """The variable that an assignment sets."""
    name = node.child_by_field_name("name")
    return t.s[name.start_byte : name.end_byte].split("[")[0] if name else ""


def command_name(t: Text, node: Node) -> str:
    name = node.child_by_field_name("name")
    return t.s[name.start_byte : name.end_byte].rsplit("/", 1)[-1] if name else ""


def is_pattern(t: Text, node: Node) -> bool:
    """Whether a command only looks for its words (grep, sed, test, jq)."""
    return command_name(t, node) in {"grep", "egrep", "rg", "sed", "awk", "jq", "test", "[", "pgrep", "pkill", "perl", "yq"}


def says_only(t: Text, node: Node, root: Node) -> bool:
    """Whether a command prints its words for a reader: an echo whose output goes nowhere."""
    if command_name(t, node) not in _SAYS:
        return False
    for owner in grammar.owners(node):
        if owner.type in {"command_substitution", "function_definition", "pipeline"} or owner.type == "redirected_statement":
            return False
    return True


class Script:
    """One shell text: its tree, its owner in the file, and what is worked out once."""

    def __init__(self, t: Text, up: Scope, ctx: FileCtx) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self.root = grammar.parse("bash", t, shell_words.mask_placeholders(t.ascii()))

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        scope = self.up
        owners = list(grammar.owners(node))[::-1]
        for n, owner in enumerate(owners):
            inner = owners[n + 1] if n + 1 < len(owners) else None
            match owner.type:
                case "function_definition":
                    scope = self._function(owner, scope, follow)
                case "if_statement" | "elif_clause" | "else_clause":
                    scope = self._branch(owner, inner, scope)
                case "case_item":
                    scope = self._case(owner, scope)
                case "for_statement":
                    scope = self._loop(owner, scope)
                case "variable_assignment":
                    if owner.parent is None or owner.parent.type != "command":
                        scope = self._variable(owner, scope, follow)
                    elif inner is not None and inner.type != "variable_name":
                        scope = self._named("variable", assigned(self.t, owner), scope, owner)
                case "command":
                    if owner.parent is None or owner.parent.type != "redirected_statement":
                        scope = self._command(owner, node, scope)
                case "redirected_statement":
                    scope = self._command(owner, node, scope)
                case _:
                    pass
            if owner.type in _BLOCKS and inner is not None:
                scope = self._block(owner, inner, scope)
        return scope

    # -- owners -------------------------------------------------------------------------------------------------------

    def _named(self, kind: str, name: str, up: Scope, node: Node) -> Scope:
        scope = Scope(kind, name, up)
        sides = name_sides(name, disagg_pair=self.ctx.disagg_pair)
        if len(sides) != 1 and (letter := self.ctx.letter_side(name)):
            sides = {letter}
        if len(sides) == 1:
            scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, kind, name, self.t.at(node.start_byte)))
        return scope

    def _function(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = node.child_by_field_name("name")
        word = grammar.text(self.t, name) if name else ""
        scope = self._named("function", word, up, node)
        if follow and word and not scope.cues:
            scope.find_uses = partial(self._calls, word, node)
        return scope

    def _calls(self, word: str, node: Node) -> list[Scope]:
        """The owners of every call of a function."""
        out: list[Scope] = []
        for m in re.finditer(rf"(?<![\w$/.-]){re.escape(word)}(?![\w.-])(?!\s*\()", self.t.s):
            if not node.start_byte <= m.start() < node.end_byte:
                call = grammar.at(self.root, m.start(), len(word))
                if any(o.type == "command_name" for o in grammar.owners(call)):
                    out.append(self._call(call))
        return out

    def _call(self, node: Node) -> Scope:
        """The owners of a call, its own words taken at the weight of a name."""
        scope = self.chain(node)
        for s in scope.chain():
            if s.kind == "command":
                own = next((o for o in grammar.owners(node) if o.type == "command"), None)
                if own is not None:
                    for w in self._words(own)[0][1:]:
                        side = role_value(w.s) if len(w.s) > 1 else None
                        named = {side} if side else name_sides(w.s)
                        if len(named) == 1 and not w.s.startswith("-"):
                            s.cues.append(Cue(next(iter(named)), Weight.NAMED, "call", f"{command_name(self.t, own)} {w.s}", w.pos))
                break
        return scope

    def _branch(self, node: Node, inner: Node | None, up: Scope) -> Scope:
        if inner is None or inner.type in {"elif_clause", "else_clause"}:
            return Scope("branch", "", up)
        if node.type == "else_clause":
            return self._else(node, up)
        condition = node.child_by_field_name("condition") or next((c for c in node.children if c.is_named), None)
        if condition is None or (inner.start_byte <= condition.start_byte < inner.end_byte):
            return Scope("branch", "", up)
        words = grammar.text(self.t, condition)
        scope = Scope("branch", words, up)
        side = self._tested(words)
        if side is not None:
            scope.cues.append(Cue(side, Weight.NAMED, "condition", words[:80], self.t.at(condition.start_byte)))
        return scope

    def _tested(self, words: str) -> Side | None:
        """The side that a condition being true means."""
        if re.search(r"!=|\s!\s|^!|-ne\b|-z\b|\|\|", words) or re.search(r"-[gl][te]\b|-eq\b", words):
            return None
        compared = re.findall(r"={1,2}\s*[\"']?\*?([\w-]+)\*?[\"']?", words)
        sides = {s for w in compared for s in ({role_value(w)} if len(w) > 1 and role_value(w) else name_sides(w))}
        if not compared:
            sides = {s for w in re.findall(r"[\w-]+", words) for s in name_sides(w)}
        return next(iter(sides)) if len(sides) == 1 else None

    def _else(self, node: Node, up: Scope) -> Scope:
        """An ``else`` is the other side only where its own body says so as well."""
        scope = Scope("branch", "else", up)
        head = node.parent
        if head is None or head.type != "if_statement" or any(c.type == "elif_clause" for c in head.children):
            return scope
        condition = head.child_by_field_name("condition") or next((c for c in head.children if c.is_named), None)
        side = self._tested(grammar.text(self.t, condition)) if condition is not None else None
        if side in (Side.PREFILL, Side.DECODE):
            assert side is not None
            body = grammar.text(self.t, node)
            said = {s for w in re.findall(r"[A-Za-z_][\w-]*", body) if not w.startswith("-") for s in name_sides(w)}
            if side.other in said and side not in said:
                scope.cues.append(Cue(side.other, Weight.NAMED, "condition", "else branch", self.t.at(node.start_byte)))
        return scope

    def _case(self, node: Node, up: Scope) -> Scope:
        value = node.child_by_field_name("value")
        words = grammar.text(self.t, value) if value else ""
        scope = Scope("branch", words, up)
        pattern = re.split(r"\)", self.t.s[node.start_byte : node.end_byte], maxsplit=1)[0]
        sides = {s for w in re.findall(r"[\w-]+", pattern) for s in ({role_value(w)} if role_value(w) else name_sides(w)) if s}
        if len(sides) == 1:
            scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, "condition", pattern.strip()[:60], self.t.at(node.start_byte)))
        return scope

    def _loop(self, node: Node, up: Scope) -> Scope:
        head = self.t.s[node.start_byte : node.end_byte].split("\n", 1)[0].split(" do", 1)[0]
        scope = Scope("loop", head, up)
        over = re.sub(r"^\s*for\s+\w+\s+in", "", head)
        sides = {s for w in re.findall(r"[\w-]+", over) for s in name_sides(w)} & {Side.PREFILL, Side.DECODE}
        if len(sides) == 2:
            scope.cues.append(Cue(Side.SHARED, Weight.NAMED, "loop", head.strip()[:80], self.t.at(node.start_byte)))
        elif len(sides) == 1:
            scope.cues.append(Cue(next(iter(sides)), Weight.SAID, "loop", head.strip()[:80], self.t.at(node.start_byte)))
        return scope

    def _variable(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = assigned(self.t, node)
        scope = self._named("variable", name, up, node)
        if follow and name:
            scope.find_uses = lambda: [self.chain(n) for n in self._uses(name, node)]
        return scope

    def _uses(self, name: str, node: Node) -> list[Node]:
        """Where a variable's value is used after this assignment and before it is set anew in the same block."""
        sets = self._assignments(name)
        out: list[Node] = []
        for m in re.finditer(rf"\$(?:{re.escape(name)}\b|\{{{re.escape(name)}(?=[}}:\[/#%@^,]))", self.t.s):
            if m.start() < node.end_byte:
                continue
            use = grammar.at(self.root, m.start(), 2)
            if any(o.type == "comment" for o in grammar.owners(use)):
                continue
            if not any(node.end_byte <= a.start_byte < m.start() and _covers(a, use) for a in sets):
                out.append(use)
        return out

    def _assignments(self, name: str) -> list[Node]:
        """The assignments that set a variable anew (not those that add to it)."""
        out: list[Node] = []
        for m in re.finditer(rf"(?<![\w$]){re.escape(name)}=(?!=)", self.t.s):
            found = grammar.at(self.root, m.start(), len(name))
            for o in grammar.owners(found):
                if o.type == "variable_assignment":
                    if not re.search(rf"\$\{{?{re.escape(name)}\b", grammar.text(self.t, o)):
                        out.append(o)
                    break
        return out

    def _command(self, node: Node, site: Node, up: Scope) -> Scope:
        words, nodes, targets = self._words_and_targets(node)
        scope = Scope("command", words[0].s if words else "", up)
        source = grammar.text(self.t, node)
        scope.launch = _SERVER.search(source) is not None
        index = next((i for i, w in enumerate(nodes) if w.start_byte <= site.start_byte < w.end_byte), -1)
        scope.cues = argv.cues(words, self.ctx, skip=index) + argv.redirect_cues(targets, self.ctx)
        scope.flags = argv.flags_of(words)
        scope.cues += self._after(node)
        return scope

    def _after(self, node: Node) -> list[Cue]:
        """What is said right after a command: a comment at the end of its line, ``DECODE_PID=$!``."""
        out: list[Cue] = []
        statement = node
        while statement.parent is not None and statement.parent.type in {"pipeline", "redirected_statement", "list", "negated_command"}:
            statement = statement.parent
        follow = statement.next_named_sibling
        if follow is not None and follow.type == "comment" and follow.start_point[0] == statement.end_point[0]:
            text = grammar.text(self.t, follow).lstrip("# ")
            if side := title_side(text):
                out.append(Cue(side, Weight.SAID, "comment", text[:80], self.t.at(follow.start_byte)))
            follow = follow.next_named_sibling
        while follow is not None and follow.type == "comment" and follow.start_point[0] <= statement.end_point[0] + 1:
            follow = follow.next_named_sibling
        if follow is not None and follow.start_point[0] <= statement.end_point[0] + 3:
            m = _PID.match(grammar.text(self.t, follow))
            if m:
                sides = name_sides(m.group(1))
                if len(sides) == 1:
                    out.append(Cue(next(iter(sides)), Weight.SAID, "pid", m.group(0).strip(), self.t.at(follow.start_byte)))
        return out

    # -- what is said before ------------------------------------------------------------------------------------------

    def _block(self, block: Node, inner: Node, up: Scope) -> Scope:
        """The nearest comment, echo or role variable before ``inner``, with no other server started in between."""
        scope = Scope("block", "", up)
        node = inner.prev_sibling
        group: list[Node] = []
        while node is not None:
            if node.type == "comment":
                group.insert(0, node)
                previous = node.prev_sibling
                if previous is not None and previous.type == "comment" and previous.end_point[0] + 1 >= node.start_point[0]:
                    node = previous
                    continue
                if cue := self._comment(group):
                    scope.cues.append(cue)
                    return scope
                group = []
            elif node.is_named:
                source = grammar.text(self.t, node)
                if cue := self._statement(node):
                    scope.cues.append(cue)
                    return scope
                if node.type not in {"function_definition", "variable_assignment"} and _SERVER.search(source):
                    return scope
            node = node.prev_sibling
        return scope

    def _comment(self, group: list[Node]) -> Cue | None:
        """What a run of comment lines announces; a run that tells of both sides announces nothing."""
        if group and group[0].prev_sibling is not None and group[0].prev_sibling.end_point[0] == group[0].start_point[0]:
            group = group[1:]  # the end of the line before
        lines = [grammar.text(self.t, c).lstrip("#! ").strip() for c in group]
        lines = [ln for ln in lines if re.search(r"\w", ln)]
        if not lines or any("kv_both" in ln or _SERVER.search(ln) for ln in lines):
            return None
        side = title_side(lines[-1])
        others = {title_side(ln) for ln in lines[:-1]} - {None}
        if side is None and len(others) == 1 and len(lines) <= 4:
            side = next(iter(others))
        if side is None or (others - {side} and len(lines[-1].split()) > 4):
            return None
        return Cue(side, Weight.SAID, "comment", lines[-1][:80], self.t.at(group[-1].start_byte))

    def _statement(self, node: Node) -> Cue | None:
        pos = self.t.at(node.start_byte)
        if node.type == "redirected_statement":
            node = next((c for c in node.children if c.type == "command"), node)
        if node.type == "command" and command_name(self.t, node) in _SAYS:
            words = " ".join(w.s for w in self._words(node)[0][1:])
            side = title_side(re.sub(r"\$\{?\w+\}?", " ", words))
            return Cue(side, Weight.SAID, "echo", words.strip()[:80], pos) if side else None
        assignments = [node] if node.type == "variable_assignment" else []
        if node.type == "declaration_command":
            assignments = [c for c in node.children if c.type == "variable_assignment"]
        for a in assignments:
            name = assigned(self.t, a)
            value = a.child_by_field_name("value")
            word = shell_words.unquote(self.t, value).s if value is not None else ""
            word = re.sub(r"^\$\{\w+:?-(.*)\}$", r"\1", word)
            cues = [c for c in argv.env_cues(name, word, pos, self.ctx) if c.weight == Weight.FLAG]
            if cues:
                return Cue(cues[0].side, Weight.NAMED, "variable", f"{name}={word}"[:80], pos)
        return None

    # -- words --------------------------------------------------------------------------------------------------------

    def words_of(self, node: Node) -> tuple[list[argv.Word], list[Node]]:
        """The words of the command or array that holds ``node``."""
        for owner in grammar.owners(node):
            if owner.type in {"command", "redirected_statement", "array"}:
                parent = owner.parent
                return self._words(parent if parent is not None and parent.type == "redirected_statement" else owner)
        return [], []

    def _words(self, node: Node) -> tuple[list[argv.Word], list[Node]]:
        words, nodes, _ = self._words_and_targets(node)
        return words, nodes

    def _words_and_targets(self, node: Node) -> tuple[list[argv.Word], list[Node], list[argv.Word]]:
        """A command's words in order, their nodes, and the files it writes to (pipes into tee included)."""
        nodes: list[Node] = []
        targets: list[argv.Word] = []
        parts = [node] if node.type != "redirected_statement" else list(node.children)
        for part in parts:
            if part.type == "file_redirect":
                dest = [c for c in part.children if c.is_named and c.type not in {"file_descriptor", "comment"}]
                if dest and ">" in grammar.text(self.t, part)[:4]:
                    targets.append(self._word(dest[0]))
                nodes += dest[1:]
            elif part.type in {"command", "array"}:
                nodes += [c for c in part.children if c.is_named and c.type not in {"comment", "herestring_redirect"}]
            elif part.type == "pipeline":
                for c in part.children:
                    if c.type == "command":
                        nodes += [k for k in c.children if k.is_named and k.type != "comment"]
        for owner in grammar.owners(node):
            if owner.type == "pipeline":
                for c in owner.children:
                    if c.type == "command" and command_name(self.t, c) == "tee":
                        targets += [self._word(k) for k in c.children[1:] if k.is_named]
            elif owner is not node and owner.type not in {"redirected_statement"}:
                break
        return [self._word(n) for n in nodes], nodes, targets

    def _word(self, node: Node) -> argv.Word:
        return argv.Word(shell_words.unquote(self.t, node).s, self.t.at(node.start_byte))

    def heredoc_target(self, node: Node) -> str:
        """The file that a heredoc's command writes to, or empty."""
        for owner in grammar.owners(node):
            if owner.type == "redirected_statement":
                source = self.t.s[owner.start_byte : node.start_byte]
                m = re.findall(r"(?:>>?\s*|\btee\s+(?:-a\s+)?)[\"']?([^\s\"'|&;<>]+)", source)
                m = [x for x in m if not x.startswith(("/dev/", "&"))]
                return m[-1] if m else ""
        return ""

    def connector_of_role(self, name: str) -> tuple[str | None, tuple[str, ...]]:
        """The connector of the objects and flags that use ``$name`` as their role; None if they disagree."""
        found: set[tuple[str | None, tuple[str, ...]]] = set()
        for m in re.finditer(rf"\$\{{?{re.escape(name)}\b\}}?", self.t.s):
            node = grammar.at(self.root, m.start(), 2)
            word = None
            for owner in grammar.owners(node):
                if owner.type in {"string", "concatenation", "heredoc_body", "raw_string"}:
                    word = owner
                elif word is not None:
                    break
            if word is None:
                continue
            text = self.t.slice(word.start_byte, word.end_byte) if word.type == "heredoc_body" else shell_words.unquote(self.t, word)
            k = next((i for i in range(len(text.s)) if text.at(i) == self.t.at(m.start())), -1)
            root = objects.enclosing(text, k) if k >= 0 else None
            path = path_to(root, k) if root else []
            if len(path) > 1 and isinstance(path[-1], Scalar) and isinstance(path[-2], Map):
                wrappers = tuple(c for n in reversed(path[:-2]) if isinstance(n, Map) and (c := connectors.connector_of(n)))
                found.add((connectors.connector_of(path[-2]), wrappers))
        if len(found) == 1:
            return next(iter(found))
        return None, ()


def _covers(assignment: Node, use: Node) -> bool:
    """Whether a use stands in the block that an earlier assignment stands in, so that it sees that assignment's value."""
    block = next((o for o in grammar.owners(assignment) if o.type in _BLOCKS and o.type != "list"), None)
    return block is not None and block.start_byte <= use.start_byte < block.end_byte and not (
        assignment.start_byte <= use.start_byte < assignment.end_byte
    )
