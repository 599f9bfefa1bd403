"""The mappings that HCL comes to, by its tree-sitter grammar.

Blocks, objects and lists become a tree of mappings; a block's labels are keys, so that ``module "prefill"`` is read as a
mapping below the key ``prefill``. The argument of ``jsonencode`` is read as the value itself. An expression that is no literal
becomes ``${...}``, which every rule takes for a placeholder.
"""

from __future__ import annotations

import re

from tree_sitter import Node as TsNode

from kvroles.evidence.data import Choice, Map, Node, Scalar, Seq
from kvroles.evidence.text import Text, join
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.template.actions import Branch

_ENCODES = frozenset({"jsonencode", "yamlencode", "tostring", "tomap", "sensitive", "nonsensitive", "base64encode"})
_WRAPPERS = frozenset({"expression", "literal_value", "template_expr", "collection_value"})


class Builder:
    """Makes the mappings of a text, and finds its conditions and comments on the way."""

    def __init__(self, t: Text) -> None:
        self.t = t
        self.parsed = grammar.parse("hcl", t)
        self.branches: list[Branch] = []
        self.directives: dict[int, list[Branch]] = {}  # by the start of the string that holds them
        self.comments: list[tuple[int, int]] = []
        self.merges: set[int] = set()  # where each ``merge`` begins
        self.chained: set[int] = set()  # where each conditional begins that is the else of another
        self.root = Map(end=len(t.s))
        if any(mark in t.s for mark in ("#", "//", "/*")):  # looking at every node takes time
            self._comments(self.parsed)
            self.comments.sort()
        for child in self.parsed.named_children:
            if child.type == "body":
                self._body(child, self.root)
        self.branches.sort(key=lambda b: b.start)

    def _comments(self, node: TsNode) -> None:
        todo = [node]
        while todo:
            n = todo.pop()
            if n.type == "comment":
                self.comments.append((n.start_byte, n.end_byte))
            todo += n.children

    def _source(self, node: TsNode) -> str:
        return self.t.s[node.start_byte : node.end_byte]

    def _body(self, body: TsNode, into: Map) -> None:
        repeated: dict[str, list[Map]] = {}
        for child in body.named_children:
            if child.type == "attribute" and len(parts := child.named_children) >= 2:
                key, value = parts[0], parts[-1]
                into.pairs.append((self._key(key), self.value(value)))
            elif child.type == "block":
                self._block(child, into, repeated)
        for (
            name,
            maps,
        ) in repeated.items():  # last, for its span may enclose other pairs, and the first that holds an index counts
            named = Scalar(Text(name, self.t.at(maps[0].start)), maps[0].start, maps[0].start)
            settings = len(maps) > 1 or all(maps[0].get(k) is not None for k in ("name", "value"))
            into.pairs.append((named, Seq([*maps], maps[0].start, maps[-1].end) if settings else maps[0]))

    def _block(self, block: TsNode, into: Map, repeated: dict[str, list[Map]]) -> None:
        heads = [c for c in block.named_children if c.type in {"identifier", "string_lit"}]
        if not heads:
            return
        inner = Map(start=heads[-1].end_byte, end=block.end_byte)
        for child in block.named_children:
            if child.type == "body":
                self._body(child, inner)
        if len(heads) == 1:
            repeated.setdefault(self._source(heads[0]), []).append(inner)
            return
        node = inner
        for before, label in zip(heads[-2::-1], heads[:0:-1], strict=True):
            outer = Map(start=before.end_byte, end=block.end_byte)
            outer.pairs.append((self._key(label), node))
            node = outer
        into.pairs.append((self._key(heads[0]), node))

    def _key(self, node: TsNode) -> Scalar:
        while node.type in _WRAPPERS and node.named_child_count == 1:
            node = node.named_children[0]
        text = self.t.slice(node.start_byte, node.end_byte)
        if node.type in {"string_lit", "quoted_template"}:
            text = text.slice(1, max(1, len(text.s) - 1))
        return Scalar(text, node.start_byte, node.end_byte)

    def value(self, node: TsNode) -> Node:
        """The value of an expression: a mapping, a list, a string, or a placeholder with the expression's source in it."""
        while (node.type in _WRAPPERS and node.named_child_count == 1) or _picked(node):
            node = node.named_children[0]
        a, b = node.start_byte, node.end_byte
        match node.type:
            case "object":
                out = Map(start=a, end=b, flow=False)
                for elem in node.named_children:
                    if elem.type == "object_elem" and len(parts := elem.named_children) >= 2:
                        out.pairs.append((self._key(parts[0]), self.value(parts[-1])))
                return out
            case "tuple":
                items = [self.value(c) for c in node.named_children if c.type == "expression"]
                return Seq(items, a, b)
            case "string_lit" | "quoted_template" | "heredoc_template":
                return self._string(node)
            case "conditional" if len(node.named_children) == 3:
                return self._conditional(node)
            case "function_call":
                return self._call(node)
            case "for_expr":
                return self._for(node)
        if node.named_child_count and any(c.type in {"object", "tuple", "function_call"} for c in node.named_children):
            inner = [self.value(c) for c in node.named_children if c.type in {"object", "tuple", "function_call"}]
            return Seq(inner, a, b)
        plain = node.type in {"numeric_lit", "bool_lit", "null_lit"}
        source = self._source(node)
        return Scalar(Text(source if plain else "${" + source[:80] + "}", self.t.at(a)), a, b)

    def _conditional(self, node: TsNode) -> Node:
        links, last = _links(node)
        chained = node.start_byte in self.chained
        inner = _bare(last)
        only = len(links) == 1 and not chained and inner is None
        for condition, value in links:
            words = "if " + " ".join(self._source(condition).split())
            other = (last.start_byte, last.end_byte) if only else None
            self.branches.append(Branch(value.start_byte, value.end_byte, words, False, other=other))
        if inner is not None:  # what that asks says more than what the others did not
            self.chained.add(inner.start_byte)
        else:
            first = (value.start_byte, value.end_byte) if len(links) == 1 and not chained else None
            self.branches.append(Branch(last.start_byte, last.end_byte, words, True, first))
        return Choice([self.value(v) for v in (*(value for _, value in links), last)], node.start_byte, node.end_byte)

    def _call(self, node: TsNode) -> Node:
        name = self._source(node.named_children[0])
        given = [c for c in node.named_children if c.type == "function_arguments"]
        values = [self.value(c) for g in given for c in g.named_children if c.type == "expression"]
        if name in _ENCODES and len(values) == 1:
            return values[0]
        if name in {"toset", "tolist", "concat"} and values and isinstance(values[0], Seq):
            return values[0] if len(values) == 1 else Seq(values, node.start_byte, node.end_byte)
        out = Map(start=node.start_byte, end=node.end_byte)
        if name == "merge":
            self.merges.add(out.start)
        for value in values:
            if name == "merge" and isinstance(value, Map):
                out.pairs += value.pairs
            else:
                out.pairs.append((Scalar(Text("<<" if name == "merge" else name), value.start, value.start), value))
        return out

    def _for(self, node: TsNode) -> Node:
        parts = [c for c in node.named_children[0].named_children if c.type in {"for_intro", "expression"}]
        head = " ".join(self._source(parts[0]).split()).rstrip(": ") if parts else "for"
        self.branches.append(Branch(node.start_byte, node.end_byte, head, False))
        return Seq([self.value(c) for c in parts if c.type == "expression"], node.start_byte, node.end_byte)

    # -- strings ------------------------------------------------------------------------------------------------------

    def _string(self, node: TsNode) -> Scalar:
        """A string decoded: an interpolation becomes ``${...}``, a directive blanks."""
        heredoc = node.type == "heredoc_template"
        a, b = node.start_byte, node.end_byte
        start, end = (a + 1, b - 1) if not heredoc else self._heredoc_span(node)
        cuts: list[tuple[int, int, bool]] = []
        branches: list[Branch] = []
        self._holes(node, cuts, branches)
        parts: list[Text] = []
        at = start
        for x, y, hole in sorted(cuts):
            if x < at or y > end:
                continue
            parts.append(self._plain(at, x, heredoc))
            parts.append(
                self._hole(x, y) if hole else self.t.slice(x, y).same_places(re.sub(r"[^\n]", " ", self.t.s[x:y]))
            )
            at = y
        parts.append(self._plain(at, max(at, end), heredoc))
        if branches:
            self.directives[a] = sorted(branches, key=lambda branch: branch.start)
        return Scalar(join(parts), a, b, quoted=not heredoc, block=heredoc)

    def _heredoc_span(self, node: TsNode) -> tuple[int, int]:
        first = self.t.s.find("\n", node.start_byte) + 1
        marks = [c for c in node.children if c.type == "heredoc_identifier"]
        last = self.t.s.rfind("\n", 0, marks[-1].start_byte) + 1 if len(marks) > 1 else node.end_byte
        return min(first or node.end_byte, last), last

    def _holes(self, node: TsNode, cuts: list[tuple[int, int, bool]], branches: list[Branch]) -> None:
        todo = [*node.children]
        while todo:
            n = todo.pop()
            if n.type == "template_interpolation":
                cuts.append((n.start_byte, n.end_byte, True))
                continue
            if n.type in {"template_if", "template_for"}:
                branches += self._directive(n)
            if n.type.endswith(("_intro", "_if_end", "_for_end")):
                cuts.append((n.start_byte, n.end_byte, False))
                continue
            todo += n.children

    def _directive(self, node: TsNode) -> list[Branch]:
        intro = node.children[0]
        words = re.sub(r"^%\{~?\s*|\s*~?\}$", "", " ".join(self._source(intro).split()))
        between = next((c for c in node.children if c.type == "template_else_intro"), None)
        end = node.children[-1].start_byte
        out = [Branch(intro.end_byte, between.start_byte if between is not None else end, words, False)]
        if between is None:
            return out
        return [*out, Branch(between.end_byte, end, words, True, (intro.end_byte, between.start_byte))]

    def _hole(self, a: int, b: int) -> Text:
        source = re.sub(r"\[\"([\w-]+)\"\]", r".\1", self.t.s[a:b].strip("${}~ "))
        word = re.sub(r"[^\w.]", "_", source)[:60] or "_"
        return self.t.pick("${" + word + "}", [a] * (len(word) + 3), b)

    def _plain(self, a: int, b: int, heredoc: bool) -> Text:
        text = self.t.slice(a, b)
        doubled = [m.start() for m in re.finditer(r"[$%](?=[$%]\{)", text.s)]
        if doubled:  # $${ is ${
            at = [i for i in range(len(text.s)) if i not in set(doubled)]
            text = text.pick("".join(text.s[i] for i in at), at, len(text.s))
        return text if heredoc else objects.unescape(text)


