"""Who owns a block or a sentence of a document: what a person reads before it, and what is said of it further down.

Before it stand the headings, the tab, and the paragraph right above.
"""

from __future__ import annotations

import re
from bisect import bisect
from functools import cached_property
from itertools import accumulate

from kvroles.evidence import decide, kinds
from kvroles.evidence.frames import Scope, Side
from kvroles.evidence.names import PD
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import depends, excludes
from kvroles.evidence.prose import alike_said, both_said, joined, opens_with, prose_sides
from kvroles.evidence.text import Text
from kvroles.migrate.readers import lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.document import above
from kvroles.migrate.readers.document import lines as md

_TAKEN = regex(r"(?i)^\W*(?:then\W+)?(?:copy|reuse|re-use|take|use|fetch)\b[^.;]*\bfrom\b")
_MARKUP = regex(r"<!--|-->|\*\*|__|`[^`]*`|</?[A-Za-z][\w-]*>|^\.\.[ \t]+[\w-]+::")
_NEAR = 20  # blocks above a line that tells to run one of them again


class Scopes:
    """A document ``t`` with the owner ``up``: its lines, the headings and tabs of each part, and its blocks as they are met."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        self.t, self.up, self.ctx = t, up, ctx
        self.state = md.State()
        self.lines = t.s.split("\n")
        if not self.lines[-1]:
            self.lines.pop()
        self.starts = list(accumulate((len(line) + 1 for line in self.lines), initial=0))
        self.starts[-1] = len(t.s)  # the end of the last line, which may lack a line feed
        # The index where each section begins, and the scope of its headings and tab.
        self.sections: list[tuple[int, Scope]] = []
        self.blocks: list[md.Block] = []
        self.fences: dict[int, Scope] = {}  # of the blocks with a role, by their first line

    def _titled(self, kind: kinds.Kind, title: str, up: Scope, i: int) -> Scope:
        scope = Scope(kind.name, title, up)
        if md.asks(title):
            return scope
        side = self.ctx.title_side(title)
        if side is not None:
            scope.cues.append(kind.cue(side, title.strip()[:80], self.t.at(self.starts[i])))
        return scope

    def _heading(self, level: int, title: str, i: int) -> None:
        while self.state.headings and self.state.headings[-1][0] >= level:
            self.state.headings.pop()
        self.state.tab = None
        self.state.forget()
        self.state.headings.append((level, title, i))
        self.sections.append((self.starts[i], self._section(self.state)))

    def _section(self, state: md.State) -> Scope:
        """The scope of the headings and the tab that stand over what comes next."""
        scope = self.up
        for _, title, i in state.headings:
            scope = self._titled(kinds.HEADING, title, scope, i)
        if state.tab is not None:
            scope = self._titled(kinds.TAB, state.tab[0], scope, state.tab[1])
        return scope

    def _owner(self, state: md.State, block: md.Block | None = None) -> Scope:
        """The scope of what starts in ``state``: section, tab, and the paragraph right above; of a ``block``, also by where it
        stands."""
        scope = self._section(state)
        said = state.said
        if not said:
            return scope
        lines = [_MARKUP.sub(" ", text) for _, text in said]
        lines = [ln for ln in lines if ln.strip()]
        if not lines:
            return scope
        whole = " ".join(lines)
        side = above.titled(lines, self.ctx) or (self.ctx.title_side(whole) if len(lines) > 1 else None)
        if whole.endswith(":") and (leads := self.ctx.title_side(re.split(r"(?<=[.!?])\s+", whole)[-1])) in PD:
            side = leads  # "The decode server is up. On the prefill node:"
        if side is None and (whole.endswith((":", "：")) or md.GIVES.search(whole)) and not excludes(whole):
            side = opens_with(whole)
        if side is not None and md.of_the_other(whole):
            side = None
        if side is None and (pointed := md.pointed(whole)) is not None:
            side = pointed
        texts = [text for _, text in said]
        inside = block is not None and self._is_inside(block, said[-1][0])
        if side in PD and above.contradicted(side, texts, state.beside, self.ctx, inside=inside):
            side = None
        first = next(iter(prose_sides(whole) & {Side.PREFILL, Side.DECODE}), None)
        if first is not None and prose_sides(whole) == {first} and md.FIRST.match(lines[-1]):
            # "First start prefill, then the same": the block may be of either.
            place = self.t.at(self.starts[said[-1][0]])
            both = [kinds.TEXT_ABOVE.cue(s, lines[-1].strip()[:80], place) for s in (first, first.other)]
            return Scope("paragraph", "", scope, both)
        scope = Scope("paragraph", "", scope)
        if side is not None:
            scope.cues.append(
                kinds.TEXT_ABOVE.cue(
                    side,
                    (lines[-1] if self.ctx.title_side(lines[-1]) is side else whole).strip()[:80],
                    self.t.at(self.starts[said[-1][0]]),
                )
            )
        elif both_said(lines[-1]) or (
            {Side.PREFILL, Side.DECODE} <= prose_sides(whole)
            and (re.search(r"(?i)\b(?:both|each|all|every|same)\b|两|双方|両方|모두", whole) or joined(lines[-1]))
        ):
            scope.cues.append(
                kinds.TEXT_ABOVE.cue(Side.SHARED, lines[-1].strip()[:80], self.t.at(self.starts[said[-1][0]]))
            )
        return scope

    def _is_inside(self, block: md.Block, last: int) -> bool:
        """Whether a block is indented as a part of the item that line ``last`` above it is of."""
        item = next((line for line in self.lines[last::-1] if not line.strip() or above.is_item(line)), "")
        mark = next((i for i in range(block.first - 1, last, -1) if self.lines[i].strip()), last)
        if mark == last:  # indented code
            return self.lines[last].rstrip().endswith(("::", "+")) or block.strip >= above.indentation(item) + 4
        line = self.lines[mark]
        return len(line) - len(line.lstrip()) >= above.indentation(item) > 0 or self.lines[last].strip() == "+"

    def _run_again(self, i: int, state: md.State) -> None:
        """Have the last block above line ``i`` feed both sides, if the line tells the other side to run what it holds, and the
        document has no blocks of both."""
        firsts = [block.first for block in self.blocks]
        n = bisect(firsts, i)
        block = next((b for b in reversed(self.blocks[max(0, n - _NEAR) : n]) if b.first in self.fences), None)
        below = self.blocks[n] if n < len(self.blocks) else None
        if block is None or (below is not None and below.first in self.fences and self._is_of_section(below, i)):
            return  # what the line tells of has a block of its own
        a, b = max(block.last + 1, i - 1), min(i + 2, len(self.lines))
        text = " ".join(line.strip() for line in self.lines[a:b])
        said = next((part for part in re.split(r"(?<=[.!?])\s+", text) if md.AGAIN.search(part)), "")
        sides = prose_sides(said) & {Side.PREFILL, Side.DECODE} or {decide.of_use(self._section(state)).side}
        scope = self.fences[block.first]
        own = decide.of_use(scope).side
        if own is not None and own.other in sides and md.ROLE.search(said) is None and not self._of_both:
            scope.cues.append(kinds.BOTH_SAID.cue(Side.SHARED, said[:80], self.t.at(self.starts[i])))

    @cached_property
    def _of_both(self) -> bool:
        """Whether the document has blocks of prefill and blocks of decode."""
        sides: set[Side | None] = set()
        for scope in self.fences.values():
            sides.add(decide.of_use(scope).side)
            if {Side.PREFILL, Side.DECODE} <= sides:
                return True
        return False

    def _is_of_section(self, block: md.Block, i: int) -> bool:
        """Whether a block stands in the section, or the tab, of line ``i`` above it."""
        begun = bisect([start for start, _ in self.sections], self.starts[i])
        return begun == len(self.sections) or self.sections[begun][0] > self.starts[block.first]

    def _spoken(self, i: int) -> Scope:
        """The scope of the sentence at ``i``, which names a file: the side that the sentence says, else that of its section."""
        bare = md.without_files(lines.line_at(self.t.s, i))
        sides = prose_sides(bare) & {Side.PREFILL, Side.DECODE}
        cues = [kinds.SENTENCE.cue(side, bare[:80], self.t.at(i)) for side in sides]
        if len(sides) == 2:
            return Scope(
                "line",
                "",
                Scope("", "", None),
                [c._replace(side=Side.SHARED) for c in cues[:1] if both_said(bare) or alike_said(bare)],
            )
        taken = _TAKEN.search(bare) is not None  # from another: the sentence is about its section's side
        of_another = excludes(bare) or (depends(bare) and not taken)
        over = [scope for start, scope in self.sections if start <= i and not of_another]
        cues = [] if taken and over and over[-1].cues else cues
        return Scope("line", "", over[-1] if over else Scope("", "", None), cues, place=self.t.at(i))

    def _later_uses(self, name: str, own: tuple[int, int]) -> list[Scope]:
        """The section of each use of the variable ``name`` outside the block ``own``, which sets it."""
        out: list[Scope] = []
        for m in re.finditer(rf"\$\{{?{name}\b", self.t.s):
            if not own[0] <= m.start() < own[1]:
                section = [scope for start, scope in self.sections if start <= m.start()]
                out.append(Scope("use", name, section[-1] if section else None, place=self.t.at(m.start())))
        return out
