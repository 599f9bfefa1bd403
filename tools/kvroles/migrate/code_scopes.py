"""Who owns a string in source code: its call, key, variable, function, branch, and the comment before it."""

from __future__ import annotations

import re
from functools import partial

from tree_sitter import Node

from kvroles.migrate import argv, connectors, data_cues, grammar
from kvroles.migrate.code_langs import Spec, literal
from kvroles.migrate.context import FileCtx
from kvroles.migrate.data import Map, Scalar, Seq
from kvroles.migrate.model import Cue, Scope, Side, Weight
from kvroles.migrate.text import Text
from kvroles.migrate.words import name_sides, role_value, title_side

_TEST_NAME = re.compile(r"^(?:test_|Test|test$|bench_|Benchmark|Example)")
_SAYS = re.compile(r"^(?:print|logger\.info|logging\.info|log\.info|log\.Print\w*|fmt\.Print\w*|println|info)!?$")
_PLAIN = re.compile(r"^[\"'`]?([\w./-]+)[\"'`]?$")


class Unit:
    """One source text: its tree, its owner in the file, its grammar's words."""

    def __init__(self, t: Text, up: Scope, ctx: FileCtx, spec: Spec) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self.spec = spec
        self.root = grammar.parse(spec.grammar, t)

    # -- reading ------------------------------------------------------------------------------------------------------

    def value_parent(self, node: Node) -> Node | None:
        """The node a value belongs to, looking through what only wraps it (``.to_string()``, ``Some(...)``, brackets)."""
        current = node
        while current.parent is not None:
            parent = current.parent
            if parent.type in self.spec.through or parent.type in {"type_conversion_expression"}:
                current = parent
                continue
            if parent.type in {"arguments", "argument_list"} and parent.parent is not None:
                name = self.called(parent.parent)
                if parent.named_child_count == 1 and re.fullmatch(r"(?:\w+\.)?(?:Some|To|String|Ptr\w*|pointer|Value|from|str|Literal)", name):
                    current = parent.parent
                    continue
            if parent.type == "call_expression" and current.type == "field_expression":
                current = parent
                continue
            return parent
        return None

    def called(self, call: Node) -> str:
        """The name of the function, class or macro a call calls."""
        f = call.child_by_field_name("function") or call.child_by_field_name("macro")
        return grammar.text(self.t, f) if f is not None else ""

    def key_of(self, pair: Node) -> str:
        """The key of a pair, keyword argument, field or parameter."""
        for field in ("key", "name", "field"):
            k = pair.child_by_field_name(field)
            if k is not None:
                return self._plain(k)
        return ""

    def _plain(self, node: Node) -> str:
        while node.type in self.spec.through and node.named_child_count == 1 and node.named_children:
            node = node.named_children[0]
        if node.type in self.spec.string:
            return literal(self.t, node, self.spec).s
        return grammar.text(self.t, node)

    def targets(self, assign: Node) -> list[str]:
        """The names an assignment sets; ``cfg["kv_role"]`` and ``cfg.kv_role`` set ``kv_role``."""
        left = assign.child_by_field_name("left") or assign.child_by_field_name("name") or assign.child_by_field_name("pattern")
        if left is None:
            return []
        names = left.named_children if left.type in {"expression_list", "pattern_list", "tuple_pattern"} else [left]
        out: list[str] = []
        for n in names:
            source = grammar.text(self.t, n)
            m = re.search(r"\[[\"']([\w-]+)[\"']\]$", source) or re.search(r"\.(\w+)$", source)
            out.append(m.group(1) if m else source)
        return out

    def mapping(self, node: Node) -> Map:
        """The pairs of a dict, call, struct or parameter list, as a mapping; what is no literal becomes a placeholder."""
        m = Map(start=node.start_byte, end=node.end_byte)
        for c in node.named_children:
            if c.type not in self.spec.pair:
                continue
            key = Scalar(Text(self.key_of(c), self.t.at(c.start_byte)), c.start_byte, c.start_byte)
            value = c.child_by_field_name("value")
            if value is not None:
                m.pairs.append((key, self._value(value)))
        return m

    def _value(self, node: Node) -> Scalar | Map | Seq:
        while node.type in self.spec.through and node.named_child_count == 1 and node.named_children:
            node = node.named_children[0]
        if node.type in self.spec.string or (node.type in self.spec.joined and self._is_text(node)):
            return Scalar(literal(self.t, node, self.spec), node.start_byte, node.end_byte)
        if node.type in {"dictionary"}:
            return self.mapping(node)
        if node.type == "composite_literal" and (body := node.child_by_field_name("body")) is not None:
            return self.mapping(body) if any(c.type in self.spec.pair for c in body.named_children) else self._seq(body)
        if node.type in {"list", "array_expression"}:
            return self._seq(node)
        if node.type == "call_expression":
            inner = next((d for d in node.children if d.type == "field_expression"), None)
            first = inner.named_children[0] if inner is not None and inner.named_children else None
            if first is not None and first.type in self.spec.string:
                return Scalar(literal(self.t, first, self.spec), node.start_byte, node.end_byte)
        source = grammar.text(self.t, node)
        resolved = self._constant(source) if re.fullmatch(r"[A-Za-z_]\w*", source) else None
        return Scalar(Text(resolved or "$" + source[:60], self.t.at(node.start_byte)), node.start_byte, node.end_byte)

    def _is_text(self, node: Node) -> bool:
        return any(c.type in self.spec.string for c in node.children)

    def _seq(self, node: Node) -> Seq:
        return Seq([self._value(c) for c in node.named_children if c.type not in self.spec.comment], node.start_byte, node.end_byte)

    def _constant(self, name: str) -> str | None:
        """The one string a name is set to in this text, or None."""
        found = re.findall(rf"(?m)(?<![\w.]){re.escape(name)}\s*(?::[^=\n]+)?:?=\s*[\"'`]([\w.-]+)[\"'`]", self.t.s)
        return found[0] if len(set(found)) == 1 else None

    def mappings_around(self, node: Node | None) -> list[Map]:
        """The mappings that hold ``node``, nearest first, up to the statement."""
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
        """The strings of the list that holds ``node``, and its place among them."""
        holder = self.value_parent(node)
        if holder is None or holder.type not in self.spec.sequence:
            return None, -1
        words: list[argv.Word] = []
        index = -1
        for c in holder.named_children:
            if c.start_byte <= node.start_byte < c.end_byte:
                index = len(words)
            value = self._value(c)
            words.append(argv.Word(value.value if isinstance(value, Scalar) else "{", self.t.at(c.start_byte)))
        return words, index

    def connector_near(self, assign: Node) -> str | None:
        """The connector set on the same object by a neighbouring assignment (``cfg.kv_connector = ...``)."""
        block = assign.parent
        while block is not None and block.type not in self.spec.block:
            block = block.parent
        if block is None:
            return None
        body = grammar.text(self.t, block)
        left = grammar.text(self.t, assign).split("=", 1)[0].rstrip(": \t")
        stem = re.escape(re.sub(r"(?:\[[\"'][\w-]+[\"']\]|\.\w+)$", "", left))
        found = {
            m.group(2)
            for m in re.finditer(rf"{stem}(?:\[[\"']([\w-]+)[\"']\]|\.\w+)\s*=\s*[\"']([\w.-]+)[\"']", body)
            if connectors.is_connector_key(re.sub(r".*[\[.\"']([\w-]+)[\"']?\]?\s*$", r"\1", m.group().split("=")[0].strip()))
        }
        return next(iter(found)) if len(found) == 1 else None

    # -- owners -------------------------------------------------------------------------------------------------------

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        scope = self.up
        spec = self.spec
        owners = list(grammar.owners(node))[::-1]
        for n, owner in enumerate(owners[:-1]):
            inner = owners[n + 1]
            kind = owner.type
            if kind in spec.function:
                scope = self._function(owner, scope, follow)
            elif kind in spec.class_:
                scope = self._named("class", self._name(owner), scope, owner)
            elif kind in spec.branch | spec.case | spec.else_:
                scope = self._branch(owner, inner, scope)
            elif kind in spec.loop:
                scope = self._loop(owner, scope)
            elif kind in spec.assign:
                scope = self._assign(owner, inner, scope, follow)
            elif kind in spec.call:
                scope = self._call(owner, inner, scope)
            elif kind in spec.pair:
                scope = self._pair(owner, scope)
            if kind in spec.mapping and any(c.type in spec.pair for c in owner.named_children) and kind != "parameters":
                through = self.key_of(inner) if inner.type in spec.pair else None
                scope = data_cues.map_scope(self.mapping(owner), scope, self.ctx, through)
            elif kind in spec.sequence and kind not in {"arguments", "argument_list"}:
                scope = self._list(owner, inner, scope)
            if kind in spec.block or kind in spec.sequence | spec.mapping:
                scope = self._before(owner, inner, scope)
        return scope

    def _name(self, node: Node) -> str:
        name = node.child_by_field_name("name") or node.child_by_field_name("type")
        return grammar.text(self.t, name) if name is not None else ""

    def _named(self, kind: str, name: str, up: Scope, node: Node) -> Scope:
        scope = Scope(kind, name, up)
        if _TEST_NAME.match(name):
            return scope
        sides = name_sides(name, disagg_pair=self.ctx.disagg_pair)
        if not sides and (letter := self.ctx.letter_side(name)):
            sides = {letter}
        if len(sides) == 1:
            scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, kind, name, self.t.at(node.start_byte)))
        return scope

    def _function(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = self._name(node)
        scope = self._named("function", name, up, node)
        if follow and name and not scope.cues and not _TEST_NAME.match(name):
            scope.find_uses = partial(self._uses, name, node, call=True)
        return scope

    def _assign(self, node: Node, inner: Node, up: Scope, follow: bool) -> Scope:
        left = node.child_by_field_name("left") or node.child_by_field_name("name") or node.child_by_field_name("pattern")
        if left is None or left.start_byte <= inner.start_byte < left.end_byte:
            return up
        names = self.targets(node)
        if len(names) != 1:
            return Scope("variable", "", up)
        whole = grammar.text(self.t, left)
        scope = self._named("variable", names[0] if len(name_sides(whole)) != 1 else whole, up, node)
        if follow and re.fullmatch(r"[A-Za-z_]\w*", whole) and not scope.cues:
            scope.find_uses = partial(self._uses, whole, node, call=False)
        return scope

    def _uses(self, name: str, node: Node, *, call: bool) -> list[Scope]:
        out: list[Scope] = []
        tail = r"(?=\s*\()" if call else r"(?!\s*(?::[^=\n]*)?(?::=|=(?!=)))"
        for m in list(re.finditer(rf"(?<![\w.\"'-]){re.escape(name)}\b{tail}", self.t.s))[:40]:
            if node.start_byte <= m.start() < node.end_byte:
                continue
            use = grammar.at(self.root, m.start(), len(name))
            if use.type not in {"identifier", "type_identifier", "field_identifier"} or self._shadowed(use, node, name, call):
                continue
            if use.parent is not None and use.parent.type in {"function_definition", "function_declaration", "function_item"}:
                continue
            out.append(self.chain(use))
        return out

    def _shadowed(self, use: Node, node: Node, name: str, call: bool) -> bool:
        """Whether a name used elsewhere is another function's local of the same name."""
        if call:
            return False
        home = next((o for o in grammar.owners(node) if o.type in self.spec.function), None)
        if home is not None:
            return not home.start_byte <= use.start_byte < home.end_byte
        away = next((o for o in grammar.owners(use) if o.type in self.spec.function), None)
        if away is None:
            return False
        return re.search(rf"(?<![\w.]){re.escape(name)}\s*(?::[^=\n,)]*)?:?=(?!=)", grammar.text(self.t, away)) is not None

    def _call(self, node: Node, inner: Node, up: Scope) -> Scope:
        name = self.called(node)
        if inner.type not in {"argument_list", "arguments", "token_tree"}:
            return up
        scope = self._named("call", re.sub(r"\s+", "", name)[-80:], up, node)
        for c in inner.named_children:
            if c.type in self.spec.pair:
                continue
            source = grammar.text(self.t, c)
            if (m := _PLAIN.match(source)) is None:
                continue
            quoted = source[:1] in "\"'`"
            side = role_value(m.group(1)) if quoted and len(m.group(1)) > 1 else None
            named = {side} if side else name_sides(m.group(1).rsplit(".", 1)[-1] if not quoted else m.group(1))
            if len(named) == 1:
                scope.cues.append(Cue(next(iter(named)), Weight.NAMED, "call", f"{name[-40:]}({source[:60]})", self.t.at(c.start_byte)))
        return scope

    def _pair(self, node: Node, up: Scope) -> Scope:
        key = self.key_of(node)
        return up if node.type.endswith("parameter") else self._named("key", key, up, node)

    def _list(self, node: Node, inner: Node, up: Scope) -> Scope:
        words: list[argv.Word] = []
        index = -1
        for c in node.named_children:
            if c.start_byte <= inner.start_byte < c.end_byte:
                index = len(words)
            value = self._value(c)
            words.append(argv.Word(value.value if isinstance(value, Scalar) else "{", self.t.at(c.start_byte)))
        scope = Scope("list", "", up)
        if any(w.s.startswith("-") for w in words):
            scope.launch = True
            scope.cues = argv.cues(words, self.ctx, skip=index)
            scope.flags = argv.flags_of(words)
        return scope

    def _branch(self, node: Node, inner: Node, up: Scope) -> Scope:
        spec = self.spec
        if inner.type in spec.branch | spec.else_ and inner.type != "conditional_expression":
            return Scope("branch", "", up)
        field = "value" if node.type in {"expression_case"} else "pattern" if node.type == "match_arm" else "condition"
        condition = node.child_by_field_name(field)
        if node.type == "case_clause":
            condition = next((c for c in node.children if c.type == "case_pattern"), None)
        if condition is not None and condition.start_byte <= inner.start_byte < condition.end_byte:
            return Scope("branch", "", up)
        alternative = node.child_by_field_name("alternative")
        if node.type in spec.else_ or (alternative is not None and alternative.start_byte <= inner.start_byte < alternative.end_byte):
            return Scope("branch", "else", up)
        words = grammar.text(self.t, condition) if condition is not None else ""
        if node.type == "conditional_expression":
            words = grammar.text(self.t, node)
        scope = Scope("branch", words[:80], up)
        if re.search(r"!=|\bnot\b|\bor\b|\|\||^!|is None|<|>", words) or node.type == "conditional_expression":
            return scope
        compared = re.findall(r"==\s*[\"']?([\w.-]+)", words) or re.findall(r"[\w-]+", words)
        sides = {s for w in compared for s in ({role_value(w)} if len(w) > 1 and role_value(w) else name_sides(w)) if s}
        if len(sides) == 1:
            scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, "condition", words[:80], self.t.at(node.start_byte)))
        return scope

    def _loop(self, node: Node, up: Scope) -> Scope:
        over = node.child_by_field_name("right") or node.child_by_field_name("value")
        words = grammar.text(self.t, over) if over is not None else grammar.text(self.t, node).split("{", 1)[0]
        scope = Scope("loop", words[:60], up)
        sides = {s for w in re.findall(r"[\w-]+", words[:400]) for s in name_sides(w)} & {Side.PREFILL, Side.DECODE}
        if len(sides) == 2:
            scope.cues.append(Cue(Side.SHARED, Weight.NAMED, "loop", words[:80], self.t.at(node.start_byte)))
        elif sides:
            scope.cues.append(Cue(next(iter(sides)), Weight.SAID, "loop", words[:80], self.t.at(node.start_byte)))
        return scope

    def _before(self, block: Node, inner: Node, up: Scope) -> Scope:
        """The comment or print right before a statement, pair or element, no other config standing in between."""
        node = inner.prev_named_sibling
        for _ in range(12):
            if node is None or node.end_byte > inner.start_byte:
                break
            source = grammar.text(self.t, node)
            side = None
            if node.type in self.spec.comment:
                text = source.lstrip("#/*! ").rstrip("*/ ")
                own_line = self.t.s[self.t.s.rfind("\n", 0, node.start_byte) + 1 : node.start_byte].strip() == ""
                side = title_side(text) if own_line and "kv_both" not in text else None
                words, kind = text, "comment"
            elif node.type == "expression_statement" and (m := re.match(r"([\w.!]+)\((.*)\)$", source, re.S)) and _SAYS.match(m.group(1)):
                side, words, kind = title_side(m.group(2).strip("f\"'`")), m.group(2), "print"
            elif block.type not in self.spec.block or "kv_both" in source or "vllm" in source:
                break
            if side is not None:
                scope = Scope("block", "", up)
                scope.cues.append(Cue(side, Weight.SAID, kind, words.strip()[:80], self.t.at(node.start_byte)))
                return scope
            node = node.prev_named_sibling
        return up
