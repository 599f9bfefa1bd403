"""Evidence in structured files: keys, names, labels, roles, environment, arguments, KServe's structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence import argv, edited, entries, given, kinds, pickers, serves
from kvroles.evidence.conditions import selector_side
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.entries import ARG_KEYS, one_side
from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.names import (
    OFF,
    ON,
    PD,
    may_be_role_key,
    mentioned,
    name_sides,
    own,
    role_key,
    side_word,
    split_name,
    turns,
)
from kvroles.evidence.patterns import regex

# Keys whose value names the server that their mapping is about.
_NAME_KEYS = frozenset(
    {
        "name", "generateName", "container_name", "containerName", "hostname", "serviceName", "service", "component", "app",
        "id", "workload", "namePrefix", "nameSuffix",
        "job", "job_name", "jobName", "nameOverride", "fullnameOverride", "releaseName", "modelDeploymentName",
        "hosts", "deployment_name", "deploymentName", "alias", "instance", "worker", "node", "pool", "target", "dynamoComponent",
        "SyslogIdentifier",
    }
)  # fmt: skip
# Keys whose value is a title or a sentence about it.
_SAID_KEYS = frozenset(
    {"description", "desc", "title", "comment", "_comment", "//", "summary", "label", "display_name", "displayName"}
)
# In a key that ends in "name" or "host": it names something that the server uses, not the server.
_NOT_OWN = regex(
    r"(?i)model|account|secret|scheduler|class|image|user|file|volume|repo|chart|peer|remote|proxy|router|claim|config|topic|tokenizer|queue|display"
)
# A label's key that is itself the side, where its value is true: ``example.com/prefill-worker: "true"``.
_IS_SIDE = regex(
    r"(?i)(?:^|/)(?:is[-_]?)?(?:prefill|decode)(?:er|r)?(?:[-_]?(?:worker|node|pod|instance|server|only|role))?$"
)
# Keys under which a mapping holds what is taken where its condition is not met.
_ELSE_KEYS = frozenset({"else", "otherwise", "default", "false", "False"})
_CONDITION_KEYS = frozenset({"when", "if", "condition", "only_if"})
_LOOPS = frozenset(
    {"loop", "profiles", "with_items", "withItems", "strategy", "matrix", "parallel", "for_each"}
)  # Ansible, Argo, CI
_PREFILL_ON = regex(r"(?i)(?<![a-z])prefill[\"']?\s*[:=]\s*\$?true\b")


def key_scope(key: Scalar, value: Node, owner: Map, up: Scope, ctx: FileCtx) -> Scope:
    """The scope of ``owner[key]``."""
    scope = Scope("key", key.value, up)
    pos = key.text.at(0)
    side = one_side(key.value, ctx)
    if (side is not None and not isinstance(value, Scalar)) or side in (Side.PREFILL, Side.DECODE):
        scope.cues.append(kinds.KEY.cue(side, key.value, pos))
    elif isinstance(value, (Map, Seq)) and (host := ctx.proxied(pos).get(key.value.lower())):
        scope.cues.append(kinds.HOST.cue(host, f"{key.value} is the proxy's {host.value} server", pos))
    scope.cues += entries.beside(key, value, owner, side, ctx) + serves.of_key(key, owner, ctx)
    return scope


def map_scope(m: Map, up: Scope, ctx: FileCtx, through: str | None) -> Scope:
    """The scope of one mapping, with the cues of its own scalars, metadata, environment and arguments.

    ``through`` is the key of the mapping in whose value the config lies, None if it lies in no value of it.
    """
    scope = Scope("mapping", m.scalar("name") or m.scalar("kind") or "", up)
    for said in m.kept("said", lambda: _said(m, ctx)):
        if not (said.of_itself and said.key == through):
            scope.cues += said.cues
    if all(c.kind == kinds.OPEN.name for c in scope.cues):
        scope.cues += m.kept("listed", lambda: _listed(m, ctx))
    if through in _ELSE_KEYS:
        scope.cues = [c for c in scope.cues if c.kind != "condition"]
    words, has_args = m.kept("words", lambda: container_words(m))
    if has_args:
        scope.kind, scope.launch = "container", True
        scope.cues += m.kept("words say", lambda: argv.cues(words, ctx))
        scope.flags = m.kept("flags", lambda: argv.flags_of(words))
    elif m.get("image") is not None:
        scope.kind, scope.launch = "container", True
    return scope


def _listed(m: Map, ctx: FileCtx) -> list[Cue]:
    """The side that a mapping is given as the one item of a list (``profiles: [prefill]``, ``roles: [prefill]``), or as the one
    of two truths that holds (``prefill: true`` beside ``decode: false``): of decode only where prefill is on elsewhere."""
    for k, v in m.pairs:
        words = seq_words(v) if isinstance(v, Seq) and (k.value == "profiles" or role_key(k.value)) else None
        if words and len(words) == 1 and (side := ctx.role_of(words[0].s)) in PD:
            return [kinds.LABEL.cue(side, f"{k.value}: {words[0].s}", words[0].pos)]
    truths = [(side_word(k.value), k, v) for k, v in m.pairs if isinstance(v, Scalar) and len(split_name(k.value)) == 1]
    on = [(side, k, v) for side, k, v in truths if side is not None and v.value.lower() in ON]
    off = {side for side, _, v in truths if side in PD and v.value.lower() in OFF}
    return [
        kinds.LABEL.cue(side, f"{k.value}: {v.value}", v.text.at(0))
        for side, k, v in on
        if len(on) == 1 and off == {side.other} and (side is Side.PREFILL or _PREFILL_ON.search(ctx.text.s))
    ]


class _Said(NamedTuple):
    """The cues of one pair of a mapping. With ``of_itself`` they are not about a config inside that pair's own value: a config in
    ``labels`` does not belong to the server that the labels are of."""

    key: str
    cues: list[Cue]
    of_itself: bool = False


def _said(m: Map, ctx: FileCtx) -> list[_Said]:
    """The cues of each pair of a mapping; pairs without cues are left out."""
    out: list[_Said] = []
    if any(turns(k.value) and not (isinstance(v, Scalar) and v.value.lower() in OFF) for k, v in m.pairs):
        return out  # ``invert: true`` beside ``role: prefill``
    patch = m.get("op") is not None
    several = pickers.many(v.value for k, v in m.pairs if isinstance(v, Scalar))
    several = several and not any(k.value in _ELSE_KEYS for k, _ in m.pairs)
    open_keys = {
        k.value for k, v in m.pairs if isinstance(v, Scalar) and v.value.startswith("${?")
    }  # HOCON's: if it is set
    for k, v in m.pairs:
        key = k.value
        if (several and key in _CONDITION_KEYS) or key in open_keys:
            continue  # it may choose between them, or be set anew
        if key == "hosts" and (both := serves.of_hosts(v)):
            out.append(_Said(key, both))
        elif isinstance(v, Scalar):
            out.append(_Said(key, _scalar_cues(key, v, ctx, op=patch), of_itself=True))
        elif key in _CONDITION_KEYS and isinstance(v, Seq):  # each has to hold
            each = [_scalar_cues(key, item, ctx, op=False) for item in v.items if isinstance(item, Scalar)]
            out.append(_Said(key, [cue for cues in each for cue in cues]))
        elif key in {"metadata", "target"} and isinstance(v, Map):
            out.append(_Said(key, _metadata(v, ctx) or (serves.of_target(v) if key == "target" else [])))
        elif key in {"labels", "commonLabels", "matchLabels", "podLabels", "annotations", "tags", "meta"}:
            cues = _labels(v, ctx, roles_only=key in {"annotations", "meta"})
            if key == "meta":  # Nomad's, which a group and a task set anew
                cues = [c._replace(kind=kinds.ROLE_SETTING.name) for c in cues]
            out.append(_Said(key, cues, of_itself=True))
        elif key in ENV_KEYS - {"vars", "params", "variables"}:
            # ``envs`` of a SkyPilot task are defaults: a variable that its text asks for may be set anew at the start.
            cues = _env(v, ctx)
            if cues and any(given.may_set_any(script) for script in _scripts(m)):
                cues = []
            asked = ctx.text.s.replace("{", "") if key == "envs" and cues else ""
            out.append(_Said(key, [c for c in cues if f"${c.words.split('=')[0]}" not in asked]))
        if key in _LOOPS and (words := _both_in(v)):
            out.append(_Said(key, [kinds.LOOP_OVER_BOTH.cue(Side.SHARED, f"{key}: {words}", k.text.at(0))]))
    return [said for said in out if said.cues]


def _both_in(node: Node) -> str:
    """The words of a loop's or matrix's list that names both sides; empty if no list does."""
    todo = [node]
    while todo:
        n = todo.pop()
        if isinstance(n, Map):
            keys = [k.value for k, _ in n.pairs]
            if {Side.PREFILL, Side.DECODE} <= {s for w in keys for s in mentioned(w)}:
                return ", ".join(keys)[:60]
            todo += [v for _, v in n.pairs]
        elif isinstance(n, Seq):
            words = [i.value for i in n.items if isinstance(i, Scalar)]
            if {Side.PREFILL, Side.DECODE} <= {s for w in words for s in mentioned(w)}:
                return ", ".join(words)[:60]
            todo += [i for i in n.items if isinstance(i, Map)]
    return ""


def pair_cues(key: Scalar, value: Node, ctx: FileCtx) -> list[Cue]:
    """The cues that one pair of a mapping is for the mapping; none if the pair's value is no scalar."""
    return _scalar_cues(key.value, value, ctx, op=False) if isinstance(value, Scalar) else []


