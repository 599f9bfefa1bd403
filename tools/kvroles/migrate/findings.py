"""From the sites of a file to its findings: the verdict of each, the hazards of a move, and what the user answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kvroles.evidence import kinds, marks
from kvroles.evidence.decide import Verdict
from kvroles.evidence.frames import Cue, Side, Site
from kvroles.evidence.signs.signs import SIGNS
from kvroles.migrate.answers import answer, comment, identity
from kvroles.migrate.answers.answer import Answer
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.connector import connectors
from kvroles.migrate.connector.connectors import Kind
from kvroles.migrate.files import spelled
from kvroles.migrate.model import Finding, Kept, Level
from kvroles.migrate.readers import of_file as read
from kvroles.migrate.readers import sniff
from kvroles.migrate.readers.base import File
from kvroles.migrate.settings import Options, Said
from kvroles.migrate.verdict import advice, dumps, hazards, together, verdicts

_NEAR = 4_000  # characters round a role in which its connector stands


def of_file(ctx: File, options: Options, beside: Callable[[str], list[Finding]]) -> list[Finding]:
    """Every finding of one file, in order of place. ``beside`` gives those of the file at a path, which may be the other half of
    a pair."""
    out: list[Finding] = []
    sites = read.read(ctx)
    found = verdicts.of(sites, ctx, options.settings.connectors)
    answers = options.settings.answers_of(ctx.path)
    answered = {p.pos: answers[p.key] for p in identity.places(ctx.text.s) if p.key in answers} if answers else {}
    for verdict in found:
        if verdict is not None:
            verdict.cues = [_unmasked(c, ctx) for c in verdict.cues]
    for site, verdict in zip(sites, found, strict=True):
        out += _of_site(site, verdict, ctx, options, answered)
    out += _spelled(ctx)

    def said(f: Finding) -> bool:
        return _is_answered(f, answered.get(f.pos), options)

    _left_alone(out, ctx, said)
    if ctx.path == "-":
        _name_objects(out, ctx)
    if answers or options.keys:
        answer.name_places(out, ctx.text.s)
    _keep(out, answers, ctx, options)
    together.pairs(sites, out, ctx, said)
    if options.pairs and ctx.path != "-":
        together.across(out, ctx, said, beside)
    suppressed = {f.pos for f in out if f.suppressed}
    for f in out:
        if f.pos in suppressed:
            f.role = None
    return out


def _spelled(ctx: File) -> list[Finding]:
    """An unread finding for each place where ``kv_both`` stands in another spelling, except in comments and records."""
    if read.records(ctx, ctx.below) or read.patches(ctx):
        return []
    out: list[Finding] = []
    lang = read.language(ctx.name, ctx.text)
    for pos, why in spelled.places(ctx.text):
        if not marks.commented(ctx.text.s, pos, lang):
            line, column = ctx.line(pos)
            fix = "set the role where this is made, if it is NIXL's; if not, say so with a comment: kv-roles: ignore[KVR118]"
            message = f"unread: {why}"
            out.append(Finding("KVR118", CODES["KVR118"].level, ctx.path, line, column, message, pos=pos, fix=fix))
    return out


def _is_answered(f: Finding, given: Answer | None, options: Options) -> bool:
    """Whether what counts of all that is said of a finding's line is the side that it is of."""
    said, against = options.settings.said_of(f.path, f.line, given)
    return said is not None and against is None and said.side is f.side


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
        if f.kept is not None or f.by_row:
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
    lang = read.language(ctx.name, ctx.text) or sniff.language(ctx.text.s)
    if ctx.path != "-" and (live := dumps.spans(ctx.text, lang)):
        code = "KVR119" if ctx.asked_for else "KVR125"
        for f in found:
            if CODES[f.code].means is not Means.HARMLESS and any(a <= f.pos < b for a, b in live):
                f.code, f.level, f.role = code, CODES[code].level, None
                f.message = "in a dump of a live object, left as it is"
                f.fix = "change what the object was made from, and apply that" if ctx.asked_for else ""
    recorded = ctx.asked_for and (read.records(ctx, ctx.name.rsplit("/", 1)[-1]) or read.patches(ctx))
    place = "what is a record by its name" if recorded else ""
    if not ctx.asked_for and read.among_records(ctx.below):
        place = "a folder that runs write to, where it may be a copy of what once ran"
    for f in found if place else ():
        if f.role is not None and (recorded or not answered(f)):
            f.code, f.level, f.role = "KVR117", CODES["KVR117"].level, None
            f.message += f"; not rewritten in {place}"
            if not recorded:
                f.fix = f"if it is in use, answer with {advice.given(ctx.path, f.side.value if f.side else 'prefill')}"


def _unmasked(cue: Cue, ctx: File) -> Cue:
    """A cue that quotes the file: where its words are of a masked template, it quotes the whole line instead."""
    if "__" not in cue.words or cue.pos < 0 or cue.words in ctx.text.s:
        return cue
    s = ctx.text.s
    end = s.find("\n", cue.pos)
    line = s[s.rfind("\n", 0, cue.pos) + 1 : end if end >= 0 else len(s)].strip()
    return cue._replace(words=line[:80])


