"""The scopes of a document that take over the config of an outer one and set its role anew.

``role: prefill`` beside ``kv: {...}`` is the role of all that stands below, until ``hosts.b.role`` says decode: that host is
given the same config. A scope with a config of its own takes over none, and what stands beside a scope is not below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from kvroles.evidence import argv, data_cues, kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.entries import EXTENDS
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD, own
from kvroles.evidence.patterns import regex

Path = tuple[str, ...]

# Keys of what only holds the settings of the scope it stands in.
_HOLDS = data_cues.ENV_KEYS | {"activation", "meta", "args"}
# Keys below which a role is asked for, listed, or that of another server.
_NO_SCOPE = frozenset(
    {
        "matchLabels", "selector", "nodeSelector", "labels", "podLabels", "annotations", "match", "matrix", "when", "if",
        "include", "exclude", "examples", "expected", "enum", "options", "affinity",
    }
)  # fmt: skip
_COMMANDS = frozenset({"command", "entrypoint", "script"})
_CONFIG = regex("kv_(?:both|producer|consumer|connector)")
_LONG = 200  # characters of a value that is a role
_MANY = 400  # roles of one document: nobody writes more by hand


class Role(NamedTuple):
    """A role that a document sets: the scope whose it is, and its key."""

    scope: Path
    key: str
    side: Side
    words: str
    pos: int


class Inherits:
    """The roles of a document, and the scopes in which they are set anew."""

    def __init__(self, root: Node, ctx: FileCtx, over: Iterable[Node] = ()) -> None:
        self._roles: list[Role] = []
        self._configs: set[Path] = set()
        self._bases: dict[Path, Path] = {}
        if "prefill" in ctx.low and "decod" in ctx.low:
            self._read(root, (), ctx)
            for laid in over:
                self._read(laid, ("[over]",), ctx)
        self._anew = set_anew(self._roles, self._configs, self._bases)

    def _read(self, root: Node, below: Path, ctx: FileCtx) -> None:
        """Take the roles, configs and bases of a document; each of its scopes is ``below`` what has the same way to it."""
        commands: set[Path] = set()
        for path, key, value in _entries(root):
            if len(value.value) < _LONG and len(self._roles) < _MANY and (role := _role(path, key, value, ctx)):
                self._roles += [r._replace(scope=r.scope + below) for r in role if not any(map(_foreign, path))]
            if holds_config(value.value) or (key is not None and holds_config(key.value)):
                self._configs.add(scope_of(path) + below)
            name = key.value if key is not None else path[-1] if path else ""
            at = path if key is not None else path[:-1]
            if name in EXTENDS and at and not below:
                self._bases[at] = (*at[:-1], value.value)
            elif name in _COMMANDS:
                commands.add(at)
        for at in commands & set(self._bases):
            del self._bases[at]  # its config may stand in the command that it does not take over

    def over(self, path: list[Node]) -> list[Cue]:
        """The cue that a scope which sets its role anew takes over the config at the end of ``path``; empty if none does."""
        if not self._anew:
            return []
        keys, held = _keys(path)
        for outer, anew in self._anew:
            n = len(outer.scope)
            if keys[:n] != outer.scope:
                continue
            within, taker = held[n:], anew.scope[n:] if anew.scope[:n] == outer.scope else ()
            if not within or (taker and within[0] != taker[0] and len(taker) > 1):
                words = f"{'.'.join(anew.scope)}: {anew.words}"[:80]
                return [kinds.EXTENDED.cue(Side.SHARED, words, anew.pos)]
        return []


def over(root: Map, path: list[Node], up: Scope, ctx: FileCtx) -> Scope:
    """``up``, as the owner of the mapping ``root``, with what takes over the config at the end of ``path``."""
    taken = root.kept("inherits", lambda: Inherits(root, ctx)).over(path) if len(path) > 1 else []
    return Scope("mapping", "", up, taken) if taken else up


def holds_config(s: str) -> bool:
    """Whether a text names a role or a connector."""
    return "kv_" in s and _CONFIG.search(s) is not None


def _role(path: Path, key: Scalar | None, value: Scalar, ctx: FileCtx) -> list[Role]:
    """The role that a pair of the mapping at ``path`` sets; empty if it sets none."""
    low = value.value.lower()
    if "prefill" not in low and "decod" not in low:
        return []
    name, _, given = (key.value, "", value.value) if key is not None else value.value.partition("=")
    cues = data_cues.pair_cues(key, value, ctx) if key is not None else []
    if not cues and path and path[-1] in data_cues.ENV_KEYS:
        cues = argv.env_cues(name, given, value.text.at(0), ctx)
    said = [c for c in cues if kinds.settings_only([c]) and c.kind in kinds.ROLES and c.side in PD]
    return [Role(scope_of(path), name, c.side, c.words, c.pos) for c in said[:1]]


def set_anew(
    roles: list[Role], configs: set[Path], bases: Mapping[Path, Path] = MappingProxyType({})
) -> list[tuple[Role, Role]]:
    """Each role with one that is set anew to the other side in a scope without a config: below it, or in one of whose ``bases``
    it is."""
    if len({role.side for role in roles}) < 2:
        return []
    outer_of = {(role.scope, role.key): role for role in reversed(roles)}
    holding = {config[:n] for config in configs for n in range(len(config) + 1)}
    direct = configs | {config[:-1] for config in configs}
    out: list[tuple[Role, Role]] = []
    for role in roles:
        scope = role.scope
        while scope and scope not in (holding if scope == role.scope else direct):
            base = bases.get(scope)
            scope = base if base is not None and (base, role.key) in outer_of else scope[:-1]
            if (outer := outer_of.get((scope, role.key))) is not None:
                out += [(outer, role)] if outer.side is role.side.other else []
                break
    return out


def _foreign(part: str) -> bool:
    """Whether a key holds no scope, or another server's."""
    return part in _NO_SCOPE or argv.other_end(part) or not own(part)


