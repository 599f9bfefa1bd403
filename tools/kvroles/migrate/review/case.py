"""One open case as a person sees it: where it is, its lines, what speaks for each side, what can be answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.text import TOKEN
from kvroles.migrate import redact
from kvroles.migrate.answers import identity
from kvroles.migrate.codes import CODES
from kvroles.migrate.files import hits
from kvroles.migrate.model import Finding
from kvroles.migrate.review.terminal import Terminal, cut
from kvroles.said import said

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult

_AROUND = 3  # lines shown above and below
_CUES = 4  # pieces of evidence shown for each side
_BY_KEY = "run again with `--side"  # how advice begins that the keys stand for


class Case(NamedTuple):
    """A finding that a person has to decide, and its file's result."""

    finding: Finding
    result: FileResult

    @property
    def path(self) -> str:
        return self.finding.path


def cases(results: Iterable[FileResult]) -> list[Case]:
    """What is open in ``results``, in order: all that a gate fails on and that is not certain."""
    return [
        Case(f, r)
        for r in results
        for f in r.findings
        if CODES[f.code].actionable and f.role is None and not f.suppressed and f.key
    ]


def as_it_was(case: Case) -> bool:
    """Whether the file still has the line that the case is about."""
    if not case.finding.excerpt:
        return True  # about a file as a whole
    text = identity.decoded(hits.look(case.path).data)
    return any(p.key == case.finding.key for p in identity.places(text))


def shown(case: Case, terminal: Terminal, progress: str) -> Iterator[str]:
    """The lines that show a case, none wider than the terminal where that can be."""
    f = case.finding
    yield terminal.paint("-" * min(terminal.width, 80), "36")
    place = f"{f.path}:{f.line}" if f.pos >= 0 else f.path
    yield f"{terminal.paint(place, '1')}  {progress}"
    connector = f" [{f.connector}]" if f.connector else ""
    yield from wrapped(f"{f.code} {f.message}{connector}", terminal.width)
    if f.pos >= 0:
        yield ""
        yield from _context(case, terminal)
    yield ""
    yield from _evidence(case, terminal)
    if f.fix and not f.fix.startswith(_BY_KEY):
        yield from wrapped(f"to do by hand: {f.fix}", terminal.width, "    ")


def _context(case: Case, terminal: Terminal) -> Iterator[str]:
    """The line with the word, marked, and the lines round it; where it is gone meanwhile, that."""
    f = case.finding
    text_of = redact.Shown(identity.decoded(hits.look(f.path).data))
    around = text_of.context(f.line, _AROUND)
    if f.line > len(text_of.lines) or not as_it_was(case):
        yield from wrapped("The file changed since it was read, and the line with it. Run again later.", terminal.width)
        return
    if len(around) > 1 and around[-1][0] == len(text_of.lines) and not around[-1][1]:
        around.pop()
    gutter = len(str(around[-1][0])) + 3
    room = terminal.width - gutter
    for number, line in around:
        # Made safe before it is cut: an escape is longer than what it stands for.
        text = said(line.expandtabs(4))
        if number != f.line:
            yield f"  {number:>{gutter - 3}} {cut(text, room)[0]}"
            continue
        before = len(said(line[: _column(text_of.lines[number - 1], line, f.column)].expandtabs(4)))
        text, column = cut(text, room, before, len(TOKEN))
        at = text.find(TOKEN, max(0, column - len(TOKEN)))
        marked = text
        if terminal.colours and at >= 0:
            marked = text[:at] + terminal.paint(TOKEN, "1;33") + text[at + len(TOKEN) :]
        yield f"> {number:>{gutter - 3}} {marked}"
        yield f"{'':{gutter + column}}{'^' * len(TOKEN)}"


def _column(line: str, masked: str, column: int) -> int:
    """The index in the line as it is shown of the word that stands in a column of the line itself."""
    at = -1
    for _ in range(line.count(TOKEN, 0, column - 1) + 1):
        at = masked.find(TOKEN, at + 1)
    return max(at, 0)


def _evidence(case: Case, terminal: Terminal) -> Iterator[str]:
    f = case.finding
    for side, colour in ((Side.PREFILL, "32"), (Side.DECODE, "34")):
        yield from _cues(case, [c for c in f.cues if c.side is side], f"for {side.value}:", colour, terminal)
    if others := [c for c in f.cues if c.side not in (Side.PREFILL, Side.DECODE)]:
        yield from _cues(case, others, "for neither:", "35", terminal)
    if f.suggested in (Side.PREFILL, Side.DECODE):
        yield f"  {'suggestion:':<13}{terminal.paint(f.suggested.value, '33')}, by words too weak to act on"


def _cues(case: Case, cues: list[Cue], head: str, colour: str, terminal: Terminal) -> Iterator[str]:
    said_already: list[str] = []
    for c in cues:
        where = f"line {line}: " if (line := case.result.line(c)) else ""
        text = said(f"{where}{c.kind}: {' '.join(c.words.split())}")
        if text not in said_already:
            said_already.append(text)
    for n, text in enumerate(said_already[:_CUES] or ["nothing"]):
        label = f"{'' if n else head:<13}"
        yield f"  {terminal.paint(label, colour)}{cut(text, terminal.width - 15)[0]}"
    if len(said_already) > _CUES:
        yield f"  {'':<13}and {len(said_already) - _CUES} more"


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """``text``, made safe, in lines of at most ``width`` columns."""
    # lazy: only a review wraps
    import textwrap

    return textwrap.wrap(said(text), width, subsequent_indent=indent, break_on_hyphens=False) or [""]
