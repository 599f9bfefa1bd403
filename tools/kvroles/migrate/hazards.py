"""What a vLLM release does with the role, and the settings with which the move needs care.

The rows are facts read off the releases' source, each with its place: ``v1/core/sched/scheduler.py`` (0.24.0, block
freeing), ``nixl/base_worker.py`` (0.26.0, pipeline parallelism), ``config/vllm.py`` (0.28.0 and 0.30.0, multimodal
embeddings), ``nixl/connector.py`` (0.29.0, prefill context parallelism), ``v1/metrics/loggers.py`` (0.32.0).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import UsageError
from kvroles.evidence.frames import Scope, Side, Site

if TYPE_CHECKING:
    from kvroles.series.release import Version

FIRST = "0.9.0"
BIDIRECTIONAL = "0.21.0"
WARNS = "0.23.0"
FENCE = "0.24.0"
PP = "0.26.0"
DELIVERY = "0.27.0"
MM = "0.28.0"
PCP = "0.29.0"
MM_FORCED = "0.30.0"
METRIC = "0.32.0"
NEWEST = "0.33.0"  # the last release whose source was read for what follows


class Hazard(NamedTuple):
    """A code, why it applies here, and whether the role must stay as it is because of it."""

    code: str
    message: str
    blocks: bool = False


def target(release: str) -> Version:
    """The release ``--target-vllm`` names. Raises ``UsageError`` for what is none, has no NIXL, or is not known yet."""
    # lazy: only where a release is given
    from kvroles.series.release import Version

    version = Version.parse(release)
    if version is None:
        raise UsageError(f"--target-vllm {release} is no vLLM release", fix="Give one such as 0.22.1")
    if not at_least(version, FIRST):
        raise UsageError(
            f"--target-vllm {release} has no NixlConnector",
            expected="0.9.0 or later",
            found=release,
            fix="Leave the option out",
        )
    if version != Version.parse(NEWEST) and at_least(version, NEWEST):
        raise UsageError(
            f"--target-vllm {release} is newer than any release known here",
            expected=f"{NEWEST} or earlier: what a later one does with the role, nobody has read yet",
            found=release,
            fix=f"Take a newer kv-roles, or --target-vllm {NEWEST} for what is known",
        )
    return version


def at_least(release: Version, first: str) -> bool:
    """Whether ``release`` is ``first`` or later."""
    bound = type(release).parse(first)
    return bound is not None and release >= bound


def _flags(scope: Scope) -> dict[str, str]:
    out: dict[str, str] = {}
    scopes = list(scope.chain())
    parts = max((n for n, s in enumerate(scopes) if s.kind == "additions"), default=-1)  # of one command
    for n, s in enumerate(scopes):
        for k, v in s.flags.items():
            out.setdefault(k, v)
        if s.kind in {"container", "command", "list"} and s.flags and n > parts:
            break
    return out


def _over_one(flags: dict[str, str], *names: str) -> str:
    for n in names:
        v = flags.get(n, "")
        if re.fullmatch(r"[0-9]{1,9}", v) and int(v) > 1:
            return f"--{n} {v}"
    return ""


def of(site: Site, side: Side, release: Version | None) -> list[Hazard]:
    """The hazards of moving ``site``; without a target release the newest rules hold."""
    out: list[Hazard] = []
    flags = _flags(site.scope)

    def since(v: str) -> bool:
        return release is None or at_least(release, v)

    bidirectional = site.extra.get("bidirectional_kv_xfer", "").strip().lower() in {"true", "1", "yes"}
    push = site.connector == "NixlPushConnector"
    pipelined = _over_one(flags, "pipeline-parallel-size", "pp")
    serial = "no-async-scheduling" in flags and not pipelined  # no two steps in flight
    overlaps = bidirectional and side is Side.PREFILL and not push and not serial
    if overlaps and release is not None and at_least(release, BIDIRECTIONAL) and not since(FENCE):
        out.append(
            Hazard(
                "KVR137",
                f"with bidirectional_kv_xfer a prefill instance of {release.text} can load KV into blocks that a step is "
                "still writing, under every role: start it with --no-async-scheduling",
            )
        )
    if overlaps and since(FENCE):
        out.append(
            Hazard(
                "KVR131",
                "with bidirectional_kv_xfer a prefill instance still loads KV from decode, but from 0.24.0 on only "
                "consumers hold freed blocks back until a step in flight is done; as kv_producer it was seen to load into "
                "blocks still being written: keep kv_both here, or start it with --no-async-scheduling and without pipeline "
                "parallelism",
                blocks=True,
            )
        )
    if side is Side.DECODE and since(PP) and pipelined:
        out.append(
            Hazard(
                "KVR132",
                f"{pipelined}: from 0.26.0 on a kv_consumer with pipeline parallelism does not start, which kv_both got past",
                blocks=True,
            )
        )
    if since(PCP) and (pcp := _over_one(flags, "prefill-context-parallel-size", "pcp")):
        effect = (
            "becomes allowed on a kv_producer"
            if side is Side.PREFILL
            else "is refused on a kv_consumer, as it was with kv_both"
        )
        out.append(Hazard("KVR133", f"{pcp}: prefill context parallelism {effect} from 0.29.0 on"))
    takes_images = any(f.startswith(("multimodal", "limit-mm", "mm-", "ec-transfer-config")) for f in flags)
    feeds_itself = "ec_consumer" in flags.get("ec-transfer-config", "") or "enable-mm-embeds" in flags
    if release is not None and side is Side.PREFILL and since(MM) and takes_images and not feeds_itself:
        text = "requests that leave out the embedding tensor become errors (0.28.0 on)"
        if since(MM_FORCED):
            text += ", and embedding inputs need --enable-mm-embeds (0.30.0 on)"
        out.append(Hazard("KVR134", f"on a multimodal kv_producer {text}"))
    if release is not None and site.wrappers and at_least(release, FENCE):
        out.append(
            Hazard(
                "KVR135",
                f"block freeing, partial-tail and multimodal handling follow {site.wrappers[0]}'s own role, which stays as it is",
            )
        )
    if release is not None and side is Side.PREFILL and at_least(release, METRIC):
        out.append(Hazard("KVR136", "vllm:num_requests_kv_fetch_by_stage disappears from a kv_producer (0.32.0 on)"))
    return out


def effect(side: Side, release: Version) -> str:
    """One sentence on what the move does on ``release``."""
    if not at_least(release, WARNS):
        return f"{release.text} treats the roles alike: the move changes nothing there, and prepares for later releases"
    if not at_least(release, FENCE):
        return f"{release.text} warns of kv_both and treats the roles alike: the move silences the warning"
    effects = []
    if side is Side.PREFILL:
        effects.append("freed blocks are no longer held back for steps in flight")
        if at_least(release, DELIVERY):
            effects.append("its KV must be delivered, as before")
    elif at_least(release, DELIVERY):
        effects.append("the output of a preempted request is no longer dropped")
    else:
        effects.append("nothing else changes")
    return f"{release.text} warns of kv_both; as {side.role} " + " and ".join(effects)
