"""The table of claims: what is said of which releases, and the lines or tests that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from kvroles.said import counted
from kvroles.series.release import version

from kvworkshop.effects import claims as evidence
from kvworkshop.effects.claims import Claim
from kvworkshop.pages.effects import BLOB
from kvworkshop.pages.text import code, front_matter, spans

Lines = Mapping[str, Mapping[str, Sequence[str]]]  # claim -> release -> "file:line"


def pages(claims: Sequence[Claim], lines: Lines, known: Sequence[str]) -> dict[str, str]:
    """Path below ``docs/`` -> Markdown."""
    rests = evidence.rests(claims, "held against the releases so", "by a test of this project alone")
    others = [c for c in claims if c.elsewhere]
    intro = (
        "What the [migration guide](../migration.md), the [table of effects](../does-my-release-care.md) and the pages on "
        "[log lines](../symptoms.md), [handshakes](../howto/handshake.md) and [platforms](../howto/platforms.md) say of "
        "vLLM's releases, and what shows it. `python tools/effects.py --check` looks for each pattern in the source of each "
        f"release. Of {len(claims)} claims: {rests}.\n\n"
        f"What {counted(len(others), 'claim')} say of other projects was read at the commits that are linked. It is read again "
        "only where clones of those projects are at hand (`--clones DIR`): "
        f"{', '.join(f'[{c.id}](#{c.id})' for c in others)}. Those projects may have changed since.\n\n"
        "The data: [claims.toml](../data/claims.toml), and the lines found: [claim_lines.json](../data/claim_lines.json).\n"
    )
    return {
        "reference/claims.md": front_matter(
            "Claims and evidence",
            "docs/data/claims.toml",
            searched=False,
            description="Every statement about a release, with its range, mode, side and evidence",
            hide=("toc",),
        )
        + "# Claims and evidence\n\n"
        + intro
        + "".join(_claim(c, lines.get(c.id, {}), known) for c in claims)
    }


def _claim(claim: Claim, lines: Mapping[str, Sequence[str]], known: Sequence[str]) -> str:
    where = [spans(claim.releases(known), known), " and ".join(claim.modes), " and ".join(claim.sides)]
    parts = [f"\n## {claim.id} {{ #{claim.id} }}\n\n{_plain(claim.says)}\n\n- Holds in: {'; '.join(where)}\n"]
    parts.append(f"- Connectors: {', '.join(map(code, claim.connectors))}\n")
    parts += [f"- Test: {code(t)}\n" for t in claim.tests]
    parts += [f"- {'Not in' if e.absent else 'In'} <{e.address}>: {code(e.pattern)}\n" for e in claim.elsewhere]
    parts += [f"- Not checked by a machine: <{s}>\n" for s in claim.sources]
    parts += [f"- Not in {code(e.file)}: {code(e.pattern)}, {_ranges(e.ranges)}\n" for e in claim.evidence if e.absent]
    if lines:
        parts.append(f"\n<details><summary>Lines found, in {counted(len(lines), 'release')}</summary><ul>")
        for release, found in sorted(lines.items(), key=lambda kv: version(kv[0]), reverse=True):
            links = ", ".join(
                f'<a href="{BLOB}{release}/{escape(line.replace(":", "#L"))}">{escape(line.removeprefix("vllm/"))}</a>'
                for line in found
            )
            parts.append(f"<li>{release}: {links}</li>")
        parts.append("</ul></details>\n")
    return "".join(parts)


def _ranges(ranges: Sequence[tuple[str, str]]) -> str:
    return ", ".join(a if a == b else f"{a} to {b}" for a, b in ranges)


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
