"""Values in a source text: literals, mappings, lists of words, and what names are set to."""

from __future__ import annotations

import re
from bisect import bisect
from functools import partial
from itertools import islice
from typing import TypeVar

from tree_sitter import Node

from kvroles.evidence import argv
from kvroles.evidence.data import Map, Scalar, Seq
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.literals import literal, makes_text
from kvroles.migrate.readers.code.syntax import ARGUMENTS, Syntax

_T = TypeVar("_T")


class Source(Syntax):
    """One source text ``t``: its syntax tree, its owner ``up`` in the file ``ctx``, and the ``spec`` of its language."""

    def mapping(self, node: Node) -> Map:
        """The pairs of a dict, call, struct or parameter list as a mapping, with those that it spreads or copies from others.

        A value that is no literal becomes a placeholder.
        """
        if (known := self._mappings.get((node.start_byte, node.end_byte))) is not None:
            return known
        m = self._mappings[node.start_byte, node.end_byte] = Map(start=node.start_byte, end=node.end_byte)
        for c in node.named_children:
            if c.type not in self.spec.pair:
                continue
            key = Scalar(Text(self.key_of(c), self.t.at(c.start_byte)), c.start_byte, c.start_byte)
            value = c.child_by_field_name("value")
            if value is not None:
                m.pairs.append((key, self.value(value)))
        own = {k.value for k, _ in m.pairs}
        for taken in self._spread(node):
            m.pairs += [(k, v) for k, v in taken.pairs if k.value not in own]
        return m

    def _spread(self, node: Node) -> list[Map]:
        """The mappings whose pairs go into ``node``: by ``**name``, ``...name``, ``dict(name, a=1)``, ``Object.assign``."""
        names = [c.named_children[-1] for c in node.named_children if c.type in _SPREADS and c.named_children]
        if node.parent is not None and node.parent.type == "call" and _COPIES.search(self.called(node.parent)):
            names += [c for c in node.named_children[:1] if c.type == "identifier"]
        taker = node.parent if node.parent is not None and node.parent.type == "arguments" else None
        if taker is not None and taker.parent is not None and self.called(taker.parent) == "Object.assign":
            names += [c for c in taker.named_children if c.type == "identifier"]
        out = [self.mapping_named(grammar.text(self.t, n), node) for n in names if n.type == "identifier"]
        return [m for m in out if m is not None and not m.start <= node.start_byte < m.end]

    def mapping_named(self, name: str, use: Node, hops: int = 3) -> Map | None:
        """The mapping that ``name`` is set to once, in the nearest function round ``use`` that sets it, else in the text.

        None if it is set to no mapping or more than once. ``hops`` copies of one name to another are followed.
        """
        homes = [o for o in grammar.owners(use) if o.type in self.spec.function or o.parent is None]
        for home in homes:
            found = self.kept(("set", name), home, partial(self._mappings_set, name, home))
            if found:
                return self._mapping_at(found[0], hops) if len(found) == 1 and hops else None
        return None

    def _mappings_set(self, name: str, home: Node) -> list[int]:
        """The first two indices at which ``home`` itself, not a function inside it, sets ``name`` to what may be a mapping."""
        pattern = re.compile(rf"(?<![\w.]){re.escape(name)}\s*(?::[^=\n]+)?:?=(?!=)\s*(?=[\w{{&])")
        span = (home.start_byte, home.end_byte)
        found = (m.end() for m in pattern.finditer(self.t.s, *span) if self.home(self.at(m.start())) == span)
        return list(islice(found, 2))

    def _mapping_at(self, i: int, hops: int) -> Map | None:
        """The mapping that is written at index ``i``, or copied there."""
        for owner in grammar.owners(self.at(i)):
            if owner.start_byte != i:
                return None
            if owner.type in {"identifier", "{"}:
                continue
            value = self.value(owner)
            if isinstance(value, Map):
                beyond = owner.parent  # ``{...} if p else {...}`` has no one value
                return None if beyond is not None and beyond.start_byte == i and self._chooses(beyond) else value
            if owner.type == "call" and (copied := _COPIED.fullmatch(grammar.text(self.t, owner))):
                return self.mapping_named(copied[1] or copied[2], owner, hops - 1)
        return None

    def mapping_beside(self, holder: Node) -> Map | None:
        """The mapping that ``holder`` adds a key to, by ``cfg["a"] = 1``, ``cfg.update(a=1)`` or ``BASE | {"a": 1}``; None if
        it is not known."""
        if holder.type in self.spec.assign:
            left = holder.child_by_field_name("left")
            m = _ITEM.match(grammar.text(self.t, left)) if left is not None else None
            return self.mapping_named(m[1], holder) if m is not None else None
        node = holder.parent
        while node is not None and node.parent is not None and node.type in self.spec.mapping | ARGUMENTS | _GIVEN:
            node = node.parent
        if node is None:
            return None
        if node.type in self.spec.call and (updated := _UPDATES.fullmatch(self.called(node))):
            return self.mapping_named(updated[1], holder)
        if node.type == "binary_operator" and (written := [c for c in node.named_children if c.type == "dictionary"]):
            others = [c for c in written if not c.start_byte <= holder.start_byte < c.end_byte]
            if others:
                return self.mapping(others[0])
        if node.type == "binary_operator" and (operands := [c for c in node.named_children if c.type == "identifier"]):
            return self.mapping_named(grammar.text(self.t, operands[0]), holder)
        return None

    def value(self, node: Node) -> Scalar | Map | Seq:
        """What an expression is as data; a placeholder (``$name``) where the text does not say."""
        node = grammar.unwrapped(node, self.spec.through)
        if makes_text(self.t, node, self.spec, self.string_named):
            return Scalar(literal(self.t, node, self.spec, -1, self.string_named), node.start_byte, node.end_byte)
        if node.type in {"dictionary", "object"}:
            return self.mapping(node)
        if node.type == "literal_value":  # Go's, whose type the one round it says
            return self.mapping(node) if any(c.type in self.spec.pair for c in node.named_children) else self._seq(node)
        if node.type == "composite_literal" and (body := node.child_by_field_name("body")) is not None:
            return self.mapping(body) if any(c.type in self.spec.pair for c in body.named_children) else self._seq(body)
        if node.type == "call_expression" and self.called(node) == "JSON.stringify":
            encoded = node.child_by_field_name("arguments")
            if encoded is not None and encoded.named_children:
                return self.value(encoded.named_children[0])
        given = node.child_by_field_name("arguments") if node.type == "call" else None
        if given is not None and any(c.type in self.spec.pair for c in given.named_children):
            return self.mapping(given)
        if node.type in {"list", "array_expression", "array"}:
            return self._seq(node)
        if node.type == "call_expression":
            inner = next((d for d in node.children if d.type == "field_expression"), None)
            first = inner.named_children[0] if inner is not None and inner.named_children else None
            if first is not None and first.type in self.spec.string:
                return Scalar(literal(self.t, first, self.spec), node.start_byte, node.end_byte)
        if (
            node.type in {"conditional_expression", "ternary_expression"}
            and (nixl := self._both_nixl(node)) is not None
        ):
            return nixl
        if (nixl := self._nixl_by_default(node)) is not None:
            return nixl
        if self._chooses(node):
            return Scalar(Text(_CHOSEN, self.t.at(node.start_byte)), node.start_byte, node.end_byte)
        source = grammar.text(self.t, node)
        if source in {"True", "False", "true", "false"}:
            return Scalar(Text(source, self.t.at(node.start_byte)), node.start_byte, node.end_byte)
        resolved = self.value_of(source) if re.fullmatch(r"[A-Za-z_]\w*", source) else None
        return Scalar(Text(resolved or "$" + source[:60], self.t.at(node.start_byte)), node.start_byte, node.end_byte)

    def _chooses(self, node: Node) -> bool:
        """Whether an expression chooses between values or compares them: no string in it is its value for certain."""
        if node.type in {"binary_expression", "unary_expression"}:
            sign = node.child_by_field_name("operator")
            return sign is not None and grammar.text(self.t, sign) in _CHOICES
        return node.type in {
            "conditional_expression",
            "ternary_expression",
            "boolean_operator",
            "not_operator",
            "comparison_operator",
        }

    def _both_nixl(self, choice: Node) -> Scalar | None:
        """The first value of a choice between two that are both NIXL's connector; None for any other."""
        fields = ("consequence", "alternative")
        branches = [c for f in fields if (c := choice.child_by_field_name(f)) is not None] or choice.named_children[::2]
        values = [self.value(c) for c in branches]
        held = [
            v
            for v in values
            if isinstance(v, Scalar) and connectors.kind_of(v.value, self.ctx.nixl) is connectors.Kind.NIXL
        ]
        return held[0] if len(held) == len(values) == 2 else None

    def _nixl_by_default(self, node: Node) -> Scalar | None:
        """The default of ``x or "a"``, ``x ?? "a"`` or ``os.environ.get("X", "a")``, if it is NIXL's connector; else None."""
        given = node.child_by_field_name("arguments") if node.type in self.spec.call else node
        last = given.named_children[-1] if given is not None and given.named_child_count > 1 else None
        if given is None or last is None or not self.is_default(last, given):
            return None
        value = self.value(last)
        nixl = isinstance(value, Scalar) and connectors.kind_of(value.value, self.ctx.nixl) is connectors.Kind.NIXL
        return value if nixl and isinstance(value, Scalar) else None

    def string_named(self, name: str) -> Node | None:
        """The node of the string that ``name`` is set to in this text; None if it is set more than once, or to no string."""
        return self.kept(("string", name), None, partial(self._string_named, name))

    def _string_named(self, name: str) -> Node | None:
        """As ``string_named``, not kept."""
        set_ = (_SETS.match(self.t.s, i + len(name)) for i in self.places(name) if self.t.s[i - 1 : i] != ".")
        places = [m.end() for m in islice((m for m in set_ if m is not None), 2)]
        if len(places) != 1:
            return None
        whole = None
        for owner in grammar.owners(self.at(places[0])):
            if owner.start_byte < places[0]:
                break
            whole = owner if owner.type in self.spec.string | self.spec.joined else whole
        return whole

    def _seq(self, node: Node) -> Seq:
        return Seq(
            [self.value(c) for c in node.named_children if c.type not in self.spec.comment],
            node.start_byte,
            node.end_byte,
        )

    def value_of(self, name: str) -> str | None:
        """The one string that ``name`` is set to in this text, or None.

        A default that a caller or the environment may replace counts only if it is NIXL's connector.
        """
        if name not in self._constants:
            s = self.t.s
            ends = (i + len(name) for i in occurrences(s, name) if not _INSIDE.match(s[i - 1 : i]))
            said: set[tuple[str | None, bool]] = set()  # a string it is set to, and whether it may be another
            for end in ends:
                if m := _SET_TO.match(s, end):
                    open_ = m[1] is not None or _ALL_OF_IT.match(s, m.end()) is None or self._given_by(end)
                    said.add((m[2], open_))
                elif _SET_ANEW.match(s, end):
                    said.add((None, True))
            values = {value for value, _ in said if value is not None}
            value = values.pop() if len(values) == 1 else None
            nixl = connectors.kind_of(value, self.ctx.nixl) is connectors.Kind.NIXL
            open_ = any(other for _, other in said) or (
                value is not None and not nixl and any(self._given_later(i) for i in self.places(name))
            )
            self._constants[name] = value if nixl or not open_ else None
        return self._constants[name]

    def _given_later(self, i: int) -> bool:
        """Whether the name at index ``i`` gets another value there: as a parameter, in a loop, as one of several targets, or by
        ``+=``."""
        holder = self.at(i).parent
        if holder is None:
            return False
        if holder.type == "expression_list" and holder.parent is not None:  # Go's ``role, err := get()``
            return holder.parent.child_by_field_name("left") == holder and holder.named_child_count > 1
        return any(word in holder.type for word in _BINDS) or holder.type in self.spec.loop

    def _given_by(self, end: int) -> bool:
        """Whether a name that ends at index ``end`` is a parameter or a keyword argument: a caller may give another value."""
        holder = self.at(end - 1).parent
        return holder is not None and (holder.type.endswith("parameter") or holder.type in _GIVEN)

    def mappings_around(self, node: Node | None) -> list[Map]:
        """The mappings round ``node`` within its statement, nearest first."""
        out: list[Map] = []
        if node is None:
            return out
        for owner in grammar.owners(node):
            if owner is node:
                continue
            if owner.type in self.spec.mapping:
                out.append(self.mapping(owner))
            if owner.type in self.spec.block or owner.type in self.spec.function:
                break
        return out

    def words_around(self, node: Node) -> tuple[list[argv.Word] | None, int]:
        """The strings of the list that ``node`` is an item of, and its index in them; None and -1 if it is in no list."""
        holder = self.value_parent(node)
        if holder is None or holder.type not in self.spec.sequence:
            return None, -1
        return self.words_of(holder, node)

    def words_of(self, holder: Node, node: Node) -> tuple[list[argv.Word], int]:
        """The items of the list ``holder`` and the index of the one that ``node`` is in, or -1.

        An item that is no string stands as a brace.
        """
        words, starts, ends = self.kept("words", holder, partial(self._listed, holder))
        n = bisect(starts, node.start_byte) - 1
        return words, n if n >= 0 and node.start_byte < ends[n] else -1

    def _listed(self, holder: Node) -> tuple[list[argv.Word], list[int], list[int]]:
        """The items of a list, with the indices where each begins and ends."""
        values = [(self.value(c), c.start_byte, c.end_byte) for c in holder.named_children]
        words = [argv.Word(v.value if isinstance(v, Scalar) else "{", self.t.at(start)) for v, start, _ in values]
        return words, [start for _, start, _ in values], [end for _, _, end in values]


