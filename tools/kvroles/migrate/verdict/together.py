"""Takes back a rewrite that is wrong without another one: of a test's input, and of one side of a pair."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice, pairwise, product

from kvroles.evidence import kinds
from kvroles.evidence.decide import Verdict
from kvroles.evidence.frames import Side, Site
from kvroles.evidence.names import twins
from kvroles.evidence.patterns import regex
from kvroles.migrate.codes import CODES
from kvroles.migrate.files import neighbours
from kvroles.migrate.model import Finding
from kvroles.migrate.readers import registry
from kvroles.migrate.readers.base import File
from kvroles.migrate.verdict import advice

_OPEN = frozenset({"KVR110", "KVR111", "KVR112", "KVR113", "KVR118"})  # not decided, or not read
_UNREAD = "KVR190"  # a whole file
_OF_PATH = frozenset({kinds.FILE_NAME.name, kinds.FOLDER.name})
_NAMED = frozenset(
    {"key", "variable", "function", "class", "section", "target", "stage", "option", "mapping", "container", "call",
     "file written"}
)  # fmt: skip
_ASKED = frozenset({"expectation", "comparison", "pattern"})
_TEST_BEGINS = regex(r"(?m)^@test\b")  # of Bats
_LOOKED_AT = 16  # names that a file's twin may have
_MANY = 400  # roles in one file: nobody writes more pairs by hand


def expected(sites: list[Site], verdicts: list[Verdict | None], ctx: File) -> list[Verdict | None]:
    """The verdicts, with each config left undecided of which a test expects ``kv_both``: the test would fail.

    That is a test function that the config is in, or that uses it by its name. A script that tests expects what it compares
    with, or searches for.
    """
    kinds = _ASKED if ctx.holds_tests and registry.lang_of_name(ctx.name) == "shell" else frozenset({"expectation"})
    expecting = {span: s.pos for s in reversed(sites) if s.kind in kinds and (span := _function(s, ctx)) is not None}
    out: list[Verdict | None] = []
    for site, v in zip(sites, verdicts, strict=True):
        place = _expects(site, expecting, ctx) if expecting and v is not None and v.side is not None else None
        if v is not None and v.side is not None and place is not None:
            v = Verdict(None, "expected", v.cues, uses=[(v.side, place)], suggested=v.side)
        out.append(v)
    return out


def _expects(site: Site, expecting: dict[tuple[int, int], int], ctx: File) -> int | None:
    """The place of the expectation that a site says ``kv_both``; None without one. ``expecting`` has them by function."""
    own = _function(site, ctx)
    if own is not None and (own in expecting or not ctx.holds_tests):
        return expecting.get(own)
    for scope in site.scope.chain() if ctx.holds_tests else ():
        name = scope.name.rsplit(".", 1)[-1]
        if scope.kind in {"variable", "function"} and re.fullmatch(r"\w+", name):
            before = r"(?:self|this)\." if own is not None and scope.kind == "variable" else r"(?<!\w)"
            used = re.compile(rf"{before}{name}(?!\w)")
            if (
                place := next((at for span, at in expecting.items() if used.search(ctx.text.s, *span)), None)
            ) is not None:
                return place
    return None


def _function(site: Site, ctx: File) -> tuple[int, int] | None:
    """The span of the innermost function round a site, or of the test in a script; None if there is none."""
    span = next((s.span for s in site.scope.chain() if s.span is not None), None)
    if span is not None or not ctx.holds_tests or registry.lang_of_name(ctx.name) != "shell":
        return span
    s = ctx.text.s
    begins = [0, *(m.start() for m in _TEST_BEGINS.finditer(s)), len(s)]
    return next((a, b) for a, b in pairwise(begins) if a <= site.pos < b)


def pairs(sites: list[Site], found: list[Finding], ctx: File, answered: Callable[[Finding], bool]) -> None:
    """Take back the rewrite of one side of a pair if the other side is not decided or not read, and so stays as it is.

    A pair is two sites whose owners are twins by name, or the two arms of a conditional that asks but once. A site that no
    reader understood is the other one, where the file speaks of that side and nothing else in it is of it. What is ``answered``
    is rewritten.
    """
    owned = {site.pos for site in sites}  # another spelling of kv_both is a finding whose owner nobody knows
    written = {f.pos: f for f in found if f.role is not None and not f.by_row}
    left = {f.pos: f for f in found if f.pos in owned and f.code in _OPEN and f.kept is None}
    if not written or not left or len(sites) > _MANY:
        return
    both = [site for site in sites if site.pos in written or site.pos in left]
    names = {site.pos: _names(site) for site in both}
    forks = {site.pos: _forks(site) for site in both}
    conditions = {site.pos: _condition(site, written[site.pos].side) for site in both if site.pos in written}
    sides = {f.side for f in written.values()}
    unread = next((left[site.pos] for site in both if site.kind == "unread" and site.pos in left), None)
    for pos, f in written.items():
        twin = next((left[p] for p in left if _twin(names[pos], names[p])), None)
        if twin is None and (head := conditions[pos]) is not None:
            arms = {p: forks[p][head] for p in forks if head in forks[p]}
            others = [p for p in arms if arms[p] != arms[pos]]
            if not any(p in written and written[p].side is not f.side for p in others):
                # An arm for both sides is no other half.
                twin = next((left[p] for p in others if p in left and left[p].code != "KVR113"), None)
        if f.side is None or f.role is None:
            continue
        if twin is None and unread is not None and f.side.other not in sides and ctx.names(f.side.other):
            twin = unread
        if twin is not None and not answered(f):
            _take_back(f, f.side, f"line {twin.line}", twin, ctx)


def across(
    found: list[Finding], ctx: File, answered: Callable[[Finding], bool], beside: Callable[[str], list[Finding]]
) -> None:
    """Take back the rewrites that rest on nothing but the name of the file, or of its folder, while the file that differs in no
    more than the side is not decided or not read. ``beside`` gives the findings of the file at a path; what is ``answered`` is
    rewritten."""
    for f in found:
        if f.role is None or f.side is None or f.by_row or not {c.kind for c in f.cues} <= _OF_PATH:
            continue
        for path in _twin_files(ctx):
            there = beside(path)
            left = [g for g in there if (g.code in _OPEN or g.code == _UNREAD) and g.kept is None]
            if left and all(g.side is not f.side.other for g in there) and not answered(f):
                _take_back(f, f.side, f"{path}:{left[0].line}", left[0], ctx)
                break


def _twin_files(ctx: File) -> Iterator[str]:
    """The paths of the files that differ from a file in no more than the side, in one part of its path or in several."""
    parts = ctx.name.split("/")
    top = ctx.path.removesuffix(ctx.name)
    named_so = product(*([part, *twins(part)] for part in parts)) if top != ctx.path else iter(())
    for named in islice(named_so, _LOOKED_AT):
        path = top + "/".join(named)
        if path != ctx.path and os.path.basename(path) in neighbours.names(path):
            yield path


def _take_back(f: Finding, side: Side, place: str, twin: Finding, ctx: File) -> None:
    """Say of a role of ``side`` that it is not rewritten, as its pair at ``place``, the finding ``twin``, stays as it is."""
    f.fix = (
        f"decide {place} first: then both move; or write {side.role} here and {side.other.role} there by hand, "
        f"or answer for this line alone with {advice.given(f'{ctx.path}:{f.line}', side.value)}"
    )
    f.message = f"{side.value}, but {place}, its pair, is not decided ({twin.code}): one alone is not rewritten"
    f.code, f.level, f.role = "KVR127", CODES["KVR127"].level, None


def _forks(site: Site) -> dict[int, int]:
    """The conditionals round a site by their place, each with the place of the arm that the site is in."""
    return {s.fork[0]: s.fork[1] for s in site.scope.chain() if s.fork is not None}


def _condition(site: Site, side: Side | None) -> int | None:
    """The place of the conditional of two arms whose condition says the side of a site; None if none does."""
    return next(
        (s.fork[0] for s in site.scope.chain() if s.fork is not None and any(c.side is side for c in s.cues)), None
    )


def _names(site: Site) -> tuple[str, ...]:
    """The names of a site's owners, as far as a twin may have other ones."""
    return tuple(s.name for s in site.scope.chain() if s.name and s.kind in _NAMED)


def _twin(names: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether the owners of two places have the same names, or twins of them."""
    if len(names) != len(others) or names == others:
        return False
    return all(a == b or b in twins(a) for a, b in zip(names, others, strict=True))
