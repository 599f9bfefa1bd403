"""Small pieces of Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_MARKS = re.compile(r"[<>&*_`\[\]{}!#|\\~^$=]")
TITLES = {"native": "upstream holds the change", "absent": "nothing to change in this release"}


def front_matter(
    title: str,
    source: str,
    *,
    boost: float | None = None,
    description: str | None = None,
    hide: Sequence[str] = (),
    searched: bool = True,
) -> str:
    """The page's metadata; ``source`` is the repository file that the edit link opens.

    ``hide`` names the theme's parts that are left out, for room.
    """
    lines = ["---", f"title: {_quoted(title)}", f"source: {source}"]
    if description:
        lines.append(f"description: {_quoted(escape(description))}")  # the theme puts it into an attribute as it is
    if boost is not None:
        lines += ["search:", f"  boost: {boost}"]
    if not searched:
        lines += ["search:", "  exclude: true"]
    if hide:
        lines += ["hide:", *(f"  - {h}" for h in hide)]
    return "\n".join([*lines, "---", "", ""])


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells may hold inline Markdown, and their bars are escaped."""
    lines = [_row(head), _row(["---"] * len(head)), *(_row(r) for r in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(" ".join(c.split())) for c in cells) + " |"


def _cell(text: str) -> str:
    """A bar would end the cell, but not one inside code, where a backslash before it would be shown."""
    return re.sub(r"(`+).*?\1|\|", lambda m: m[0] if m[1] else "\\|", text)


def code(text: str) -> str:
    """Inline code, on one line; backticks inside are fenced by more of them."""
    text = " ".join(text.split())
    if "`" not in text:
        return f"`{text}`"
    mark = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{mark} {text} {mark}"


def plain(text: str) -> str:
    """``text`` as Markdown in which no sign is mark-up: what a release, a patch or a run brought may hold anything."""
    return _MARKS.sub(lambda m: f"&#{ord(m[0])};", " ".join(text.split()))


def fence(info: str, body: str) -> str:
    """A code block whose fence is longer than any in ``body``."""
    mark = "```"
    while mark in body:
        mark += "`"
    return f"{mark}{info}\n{body.rstrip(chr(10))}\n{mark}\n"


def include(path: str, info: str, contains: str) -> str:
    """A code block that holds the file ``path`` of the repository, included when the page is built.

    ``contains`` is the file's text, from which only the length of the fence is taken.
    """
    mark = "```"
    while mark in contains:
        mark += "`"
    return f'{mark}{info}\n--8<-- "{path}"\n{mark}\n'


def badge(state: str, words: str | None = None) -> str:
    """A state as a coloured label (HTML); ``words`` replaces the state's name on it."""
    title = TITLES.get(state)
    extra = f' title="{escape(title)}"' if title else ""
    return f'<span class="state state-{escape(state)}"{extra}>{escape(words or state)}</span>'


def spans(releases: Sequence[str], known: Sequence[str]) -> str:
    """``releases`` as runs of ``known`` (both oldest first): ``0.9.0 to 0.9.2, 0.11.0``."""
    runs: list[list[str]] = []
    for release in (r for r in known if r in set(releases)):
        at = known.index(release)
        if runs and known.index(runs[-1][-1]) == at - 1:
            runs[-1].append(release)
        else:
            runs.append([release])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
