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
    """The flags of the command that a site is in, without their dashes; the nearest owner that sets one counts."""
    out: dict[str, str] = {}
    scopes = scope.chain()
    # What is added to a command's list later on is an owner of that list, and of the same command.
    added = max((n for n, s in enumerate(scopes) if s.kind == "additions"), default=-1)
    for n, s in enumerate(scopes):
        for k, v in s.flags.items():
            out.setdefault(k, v)
        if s.kind in {"container", "command", "list"} and s.flags and n > added:
            break
    return out


def _over_one(flags: dict[str, str], *names: str) -> str:
    """The first of the flags ``names`` that is set to a number above one, as it is written; empty if none is."""
    for n in names:
        v = flags.get(n, "")
        if re.fullmatch(r"[0-9]{1,9}", v) and int(v) > 1:
            return f"--{n} {v}"
    return ""


class _Move(NamedTuple):
    """What a rule is asked about: the side that ``site`` moves to, on which release (None: the newest rules hold), and the flags
    of its command."""

    site: Site
    side: Side
    release: Version | None
    flags: dict[str, str]

    def since(self, first: str) -> bool:
        """Whether what holds from release ``first`` on holds here; it does where no release is named."""
        return self.release is None or at_least(self.release, first)

    def named_since(self, first: str) -> bool:
        """Whether a release is named, and is ``first`` or later."""
        return self.release is not None and at_least(self.release, first)

    @property
    def pipelined(self) -> str:
        """The flag by which the server has more than one pipeline stage; empty if it has one."""
        return _over_one(self.flags, "pipeline-parallel-size", "pp")


def of(site: Site, side: Side, release: Version | None) -> list[Hazard]:
    """The hazards of moving ``site``; without a target release the newest rules hold."""
    move = _Move(site, side, release, _flags(site.scope))
    return [hazard for rule in _RULES if (hazard := rule(move)) is not None]


def _bidirectional(move: _Move) -> Hazard | None:
    """A prefill instance that loads KV from decode, into blocks that a step in flight may still write."""
    asked = move.site.extra.get("bidirectional_kv_xfer", "").strip().lower() in {"true", "1", "yes"}
    if not asked or move.side is not Side.PREFILL or move.site.connector == "NixlPushConnector":
        return None
    if "no-async-scheduling" in move.flags and not move.pipelined:
        return None  # no two steps in flight
    if move.since(FENCE):
        return Hazard(
            "KVR131",
            "with bidirectional_kv_xfer a prefill instance still loads KV from decode, but from 0.24.0 on only "
            "consumers hold freed blocks back until a step in flight is done; as kv_producer it was seen to load into "
            "blocks still being written: keep kv_both here, or start it with --no-async-scheduling and without pipeline "
            "parallelism",
            blocks=True,
        )
    if move.release is None or not at_least(move.release, BIDIRECTIONAL):
        return None
    return Hazard(
        "KVR137",
        f"with bidirectional_kv_xfer a prefill instance of {move.release.text} can load KV into blocks that a step is "
        "still writing, under every role: start it with --no-async-scheduling",
    )


def _pipeline_parallel(move: _Move) -> Hazard | None:
    """A decode server in several pipeline stages, which a kv_consumer may not be."""
    if move.side is not Side.DECODE or not move.since(PP) or not move.pipelined:
        return None
    message = "from 0.26.0 on a kv_consumer with pipeline parallelism does not start, which kv_both got past"
    return Hazard("KVR132", f"{move.pipelined}: {message}", blocks=True)


def _context_parallel(move: _Move) -> Hazard | None:
    """A server that splits a prompt over several ranks, which only a kv_producer may."""
    size = _over_one(move.flags, "prefill-context-parallel-size", "pcp")
    if not size or not move.since(PCP):
        return None
    prefill = move.side is Side.PREFILL
    effect = "becomes allowed on a kv_producer" if prefill else "is refused on a kv_consumer, as it was with kv_both"
    return Hazard("KVR133", f"{size}: prefill context parallelism {effect} from 0.29.0 on")


def _multimodal(move: _Move) -> Hazard | None:
    """A prefill instance that is sent images, and does not take their embeddings from elsewhere."""
    if move.side is not Side.PREFILL or not move.named_since(MM):
        return None
    takes_images = any(f.startswith(("multimodal", "limit-mm", "mm-", "ec-transfer-config")) for f in move.flags)
    feeds_itself = "ec_consumer" in move.flags.get("ec-transfer-config", "") or "enable-mm-embeds" in move.flags
    if not takes_images or feeds_itself:
        return None
    text = "requests that leave out the embedding tensor become errors (0.28.0 on)"
    if move.named_since(MM_FORCED):
        text += ", and embedding inputs need --enable-mm-embeds (0.30.0 on)"
    return Hazard("KVR134", f"on a multimodal kv_producer {text}")


def _wrapped(move: _Move) -> Hazard | None:
    """A connector in a wrapper whose own role goes on deciding."""
    if not move.site.wrappers or not move.named_since(FENCE):
        return None
    own = f"{move.site.wrappers[0]}'s own role, which stays as it is"
    return Hazard("KVR135", f"block freeing, partial-tail and multimodal handling follow {own}")


def _metric(move: _Move) -> Hazard | None:
    """A metric that a kv_producer does not report."""
    if move.side is not Side.PREFILL or not move.named_since(METRIC):
        return None
    return Hazard("KVR136", "vllm:num_requests_kv_fetch_by_stage disappears from a kv_producer (0.32.0 on)")


_RULES = (_bidirectional, _pipeline_parallel, _context_parallel, _multimodal, _wrapped, _metric)


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
