"""From the sites of a file to its findings: the verdict of each, the hazards of a move, and what the user answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kvroles.evidence import decide, kinds, marks
from kvroles.evidence.decide import Verdict
from kvroles.evidence.frames import Cue, Scope, Side, Site, Weight
from kvroles.evidence.names import PD
from kvroles.evidence.signs.signs import SIGNS
from kvroles.migrate import advice, connectors, dumps, hazards, spelled, together
from kvroles.migrate.answers import answer, comment, identity
from kvroles.migrate.answers.answer import Answer
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.connectors import Kind
from kvroles.migrate.model import Finding, Kept, Level
from kvroles.migrate.readers import of_file as read
from kvroles.migrate.readers import sniff
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.settings import Options

_NEAR = 4_000  # characters round a role in which its connector stands


def of_file(ctx: File, options: Options) -> list[Finding]:
    """Every finding of one file, in order of place."""
    out: list[Finding] = []
    sites = read.read(ctx)
    verdicts = [_verdict(s, ctx, options) for s in sites]
    verdicts = _used_elsewhere(_file_name_last(_beside_prefill(verdicts), ctx), ctx)
    verdicts = _replaced(verdicts, ctx)
    verdicts = _included(sites, verdicts, ctx) if "define" in ctx.low or "macro" in ctx.low else verdicts
    verdicts = together.expected(sites, _extended(sites, verdicts, ctx), ctx)
    answers = options.settings.answers_of(ctx.path)
    answered = {p.pos: answers[p.key] for p in identity.places(ctx.text.s) if p.key in answers} if answers else {}
    for verdict in verdicts:
        if verdict is not None:
            verdict.cues = [_unmasked(c, ctx) for c in verdict.cues]
    for site, verdict in zip(sites, verdicts, strict=True):
        out += _of_site(site, verdict, ctx, options, answered)
    out += _spelled(ctx)
    _left_alone(out, ctx, lambda f: f.pos in answered or options.settings.side_of(ctx.path, f.line) is not None)
    if ctx.path == "-":
        _name_objects(out, ctx)
    if answers or options.keys:
        answer.name_places(out, ctx.text.s)
    _keep(out, answers, ctx, options)
    together.pairs(sites, out, ctx)
    for f in out:
        if f.role is not None and any(o.suppressed for o in out if o.pos == f.pos):
            f.role = None
    return out


def _spelled(ctx: File) -> list[Finding]:
    """An unread finding for each place where ``kv_both`` stands in another spelling, except in comments and records."""
    if read.recorded(ctx.below):
        return []
    out: list[Finding] = []
    lang = read.language(ctx.name, ctx.text)
    for pos, why in spelled.places(ctx.text.s):
        if not marks.commented(ctx.text.s, pos, lang):
            line, column = ctx.line(pos)
            fix = "set the role where this is made, if it is NIXL's; if not, say so with a comment: kv-roles: ignore[KVR118]"
            message = f"unread: {why}"
            out.append(Finding("KVR118", CODES["KVR118"].level, ctx.path, line, column, message, pos=pos, fix=fix))
    return out


def _keep(found: list[Finding], answers: Mapping[str, Answer], ctx: File, options: Options) -> None:
    """Mark the findings that a comment, an answer or the settings say to leave as they are."""
    settings = options.settings
    # The text is split into lines only where it has such a comment: most files have none.
    lines = ctx.text.s.split("\n") if comment.SIGN in ctx.low else []
    for f in found:
        f.kept = comment.kept(lines, f.line, f.code)
        if f.kept is None and CODES[f.code].actionable and comment.without_reason(lines, f.line):
            f.message += ", and the comment to keep both does not say why"
            f.fix = "write the reason into the comment: kv-roles: keep both because ..."
    answer.keep(found, answers, f"{settings.file}: [[answer]]")
    keep_by_settings(found, options)


def keep_by_settings(found: list[Finding], options: Options) -> None:
    """Mark the findings that ``[both]`` or ``ignore`` of the settings say to leave as they are."""
    settings = options.settings
    for f in found:
        if f.kept is not None:
            continue
        certain = CODES[f.code].level is Level.ERROR
        if CODES[f.code].actionable and (row := settings.both_of(f.path, f.line, of_the_line=certain)) is not None:
            f.kept = Kept("answer", *row)
        elif f.code in settings.ignore:
            f.kept = Kept("silenced", "", f"{settings.file}: ignore {f.code}")


def _name_objects(found: list[Finding], ctx: File) -> None:
    """Set ``object`` of each finding in a stream of Kubernetes objects: the object it is in, and what made that object."""
    # lazy: files have names, and need none
    from kvroles.migrate.cluster import objects

    for node in dumps.each(ctx.text, sniff.language(ctx.text.s)):
        inside = [f for f in found if node.start <= f.pos < node.end]
        if inside and (of := objects.of_node(node)) is not None:
            for f in inside:
                f.object = str(of)


def _left_alone(found: list[Finding], ctx: File, answered: Callable[[Finding], bool]) -> None:
    """Take back the rewrites in what may be a copy of what ran: the dump of a live object, a file that is a record by its name,
    and a folder of records, where an ``answered`` role is still rewritten."""
    if ctx.path != "-" and (live := dumps.spans(ctx.text, read.language(ctx.name, ctx.text))):
        code = "KVR119" if ctx.asked_for else "KVR125"
        for f in found:
            if CODES[f.code].means is not Means.HARMLESS and any(a <= f.pos < b for a, b in live):
                f.code, f.level, f.role = code, CODES[code].level, None
                f.message = "in a dump of a live object, left as it is"
                f.fix = "change what the object was made from, and apply that" if ctx.asked_for else ""
    recorded = ctx.asked_for and read.recorded(ctx.name.rsplit("/", 1)[-1])
    place = "what is a record by its name" if recorded else ""
    if not ctx.asked_for and read.among_records(ctx.below):
        place = "a folder that runs write to, where it may be a copy of what once ran"
    for f in found if place else ():
        if f.role is not None and (recorded or not answered(f)):
            f.code, f.level, f.role = "KVR117", CODES["KVR117"].level, None
            f.message += f"; not rewritten in {place}"
            if not recorded:
                f.fix = f"if it is in use, answer with {advice.given(ctx.path, f.side.value if f.side else 'prefill')}"


def _verdict(site: Site, ctx: File, options: Options) -> Verdict | None:
    """What the evidence says of a role of NIXL's connector; None for any other site."""
    if site.kind != "role" or connectors.kind_of(site.connector, options.settings.connectors) is not Kind.NIXL:
        return None
    return decide.weigh(site, ctx)