def _of_site(
    site: Site, verdict: Verdict | None, ctx: File, options: Options, answered: Mapping[int, Answer]
) -> list[Finding]:
    """The findings of one site; ``answered`` are the answers kept for the file's places, by index."""
    line, column = ctx.line(site.pos)
    given = answered.get(site.pos)

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
        said, against = options.settings.said_of(ctx.path, line, given, of_the_line=True)
        if said is not None and said.side is not None:
            if against is not None:
                return [_of_rows(said, against, site, ctx, finding)]
            verdict = Verdict(said.side, "", [_answer_cue(said.side, said.row, site)])
    if verdict is None:
        return [_not_nixl(site, ctx, options, finding)]
    if verdict.side is None:
        # A value or server that serves both sides is only overruled by an answer for its very line.
        asked = verdict.why in {"unknown", "conflict", "weak", "default", "expected"}
        said, against = options.settings.said_of(ctx.path, line, given, of_the_line=not asked)
        if said is None or said.side is None:
            f = advice.undecided(verdict, site, ctx, finding)
            f.answerable, f.suggested = True, verdict.suggested
            return [f]
        if against is not None:
            return [_of_rows(said, against, site, ctx, finding)]
        verdict = Verdict(said.side, "", [_answer_cue(said.side, said.row, site), *verdict.cues])
    else:
        kept = options.settings.kept_of(ctx.path, line, given)
        if kept is not None and kept.side is not None and kept.side is not verdict.side:
            cues = [_answer_cue(kept.side, kept.row, site), *verdict.cues]
            fix = f"delete the answer from {options.settings.file}, or say both there and why"
            return [finding("KVR111", "it was answered for one side, and the file says the other", cues=cues, fix=fix)]
    return _of_side(site, verdict, ctx, options, finding)


def _of_rows(said: Said, against: Said, site: Site, ctx: File, finding: advice.Make) -> Finding:
    """The finding of a site of which the command line says one thing, and a more exact row of the settings another."""
    cues = [_answer_cue(r.side, r.row, site) for r in (said, against) if r.side is not None]
    fix = f"name the line, {advice.given(f'{ctx.path}:{ctx.line(site.pos)[0]}', said.word)}, or change {against.row}"
    message = f"the command line says {said}, and a more exact row of the settings {against}"
    return finding("KVR111", message, cues=cues, fix=fix)


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
        case Kind.WRAPPER if ctx.holds_bare_nixl(site.pos):
            return _unread(f"NIXL's connector in {site.connector} has no kv_role of its own here", site, ctx, finding)
        case Kind.WRAPPER:
            return finding("KVR120", f"{site.connector}'s own role: left as it is, it drives other behaviour")
        case Kind.OTHER if ctx.set_anew(site):
            return _unread(f"{site.connector} is replaced further on by what may be NIXL's", site, ctx, finding)
        case Kind.OTHER:
            return _of_other(f"{site.connector}", f"{site.connector}: not NIXL, left as it is", site, ctx, finding)
        case Kind.NIXL:
            return finding("KVR117", f"{site.connector}: no reader for {_kind_of_file(ctx)}, set the role by hand")
    if site.connector and not (connectors.placeholder_of_other(site.connector) and site.pos in ctx.of_others):
        said = "is a placeholder" if connectors.is_placeholder(site.connector) else "is no connector known here"
        return _unread(f"the connector {_as_written(site, ctx)!r} {said}", site, ctx, finding)
    if (found := _of_others(site, ctx, finding, "no connector beside it, and what is round it names only")) is not None:
        return found
    return _unread("which connector's role this is, is not said here", site, ctx, finding)


def _of_other(connector: str, message: str, site: Site, ctx: File, finding: advice.Make) -> Finding:
    """The finding ``message`` of a role of another connector; unread if what is laid over its object, or what
    is set elsewhere, may replace that."""
    if laid := ctx.laid_over(site.pos):
        return _unread(f"what is laid over it may replace {connector} by NIXL's: {laid}", site, ctx, finding)
    if how := ctx.remade(site.pos):
        return _unread(f"of its config another one is made, which may be NIXL's: {how}", site, ctx, finding)
    names = dict.fromkeys((connector, *ctx.others))
    if how := next((how for name in names if (how := ctx.by_default(name, site.pos))), ""):
        return _unread(f"{connector} is only taken where no other connector is given: {how}", site, ctx, finding)
    if how := next((how for name in names if (how := ctx.replaced(name))), ""):
        return _unread(f"{connector} may be replaced by NIXL's: {how}", site, ctx, finding)
    if how := ctx.offered(connector, site.pos):
        return _unread(f"a comment beside {connector} offers NIXL's in its place: {how}", site, ctx, finding)
    return finding("KVR121", message)


def _of_others(site: Site, ctx: File, finding: advice.Make, says: str) -> Finding | None:
    """The finding of a site without a connector beside it that the file's other connectors are meant for; ``says`` is how the
    message begins. It is unread if its config takes the rest from elsewhere. None of any other site."""
    if not (others := ctx.others) or site.pos not in ctx.of_others:
        return None
    if base := ctx.laid_under(site.pos):
        return _unread(f"what its config takes from elsewhere may name NIXL's connector: {base}", site, ctx, finding)
    return _of_other(others[0], f"{says} {', '.join(others[:3])}: not NIXL", site, ctx, finding)


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
    if (found := _of_others(site, ctx, finding, "the file names only")) is not None:
        return found
    if read.language(ctx.name, ctx.text) == "unknown":
        return _unread(f"no reader for {_kind_of_file(ctx)}", site, ctx, finding)
    return _unread("nothing says what this kv_both sets", site, ctx, finding)


def _kind_of_file(ctx: File) -> str:
    """The kind of a file in words: ``*.lua files``."""
    base = ctx.name.rsplit("/", 1)[-1]
    return f"*.{base.rsplit('.', 1)[-1]} files" if "." in base.lstrip(".") else "this kind of file"
