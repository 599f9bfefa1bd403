"""Which connector a role belongs to, and whether it is NIXL's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

from kvroles.evidence.data import Map, Node, Scalar
from kvroles.evidence.knowledge import connectors as known_connectors
from kvroles.evidence.knowledge import rows
from kvroles.evidence.names import mentioned, split_name
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN


class Kind(Enum):
    """What a connector's name makes of a ``kv_both`` beside it."""

    NIXL = "nixl"
    WRAPPER = "wrapper"
    OTHER = "other"
    UNKNOWN = "unknown"  # a placeholder, nothing, or a name that only sounds like NIXL


# NixlConnector and its two forms: vllm/distributed/kv_transfer/kv_connector/factory.py, 0.24.0 on. The rest are
# subclasses that plugins register (vllm-rbln, vllm-gaudi, vllm-spyre style "<Device>Nixl..."), and the short name that
# charts and launchers use for it in their own settings.
NIXL = frozenset({"NixlConnector", "NixlPullConnector", "NixlPushConnector", "NixlConnectorV1"})
PLUGIN_NIXL = regex(r"^(?:Rbln|RBLN|Hpu|HPU|Gaudi|Tpu|TPU|Xpu|XPU|Npu|NPU)Nixl(?:Pull|Push)?Connector(?:V1)?$")
SHORT = frozenset({"nixl", "nixlconnector", "nixl_connector", "nixl-connector"})
WRAPPERS = frozenset({"MultiConnector", "PdConnector", "DynamoPdConnector", "PDConnector"})
OTHER = {row[0] for row in rows(known_connectors.OTHER)}
SHORT_OTHER = {row[0] for row in rows(known_connectors.SHORT)}
_CLASS = regex(r"^(?:[\w.]+[.:])?([A-Z]\w*?)Connector\w*$")
_PLACEHOLDER = regex(r"[$<{%@]|^$|^__")
_OF_CLASS = regex(r"([A-Z][A-Za-z0-9]{0,80}?)(Connector)?(?:V\d+)?(?:Worker|Scheduler|Impl)*$")
# Groups whose settings are those of every group beside them.
FOR_ALL = frozenset({"all", "base", "common", "default", "defaults", "global", "shared"})
BASES = frozenset({"KVConnector", "BaseConnector", "KVCacheConnector", "VllmConnector", "TCPConnector"})


@lru_cache(maxsize=4096)
def kind_of(name: str | None, known: frozenset[str] = frozenset()) -> Kind:
    """What ``name`` is; ``known`` are further NIXL subclasses the user declared.

    Another connector is one by its known short name or by how its class's name begins; any other name is unknown.
    """
    if name is None or _PLACEHOLDER.search(name):
        return Kind.UNKNOWN
    name = name.strip()
    if name in NIXL or name in known or name.lower() in SHORT or ("Nixl" in name and PLUGIN_NIXL.match(name)):
        return Kind.NIXL
    if name in WRAPPERS:
        return Kind.WRAPPER
    if "nixl" in name.lower():
        return Kind.UNKNOWN
    return Kind.OTHER if name.lower() in SHORT_OTHER or _known_class(name) else Kind.UNKNOWN


def _known_class(name: str) -> bool:
    """Whether a class's name begins as that of a known connector, at the end of one of its words."""
    m = _CLASS.match(name)
    if m is None:
        return False
    words = split_name(m[1])
    return any("".join(words[:n]) in OTHER for n in range(1, len(words) + 1))


def of_class(name: str) -> str | None:
    """The connector that a class is, or is a part of (``MooncakeStoreScheduler``); None for a class of anything else."""
    if (m := _OF_CLASS.match(name)) is None or f"{m[1]}Connector" in BASES:
        return None
    return f"{m[1]}Connector" if m[2] or m[1].lower() in SHORT_OTHER else None


def is_placeholder(name: str) -> bool:
    """Whether what stands in a connector's place is only filled in later."""
    return _PLACEHOLDER.search(name) is not None


@lru_cache(maxsize=4096)
def placeholder_of_other(name: str) -> bool:
    """Whether a placeholder is a variable that is named for another connector than NIXL's: ``lmcache_connector``."""
    words = split_name(name)
    return "connector" in words and "".join(words[: words.index("connector")]) in SHORT_OTHER