def _scalar_cues(key: str, v: Scalar, ctx: FileCtx, *, op: bool) -> list[Cue]:
    return [c for c in _plain_cues(key, v, ctx, op=op) if not edited.is_choice(ctx.text.s, c.pos, c.side)]


def _plain_cues(key: str, v: Scalar, ctx: FileCtx, *, op: bool) -> list[Cue]:
    """The cues of a pair whose value is a scalar, whatever a comment says of it."""
    pos = v.text.at(0)
    if len(v.value) > 200:
        return []
    if key in _CONDITION_KEYS:
        words = f"{key}: {v.value}"[:80]
        return [c for c in pickers.holding(v.value, words, ctx, pos) if c.side in PD]
    if key in _NAME_KEYS or (
        key.lower().endswith(("name", "host")) and not _NOT_OWN.search(key) and not mentioned(key)
    ):
        # A step's name is a sentence: "Wait for prefill, then start the rest".
        # Kustomize takes that of a target for a pattern: "^vllm-prefill$".
        name = v.value[1:].removesuffix("$") if v.value[:1] == "^" else v.value
        if side := one_side(name, ctx) if len(name.split()) < 3 else ctx.title_side(name):
            return [(kinds.STEP if " " in name else kinds.NAME).cue(side, f"{key}: {v.value}", pos)]
        if (host := ctx.proxied(pos).get(v.value.lower())) is not None:
            return [kinds.HOST.cue(host, f"{key}: {v.value} is the proxy's {host.value} server", pos)]
    if op and key == "path":
        if side := one_side(v.value, ctx):
            return [kinds.PATCH_PATH.cue(side, v.value, pos)]
        return []
    if role_key(key):
        side = ctx.role_of(v.value, key)
        if side is None:
            side = one_side(v.value, ctx)
        if side is not None and not (side is Side.AGGREGATED and v.value.lower() in {"none", "all", "regular"}):
            strong = re.search(r"(?i)disagg|sub_?component|pd_?role|worker|nixl", key) is not None
            return [(kinds.ROLE if strong else kinds.ROLE_SETTING).cue(side, f"{key}: {v.value}", pos)]
        if side is None and key.lower().endswith("role"):
            return argv.told(v.value, f"{key}: {v.value}", pos, ctx)
    elif may_be_role_key(key) and (side := ctx.role_of(v.value, key)) in PD:
        return [kinds.PERHAPS_ROLE.cue(side, f"{key}: {v.value}", pos)]
    if key in _SAID_KEYS and (side := ctx.title_side(v.value)):
        return [kinds.TEXT.cue(side, f"{key}: {v.value[:80]}", pos)]
    if re.fullmatch(r"(?i)is_?(?:prefill|decode)(?:_?(?:worker|only))?|(?:prefill|decode)_?only", key):
        return argv.switched(kinds.ROLE, name_sides(key), v.value, f"{key}: {v.value}", pos)
    return []


