"""The verdicts on a file's sites: what the evidence says of each, and what the rest of the file and those round it add."""

from __future__ import annotations

import os
from itertools import takewhile

from kvroles.evidence import decide, kinds
from kvroles.evidence.decide import Verdict
from kvroles.evidence.frames import Cue, Scope, Side, Site, Weight
from kvroles.evidence.names import PD, is_distinct, mentioned
from kvroles.evidence.patterns import regex
from kvroles.migrate.beside import near
from kvroles.migrate.connector import connectors
from kvroles.migrate.connector.connectors import Kind
from kvroles.migrate.readers import registry
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.verdict import fallbacks, together

# What other files can name.
_OBJECTS = frozenset({"ConfigMap", "Secret", "generator"})
_SHARES_VARIABLES = frozenset(
    {"shell", "python", "go", "rust", "javascript", "typescript", "tsx", "make", "just", "powershell"}
)
_VARS = regex(r"(?:^|/)(?:group_vars|host_vars|vars|defaults)/|(?:^|/)vars\.ya?ml$")  # Ansible's


def of(sites: list[Site], ctx: File, nixl: frozenset[str]) -> list[Verdict | None]:
    """The verdict on each site that is a role of NIXL's connector, or of one of ``nixl``; None for any other."""
    out = [_verdict(s, ctx, nixl) for s in sites]
    out = _made_into(_used_elsewhere(_file_name_last(_beside_prefill(out, ctx), ctx), ctx), ctx)
    out = _fallen_back_on(sites, out, ctx)
    out = _by_name(sites, _of_values(sites, _replaced(sites, out, ctx), ctx), ctx)
    out = _brought_in(sites, out, ctx)
    out = _put_into(sites, _included(sites, out, ctx), ctx)
    return together.expected(sites, _extended(sites, out, ctx), ctx)


def _verdict(site: Site, ctx: File, nixl: frozenset[str]) -> Verdict | None:
    """What the evidence says of a role of NIXL's connector; None for any other site."""
    if site.kind != "role" or connectors.kind_of(site.connector, nixl) is not Kind.NIXL:
        return None
    return decide.weigh(site, ctx)


