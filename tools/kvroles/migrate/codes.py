"""The findings' codes: what each says, how serious it is, where its page is."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from kvroles.migrate.model import Level


class Means(Enum):
    """What a finding says of a ``kv_both``. Every one in a file that is read has one finding of the first three."""

    ROLE = "role"  # a NIXL role: certain, or to decide
    HARMLESS = "harmless"  # it configures no NIXL connector, by a sign that the finding names
    UNREAD = "unread"  # not understood, or in a file that could not be read
    EFFECT = "effect"  # beside a role: what changes with it


class Code(NamedTuple):
    """One kind of finding; ``actionable`` ones make ``--check`` fail."""

    id: str
    name: str
    level: Level
    summary: str

    @property
    def means(self) -> Means:
        if self.id in {"KVR118", "KVR190"}:
            return Means.UNREAD
        if self.level is not Level.NOTE:
            return Means.ROLE
        return Means.EFFECT if self.id in EFFECTS else Means.HARMLESS

    @property
    def actionable(self) -> bool:
        return self.level is not Level.NOTE


EFFECTS = frozenset({"KVR133", "KVR134", "KVR135", "KVR136", "KVR137"})
_E, _W, _N = Level.ERROR, Level.WARNING, Level.NOTE
CODES: dict[str, Code] = {
    c.id: c
    for c in (
        Code("KVR101", "prefill-says-both", _E, "A prefill instance says kv_both; it is a kv_producer."),
        Code("KVR102", "decode-says-both", _E, "A decode instance says kv_both; it is a kv_consumer."),
        Code("KVR110", "side-unknown", _W, "Nothing says whether this instance is prefill or decode."),
        Code("KVR111", "side-contradicted", _W, "What is said of this instance's side contradicts itself."),
        Code("KVR112", "side-weak", _W, "What says this instance's side is too weak to act on."),
        Code("KVR113", "shared-value", _W, "One value feeds both sides; it has to be split first."),
        Code("KVR114", "not-disaggregated", _W, "The server does both prefill and decode; it has no side."),
        Code("KVR115", "encode-worker", _W, "An encode worker has neither role."),
        Code(
            "KVR116", "expected-by-test", _W, "The same test expects kv_both of what it sets up: both change together."
        ),
        Code(
            "KVR117", "not-in-place", _W, "The role cannot be changed in place: its bytes are not where its value is."
        ),
        Code("KVR118", "unread", _W, "What this kv_both sets is not understood: it may be a NIXL role."),
        Code("KVR119", "live-dump", _W, "A dump of a live object is never rewritten."),
        Code("KVR120", "wrapper-role", _N, "A wrapper's own role is left alone; only the NIXL connector in it moves."),
        Code("KVR121", "other-connector", _N, "Another connector's role is left alone."),
        Code(
            "KVR123", "expectation", _N, "What a test or a comparison expects changes with what sets it, not by itself."
        ),
        Code("KVR124", "mention", _N, "A comment or sentence mentions kv_both; it configures nothing."),
        Code("KVR125", "record", _N, "A log, report or patch records what once was."),
        Code("KVR126", "vocabulary", _N, "Code that compares, lists or searches for roles; it sets none."),
        Code("KVR127", "half-a-pair", _W, "One side of a pair is not rewritten while its other side is not decided."),
        Code("KVR131", "bidirectional-prefill", _W, "Bidirectional transfer needs kv_both on prefill from 0.24.0 on."),
        Code(
            "KVR132",
            "pipeline-parallel-decode",
            _W,
            "A kv_consumer with pipeline parallelism is refused from 0.26.0 on.",
        ),
        Code(
            "KVR133", "prefill-context-parallel", _N, "Prefill context parallelism depends on the role from 0.29.0 on."
        ),
        Code(
            "KVR134",
            "multimodal-prefill",
            _N,
            "A prefill instance no longer gets multimodal embeddings switched on for it.",
        ),
        Code("KVR135", "wrapper-drives", _N, "Some behaviour follows the wrapper's role, not the NIXL connector's."),
        Code("KVR136", "metric-gone", _N, "A metric disappears from prefill instances."),
        Code(
            "KVR137",
            "bidirectional-async",
            _N,
            "Before 0.24.0 a bidirectional prefill instance needs --no-async-scheduling under every role.",
        ),
        Code("KVR190", "skipped", _W, "The file could not be read and was skipped: it may say kv_both."),
    )
}
# Codes of earlier versions, and what is said in their place.
RETIRED = {"KVR122": "KVR118"}
# What to do about each, in one or two sentences; the code's page says more.
TO_DO = {
    "KVR101": "Let kv-roles migrate --write change it, or set kv_producer yourself.",
    "KVR102": "Let kv-roles migrate --write change it, or set kv_consumer yourself.",
    "KVR110": "Answer once: `kv-roles migrate --review`, or `--side FILE=prefill` (or =decode); for good in .kv-roles.toml.",
    "KVR111": "Correct the statement that is wrong, or answer with --side. Where both sides use one value, split it.",
    "KVR112": "Look at what the words suggest, and answer with --side or --review.",
    "KVR113": "Make two values of it, kv_producer for prefill and kv_consumer for decode.",
    "KVR114": "Remove the NIXL config if no KV cache is transferred; answer with --side if the server is one of a pair.",
    "KVR115": "Remove the NIXL config of the encode worker.",
    "KVR116": "Write the role that the finding names in both lines.",
    "KVR117": "Change the role by hand, where the value is put together.",
    "KVR118": "Look at the line. If the role is NIXL's, set it by hand or answer with --side; if not, say so in a comment.",
    "KVR119": "Change what the object was made from (chart, kustomization, manifest), and apply that.",
    "KVR120": "Nothing: the wrapper's own role drives other behaviour.",
    "KVR121": "Nothing: another connector's role is not deprecated.",
    "KVR123": "Change the expectation together with the configuration that it describes.",
    "KVR124": "Nothing, or bring the sentence up to date.",
    "KVR125": "Nothing: a record says what once was.",
    "KVR126": "Nothing. Code that asks for kv_both may have to ask for the two new roles too.",
    "KVR127": "Decide the line that the finding names: then both sides are written. Or write both roles by hand.",
    "KVR131": "Keep kv_both on this prefill instance, or start it with --no-async-scheduling and without pipeline parallelism.",
    "KVR132": "Run decode without pipeline parallelism, then set kv_consumer.",
    "KVR133": "Nothing on prefill; on decode remove prefill context parallelism.",
    "KVR134": "Add --enable-mm-embeds to prefill if clients send embeddings.",
    "KVR135": "Leave the wrapper's role as it is, and look at the behaviour that the finding names.",
    "KVR136": "Read the metric from decode instances in dashboards and alerts.",
    "KVR137": "Start the prefill instance with --no-async-scheduling, whatever its role.",
    "KVR190": "Look at the file by hand if it may configure NIXL, or save it so that it can be read.",
}