def _metadata(m: Map, ctx: FileCtx) -> list[Cue]:
    out: list[Cue] = []
    for k, v in m.pairs:
        if k.value in {"name", "generateName"} and isinstance(v, Scalar):
            out += _scalar_cues("name", v, ctx, op=False)
        elif k.value in {"labels", "annotations"}:
            out += _labels(v, ctx, roles_only=k.value == "annotations")
        elif k.value == "labelSelector" and isinstance(v, Scalar) and (side := selector_side(v.value)):
            out.append(kinds.LABEL.cue(side, f"labelSelector: {v.value}", v.text.at(0)))
    return out


def _labels(node: Node, ctx: FileCtx, *, roles_only: bool = False) -> list[Cue]:
    out: list[Cue] = []
    for key, value, pos in _labelled(node):
        if len(value) > 100 or argv.other_end(key) or not own(key):
            continue
        side = ctx.role_of(value, key) if role_key(key) else None
        if side is Side.AGGREGATED and value.lower() in {"none", "all", "regular"}:
            side = None
        if side is None and _IS_SIDE.search(key) and (named := one_side(key.rsplit("/", 1)[-1], ctx)) in PD:
            on = "true" if value.lower() == "enabled" else value
            found = argv.switched(kinds.LABEL, [named], on, f"{key}: {value}", pos)
            out += [c for c in found if not roles_only or c.weight == Weight.HINT]
            continue
        if side is None and not roles_only:
            side = one_side(value, ctx)
        if side is not None and not edited.is_choice(ctx.text.s, pos, side):
            out.append(kinds.LABEL.cue(side, f"{key}: {value}", pos))
    return out


