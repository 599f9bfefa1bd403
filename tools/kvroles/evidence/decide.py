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
from kvroles.evidence.names import PD, holds_defaults, leaves_out, of_another

_ENOUGH = 12  # uses on both sides: more say nothing new
MAX_HOPS = 4  # from variable to variable
_HOLDERS = frozenset({"key", "variable", "function", "section"})  # scopes that bear the name of what they hold
_DEFAULTS = _HOLDERS | {"anchor", "class"}
_OBJECTS = frozenset({"ConfigMap", "Secret"})
_TAKEN_WHOLE = _OBJECTS | {"anchor", "variable"}  # what takes it over may set a part of it anew
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
        holder: Scope | None = None,
        suggested: Side | None = None,
    ) -> None:
        self.side = side
        self.why = why
        self.cues = cues if cues is not None else []
        self.against = against  # what the file's name says instead
        self.uses = uses if uses is not None else []  # where each side puts the holder's value to use
        self.label = label  # label evidence alone: decode if the same file holds a prefill instance
        self.suggested = suggested  # where it is not settled: what words too weak to act on say, for a person to judge
        self.holder = holder  # the variable, function or anchor that has the value, and whose uses decided


class _Level(NamedTuple):
    """What one owner says: a side, how strong its strongest words for that are, and all its words for it."""

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
    if verdict.side in ctx.or_whole and not any(c.kind == kinds.CONDITION.name for c in verdict.cues):
        cue = kinds.CONDITION.cue(Side.AGGREGATED, *ctx.or_whole[verdict.side])
        return Verdict(None, "conflict", [*verdict.cues, cue])
    if verdict.side is None or verdict.side not in PD or not (alone := _needs_company(verdict.side, verdict.cues)):
        return verdict
    if ctx.pd_said(verdict.side) or any(ctx.pd_named(c.words) for c in verdict.cues):
        return verdict
    return Verdict(None, "weak", verdict.cues, label=alone == "label", suggested=verdict.side)


def of_use(scope: Scope, name: str = "") -> Verdict:
    """The verdict on a place that puts something to use, by its own owners alone. An argument that is the ``name`` of what is put
    to use says nothing of who does so."""
    return _weigh(scope.chain(), (), (lambda c: c.kind == kinds.ARGUMENT.name and name in c.words) if name else None)


def _needs_company(side: Side, cues: list[Cue]) -> str:
    """The rule by which evidence of these words alone needs a sign that the other side runs as well; empty if it needs none.

    "label": for decode, if only names and labels say it, because aggregated servers are often called decode. "name": if only
    the name of a file or class says the side.
    """
    if not cues or any(c.weight >= Weight.FLAG for c in cues):
        return ""
    takes = {kinds.ALONE.get(c.kind.removeprefix("used by: "), "") for c in cues}
    if takes == {"name"}:
        return "name"
    return "label" if side is Side.DECODE and "" not in takes else ""


def _weigh(
    chain: list[Scope], busy: tuple[tuple[str, str], ...], optional: Callable[[Cue], bool] | None = None
) -> Verdict:
    """The verdict of the owners in ``chain``, nearest first, less the ``optional`` evidence, which may not be there.

    ``busy`` are the kinds and names whose uses are being weighed already.
    """
    weighing = _Weighing(chain, busy)
    for n, scope in enumerate(chain):
        skip = optional if scope.kind != "branch" else None  # what a branch asks holds for all that it owns
        cues = [c for c in scope.cues if not skip(c)] if skip is not None else scope.cues
        if (verdict := weighing.with_owner(n, cues)) is not None:
            return verdict
    return weighing.outcome()


