"""The configs of a document: what is merged into each, and the connector that a role in it belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from kvroles.evidence import data_cues
from kvroles.evidence.data import Alias, Map, Node, Seq, walk
from kvroles.evidence.text import Text
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import pairs
from kvroles.migrate.readers.base import MANY, File


class Configs:
    """The mappings below ``root``, written in ``source``. ``merge`` gives a mapping with what its language merges into it; that
    of YAML's aliases unless another is given."""

    def __init__(self, root: Node, source: Text, ctx: File, merge: Callable[[Map], Map] | None = None) -> None:
        self.root = root
        self.source = source
        self.ctx = ctx
        self._merge = merge
        self._anchored: dict[str, Map] | None = None
        self._takers: dict[str, list[Map]] | None = None  # the mappings that each anchor is merged into

    def of_variable(self, name: str, path: list[Node]) -> str | None:
        """The connector set by another entry of the same env list or patch."""
        for node in reversed(path):
            if not isinstance(node, Seq):
                continue
            given = node.kept("connectors", partial(_connectors_set, node))
            if (found := connectors.beside(name.strip("/").replace("/", "."), given)) is not None:
                return found
        return None

    def read_by(self, name: str, path: list[Node]) -> str | None:
        """The connector of the configs whose role is the environment variable ``name``, below the mapping that sets it."""
        for node, inner in pairwise(path):
            pair = node.pair_of(inner) if isinstance(node, Map) else None
            if pair is not None and pair[0].value in data_cues.ENV_KEYS:
                text = self.source.slice(node.start, node.end)
                return pairs.used_in(text, rf"\$+[({{]?{re.escape(name)}\b")
        return None

    def connector(self, owner: Map, path: list[Node]) -> str | None:
        """The connector of a role in ``owner``: its own, one merged into it, the one that it says it is as the value of a
        connector's key, or that of a mapping round it that has no role itself and so names the connector for what is in it."""
        merged = self.merged(owner)
        found = connectors.connector_of(merged)
        if found is None and not connectors.names_connector(merged):
            pair = next((n.pair_of(owner) for n in path[-3:-2] if isinstance(n, Map)), None)
            if pair is not None and connectors.is_connector_key(pair[0].value):
                found = connectors.of_group(merged)
        if found is None and not connectors.names_connector(merged):
            for depth in range(len(path) - 3, -1, -1):
                if not isinstance(node := path[depth], Map):
                    continue
                if connectors.names_connector(node := self.merged(node)):
                    above = connectors.connector_of(node)
                    roles = connectors.names_role(node)
                    wraps = above is not None and connectors.kind_of(above) is connectors.Kind.WRAPPER
                    found = None if roles or wraps else above
                    break
                if (found := self._for_all(node, path[depth:-1])) is not None:
                    break
        return self.ctx.named(found)

    def _for_all(self, node: Map, path: list[Node]) -> str | None:
        """The connector that a group for all servers sets at the same keys as ``path``, which leads into the group beside it:
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
            if (found := connectors.connector_of(self.merged(group))) is not None:
                return found
        return None

    def set_again(self, m: Map) -> bool:
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

    def merged(self, m: Map) -> Map:
        """A mapping with what is merged into it."""
        return m.kept("merged", partial(self._merge or self._with_aliases, m))

    def _with_aliases(self, m: Map) -> Map:
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


def _connectors_set(entries: Seq) -> list[tuple[str, str]]:
    """The connectors that the entries of an env list or patch name, at most ``MANY``."""
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
