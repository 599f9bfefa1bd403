"""Prove a plan by the contract, and write it."""

from __future__ import annotations

from kvroles.apply.plan import Plan
from kvroles.contract import check, terms
from kvroles.contract.terms import Verdict
from kvroles.digest import sha256
from kvroles.errors import Unproven
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
) -> Verdict:
    """Check the contract on ``files`` as ``plan`` leaves them. Raises Unproven at the first breach.

    ``without`` is the optional topic that the plan takes out, if it is one that does.

    ``proven`` is the key the lock has for these files: where theirs is the same, the verdict is known.
    """
    now: dict[str, bytes | None] = {**files, **{c.path: c.after for c in plan.changes}}
    if proven is not None and terms.key({p: sha256(d) for p in touched if (d := now.get(p)) is not None}) == proven:
        return Verdict((), {})
    before: dict[str, bytes | None] = {**files, **{c.path: c.before for c in plan.changes}}
    verdict = check.check(
        {p: d for p, d in now.items() if d is not None and p in touched},
        before,
        {p: d for p, d in now.items() if d is not None and p not in touched},
        topics=[t.topic for t in plan.topics if t.topic != without],
    )
    if verdict.breaches:
        more = f" ({len(verdict.breaches) - 1} more)" if len(verdict.breaches) > 1 else ""
        raise Unproven(
            f"The contract of a patched tree does not hold: {verdict.breaches[0]}{more}",
            fix="Nothing was written; see 'The contract' in docs/explanation/design.md",
        )
    return verdict