def _unmasked(cue: Cue, ctx: File) -> Cue:
    """A cue that quotes the file: where its words are of a masked template, it quotes the whole line instead."""
    if "__" not in cue.words or cue.pos < 0 or cue.words in ctx.text.s:
        return cue
    s = ctx.text.s
    end = s.find("\n", cue.pos)
    line = s[s.rfind("\n", 0, cue.pos) + 1 : end if end >= 0 else len(s)].strip()
    return cue._replace(words=line[:80])


def _beside_prefill(verdicts: list[Verdict | None]) -> list[Verdict | None]:
    """Decide for decode where only a label says it, if the same file configures a prefill instance."""
    prefill = next(
        (
            v
            for v in verdicts
            if v is not None and v.side is Side.PREFILL and any(c.weight > Weight.FILE for c in v.cues)
        ),
        None,
    )
    if prefill is None:
        return verdicts
    return [Verdict(Side.DECODE, "", v.cues) if v is not None and v.label else v for v in verdicts]


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
    """Refuse a side that only the file's name or words in it say, if a file near it uses this one for the other side.

    Where the name only suggests a side, a file that uses it for that side decides.
    """
    used: dict[Side, Cue] | None = None
    out: list[Verdict | None] = []
    for v in verdicts:
        side = (v.side or v.suggested) if v is not None else None
        if (
            v is not None
            and side is not None
            and all(c.weight <= Weight.SAID and c.kind not in kinds.GIVE_WAY for c in v.cues)
        ):
            if used is None:
                # lazy: only few files are decided by so little
                from kvroles.migrate import across

                used = across.uses(ctx)
            own = used.get(side)
            if (against := used.get(side.other)) is not None:
                cues = [*v.cues, *([own] if own is not None else []), against]
                name = Scope("file", ctx.name.rsplit("/", 1)[-1], None)
                v = Verdict(None, "conflict" if own is None else "shared", cues, carrier=name)
            elif v.side is None and own is not None:
                v = Verdict(side, "", [*v.cues, own])  # the file's name and its use agree
        out.append(v)
    return out