def _beside_prefill(verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Decide for decode where only a label says it, if the same file configures a prefill instance, or a file beside it one of
    the same name but for the side."""
    labelled = [v for v in verdicts if v is not None and v.label]
    if not labelled:
        return verdicts
    settled = (v for v in verdicts if v is not None and v.side is Side.PREFILL)
    here = any(c.weight > Weight.FILE for v in settled for c in v.cues)
    if not here:
        from kvroles.migrate.beside import across  # lazy: only few files have a decode server alone

        called = {c.words.rpartition(" ")[2] for v in labelled for c in v.cues}
        here = across.configures_twin(ctx, {name for name in called if is_distinct(name)})
    return [Verdict(Side.DECODE, "", v.cues) if here and v is not None and v.label else v for v in verdicts]


def _file_name_last(verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse a side that only the file's name says, if anything in the file was decided for or is named for the other side.

    A side that is only said against the file's name is refused too, unless the file holds a config of the named side.
    """
    sides = {
        v.side for v in verdicts if v is not None and v.side is not None and any(c.weight > Weight.FILE for c in v.cues)
    }
    out: list[Verdict | None] = []
    for v in verdicts:
        if v is not None and v.side is not None and all(c.weight == Weight.FILE for c in v.cues):
            if v.side.other in sides or ctx.names(v.side.other):
                v = Verdict(None, "weak", v.cues)
        elif v is not None and v.side is not None and v.against is not None and v.against not in sides:
            v = Verdict(None, "conflict", v.cues)
        out.append(v)
    return out


def _used_elsewhere(verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse a side that only the file's name or words in it say, if a file near it uses this one for the other side; one that
    only settings say, if that gives it the role anew (``--set role=decode``).

    Where the name only suggests a side, a file that uses it for that side decides.
    """
    used: dict[Side, Cue] | None = None
    out: list[Verdict | None] = []
    for v in verdicts:
        side = (v.side or v.suggested) if v is not None else None
        said = v is not None and all(c.weight <= Weight.SAID and c.kind not in kinds.GIVE_WAY for c in v.cues)
        settings = v is not None and v.side in PD and kinds.settings_only(v.cues) and _told(v.cues)
        if v is not None and side is not None and (said or settings):
            if used is None:
                # lazy: only few files are decided by so little
                from kvroles.migrate.beside import across

                used = across.uses(ctx)
            own = used.get(side)
            against = used.get(side.other)
            if against is not None and (said or against.weight == Weight.FLAG):
                cues = [*v.cues, *([own] if own is not None else []), against]
                name = Scope("file", ctx.name.rsplit("/", 1)[-1], None)
                v = Verdict(None, "conflict" if own is None else "shared", cues, holder=name)
            elif said and v.side in PD:
                v = _unless_unread(v, ctx)
            elif v.side is None and own is not None:
                v = Verdict(side, "", [*v.cues, own])  # the file's name and its use agree
        out.append(v)
    return out


def _unless_unread(v: Verdict, ctx: File) -> Verdict:
    """``v``, whose side nothing but the file says; without it if a file near by may name this one and is not read."""
    found = near.not_read(ctx.path, above="/" in ctx.name) if ctx.path != "-" else None
    if found is None:
        return v
    other = near.shown_path(os.path.dirname(ctx.name), os.path.dirname(ctx.path), found[0])
    cue = kinds.NOT_READ.cue(Side.SHARED, f"{other}: {found[1]}")
    return Verdict(None, "weak", [*v.cues, cue], holder=Scope("other file", other, None), suggested=v.side)


def _told(cues: list[Cue]) -> bool:
    """Whether one of ``cues`` is a role that is set, not a name or a label."""
    return any(c.kind in kinds.ROLES or c.kind == kinds.ROLE_ASSIGNED.name for c in cues)


def _made_into(verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the one side that a file is of, if a file near it makes the other side's file from this one."""
    sides = {v.side for v in verdicts if v is not None and v.side in PD}
    if len(sides) != 1:
        return verdicts
    from kvroles.migrate.beside import made_from  # lazy: only few files hold a role that is decided

    if (made := made_from.made_into(ctx, sides.pop())) is None:
        return verdicts
    holder = Scope("file", ctx.name.rsplit("/", 1)[-1], None)
    return [
        Verdict(None, "shared", [*v.cues, made], holder=holder) if v is not None and v.side in PD else v
        for v in verdicts
    ]


def _replaced(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side that only settings say, where the file is there for others to be laid over it, or lays others over what
    holds them."""
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        settings = [c for c in v.cues if kinds.settings_only([c])] if v is not None and v.side in PD else []
        if v is not None and v.side is not None and settings:
            from kvroles.migrate.beside import replaced  # lazy: only few files are decided by settings
            from kvroles.migrate.verdict import set_anew

            if (anew := set_anew.again(ctx, site, v.side, settings)) is not None:
                out.append(Verdict(None, "shared", [*v.cues, anew]))
                continue
            names = {s.name for s in site.scope.chain() if s.kind in {"variable", "key"} and s.name}
            by = replaced.copied(ctx, v.side, settings, names)
            if by is None and len(settings) == len(v.cues):
                by = replaced.by(ctx, v.side, v.cues)
            if by is not None:
                v = Verdict(None, "default", v.cues, holder=Scope(*by, None), suggested=v.side)
        out.append(v)
    return out


def _fallen_back_on(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side that a value is only named for, where whoever has no value of its own is given it."""
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        if v is not None and v.side in PD and all(c.weight < Weight.FLAG for c in v.cues):
            said = set(v.cues)
            named = (s for s in site.scope.chain() if s.kind in {"key", "variable"} and s.name and said & set(s.cues))
            holder = next(named, None)
            if holder is not None:
                keyed = holder.kind == "key"
                twin = ctx.has_twin(holder.name) and not fallbacks.twin_is_empty(ctx.text.s, holder.name)
                words = fallbacks.given(ctx.text.s, holder.name, v.side, keyed=keyed, twin=twin)
                if words:
                    v = Verdict(None, "shared", [*v.cues, kinds.EXTENDED.cue(Side.SHARED, words)], holder=holder)
        out.append(v)
    return out


def _of_values(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side of a chart's value that a template takes for the other side."""
    if "values" not in ctx.name.rsplit("/", 1)[-1] or "templates" not in ctx.siblings:
        return verdicts
    from kvroles.migrate.beside import defined  # lazy: only few files are values of a chart

    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        if v is not None and v.side in PD:
            keys = [s.name for s in reversed(site.scope.chain()) if s.kind == "key"]
            if (taken := defined.of_values(ctx, keys).get(v.side.other)) is not None:
                v = Verdict(None, "shared", [*v.cues, taken])
        out.append(v)
    return out


def _by_name(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side of a value whose name a file near by, which does not set it, uses for the other side."""
    if ctx.path == "-":
        return verdicts
    decided = [v is not None and v.side in PD for v in verdicts]
    holders = [_holder(s, ctx) if there else None for s, there in zip(sites, decided, strict=True)]
    parts = [(h.name, _part(s, h)) if h is not None else None for s, h in zip(sites, holders, strict=True)]
    names = {part for part in parts if part is not None}
    if not names:
        return verdicts
    from kvroles.migrate.beside import defined  # lazy: only few values have names that other files may use

    uses = defined.by_name(ctx, names)
    out: list[Verdict | None] = []
    for holder, part, v in zip(holders, parts, verdicts, strict=True):
        used = uses[part] if part is not None else {}
        if v is not None and v.side is not None and (taken := used.get(v.side.other)) is not None:
            v = Verdict(None, "shared", [*v.cues, taken], holder=holder)
        out.append(v)
    return out


def _brought_in(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side of a variable or function that a file which imports, sources or includes this one uses for the other
    side."""
    if ctx.path == "-" or registry.lang_of_name(ctx.name) not in _SHARES_VARIABLES:
        return verdicts
    decided = [v if v is not None and v.side in PD else None for v in verdicts]
    if not any(decided):
        return verdicts
    from kvroles.migrate.beside import brought  # lazy: only few files hold a role that is decided

    pairs = zip(sites, decided, strict=True)
    holders = [brought.holder(s.scope.chain(), v.cues) if v is not None else None for s, v in pairs]
    named = [h for h in holders if h is not None]
    uses = brought.uses(ctx, named) if named else {}
    out: list[Verdict | None] = []
    for holder, v in zip(holders, verdicts, strict=True):
        used = uses[holder.name] if holder is not None else {}
        if v is not None and v.side is not None and (taken := used.get(v.side.other)) is not None:
            v = Verdict(None, "shared", [*v.cues, taken], holder=holder)
        out.append(v)
    return out


def _holder(site: Site, ctx: File) -> Scope | None:
    """What holds a site's value under a name that other files can use: a variable of code or a script, a local of Terraform's,
    a variable of Ansible's, a ConfigMap or Secret. None if there is none."""
    chain = site.scope.chain()
    if any(s.span is not None or s.kind == "function" for s in chain):
        return None  # of a function
    names = {s.name for s in chain if s.kind == "key"}
    lang = registry.lang_of_name(ctx.name)
    kinds_of = _OBJECTS
    if lang in _SHARES_VARIABLES:
        kinds_of |= {"variable"}
    elif (lang == "hcl" and names & {"locals", "variable"}) or (lang == "yaml" and _VARS.search(ctx.name)):
        kinds_of |= {"key"}
    # A name without a side is set in each side's own file, but in Go, where all files of a folder share their names.
    named = (s for s in reversed(chain) if s.kind in kinds_of and s.name)
    shared = _OBJECTS | ({"variable"} if lang == "go" else set())
    return next((s for s in named if s.kind in shared or (is_distinct(s.name) and mentioned(s.name))), None)


def _part(site: Site, holder: Scope) -> str:
    """The entry of a ConfigMap or Secret that a site is in; empty for any other holder."""
    inside = takewhile(lambda s: s is not holder, site.scope.chain())
    keys = [s.name for s in inside if s.kind in {"key", "file"}] if holder.kind in _OBJECTS else []
    return keys[-2] if len(keys) > 1 and keys[-1] in {"data", "stringData"} else ""


def _included(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side in a named template's name or text, if the template is included for the other side: here, or by another
    file of the chart. What the template asks holds whoever includes it."""
    if not any(v is not None and v.side in PD for v in verdicts) or not ("define" in ctx.low or "macro" in ctx.low):
        return verdicts
    named = [b for b in template.branches(ctx.text.s) if template.defined(b)]
    takers: dict[template.Branch, dict[Side, Cue]] = {}
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        own = next((b for b in reversed(named) if b.start <= site.pos < b.end), None)
        asked = (
            own is not None
            and v is not None
            and any(c.kind == "condition" and own.start <= c.pos < own.end for c in v.cues)
        )
        if own is not None and v is not None and v.side in PD and v.cues[0].weight < Weight.FLAG and not asked:
            from kvroles.migrate.beside import defined  # lazy: only few files define templates

            if own not in takers:
                takers[own] = defined.included(ctx, own)
            if (taken := takers[own].get(v.side.other)) is not None:
                v = Verdict(None, "shared", [*v.cues, taken])
        out.append(v)
    return out


def _put_into(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side of an object's part that Kustomize puts into an object of the other side."""
    if not any(v is not None and v.side in PD for v in verdicts) or not ctx.objects:
        return verdicts
    from kvroles.migrate.beside import kustomized  # lazy: only few files hold objects

    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        if v is not None and v.side in PD:
            chain = site.scope.chain()
            names = kustomized.called(v.cues) | {s.name for s in chain if s.kind in _OBJECTS}
            keys = {s.name for s in chain if s.kind == "key"}
            if (taken := kustomized.taken(ctx, names, keys, v.side)) is not None:
                v = Verdict(None, "shared", [*v.cues, taken])
        out.append(v)
    return out


def _extended(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side of a compose service that another file extends for the other side."""
    if not any(v is not None and v.side is not None for v in verdicts) or "services:" not in ctx.low:
        return verdicts
    from kvroles.migrate.beside import taken_whole  # lazy: only few files are compose files

    taken = taken_whole.taken_over(ctx)
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        if taken and v is not None and v.side is not None:
            names = [s.name for s in site.scope.chain() if s.kind == "key"]
            found = next((taken[n] for n in names if n in taken), None)
            if found is not None and found[0] is not v.side:
                v = Verdict(None, "shared", [*v.cues, found[1]])
        out.append(v)
    return out
