"""Where a document puts a value of its own to use: the owners of each place that names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import Protocol

from kvroles.evidence import argv, entries, kinds
from kvroles.evidence.data import Alias, Map, Node, Scalar, Seq, path_to, walk
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import first_named, mentioned, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text
from kvroles.migrate.readers import lines, mentions
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.mapping import config_maps

_TEMPLATE_KEY = regex(
    r"^(?:x-.*|\..*|_.*|anchors?|templates?|common|definitions|aliases|shared|defaults?|bases?)$", re.I
)
# What stands before the label of Terraform's modules and resources, and of Terragrunt's dependencies.
_OF_MODULE = r"(?<![\w.\"'-])(?:module|dependency|[a-z]+(?:_[a-z0-9]+)+)\."
_MODULE = regex(_OF_MODULE)
# What a reference to another key begins with, up to its name: ``${{ env.``, ``$(``, ``{{ .Values.``, ``%(``, ``$ref: "#/``,
# CloudFormation's ``!Ref``, ``npm run``, the ``inherits`` of a bake file.
_REFERS = (
    r"(?:(?:\$[({]{0,3}\s*(?:[\w-]+\.){0,4}|\{\{[^{}\n]{0,80}?|%\(|\$ref[\"']?\s*:\s*[\"']?[^\s\"']{0,80}?/"
    rf"|!(?:Ref|GetAtt)\s+|{_OF_MODULE}|\b(?:npm\s+run(?:-script)?|pnpm(?:\s+run)?|yarn(?:\s+run)?)\s+)(?<![\w\"'-])"
    r"|\b(?:inherits\s*=\s*\[[^\]\n]{0,200}?|Ref[\"']?\s*:\s*)[\"'])"
)
_TWICE = 2
_WORD = regex(r"[^\s\"'`,]+")  # of a command in a string


class Document(Protocol):
    """What is asked of a document here; ``mapping.tree.Tree`` is one."""

    root: Node
    source: Text
    up: Scope
    ctx: File

    @property
    def beside(self) -> Sequence[Document]:
        """The documents of the same file, this one among them."""
        ...

    @property
    def aliases(self) -> dict[str, list[Alias]]:
        """The aliases of each anchor."""
        ...

    @property
    def anchors(self) -> frozenset[str]:
        """The names of the anchors of the document."""
        ...

    def scopes(self, path: list[Node], *, follow: bool = True) -> Scope:
        """The chain of scopes along ``path``, the last of them returned."""
        ...

    def item(self, seq: Seq, item: Node, up: Scope) -> Scope:
        """The scope of one item of a list."""
        ...


def of_anchor(tree: Document, node: Node, path: list[Node]) -> list[Scope]:
    """The owners of every alias of an anchored node, and its own place unless that is a mere template."""
    out: list[Scope] = []
    aliases = [(tree, alias) for alias in tree.aliases.get(node.anchor, [])]
    for other in tree.beside:  # of the same list of objects; in a document of its own an alias has an anchor there
        if other is not tree and node.anchor in other.aliases and node.anchor not in other.anchors:
            aliases += [(other, alias) for alias in other.aliases[node.anchor]]
    inner = path[path.index(node) + 1] if path[-1] is not node else None
    held = next((k.value for k, v in node.pairs if v is inner), "") if isinstance(node, Map) else ""
    for holder, alias in aliases[:MANY]:
        taker = path_to(holder.root, alias.start)
        if len(taker) > 1 and isinstance(taker[-2], Map) and held and taker[-2].get(held) is not None:
            continue  # merged into a mapping that sets that key anew
        out.append(holder.scopes(taker, follow=False))
        out[-1].place = holder.source.at(alias.start)
    top = path[0]
    first = next((k.value for k, v in top.pairs if len(path) > 1 and v is path[1]), "") if isinstance(top, Map) else ""
    if out and not _TEMPLATE_KEY.match(first):
        out.append(tree.scopes(path[: path.index(node) + 1], follow=False))
    return out


def of_config_map(tree: Document, name: str, key: str) -> list[Scope]:
    """The owners of every reference in the file to the ConfigMap or Secret ``name``, or to its ``key``."""
    return _takers(tree, lambda node: node.pairs[0][0] if config_maps.mounts(node, name, key) else None)


def of_object(tree: Document, name: str) -> list[Scope]:
    """The owners of every reference in the file that takes over the whole of the object ``name``."""
    return _takers(tree, lambda node: config_maps.taken(node, name))


def _takers(tree: Document, taken: Callable[[Map], Node | None]) -> list[Scope]:
    """The owners of every node of the file's documents that ``taken`` finds in a mapping."""
    out: list[Scope] = []
    for other in tree.beside:
        for node in walk(other.root):
            at = taken(node) if isinstance(node, Map) and len(out) < MANY else None
            if at is not None:
                out.append(other.scopes(path_to(other.root, at.start), follow=False))
                out[-1].place = tree.source.at(node.start)
    return out


