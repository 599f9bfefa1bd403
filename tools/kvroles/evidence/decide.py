"""Weighs the evidence: the nearest owner that says a side decides, and whatever speaks against it makes a refusal.

Order: the config's own objects, its command or container, what is said right before it, its branch, function, document,
and the file's name last. A side is only settled if nothing as strong, further out, says another. Decode needs one thing
more: aggregated servers are often labelled decode, so some sign of P/D must stand beside the name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Scope, Side, Site, Weight
from kvroles.evidence.names import holds_defaults, of_another

_ENOUGH = 12  # uses on both sides: more say nothing new
MAX_HOPS = 4  # from variable to variable
PD = (Side.PREFILL, Side.DECODE)
_HOLDERS = frozenset({"key", "variable", "function", "section"})  # scopes that bear the name of what they hold
_DEFAULTS = _HOLDERS | {"anchor", "class"}
_VETO = (Side.AGGREGATED, Side.ENCODE)


class Verdict:
    """``side`` if it is settled, else ``why`` not: unknown, conflict, weak, default, shared, aggregated, encode."""

    def __init__(
        self,
        side: Side | None,
        why: str = "",
        cues: list[Cue] | None = None,
        against: Side | None = None,
        *,
        uses: list[tuple[Side, int]] | None = None,
        label: bool = False,
        carrier: Scope | None = None,
        suggested: Side | None = None,
    ) -> None:
        self.side = side
        self.why = why
        self.cues = cues if cues is not None else []
        self.against = against  # what the file's name says instead
        self.uses = uses if uses is not None else []  # where each side puts the carrier's value to use
        self.label = label  # weak because it is a mere label: decode after all if the file holds a prefill instance
        self.suggested = suggested  # where it is not settled: what words too weak to act on say, for a person to judge
        self.carrier = carrier  # the variable, function or anchor whose uses decided


class _Level(NamedTuple):
    side: Side
    weight: int
    cues: list[Cue]


def weigh(site: Site, ctx: FileCtx) -> Verdict:
    """The verdict on one site."""
    arms = ctx.arms
    optional = (lambda c: arms.only_hold(c, site.pos)) if arms is not None else None
    verdict = _weigh(site.scope.chain(), (), optional)
    undecided = verdict.side is None and verdict.why in {"unknown", "weak"}
    if (verdict.side is Side.DECODE or undecided) and ctx.prefill_off is not None:
        words, place = ctx.prefill_off
        return Verdict(None, "aggregated", [kinds.PREFILL_OFF.cue(Side.AGGREGATED, words, place), *verdict.cues])
    if (verdict.side in PD or verdict.why == "conflict") and ctx.substituted is not None:
        words, place = ctx.substituted
        cue = kinds.MADE_FROM_OTHER.cue(Side.SHARED, words, place)
        return Verdict(None, "shared", [cue, *verdict.cues])
    if verdict.side in PD and (switches := ctx.switching(site.pos)) is not None:
        cue = kinds.CHANGES_ROLE.cue(Side.AGGREGATED, *switches)
        return Verdict(None, "conflict", [*verdict.cues, cue])
    if verdict.side is None or verdict.side not in PD or not (alone := _needs_company(verdict.side, verdict.cues)):
        return verdict
    if ctx.pd_said(verdict.side) or any(ctx.pd_named(c.words) for c in verdict.cues):
        return verdict
    return Verdict(None, "weak", verdict.cues, label=alone == "label", suggested=verdict.side)


def of_use(scope: Scope) -> Verdict:
    """The verdict on a place that puts something to use, by its own owners alone."""
    return _weigh(scope.chain(), ())


def _needs_company(side: Side, cues: list[Cue]) -> str:
    """Which words, if no others than these decide, take a sign that the other side runs as well: "label" for a name or label
    that aggregated servers carry too (they are often called decode), whatever bears it; "name" for that of a file or class;
    empty for all others."""
    if not cues or any(c.weight >= Weight.FLAG for c in cues):
        return ""
    takes = {kinds.ALONE.get(c.kind.removeprefix("used by: "), "") for c in cues}
    if takes == {"name"}:
        return "name"
    return "label" if side is Side.DECODE and "" not in takes else ""


def _weigh(
    chain: list[Scope], busy: tuple[tuple[str, str], ...], optional: Callable[[Cue], bool] | None = None
) -> Verdict:
    """The verdict of the owners in ``chain``, nearest first, less the ``optional`` evidence, which may not be there."""
    decided: _Level | None = None
    against: Side | None = None
    seen: list[Cue] = []
    doubts: list[tuple[Scope, list[Cue]]] = []  # what is done with values that no name of their own puts on a side
    hints: list[Cue] = []
    for n, scope in enumerate(chain):
        skip = optional if scope.kind != "branch" else None  # what a branch asks holds for all that it owns
        there = [c for c in scope.cues if not skip(c)] if skip is not None else scope.cues
        cues = [c for c in there if c.weight > Weight.HINT]
        hints += [c for c in there if c.weight == Weight.HINT]
        if scope.find_handed_on is not None and (handed_on := scope.find_handed_on()) is not None:
            uses = [(c.side, c.pos) for c in (*cues[:1], handed_on)]
            return Verdict(None, "shared", [*seen, *cues, handed_on], uses=uses, carrier=scope)
        if scope.find_uses is not None and len(busy) < MAX_HOPS and (scope.kind, scope.name) not in busy:
            used = _of_uses(scope, chain[n + 1 :], (*busy, (scope.kind, scope.name)))
            if isinstance(used, Verdict):
                if _open(decided, scope):
                    used.carrier = used.carrier or scope
                    return used
                continue
            if scope.cues or not scope.only_doubts:
                cues += used
            elif _open(decided, scope):
                doubts.append((scope, used))
        level = _level(cues)
        if level == "mixed":
            if _open(decided, scope):
                return Verdict(None, "conflict", seen + cues, carrier=scope if scope.find_uses is not None else None)
            continue
        if level is None:
            continue
        assert isinstance(level, _Level)
        if decided is None and level.side is Side.SHARED and hints and level.weight < Weight.FLAG:
            return Verdict(
                None, "weak", [*hints, *level.cues], suggested=hints[0].side
            )  # a loop, less what is ruled out
        if decided is None:
            decided = level
            seen += level.cues
        elif level.side is decided.side:
            seen += level.cues
        elif level.weight == Weight.FILE and level.side in PD:
            against = level.side if decided.weight <= Weight.SAID else None
        elif _overrules(level, decided):
            if level.side in _VETO:
                return Verdict(None, level.side.value, seen + level.cues)
            if level.side is Side.SHARED and level.weight == Weight.FLAG:  # said in so many words
                return Verdict(None, "shared", level.cues + seen)
            if Side.SHARED in (level.side, decided.side):
                continue
            return Verdict(None, "conflict", seen + level.cues)
    if decided is None:
        hinted = {c.side for c in hints}
        if len(hinted) == 1:
            return Verdict(None, "weak", hints, suggested=hinted.pop())
        return Verdict(None, "unknown", seen)
    if decided.side in PD:
        for scope, used in doubts:
            if any(c.side is decided.side.other for c in used):
                return Verdict(None, "conflict", seen + used, carrier=scope)
        if decided.weight < Weight.FLAG and any(s.kind in _HOLDERS and of_another(s.name) for s in chain):
            return Verdict(None, "weak", seen)
        if (holder := _of_defaults(chain, seen)) is not None:
            return Verdict(None, "default", seen, carrier=holder, suggested=decided.side)
        return Verdict(decided.side, "", seen, against)
    return Verdict(None, decided.side.value, seen)


def _of_defaults(chain: list[Scope], cues: list[Cue]) -> Scope | None:
    """The owner that is named for defaults, if all that says the side are settings in it."""
    if not kinds.settings_only(cues):
        return None
    inside: set[Cue] = set()
    for scope in chain:
        if scope.kind in _DEFAULTS and holds_defaults(scope.name, function=scope.kind == "function"):
            return scope if inside.issuperset(cues) else None
        inside.update(scope.cues)
    return None


def _open(decided: _Level | None, scope: Scope) -> bool:
    """Whether what is done with the file, template or target ``scope`` still counts: nothing is decided further in, or only
    by what is said there."""
    return decided is None or (scope.only_doubts and decided.weight <= Weight.SAID)


def _overrules(outer: _Level, inner: _Level) -> bool:
    """Whether something said further out is strong enough to undo what is said nearer."""
    if outer.side is Side.AGGREGATED:
        return inner.side is not Side.PREFILL or outer.weight > inner.weight or inner.weight <= Weight.SAID
    if outer.side is Side.ENCODE and {c.kind for c in outer.cues} <= kinds.GIVE_WAY:
        return inner.weight < Weight.SAID  # the heading of a page on encode workers, which shows the other two as well
    if outer.weight == inner.weight == Weight.SAID:  # the title over a command, and what the command itself says
        return not {c.kind for c in inner.cues} & kinds.GIVE_WAY
    if outer.weight == inner.weight:
        return inner.weight == Weight.NAMED
    if (outer.weight, inner.weight) == (Weight.NAMED, Weight.FLAG):  # a server named for one side, told to be the other
        return {outer.side, inner.side} == set(PD)
    return outer.weight > inner.weight


def _level(cues: list[Cue]) -> _Level | str | None:
    """What one owner says by itself: a side, nothing, or "mixed"."""
    if not cues:
        return None
    top = max(c.weight for c in cues)
    sides = {c.side for c in cues if c.weight == top}
    if len(sides) > 1:
        return "mixed"
    side = next(iter(sides))
    against = [c for c in cues if c.side is not side]
    if any(c.weight >= top - 1 for c in against) and side not in (Side.AGGREGATED, Side.SHARED):
        return "mixed"
    return _Level(side, top, [c for c in cues if c.side is side])


def _of_uses(scope: Scope, outer: list[Scope], busy: tuple[tuple[str, str], ...]) -> list[Cue] | Verdict:
    """What the places say where a variable, function or anchor is put to use."""
    own = _level([c for c in scope.cues if c.weight > Weight.HINT])
    known = {id(s) for s in outer}
    sides: dict[Side, Cue] = {}
    places: list[tuple[Side, int]] = []
    silent = 0
    looped = False
    assert scope.find_uses is not None
    for use in scope.find_uses():
        if len(places) > _ENOUGH and set(PD) <= set(sides):
            break
        chain: list[Scope] = []
        for s in use.chain():
            if id(s) in known or (s.kind == "file"):
                break
            chain.append(s)
        if _same(chain, outer):
            continue
        verdict = _weigh(chain, busy)
        if verdict.side is not None:
            sides.setdefault(verdict.side, verdict.cues[0])
            places.append((verdict.side, use.place))
        elif verdict.why in {"shared", "aggregated", "encode"}:
            for cue in verdict.cues:
                sides.setdefault(cue.side, cue)
            sides.setdefault(Side(verdict.why), verdict.cues[0])
            looped = looped or _in_loop_over_both(chain, own)
        elif verdict.why == "conflict":
            return Verdict(
                None, "shared" if _both(verdict.cues) and isinstance(own, type(None)) else "conflict", verdict.cues
            )
        else:
            silent += 1
    if not sides:
        return []
    if len(sides) > 1:
        if set(PD) <= set(sides) or (own is None and Side.SHARED in sides):  # whatever its name says, both use it
            return Verdict(None, "shared", list(sides.values()), uses=places)
        return Verdict(None, "conflict", scope.cues + list(sides.values()))
    side, cue = next(iter(sides.items()))
    if side is Side.SHARED:
        return Verdict(None, "shared", [cue]) if own is None or looped else []
    if side in PD and silent:
        if own is None:
            return Verdict(None, "weak", [cue])
        if not isinstance(own, _Level) or own.side is not side.other:
            return []
    return [Cue(side, min(cue.weight, Weight.NAMED), f"used by: {cue.kind}", cue.words, cue.pos)]


def _in_loop_over_both(chain: list[Scope], own: _Level | str | None) -> bool:
    """Whether a use stands in a loop over both sides, where nothing says the side that its value is named for: whatever the
    name says, each server of both is given it."""
    said = [c for scope in chain for c in scope.cues]
    named = own.side if isinstance(own, _Level) else None
    return all(c.side is not named for c in said) and any(c.kind == kinds.LOOP_OVER_BOTH.name for c in said)


def _both(cues: list[Cue]) -> bool:
    return {c.side for c in cues} >= set(PD)


def _same(chain: list[Scope], outer: list[Scope]) -> bool:
    """A use whose owners are all owners of the value itself adds nothing."""
    return not chain and bool(outer)