# Operators whose result is none of their operands for certain.
_CHOICES = frozenset({"||", "??", "&&", "!", "==", "!=", "===", "!==", "<", ">", "<=", ">="})
_BINDS = ("parameter", "pattern", "augmented_assignment")  # a node whose type holds one of these binds a name
_CHOSEN = "${_}"  # every rule reads this as a placeholder without a name
_GIVEN = frozenset({"keyword_argument", "assignment_pattern"})  # a value that is given to a name in brackets
# Calls that copy a mapping: with changes, as it is; and that change one in place.
_COPIES = regex(r"(?:^|\.)(?:dict|replace|copy_with)$")
_COPIED = regex(
    r"(?s)(?:dict|copy\.deepcopy|deepcopy|copy\.copy|copy)\(\s*(\w+)\s*\)|(\w+)\.(?:copy|model_copy|deepcopy)\(\s*\)"
)
_UPDATES = regex(r"(\w+)\.(?:update|model_copy|copy|_replace)")
_ITEM = regex(r"(\w+)(?:\[[\"'][\w-]+[\"']\]|\.\w+)$")
_SPREADS = frozenset({"dictionary_splat", "spread_element"})
# Behind a name: what sets it to a string, to a string of several lines or parts, and to anything but nothing.
_SET_TO = regex(
    r"\s*(?::[^=\n]+)?:?=\s*(os\.(?:environ\.get|getenv)\(\s*[\"'][^\"'\n]*[\"']\s*,\s*)?[\"'`]([\w.-]+)[\"'`]"
)
# What stands behind a string that is the whole value: not so in ``"a" if b else "c"``, ``"a" or b``, ``"a" + b``.
_ALL_OF_IT = regex(
    r"(?:\.(?:to_string|to_owned|into)\(\))?(?:[ \t]+as[ \t]+\w+)?[ \t]*"
    r"(?:[;,)\]}#]|//|/\*|\Z|\r?\n(?![ \t]*(?:\?|\|\||&&|\+|\.|%)))"
)
_SETS = regex(r"\s*(?::[^=\n]+)?:?=(?!=)\s*\(?\s*")
_SET_ANEW = regex(r"\s*(?::[^=\n]+)?:?=(?![=>])\s*(?!None\b|null\b|nil\b)")
_INSIDE = regex(r"[\w.]")  # before a word: the word is part of a longer one, or a member