def of_template(tree: Document, name: str) -> list[Scope]:
    """The owners of every step or task of a workflow that runs the template ``name``."""
    out: list[Scope] = []
    for node in walk(tree.root):
        run = node.get("template") if isinstance(node, Map) and len(out) < MANY else None
        if isinstance(run, Scalar) and run.value == name:
            out.append(tree.scopes(path_to(tree.root, run.start), follow=False))
            out[-1].place = tree.source.at(node.start)
    return out


def of_generated(tree: Document, name: str, root: Node) -> list[Scope]:
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
            place = tree.source.at(target.start)
            side = entries.one_side(taker, tree.ctx) if taker and target.get("reject") is None else None  # type: ignore[union-attr]
            cues = [kinds.NAME.cue(side, f"replacements: {taker}", place)] if side is not None else []
            out.append(Scope("replacement", taker, tree.up, cues, place=place))
    return out


def of_list(tree: Document, kind: str, name: str) -> list[Scope]:
    """The owners of every list of configs or secrets that holds ``name``."""
    out: list[Scope] = []
    for node in walk(tree.root):
        given = node.get(kind) if isinstance(node, Map) and node is not tree.root else None
        for item in given.items if isinstance(given, Seq) else []:
            held = item.value if isinstance(item, Scalar) else item.scalar("source") if isinstance(item, Map) else ""
            if held == name and len(out) < MANY:
                out.append(tree.scopes(path_to(tree.root, item.start), follow=False))
                out[-1].place = tree.source.at(item.start)
    return out


def of_file(tree: Document, name: str, own: Map) -> list[Scope]:
    """The owners of what names a file of the ConfigMap ``own`` in the other documents: in those that mount it, if any does."""
    out: list[Scope] = []
    held = config_maps.mounted_name(own)
    mounting = [
        d for d in tree.beside if any(isinstance(n, Map) and config_maps.mounts(n, held, name) for n in walk(d.root))
    ]
    for i in mentions.places(tree.source.s, name):
        for other in mounting or tree.beside:
            path = path_to(other.root, i) if other.root is not own and other.root.start <= i < other.root.end else []
            if path and isinstance(path[-1], Scalar):
                out.append(_used_in(other, path, i, name))
                out[-1].place = tree.source.at(i)
    return out


def of_written(tree: Document, name: str, own: Map) -> list[Scope]:
    """The owners of what names the file ``name`` outside of the mapping ``own``, which has its text."""
    out: list[Scope] = []
    for i in mentions.places(tree.source.s, name):
        for other in tree.beside:
            inside = other.root.start <= i < other.root.end and not own.start <= i < own.end
            path = path_to(other.root, i) if inside else []
            if path and isinstance(path[-1], Scalar):
                out.append(_used_in(other, path, i, name))
                out[-1].place = tree.source.at(i)
    return out


def of_variable(tree: Document, name: str, owner: Map) -> list[Scope]:
    """The owners of every use of an environment variable below the mapping that sets it."""
    out: list[Scope] = []
    word = re.escape(name)
    used = rf"\$[({{]?{word}\b|(?:\b(?:env|params|vars|inputs)|__)\.{word}(?=__|\b)"  # __: a masked {{{{ .NAME }}}}
    for m in islice(re.compile(used).finditer(tree.source.s, owner.start, owner.end), MANY):
        path = path_to(tree.root, m.start())
        if _has_twin(lines.line_at(tree.source.s, m.start()), name):
            continue  # each side takes its own
        if isinstance(path[-1], Scalar):
            out.append(_used_in(tree, path, m.start(), name))
            out[-1].place = tree.source.at(m.start())
    return out


def referenced(tree: Document, key: Scalar, owner: Map, scope: Scope) -> list[Cue]:
    """What GitLab's ``!reference [prefill, script]`` in a job of the other side says of this one."""
    if not scope.cues or "!reference" not in tree.source.s:
        return []
    taken = re.compile(rf"!reference\s*\[\s*[\"']?{re.escape(key.value)}\b")
    return [
        kinds.REFERRED_TO.cue(Side.SHARED, f"{k.value} refers to {key.value}", k.text.at(0))
        for k, v in owner.pairs
        if k is not key and taken.search(tree.source.s, v.start, v.end) and entries.one_side(k.value, tree.ctx)
    ]


