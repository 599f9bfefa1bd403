"""Jupyter notebooks: JSON whose cells hold Python, shell magics or Markdown, each as a list of lines."""

from __future__ import annotations

import json
from functools import partial

from kvroles.evidence import kinds
from kvroles.evidence.data import Map, Scalar, Seq
from kvroles.evidence.frames import Scope, Side, Site
from kvroles.evidence.names import PD
from kvroles.evidence.patterns import regex
from kvroles.evidence.proxies import Reach
from kvroles.evidence.signs import signs
from kvroles.evidence.text import TOKEN_RE, Text, join
from kvroles.migrate.readers import mentions
from kvroles.migrate.readers.base import ByLine, File
from kvroles.migrate.readers.document import above
from kvroles.migrate.readers.mapping import objects

_HEADING = regex(r"(?m)^(?P<level>#{1,6})[ \t]")
_ROLE = regex("kv_both|kv_producer|kv_consumer")


class _Notebook(ByLine):
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in a notebook's cells; a ``kv_both`` outside them, such as in an output, is of a record
        if the notebook is whole, and unread otherwise."""
        return _read(text, owner, file)


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    got = objects.read(t, 0)
    cells = got[0].get("cells") if got and isinstance(got[0], Map) else None
    if not isinstance(cells, Seq):
        return ctx.read(t, up, "json")
    if ctx.told_of:
        ctx.reach = Reach(t.s, ctx.told_of, _headings(cells))
    out: list[Site] = []
    section = up
    read: list[tuple[Text, Scope]] = []
    for cell in cells.items:
        if not isinstance(cell, Map):
            continue
        source = _source(cell)
        if cell.scalar("cell_type") == "markdown":
            section = _said(source, up, ctx)
            if TOKEN_RE.search(source.s):
                out += _of_cell(source, "markdown", up, ctx)
        else:
            owner = Scope("cell", "", section)
            read.append((source, owner))
            if TOKEN_RE.search(source.s):
                ctx.elsewhere = partial(_mentions, read, source, ctx)
                out += _of_cell(source, "python", owner, ctx)
                ctx.elsewhere = None
            if _ROLE.search(source.s) and not section.name.startswith("#"):
                section = up  # a text is about the next role only; a heading is about all cells up to the next text
    known = {s.pos for s in out}
    left = [t.at(i) for i in t.tokens() if t.at(i) not in known]
    kind = "log" if left and _parses(t.s) else "unread"
    return out + [Site(place, up, kind) for place in left]


def _headings(cells: Seq) -> list[tuple[int, int]]:
    """The headings in a notebook's cells: their indices in the file and their levels."""
    texts = [_source(c) for c in cells.items if isinstance(c, Map) and c.scalar("cell_type") == "markdown"]
    return [(t.at(m.start()), len(m["level"])) for t in texts for m in _HEADING.finditer(t.s)]


def _parses(s: str) -> bool:
    """Whether a notebook is whole: of a broken one nobody knows which part of it is an output."""
    try:
        json.loads(s)
    except (ValueError, RecursionError):
        return False
    return True


def _of_cell(source: Text, lang: str, owner: Scope, ctx: File) -> list[Site]:
    """The sites in a cell; a ``kv_both`` of which its language makes none is of the kind of its sign, or unread."""
    out = ctx.read(source, owner, lang)
    known = {s.pos for s in out}
    left = [i for i in source.tokens() if source.at(i) not in known]
    return out + [Site(source.at(i), owner, signs.sign_of(source.s, i, lang) or "unread") for i in left]


def _mentions(cells: list[tuple[Text, Scope]], own: Text, ctx: File, name: str) -> list[Scope]:
    """The owners that hold a cue of each place in another code cell than ``own`` that names the file or variable ``name``."""
    out: list[Scope] = []
    for source, owner in cells:
        if source is not own:
            lang = "shell" if source.s.lstrip().startswith("%%") else "python"
            out += mentions.owners(lang, source, name, owner, ctx)
    return [scope for scope in out if any(s.cues for s in scope.chain() if s.up is not None)]


def _source(cell: Map) -> Text:
    """The text of a cell, its lines joined."""
    source = cell.get("source")
    if isinstance(source, Scalar):
        return source.text
    if isinstance(source, Seq):
        parts = [i.text for i in source.items if isinstance(i, Scalar)]
        return join(parts) if parts else Text("", cell.start)
    return Text("", cell.start)


def _said(source: Text, up: Scope, ctx: File) -> Scope:
    """The scope of a Markdown cell, which owns the code cells up to the next: the side is that of its last or first line."""
    lines = source.s.strip().splitlines()
    scope = Scope("cell above", source.s.lstrip()[:80], up)
    for n in (len(lines) - 1, 0) if lines else ():
        line = lines[n].strip("#* ").strip()
        side = ctx.title_side(line)
        if side is not None and not _contradicted(side, lines, n, ctx):
            scope.cues.append(kinds.CELL_ABOVE.cue(side, line[:80], source.at(0)))
            break
    return scope


def _contradicted(side: Side, lines: list[str], n: int, ctx: File) -> bool:
    """Whether the paragraph, list or table that line ``n`` of a Markdown cell is in is about the other side than ``side`` too."""
    if side not in PD or lines[n].lstrip().startswith("#"):
        return False
    first, last = n, n + 1
    while first > 0 and lines[first - 1].strip() and not lines[first - 1].lstrip().startswith("#"):
        first -= 1
    while last < len(lines) and lines[last].strip():
        last += 1
    beside = [line for line in lines if above.is_item(line) and above.is_item(lines[n])]
    return above.contradicted(side, lines[first:last], beside, ctx, inside=False)


NOTEBOOK = _Notebook()
