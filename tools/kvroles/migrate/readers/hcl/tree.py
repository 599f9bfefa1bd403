"""The tree of one file of HCL. The value of a local or a variable belongs to every place of its module that names it."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from itertools import islice, pairwise

from kvroles.evidence import kinds, loops, pickers
from kvroles.evidence.data import Choice, Map, Node, Scalar, path_to
from kvroles.evidence.frames import Cue, Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, occurrences
from kvroles.migrate.connector import connectors
from kvroles.migrate.files import hits
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.hcl.builder import Builder
from kvroles.migrate.readers.mapping import files, objects
from kvroles.migrate.readers.mapping.configs import Configs
from kvroles.migrate.readers.mapping.tree import Tree
from kvroles.migrate.readers.of_file import file_scope
from kvroles.migrate.readers.template import branches as branches_of

_MODULE = (".tf", ".tofu")  # the files of one folder are one module
_MANY = 50  # files of a module that are read
_MAX_BYTES = 256 << 10
# Of what a ``for_each`` goes over, those that it keeps; and under which condition a block is there at all.
_KEPT_IF = regex(r"\bfor\b[^{}]*?\bif\s+(?P<asked>[^{}\[\]]+?)\s*[}\]]\)?\s*\Z")
_THERE = regex(r"(?P<asked>[^?\n]{1,200})\?(?P<first>[^:\n]{1,60}):(?P<other>[^\n]{1,60})")
_NAMED = regex(r"(?P<each>\bfor_each\s*=\s*)?(?<![\w.])(?P<name>(?:local|var)\.\w[\w-]*)")
_EACH = regex(r"each\.value(?:\.(?P<part>\w[\w-]*)|\[\"(?P<key>[^\"\n]*)\"\])?(?![\w.\[])")
_BELOW = regex(r"(?:\.\w[\w-]*|\[[^\[\]\n]*\])(?:\.(?P<part>\w[\w-]*)|\[\"(?P<key>[^\"\n]*)\"\])(?![\w.\[])")
_PART = regex(r"[\w.]")
_GOES_ON = regex(r"[\w-]")
_TAKES_PART = regex(r"[\[.,]")
_NEAR = 200  # characters before a name in which its ``${`` stands


def tree_of(t: Text, up: Scope, file: File) -> HclTree:
    """The tree of the text ``t``, with ``up`` as the owner of the whole."""
    return HclTree(Builder(t), t, up, file)


class HclTree(Tree):
    """The mappings of one file of HCL as a tree, with the uses of its locals and variables."""

    def __init__(self, built: Builder, t: Text, up: Scope, file: File) -> None:
        source = t.same_places(_hashes(t.s, built.comments))
        super().__init__(built.root, source, up, file, True, built.branches, partial(branches_of.scope_of, ctx=file))
        self.configs = Configs(built.root, source, file, self._merge)
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
            out += [s for s in self.ctx.read(leaf.text, scope, files.language(leaf, path)) if s.pos in held]
        return out

    def _mapping(
        self, node: Map, path: list[Node], i: int, keys: list[str], up: Scope, through: str | None, *, follow: bool
    ) -> Scope:
        module = keys[:1] == ["module"]
        said = node.kept("module" if module else "block", partial(self._said_of_block, node, module=module))
        up = Scope("block", "", up, [*said]) if said else up
        return super()._mapping(node, path, i, keys, up, through, follow=follow)

    def _said_of_block(self, node: Map, *, module: bool) -> list[Cue]:
        """What a block's ``for_each`` and ``count``, a module's ``source`` and the file of a ``templatefile`` say of what they
        are given."""
        out: list[Cue] = []
        for key, value in node.pairs:
            place = self.source.at(value.start)
            if key.value == "for_each":
                words = self.source.s[value.start : value.end]
                out += loops.cues(words, f"for_each = {words}"[:80], self.ctx, place)
                if (kept := _KEPT_IF.search(words)) is not None:
                    out += pickers.holding(kept["asked"], f"for_each: if {kept['asked']}"[:80], self.ctx, place)
            elif key.value == "count" and (there := _THERE.fullmatch(self.source.s, value.start, value.end)):
                first = there["first"].strip()
                if (first == "0") != (there["other"].strip() == "0"):
                    words = f"count = {there[0]}"[:80]
                    out += pickers.cues(there["asked"].strip(), first, int(first == "0"), words, self.ctx, place)
            elif isinstance(value, Scalar) and (key.value == "templatefile" or (key.value == "source" and module)):
                name = value.value.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
                out += self.ctx.name_cues(kinds.NAME, name.partition(".")[0], place, name)
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
        if (
            len(sites) == 1
            and sites[0].kind in {"role", "value"}
            and (found := self._connectors_by_name([*around, held]))
        ):
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
        wrappers = connectors.wrappers(reversed(around[:-1]))
        exact = leaf.exact and leaf.text.exact(k, len(TOKEN))
        connector = self.configs.connector(owner, [*around, leaf])
        return Site(
            leaf.text.at(k), scope, "role", connector, wrappers, connectors.settings(self.configs.merged(owner)), exact
        )

    def _connectors_by_name(self, path: list[Node]) -> set[str | None]:
        """The connectors of the configs that take the value at the end of ``path`` as their role by its name: of a local, a
        variable, ``each.value``."""
        pairs = [(node.pair_of(inner), inner) for node, inner in pairwise(path) if isinstance(node, Map)]
        if not all(pair is not None and pair[1] is inner for pair, inner in pairs):
            return set()  # a key
        keys = [pair[0].value for pair, _ in pairs if pair is not None]
        if "for_each" in keys and (at := keys.index("for_each")) and len(keys) in {at + 2, at + 3}:
            block = next(n for n, inner in pairwise(path) if isinstance(n, Map) and n.get("for_each") is inner)
            return self._connectors_at(self._each(block, "".join(keys[at + 2 :])))
        match keys:
            case ["locals", name] | ["variable", name, "default"]:
                named = self._named.get(("local." if keys[0] == "locals" else "var.") + name, [])
                return self._connectors_at(m.start() for m in named if not _TAKES_PART.match(self.source.s, m.end()))
            case (
                ["locals", name, _]
                | ["locals", name, _, _]
                | ["variable", name, "default", _]
                | ["variable", name, "default", _, _]
            ):
                part = keys[-1] if len(keys) == (4 if keys[0] == "locals" else 5) else ""
                found: set[str | None] = set()
                for m in self._named.get(("local." if keys[0] == "locals" else "var.") + name, []):
                    if m["each"]:
                        blocks = [n for n in path_to(self.root, m.start())[-2:] if isinstance(n, Map)]
                        found |= {c for block in blocks for c in self._connectors_at(self._each(block, part))}
                    elif (below := _BELOW.match(self.source.s, m.end())) is not None and part:
                        found |= self._connectors_at([m.start()] if part in below.groups() else [])
                    elif _TAKES_PART.match(self.source.s, m.end()) and not part:
                        found |= self._connectors_at([m.start()])
                return found
        return set()

    @cached_property
    def _named(self) -> dict[str, list[re.Match[str]]]:
        """The places that name each local and variable, at most ``MANY`` of each."""
        out: dict[str, list[re.Match[str]]] = {}
        for m in _NAMED.finditer(self.source.s):
            places = out.setdefault(m["name"], [])
            if len(places) < MANY:
                places.append(m)
        return out

    def _each(self, block: Node, part: str = "") -> Iterator[int]:
        """Where a block with ``for_each`` names ``each.value``, or its ``part``."""
        named = islice(_EACH.finditer(self.source.s, block.start, block.end), MANY)
        return (m.start() for m in named if (m["part"] or m["key"] or "") == part)

    def _connectors_at(self, places: Iterable[int]) -> set[str | None]:
        """The connectors of the configs whose role is the value at one of ``places``."""
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
                        found.add(self.configs.connector(node, path[: n + 2]))
                    break
                held = node
        return found

    def _merge(self, m: Map) -> Map:
        """A mapping with the pairs that ``merge(local.base, {...})`` takes from a local. The last pair of a key counts."""
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
        """Where ``keys`` lead to a local or a variable's default, have its uses looked up."""
        kind = {"locals": "local", "variable": "var"}.get(keys[0])
        if kind is not None:
            scope.kind, scope.name = "variable", keys[1]
            scope.find_uses = partial(self._references, f"{kind}.{keys[1]}")

    def _references(self, word: str) -> list[Scope]:
        """The owners of every place of the module that names ``word``: ``local.kv``, ``var.kv``."""
        out: list[Scope] = []
        for i in islice(_whole_names(self.source.s, word), MANY):
            if not self.commented(i):
                out.append(self.scopes(path_to(self.root, i)))
                out[-1].place = self.source.at(i)
        folder, own = os.path.split(self.ctx.path)
        beside = (
            sorted(n for n in self.ctx.siblings if n.endswith(_MODULE) and n != own) if own.endswith(_MODULE) else []
        )
        for name in beside[:_MANY]:
            hit = hits.look(os.path.join(folder, name))
            if hit.skipped or len(hit.data) > _MAX_BYTES or word.encode() not in hit.data:
                continue
            text = Text(hit.data.decode("utf-8", "replace"))
            file = File(hit.path, name, text, self.ctx.nixl)
            other = tree_of(text, file_scope(name, file), file)
            found = (i for i in _whole_names(text.s, word) if not other.commented(i))
            out += [other.scopes(path_to(other.root, i)) for i in found]
        return out

    def value_of(self, name: str) -> str | None:
        """The string that a local is set to, or a variable's default if that names NIXL: any other default may be overridden."""
        found = self._meant(name)
        if not isinstance(found, Scalar) or found.value.startswith("$"):
            return None
        nixl = connectors.kind_of(found.value, self.ctx.nixl) is connectors.Kind.NIXL
        return found.value if nixl or name.startswith("local.") else None

    def _meant(self, name: str) -> Node | None:
        """The value of ``local.a.b`` or ``var.a``, None if this file does not set it."""
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


def _whole_names(s: str, name: str) -> Iterator[int]:
    """Where a text has the dotted name ``name``, and not a longer one that holds it."""
    for i in occurrences(s, name):
        if not _PART.match(s[i - 1 : i]) and not _GOES_ON.match(s, i + len(name)):
            yield i


def _hashes(s: str, comments: list[tuple[int, int]]) -> str:
    """``s`` with ``#`` for every mark of a comment, and every other character in its place."""
    out = list(s)
    for a, b in comments:
        if s.startswith("//", a):
            out[a : a + 2] = "# "
        elif s.startswith("/*", a) and "\n" not in s[a:b]:
            out[a : a + 2] = "# "
            out[b - 2 : b] = "  "
    return "".join(out)