def handed_on(tree: Document, path: list[Node], i: int, other: Side) -> Cue | None:
    """The key or name of side ``other`` below which the value at the end of ``path`` is referred to by the key of the mapping
    ``path[i]`` that it is in: ``${prefill.kv}``, ``{{ prefill_kv }}``, ``$PREFILL_KV``, ``$ref: "#/prefill/kv"``."""
    keys: list[str] = []
    for node, inner in pairwise(path[i:]):
        pair = node.pair_of(inner) if isinstance(node, Map) else None
        if pair is None or pair[1] is not inner:
            break
        keys.append(pair[0].value)
    s, first, own = tree.ctx.text.s, tree.source.at(0), path[i + 1]
    if not keys or s.count(keys[0]) < _TWICE:
        return None
    below = ""
    for key in reversed(keys[1:]):
        below = rf"(?:(?:[.:/]|\[[\"']?){re.escape(key)}[\"']?\]?{below})?"
    named = re.compile(rf"{_REFERS}(?P<name>{re.escape(keys[0])}){below}(?![\w/\[-]|[.:]\w)")
    for m in islice(named.finditer(s), MANY):
        if _MODULE.match(s, m.start()) is not None and m.end() == m.end("name"):
            continue  # ``depends_on = [module.prefill]``: none of its values is taken
        k = m.start("name") - first
        if own.start <= k < own.end or not 0 <= k < len(tree.source.s) or tree.source.at(k) != m.start("name"):
            continue
        taker = path_to(tree.root, k)
        for node, inner in reversed(list(pairwise(taker))):
            pair = node.pair_of(inner) if isinstance(node, Map) else None
            name = (node.scalar("name") or "") if isinstance(node, Map) else ""
            if said := first_named((pair[0].value if pair is not None else "", name)):
                if mentioned(said) == {other}:
                    return kinds.HANDED_ON.cue(other, said, m.start("name"))
                break
        else:
            told = _command_at(tree, taker, k, keys[0])
            if {c.side for c in told} == {other}:
                return kinds.HANDED_ON.cue(other, told[0].words, m.start("name"))
    return None


def _command_at(tree: Document, path: list[Node], i: int, name: str) -> list[Cue]:
    """What the command that takes ``name`` at index ``i`` says by its words: those of its line, or of the list that it is.
    One that takes the twin of ``name`` as well is of both, each for its own side."""
    if not isinstance(path[-1], Scalar):
        return []  # in a comment
    listed = path[-2] if len(path) > 1 else None
    cues = tree.item(listed, path[-1], tree.up).cues if isinstance(listed, Seq) else []
    first = path[-1].start
    source = tree.source.s[first : path[-1].end]
    words = list(_WORD.finditer(source, *lines.span(source, i - first)))
    if any(_has_twin(m.group(), name) for m in words):
        return []
    held = next((n for n, m in enumerate(words) if m.start() <= i - first < m.end()), -1)
    given = [argv.Word(m.group(), tree.source.at(first + m.start())) for m in words]
    return cues + argv.cues(given, tree.ctx, skip=held)


def _has_twin(s: str, name: str) -> bool:
    """Whether the twin of a variable is named in ``s``, also as a member: ``env.DECODE_KV``."""
    return any(re.search(rf"(?<![\w-]){re.escape(twin)}(?![\w-])", s) for twin in twins(name))


def _used_in(tree: Document, path: list[Node], i: int, name: str = "") -> Scope:
    """The owners of what stands at ``i``: of a command in a scalar, those within it as well, ``name`` itself left out."""
    scope = tree.scopes(path, follow=False)
    own = path[-2] if len(path) > 1 and isinstance(path[-2], Seq) else path[-1]  # a list may be a command's words
    a, b = lines.span(tree.source.s, i)
    line = tree.source.s[max(a, own.start) : min(b, own.end)]
    words = [argv.Word(w, tree.source.at(i)) for w in line.split() if not name or name not in w]
    targets = [argv.Word(w, tree.source.at(i)) for w in re.findall(r">\s*(\S+)", line)]
    return Scope("command", "", scope, argv.cues(words, tree.ctx) + argv.redirect_cues(targets, tree.ctx))
