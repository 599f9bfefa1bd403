"""What the conditionals of source code say of what they choose: branches, their ``else``, and what follows one that has left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from tree_sitter import Node

from kvroles.evidence import kinds, pickers
from kvroles.evidence.frames import Cue, Scope
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code import guard
from kvroles.migrate.readers.code.handed_on import HandedOn

# A node that is one of several.
_ASKS = regex(r"^(?:if|elif|else|switch|expression_switch|match|case|conditional|ternary)_")
_ASKED = {"expression_case": "value", "switch_case": "value", "match_arm": "pattern"}  # fields of what a branch asks
# Rust's ``if let Role::Prefill = role``.
_LET = regex(r"let\s+(?P<pattern>[^=&|]+?)\s*=\s*(?P<asked>[^=&|]+)")
_ANY = regex(r"_|[a-z]\w*")  # a pattern that takes whatever there is
_LEAVES = frozenset({"break_statement", "return_statement", "throw_statement", "continue_statement"})
JOINED = frozenset({"binary_expression", "boolean_operator"})  # two operands
_AND, _OR = frozenset({"&&", "and"}), frozenset({"||", "or", "??"})


class Conditionals(HandedOn):
    """A source text whose conditionals say which side runs what they choose."""

    def _branch(self, node: Node, inner: Node, up: Scope) -> Scope:
        spec = self.spec
        if inner.type in spec.branch | spec.else_ and inner.type != "conditional_expression":
            return Scope("branch", "", up)
        if node.type in spec.else_:
            return self._else(node.parent, node, up)
        condition = node.child_by_field_name(_ASKED.get(node.type, "condition"))
        alternative = node.child_by_field_name("alternative")
        if node.type == "conditional_expression" and node.named_child_count == 3:  # Python's names no fields
            value, condition, other = node.named_children
            if inner.start_byte == other.start_byte:
                return self._else(node, other, up)
            if inner.start_byte != value.start_byte:
                return Scope("branch", "", up)
            alternative = other
        if node.type == "case_clause":
            condition = next((c for c in node.children if c.type == "case_pattern"), None)
        if condition is not None and condition.start_byte <= inner.start_byte < condition.end_byte:
            return Scope("branch", "", up)
        if alternative is not None and alternative.start_byte <= inner.start_byte < alternative.end_byte:
            return self._else(node, alternative, up)
        words = grammar.text(self.t, condition) if condition is not None else ""
        scope = Scope("branch", words[:80], up)
        place = self.t.at(node.start_byte)
        if (let := _LET.fullmatch(words)) is not None:
            if (side := self.ctx.pattern_side(let["pattern"], let["asked"])) is not None:
                scope.cues.append(kinds.CONDITION.cue(side, words[:80], place))
        elif node.type not in spec.case:
            rest = self._only_else(node, alternative)
            scope.cues += pickers.holding(words, words[:80], self.ctx, place, rest=rest)
        else:
            scope.cues += self._of_arm(node, condition, words, place)
        return scope

    def _of_arm(self, arm: Node, asked: Node | None, words: str, place: int) -> list[Cue]:
        """What an arm of a ``switch`` or ``match`` says by its pattern, or by the condition that is its pattern or its guard."""
        fallen, subject = self._fall_into(arm), self._subject(arm)
        condition = asked.child_by_field_name("condition") if asked is not None else None
        if condition is not None:  # Rust's ``Role::Prefill if ready``
            guard_words = grammar.text(self.t, condition)
            words = re.sub(r"\s+if\s*$", "", words[: -len(guard_words)])
            if _ANY.fullmatch(words):
                return pickers.holding(guard_words, guard_words[:80], self.ctx, place)
        elif not fallen and subject.strip("() ") in {"", "true"}:  # ``switch { case role == "prefill": ... }``
            return pickers.holding(words, words[:80], self.ctx, place)
        side = self.ctx.pattern_side("|".join([words, *fallen]), subject)
        return [kinds.CONDITION.cue(side, words[:80], place)] if side is not None else []

    def _only_else(self, head: Node, other: Node | None) -> str:
        """The text of the ``else`` of a conditional that asks but once, or of the statement behind one that leaves its block;
        empty if it has none, or asks more."""
        if other is None and guard.leaves(self, head):
            other = (
                head.parent if head.parent is not None and head.parent.type == "expression_statement" else head
            ).next_named_sibling
        if other is None or not self._asks_once(head) or self._held(other).type in self.spec.branch:
            return ""
        return grammar.text(self.t, other)

    def _and(self, node: Node, inner: Node, up: Scope) -> Scope:
        """What is given where what stands before it holds, ``role === "prefill" && a``, and where it does not:
        ``is_prefill and a or b``."""
        left, sign = node.child_by_field_name("left"), self._operator(node)
        if left is None or inner.start_byte < left.end_byte:
            return up
        place = self.t.at(left.start_byte)
        if sign in _AND:
            words = grammar.text(self.t, left)
            scope = Scope("branch", words[:80], up, pickers.holding(words, words[:80], self.ctx, place))
        elif sign in _OR and left.type in JOINED and self._operator(left) in _AND:
            condition, first = left.named_children[0], left.named_children[-1]
            words, body = grammar.text(self.t, condition), grammar.text(self.t, inner)
            cues = pickers.else_cues(words, grammar.text(self.t, first), body, self.ctx, place)
            scope = Scope("branch", "else", up, cues)
        else:
            return up
        scope.fork = place, inner.start_byte
        return scope

    def _operator(self, node: Node) -> str:
        sign = node.child_by_field_name("operator")
        return grammar.text(self.t, sign) if sign is not None else ""

    def _fork(self, owner: Node, inner: Node) -> tuple[int, int] | None:
        """The conditional of two arms that ``owner`` is, or is an arm of, and the arm that ``inner`` is in, each by its place;
        None of one that has more."""
        if owner.type in self.spec.case:
            whole = owner.parent
            if whole is None or sum(c.type in self.spec.case for c in whole.named_children) != 2:
                return None
            return self.t.at(whole.start_byte), owner.start_byte
        head = owner.parent if owner.type in self.spec.else_ else owner
        if head is None or head.type not in self.spec.branch or inner.type in self.spec.else_:
            return None
        return (self.t.at(head.start_byte), inner.start_byte) if self._asks_once(head) else None

    def _asks_once(self, head: Node) -> bool:
        """Whether a conditional has no ``else if``, and is none."""
        other = head.child_by_field_name("alternative")
        if head.type == "conditional_expression" and head.named_child_count == 3:  # Python's names no fields
            other = head.named_children[-1]
        return not self._chained(head) and (other is None or self._held(other).type not in self.spec.branch)

    def _fall_into(self, arm: Node) -> list[str]:
        """The patterns of the arms of a ``switch`` that run on into ``arm``; ``*`` of the one for everything else."""
        out: list[str] = []
        while (before := arm.prev_named_sibling) is not None and self._falls(before):
            if before.type not in self.spec.comment:
                asked = before.child_by_field_name("value")
                out.append(grammar.text(self.t, asked) if asked is not None else "*")
            arm = before
        return out

    def _falls(self, arm: Node) -> bool:
        """Whether what an arm of a ``switch`` runs goes on with the next one's; a comment between two goes on as well."""
        if arm.type in self.spec.comment:
            return True
        last = next((c for c in reversed(arm.named_children) if c.type not in self.spec.comment), None)
        while last is not None and last.type in self.spec.block and last.named_children:
            last = last.named_children[-1]
        if arm.type in {"switch_case", "switch_default"}:  # JavaScript's
            return last is None or last.type not in _LEAVES
        return last is not None and last.type == "fallthrough_statement"

    def _subject(self, arm: Node) -> str:
        """What an arm of a ``switch`` or ``match`` is compared with; empty where nothing stands in its head."""
        for owner in islice(grammar.owners(arm), 1, 4):
            if (asked := owner.child_by_field_name("value") or owner.child_by_field_name("subject")) is not None:
                return grammar.text(self.t, asked)
        return ""

    def _else(self, head: Node | None, other: Node, up: Scope) -> Scope:
        """What runs or is given where the condition of ``head`` does not hold."""
        scope = Scope("branch", "else", up)
        if head is None or head.type not in self.spec.branch:
            return scope
        condition: Node | None
        first: Node | None
        if head.type == "conditional_expression":
            first, condition = head.named_children[:2]
        else:
            condition, first = head.child_by_field_name("condition"), head.child_by_field_name("consequence")
        if condition is None or first is None or self._held(other).type in self.spec.branch:
            return scope  # what else is asked there says what is what
        words, body = grammar.text(self.t, condition), grammar.text(self.t, other)
        scope.cues = pickers.else_cues(
            words,
            grammar.text(self.t, first),
            body,
            self.ctx,
            self.t.at(condition.start_byte),
            last=not self._chained(head),
        )
        return scope

    def _otherwise(self, block: Node, inner: Node, within: Sequence[Node], up: Scope) -> Scope:
        """What runs where a branch before it has left the block: ``if is_prefill: return a``, and then ``return b``. The owners
        ``within``, from ``inner`` on, may ask more."""
        left = guard.left_before(self, block, inner)
        last = left[-1] if left else None
        if last is None or pickers.set_again(last.condition, self.t.s, last.branch.end_byte, inner.start_byte):
            return up
        head = left[-1].branch
        first = head.child_by_field_name("consequence")
        cues = pickers.left_cues(
            [condition for _, condition in left],
            grammar.text(self.t, first) if first is not None else "",
            grammar.text(self.t, inner),
            self.ctx,
            self.t.at(head.start_byte),
            asked=any(_ASKS.search(o.type) for o in within),
        )
        scope = Scope("branch", "else", up, cues)
        if len(left) == 1:
            scope.fork = self.t.at(head.start_byte), inner.start_byte
        return scope

    def _chained(self, head: Node) -> bool:
        """Whether a condition is one of several that are asked in turn: what is left at the end may be anything."""
        if any(c.type == "elif_clause" for c in head.children):
            return True
        outer = head.parent
        while outer is not None and outer.type in self.spec.through | self.spec.else_:
            outer = outer.parent
        if outer is None or outer.type not in self.spec.branch:
            return False
        if outer.type == "conditional_expression":
            return outer.named_children[-1].end_byte >= head.end_byte > outer.named_children[1].end_byte
        alternative = outer.child_by_field_name("alternative")
        return alternative is not None and alternative.start_byte <= head.start_byte < alternative.end_byte

    def _held(self, node: Node) -> Node:
        """What an ``else`` or brackets hold."""
        while node.type in self.spec.through | self.spec.else_ and node.named_child_count == 1:
            node = node.named_children[0]
        return node
