"""Who owns a word of a shell script: its command, variable, branch and function, and the comment or echo right before them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import islice

from tree_sitter import Node

from kvroles.evidence import argv, kinds, loops, pickers
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD, mentioned, own, side_word
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar, mentions
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.shell import additions
from kvroles.migrate.readers.shell import said as shell_said
from kvroles.migrate.readers.shell.script import BLOCKS, SERVER, Source, assigned, command_name
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template import branches

_ASKS = frozenset({"if_statement", "elif_clause", "else_clause", "case_statement"})
_LEAVES = regex(r"(?:exit|return|break|continue)\b|exec\s+[\w./\"'$]")
_EXITS = regex(  # a function that ends in ``exit``, by itself
    r"(?m)^[ \t]*(?:function[ \t]+)?(?P<name>\w+)[ \t]*(?:\([ \t]*\))?[ \t]*"
    r"\{(?:[^{}]{0,300}?[;\n])?[ \t]*exit\b[^{};\n]{0,40};?\s*\}"
)
_BARE = regex(r"[A-Za-z]{2,}(?:[-_]?\d+)?")
_LAUNCHERS = frozenset({"mpirun", "mpiexec", "orterun", "prterun", "srun"})
_ALIASED = regex(r"\b(?:declare|local|typeset)\s+-\w*n\w*\s+(\w+)=[\"']?(\w+)\b")
_ANYTHING = regex(r"(?:^|\|)\s*\*\s*(?:\||$)")
_TRUTH = regex(r"(?i)[\"']?(?:true|yes|on|1)[\"']?(?:\s*\|\s*[\"']?(?:true|yes|on|1)[\"']?)*")

# An action that sets a variable of a template.
_SET = regex(r"\{%-?\s*set\s+(\w+)\s*=|\{\{-?\s*(\$\w+)\s*:?=")


def _condition(branch: Node) -> Node | None:
    """The condition of an ``if`` or ``elif``."""
    return branch.child_by_field_name("condition") or next((c for c in branch.children if c.is_named), None)


class Script(Source):
    """One shell text. ``chain`` gives the owners of any node of it."""

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        scope = self._in_template(node.start_byte)
        owners = list(grammar.owners(node))[::-1]
        for n, owner in enumerate(owners):
            inner = owners[n + 1] if n + 1 < len(owners) else None
            match owner.type:
                case "function_definition":
                    scope = self._function(owner, scope, follow)
                case "if_statement" | "elif_clause" | "else_clause":
                    scope = self._branch(owner, inner, scope)
                    if not self._is_left_over(inner if inner is not None and inner.type == "else_clause" else owner):
                        scope.fork = self.t.at(owner.start_byte), inner.start_byte if inner is not None else 0
                case "case_item":
                    scope = self._case(owner, scope)
                    if not self._is_left_over(owner):
                        scope.fork = (
                            self.t.at(owner.parent.start_byte if owner.parent is not None else 0),
                            owner.start_byte,
                        )
                case "for_statement" | "c_style_for_statement":
                    scope = self._loop(owner, scope)
                case "list":
                    if (chosen := self._short_circuit(owner, inner, scope)) is not scope:
                        scope = chosen
                        scope.fork = self.t.at(owner.start_byte), inner.start_byte if inner is not None else 0
                case "variable_assignment":
                    if owner.parent is None or owner.parent.type != "command":
                        scope = self._variable(owner, additions.scope(self, owner, scope), follow)
                    elif inner is not None and inner.type != "variable_name":
                        scope = self._named(kinds.VARIABLE, assigned(self.t, owner), scope, owner)
                case "array":
                    scope = self._array(owner, node, scope)
                case "concatenation" if owner.parent is not None and owner.parent.type == "array":
                    if key := re.match(r"\[[\"']?([\w-]+)[\"']?\]=", grammar.text(self.t, owner)):  # ([prefill]=...)
                        scope = self._named(kinds.KEY, key.group(1), scope, owner)
                case "command":
                    if owner.parent is None or owner.parent.type != "redirected_statement":
                        scope = self._command(owner, node, scope)
                case "redirected_statement":
                    scope = self._command(owner, node, scope)
                case _:
                    pass
            if owner.type in BLOCKS and inner is not None and inner.type not in {"else_clause", "elif_clause"}:
                scope = shell_said.before(self, inner, self._otherwise(owner, inner, owners[n + 1 :], scope))
        return scope

    def owner_at(self, at: int) -> Scope:
        """The scopes that own index ``at``, also where nothing but an action of a template stands."""
        node = grammar.at(self.root, at)
        return self.chain(node) if node.parent is not None else self._in_template(at)

    def _in_template(self, at: int) -> Scope:
        """The scopes of the template's blocks round index ``at``."""
        scope = self.up
        for branch in self.branches:
            if branch.start <= at < branch.end:
                scope = branches.scope_of(branch, scope, self.t, self.ctx)
        return scope

    # -- owners -------------------------------------------------------------------------------------------------------

    def _named(self, kind: kinds.Kind, name: str, up: Scope, node: Node) -> Scope:
        scope = Scope(kind.name, name, up)
        scope.cues += self.ctx.name_cues(kind, name, self.t.at(node.start_byte))
        return scope

    def _function(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = node.child_by_field_name("name")
        word = grammar.text(self.t, name) if name else ""
        scope = self._named(kinds.FUNCTION, word, up, node)
        if follow and word:
            scope.find_uses = partial(self._calls, word, node)
        return scope

    def _calls(self, word: str, node: Node) -> list[Scope]:
        """The owners of every call of a function."""
        out: list[Scope] = []
        name = re.escape(word)
        for m in re.finditer(rf"{name}(?<![\w$/.-]{name})(?![\w.-])(?!\s*\()", self.t.s):
            if not node.start_byte <= m.start() < node.end_byte:
                call = grammar.at(self.root, m.start(), len(word))
                if any(o.type == "command_name" for o in grammar.owners(call)):
                    out.append(self._call(call))
                    out[-1].place = self.t.at(m.start())
        return out

    def _call(self, node: Node) -> Scope:
        """The owners of a call of a function, each argument that names a side being a cue."""
        scope = self.chain(node)
        for s in scope.chain():
            if s.kind == "command":
                own = next((o for o in grammar.owners(node) if o.type == "command"), None)
                if own is not None:
                    s.cues += self._arguments(own)
                break
        return scope

    def _arguments(self, call: Node) -> list[Cue]:
        """The cue of each argument of a function's call that names a side."""
        out: list[Cue] = []
        for w in self.words(call)[0][1:]:
            side = self.ctx.role_of(w.s) if len(w.s) > 1 else None
            side = side or self.ctx.side_of(w.s)
            if side is not None and not w.s.startswith("-"):
                out.append(kinds.CALL.cue(side, f"{command_name(self.t, call)} {w.s}", w.pos))
        return out

    def _told_by_call(self, call: Node, site: Node) -> list[Cue]:
        """The cue of the argument that is a side, beside the config ``site`` that a function of this script is given as well, if
        the function puts the config to use and speaks of no side itself."""
        words = self.words(call)[0] if call.type == "command" else []
        name = command_name(self.t, call) if words else ""
        if not name or not own(name) or pickers.many(w.s for w in words) or not (taken := self.passed(site)):
            return []
        plain = [
            n for n in range(1, len(words)) if not words[n].s.startswith("-") and not words[n - 1].s.startswith("-")
        ]
        named = (words[n] for n in plain if _BARE.fullmatch(words[n].s))
        said = [(side, w) for w in named if (side := side_word(w.s)) in PD]
        body = next((o for o in grammar.owners(taken[0]) if o.type == "function_definition"), None)
        if len(said) != 1 or body is None or {s for s in PD if s.value in grammar.text(self.t, body).lower()}:
            return []
        side, word = said[0]
        return [kinds.CALL.cue(side, f"{name} {word.s}", word.pos)] if side is not None else []

    def set_by_action(self, at: int, up: Scope) -> Scope:
        """The scope of the variable of a template that the action round index ``at`` sets; ``up`` if it sets none."""
        actions = template.actions(self.t.s) if self.templated else []
        own = next(((a, b) for a, b in actions if a <= at < b), None)
        m = _SET.match(self.t.s, *own) if own is not None else None
        if own is None or m is None:
            return up
        name = m[1] or m[2]
        scope = Scope("variable", name, up, self.ctx.name_cues(kinds.VARIABLE, name, self.t.at(own[0])))
        used = regex(rf"(?<![\w.$]){re.escape(name)}\b")

        def uses() -> list[Scope]:
            found = [(a, b) for a, b in actions if (a, b) != own and used.search(self.t.s, a, b) is not None]
            out = [self.set_by_action(a, self.owner_at(a)) for a, _ in found]
            for scope, (a, _) in zip(out, found, strict=True):
                scope.place = self.t.at(a)
            return out

        scope.find_uses = uses
        return scope

    def read_back(self, target: str, writer: Node) -> list[Scope]:
        """The owners of every place outside ``writer`` that names the file ``target``, here and in the rest of the document."""
        name = target.rsplit("/", 1)[-1]
        if variable := re.fullmatch(r"\$\{?(\w+)\}?", name):
            found = [m.start() for m in islice(re.finditer(rf"\$\{{?{variable.group(1)}\b", self.t.s), MANY)]
        else:
            found = list(mentions.places(self.t.s, name))
        out = self.elsewhere(name) if self.elsewhere is not None and not variable else []
        for i in found:
            use = grammar.at(self.root, i, 2)
            if writer.start_byte <= i < writer.end_byte or use.type == "comment":
                continue
            out.append(self.chain(use))
            out[-1].place = self.t.at(i)
        return out

    def _branch(self, node: Node, inner: Node | None, up: Scope) -> Scope:
        if inner is None or inner.type in {"elif_clause", "else_clause"}:
            return Scope("branch", "", up)
        if node.type == "else_clause":
            return self._else(node, up)
        condition = _condition(node)
        if condition is None or (inner.start_byte <= condition.start_byte < inner.end_byte):
            return Scope("branch", "", up)
        words = grammar.text(self.t, condition)
        scope = Scope("branch", words, up)
        place = self.t.at(condition.start_byte)
        scope.cues += pickers.holding(words, words[:80], self.ctx, place, shell=True, rest=self._only_else(node))
        return scope

    def _only_else(self, node: Node) -> str:
        """What runs where the one condition of an ``if`` does not hold: its ``else``, or the statement behind an ``if`` that
        returns or exits. Empty if there is neither, or an ``elif``."""
        arms = [c for c in node.children if c.type in {"elif_clause", "else_clause"}]
        if node.type == "if_statement" and not arms and self._leaves(node):
            arms = [c for c in [node.next_named_sibling] if c is not None and c.type not in _ASKS]
        elif len(arms) != 1 or arms[0].type != "else_clause":
            return ""
        return grammar.text(self.t, arms[0]) if arms else ""

    def _short_circuit(self, node: Node, inner: Node | None, up: Scope) -> Scope:
        """The scope of what stands right of ``&&`` or ``||`` behind a test: it runs where the test holds, or does not.

        ``[[ $ROLE == prefill ]] && vllm serve``, ``[[ $IS_PREFILL ]] && KV=... || KV=...``.
        """
        left = node.children[0] if node.children else None
        if left is None or inner is None or inner.start_byte <= left.start_byte:
            return up
        taken = any(c.type == "&&" for c in node.children)
        first = ""
        if not taken and left.type == "list" and left.children and any(c.type == "&&" for c in left.children):
            first, left = grammar.text(self.t, left.children[-1]), left.children[0]
        if left.type != "test_command" and not grammar.text(self.t, left).startswith("test "):
            return up
        words, place = grammar.text(self.t, left), self.t.at(left.start_byte)
        scope = Scope("branch", words, up)
        if not taken:
            scope.cues = pickers.else_cues(words, first, "", self.ctx, place, shell=True)
        else:
            scope.cues += pickers.holding(words, words[:80], self.ctx, place, shell=True)
        return scope

    def _else(self, node: Node, up: Scope) -> Scope:
        scope = Scope("branch", "else", up)
        head = node.parent
        if head is None or head.type != "if_statement":
            return scope
        condition = _condition(head)
        if condition is None or any(c.type == "elif_clause" for c in head.children):
            return scope
        words, first = grammar.text(self.t, condition), self.t.s[condition.end_byte : node.start_byte]
        place, body = self.t.at(node.start_byte), grammar.text(self.t, node)
        scope.cues = pickers.else_cues(words, first, body, self.ctx, place, shell=True)
        return scope

    def _otherwise(self, block: Node, inner: Node, within: Sequence[Node], up: Scope) -> Scope:
        """The scope of ``inner`` where an ``if`` before it leaves the script or function: ``if ...; then exec a; fi; exec b``.

        ``within`` are the nodes from ``inner`` down to the word: a condition among them tells the sides apart once more.
        """
        left = [node for node in self._leaving(block) if node.end_byte <= inner.start_byte]
        if not left or pickers.set_again(self._asked(left[-1]), self.t.s, left[-1].end_byte, inner.start_byte):
            return up
        first, body = grammar.text(self.t, left[-1]), grammar.text(self.t, inner)
        asked, place = any(o.type in _ASKS for o in within), self.t.at(left[-1].start_byte)
        words = [self._asked(node) for node in left]
        cues = pickers.left_cues(words, first, body, self.ctx, place, asked=asked, shell=True)
        scope = Scope("branch", "else", up, cues)
        scope.fork = self.t.at(left[0].start_byte), inner.start_byte
        return scope

    def _leaving(self, block: Node) -> list[Node]:
        """The first ``MANY`` statements of a block that ask for a side, know no other case, and leave the script, function or
        loop where what they ask holds: ``if [ $ROLE = prefill ]; then exit; fi``, ``[ $ROLE = prefill ] || exit``."""
        key = block.start_byte, block.end_byte
        if key not in self._left:
            self._left[key] = list(islice((c for c in block.named_children if self._leaves(c)), MANY))
        return self._left[key]

    def _leaves(self, node: Node) -> bool:
        if node.type == "case_statement":
            return self._let_through(node) is not None and pickers.asks(self._asked(node), shell=True)
        if node.type == "list":
            behind = node.next_sibling
            if not self._is_test(node.named_children[0]) or (behind is not None and behind.type == "&"):
                return False
        elif node.type != "if_statement" or any(c.type in {"else_clause", "elif_clause"} for c in node.children):
            return False
        last = next((c for c in reversed(node.named_children) if c.type != "comment"), None)
        while last is not None and last.type == "compound_statement" and last.named_children:
            last = last.named_children[-1]
        return last is not None and self._ends(last) and pickers.asks(self._asked(node), shell=True)

    def _let_through(self, case: Node) -> Node | None:
        """The one arm of a ``case`` that goes on behind it, where each of the others leaves, with one for everything else."""
        arms = [c for c in case.named_children if c.type == "case_item"]
        on = [arm for arm in arms if not self._arm_leaves(arm)]
        return on[0] if len(on) == 1 and any(self._pattern(arm) == "*" for arm in arms if arm != on[0]) else None

    def _arm_leaves(self, arm: Node) -> bool:
        pattern = arm.child_by_field_name("value")
        inside = [c for c in arm.named_children if c.type != "comment" and c != pattern]
        return len(inside) > 0 and _ends(arm) == ";;" and self._ends(inside[-1])

    def _is_test(self, node: Node) -> bool:
        while node.type == "negated_command" and node.named_children:
            node = node.named_children[0]
        return node.type == "test_command" or grammar.text(self.t, node).startswith("test ")

    @cached_property
    def _exits(self) -> frozenset[str]:
        """The functions that exit."""
        s = self.t.s
        return frozenset(m["name"] for m in _EXITS.finditer(s)) if "exit" in s else frozenset()

    def _ends(self, node: Node) -> bool:
        """Whether a statement leaves the script, function or loop, by itself or by a function that exits."""
        text = grammar.text(self.t, node)
        if _LEAVES.match(text) is not None:
            return True
        name = command_name(self.t, node) if node.type == "command" else ""
        return name != "" and name in self._exits

    def _asked(self, branch: Node) -> str:
        """What a branch asks; of ``test || exit`` the denial of that."""
        if branch.type == "case_statement":
            subject, arm = branch.child_by_field_name("value"), self._let_through(branch)
            if subject is None or arm is None or "|" in self._pattern(arm):
                return ""
            return f"! {_test(grammar.text(self.t, subject), self._pattern(arm))}"
        if branch.type == "list":
            words = grammar.text(self.t, branch.named_children[0])
            return f"! {words}" if any(c.type == "||" for c in branch.children) else words
        node = _condition(branch)
        return grammar.text(self.t, node) if node is not None else ""

    def _case(self, node: Node, up: Scope) -> Scope:
        value = node.child_by_field_name("value")
        words = grammar.text(self.t, value) if value else ""
        scope = Scope("branch", words, up)
        pattern, head = self._pattern(node), node.parent
        subject = head.child_by_field_name("value") if head is not None else None
        asked = grammar.text(self.t, subject) if subject is not None else ""
        place = self.t.at(node.start_byte)
        before = node.prev_named_sibling
        while before is not None and before.type == "case_item" and _ends(before) == ";&":  # falls through to this arm
            pattern, before = f"{pattern}|{self._pattern(before)}", before.prev_named_sibling
        named = [w.strip() for w in pattern.split("|") if w.strip() != "*"]
        if head is not None and _ANYTHING.search(pattern) and not named:  # the arm for everything else
            arms = [c for c in head.children if c.type == "case_item" and c != node]
            if len(arms) == 1 and arms[0].start_byte < node.start_byte and _ends(arms[0]) == ";;":
                test, first = _test(asked, self._pattern(arms[0])), grammar.text(self.t, arms[0])
                scope.cues = pickers.else_cues(test, first, grammar.text(self.t, node), self.ctx, place, shell=True)
        elif not pattern.startswith("-"):  # an option being parsed
            side = self.ctx.pattern_side("|".join(named), asked)
            if side is None and _TRUTH.fullmatch(pattern):
                side = self.ctx.branch_side(_test(asked, pattern), taken=True, shell=True)
            scope.cues = [] if side is None else [kinds.CONDITION.cue(side, pattern[:60], place)]
        return scope

    def _is_left_over(self, arm: Node) -> bool:
        """Whether an arm is for what is neither of the two sides, which have arms of their own: it is no pair of one of them."""
        head = arm.parent
        if head is None:
            return False
        if arm.type == "else_clause":
            asked = [self._asked(c) for c in (head, *head.children) if c.type in {"if_statement", "elif_clause"}]
            return len(asked) > 1 and {self.ctx.holds(words, shell=True) for words in asked} >= set(PD)
        if arm.type != "case_item" or self._pattern(arm) != "*":
            return False
        return {self.ctx.pattern_side(self._pattern(c)) for c in head.children if c.type == "case_item"} >= set(PD)

    def _pattern(self, arm: Node) -> str:
        """The pattern of an arm of a ``case``."""
        return self.t.s[arm.start_byte : arm.end_byte].split(")", 1)[0].strip().lstrip("( ")

    def _loop(self, node: Node, up: Scope) -> Scope:
        head = self.t.s[node.start_byte : node.end_byte].split("\n", 1)[0].split(" do", 1)[0]
        return Scope("loop", head, up, loops.cues(head, head.strip()[:80], self.ctx, self.t.at(node.start_byte)))

    def _variable(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = assigned(self.t, node)
        key = re.match(r"\w+\[[\"']?([\w-]+)[\"']?\]", grammar.text(self.t, node))  # CMD[prefill]=...
        scope = self._named(kinds.VARIABLE, key.group(1) if key and mentioned(key.group(1)) else name, up, node)
        if said := shell_said.behind(self, node):
            scope = Scope("line", "", up, said)
            scope = self._named(kinds.VARIABLE, name, scope, node)
        if follow and name:
            scope.find_uses = partial(self._put_to_use, name, node)
        side = scope.cues[0].side if len(scope.cues) == 1 else None
        if side in (Side.PREFILL, Side.DECODE):
            scope.find_handed_on = partial(self._handed_on, name, node, side.other)
        return scope

    def _handed_on(self, name: str, node: Node, other: Side) -> Cue | None:
        """The cue of a variable or function of side ``other`` that takes the value of ``name`` unchanged, or is its alias."""
        for alias in _ALIASED.finditer(self.t.s):
            if alias[2] == name and mentioned(alias[1]) == {other}:
                return kinds.HANDED_ON.cue(other, alias[1], self.t.at(alias.start()))
        for use in self.uses(name, node):
            for owner in grammar.owners(use):
                if owner.type == "variable_assignment":
                    taker = assigned(self.t, owner)
                elif owner.type == "function_definition" and (named := owner.child_by_field_name("name")):
                    taker = grammar.text(self.t, named)
                else:
                    continue
                source = re.sub(rf"\b{re.escape(taker)}\b", "", grammar.text(self.t, owner))
                said = {s for w in re.findall(r"\w+", source) for s in mentioned(w)}
                if mentioned(taker) == {other} and other not in said:
                    return kinds.HANDED_ON.cue(other, taker, self.t.at(use.start_byte))
        return None

    def _put_to_use(self, name: str, node: Node) -> list[Scope]:
        """The owners of every use of a variable; where it is passed to a function, of the argument's uses there.

        Uses in other parts of the document count if the name has an underscore: any other may be a common word.
        """
        out = self.elsewhere(name) if self.elsewhere is not None and "_" in name else []
        for use in self.uses(name, node):
            taken = [self.chain(n) for n in self.passed(use)]
            call = self.chain(use) if not taken or not any(_asks_inside(s) for s in taken) else None
            if taken and call is not None and not any(c.kind == kinds.CALL.name for s in call.chain() for c in s.cues):
                call = None
            for scope in [call] if call is not None else taken:
                out.append(scope)
                scope.place = self.t.at(use.start_byte)
        return out

    def _array(self, node: Node, site: Node, up: Scope) -> Scope:
        words, nodes = self.words(node)
        if not any(w.s.startswith("-") for w in words):
            return up
        index = next((i for i, w in enumerate(nodes) if w.start_byte <= site.start_byte < w.end_byte), -1)
        scope = Scope("list", "", up, argv.cues(words, self.ctx, skip=index))
        scope.flags = argv.flags_of(words)
        return scope

    def _command(self, node: Node, site: Node, up: Scope) -> Scope:
        words, nodes, targets = self.words_and_targets(node)
        if (held := self._held_by(node)) is not None:
            up = self._named(kinds.VARIABLE, assigned(self.t, held), up, held)
        scope = Scope("command", words[0].s if words else "", up)
        source = grammar.text(self.t, node)
        scope.launch = SERVER.search(source) is not None
        index = next((i for i, w in enumerate(nodes) if w.start_byte <= site.start_byte < w.end_byte), -1)
        if scope.name.rsplit("/", 1)[-1] in _LAUNCHERS and index >= 0:
            words, index = _of_one_program(words, index)
        scope.cues = argv.cues(words, self.ctx, skip=index) + argv.redirect_cues(targets, self.ctx)
        scope.flags = argv.flags_of(words)
        scope.cues += self._told_by_call(node, site)
        scope.cues += shell_said.after(self, node)
        if targets and re.match(r"(?:echo|printf|cat|tee|jq|yq|envsubst)\b", scope.name):
            scope = Scope("file", targets[-1].s, scope, argv.redirect_cues(targets[-1:], self.ctx))
            scope.find_uses, scope.only_doubts = partial(self.read_back, targets[-1].s, node), True
        return scope

    def _held_by(self, node: Node) -> Node | None:
        """The assignment that a whole line is the value of, in a file of variables, where no quotes are needed:
        ``PREFILL_ARGS=--port 8100 --kv-transfer-config {...}``. None if a command stands behind it."""
        command = node if node.type == "command" else next((c for c in node.children if c.type == "command"), node)
        held = next((c for c in reversed(command.children) if c.type == "variable_assignment"), None)
        if held is None:
            return None
        value = held.child_by_field_name("value")
        base = self.ctx.name.rsplit("/", 1)[-1]
        in_env_file = (base.endswith(".env") or base.startswith(".env")) and self.t is self.ctx.text
        return held if in_env_file or (value is not None and grammar.text(self.t, value).startswith("-")) else None


def _asks_inside(scope: Scope) -> bool:
    """Whether anything within the function that a place is in says a side."""
    for s in scope.chain():
        if s.kind == "function":
            return False
        if s.cues:
            return True
    return False


def _of_one_program(words: list[argv.Word], index: int) -> tuple[list[argv.Word], int]:
    """Of the words of a launcher that starts several programs, with colons between, those of the one with word ``index``."""
    ends = [i for i, w in enumerate(words) if w.s == ":"]
    start = max((i + 1 for i in ends if i < index), default=0)
    end = min((i for i in ends if i > index), default=len(words))
    return (words[start:end], index - start) if ends else (words, index)


def _ends(arm: Node) -> str:
    """The sign that ends an arm of a ``case``: ``;;``, ``;&`` (runs the next arm as well), ``;;&`` (tests the next as well)."""
    return next((c.type for c in arm.children[-1:] if not c.is_named), "")


def _test(asked: str, pattern: str) -> str:
    """The first alternative of an arm of ``case asked in`` as a test: ``[ $ROLE = prefill ]``."""
    return f"[ {asked} = {pattern.split('|')[0].strip()} ]"