def _labelled(node: Node) -> Iterator[tuple[str, str, int]]:
    """Labels with their values and places: of a mapping, of compose's list of ``key=value``, of Kustomize's list of ``pairs``."""
    if isinstance(node, Map):
        yield from ((k.value, v.value, v.text.at(0)) for k, v in node.pairs if isinstance(v, Scalar))
    for item in node.items if isinstance(node, Seq) else ():
        if isinstance(item, Scalar) and "=" in item.value:
            key, _, value = item.value.partition("=")
            yield key, value, item.text.at(0)
        elif isinstance(item, Map) and isinstance(pairs := item.get("pairs"), Map):
            yield from _labelled(pairs)


def _env(node: Node, ctx: FileCtx) -> list[Cue]:
    out: list[Cue] = []
    if isinstance(node, Map):
        for k, v in node.pairs:
            if isinstance(v, Scalar):
                out += argv.env_cues(k.value, v.value, v.text.at(0), ctx)
    elif isinstance(node, Seq):
        for item in node.items:
            if isinstance(item, Map):
                name, value = item.scalar("name"), item.get("value")
                if name and isinstance(value, Scalar):
                    out += argv.env_cues(name, value.value, value.text.at(0), ctx)
            elif isinstance(item, Scalar) and "=" in item.value:
                name, _, val = item.value.partition("=")
                out += argv.env_cues(name, val, item.text.at(0), ctx)
    return [c for c in out if c.weight in (Weight.FLAG, Weight.HINT)]


def _scripts(m: Map) -> Iterator[str]:
    """The strings of a container's command and arguments."""
    for k, v in m.pairs:
        for node in (v.items if isinstance(v, Seq) else [v]) if k.value in ARG_KEYS else ():
            if isinstance(node, Scalar):
                yield node.value


def container_words(m: Map) -> tuple[list[argv.Word], bool]:
    """The words of a container's command and arguments, given as lists or as a mapping of flags, and whether it has any. A
    command given as one string counts as one, but its words are a shell's, and are read by the shell's reader."""
    out: list[argv.Word] = []
    found = False
    for k, v in m.pairs:
        if k.value not in ARG_KEYS:
            continue
        found = True
        if isinstance(v, Seq):
            out += [argv.Word(i.value, i.text.at(0)) for i in v.items if isinstance(i, Scalar) and "\n" not in i.value]
        elif isinstance(v, Map):
            for f, a in v.pairs:  # {tensor-parallel-size: 4}
                if isinstance(a, Scalar) and not f.value.isupper():  # what an image is built with is no flag
                    out += [argv.Word("--" + f.value.lstrip("-"), f.text.at(0)), argv.Word(a.value, a.text.at(0))]
    return out, found


def seq_words(seq: Seq) -> list[argv.Word] | None:
    """The words of a list of strings, or None if it is not one."""
    if not seq.items or not all(isinstance(i, Scalar) for i in seq.items):
        return None
    return [argv.Word(i.value, i.text.at(0)) for i in seq.items if isinstance(i, Scalar)]


ENV_KEYS = frozenset(
    {"env", "environment", "envs", "extraEnv", "env_vars", "extraEnvVars", "variables", "vars", "params"}
)


def kserve(root: Node, keys: list[str]) -> Cue | None:
    """The cue of an LLMInferenceService of KServe, which gives the side by structure alone: ``spec.template`` is decode where
    there is a ``spec.prefill``, and one server for both where there is none. ``keys`` lead from ``root`` to the config."""
    if not isinstance(root, Map) or not (root.scalar("kind") or "").startswith("LLMInferenceService"):
        return None
    spec = root.get("spec")
    if not isinstance(spec, Map) or not spec.pairs or keys[0] != "spec" or keys[1] not in {"template", "worker"}:
        return None
    pos = spec.pairs[0][0].text.at(0)
    if any(
        k.value == "prefill" and not (isinstance(v, Scalar) and v.value in {"", "null", "~"}) for k, v in spec.pairs
    ):
        return kinds.STRUCTURE.cue(Side.DECODE, f"spec.{keys[1]} beside spec.prefill (KServe)", pos)
    if root.scalar("kind") == "LLMInferenceService" and spec.get("baseRefs") is None:
        return kinds.STRUCTURE.cue(Side.AGGREGATED, "no spec.prefill: one server does both (KServe)", pos)
    return None