def _replaced(verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side that only settings say, where the file is there for others to be laid over it."""
    out: list[Verdict | None] = []
    for v in verdicts:
        if v is not None and v.side in PD and kinds.settings_only(v.cues):
            from kvroles.migrate import replaced  # lazy: only few files are decided by settings alone

            if (by := replaced.by(ctx, v.side, v.cues)) is not None:
                v = Verdict(None, "default", v.cues, carrier=Scope(*by, None), suggested=v.side)
        out.append(v)
    return out


def _included(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side in a named template's name or text, if the template is included for the other side: here, or by another
    file of the chart."""
    named = [b for b in template.branches(ctx.text.s) if template.defined(b)]
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        own = next((b for b in reversed(named) if b.start <= site.pos < b.end), None)
        if own is not None and v is not None and v.side in PD and v.cues[0].weight < Weight.FLAG:
            from kvroles.migrate import across  # lazy: only few files define templates

            if (taken := across.included(ctx, own).get(v.side.other)) is not None:
                v = Verdict(None, "shared", [*v.cues, taken])
        out.append(v)
    return out


def _extended(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """Refuse the side of a compose service that another file extends for the other side."""
    if "services:" not in ctx.low or not any(v is not None and v.side is not None for v in verdicts):
        return verdicts
    from kvroles.migrate import across  # lazy: only few files are compose files

    taken = across.taken_over(ctx)
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        if taken and v is not None and v.side is not None:
            names = [s.name for s in site.scope.chain() if s.kind == "key"]
            found = next((taken[n] for n in names if n in taken), None)
            if found is not None and found[0] is not v.side:
                v = Verdict(None, "shared", [*v.cues, found[1]])
        out.append(v)
    return out


def _of_site(
    site: Site, verdict: Verdict | None, ctx: File, options: Options, answered: Mapping[int, Answer]
) -> list[Finding]:
    """The findings of one site; ``answered`` are the answers kept for the file's places, by index."""
    line, column = ctx.line(site.pos)
    given = answered.get(site.pos)
    settled = (given.side, f"{options.settings.file}: [[answer]]") if given is not None and given.side else None

    connector = _as_written(site, ctx) or None

    def finding(code: str, message: str, **kw: Any) -> Finding:
        f = Finding(code, CODES[code].level, ctx.path, line, column, message, connector=connector, pos=site.pos)
        for k, v in kw.items():
            setattr(f, k, v)
        return f

    if site.kind in SIGNS:
        sign = SIGNS[site.kind]
        return [finding(sign.code, sign.says)]
    if site.kind == "unread":
        return [_not_understood(site, ctx, finding)]
    if verdict is None and _connector_unknown(site, options):
        by_user = settled or options.settings.side_of(ctx.path, line, of_the_line=True)
        if by_user is not None:
            verdict = Verdict(by_user[0], "", [_answer_cue(*by_user, site)])
    if verdict is None:
        return [_not_nixl(site, ctx, options, finding)]
    if verdict.side is None:
        # A value or server that serves both sides is only overruled by an answer for its very line.
        asked = verdict.why in {"unknown", "conflict", "weak", "default", "expected"}
        by_user = settled or options.settings.side_of(ctx.path, line, of_the_line=not asked)
        if by_user is None:
            f = advice.undecided(verdict, site, ctx, finding)
            f.answerable, f.suggested = True, verdict.suggested
            return [f]
        verdict = Verdict(by_user[0], "", [_answer_cue(*by_user, site), *verdict.cues])
    elif settled is not None and settled[0] is not verdict.side:
        cues = [_answer_cue(*settled, site), *verdict.cues]
        fix = f"delete the answer from {options.settings.file}, or say both there and why"
        return [finding("KVR111", "it was answered for one side, and the file says the other", cues=cues, fix=fix)]
    return _of_side(site, verdict, ctx, options, finding)


def _of_side(site: Site, verdict: Verdict, ctx: File, options: Options, finding: advice.Make) -> list[Finding]:
    """The findings of a site whose side is decided: the role to set, or the hazard that forbids it, and the other hazards."""
    side = verdict.side
    assert side is not None
    out = hazards.of(site, side, options.release)
    found: list[Finding] = []
    blocked = next((h for h in out if h.blocks), None)
    if blocked is not None:
        other = "run decode with --pipeline-parallel-size 1, or " if blocked.code == "KVR132" else ""
        fix = f"{other}keep kv_both here and say so: {advice.comment(ctx)}"
        found.append(finding(blocked.code, f"{side.value}: {blocked.message}", side=side, cues=verdict.cues, fix=fix))
        return found  # the other hazards are of a move that is advised against
    if not site.exact:
        found.append(
            finding(
                "KVR117",
                f"{side.value}: set {side.role} by hand; the value's bytes are not in one piece here",
                side=side,
                cues=verdict.cues,
            )
        )
    else:
        code = "KVR101" if side is Side.PREFILL else "KVR102"
        text = f"{side.value} instance: kv_both -> {side.role}"
        if options.release is not None:
            text += f" ({hazards.effect(side, options.release)})"
        found.append(finding(code, text, side=side, cues=verdict.cues, role=side.role))
    return found + [finding(h.code, h.message, side=side) for h in out if not h.blocks]


def _connector_unknown(site: Site, options: Options) -> bool:
    """Whether a role's connector is not known. A side that the user gave for the very line then means that it is NIXL's."""
    known = options.settings.connectors
    return site.kind == "role" and connectors.kind_of(site.connector, known) is Kind.UNKNOWN


def _answer_cue(side: Side, where: str, site: Site) -> Cue:
    return kinds.ANSWER.cue(side, where, site.pos)


def _not_nixl(site: Site, ctx: File, options: Options, finding: advice.Make) -> Finding:
    """The finding of a role whose connector is another one than NIXL's, is not known, or is in a file without a reader."""
    known = options.settings.connectors
    match connectors.kind_of(site.connector, known):
        case Kind.WRAPPER:
            return finding("KVR120", f"{site.connector}'s own role: left as it is, it drives other behaviour")
        case Kind.OTHER if any(
            ctx.set_again(s.name, site.pos) for s in site.scope.chain() if s.kind == "variable" and s.name
        ):
            return _unread(f"{site.connector} is replaced further on by what may be NIXL's", site, ctx, finding)
        case Kind.OTHER:
            return _of_other(f"{site.connector}", f"{site.connector}: not NIXL, left as it is", site, ctx, finding)
        case Kind.NIXL:
            return finding("KVR117", f"{site.connector}: no reader for {_kind_of_file(ctx)}, set the role by hand")
    if site.connector and not (connectors.placeholder_of_other(site.connector) and site.pos in ctx.of_others):
        said = "is a placeholder" if connectors.is_placeholder(site.connector) else "is no connector known here"
        return _unread(f"the connector {_as_written(site, ctx)!r} {said}", site, ctx, finding)
    if (other := ctx.others) and site.pos in ctx.of_others:
        message = f"no connector beside it, and what is round it names only {', '.join(other[:3])}: not NIXL"
        return _of_other(other[0], message, site, ctx, finding)
    return _unread("which connector's role this is, is not said here", site, ctx, finding)


def _of_other(connector: str, message: str, site: Site, ctx: File, finding: advice.Make) -> Finding:
    """The finding ``message`` of a role of another connector; unread if what is laid over its object may replace that."""
    if laid := ctx.laid_over(site.pos):
        return _unread(f"what is laid over it may replace {connector} by NIXL's: {laid}", site, ctx, finding)
    return finding("KVR121", message)


def _as_written(site: Site, ctx: File) -> str:
    """A site's connector as the file writes it: for one of a masked template, the nearest text that fits the mask."""
    name, s = site.connector or "", ctx.text.s
    if "__" not in name or name in s:
        return name
    near = max(0, site.pos - _NEAR)
    fits = re.compile(re.escape(name).replace("_", r"[\W_]")).finditer(s, near, site.pos + _NEAR)
    return min((m.group() for m in fits), key=lambda t: abs(s.index(t, near) - site.pos), default=name)


def _unread(why: str, site: Site, ctx: File, finding: advice.Make) -> Finding:
    """The finding of a site that was not understood; a role that can be rewritten may be answered."""
    line = ctx.line(site.pos)[0]
    answer = (
        f"set the role by hand if it is NIXL's, or run again with {advice.given(f'{ctx.path}:{line}')} (or =decode)"
    )
    by_hand = "set the role by hand if it is NIXL's"
    return finding(
        "KVR118",
        f"unread: {why}",
        answerable=site.kind == "role" and site.exact,
        fix=f"{answer if site.kind == 'role' and site.exact else by_hand}; if it is not, say so with a comment:"
        " kv-roles: ignore[KVR118]",
    )


def _not_understood(site: Site, ctx: File, finding: advice.Make) -> Finding:
    """The finding of a site that no reader understood: not NIXL if the file names only other connectors, else unread."""
    if (other := ctx.others) and site.pos in ctx.of_others:
        return _of_other(other[0], f"the file names only {', '.join(other[:3])}: not NIXL", site, ctx, finding)
    if read.language(ctx.name, ctx.text) == "unknown":
        return _unread(f"no reader for {_kind_of_file(ctx)}", site, ctx, finding)
    return _unread("nothing says what this kv_both sets", site, ctx, finding)


def _kind_of_file(ctx: File) -> str:
    """The kind of a file in words: ``*.lua files``."""
    base = ctx.name.rsplit("/", 1)[-1]
    return f"*.{base.rsplit('.', 1)[-1]} files" if "." in base.lstrip(".") else "this kind of file"
