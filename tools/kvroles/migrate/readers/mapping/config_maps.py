"""What an object of Kubernetes, a ConfigMap above all, hands to others, and the variable that an environment sets."""

from __future__ import annotations

from kvroles.evidence.data import Map, Node, Scalar, Seq

_KINDS = frozenset({"ConfigMap", "Secret"})
_MOUNT_KEYS = frozenset({"configMapRef", "secretRef", "configMapKeyRef", "secretKeyRef", "configMap", "secret"})

# Keys by which an object takes over the whole of another one, whatever that is.
_TAKES = frozenset(
    {"baseRefs", "runtime", "taskRef", "pipelineRef", "templateRef", "workflowTemplateRef", "podTemplateRef", "deploymentRef",
     "workloadRef"}
)  # fmt: skip


def object_name(root: Map) -> str:
    """The name of an object of Kubernetes; empty for anything else."""
    meta = root.get("metadata")
    return (meta.scalar("name") or "") if root.scalar("kind") and isinstance(meta, Map) else ""


def taken(m: Map, name: str) -> Node | None:
    """The value by which a mapping takes over the whole of the object ``name``; None if it does not."""
    return next((v for k, v in m.pairs if k.value in _TAKES and name in _names_of(v)), None)


def _names_of(given: Node) -> list[str | None]:
    """The names in a reference, or in a list of them."""
    if isinstance(given, Scalar):
        return [given.value]
    items = given.items if isinstance(given, Seq) else [given]
    return [item.scalar("name") for item in items if isinstance(item, Map)]


def mounted_name(root: Map) -> str:
    """The name of a ConfigMap or Secret, by which others take over what it holds; empty for anything else."""
    meta = root.get("metadata")
    return (meta.scalar("name") or "") if root.scalar("kind") in _KINDS and isinstance(meta, Map) else ""


def mounts(m: Map, name: str, key: str) -> bool:
    """Whether a mapping takes over the ConfigMap or Secret ``name``: the whole, or its ``key``."""
    if m.scalar("name") == name and m.scalar("kind") in _KINDS:  # Flux: ``valuesFrom: [{kind: ConfigMap, name: x}]``
        return (m.scalar("valuesKey") or key) == key
    return any(
        k.value in _MOUNT_KEYS
        and isinstance(v, Map)
        and name in (v.scalar("name"), v.scalar("secretName"))
        and key in (_keys_of(v) or (key,))
        for k, v in m.pairs
    )


def _keys_of(mount: Map) -> list[str | None]:
    """The keys that a variable or a volume takes of a ConfigMap or Secret; empty if it takes the whole."""
    if (key := mount.scalar("key")) is not None:
        return [key]
    items = mount.get("items")
    return [item.scalar("key") for item in items.items if isinstance(item, Map)] if isinstance(items, Seq) else []


def env_name(path: list[Node], i: int) -> str:
    """The variable that the environment of the mapping ``path[i]`` sets on the way to the end of ``path``; empty if none."""
    env, entry = path[i + 1], path[i + 2] if i + 2 < len(path) else None
    if isinstance(env, Map):
        return next((k.value for k, v in env.pairs if v is entry), "")
    return (entry.scalar("name") or "") if isinstance(env, Seq) and isinstance(entry, Map) else ""
