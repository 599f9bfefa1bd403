"""The summary: a row for each repository, as a table for people, CSV or Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.model import Finding
from kvroles.said import said

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage

COLUMNS = ("repository", "files", "rewritten", "left", "to decide", "unread", "kept", "passed over")
_FORMULA = re.compile(
    r"^\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]"
)  # what a spreadsheet calculates, full-width signs too


class Row(NamedTuple):
    """One repository: files looked at; roles written, certain but not written, and to decide; what is unread; what an answer,
    a baseline or a comment keeps; files and folders passed over."""

    repository: str
    files: int
    rewritten: int
    left: int
    to_decide: int
    unread: int
    kept: int
    passed_over: int

    @property
    def quiet(self) -> bool:
        """Whether files were looked at here, and nothing was found in them."""
        return self.files > 0 and not any(self[2:7])

    def as_json(self) -> dict[str, object]:
        """The row as the object of the JSON report."""
        return self._asdict()


def state(f: Finding) -> str:
    """Which column a finding counts in; empty for what is harmless or an effect of a role."""
    if f.kept is not None:
        return "kept"
    if f.written:
        return "rewritten"
    if f.role is not None:
        return "left"
    return {Means.UNREAD: "unread", Means.ROLE: "to decide"}.get(CODES[f.code].means, "")


def rows(results: Sequence[FileResult], coverage: Coverage) -> list[Row]:
    """A row for each repository in which something was looked at, found or passed over, by name."""
    found: dict[str, Counter[str]] = {}
    for r in results:
        count = found.setdefault(r.repository, Counter())
        count.update(s for f in r.findings if (s := state(f)))
    aside: Counter[str] = Counter()
    for (repository, _), number in coverage.aside.items():
        aside[repository] += number
    names = sorted({*found, *coverage.looked, *aside})
    return [_row(n, coverage.looked[n], found.get(n, Counter()), aside[n]) for n in names]


def _row(repository: str, files: int, count: Counter[str], aside: int) -> Row:
    written, left, open_, unread, kept = (count[c] for c in COLUMNS[2:7])
    return Row(repository, files, written, left, open_, unread, kept, aside)


def total(all_rows: Sequence[Row]) -> Row:
    """The sum of all rows."""
    files, written, left, open_, unread, kept, aside = (
        sum(int(row[i]) for row in all_rows) for i in range(1, len(COLUMNS))
    )
    return Row("total", files, written, left, open_, unread, kept, aside)


def text(all_rows: Sequence[Row]) -> list[str]:
    """The table for a terminal. Where there are several, those in which nothing was found are one line; one in which nothing
    was looked at keeps its own."""
    shown = [row for row in all_rows if not row.quiet] if len(all_rows) > 1 else list(all_rows)
    lines = [COLUMNS, *((said(row.repository), *map(str, row[1:])) for row in shown)]
    if len(all_rows) > 1:
        lines.append(("total", *map(str, total(all_rows)[1:])))
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    out = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    if clean := len(all_rows) - len(shown):
        out.append(f"and {clean} {'repository' if clean == 1 else 'repositories'} in which nothing was found")
    return out


def csv(all_rows: Sequence[Row]) -> str:
    """The table as CSV (RFC 4180), every cell quoted; a name that a spreadsheet would calculate starts with an apostrophe."""
    lines = [COLUMNS, *all_rows]
    return "".join(",".join(_cell(c) for c in line) + "\r\n" for line in lines)


def _cell(value: object) -> str:
    text = said(value)
    if isinstance(value, str) and _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"'


def markdown(all_rows: Sequence[Row]) -> str:
    """The table as GitHub's Markdown, with a line of totals."""
    lines = [*all_rows, *([total(all_rows)] if len(all_rows) > 1 else [])]
    out = ["| " + " | ".join(COLUMNS) + " |", "|---" + "|--:" * (len(COLUMNS) - 1) + "|"]
    for row in lines:
        name = row.repository if row.repository == "total" and row is lines[-1] else _plain(row.repository)
        out.append("| " + " | ".join([name, *map(str, row[1:])]) + " |")
    return "".join(f"{line}\n" for line in out)


def _plain(text: str) -> str:
    """A name that Markdown shows as it is, and takes for no link, markup or column."""
    return re.sub(r"[^\w./ -]|_|(?<=\w)\.(?=\w)|^-", lambda m: f"&#{ord(m[0])};", said(text))
