"""What to do about a finding, in words: the answer to give, the split to make, the comment that keeps both."""

from __future__ import annotations

import re
from collections.abc import Callable

from kvroles.evidence.decide import Verdict
from kvroles.evidence.frames import Side, Site
from kvroles.migrate.files import globs
from kvroles.migrate.model import Finding
from kvroles.migrate.readers import of_file as read
from kvroles.migrate.readers.base import File
from kvroles.migrate.verdict import arguments
from kvroles.said import shell

Make = Callable[..., Finding]


def given(place: str, side: str = "prefill") -> str:
    """The option that answers for ``place``, a file or ``FILE:LINE``, and for no other, as a person types it."""
    return f"`{shell('--side', f'{globs.literal(place)}={side}')}`"


def undecided(verdict: Verdict, site: Site, ctx: File, finding: Make) -> Finding:
    """The finding on a role whose side is not settled: its code, why it is not, and what settles it; ``finding`` makes one."""
    answer = (
        f"run again with {given(f'{ctx.path}:{ctx.line(site.pos)[0]}')} (or =decode); if it is for both, "
        f"leave it and say so: {comment(ctx)}"
    )

    def made(code: str, message: str, fix: str, **more: object) -> Finding:
        return finding(code, message, cues=verdict.cues, fix=fix, **more)

    holder = verdict.holder
    match verdict.why:
        case "shared":
            what = f"{holder.kind} {holder.name!r}" if holder is not None and holder.name else "this value"
            return made("KVR113", f"{what} feeds both prefill and decode", _split(verdict, site, ctx), side=Side.SHARED)
        case "aggregated":
            fix = f"remove the NIXL config if no KV is transferred; if it is one of a pair after all, {answer}"
            return made("KVR114", "the server does both prefill and decode: no role fits", fix, side=Side.AGGREGATED)
        case "encode":
            fix = "remove the NIXL config there"
            return made("KVR115", "an encode worker transfers no KV cache", fix, side=Side.ENCODE)
        case "expected":
            side, line = verdict.uses[0][0], ctx.line(verdict.uses[0][1])[0]
            fix = f"write {side.role} here and in line {line}"
            return made("KVR116", f"{side.value}, but line {line} expects kv_both of it", fix)
        case "conflict":
            carried = holder is not None and holder.name and holder.kind in _SPLIT
            fix = (
                f"if both sides use it, {_split(verdict, site, ctx)}; if only one does, {answer}" if carried else answer
            )
            return made("KVR111", "what is said of its side contradicts itself", fix)
        case "default":
            of = f" of {holder.kind} {holder.name!r}" if holder is not None else ""
            return made("KVR112", f"only a default{of} says its side, which another setting may replace", answer)
        case "weak" if verdict.label:
            why = "called decode, as servers that do both are; nothing here says that prefill runs elsewhere"
            return made("KVR112", why, answer)
        case "weak" if holder is not None and holder.kind == "other file":
            return made(
                "KVR112", f"only this file says its side, and {holder.name}, which may name it, was not read", answer
            )
        case "weak":
            return made("KVR112", "what is said of its side is too little to act on", answer)
        case _:
            return made("KVR110", "nothing says whether it is prefill or decode", answer)


_SLASHES = frozenset({"go", "rust", "javascript", "typescript", "tsx"})


def comment(ctx: File) -> str:
    """The comment that keeps both, as the file's language writes it, and where it goes."""
    says = "kv-roles: keep both because ..."
    match read.language(ctx.name, ctx.text):
        case "markdown":
            return (
                f"<!-- {says} --> above the block" if not ctx.name.endswith((".rst", ".adoc")) else f"{says} above it"
            )
        case "json":
            return f'"_comment": "{says}" in the line above'
        case "shell" | "docker" | "make" | "just":
            return f"# {says} above the command"
        case lang if lang in _SLASHES:
            return f"// {says} in the line above"
        case _:
            return f"# {says} in the line above"


_SPLIT = frozenset(
    {"variable", "class", "option", "anchor", "function", "template", "target", "file", "ConfigMap", "Secret"}
)


def _split(verdict: Verdict, site: Site, ctx: File) -> str:
    """The split to make, with names and the lines where each side puts the value to use; or the variable to derive the role
    from, where one says the side."""
    holder = verdict.holder
    around = [s for s in site.scope.chain() if s.kind == "function" and s.name]
    may_know = holder is None or holder.kind in {"variable", "function"}
    if may_know and (name := arguments.known(ctx.text.s, site.pos, around)):
        return f"derive kv_role from {name}, which says the side here: kv_producer for prefill, kv_consumer for decode"
    if holder is None or not holder.name or holder.kind not in _SPLIT:
        own = "give each side a value of its own, this one with kv_producer for prefill and a copy with kv_consumer for decode"
        if read.language(ctx.name, ctx.text) == "markdown":
            own += f"; if the text is for both, leave it and say so: {comment(ctx)}"
        return own

    if holder.kind == "function" and (told := arguments.told_by(ctx.text.s, holder.name, verdict.uses)):
        return (
            f"derive the role in {holder.name} from {told}, by which its calls say their side: kv_producer where it is "
            "prefill, kv_consumer where it is decode"
        )

    def at(side: Side) -> str:
        lines = sorted({ctx.line(place)[0] for s, place in verdict.uses if s is side and place >= 0})
        return f" in line {', '.join(map(str, lines))}" if lines else ""

    p, d = _names_of_two(holder.name)
    return (
        f"split {holder.name} in two: {p} with kv_producer, used for prefill{at(Side.PREFILL)}, and {d} with kv_consumer, "
        f"used for decode{at(Side.DECODE)}"
    )


def _names_of_two(name: str) -> tuple[str, str]:
    """The names for prefill's and decode's part of what is called ``name``, in its own spelling."""
    if "/" in name:
        folder, name = name.rsplit("/", 1)
        return tuple(f"{folder}/{twin}" for twin in _names_of_two(name))  # type: ignore[return-value]
    if m := re.search(r"(?i)prefill(?:er)?|decode(?:r(?!ate))?", name):  # named for one side already
        sides = ("prefill", "decode")
        made = [s.upper() if m.group().isupper() else s.capitalize() if m.group()[0].isupper() else s for s in sides]
        return name[: m.start()] + made[0] + name[m.end() :], name[: m.start()] + made[1] + name[m.end() :]
    if "-" in name or "." in name:
        return f"prefill-{name}", f"decode-{name}"
    if name.isupper():
        return f"PREFILL_{name}", f"DECODE_{name}"
    if "_" in name or name.islower():
        return f"prefill_{name}", f"decode_{name}"
    return f"prefill{name[:1].upper()}{name[1:]}", f"decode{name[:1].upper()}{name[1:]}"
