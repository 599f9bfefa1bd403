"""Sites in a tree of mappings and sequences: the owners of each, and what its leaf holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, pairwise

from kvroles.evidence import argv, data_cues, kinds, pickers
from kvroles.evidence.data import Alias, Map, Node, Scalar, Seq, path_to, scalars_with, walk
from kvroles.evidence.frames import Cue, Scope, Side, Site
from kvroles.evidence.names import PD, first_named, mentioned
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, TOKEN_RE, Text
from kvroles.migrate import connectors
from kvroles.migrate.readers import defaults, lines, mentions, pairs
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.mapping.remarks import Remarks, opens_line
from kvroles.migrate.readers.template.actions import Branch
from kvroles.migrate.readers.words import REACH, role_set

_TEMPLATE_KEY = regex(
    r"^(?:x-.*|\..*|_.*|anchors?|templates?|common|definitions|aliases|shared|defaults?|bases?)$", re.I
)


_DEFINED = r"(?m)^[ \t]+[\"']?{}[\"']?:[ \t]*([^\n]*(?:\n[ \t]{{4,}}[^\n]*){{0,3}})"  # of a template's condition
_DENIES = regex(r"\bNot\b")
# What a reference to another key begins with, up to its name: ``${{ env.``, ``$(``, ``{{ .Values.``, ``%(``, ``$ref: "#/``.
_REFERS = r"(?:\$[({]{0,3}\s*(?:[\w-]+\.){0,4}|\{\{[^{}\n]{0,80}?|%\(|\$ref[\"']?\s*:\s*[\"']?[^\s\"']{0,80}?/)"
_TWICE = 2
_WORD = regex(r"[^\s\"'`,]+")  # of a command in a string
_GENERATORS = (["configMapGenerator"], ["secretGenerator"])
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
        self.branches = branches
        self.branch_scope = branch_scope
        self._anchored: dict[str, Map] | None = None
        self._aliased: dict[str, list[Alias]] | None = None
        self._takers: dict[str, list[Map]] | None = None  # the mappings that each anchor is merged into
        self._head: list[Cue] | None = None  # what the comment at the document's head says
        self._words: dict[int, list[argv.Word] | None] = {}
        self._places: dict[int, dict[int, int]] = {}
        self.beside = beside  # the documents of the same file, this one among them

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
        return self._branched(leaf, path) if self._within(leaf) else self.ctx.read(leaf.text, scope)

    @staticmethod
    def _asserted(path: list[Node]) -> bool:
        """Whether a path leads into what a test of manifests expects: ``asserts:`` of helm-unittest, ``assert:`` of Chainsaw."""
        return any(
            isinstance(node, Map) and (pair := node.pair_of(inner)) is not None and pair[0].value in _ASSERTS
            for node, inner in pairwise(path)
        )

    def _within(self, leaf: Scalar) -> list[Branch]:
        """The branches of conditionals that begin within a scalar."""
        return [b for b in self.branches if leaf.start < b.start < leaf.end]

    def _branched(self, leaf: Scalar, path: list[Node]) -> list[Site]:
        """The sites in a scalar that holds conditionals: of each, the branches round it are owners."""
        out: list[Site] = []
        branches = self._within(leaf)
        places = {self.source.at(i): tuple(b for b in branches if b.start <= i < b.end) for i in self.source.tokens()}
        for around in {b for place, b in places.items()}:
            scope = self.scopes(path)
            for branch in around:
                scope = self.branch_scope(branch, scope, self.source) if self.branch_scope is not None else scope
            out += [s for s in self.ctx.read(leaf.text, scope) if places.get(s.pos) == around]
        return out

    # -- owners -------------------------------------------------------------------------------------------------------

    def scopes(self, path: list[Node], *, follow: bool = True) -> Scope:
        """The chain of scopes along ``path``, the last of them returned."""
        scope = self.up
        pending = [b for b in self.branches if b.start <= path[-1].start < b.end]
        keys: list[str] = []
        if self._head is None:
            self._head = self._remarks.of_document(path[0]) if self.has_comments else []
        said = self._head
        said = [c for c in said if c.side is not Side.SHARED]  # what tells of both at the head of a file is its subject
        if said:
            scope = Scope("document", "", scope, said)
        for i, node in enumerate(path):
            while pending and pending[0].start <= node.start and self.branch_scope:
                scope = self.branch_scope(pending.pop(0), scope, self.source)
            nxt = path[i + 1] if i + 1 < len(path) else None
            if node.anchor and follow:
                scope = Scope("anchor", node.anchor, scope)
                scope.find_uses = partial(self._uses, node, path)
            if isinstance(node, Map):
                pair = node.pair_of(nxt) if nxt is not None else None
                scope = data_cues.map_scope(node, scope, self.ctx, pair[0].value if pair else None)
                if node.kept("asserts", partial(_asserts, node)):
                    scope = Scope("test", "", scope)
                    scope.span = self.source.at(node.start), self.source.at(node.end)
                if i == 2 and follow and keys in _GENERATORS and (name := node.scalar("name")):
                    scope = Scope("generator", name, scope, find_uses=partial(self._replacing, name, path[0]))
                if i == 0 and follow and (name := data_cues.mounted_name(node)):
                    scope.kind, scope.name = node.scalar("kind") or "", name
                    scope.find_uses, scope.only_doubts = partial(self._mounts, name), True
                elif pair and follow and pair[0].value in data_cues.ENV_KEYS and (name := data_cues.env_name(path, i)):
                    scope = Scope("variable", name, scope)
                    scope.find_uses, scope.only_doubts = partial(self._expansions, name, node), True
                if pair and pair[1] is nxt:
                    noted = self.has_comments and (not node.flow or opens_line(self.source.s, pair[0].start))
                    if noted and (above := self._remarks.of_line(pair[0].start)):
                        scope = Scope("line", "", scope, above)  # a name says more than what is said of it
                    scope = data_cues.key_scope(pair[0], pair[1], node, scope, self.ctx)
                    scope.cues += self._referenced(pair[0], node, scope)
                    side = scope.cues[0].side if len(scope.cues) == 1 else None
                    if follow and side in PD:
                        scope.find_handed_on = partial(self._handed_on, path, i, side.other)
                    keys.append(pair[0].value)
                    if len(keys) == 2 and follow:
                        self._handed_out(keys, path[0], scope)
                    if len(keys) == 2 and (cue := data_cues.kserve(path[0], keys)):
                        scope.cues.append(cue)
            elif isinstance(node, Seq) and nxt is not None:
                scope = self._item(node, nxt, scope)
        return scope

    def _item(self, seq: Seq, item: Node, up: Scope) -> Scope:
        scope = Scope("item", "", up)
        words = self._words_of(seq)
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
        scope.cues += data_cues.off_beside(seq, item, self.ctx)
        if self.has_comments and (not seq.flow or opens_line(self.source.s, item.start)):
            scope.cues += self._remarks.of_line(item.start)
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

    def _uses(self, node: Node, path: list[Node]) -> list[Scope]:
        """The owners of every alias of an anchored node, and its own place unless that is a mere template."""
        out: list[Scope] = []
        if self._aliased is None:
            self._aliased = {}
            for n in walk(self.root):
                if isinstance(n, Alias):
                    self._aliased.setdefault(n.name, []).append(n)
        aliases = self._aliased.get(node.anchor, [])
        inner = path[path.index(node) + 1] if path[-1] is not node else None
        held = next((k.value for k, v in node.pairs if v is inner), "") if isinstance(node, Map) else ""
        for other in aliases[:MANY]:
            taker = path_to(self.root, other.start)
            if len(taker) > 1 and isinstance(taker[-2], Map) and held and taker[-2].get(held) is not None:
                continue  # merged into a mapping that sets that key anew
            out.append(self.scopes(taker, follow=False))
            out[-1].place = self.source.at(other.start)
        top = path[0]
        first = (
            next((k.value for k, v in top.pairs if len(path) > 1 and v is path[1]), "") if isinstance(top, Map) else ""
        )
        if out and not _TEMPLATE_KEY.match(first):
            out.append(self.scopes(path[: path.index(node) + 1], follow=False))
        return out

    def _mounts(self, name: str) -> list[Scope]:
        """The owners of every reference to the ConfigMap or Secret ``name`` in the file."""
        out: list[Scope] = []
        for tree in self.beside:
            for node in walk(tree.root):
                if len(out) < MANY and isinstance(node, Map) and data_cues.mounts(node, name):
                    out.append(tree.scopes(path_to(tree.root, node.pairs[0][0].start), follow=False))
                    out[-1].place = self.source.at(node.start)
        return out

    def _replacing(self, name: str, root: Node) -> list[Scope]:
        """The owners of what Kustomize's replacements put the ConfigMap or Secret ``name`` into."""
        given = root.get("replacements") if isinstance(root, Map) else None
        out: list[Scope] = []
        for item in given.items if isinstance(given, Seq) else []:
            source, targets = (item.get("source"), item.get("targets")) if isinstance(item, Map) else (None, None)
            if not isinstance(source, Map) or source.scalar("name") != name or not isinstance(targets, Seq):
                continue
            for target in targets.items[:MANY]:
                select = target.get("select") if isinstance(target, Map) else None
                taker = (select.scalar("name") or "") if isinstance(select, Map) else ""
                place = self.source.at(target.start)
                side = data_cues.one_side(taker, self.ctx) if taker and target.get("reject") is None else None  # type: ignore[union-attr]
                cues = [kinds.NAME.cue(side, f"replacements: {taker}", place)] if side is not None else []
                out.append(Scope("replacement", taker, self.up, cues, place=place))
        return out

    def _referenced(self, key: Scalar, owner: Map, scope: Scope) -> list[Cue]:
        """What GitLab's ``!reference [prefill, script]`` in a job of the other side says of this one."""
        if not scope.cues or "!reference" not in self.source.s:
            return []
        taken = re.compile(rf"!reference\s*\[\s*[\"']?{re.escape(key.value)}\b")
        return [
            kinds.REFERRED_TO.cue(Side.SHARED, f"{k.value} refers to {key.value}", k.text.at(0))
            for k, v in owner.pairs
            if k is not key and taken.search(self.source.s, v.start, v.end) and data_cues.one_side(k.value, self.ctx)
        ]

    def _handed_on(self, path: list[Node], i: int, other: Side) -> Cue | None:
        """The key or name of side ``other`` below which the value at the end of ``path`` is referred to by the key of the mapping
        ``path[i]`` that it is in: ``${prefill.kv}``, ``{{ prefill_kv }}``, ``$PREFILL_KV``, ``$ref: "#/prefill/kv"``."""
        keys: list[str] = []
        for node, inner in pairwise(path[i:]):
            pair = node.pair_of(inner) if isinstance(node, Map) else None
            if pair is None or pair[1] is not inner:
                break
            keys.append(pair[0].value)
        s, first, own = self.ctx.text.s, self.source.at(0), path[i + 1]
        if not keys or s.count(keys[0]) < _TWICE:
            return None
        below = ""
        for key in reversed(keys[1:]):
            below = rf"(?:(?:[.:/]|\[[\"']?){re.escape(key)}[\"']?\]?{below})?"
        named = re.compile(rf"{_REFERS}(?<![\w\"'-])(?P<name>{re.escape(keys[0])}){below}(?![\w/\[-]|[.:]\w)")
        for m in islice(named.finditer(s), MANY):
            k = m.start("name") - first
            if own.start <= k < own.end or not 0 <= k < len(self.source.s) or self.source.at(k) != m.start("name"):
                continue
            taker = path_to(self.root, k)
            for node, inner in reversed(list(pairwise(taker))):
                pair = node.pair_of(inner) if isinstance(node, Map) else None
                name = (node.scalar("name") or "") if isinstance(node, Map) else ""
                if said := first_named((pair[0].value if pair is not None else "", name)):
                    if mentioned(said) == {other}:
                        return kinds.HANDED_ON.cue(other, said, m.start("name"))
                    break
            else:
                told = self._command_at(taker, k, keys[0])
                if {c.side for c in told} == {other}:
                    return kinds.HANDED_ON.cue(other, told[0].words, m.start("name"))
        return None

    def _handed_out(self, keys: list[str], root: Node, scope: Scope) -> None:
        """Have the uses looked up of what a file's head gives a name: a compose config, a file of a ConfigMap."""
        if keys[0] in {"configs", "secrets"}:
            scope.kind, scope.only_doubts = "config", True
            scope.find_uses = partial(self._listed, keys[0], keys[1])
        elif (
            keys[0] in {"data", "stringData"}
            and "." in keys[1]
            and isinstance(root, Map)
            and data_cues.mounted_name(root)
        ):
            scope.kind, scope.only_doubts = "file", True
            scope.find_uses = partial(self._read_by, keys[1], root)

    def _listed(self, kind: str, name: str) -> list[Scope]:
        """The owners of every list of configs or secrets that holds ``name``."""
        out: list[Scope] = []
        for node in walk(self.root):
            given = node.get(kind) if isinstance(node, Map) and node is not self.root else None
            for item in given.items if isinstance(given, Seq) else []:
                held = (
                    item.value if isinstance(item, Scalar) else item.scalar("source") if isinstance(item, Map) else ""
                )
                if held == name and len(out) < MANY:
                    out.append(self.scopes(path_to(self.root, item.start), follow=False))
                    out[-1].place = self.source.at(item.start)
        return out

    def _read_by(self, name: str, own: Map) -> list[Scope]:
        """The owners of what names a file of a ConfigMap in the other documents."""
        out: list[Scope] = []
        for i in mentions.places(self.source.s, name):
            for tree in self.beside:
                path = path_to(tree.root, i) if tree.root is not own and tree.root.start <= i < tree.root.end else []
                if path and isinstance(path[-1], Scalar):
                    out.append(tree._used_in(path, i, name))
                    out[-1].place = self.source.at(i)
        return out

    def _expansions(self, name: str, owner: Map) -> list[Scope]:
        """The owners of every use of an environment variable below the mapping that sets it."""
        out: list[Scope] = []
        word = re.escape(name)
        used = rf"\$[({{]?{word}\b|(?:\b(?:env|params|vars|inputs)|__)\.{word}(?=__|\b)"  # __: a masked {{{{ .NAME }}}}
        for m in islice(re.compile(used).finditer(self.source.s, owner.start, owner.end), MANY):
            path = path_to(self.root, m.start())
            if isinstance(path[-1], Scalar):
                out.append(self._used_in(path, m.start()))
                out[-1].place = self.source.at(m.start())
        return out

    def _command_at(self, path: list[Node], i: int, name: str) -> list[Cue]:
        """What the command that takes ``name`` at index ``i`` says by its words: those of its line, or of the list that it is.
        One that takes the twin of ``name`` as well is of both, each for its own side."""
        if not isinstance(path[-1], Scalar):
            return []  # in a comment
        listed = path[-2] if len(path) > 1 else None
        cues = self._item(listed, path[-1], self.up).cues if isinstance(listed, Seq) else []
        first = path[-1].start
        source = self.source.s[first : path[-1].end]
        words = list(_WORD.finditer(source, *lines.span(source, i - first)))
        if (other := mentions.twin(name)) and any(other in m.group() for m in words):
            return []
        held = next((n for n, m in enumerate(words) if m.start() <= i - first < m.end()), -1)
        given = [argv.Word(m.group(), self.source.at(first + m.start())) for m in words]
        return cues + argv.cues(given, self.ctx, skip=held)

    def _used_in(self, path: list[Node], i: int, name: str = "") -> Scope:
        """The owners of what stands at ``i``: of a command in a scalar, those within it as well, ``name`` itself left out."""
        scope = self.scopes(path, follow=False)
        line = self.source.s[self.source.s.rfind("\n", 0, i) + 1 :].split("\n", 1)[0]
        words = [argv.Word(w, self.source.at(i)) for w in line.split() if not name or name not in w]
        targets = [argv.Word(w, self.source.at(i)) for w in re.findall(r">\s*(\S+)", line)]
        return Scope("command", "", scope, argv.cues(words, self.ctx) + argv.redirect_cues(targets, self.ctx))

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
        connector = self._connector(parent, path)
        if key == "value" and (name := parent.scalar("name") or parent.scalar("path")):
            if not connectors.is_role_key(name.rsplit("/", 1)[-1]):
                return [Site(pos, scope, "value")]
            connector = self.ctx.named(self._env_connector(name, path)) or self._expanded(name, path)
            return [Site(pos, scope, "role", connector, exact=exact, feeds=name)]
        if not connectors.is_role_key(key):
            return [Site(pos, scope, "value", connector)]
        connector = connector or self._expanded(key, path)
        if parent.anchor and connectors.kind_of(connector) is connectors.Kind.OTHER and self._set_again(parent):
            connector = None
        parent = self._merged(parent)
        exact = exact and connectors.one_role(parent)
        around = [connectors.connector_of(n) for n in reversed(path[:-2]) if isinstance(n, Map)]
        wrappers = [c for c in around if c and connectors.kind_of(c) is not connectors.Kind.NIXL]
        return [Site(pos, scope, "role", connector, tuple(wrappers), connectors.settings(parent), exact)]

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
        connector = found.connector or self._expanded(found.key, path_to(self.root, leaf.start))
        return Site(leaf.text.at(k), scope, "role", connector, (), found.extra, exact)

    def _words_of(self, seq: Seq) -> list[argv.Word] | None:
        """The words of a list of strings, or None if it is not one; its items' places are known from then on."""
        if id(seq) not in self._words:
            self._words[id(seq)] = data_cues.seq_words(seq)
            self._places[id(seq)] = {id(n): i for i, n in enumerate(seq.items)}
        return self._words[id(seq)]

    def _env_connector(self, name: str, path: list[Node]) -> str | None:
        """The connector set by another entry of the same env list or patch."""
        for node in reversed(path):
            if not isinstance(node, Seq):
                continue
            given = node.kept("connectors", partial(_connectors_set, node))
            if (found := connectors.beside(name.strip("/").replace("/", "."), given)) is not None:
                return found
        return None

    def _expanded(self, name: str, path: list[Node]) -> str | None:
        """The connector of the configs whose role is the environment variable ``name``, below the mapping that sets it."""
        for node, inner in pairwise(path):
            pair = node.pair_of(inner) if isinstance(node, Map) else None
            if pair is not None and pair[0].value in data_cues.ENV_KEYS:
                text = self.source.slice(node.start, node.end)
                return pairs.used_in(text, rf"\$+[({{]?{re.escape(name)}\b")
        return None

    def _connector(self, owner: Map, path: list[Node]) -> str | None:
        """The connector of a role in ``owner``: its own, one merged into it, or one that a mapping round it names for all
        that is in it, having no role itself."""
        merged = self._merged(owner)
        found = connectors.connector_of(merged)
        if found is None and not connectors.names_connector(merged):
            for depth in range(len(path) - 3, -1, -1):
                if not isinstance(node := path[depth], Map):
                    continue
                if connectors.names_connector(node := self._merged(node)):
                    above = connectors.connector_of(node)
                    roles = connectors.names_role(node)
                    wraps = above is not None and connectors.kind_of(above) is connectors.Kind.WRAPPER
                    found = None if roles or wraps else above
                    break
                if (found := self._for_all(node, path[depth:-1])) is not None:
                    break
        return self.ctx.named(found)

    def _for_all(self, node: Map, path: list[Node]) -> str | None:
        """The connector that a group for all names beside the group that ``path`` leads into, in the same place as there:
        ``common: {kv: {kv_connector: ...}}`` beside ``prefill: {kv: {kv_role: ...}}``."""
        keys = [pair[0].value for a, b in pairwise(path) if isinstance(a, Map) and (pair := a.pair_of(b)) is not None]
        for key, group in node.pairs:
            name, _, below = key.value.partition(".")  # [common.kv] beside [prefill.kv]
            if name.lower() not in connectors.FOR_ALL or not isinstance(group, Map) or key.value in keys[:1]:
                continue
            if below and below != keys[0].partition(".")[2]:
                continue
            for step in keys[1:]:
                inner = group.get(step)
                group = inner if isinstance(inner, Map) else group
            if (found := connectors.connector_of(self._merged(group))) is not None:
                return found
        return None

    def _set_again(self, m: Map) -> bool:
        """Whether a mapping that ``m`` is merged into takes its role, and sets a connector that is not known to be another
        than NIXL's."""
        if self._takers is None:
            self._takers = {}
            for node in (n for n in walk(self.root) if isinstance(n, Map)):
                for alias in (a for k, v in node.pairs if k.value == "<<" for a in _aliases(v)):
                    self._takers.setdefault(alias.name, []).append(node)
        return any(
            connectors.names_connector(taker)
            and not connectors.names_role(taker)
            and connectors.kind_of(self.ctx.named(connectors.connector_of(taker))) is not connectors.Kind.OTHER
            for taker in self._takers.get(m.anchor, ())[:MANY]
        )

    def _merged(self, m: Map) -> Map:
        """A mapping with what is merged into it."""
        return m.kept("merged", partial(self._merge, m))

    def _merge(self, m: Map) -> Map:
        """A mapping with what ``<<: *anchor`` merges into it; what it sets itself comes first."""
        names = [a.name for k, v in m.pairs if k.value == "<<" for a in _aliases(v)]
        if not names:
            return m
        if self._anchored is None:
            self._anchored = {n.anchor: n for n in walk(self.root) if n.anchor and isinstance(n, Map)}
        anchored = self._anchored
        out = Map(m.start, m.end, m.anchor, m.flow)
        own = {k.value for k, _ in m.pairs}
        out.pairs = [*m.pairs]
        for taken in (anchored[name] for name in names if name in anchored):
            out.pairs += [(k, v) for k, v in taken.pairs if k.value not in own]
            own |= {k.value for k, _ in taken.pairs}
        return out


def _asserts(node: Map) -> bool:
    """Whether a mapping is a test of manifests: it says what it expects."""
    return any(k.value in _ASSERTS for k, _ in node.pairs)


def _connectors_set(entries: Seq) -> list[tuple[str, str]]:
    """The connectors that the entries of an env list or patch name, as far as anybody writes them by hand."""
    out: list[tuple[str, str]] = []
    for item in (inner for given in entries.items for inner in _given(given)):
        key = (item.scalar("name") or item.scalar("path") or "") if isinstance(item, Map) else ""
        value = item.scalar("value") if isinstance(item, Map) else None
        if value is not None and connectors.is_connector_key(key := key.strip("/").replace("/", ".")):
            out.append((key, value))
    return out[:MANY]


def _given(item: Node) -> list[Node]:
    """An entry of a list and, of a patch that adds one, the entry that it adds."""
    value = item.get("value") if isinstance(item, Map) else None
    return [item, value] if isinstance(value, Map) else [item]


def _aliases(node: Node) -> list[Alias]:
    """The aliases that a merge key's value names."""
    return [n for n in (node.items if isinstance(node, Seq) else [node]) if isinstance(n, Alias)]