def _picked(node: TsNode) -> bool:
    """Whether an expression picks one element of an object or a list: ``{...}[var.side]``."""
    kinds = [c.type for c in node.named_children]
    return kinds[:1] in (["collection_value"], ["expression"]) and kinds[1:2] in (["index"], ["get_attr"])


def _bare(node: TsNode) -> TsNode | None:
    """The conditional that an expression is, without brackets round it or with; None if it is none."""
    while node.type in _WRAPPERS and node.named_child_count == 1:
        node = node.named_children[0]
    return node if node.type == "conditional" and len(node.named_children) == 3 else None


def _links(node: TsNode) -> tuple[list[tuple[TsNode, TsNode]], TsNode]:
    """The conditions of a chain of conditionals, each with its value, and the value where none of them holds. The grammar takes
    ``a ? b : c ? d : e`` for ``(a ? b : c) ? d : e``; Terraform for ``a ? b : (c ? d : e)``."""
    condition, value, last = node.named_children
    inner = _bare(condition)
    if inner is None or _in_brackets(condition):
        return [(condition, value)], last
    links, test = _links(inner)
    return [*links, (test, value)], last


def _in_brackets(node: TsNode) -> bool:
    """Whether brackets stand round what an expression is."""
    while node.type in _WRAPPERS and node.named_child_count == 1:
        if node.children[0].type == "(":
            return True
        node = node.named_children[0]
    return False