@lru_cache(maxsize=4096)
def plain(key: str) -> str:
    """A key without case, dashes and underscores: ``kv-role``, ``kvRole`` and ``KV_ROLE`` are one."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


_SIDE = r"(?:prefill(?:er)?|decoder?|producer|consumer|[pd])?$"
_ROLE_KEY = regex("role" + _SIDE)
_CONNECTOR_KEY = regex("connector(?:type|name|class)?" + _SIDE)
_SAY_WHICH = ("type", "kind", "class", "name")  # the keys of a connector's group that say which it is, the surest first
# What is set unless another value is given: ``${CONN:-NixlConnector}``, ``{{ conn | default("NixlConnector") }}``.
_DEFAULT = regex(
    r"""(?x)^\s* (?: \$\{ [\w.]+ :?[-=]? | \{\{ [^{}]* \bd(?:efault)?\b [\s(]* ) \\*["']? (\w+) \\*["']? [^{}"']* \}\}? \s*$"""
)


@lru_cache(maxsize=4096)
def is_role_key(key: str) -> bool:
    """Whether a key, flag or variable holds a role: ``kv_role``, ``--kv-role``, ``PREFILL_KV_ROLE``, ``KV_ROLE_DECODE``."""
    return _ROLE_KEY.search(plain(key.split(".")[-1])) is not None


@lru_cache(maxsize=4096)
def is_connector_key(key: str) -> bool:
    """Whether a key, flag or variable names a connector."""
    return _CONNECTOR_KEY.search(plain(key.split(".")[-1])) is not None


def default_of(value: str) -> str | None:
    """What a placeholder stands for unless another value is given; None if it says nothing of that."""
    m = _DEFAULT.match(value)
    return m.group(1) if m is not None else None


def named(value: str) -> str:
    """A connector as it is written, or NIXL's where a placeholder says that it is, unless another is given."""
    default = default_of(value)
    return default if default is not None and kind_of(default) is Kind.NIXL else value


def beside(key: str, pairs: Iterable[tuple[str, str]]) -> str | None:
    """The connector that the settings ``pairs`` name for the role ``key``; None if none does, or two may be meant.

    ``PREFILL_KV_ROLE`` goes with ``PREFILL_KV_CONNECTOR``, else with ``KV_CONNECTOR``; ``a.b.kv_role`` with
    ``a.b.kv_connector``, else with a ``kv_connector`` that stands in no group. A wrapper is only its own role's.
    """
    group, own = _parts(key)
    best: dict[int, set[str]] = {}
    for other, value in pairs:
        if not is_connector_key(other):
            continue
        its_group, words = _parts(other)
        value = named(value.rstrip(",;"))  # ``kv_connector=NixlConnector, kv_role=...``
        exact = its_group == group and words == own
        if exact:
            rank = len(own) + 2
        elif kind_of(value) is Kind.WRAPPER or (its_group and its_group != group):
            continue
        elif "nixl" in own - words and kind_of(value) is Kind.OTHER:
            continue  # NIXL_KV_ROLE beside the KV_CONNECTOR of another
        elif words <= own | group:
            rank = len(words) + 1
        elif mentioned(" ".join(words - own)) or kind_of(value) is not Kind.NIXL:
            continue  # another's, as far as is known
        else:
            rank = 0
        best.setdefault(rank, set()).add(value)
    top = best[max(best)] if best else set()
    return next(iter(top)) if len(top) == 1 else None


@lru_cache(maxsize=4096)
def _parts(key: str) -> tuple[frozenset[str], frozenset[str]]:
    """The words of the group a dotted key stands in, and its own words, "role" and "connector" left out."""
    group, _, last = key.strip("-+~").rpartition(".")
    words = frozenset(split_name(last)) - {"role", "connector", "name", "type", "class"}
    return frozenset(split_name(group)), words


def connector_of(obj: Map) -> str | None:
    """The connector an object configures, by the key that names it, else by a value that is a connector class."""
    return obj.kept("connector", lambda: _connector_of(obj))


def _connector_of(obj: Map) -> str | None:
    said = [named(v.value) for k, v in obj.pairs if isinstance(v, Scalar) and is_connector_key(k.value)]
    if said:
        return said[0] if len(set(said)) == 1 else None
    classes = [
        v.value
        for _, v in obj.pairs
        if isinstance(v, Scalar) and re.fullmatch(r"[A-Z]\w*Connector(?:V1)?", v.value.strip())
    ]
    return classes[0] if len(classes) == 1 else None


def of_group(group: Map) -> str | None:
    """The connector that ``group``, the value of a connector's key, says it is: ``kv_connector: {type: nixl, role: ...}``."""
    said = {plain(k.value): named(v.value) for k, v in group.pairs if isinstance(v, Scalar)}
    values = [said[key] for key in _SAY_WHICH if key in said]
    return next((v for v in values if "nixl" in v.lower()), values[0] if values else None)


def wrappers(around: Iterable[Node]) -> tuple[str, ...]:
    """The connectors of the nodes ``around`` a config, in their order, NIXL's left out: what names it again wraps nothing."""
    named = (connector_of(n) for n in around if isinstance(n, Map))
    return tuple(c for c in named if c and kind_of(c) is not Kind.NIXL)


def names_connector(obj: Map) -> bool:
    """Whether an object has a key that names a connector."""
    return obj.kept(
        "names connector", lambda: any(isinstance(v, Scalar) and is_connector_key(k.value) for k, v in obj.pairs)
    )


def names_role(obj: Map) -> bool:
    """Whether an object has a key that holds a role."""
    return obj.kept("names role", lambda: any(isinstance(v, Scalar) and is_role_key(k.value) for k, v in obj.pairs))


def settings(obj: Map) -> dict[str, str]:
    """The scalar settings of a config object and of its extra config, which the hazards are read from."""
    return obj.kept("settings", lambda: _settings(obj))


def _settings(obj: Map) -> dict[str, str]:
    out: dict[str, str] = {}
    todo = [obj]
    while todo:
        m = todo.pop()
        for k, v in m.pairs:
            if isinstance(v, Scalar):
                out.setdefault(k.value, v.value)
            elif isinstance(v, Map) and plain(k.value).endswith("extraconfig"):
                todo.append(v)
    return out


def one_role(obj: Map) -> bool:
    """Whether ``kv_both`` is the value of one role key only, or of several that are each named for a side, and no ``pd_role``,
    a fork's setting that asks for it, stands beside it."""
    return obj.kept("one role", lambda: _one_role(obj))


def _one_role(obj: Map) -> bool:
    held = [k.value for k, v in obj.pairs if isinstance(v, Scalar) and v.value == TOKEN and is_role_key(k.value)]
    return (len(held) <= 1 or all(mentioned(k) for k in held)) and not any(
        plain(k.value) == "pdrole" for k, _ in obj.pairs
    )
