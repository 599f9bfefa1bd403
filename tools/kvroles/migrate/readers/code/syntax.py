"""The syntax of a source text: what a value belongs to, and what its keys, calls and assignments name."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, TypeVar

from tree_sitter import Node

from kvroles.evidence.data import Map
from kvroles.evidence.frames import Scope
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.code.langs import Spec
from kvroles.migrate.readers.code.literals import literal
from kvroles.migrate.readers.code.outline import without_token

_T = TypeVar("_T")

ARGUMENTS = frozenset({"arguments", "argument_list"})
# How the types of nodes begin that are worked out.
_WORKED_OUT = ("subscript", "index", "binary", "boolean", "unary", "not", "await", "slice")
_GIVES_A_VALUE = frozenset({"if_expression", "else_clause", "match_arm", "function_item", "closure_expression"})
_LOOKS_UP = regex(r"(?:^|\.)(?:get|getenv|pop|getOrDefault|get_or)$")
_WORD = regex(r"\w+")
_LOOKED_UP = 30  # words that are searched for one by one; with more, one pass for all words is quicker


class Syntax:
    """One source text ``t``: its syntax tree, its owner ``up`` in the file ``ctx``, and the ``spec`` of its language."""

    def __init__(self, t: Text, up: Scope, ctx: File, spec: Spec) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self.elsewhere = ctx.elsewhere
        self.spec = spec
        self._hidden = without_token(t) if spec.grammar == "python" else []
        self.root = grammar.parse(spec.grammar, t, hidden=self._hidden)
        self._whole: Node | None = None if self._hidden else self.root
        self.scopes: dict[tuple[int, int, str], Scope] = {}
        self._constants: dict[str, str | None] = {}
        self._mappings: dict[tuple[int, int], Map] = {}
        self._kept: dict[Hashable, Any] = {}
        self._asked_for = 0

    def kept(self, name: Hashable, node: Node | None, make: Callable[[], _T]) -> _T:
        """What ``make`` returns, called once for each ``name`` and ``node`` (None: the whole text)."""
        key = (name, node.start_byte, node.end_byte, node.type) if node is not None else (name,)
        if key not in self._kept:
            self._kept[key] = make()
        found: _T = self._kept[key]
        return found

    def at(self, i: int, n: int = 1) -> Node:
        """The smallest node that holds indices ``i`` to ``i + n``.

        The stretches without the token are left out of the first tree: an index in one has the whole text parsed.
        """
        if any(a <= i < b for a, b in self._hidden):
            if self._whole is None:
                self._whole = grammar.parse(self.spec.grammar, self.t)
            return grammar.at(self._whole, i, n)
        return grammar.at(self.root, i, n)

    def value_parent(self, node: Node) -> Node | None:
        """The pair, assignment, list or call that a value belongs to; None without one.

        Brackets, ``.to_string()``, ``Some(...)``, the arms of a conditional expression and the default in ``x or "a"`` are
        passed through.
        """
        current = node
        while current.parent is not None:
            parent = current.parent
            if parent.type in self.spec.through or parent.type in {"type_conversion_expression"}:
                current = parent
                continue
            if parent.type in {"arguments", "argument_list"} and parent.parent is not None:
                name = self.called(parent.parent)
                if parent.named_child_count == 1 and re.fullmatch(
                    r"(?:\w+\.)?(?:Some|To|String|Ptr\w*|pointer|Value|from|str|Literal)", name
                ):
                    current = parent.parent
                    continue
            if self._is_chosen(current, parent) or self._is_last(current, parent):
                current = parent
                continue
            if self.is_default(current, parent):
                current = parent if parent.parent is None or parent.type not in ARGUMENTS else parent.parent
                continue
            if parent.type == "call_expression" and current.type == "field_expression":
                current = parent
                continue
            return parent
        return None

    @staticmethod
    def _is_chosen(node: Node, parent: Node) -> bool:
        """Whether ``node`` is one of the two values that a conditional expression chooses from."""
        if parent.type == "conditional_expression":  # Python's: value, condition, other value
            return parent.named_child_count == 3 and parent.named_children[1] != node
        return parent.type == "ternary_expression" and parent.child_by_field_name("condition") != node

    def _is_last(self, node: Node, parent: Node) -> bool:
        """Whether ``node`` is the value of a branch of Rust's ``if`` or ``match``, or a part of such an expression that has a
        value itself."""
        if self.spec.grammar != "rust":
            return False
        if parent.type == "block":
            return (
                parent.named_children[-1] == node and parent.parent is not None and parent.parent.type in _GIVES_A_VALUE
            )
        if parent.type == "match_arm":
            return parent.child_by_field_name("value") == node
        if parent.type == "if_expression":
            return parent.child_by_field_name("condition") != node
        return parent.type in {"else_clause", "match_block", "match_expression", "expression_statement"} and (
            parent.type != "match_expression" or parent.child_by_field_name("value") != node
        )

    def is_default(self, node: Node, parent: Node) -> bool:
        """Whether ``node`` is the default in ``parent``: of ``x or "a"``, ``x ?? "a"``, or ``os.environ.get("X", "a")``."""
        if parent.type in {"boolean_operator", "binary_expression"}:
            operator = parent.child_by_field_name("operator")
            last = parent.child_by_field_name("right")
            return operator is not None and grammar.text(self.t, operator) in {"or", "||", "??"} and last == node
        if parent.type not in ARGUMENTS or parent.parent is None or parent.named_child_count != 2:
            return False
        return parent.named_children[1] == node and _LOOKS_UP.search(self.called(parent.parent)) is not None

    def called(self, call: Node) -> str:
        """The name of the function, class or macro that a call calls; empty without one."""
        f = (
            call.child_by_field_name("function")
            or call.child_by_field_name("macro")
            or call.child_by_field_name("constructor")
        )
        return grammar.text(self.t, f) if f is not None else ""

    def name_of(self, node: Node) -> str:
        """The name of a function or class."""
        name = node.child_by_field_name("name") or node.child_by_field_name("type")
        return grammar.text(self.t, name) if name is not None else ""

    def key_of(self, pair: Node) -> str:
        """The key of a pair, keyword argument, field or parameter."""
        for field in ("key", "name", "field"):
            k = pair.child_by_field_name(field)
            if k is not None:
                return self._plain(k) if self._is_name(k) else ""
        return ""

    def _is_name(self, key: Node) -> bool:
        """Whether a key is a literal or a constant's name, and not computed by a call, a choice or a look-up."""
        key = grammar.unwrapped(key, self.spec.through | {"computed_property_name"})
        kind = key.type
        return not (kind in self.spec.call or kind in self.spec.branch or kind.startswith(_WORKED_OUT))

    def _plain(self, node: Node) -> str:
        node = grammar.unwrapped(node, self.spec.through)
        if node.type in self.spec.string:
            return literal(self.t, node, self.spec).s
        return grammar.text(self.t, node)

    @staticmethod
    def left_of(assign: Node) -> Node | None:
        """What stands left of the sign in an assignment, or is bound in a declaration; None for a class's field."""
        return (
            assign.child_by_field_name("left")
            or assign.child_by_field_name("name")
            or assign.child_by_field_name("pattern")
        )

    def targets(self, assign: Node) -> list[str]:
        """The names an assignment sets; ``cfg["kv_role"]`` and ``cfg.kv_role`` set ``kv_role``."""
        left = self.left_of(assign) or assign.child_by_field_name("property")
        if left is None:
            return []
        names = (
            left.named_children
            if left.type in {"expression_list", "pattern_list", "tuple_pattern", "array_pattern"}
            else [n for n in assign.children_by_field_name("name") if n.is_named] or [left]  # Go's ``var a, b = ...``
        )
        out: list[str] = []
        for n in names:
            source = grammar.text(self.t, n)
            m = re.search(r"\[[\"']([\w-]+)[\"']\]$", source) or re.search(r"\.(\w+)$", source)
            out.append(m.group(1) if m else source)
        return out

    def home(self, node: Node) -> tuple[int, int]:
        """The span of the function round a node, or of the text if there is none."""
        for owner in grammar.owners(node):
            if owner.type in self.spec.function or owner.parent is None:
                return owner.start_byte, owner.end_byte
        return 0, len(self.t.s)

    def places(self, word: str) -> list[int]:
        """The first ``MANY`` indices at which ``word`` stands in the text as a word of its own."""
        if self._asked_for < _LOOKED_UP:
            self._asked_for += 1
            found = occurrences(self.t.s, word) if _WORD.fullmatch(word) else ()
            return list(islice((i for i in found if self._is_word(i, len(word))), MANY))
        return self.kept("all words", None, self._all_words).get(word, [])

    def _is_word(self, i: int, length: int) -> bool:
        round_it = self.t.s[i - 1 : i] + self.t.s[i + length : i + length + 1]
        return not any(c == "_" or c.isalnum() for c in round_it)

    def _all_words(self) -> dict[str, list[int]]:
        out: dict[str, list[int]] = {}
        for m in _WORD.finditer(self.t.s):
            places = out.setdefault(m.group(), [])
            if len(places) < MANY:
                places.append(m.start())
        return out
