"""Documents in Markdown, MyST, reStructuredText and AsciiDoc: configs in fences, literal blocks and inline code."""

from __future__ import annotations

import re
from functools import partial

from kvroles.evidence import kinds
from kvroles.evidence.frames import Scope, Side, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.prose import prose_side, prose_sides
from kvroles.evidence.proxies import Reach
from kvroles.evidence.text import TOKEN_RE, Text, join
from kvroles.migrate.readers import mentions, registry, sniff
from kvroles.migrate.readers.base import ByLine, File
from kvroles.migrate.readers.document import above
from kvroles.migrate.readers.document import lines as md
from kvroles.migrate.readers.document.scopes import Scopes

_JOINED = regex(r"(?i)^[\s,;.)`]*(?:and|then|or|und|et|y)?\b[\s,]*")  # before what is said of another one
_ABOUT_CODE = regex(r"((`+)[^`\n]{1,2000}\2)[ \t]*\([^()\n]{1,80}\)")
# ``KV_ROLE=kv_both ./serve.sh`` in inline code is a command, where ``KV_ROLE=kv_both`` alone is only mentioned.
_SETS_FOR = regex(r"\s*(?:[A-Za-z_]\w*=\S*\s+)+[\w./-]")
_MANY = 100  # lines of one document that tell to do something again
_HIDDEN = regex(r"(?m)^[ \t]*<!--.*?-->", re.S)