class _Weighing:
    """What the owners in ``chain`` that were looked at, nearest first, come to so far."""

    def __init__(self, chain: list[Scope], busy: tuple[tuple[str, str], ...]) -> None:
        self._chain = chain
        self._busy = busy
        self._decided: _Level | None = None  # by the nearest owner that says a side
        self._against: Side | None = None  # what the file's name says instead
        self._seen: list[Cue] = []
        self._doubts: list[
            tuple[Scope, list[Cue]]
        ] = []  # what is done with values that no name of their own puts on a side
        self._hints: list[Cue] = []
        self._told = False  # whether the server is told its role by what is not known
        self._open = False  # whether that is so, or it is for either side
        self._partly: Verdict | None = None  # of uses of which some say a side and others nothing

    def with_owner(self, n: int, said: list[Cue]) -> Verdict | None:
        """Look at owner ``n``, which says ``said``; the verdict, if no owner further out can change it."""
        scope = self._chain[n]
        cues = [c for c in said if c.weight > Weight.HINT]
        told = [c for c in said if c.kind in {kinds.TOLD.name, kinds.OPEN.name}]
        self._told = self._told or any(c.kind == kinds.TOLD.name for c in told)
        self._open = self._open or bool(told)
        self._hints += [c for c in said if c.weight == Weight.HINT and c not in told]
        if scope.find_handed_on is not None and (handed_on := scope.find_handed_on()) is not None:
            uses = [(c.side, c.pos) for c in (*cues[:1], handed_on)]
            return Verdict(None, "shared", [*self._seen, *cues, handed_on], uses=uses, holder=scope)
        own = scope.kind, scope.name
        if scope.find_uses is not None and len(self._busy) < MAX_HOPS and own not in self._busy:
            used = _of_uses(scope, self._chain[n + 1 :], (*self._busy, own))
            if isinstance(used, Verdict):
                used.holder = used.holder or scope
                if used.why == "weak" and self._decided is None:
                    self._partly = self._partly or used  # whoever owns all the uses may say the same
                    return None
                if used.why == "weak" and (scope.kind == "variable" or not self._against_settings(scope, used.cues)):
                    return None  # what its own settings say is more than what some of its uses do
                return used if self._is_open(scope) or (used.why == "shared" and self._only_remarked()) else None
            if scope.cues or not scope.only_doubts:
                cues += used
            elif self._is_open(scope):
                self._doubts.append((scope, used))
        level = _level(cues)
        if isinstance(level, _Level):
            return self._with_level(level)
        if level == "mixed" and self._is_open(scope):
            holder = scope if scope.find_uses is not None else None
            return Verdict(None, "conflict", self._seen + cues, holder=holder)
        return None

    def _is_open(self, scope: Scope) -> bool:
        """Whether what is done with the value that ``scope`` holds still counts: nothing is decided further in, or only by its
        name, by what is said in a file, template or target, or by settings of a mapping, which one that it is merged into, or a
        copy of it, may set anew."""
        if self._decided is None or (scope.only_doubts and self._decided.weight <= Weight.SAID):
            return True
        if scope.kind not in _TAKEN_WHOLE:
            return False
        cues = self._decided.cues
        return kinds.settings_only(cues) or all(c.words == scope.name for c in cues)

    def _only_remarked(self) -> bool:
        """Whether nothing but a person's remarks further in says the side: they decide nothing of what serves both."""
        decided = self._decided
        if decided is None or decided.side not in PD or kinds.denying(self._hints, decided.side.other):
            return False
        return kinds.remarks_only(self._seen)

    def _against_settings(self, scope: Scope, used: list[Cue]) -> bool:
        """Whether what is ``used`` of an object of a cluster sets anew what its settings say; True of any other scope."""
        decided = self._decided
        return scope.kind not in _OBJECTS or decided is None or any(c.side is decided.side.other for c in used)

    def _with_level(self, level: _Level) -> Verdict | None:
        """Weigh what one owner says against what is decided further in; the verdict, if that ends it."""
        decided = self._decided
        if decided is None:
            if (
                level.side is Side.SHARED and self._hints and level.weight < Weight.FLAG
            ):  # a loop, less what is ruled out
                return Verdict(None, "weak", [*self._hints, *level.cues], suggested=self._hints[0].side)
            self._decided = level
            self._seen += level.cues
        elif level.side is decided.side:
            self._seen += level.cues
        elif _set_anew(level, self._seen):
            return None
        elif level.weight == Weight.FILE and level.side in PD:
            self._against = level.side if decided.weight <= Weight.SAID else None
        elif _overrules(level, decided):
            if level.side in _VETO:
                return Verdict(None, level.side.value, self._seen + level.cues)
            if level.side is Side.SHARED and level.weight == Weight.FLAG:  # said in so many words
                return Verdict(None, "shared", level.cues + self._seen)
            if level.side is Side.SHARED and level.weight > Weight.SAID and self._only_remarked():
                return Verdict(None, "shared", level.cues + self._seen)
            if Side.SHARED not in (level.side, decided.side):
                return Verdict(None, "conflict", self._seen + level.cues)
        return None

    def _agrees(self, partly: Verdict) -> bool:
        """Whether an owner of all uses says by more than words the side that some of them say."""
        decided = self._decided
        if decided is None or decided.side not in PD or any(c.side is decided.side.other for c in partly.cues):
            return False
        return any(c.weight >= Weight.NAMED for c in self._seen)

    def outcome(self) -> Verdict:
        """The verdict, now that every owner was looked at."""
        decided, seen = self._decided, self._seen
        if self._partly is not None and not self._agrees(self._partly):
            return self._partly
        if decided is None:
            hints = [*self._hints, *(cue for _, used in self._doubts for cue in used)]
            hinted = {c.side for c in hints}
            if len(hinted) == 1:
                return Verdict(None, "weak", hints, suggested=hinted.pop())
            return Verdict(None, "unknown", seen)
        if decided.side not in PD:
            return Verdict(None, decided.side.value, seen)
        for scope, used in self._doubts:
            if any(c.side is decided.side.other for c in used):
                return Verdict(None, "conflict", seen + used, holder=scope)
        if denied := kinds.denying(self._hints, decided.side):
            return Verdict(None, "conflict", seen + denied)
        if any(s.kind in _HOLDERS and leaves_out(s.name) for s in self._chain):
            return Verdict(None, "weak", seen)
        if (self._told and _only_called(seen)) or (self._open and self._only_remarked()):
            return Verdict(None, "weak", seen, suggested=decided.side)
        if decided.weight < Weight.FLAG and any(s.kind in _HOLDERS and of_another(s.name) for s in self._chain):
            return Verdict(None, "weak", seen)
        if (holder := _of_defaults(self._chain, seen)) is not None:
            return Verdict(None, "default", seen, holder=holder, suggested=decided.side)
        return Verdict(decided.side, "", seen, self._against)


