"""Named entries of a structured file: the side that a name says, and what the entries beside one say of it."""

from __future__ import annotations

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Map, Node, Scalar, Seq, scalars_with
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import OFF

# Keys that hold the server's command or its arguments.
ARG_KEYS = frozenset(
    {"args", "command", "entrypoint", "cmd", "extraArgs", "extra_args", "vllmArgs", "additionalArgs", "arguments"}
)
# Keys whose value is the entry that this one starts from.
EXTENDS = frozenset(
    {
        "extends", "extend", "inherits", "inherit", "inherits_from", "inherit_from", "$ref", "base", "parent",
        "_base_", "based_on", "from", "ref", "same_as", "sameAs", "like", "copy", "copy_of", "copyOf", "use", "template",
    }
)  # fmt: skip


def one_side(name: str, ctx: FileCtx) -> Side | None:
    """The one side an identifier of a structured file names (letters P and D where the file pairs them)."""
    if "_default_" in name and any(var in name for var in ctx.asked):
        return None  # {{ .Values.role | default "decode" }} in a template that asks for the role elsewhere
    if "${" in name and ":-" in name:
        return None  # whoever starts it may set another
    return ctx.side_of(name)


def beside(key: Scalar, value: Node, owner: Map, side: Side | None, ctx: FileCtx) -> list[Cue]:
    """What the entries beside ``owner[key]`` say of it, which itself is for ``side``: that they start from it or run it for the
    other side, or that it is a decode server whose prefill server is switched off."""
    out: list[Cue] = []
    if side in (Side.PREFILL, Side.DECODE):
        out += _taken(key, value, owner, side, ctx)
    if side is Side.DECODE:
        for k, v in owner.pairs:
            if one_side(k.value, ctx) is Side.PREFILL and isinstance(v, Map) and (why := switched_off(v)):
                out.append(kinds.PREFILL_OFF.cue(Side.AGGREGATED, f"{k.value}.{why}", k.text.at(0)))
    elif side is None and isinstance(value, Map) and one_side(value.scalar("name") or "", ctx) is Side.DECODE:
        # TOML's arrays of tables: each is an entry of its own
        off = owner.kept("off", lambda: _off_by_name(owner, ctx))
        out += [cue for k, cue in off if k == key.value]
    return out


def _taken(key: Scalar, value: Node, owner: Map, side: Side, ctx: FileCtx) -> list[Cue]:
    """The cues of the entries that start from ``owner[key]``, or run it, and are not for its ``side``."""
    takers = owner.kept("takers", lambda: [(k, v, _extends(v)) for k, v in owner.pairs if isinstance(v, (Map, Scalar))])
    out = [
        kinds.EXTENDED.cue(Side.SHARED, f"{k.value} extends {key.value}", k.text.at(0))
        for k, v, taken in takers
        if not taken.isdisjoint({key.value, key.value.rpartition(".")[2].strip("\"'")})
        and one_side(k.value, ctx) is not side
        and (isinstance(v, Map) or one_side(k.value, ctx) is side.other)
        and not any(v.get(a) is not None for a in ARG_KEYS if isinstance(v, Map))
        and not _holds_role(v)
    ]
    return out + [
        kinds.RUN_BY_TASK.cue(Side.SHARED, f"{k.value} runs {key.value}", k.text.at(0))
        for k, v, _ in takers
        if v is not value and _runs(v, key.value) and one_side(k.value, ctx) not in (None, side)
    ]


def _holds_role(entry: Node) -> bool:
    """Whether an entry sets a role itself."""
    return any(scalars_with(entry, role) for role in ("kv_both", "kv_producer", "kv_consumer"))


def _off_by_name(owner: Map, ctx: FileCtx) -> list[tuple[str, Cue]]:
    """The keys of the entries that are a prefill server by their name and switched off, each with the cue of that."""
    out: list[tuple[str, Cue]] = []
    for k, v in owner.pairs:
        name = (v.scalar("name") or "") if isinstance(v, Map) else ""
        if isinstance(v, Map) and one_side(name, ctx) is Side.PREFILL and (why := switched_off(v)):
            out.append((k.value, kinds.PREFILL_OFF.cue(Side.AGGREGATED, f"{name}: {why}", k.text.at(0))))
    return out


def _runs(node: Node, task: str) -> bool:
    """Whether one of a Taskfile's tasks runs another as one of its commands."""
    cmds = node.get("cmds") if isinstance(node, Map) else None
    return isinstance(cmds, Seq) and any(isinstance(c, Map) and c.scalar("task") == task for c in cmds.items)


def _extends(m: Node) -> set[str]:
    """The entries that a compose service, a CI job or a bake target starts from, by name; the one that a name stands for."""
    if isinstance(m, Scalar):
        return {m.value}
    out: set[str] = set()
    for node in (v for k, v in m.pairs if k.value in EXTENDS) if isinstance(m, Map) else ():
        if isinstance(node, Map):
            out.add(node.scalar("service") or "")
        elif isinstance(node, Seq):
            out |= {i.value for i in node.items if isinstance(i, Scalar)}
        elif isinstance(node, Scalar):
            out.add(node.value.rsplit("/", 1)[-1])  # "#/prefill"
    return out


def taken_beside(seq: Seq, item: Node, ctx: FileCtx) -> list[Cue]:
    """The cues of the entries of a list that start from ``item``, which is named for one side, and are named for the other."""
    name = item.scalar("name") or "" if isinstance(item, Map) else ""
    side = one_side(name, ctx) if name else None
    if side not in (Side.PREFILL, Side.DECODE):
        return []
    takers = seq.kept(
        "takers", lambda: [(i, taken) for i in seq.items if isinstance(i, Map) and (taken := _extends(i))]
    )
    return [
        kinds.EXTENDED.cue(Side.SHARED, f"{other.scalar('name')} extends {name}", other.pairs[0][0].text.at(0))
        for other, taken in takers
        if other is not item
        and name in taken
        and one_side(other.scalar("name") or "", ctx) is side.other
        and not _holds_role(other)
    ]


def off_beside(seq: Seq, item: Node, ctx: FileCtx) -> list[Cue]:
    """The cues of a decode entry in a list whose prefill entry is switched off: the server then does both."""
    off = seq.kept("off", lambda: _prefill_off(seq, ctx))
    if not off or not isinstance(item, Map) or one_side(item.scalar("name") or "", ctx) is not Side.DECODE:
        return []
    return [cue for other, cue in off if other is not item]


def _prefill_off(seq: Seq, ctx: FileCtx) -> list[tuple[Map, Cue]]:
    """The entries of a list that are named for prefill and switched off, each with the cue that the others get from it."""
    out: list[tuple[Map, Cue]] = []
    for other in seq.items:
        if isinstance(other, Map) and (why := switched_off(other)):
            name = other.scalar("name") or ""
            if one_side(name, ctx) is Side.PREFILL:
                place = other.pairs[0][0].text.at(0)
                out.append((other, kinds.PREFILL_OFF.cue(Side.AGGREGATED, f"{name}.{why}", place)))
    return out


def switched_off(m: Map) -> str:
    """``create: false``, ``enabled: false`` or ``replicas: 0`` if a mapping says so, or its ``deploy``; empty if not."""
    if isinstance(deploy := m.get("deploy"), Map) and (off := switched_off(deploy)):
        return f"deploy.{off}"
    for k in ("create", "enabled", "replicas", "replicaCount", "scale"):
        v = m.scalar(k)
        if v is not None and v.strip().lower() in OFF:
            return f"{k}: {v.strip()}"
    return ""
