"""What is known of words, as tables: data only, one row a fact, read by the modules beside this folder."""

from __future__ import annotations

from collections.abc import Iterator


def rows(table: str) -> Iterator[list[str]]:
    """The rows of a table: cells between bars, blank lines and what follows a # left out."""
    for line in table.splitlines():
        row = line.split("#", 1)[0].strip()
        if row:
            yield [cell.strip() for cell in row.split("|")]
