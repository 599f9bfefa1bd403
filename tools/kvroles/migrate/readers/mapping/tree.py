"""Sites in a tree of mappings and sequences: the owners of each, and what its leaf holds."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise

from kvroles.evidence import argv, data_cues, entries, kinds, pickers
from kvroles.evidence.data import Alias, Choice, Map, Node, Scalar, Seq, path_to, scalars_with, walk
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.names import PD
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, TOKEN_RE, Text
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import defaults, lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.mapping import config_maps, files, uses
from kvroles.migrate.readers.mapping.configs import Configs
from kvroles.migrate.readers.mapping.inherits import Inherits
from kvroles.migrate.readers.mapping.remarks import Remarks, opens_line
from kvroles.migrate.readers.template.actions import Branch, Nest, defined
from kvroles.migrate.readers.words import REACH, role_set

_DEFINED = r"(?m)^[ \t]+[\"']?{}[\"']?:[ \t]*([^\n]*(?:\n[ \t]{{4,}}[^\n]*){{0,3}})"  # of a template's condition
_DENIES = regex(r"\bNot\b")
_GENERATORS = (["configMapGenerator"], ["secretGenerator"])
# A document of Spring's that holds for one profile: it is laid over the one without.
_PROFILES = ("on-profile", "spring.profiles")
_OF_PROFILE = regex(r"\bon-profile\b|\bspring\.profiles\b")
# Keys of what a test of manifests expects.
_ASSERTS = frozenset({"assert", "asserts"})


class Tree:
    """One document: its root, its source, and what surrounds it."""

    def __init__(
        self,
        root: Node,
        source: Text,
        up: Scope,
        ctx: File,
        commented: bool = False,
        branches: Sequence[Branch] = (),
        branch_scope: Callable[[Branch, Scope, Text], Scope] | None = None,
        beside: Sequence[Tree] = (),
    ) -> None:
        self.root = root
        self.source = source
        self.up = up
        self.ctx = ctx
        self._remarks = Remarks(source, ctx)
        self.has_comments = commented  # the language has # comments
        self.nest = Nest(branches)
        self.branch_scope = branch_scope
        self.configs = Configs(root, source, ctx)
        self._head: list[Cue] | None = None  # what the comment at the document's head says of one side
        self._words: dict[int, list[argv.Word] | None] = {}
        self._places: dict[int, dict[int, int]] = {}
        self.beside = beside  # the documents of the same file, this one among them

    @cached_property
    def aliases(self) -> dict[str, list[Alias]]:
        """The aliases of each anchor."""
        out: dict[str, list[Alias]] = {}
        for node in walk(self.root):
            if isinstance(node, Alias):
                out.setdefault(node.name, []).append(node)
        return out

    @cached_property
    def anchors(self) -> frozenset[str]:
        """The names of the anchors in the document."""
        return frozenset(node.anchor for node in walk(self.root) if not isinstance(node, Alias) and node.anchor)

    def sites(self) -> list[Site]:
        """Every site in the tree."""
        out: list[Site] = []
        for node in scalars_with(self.root, TOKEN):
            if TOKEN_RE.search(node.value):
                out += self._scalar(node)
        return sorted(out, key=lambda s: s.pos)

    def _scalar(self, leaf: Scalar) -> list[Site]:
        path = path_to(self.root, leaf.start)
        if not path or path[-1] is not leaf:
            return []
        scope = Scope.deferred(partial(self.scopes, path))
        if self._asserted(path):
            return [Site(leaf.text.at(i), scope, "expectation") for i in leaf.text.tokens()]
        parent = path[-2] if len(path) > 1 else None
        if isinstance(parent, Seq) and (site := self._in_words(leaf, parent, scope)):
            return [site]
        if leaf.value.strip() == TOKEN:
            return self._role(leaf, path, scope)
        if (variable := defaults.variable_of(leaf.value)) is not None:
            return self._role(leaf, path, lines.keyed(variable, leaf.text.at(0), scope, self.ctx))
        if not leaf.exact:
            return [Site(leaf.text.at(0), scope, "role", None, exact=False)]
        if (held := defaults.object_of(leaf.value)) is not None:
            for name in held[0]:
                scope = lines.keyed(name, leaf.text.at(0), scope, self.ctx)
            return self.ctx.read(leaf.text.slice(*held[1:]), scope, "json")
        return (
            self._branched(leaf, path)
            if self._within(leaf)
            else self.ctx.read(leaf.text, scope, files.language(leaf, path))
        )

    @staticmethod
    def _asserted(path: list[Node]) -> bool:
        """Whether a path leads into what a test of manifests expects: ``asserts:`` of helm-unittest, ``assert:`` of Chainsaw."""
        return any(
            isinstance(node, Map) and (pair := node.pair_of(inner)) is not None and pair[0].value in _ASSERTS
            for node, inner in pairwise(path)
        )

    def _within(self, leaf: Scalar) -> list[Branch]:
        """The branches of conditionals that begin within a scalar, and the definitions that end in it."""
        above = (b for b in self.nest.around(leaf.start) if _ends_within(b, leaf))
        return [*above, *self.nest.begun(leaf.start, leaf.end)]

    def _branched(self, leaf: Scalar, path: list[Node]) -> list[Site]:
        """The sites in a scalar that holds conditionals: of each, the branches round it are owners."""
        out: list[Site] = []
        within = set(self._within(leaf))
        places = {self.source.at(i): tuple(b for b in self.nest.around(i) if b in within) for i in self.source.tokens()}
        by_branch: dict[tuple[Branch, ...], set[int]] = {}
        for place, inside in places.items():
            by_branch.setdefault(inside, set()).add(place)
        for around, own in by_branch.items():
            scope = self.scopes(path)
            for branch in around:
                scope = self.branch_scope(branch, scope, self.source) if self.branch_scope is not None else scope
            text = leaf.text
            if around and defined(around[-1]):  # what several definitions hold is no text together
                text = text.slice(
                    *(bisect_left(range(len(text.s)), self.source.at(i), key=text.at) for i in around[-1][:2])
                )
            with self.ctx.only(frozenset(own)):
                out += [s for s in self.ctx.read(text, scope, files.language(leaf, path)) if s.pos in own]
        return out

    @cached_property
    def _inherits(self) -> Inherits:
        s = self.source.s
        profiles = self.beside if any(word in s for word in _PROFILES) else ()
        over = (d.root for d in profiles if d is not self and _OF_PROFILE.search(s, d.root.start, d.root.end))
        return Inherits(self.root, self.ctx, over)

    # -- owners -------------------------------------------------------------------------------------------------------

    def scopes(self, path: list[Node], *, follow: bool = True) -> Scope:
        """The owners along ``path``, the innermost of them returned; without ``follow`` no uses of theirs are looked up."""
        scope = self._head_of(path[0])
        leaf = path[-1]
        if follow and (taken := self._inherits.over(path)):
            scope = Scope("document", "", scope, taken)
        pending = [b for b in self.nest.around(leaf.start) if not _ends_within(b, leaf)]
        keys: list[str] = []  # those on the way down
        told: set[int] = set()  # where the lines begin whose comments have an owner
        for i, node in enumerate(path):
            below = i + 1 < len(path)
            scope = self._in_branches(
                pending, path[i + 1].start if isinstance(node, Seq) and below else node.start, scope
            )
            if node.anchor and follow:
                scope = Scope("anchor", node.anchor, scope, find_uses=partial(uses.of_anchor, self, node, path))
            if isinstance(node, Map):
                pair = node.pair_of(path[i + 1]) if below else None
                scope = self._mapping(node, path, i, keys, scope, pair[0].value if pair else None, follow=follow)
                if pair is not None and pair[1] is path[i + 1]:
                    scope = self._in_branches(pending, pair[0].start, scope)
                    scope = self._key(pair[0], path, i, keys, scope, told, follow=follow)
            elif isinstance(node, Seq) and below:
                scope = self.item(node, path[i + 1], scope, told)
        return scope

    def _in_branches(self, pending: list[Branch], begins: int, scope: Scope) -> Scope:
        """The scopes of those of the branches ``pending`` that begin before what begins at an index; they are taken out."""
        while pending and pending[0].start <= begins and self.branch_scope:
            scope = self.branch_scope(pending.pop(0), scope, self.source)
        return scope

    def _head_of(self, root: Node) -> Scope:
        """The owner of the whole document, with what the comment at its head says of one side; what tells of both is its
        subject."""
        if self._head is None:
            said = self._remarks.of_document(root) if self.has_comments else []
            self._head = [c for c in said if c.side is not Side.SHARED]
        return Scope("document", "", self.up, [*self._head]) if self._head else self.up

    def _mapping(
        self, node: Map, path: list[Node], i: int, keys: list[str], up: Scope, through: str | None, *, follow: bool
    ) -> Scope:
        """The scope of the mapping ``path[i]``; ``through`` is the key in it that the path goes through, None if it ends here."""
        scope = data_cues.map_scope(node, up, self.ctx, through)
        if node.kept("asserts", partial(_asserts, node)):
            scope = Scope("test", "", scope)
            scope.span = self.source.at(node.start), self.source.at(node.end)
        return self._with_uses(node, path, i, keys, scope, through or "") if follow else scope

    def _key(
        self, key: Scalar, path: list[Node], i: int, keys: list[str], scope: Scope, told: set[int], *, follow: bool
    ) -> Scope:
        """The scope of ``key`` of the mapping ``path[i]``, which the path goes through; it is added to ``keys``."""
        node, value = path[i], path[i + 1]
        assert isinstance(node, Map)
        if written := files.written(node, key.value):
            scope = Scope(
                "file", written, scope, self.ctx.name_cues(kinds.FILE_WRITTEN, written, self.source.at(key.start))
            )
            scope.only_doubts = True
            if follow:
                scope.find_uses = partial(uses.of_written, self, written, node)
        if self.has_comments and (not node.flow or opens_line(self.source.s, key.start)):
            above = self._said(key.start, told)
            scope = Scope("line", "", scope, above) if above else scope  # a name says more than what is said of it
        scope = data_cues.key_scope(key, value, node, scope, self.ctx)
        scope.cues += uses.referenced(self, key, node, scope)
        side = scope.cues[0].side if len(scope.cues) == 1 else None
        if follow and side in PD:
            scope.find_handed_on = partial(uses.handed_on, self, path, i, side.other)
        keys.append(key.value)
        if len(keys) == 2:
            if follow:
                self._handed_out(keys, path[0], scope)
            if (cue := data_cues.kserve(path[0], keys)) is not None:
                scope.cues.append(cue)
        return scope

    def _with_uses(self, node: Map, path: list[Node], i: int, keys: list[str], scope: Scope, key: str) -> Scope:
        """``scope`` with the uses of the name that the mapping ``path[i]`` has or gives: of an object of Kubernetes, of one that
        Kustomize makes, of an environment variable."""
        if i == 2 and keys in _GENERATORS and (name := node.scalar("name")):
            scope = Scope("generator", name, scope, find_uses=partial(uses.of_generated, self, name, path[0]))
        if i == 0 and (name := config_maps.mounted_name(node)):
            scope.kind, scope.name = node.scalar("kind") or "", name
            scope.find_uses, scope.only_doubts = partial(uses.of_config_map, self, name, _data_key(path)), True
        elif i == 0 and scope.cues and len(self.beside) > 1 and (name := config_maps.object_name(node)):
            scope.find_uses, scope.only_doubts = partial(uses.of_object, self, name), True
        elif keys and keys[-1] == "templates" and scope.cues and (name := node.scalar("name")):
            scope.find_uses, scope.only_doubts = partial(uses.of_template, self, name), True
        elif key in data_cues.ENV_KEYS and (name := config_maps.env_name(path, i)):
            scope = Scope("variable", name, scope)
            scope.find_uses, scope.only_doubts = partial(uses.of_variable, self, name, node), True
        return scope

    def _said(self, start: int, told: set[int]) -> list[Cue]:
        """What the comments say above and at the end of the line of index ``start``. They are about the outermost that begins
        there: of a line that is in ``told``, to which this one is added, they have their owner."""
        line = self.source.s.rfind("\n", 0, start) + 1
        if line in told:
            return []
        told.add(line)
        return self._remarks.of_line(start)

    def item(self, seq: Seq, item: Node, up: Scope, told: set[int] | None = None) -> Scope:
        """The scope of one item of a list: what the words near it say if it is a command's, and what stands above it, unless its
        line is in ``told`` (see ``_said``)."""
        scope = Scope("item", "", up)
        words = self._words_of(seq) if not isinstance(seq, Choice) else None  # of those one is taken
        if (picked := self._picked(seq, item, up)) is not None:
            scope.cues += picked
        elif words is not None and len(words) > 1:
            index = self._places[id(seq)][id(item)]
            first = max(0, index - REACH)
            near = words[first : index + REACH]
            if any(w.s.startswith("-") for w in near):
                scope.launch = True
            scope.cues += argv.cues(near, self.ctx, skip=index - first)
            scope.flags = argv.flags_of(near)
        scope.cues += entries.off_beside(seq, item, self.ctx) + entries.taken_beside(seq, item, self.ctx)
        if self.has_comments and (not seq.flow or opens_line(self.source.s, item.start)):
            scope.cues += self._said(item.start, set() if told is None else told)
        return scope

    def _picked(self, seq: Seq, item: Node, up: Scope) -> list[Cue] | None:
        """What CloudFormation's ``!If [condition, a, b]`` says of ``a`` or ``b``; None of a list that is no such thing."""
        first = seq.items[0]
        if not isinstance(first, Scalar) or item is first:
            return None
        tag = re.search(r"!([\w:]+)[\s\[\"'-]*\Z", self.source.s[max(0, first.start - 60) : first.start])
        named = (up.kind == "key" and pickers.by_name(up.name)) or (tag is not None and pickers.by_name(tag.group(1)))
        if not named or len(seq.items) != 3:
            return [] if named or pickers.is_yes_or_no(first.value) else None
        a = seq.items[1]
        defined = re.search(_DEFINED.format(re.escape(first.value)), self.source.s)
        if defined is not None and _DENIES.search(defined.group(1)):
            return []  # a condition that is not what it is called
        value = self.source.s[a.start : a.end]
        words, place = f"If {first.value}"[:80], self.source.at(first.start)
        return pickers.cues(first.value, value, seq.items.index(item) - 1, words, self.ctx, place)

    def _handed_out(self, keys: list[str], root: Node, scope: Scope) -> None:
        """Have the uses looked up of what a file's head gives a name: a compose config, a file of a ConfigMap."""
        if keys[0] in {"configs", "secrets"}:
            scope.kind = "config"  # of one project: its services are in the file
            scope.find_uses = partial(uses.of_list, self, keys[0], keys[1])
        elif (
            keys[0] in {"data", "stringData"}
            and "." in keys[1]
            and isinstance(root, Map)
            and config_maps.mounted_name(root)
        ):
            scope.kind, scope.only_doubts = "file", True
            scope.find_uses = partial(uses.of_file, self, keys[1], root)

    # -- leaves -------------------------------------------------------------------------------------------------------

    def _role(self, leaf: Scalar, path: list[Node], scope: Scope) -> list[Site]:
        offset = leaf.value.index(TOKEN)
        pos = leaf.text.at(offset)
        exact = leaf.exact and leaf.text.exact(offset, len(TOKEN))
        parent = path[-2] if len(path) > 1 else None
        if not isinstance(parent, Map):
            return [Site(pos, scope, "value")]
        pair = parent.pair_of(leaf)
        key = pair[0].value if pair is not None and pair[1] is leaf else ""
        connector = self.configs.connector(parent, path)
        if key == "value" and (name := parent.scalar("name") or parent.scalar("path")):
            if not connectors.is_role_key(name.rsplit("/", 1)[-1]):
                return [Site(pos, scope, "value")]
            connector = self.ctx.named(self.configs.of_variable(name, path)) or self.configs.read_by(name, path)
            return [Site(pos, scope, "role", connector, exact=exact)]
        if not connectors.is_role_key(key):
            return [Site(pos, scope, "value", connector)]
        connector = connector or self.configs.read_by(key, path)
        if parent.anchor and connectors.kind_of(connector) is connectors.Kind.OTHER and self.configs.set_again(parent):
            connector = None
        parent = self.configs.merged(parent)
        exact = exact and connectors.one_role(parent)
        wrappers = connectors.wrappers(reversed(path[:-2]))
        return [Site(pos, scope, "role", connector, wrappers, connectors.settings(parent), exact)]

    def _in_words(self, leaf: Scalar, seq: Seq, scope: Scope) -> Site | None:
        """The role that one of a list's strings sets, as a flag, an override or a variable."""
        words = self._words_of(seq)
        if words is None:
            return None
        index = self._places[id(seq)][id(leaf)]
        found = role_set(words, index, self.ctx)
        if found is None:
            return None
        k = leaf.value.index(TOKEN)
        scope = lines.keyed(found.key, leaf.text.at(0), scope, self.ctx)
        exact = leaf.exact and leaf.text.exact(k, len(TOKEN))
        connector = found.connector or self.configs.read_by(found.key, path_to(self.root, leaf.start))
        return Site(leaf.text.at(k), scope, "role", connector, (), found.extra, exact)

    def _words_of(self, seq: Seq) -> list[argv.Word] | None:
        """The words of a list of strings, or None if it is not one; its items' places are known from then on."""
        if id(seq) not in self._words:
            self._words[id(seq)] = data_cues.seq_words(seq)
            self._places[id(seq)] = {id(n): i for i, n in enumerate(seq.items)}
        return self._words[id(seq)]


def _ends_within(b: Branch, leaf: Node) -> bool:
    """Whether a branch is what a template defines, and ends before the scalar that it begins in or above does."""
    return leaf.start < b.end < leaf.end and defined(b) != ""


def _data_key(path: list[Node]) -> str:
    """The key of an object's data that a path from the object goes through; empty if it goes through none."""
    pair = path[1].pair_of(path[2]) if len(path) > 2 and isinstance(path[1], Map) else None
    return pair[0].value if pair is not None else ""


def _asserts(node: Map) -> bool:
    """Whether a mapping is a test of manifests: it says what it expects."""
    return any(k.value in _ASSERTS for k, _ in node.pairs)
