"""What stands in the text right above a block: a paragraph, or the items of a list and the rows of a table.

The last item of several is about the block only as far as none beside it is about the other side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Side
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import announces, excludes
from kvroles.evidence.prose import opens_with, prose_sides, sentences, turns_to
from kvroles.migrate.readers.document import lines as md

_ITEM = regex(r"[ \t>]*(?:[-+•◦▪·]|\*{1,5}|\.{1,5}|#\.|\(?(?:\d{1,3}|[a-z])[.)])[ \t]+|[ \t>]*:[ \t]+")
_ENDS = regex(r"[.:;!?。：；！？]\W*$")


class Unit(NamedTuple):
    """A paragraph, or an item of a list or a row of a table."""

    text: str
    item: bool


def is_item(line: str) -> bool:
    """Whether an item of a list begins in a line."""
    return _ITEM.match(line) is not None


def indentation(line: str) -> int:
    """Where the text of an item begins that a line begins; of any other line 0."""
    m = _ITEM.match(line)
    return m.end() if m is not None else 0


def units(texts: Sequence[str]) -> list[Unit]:
    """The paragraph and the items, or the rows, that lines of text without a blank line between them hold."""
    if any(md.DELIMITERS.match(text) for text in texts):
        return [Unit(text, True) for text in texts if not md.DELIMITERS.match(text)]
    out: list[Unit] = []
    for text in texts:
        if is_item(text) or md.ROW.match(text):
            out.append(Unit(text, True))
        elif out:
            out[-1] = out[-1]._replace(text=f"{out[-1].text} {text}")
        else:
            out.append(Unit(text, False))
    return out


def titled(texts: Sequence[str], ctx: FileCtx) -> Side | None:
    """The side that the last line or item announces, if it is no part of a sentence that names the other side as well."""
    side = ctx.title_side(texts[-1])
    if side is None and (last := units(texts)[-1]).item:
        side = ctx.title_side(last.text)
    if side is None or len(texts) == 1 or is_item(texts[-1]) or _ENDS.search(texts[-2]):
        return side
    named = any(side.other in prose_sides(text) for text in _begun(texts))
    return None if named and ctx.title_side(sentences(" ".join(texts))[-1]) is not side else side


def _begun(texts: Sequence[str]) -> Iterator[str]:
    """What stands of the last line's sentence in the lines above it."""
    for text in reversed(texts[:-1]):
        *before, begun = sentences(text)
        if not _ENDS.search(text):
            yield begun
        if before or _ENDS.search(text):
            return


def contradicted(side: Side, texts: Sequence[str], beside: Sequence[str], ctx: FileCtx, *, inside: bool) -> bool:
    """Whether text that announces ``side`` is about the other side as well: an item beside it names that, or a sentence of it
    announces or turns to it.

    ``beside`` are items further up in the same list. The block stands ``inside`` the last item by its indentation: an item that
    leads up to it speaks for it.
    """
    parts = units(texts)
    own = next((part for part in (parts[-1], parts[0]) if ctx.title_side(part.text) is side), parts[-1])
    leads = inside and own is parts[-1] and (own.text.endswith((":", "：")) or announces(own.text))
    if parts[-1].item and not leads:
        others = [part.text for part in parts if part.item and part is not own]
        if any(_names(text, side.other) for text in (*others, *beside)):
            return True
    said = sentences(own.text if parts[-1].item else " ".join(texts))
    return len(said) > 1 and any(ctx.title_side(text) is side.other or turns_to(text, side.other) for text in said)


def _names(text: str, side: Side) -> bool:
    """Whether an item is about a side, and does not only say to wait for its server."""
    return side in prose_sides(text) and (not excludes(text) or opens_with(text) is side)
