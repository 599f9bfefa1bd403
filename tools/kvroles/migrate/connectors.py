"""Which connector a role belongs to, and whether it is NIXL's."""

from __future__ import annotations

import re
from enum import Enum

from kvroles.evidence.data import Map, Scalar
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
PLUGIN_NIXL = re.compile(r"^(?:Rbln|RBLN|Hpu|HPU|Gaudi|Tpu|TPU|Xpu|XPU|Npu|NPU)Nixl(?:Pull|Push)?Connector(?:V1)?$")
SHORT = frozenset({"nixl", "nixlconnector", "nixl_connector", "nixl-connector"})
WRAPPERS = frozenset({"MultiConnector", "PdConnector", "DynamoPdConnector", "PDConnector"})
# The names that charts, launchers and routers use for other connectors in their own settings.
SHORT_OTHER = frozenset(
    {"lmcache", "lmcachemp", "mooncake", "mooncakestore", "kvbm", "offloading", "sharedstorage", "shared-storage", "p2pnccl",
     "hf3fs", "flexkv", "moriio", "aibrix", "simplecpuoffload", "cpuoffload"}
)  # fmt: skip
_CLASS = re.compile(r"^(?:[\w.]+[.:])?[A-Z]\w*Connector\w*$")
_PLACEHOLDER = re.compile(r"[$<{%@]|^$|^__")
_CLASS_NAMED = re.compile(
    r"(?<![A-Za-z0-9_])([A-Z][A-Za-z0-9]*Connector(?:V\d+)?)(?:Worker|Scheduler|Metadata|Stats)?(?![A-Za-z0-9_])"
)
_SAID = re.compile(
    r"(?i)connector(?:_?(?:name|type|class))?\\*[\"']?[ \t]*[:=]{1,2}[ \t]*(?P<value>\\*[\"']*[^\s,;)}\]\"'\\]+)"
)
_BASES = frozenset({"KVConnector", "BaseConnector", "KVCacheConnector", "VllmConnector", "TCPConnector"})


def kind_of(name: str | None, known: frozenset[str] = frozenset()) -> Kind:
    """What ``name`` is; ``known`` are further NIXL subclasses the user declared.

    Another connector is one by its known short name or by the form of a connector's class; any other name is unknown.
    """
    if name is None or _PLACEHOLDER.search(name):
        return Kind.UNKNOWN
    name = name.strip()
    if name in NIXL or name in known or PLUGIN_NIXL.match(name) or name.lower() in SHORT:
        return Kind.NIXL
    if name in WRAPPERS:
        return Kind.WRAPPER
    if "nixl" in name.lower():
        return Kind.UNKNOWN
    return Kind.OTHER if _CLASS.match(name) or name.lower() in SHORT_OTHER else Kind.UNKNOWN


def is_placeholder(name: str) -> bool:
    """Whether what stands in a connector's place is only filled in later."""
    return _PLACEHOLDER.search(name) is not None


def all_other(s: str, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The connectors that a text names, if it names any and each is another one than NIXL's; else nothing.

    A wrapper is none by itself, and a placeholder in a connector's place may stand for NIXL's.
    """
    if "nixl" in s.lower():
        return ()
    found = dict.fromkeys(m[1] for m in _CLASS_NAMED.finditer(s) if m[1] not in _BASES)
    for m in _SAID.finditer(s):
        value = m["value"].lstrip("\\\"'")
        if _PLACEHOLDER.search(value) or value in known:
            return ()
    other = tuple(name for name in found if kind_of(name, known) is Kind.OTHER)
    return other if all(kind_of(name, known) in (Kind.OTHER, Kind.WRAPPER) for name in found) else ()


def plain(key: str) -> str:
    """A key without case, dashes and underscores: ``kv-role``, ``kvRole`` and ``KV_ROLE`` are one."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


def is_role_key(key: str) -> bool:
    return plain(key.split(".")[-1]).endswith("role")


def is_connector_key(key: str) -> bool:
    key = plain(key.split(".")[-1])
    return key.endswith("connector") or key in {"connectortype", "connectorname", "connectorclass", "kvconnectortype"}


def connector_of(obj: Map) -> str | None:
    """The connector an object configures, by the key that names it, else by a value that is a connector class."""
    named = [v.value for k, v in obj.pairs if isinstance(v, Scalar) and is_connector_key(k.value)]
    if len(named) == 1:
        return named[0]
    if named:
        return named[0] if len(set(named)) == 1 else None
    classes = [
        v.value
        for _, v in obj.pairs
        if isinstance(v, Scalar) and re.fullmatch(r"[A-Z]\w*Connector(?:V1)?", v.value.strip())
    ]
    return classes[0] if len(classes) == 1 else None


def settings(obj: Map) -> dict[str, str]:
    """The scalar settings of a config object and of its extra config, which the hazards are read from."""
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
    """Whether ``kv_both`` is the value of one role key only, and no ``pd_role`` beside it, a fork's setting that asks for it."""
    return len(role_pairs(obj)) <= 1 and not any(plain(k.value) == "pdrole" for k, _ in obj.pairs)


def role_pairs(obj: Map) -> list[Scalar]:
    """The values ``kv_both`` of the role keys of one object (not of what is nested in it)."""
    return [v for k, v in obj.pairs if isinstance(v, Scalar) and v.value == TOKEN and is_role_key(k.value)]