class _Documents(ByLine):
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in a document."""
        if file.told_of and len(text.s) == len(file.text.s):  # what is a part of a file has not all that is told
            outline = _Outline(text, owner, file)
            outline.sites()
            file.reach = Reach(text.s, file.told_of, outline.headings)
        return _Document(text, owner, file).sites()


class _Document(Scopes):
    """One document, read line by line: its headings and tabs, its blocks, and the sites in them."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        super().__init__(t, up, ctx)
        self.out: list[Site] = []
        # The underlines of headings, in the order in which they are met: reStructuredText's levels.
        self.levels: list[str] = []
        self.row = (-1, -1)  # a line of a table, and the first line of that
        self.again: list[tuple[int, md.State]] = []  # the lines that tell of something done once more

    def sites(self) -> list[Site]:
        """Every ``kv_both`` of the document; one in an HTML comment is of the kind ``comment``."""
        i = 0
        while i < len(self.lines):
            i = self._line(i)
        for line, state in self.again:
            self._run_again(line, state)
        hidden = [m.span() for m in _HIDDEN.finditer(self.t.s)] if "<!--" in self.t.s else []
        places = {self.t.at(k) for a, b in hidden for k in self.t.tokens_in(a, b)}
        return [s._replace(kind="comment") if s.pos in places else s for s in self.out]

    def _line(self, i: int) -> int:
        """Read line ``i``, with the block that begins there; the number of the next line to read."""
        line = self.lines[i]
        head = line.lstrip(" \t\r>")[:1]
        if not head:
            return i + 1
        if self.state.tab is not None and self._tab_ends(line):
            self.state.tab = None
            self.sections.append((self.starts[i], self._section(self.state)))
        nxt = self.lines[i + 1] if i + 1 < len(self.lines) else ""
        if head not in md.SPECIAL and nxt[:1] not in md.UNDERLINES and "::" not in line and "kv_both" not in line:
            self._say(i, line)
            return i + 1
        # Each pattern runs only on a line with a sign that it needs: most lines have none.
        if any(mark in line for mark in md.FENCES) and (m := md.FENCE.match(line)):
            colons = m.group("fence").startswith(":")
            if not colons or re.match(r"\{(?:code-block|code)", m.group("info")):
                return self._fence(i, m)
        if "::" in line and (m := md.DIRECTIVE.match(line)):
            return self._indented(i + 1, len(m.group("indent")), m.group("lang"))
        if head in "#=" and (m := md.ATX.match(line)):
            self._heading(len(m.group("level")), m.group("title"), i)
            return i + 1
        if head == "<" and (m := md.HTML_HEADING.match(line)):
            self._heading(int(m.group("level")), md.without_tags(m.group("title")), i)
            return i + 1
        if head in "-." and line.strip() in {"----", "...."} and self.ctx.name.endswith((".adoc", ".asciidoc")):
            return self._delimited(i, line.strip(), "", "")
        if re.match(r"^[ \t]*\[(?:source|,)", line) and nxt.strip() in {"----", "...."}:
            lang = (re.findall(r"\[\w*,\s*([\w-]+)", line) or [""])[0]
            title = md.title(line) if "=" in line else ""
            return self._delimited(i + 1, nxt.strip(), lang, title)
        u = None
        if (
            nxt[:1] in md.UNDERLINES
            and line[0] not in " \t"
            and not md.BULLET.match(line)
            and not md.UNDERLINE.match(line)
        ):
            u = md.UNDERLINE.match(nxt)
        if u is not None and (u.group(1) not in "`~" or len(nxt.strip()) >= max(4, len(line.strip()))):
            mark = u.group(1)
            if mark not in self.levels:
                self.levels.append(mark)
            self._heading(self.levels.index(mark) + 1, line, i)
            return i + 2
        if (head in md.TABS or "<summary>" in line) and (m := md.TAB.match(line)):
            title = next((g for g in m.groups() if g), "")
            if head == ":" and self.state.tab is not None and self.ctx.title_side(title) is None:
                return i + 1  # a note in a tab
            self.state.tab = (md.without_tags(title), i)
            self.state.tab_indent = len(line) - len(line.lstrip()) if m["a"] or m["b"] or m["f"] else -1
            self.state.forget()
            self.sections.append((self.starts[i], self._section(self.state)))
            return i + 1
        if line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
            self._say(i, line)
            indent = len(line) - len(line.lstrip())
            return self._indented(i + 1, indent, "") if self._is_indented(i + 1, indent) else i + 1
        if re.match(r"^(?: {4}|\t)", line) and TOKEN_RE.search(line) and not md.LIST.match(line):
            return self._code_block(i)
        if TOKEN_RE.search(line):
            self._inline(i, line)
        self._say(i, line)
        return i + 1

    def _tab_ends(self, line: str) -> bool:
        """Whether ``line`` is behind the current tab: it closes the tab, or is indented less than its content."""
        if self.state.tab_indent < 0:
            return md.CLOSED.match(line) is not None
        return len(line) - len(line.lstrip()) <= self.state.tab_indent

    def _say(self, i: int, line: str) -> None:
        """Add a line to the paragraph, or begin a new one with it."""
        if line.strip():
            if self.fences and len(self.again) < _MANY and md.AGAIN.search(line):
                self.again.append((i, self.state.copy()))
            if self.state.said and self.state.said[-1][0] != i - 1:
                below = self.lines[i + 1] if i + 1 < len(self.lines) else ""
                items = [unit.text for unit in above.units([text for _, text in self.state.said]) if unit.item]
                goes_on = above.is_item(line) or line[0] in " \t" or below.lstrip(" \t>").startswith(": ")
                if goes_on:
                    self.state.beside += items  # in place: a list may be long
                else:
                    self.state.beside = []
                self.state.said = []
            self.state.said.append((i, line.strip()))

    # -- blocks -------------------------------------------------------------------------------------------------------

    def _block(
        self, first: int, last: int, strip: int, quote: bool, lang: str, title: str = "", titled: int = 0
    ) -> None:
        """Read lines ``first`` to ``last`` (not included), ``strip`` columns of indentation taken off, as ``lang``. The block's
        own ``title`` stands in line ``titled``."""
        block = md.Block(first, last, strip, quote, lang, title, self.state.copy())
        self.blocks.append(block)
        self.state.forget()
        span = self._span(block)
        if "kv_both" not in self.t.s[span[0] : span[1]]:
            return
        body = self._body(block)
        kind, named = self._kind(block, body), self._file_of(block, body)
        owner = self._owner(block.state, block)
        if title and title != named:
            owner = self._titled(kinds.TITLE, title, owner, titled)
        scope = self.fences[first] = Scope("fence", title, owner)
        if named:
            scope.kind, scope.name, scope.only_doubts = "file", named, True
            scope.find_uses = partial(self._mentions, span, named.rsplit("/", 1)[-1])
        if named:
            what = kinds.FILE_TITLE if title == named else kinds.FILE_NAMED
            scope.cues += self.ctx.name_cues(what, named, self.t.at(self.starts[first]))
        if names := md.SETS.findall(body.s):
            scope = Scope("variable", names[0], scope, list(owner.cues), only_doubts=True)
            scope.find_uses = partial(self._later_uses, names[0], span)
        beyond, self.ctx.elsewhere = self.ctx.elsewhere, partial(self._mentions, span)
        try:
            self.out += self.ctx.read(body, scope, kind)
        finally:
            self.ctx.elsewhere = beyond

    def _span(self, block: md.Block) -> tuple[int, int]:
        return self.starts[block.first], self.starts[block.last]

    def _body(self, block: md.Block) -> Text:
        """The text of a block without its indentation and quote marks."""
        parts: list[Text] = []
        for k in range(block.first, block.last):
            a, b = self.starts[k], self.starts[k + 1]
            line = self.t.s[a:b]
            cut = 0
            if block.quote and (m := re.match(r"(?:[ \t]*>)+ ?", line)):
                cut = m.end()
            while cut < len(line) and cut < block.strip and line[cut] in " \t":
                cut += 1
            parts.append(self.t.slice(a + cut, b))
        return join(parts)

    def _kind(self, block: md.Block, body: Text) -> str:
        """The language a block is read as; empty for: find out."""
        kind = registry.FENCES.get(block.lang.lower(), "") or registry.lang_of_name(_file(block.title))
        if not kind and sniff.looks_logged(body.s):
            kind = "shell" if sniff.typed(body.s) else "log"
        if kind == "python" and re.match(r"\s*(?:vllm serve|python3? |CUDA_|export |#!.*sh)", body.s):
            kind = "shell"
        if kind == "json" and not body.s.lstrip().startswith(("{", "[", "/")):
            kind = ""
        return kind

    def _file_of(self, block: md.Block, body: Text) -> str:
        """The name of the file that a block is said to be, in its title, its first comment, or right above it; or empty."""
        if named := _file(block.title):
            return named
        state, kind = block.state, self._kind(block, body) or sniff.language(body.s)
        first = body.s.lstrip().split("\n", 1)[0]
        said = [first if first.startswith(("#", "//")) else "", state.said[-1][1] if state.said else ""]
        said += [state.tab[0] if state.tab else "", state.headings[-1][1] if state.headings else ""]
        for words in said:
            names = md.file_names(words)
            if len(names) == 1 and registry.lang_of_name(name := names.pop()) == kind:
                return name
        return ""

    def _mentions(self, own: tuple[int, int], name: str) -> list[Scope]:
        """The owners that hold a cue of each place in the text, or in a block other than ``own``, that has the name ``name``."""
        out: list[Scope] = []
        spans = [self._span(block) for block in self.blocks]
        for block, span in zip(self.blocks, spans, strict=True):
            if span != own and name in self.t.s[span[0] : span[1]]:
                body = self._body(block)
                lang = self._kind(block, body) or sniff.language(body.s)
                if lang != "log":  # it tells what was, and puts nothing to use
                    out += mentions.owners(lang, body, name, self._owner(block.state), self.ctx)
        for i in mentions.places(self.t.s, name):
            if not any(a <= i < b for a, b in spans):
                out.append(self._spoken(i))
        return [scope for scope in out if any(s.cues for s in scope.chain() if s.up is not None)]

    def _fence(self, i: int, m: re.Match[str]) -> int:
        fence, info = m.group("fence"), m.group("info").strip()
        close = re.compile(rf"^[ \t>]*{re.escape(fence[0])}{{{len(fence)},}}[ \t]*\r?$")
        end = i + 1
        while end < len(self.lines) and not close.match(self.lines[end]):
            end += 1
        lang = (re.match(r"[\w+#.-]*", info) or re.match("", "")).group() if info else ""  # type: ignore[union-attr]
        if d := md.CODE_FENCE_DIRECTIVE.match(info):
            lang = d.group(1)
        elif info.startswith("{.") or info.startswith("{ ."):
            lang = (re.findall(r"\.(\w+)", info) or [""])[0]
        lead = m.group("lead")
        first, title, titled = self._options(i + 1, end) if d else (i + 1, "", i)
        self._block(first, end, len(lead), ">" in lead, lang, title or md.title(info), titled)
        return end + 1

    def _options(self, i: int, end: int) -> tuple[int, str, int]:
        """The line behind a directive's options, which begin in line ``i`` at the earliest; its caption, and the line of that."""
        caption, at = "", i - 1
        while i < end and (not self.lines[i].strip() or md.OPTION.match(self.lines[i])):
            if (m := md.OPTION.match(self.lines[i])) and m.group("name") == "caption":
                caption, at = m.group("value"), i
            i += 1
        return i, caption, at

    def _is_indented(self, i: int, indent: int) -> bool:
        while i < len(self.lines) and not self.lines[i].strip():
            i += 1
        return i < len(self.lines) and len(self.lines[i]) - len(self.lines[i].lstrip()) > indent

    def _indented(self, i: int, indent: int, lang: str) -> int:
        """Read the body of a directive or literal block: the lines from ``i`` on that are indented by more than ``indent``."""
        i, title, titled = self._options(i, len(self.lines))
        first = i
        while i < len(self.lines):
            line = self.lines[i]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            i += 1
        if first < i:
            line = self.lines[first]
            self._block(first, i, len(line) - len(line.lstrip()), False, lang, title, titled)
        return max(i, first)

    def _delimited(self, i: int, mark: str, lang: str, title: str) -> int:
        end = i + 1
        while end < len(self.lines) and self.lines[end].strip() != mark:
            end += 1
        self._block(i + 1, end, 0, False, lang, title, i - 1)
        return end + 1

    def _code_block(self, i: int) -> int:
        """Read the indented code block that line ``i`` is in."""
        first, last = i, i + 1
        while (
            first > 0 and re.match(r"^(?: {4}|\t)", self.lines[first - 1]) and not md.LIST.match(self.lines[first - 1])
        ):
            first -= 1
        while last < len(self.lines) and (re.match(r"^(?: {4}|\t)", self.lines[last]) or not self.lines[last].strip()):
            last += 1
        said = [x for x in self.state.said if x[0] < first]
        self.state.said = said
        line = self.lines[first]
        self._block(first, last, len(line) - len(line.lstrip()), False, "")
        return last

    def _inline(self, i: int, line: str) -> None:
        """Read the inline code of line ``i``, owned by the sentence round it, and the objects that stand in the text itself."""
        base = self.starts[i]
        bare = md.INLINE.sub(" ", _ABOUT_CODE.sub(_without_remark, line))
        scope = Scope("line", "", self._section(self.state))
        said = self.state.said
        if (
            said
            and said[-1][0] == i - 1
            and (said[-1][1].endswith((":", "：")) or said[-1][1].startswith("* - ") or bare.lstrip().startswith(": "))
        ):
            bare = f"{said[-1][1]} {bare}"  # "Prefill worker:" and the code on the line below, or in the same row
        side = prose_side(bare)
        if side in (Side.PREFILL, Side.DECODE):
            assert side is not None
            titled = self.ctx.title_side(bare.lstrip("-*+ |")) is side
            scope.cues.append(
                (kinds.SENTENCE if titled else kinds.REMARK).cue(side, bare.strip()[:80], self.t.at(base))
            )
        elif {Side.PREFILL, Side.DECODE} <= prose_sides(bare):
            scope.cues.append(kinds.SENTENCE.cue(Side.SHARED, bare.strip()[:80], self.t.at(base)))
        pieces = [m for m in md.INLINE.finditer(line) if TOKEN_RE.search(m.group(2))]
        covered = [(m.start(2), m.end(2)) for m in pieces]
        bare_tokens = [m for m in TOKEN_RE.finditer(line) if not any(a <= m.start() < b for a, b in covered)]
        several = self._each(line, base, scope, [*covered, *(m.span() for m in bare_tokens)]) if len(pieces) > 1 else {}
        for a, b in covered:
            owner = several.get(a, scope)
            if (top := self._top(i)) < i and (head := md.column(self.lines, top, i, a)):
                owner = self._titled(kinds.COLUMN, head, owner, top)
            body = self.t.slice(base + a, base + b)
            found = self.ctx.read(body, owner)
            run = _SETS_FOR.match(body.s) is not None
            self.out += [s if s.kind == "role" and (s.connector or run) else Site(s.pos, owner, "prose") for s in found]
        # An object in the text itself is a config: someone wrote a command without a code block.
        held = (
            {s.pos: s for s in self.ctx.read(self.t.slice(base, base + len(line)), scope, "json")}
            if bare_tokens
            else {}
        )
        for tok in bare_tokens:
            pos = self.t.at(base + tok.start())
            site = held.get(pos)
            config = site is not None and site.kind == "role" and site.connector
            self.out.append(site if site is not None and config else Site(pos, scope, "prose"))

    def _top(self, i: int) -> int:
        """The first line of the table that line ``i`` is in; ``i`` itself where it is in none."""
        first = i
        while first > 0 and md.ROW.match(self.lines[first - 1]):
            first = self.row[1] if self.row[0] == first - 1 else first - 1
        self.row = (i, first)
        return first

    def _each(self, line: str, base: int, own: Scope, spans: list[tuple[int, int]]) -> dict[int, Scope]:
        """The owners of several configs in one line, by where they begin: what the words between them say of each.

        Unless each has a title of its own ("Start prefill with ... and decode with ..."), what is said is a remark, or of both
        as ``own`` has it, the owner of the line.
        """
        said: dict[int, Side | None] = {}
        remarked: dict[int, frozenset[Side]] = {}
        end = 0
        for a, b in sorted(spans):
            words = _JOINED.sub("", line[end:a].strip("`-*+ |"))
            said[a], remarked[a] = self.ctx.title_side(words), prose_sides(words)
            end = b
        titled = all(side in (Side.PREFILL, Side.DECODE) for side in said.values())
        if not titled and any(c.side is Side.SHARED for c in own.cues):
            return {}
        out: dict[int, Scope] = {}
        for a, title in said.items():
            side = title if titled else next(iter(remarked[a])) if len(remarked[a]) == 1 else None
            out[a] = Scope("line", "", self._section(self.state))
            if side is not None:
                kind = kinds.SENTENCE if titled else kinds.REMARK
                out[a].cues.append(kind.cue(side, line.strip()[:80], self.t.at(base)))
        return out


class _Outline(_Document):
    """The headings of a document, lines of bold letters among them: their indices and levels."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        super().__init__(t, up, ctx)
        self.headings: list[tuple[int, int]] = []

    def _heading(self, level: int, title: str, i: int) -> None:  # noqa: ARG002 (a document's own has it)
        self.headings.append((self.starts[i], level))

    def _say(self, i: int, line: str) -> None:
        if "**" in line and md.BOLD.match(line):
            self.headings.append((self.starts[i], md.LOWEST))

    def _block(self, *_: object) -> None: ...

    def _inline(self, *_: object) -> None: ...


def _file(title: str) -> str:
    """A block's title if it is the name of a file, else empty."""
    is_name = " " not in title and ("." in title or "/" in title or registry.lang_of_name(title))
    return title if is_name else ""


def _without_remark(m: re.Match[str]) -> str:
    """A piece of code without the brackets behind it, which are about that code alone: ``--enforce-eager`` (prefill)."""
    return m.group() if TOKEN_RE.search(m.group(1)) else m.group(1)


DOCUMENT = _Documents()
