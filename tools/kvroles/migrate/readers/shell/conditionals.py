"""What the conditionals of a shell script say of what they choose: branches, arms, and what follows one that has left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import islice, pairwise

from tree_sitter import Node

from kvroles.evidence import argv, kinds, pickers
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.shell.script import Source, command_name

_ASKS = frozenset({"if_statement", "elif_clause", "else_clause", "case_statement"})
_LEAVES = regex(r"(?:exit|return|break|continue)\b|exec\s+[\w./\"'$]")
_EXITS = regex(  # a function that ends in ``exit``, by itself
    r"(?m)^[ \t]*(?:function[ \t]+)?(?P<name>\w+)[ \t]*(?:\([ \t]*\))?[ \t]*"
    r"\{(?:[^{}]{0,300}?[;\n])?[ \t]*exit\b[^{};\n]{0,40};?\s*\}"
)
_NAMED = regex(r"\$\{?(\w+)")
_ANYTHING = regex(r"(?:^|\|)\s*\*\s*(?:\||$)")
_TRUTH = regex(r"(?i)[\"']?(?:true|yes|on|1)[\"']?(?:\s*\|\s*[\"']?(?:true|yes|on|1)[\"']?)*")


def _condition(branch: Node) -> Node | None:
    """The condition of an ``if`` or ``elif``."""
    return branch.child_by_field_name("condition") or next((c for c in branch.children if c.is_named), None)


class Conditionals(Source):
    """A shell text whose conditionals say which side runs what they choose."""

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
        if len(left) == 1:
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

    def _open_words(self, node: Node, words: Sequence[argv.Word]) -> list[Cue]:
        """The cue of a command's variable that each side sets to another value: the command is for either."""
        low = self.ctx.low
        if "prefill" not in low or "decod" not in low:
            return []
        for w in words:
            for name in _NAMED.findall(w.s) if "$" in w.s else ():
                if set(PD) <= self._set_for(name, node):
                    return [kinds.OPEN.cue(Side.SHARED, w.s[:80], w.pos)]
        return []

    @cached_property
    def _roles_given(self) -> list[tuple[Cue, Node | None]]:
        """The cues of roles that the script is given, each with the function that is given it."""
        out: list[tuple[Cue, Node | None]] = []
        for cue in islice(argv.roles_given(self.t.s, self.ctx), MANY):
            owners = grammar.owners(grammar.at(self.root, cue.pos))
            function = next((o for o in owners if o.type == "function_definition"), None)
            out.append((cue._replace(pos=self.t.at(cue.pos)), function))
        return out

    def _role_given(self, node: Node) -> list[Cue]:
        """The cue that the script, or the function that ``node`` is in, is given its role before ``node``: no remark says it."""
        at = self.t.at(node.start_byte)
        for cue, function in self._roles_given:
            if cue.pos < at and (function is None or function.start_byte <= node.start_byte < function.end_byte):
                return [cue]
        return []

    def _set_for(self, name: str, node: Node) -> set[Side]:
        """The sides for which conditionals before ``node``, which are not round it, set a variable."""
        out: set[Side] = set()
        for assignment in islice(self.assignments(name), MANY):
            owners = list(grammar.owners(assignment))
            for inner, owner in pairwise(owners):
                if owner.end_byte > node.start_byte:
                    break
                if owner.type == "case_item":
                    scope = self._case(owner, self.up)
                elif owner.type in {"if_statement", "elif_clause", "else_clause"}:
                    scope = self._branch(owner, inner, self.up)
                else:
                    continue
                out |= {c.side for c in scope.cues if c.side in PD}
        return out

    def _fork(self, owner: Node, inner: Node | None) -> tuple[int, int] | None:
        """The conditional of two arms that ``owner`` is, or is an arm of, and the arm that ``inner`` is in, each by its place;
        None of one that has more."""
        head = owner.parent if owner.type in {"else_clause", "case_item"} else owner
        if head is None or inner is None:
            return None
        if owner.type == "case_item":
            two = sum(c.type == "case_item" for c in head.children) == 2
            return (self.t.at(head.start_byte), owner.start_byte) if two else None
        chained = owner.type == "elif_clause" or any(c.type == "elif_clause" for c in head.children)
        return None if chained or inner.type == "else_clause" else (self.t.at(head.start_byte), inner.start_byte)

    def _pattern(self, arm: Node) -> str:
        """The pattern of an arm of a ``case``."""
        return self.t.s[arm.start_byte : arm.end_byte].split(")", 1)[0].strip().lstrip("( ")


def _ends(arm: Node) -> str:
    """The sign that ends an arm of a ``case``: ``;;``, ``;&`` (runs the next arm as well), ``;;&`` (tests the next as well)."""
    return next((c.type for c in arm.children[-1:] if not c.is_named), "")


def _test(asked: str, pattern: str) -> str:
    """The first alternative of an arm of ``case asked in`` as a test: ``[ $ROLE = prefill ]``."""
    return f"[ {asked} = {pattern.split('|')[0].strip()} ]"