def _only_called(cues: list[Cue]) -> bool:
    """Whether nothing but names say a side: what a server is told of its role is more than what it is called."""
    return all(c.weight < Weight.FLAG and c.kind.removeprefix("used by: ") in kinds.NAMES for c in cues)


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


def _set_anew(outer: _Level, inner: list[Cue]) -> bool:
    """Whether all that an outer scope says are roles whose very keys a scope further in sets anew."""
    return all(
        c.kind in kinds.ROLES
        and (key := kinds.key_of(c))
        and any(i.kind in kinds.ROLES and key == kinds.key_of(i) for i in inner)
        for c in outer.cues
    )


def _overrules(outer: _Level, inner: _Level) -> bool:
    """Whether something said further out is strong enough to undo what is said nearer."""
    if outer.side is Side.AGGREGATED:
        return inner.side is not Side.PREFILL or outer.weight > inner.weight or inner.weight <= Weight.SAID
    if outer.side is Side.ENCODE and {c.kind for c in outer.cues} <= kinds.GIVE_WAY:
        return inner.weight < Weight.SAID  # the heading of a page on encode workers, which shows the other two as well
    if outer.side is Side.SHARED and outer.weight == Weight.FLAG and kinds.settings_only(inner.cues):
        return {c.kind for c in outer.cues} <= kinds.TAKEN_OVER
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
            if id(s) in known or (s.kind == "file" and s.up is None):
                break
            chain.append(s)
        if not chain and outer:
            continue  # all owners of the use are owners of the value itself
        verdict = _weigh(chain, busy)
        if verdict.side is not None:
            sides.setdefault(verdict.side, verdict.cues[0])
            places.append((verdict.side, use.place))
        elif verdict.why in {"shared", "aggregated", "encode"}:
            for cue in verdict.cues:
                sides.setdefault(cue.side, cue)
            sides.setdefault(Side(verdict.why), verdict.cues[0])
            looped = looped or _in_loop_over_both(chain, own, verdict.cues)
        elif verdict.why == "conflict":
            both = own is None and {c.side for c in verdict.cues} >= set(PD)
            return Verdict(None, "shared" if both else "conflict", verdict.cues)
        elif isinstance(own, _Level) and kinds.denying(verdict.cues, own.side):
            return Verdict(None, "conflict", scope.cues + verdict.cues)
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


def _in_loop_over_both(chain: list[Scope], own: _Level | str | None, cues: list[Cue]) -> bool:
    """Whether a use stands in a loop over both sides, or in a function that one calls (as the ``cues`` of the use tell), where
    nothing says the side that its value is named for: whatever the name says, each server of both is given it."""
    said = [c for scope in chain for c in scope.cues]
    named = own.side if isinstance(own, _Level) else None
    return all(c.side is not named for c in said) and any(
        c.kind.removeprefix("used by: ") == kinds.LOOP_OVER_BOTH.name for c in (*said, *cues)
    )
