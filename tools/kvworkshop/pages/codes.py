"""The index of KVR codes, from the tables of the checkers that print them; each code's own page is ``docs/kvr/``."""

from __future__ import annotations

from kvroles.migrate.codes import CODES

from kvworkshop import lint
from kvworkshop.pages.text import front_matter, table


def all_codes() -> dict[str, dict[str, str]]:
    """Heading -> {code: what it says}, of every checker in this tree."""
    return {
        "Patch lint: `python tools/verify.py --lint`": dict(lint.CODES),
        "Configurations: `python tools/migrate.py`": {c.id: c.summary for c in CODES.values()},
    }


def pages() -> dict[str, str]:
    """Path below ``docs/`` -> Markdown."""
    parts = [
        front_matter("KVR codes", "docs/kvr", description="What each finding means and what to do"),
        "# KVR codes\n\nEvery finding has a code that stays the same from version to version.\n",
    ]
    for heading, codes in all_codes().items():
        rows = [[f"[{code}](../kvr/{code}.md)", text] for code, text in codes.items()]
        parts.append(f"\n## {heading}\n\n" + table(["Code", "What it says"], rows))
    return {"reference/codes.md": "".join(parts)}
