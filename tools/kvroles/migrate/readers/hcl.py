"""HCL, by its tree-sitter grammar: Terraform, OpenTofu, Nomad, Packer, bake files.

Blocks, objects and lists become a tree of mappings; a block's labels are keys, so that ``module "prefill"`` is read as a
mapping below the key ``prefill``. What ``jsonencode`` is given is read as what it is. An expression that is no literal stands
as ``${...}``, which is a placeholder to every rule.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from itertools import islice, pairwise

from tree_sitter import Node as TsNode

from kvroles.evidence.data import Choice, Map, Node, Scalar, Seq, path_to
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, join
from kvroles.migrate import connectors, walk
from kvroles.migrate.readers import grammar, lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree
from kvroles.migrate.readers.mentions import MANY
from kvroles.migrate.readers.of_file import file_scope
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template.actions import Branch

_ENCODES = frozenset({"jsonencode", "yamlencode", "tostring", "tomap", "sensitive", "nonsensitive", "base64encode"})
_MODULE = (".tf", ".tofu")  # the files of one folder are one module
_MANY = 50  # files of a module that are looked at
_MAX_BYTES = 256 << 10
_WRAPPERS = frozenset({"expression", "literal_value", "template_expr", "collection_value"})


class _Hcl:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in HCL; where the grammar gave up round one, none is made of it."""
        tree = _tree(text, owner, file)
        out = [Site(text.at(i), owner, "comment") for i in text.tokens() if tree.commented(i)]
        with file.knowing(tree.value_of):
            out += tree.sites()
        return out

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The owners of the value at ``at`` and what its line says; None in a comment."""
        tree = file.kept("hcl", text, owner, partial(_tree, text, owner, file))
        if tree.commented(at):
            return None
        return lines.owner(text, at, tree.scopes(path_to(tree.root, at), follow=False), file)


def _tree(t: Text, up: Scope, file: File) -> _HclTree:
    return _HclTree(_Builder(t), t, up, file)


class _Builder:
    """Makes the mappings of a text, and finds its conditions and comments on the way."""

    def __init__(self, t: Text) -> None:
        self.t = t
        self.parsed = grammar.parse("hcl", t)
        self.branches: list[Branch] = []
        self.directives: dict[int, list[Branch]] = {}  # by where the string begins that they stand in
        self.comments: list[tuple[int, int]] = []
        self.merges: set[int] = set()  # where each ``merge`` begins
        self.chained: set[int] = set()  # where each conditional begins that is what another one gives otherwise
        self.root = Map(end=len(t.s))
        if any(mark in t.s for mark in ("#", "//", "/*")):  # else there is no need to look at every node
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
        for name, maps in repeated.items():  # behind the others, which it may lie round
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
        """What an expression comes to: a mapping, a list, a string, or a placeholder that holds its words."""
        while node.type in _WRAPPERS and node.named_child_count == 1:
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
        condition, yes, no = node.named_children
        words = "if " + " ".join(self._source(condition).split())
        self.branches.append(Branch(yes.start_byte, yes.end_byte, words, False))
        more = no
        while more.type in _WRAPPERS and more.named_child_count == 1:
            more = more.named_children[0]
        chained = more.type == "conditional" or node.start_byte in self.chained
        if more.type == "conditional":
            self.chained.add(more.start_byte)
        first = None if chained else (yes.start_byte, yes.end_byte)
        self.branches.append(Branch(no.start_byte, no.end_byte, words, True, first))
        return Choice([self.value(yes), self.value(no)], node.start_byte, node.end_byte)

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
        """A string decoded: what is interpolated stands as ``${...}``, a directive as blanks."""
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
        word = re.sub(r"[^\w.]", "_", self.t.s[a:b].strip("${}~ "))[:60] or "_"
        return self.t.pick("${" + word + "}", [a] * (len(word) + 3), b)

    def _plain(self, a: int, b: int, heredoc: bool) -> Text:
        text = self.t.slice(a, b)
        doubled = [m.start() for m in re.finditer(r"[$%](?=[$%]\{)", text.s)]
        if doubled:  # $${ is ${
            at = [i for i in range(len(text.s)) if i not in set(doubled)]
            text = text.pick("".join(text.s[i] for i in at), at, len(text.s))
        return text if heredoc else objects.unescape(text)


class _HclTree(Tree):
    """The tree of one file; what a local or a variable of it holds is put to use wherever its module names it."""

    def __init__(self, built: _Builder, t: Text, up: Scope, file: File) -> None:
        source = t.same_places(_hashes(t.s, built.comments))
        super().__init__(built.root, source, up, file, True, built.branches, partial(branches_of.scope_of, ctx=file))
        self._built = built

    def commented(self, i: int) -> bool:
        """Whether index ``i`` stands in a comment."""
        n = bisect_right(self._built.comments, (i, len(self.source.s))) - 1
        return n >= 0 and self._built.comments[n][0] <= i < self._built.comments[n][1]

    def _scalar(self, leaf: Scalar) -> list[Site]:
        node = grammar.at(self._built.parsed, leaf.start)
        if any(owner.type == "ERROR" for owner in grammar.owners(node)):
            return []
        directives = self._built.directives.get(leaf.start)
        if directives is None:
            return super()._scalar(leaf)
        out: list[Site] = []
        path = path_to(self.root, leaf.start)
        tokens = self._built.t.tokens_in(leaf.start, leaf.end)
        inside = {i: tuple(b for b in directives if b.start <= i < b.end) for i in tokens}
        for branches in set(inside.values()):
            scope = self.scopes(path)
            for branch in branches:
                scope = branches_of.scope_of(branch, scope, self.source, self.ctx)
            held = {self._built.t.at(i) for i, around in inside.items() if around == branches}
            out += [s for s in self.ctx.read(leaf.text, scope) if s.pos in held]
        return out

    # -- roles that stand in no config themselves -------------------------------------------------------------------------

    def _role(self, leaf: Scalar, path: list[Node], scope: Scope) -> list[Site]:
        """The role that a value sets where it stands, or where the local or variable that it is of is put."""
        held: Node = leaf
        around = path[:-1]
        while around and isinstance(around[-1], Choice):
            held = around.pop()
        owner = around[-1] if around else None
        if held is not leaf and isinstance(owner, Map):
            sites = [self._chosen(leaf, held, owner, around, scope)]
        else:
            sites = super()._role(leaf, path, scope)
        if len(sites) == 1 and sites[0].kind in {"role", "value"} and (found := self._becomes([*around, held])):
            connector = next(iter(found)) if len(found) == 1 else None
            exact = leaf.exact and leaf.text.exact(leaf.value.index(TOKEN), len(TOKEN))
            return [Site(sites[0].pos, sites[0].scope, "role", connector, exact=exact)]
        return sites

    def _chosen(self, leaf: Scalar, held: Node, owner: Map, around: list[Node], scope: Scope) -> Site:
        """The role that one value of ``held``, a choice, sets in the mapping ``owner``."""
        pair = owner.pair_of(held)
        k = leaf.value.index(TOKEN)
        if pair is None or pair[1] is not held or not connectors.is_role_key(pair[0].value):
            return Site(leaf.text.at(k), scope, "value")
        found = (connectors.connector_of(n) for n in reversed(around[:-1]) if isinstance(n, Map))
        wrappers = tuple(c for c in found if c and connectors.kind_of(c) is not connectors.Kind.NIXL)
        exact = leaf.exact and leaf.text.exact(k, len(TOKEN))
        connector = self._connector(owner, [*around, leaf])
        return Site(
            leaf.text.at(k), scope, "role", connector, wrappers, connectors.settings(self._merged(owner)), exact
        )

    def _becomes(self, path: list[Node]) -> set[str | None]:
        """The connectors of the configs whose role the value at the end of ``path`` becomes by a name."""
        pairs = [(node.pair_of(inner), inner) for node, inner in pairwise(path) if isinstance(node, Map)]
        if not all(pair is not None and pair[1] is inner for pair, inner in pairs):
            return set()  # a key
        keys = [pair[0].value for pair, _ in pairs if pair is not None]
        if "for_each" in keys and (at := keys.index("for_each")) and len(keys) == at + 2:
            block = next(n for n, inner in pairwise(path) if isinstance(n, Map) and n.get("for_each") is inner)
            return self._put(self._each(block))
        match keys:
            case ["locals", name] | ["variable", name, "default"]:
                named = self._named.get(("local." if keys[0] == "locals" else "var.") + name, [])
                return self._put(m.start() for m in named if not _TAKES_PART.match(self.source.s, m.end()))
            case ["locals", name, _] | ["variable", name, "default", _]:
                found: set[str | None] = set()
                for m in self._named.get(("local." if keys[0] == "locals" else "var.") + name, []):
                    if _TAKES_PART.match(self.source.s, m.end()):
                        found |= self._put([m.start()])
                    elif m["each"]:
                        blocks = [n for n in path_to(self.root, m.start())[-2:] if isinstance(n, Map)]
                        found |= {c for block in blocks for c in self._put(self._each(block))}
                return found
        return set()

    @cached_property
    def _named(self) -> dict[str, list[re.Match[str]]]:
        """Where each local and variable is named, as often as anybody writes it by hand."""
        out: dict[str, list[re.Match[str]]] = {}
        for m in _NAMED.finditer(self.source.s):
            places = out.setdefault(m["name"], [])
            if len(places) < MANY:
                places.append(m)
        return out

    def _each(self, block: Node) -> Iterator[int]:
        """Where a block names the value that it is made for."""
        return (m.start() for m in islice(_EACH.finditer(self.source.s, block.start, block.end), MANY))

    def _put(self, places: Iterable[int]) -> set[str | None]:
        """The connectors of the configs whose role is what stands at ``places``."""
        found: set[str | None] = set()
        for i in places:
            path = path_to(self.root, i)
            if self.commented(i) or not isinstance(path[-1], Scalar):
                continue
            leaf = path[-1]
            held: Node = leaf
            place = self.source.at(self.source.s.rfind("${", max(0, i - _NEAR), i))
            inner = objects.round_place(leaf.text, place) if leaf.quoted or leaf.block else None
            if inner is not None:
                found |= (
                    {self.ctx.named(connectors.connector_of(inner[0]))} if connectors.is_role_key(inner[1]) else set()
                )
                continue
            for n in range(len(path) - 2, -1, -1):
                node = path[n]
                pair = node.pair_of(held) if isinstance(node, Map) else None
                if isinstance(node, Map) and pair is not None and pair[1] is held and pair[0].value != "lookup":
                    if connectors.is_role_key(pair[0].value):
                        found.add(self._connector(node, path[: n + 2]))
                    break
                held = node
        return found

    def _merge(self, m: Map) -> Map:
        """A mapping with what ``merge(local.base, {...})`` takes from a local; what stands further back comes first."""
        if m.start not in self._built.merges:
            return m
        named = [v for k, v in m.pairs if k.value == "<<" and isinstance(v, Scalar)]
        taken = [found for v in named if isinstance(found := self._meant(v.value.strip("${}")), Map)]
        out = Map(m.start, m.end)
        known = {"<<"}
        for k, v in [*reversed(m.pairs), *(pair for t in reversed(taken) for pair in reversed(t.pairs))]:
            if k.value not in known:
                known.add(k.value)
                out.pairs.append((k, v))
        return out

    def _handed_out(self, keys: list[str], root: Node, scope: Scope) -> None:  # noqa: ARG002 (Tree's)
        """Have the uses looked up of a local and of a variable's default."""
        kind = {"locals": "local", "variable": "var"}.get(keys[0])
        if kind is not None:
            scope.kind, scope.name = "variable", keys[1]
            scope.find_uses = partial(self._references, re.compile(rf"(?<![\w.]){kind}\.{re.escape(keys[1])}(?![\w-])"))

    def _references(self, pattern: re.Pattern[str]) -> list[Scope]:
        """The owners of every place of the module that ``pattern`` is found in."""
        out: list[Scope] = []
        for m in islice(pattern.finditer(self.source.s), MANY):
            if not self.commented(m.start()):
                out.append(self.scopes(path_to(self.root, m.start())))
                out[-1].place = self.source.at(m.start())
        folder, own = os.path.split(self.ctx.path)
        beside = (
            sorted(n for n in self.ctx.siblings if n.endswith(_MODULE) and n != own) if own.endswith(_MODULE) else []
        )
        for name in beside[:_MANY]:
            hit = walk.look(os.path.join(folder, name))
            if hit.skipped or len(hit.data) > _MAX_BYTES or pattern.search(hit.data.decode("utf-8", "replace")) is None:
                continue
            text = Text(hit.data.decode("utf-8", "replace"))
            file = File(hit.path, name, text, self.ctx.nixl)
            other = _tree(text, file_scope(name, file), file)
            found = (m for m in pattern.finditer(text.s) if not other.commented(m.start()))
            out += [other.scopes(path_to(other.root, m.start())) for m in found]
        return out

    def value_of(self, name: str) -> str | None:
        """The string that a local is set to, or a variable by default if that is NIXL's."""
        found = self._meant(name)
        if not isinstance(found, Scalar) or found.value.startswith("$"):
            return None
        nixl = connectors.kind_of(found.value, self.ctx.nixl) is connectors.Kind.NIXL
        return found.value if nixl or name.startswith("local.") else None

    def _meant(self, name: str) -> Node | None:
        """What ``local.a.b`` or ``var.a`` stands for, as far as this file says."""
        kind, *keys = name.split(".")
        found: Node | None = None
        for k, v in self.root.pairs if isinstance(self.root, Map) and keys else []:
            held = (
                v.get(keys[0])
                if isinstance(v, Map) and k.value == {"local": "locals", "var": "variable"}.get(kind)
                else None
            )
            found = held if held is not None else found
        if kind == "var" and isinstance(found, Map):
            found = found.get("default")
        for key in keys[1:]:
            found = found.get(key) if isinstance(found, Map) else None
        return found


_NAMED = regex(r"(?P<each>\bfor_each\s*=\s*)?(?<![\w.])(?P<name>(?:local|var)\.\w[\w-]*)")
_EACH = regex(r"each\.value(?![\w.\[])")
_TAKES_PART = regex(r"[\[.,]")
_NEAR = 200  # characters before a name in which its ``${`` stands


def _hashes(s: str, comments: list[tuple[int, int]]) -> str:
    """``s`` with every comment written with ``#``, character for character."""
    out = list(s)
    for a, b in comments:
        if s.startswith("//", a):
            out[a : a + 2] = "# "
        elif s.startswith("/*", a) and "\n" not in s[a:b]:
            out[a : a + 2] = "# "
            out[b - 2 : b] = "  "
    return "".join(out)


HCL = _Hcl()
