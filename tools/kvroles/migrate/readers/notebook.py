"""Jupyter notebooks: JSON whose cells hold Python, shell magics and Markdown, one string a line."""

from __future__ import annotations

from functools import partial

from kvroles.evidence import kinds
from kvroles.evidence.data import Map, Scalar, Seq
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN_RE, Text, join
from kvroles.migrate.readers import lines, mentions
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.mapping import objects

_ROLE = regex("kv_both|kv_producer|kv_consumer")


class _Notebook:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in a notebook; its outputs are recorded, not configured."""
        return _read(text, owner, file)

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """What the line at ``at`` says."""
        return lines.owner(text, at, owner, file)


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    got = objects.read(t, 0)
    cells = got[0].get("cells") if got and isinstance(got[0], Map) else None
    if not isinstance(cells, Seq):
        return ctx.read(t, up, "json")
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
                out += ctx.read(source, up, "markdown")
        else:
            owner = Scope("cell", "", section)
            read.append((source, owner))
            if TOKEN_RE.search(source.s):
                ctx.elsewhere = partial(_mentions, read, source, ctx)
                out += ctx.read(source, owner, "python")
                ctx.elsewhere = None
            if _ROLE.search(source.s) and not section.name.startswith("#"):
                section = up  # a heading goes for all that follows, a text for the role that follows it
    known = {s.pos for s in out}
    out += [Site(t.at(i), up, "log") for i in t.tokens() if t.at(i) not in known]
    return out


def _mentions(cells: list[tuple[Text, Scope]], own: Text, ctx: File, name: str) -> list[Scope]:
    """The owners of what names a file or variable in the other code cells, if they say anything of a side."""
    out: list[Scope] = []
    for source, owner in cells:
        if source is not own:
            lang = "shell" if source.s.lstrip().startswith("%%") else "python"
            out += mentions.owners(lang, source, name, owner, ctx)
    return [scope for scope in out if any(s.cues for s in scope.chain() if s.up is not None)]


def _source(cell: Map) -> Text:
    source = cell.get("source")
    if isinstance(source, Scalar):
        return source.text
    if isinstance(source, Seq):
        parts = [i.text for i in source.items if isinstance(i, Scalar)]
        return join(parts) if parts else Text("", cell.start)
    return Text("", cell.start)


def _said(source: Text, up: Scope, ctx: File) -> Scope:
    """A Markdown cell speaks for the code cells after it, until the next."""
    lines = [ln.strip("#* ").strip() for ln in source.s.splitlines() if ln.strip()]
    scope = Scope("cell above", source.s.lstrip()[:80], up)
    side = ctx.title_side(lines[-1]) or ctx.title_side(lines[0]) if lines else None
    if side is not None:
        scope.cues.append(
            kinds.CELL_ABOVE.cue(
                side,
                (lines[-1] if ctx.title_side(lines[-1]) else lines[0])[:80],
                source.at(0),
            )
        )
    return scope


NOTEBOOK = _Notebook()
