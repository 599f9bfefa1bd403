"""What ``tools/verify.py`` says: the table, and what does not hold."""

from __future__ import annotations

import io
import sys

from kvroles.apply.report import colours
from kvroles.errors import Exit, KvRolesError, Unproven
from rich.console import Console
from rich.table import Table

from kvworkshop.verify.prove import Proof

_WIDE = 100  # columns that the topics' words can be read in


def table(proofs: list[Proof], drifted: list[str]) -> str:
    """A row a release: each topic's variant (or native, or -), how far hunks moved, and whether all of it holds.

    On a terminal that is too narrow for the topics, their columns are left out.
    """
    drawn = io.StringIO()
    console = Console(
        file=drawn,
        force_terminal=sys.stdout.isatty(),
        highlight=False,
        color_system="standard" if colours() else None,
        no_color=not colours(),
    )
    if not console.is_terminal:  # a file or a pipe: one line a release, however long
        console.width = 200
    names = list(proofs[0].topics) if proofs and proofs[0].topics and console.width >= _WIDE else []
    out = Table(box=None, pad_edge=False, header_style="bold")
    for title in ["release", *names, *(["largest offset"] if names else []), "contract", "proven"]:
        out.add_column(title, no_wrap=title == "release", overflow="fold")
    for proof in proofs:
        cells = [_cell(proof.topics.get(name)) for name in names]
        offsets = [abs(o) for t in proof.topics.values() for f in t["files"].values() for o in f]
        holds = "?" if proof.problem else "holds" + "".join(f", not {n}" for n in proof.unchecked)
        offset = [str(max(offsets, default=0))] if names else []
        out.add_row(proof.release, *cells, *offset, holds, _verdict(proof, drifted))
    console.print(out)
    done = [p for p in proofs if not p.problem]
    in_part = [p for p in done if not p.whole]
    note = f", {len(in_part)} of them as far as their files can be had" if in_part else ""
    console.print(f"{len(done)} of {len(proofs)} proven{note}")
    for proof in in_part:
        for clause, why in proof.unchecked.items():
            console.print(f"{proof.release}: clause {clause} not checked: {why}", soft_wrap=True)
    return drawn.getvalue()


def _cell(topic: dict[str, object] | None) -> str:
    if topic is None or topic["state"] == "absent":
        return "-"
    return str(topic["variant"] or topic["state"])


def _verdict(proof: Proof, drifted: list[str]) -> str:
    if proof.problem:
        return "[red]no[/red]"
    if proof.release in drifted:
        return "[yellow]drifted[/yellow]"
    return "[green]yes[/green]" if proof.whole else "[green]in part[/green]"


def complain(proofs: list[Proof], drifted: list[str]) -> None:
    """Raise the first problem, if there is one: one of the series (Unproven) before one of the network (NoSource)."""
    bad = [p for p in proofs if p.problem]
    if bad:
        unproven = [p for p in bad if p.code is not Exit.NO_SOURCE]
        alike = unproven or bad
        first, others = alike[0], len(alike) - 1
        if unproven:
            said, more = "is not proven", f" ({others} more releases are not proven)"
        else:
            said, more = "cannot be had", f" (nor can {others} more)"
        why = (first.problem or "").removesuffix(".")
        raise KvRolesError(first.code, f"vLLM {first.release} {said}: {why}{more if others else ''}")
    if drifted:
        open_ = sorted({why for p in proofs if p.release in drifted for why in p.unchecked.values()})
        raise Unproven(
            f"docs/data/compat.json says something else of {', '.join(drifted)}",
            found=f"not checked here: {'; '.join(open_)}" if open_ else None,
            fix="If the change is meant, write it with `python tools/verify.py --all --write` and commit it",
        )