def scope_of(path: Path) -> Path:
    """The scope that the mapping at ``path`` holds settings of."""
    while path and path[-1] in _HOLDS:
        path = path[:-1]
    return path


def _entries(root: Node) -> Iterator[tuple[Path, Scalar | None, Scalar]]:
    """Each scalar of the mappings below ``root`` with the way to its mapping and its key. Of a list of variables that is the
    variable's name; a word of a list has none."""
    todo: list[tuple[Path, Node]] = [((), root)]
    while todo:
        path, node = todo.pop()
        name, value = (node.get("name"), node.get("value")) if isinstance(node, Map) else (None, None)
        if isinstance(name, Scalar) and isinstance(value, Scalar):
            yield path[:-1], name, value
        for key, parts, child in _below(node):
            if isinstance(child, Scalar):
                yield path, key, child
            else:
                todo.append((path + parts, child))


def _below(node: Node) -> Iterator[tuple[Scalar | None, Path, Node]]:
    """What a node holds, each with its key and the way to it: the parts of a dotted key, the number of one that comes again."""
    if isinstance(node, Map):
        seen: dict[str, int] = {}
        for key, child in node.pairs:
            n = seen[key.value] = seen.get(key.value, 0) + 1
            yield key, (*key.value.split("."), *([f"[{n}]"] if n > 1 else [])), child
    elif isinstance(node, Seq):
        for n, child in enumerate(node.items):
            yield None, (f"[{n}]",), child


def _ways(node: Node) -> dict[int, Path]:
    """The way from a node to each that it holds."""
    return {id(child): parts for _, parts, child in _below(node)}


def _keys(path: list[Node]) -> tuple[Path, Path]:
    """The way along ``path``, and the scope that holds the config at its end."""
    keys: Path = ()
    config: Path | None = None
    for node, inner in pairwise(path):
        if config is None and isinstance(node, Map) and any("onnector" in key.value for key, _ in node.pairs):
            config = keys
        if isinstance(node, Map | Seq):
            keys += node.kept("ways", partial(_ways, node)).get(id(inner), ())
    held = keys if config is None else config
    if config is None and held[-1:] == ("value",) and isinstance(path[-2], Map) and path[-2].get("name") is not None:
        held = held[:-1]  # of a list of variables
    while held and held[-1].startswith("["):
        held = held[:-1]
    return keys, scope_of(held if held and held[-1] in _HOLDS else held[:-1])
