"""Prove a plan by the contract, and write it."""

from __future__ import annotations

from kvroles.apply.plan import Plan
from kvroles.contract import check, terms
from kvroles.contract.terms import Verdict
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, Unproven
from kvroles.series.parts import Part
from kvroles.tree import journal
from kvroles.tree.change import Change
from kvroles.tree.tree import Tree


def write_back(tree: Tree, changes: list[Change], text: bytes | None) -> None:
    """Commit ``changes`` and read every file back from disk."""
    journal.commit(tree, changes, text)
    for change in changes:
        if tree.read(change.path) != change.after:
            raise Unproven(f"{change.path} in {tree.path} was read back with other bytes than were written")


def prove_plan(
    files: dict[str, bytes],
    plan: Plan,
    touched: set[str],
    proven: str | None = None,
    *,
    without: str | None = None,
    locked: bool = True,
    part: Part | None = None,
) -> Verdict:
    """Check the contract on ``files`` as ``plan`` leaves them.

    With ``part`` only what that part of the tree can show is asked for, and the verdict says what was not.
    ``without`` is the optional topic that the plan takes out, or None. ``proven`` is the lock's key of the patched files: where
    the files have the same key, the contract was checked when the lock was written. Raises Unproven at the first breach in a
    release that is ``locked``, and DoesNotApply in any other tree, which the series was never tested on.
    """
    now: dict[str, bytes | None] = {**files, **{c.path: c.after for c in plan.changes}}
    if proven is not None and terms.key({p: sha256(d) for p in touched if (d := now.get(p)) is not None}) == proven:
        return Verdict((), {})
    before: dict[str, bytes | None] = {**files, **{c.path: c.before for c in plan.changes}, **plan.shipped}
    verdict = check.check(
        {p: d for p, d in now.items() if d is not None and p in touched},
        before,
        {p: d for p, d in now.items() if d is not None and p not in touched},
        topics=[t.topic for t in plan.topics if t.topic != without],
    )
    if part is not None:
        verdict = _of_part(verdict, part)
    if verdict.breaches:
        more = f" ({len(verdict.breaches) - 1} more)" if len(verdict.breaches) > 1 else ""
        first = verdict.breaches[0]
        if not locked and first.clause == 2 and first.path not in files:
            raise DoesNotApply(
                f"{first.path} is missing from this tree, which is no release",
                fix="Nothing was written. Of a tree without tests or docs, `--part runtime` patches what runs",
            )
        if not locked:
            raise DoesNotApply(
                f"The series does not give this tree, which is no release, explicit roles throughout{more}",
                expected="a patched tree of which the contract holds",
                found=str(verdict.breaches[0]),
                fix="Nothing was written. Give the place its role by hand and run again, or see 'The contract' in "
                "docs/explanation/design.md",
            )
        raise Unproven(
            f"The contract of a patched tree does not hold: {verdict.breaches[0]}{more}",
            fix="Nothing was written. It is a fault of this project's series: take its newest revision, and report it where "
            "that has it too",
        )
    return verdict


def _of_part(verdict: Verdict, part: Part) -> Verdict:
    """``verdict`` on a tree of which only ``part`` was looked at."""
    elsewhere = {
        n: f"it is about {clause.about}, and only {part.value} was looked at"
        for n, clause in terms.CLAUSES.items()
        if clause.about in set(Part) - {part}
    }
    breaches = tuple(b for b in verdict.breaches if b.clause not in elsewhere)
    outside = f"outside of {part.value}, which was not looked at"
    rest = {n: outside for n, clause in terms.CLAUSES.items() if clause.about == "tree"}
    return Verdict(breaches, {**rest, **verdict.unchecked, **elsewhere})
