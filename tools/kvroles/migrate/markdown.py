"""Documents: fences, literal blocks and inline code in Markdown, MyST, reStructuredText and AsciiDoc.

What a reader sees before a block says which side it is: its headings, its tab, the sentence right above it.
"""

from __future__ import annotations

import re
from functools import partial

from kvroles.migrate import values
from kvroles.migrate.context import FileCtx
from kvroles.migrate.model import Cue, Scope, Side, Site, Weight
from kvroles.migrate.text import TOKEN_RE, Text, join
from kvroles.migrate.words import both_said, excludes, joined, name_sides, prose_side, prose_sides, title_side

_FENCE = re.compile(
    r"^(?P<lead>[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,}|:{3,})[ \t]*(?P<info>[^`\n\r]*)\r?$"
)
_ATX = re.compile(r"^[ \t>]{0,3}(?P<level>#{1,6}|={2,6}(?![ \t]*\x22))[ \t]+(?P<title>.*\S)[ \t]*\r?$")
_UNDERLINE = re.compile(r"^([=\-~^\"'`#*+])\1{2,}[ \t]*\r?$")
_DIRECTIVE = re.compile(
    r"^(?P<indent>[ \t]*)\.\.[ \t]+(?:code-block|code|sourcecode|parsed-literal|highlight)::[ \t]*(?P<lang>\S*)"
)
_TAB = re.compile(
    r"""(?x) ^[ \t]*(?: ===\+?[!+]?[ \t]*"(?P<a>[^"]+)"
    | \.\.[ \t]+(?:tab-item|tab|group-tab)::[ \t]*(?P<b>.+)
    | :{3,}\{?(?:tab-item|tab)\}?[ \t]+(?P<c>.+)
    | <(?:TabItem|Tab|Accordion)\b[^>]*?(?:label|title)="(?P<d>[^"]+)"
    | .*<summary>(?P<e>.*?)</summary>
    | (?:\?\?\?\+?|!!!)[ \t]+\w+[ \t]+"(?P<f>[^"]+)" )"""
)
_CLOSED = re.compile(r"[ \t]*(?:.*</(?:details|TabItem|Tab|Accordion)>|:{3,}[ \t]*$)")
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
_SPECIAL = frozenset("`~:#=.<?![-*+0123456789|")
_UNDERLINES = frozenset("=-~^\"'`#*+")
_LIST = re.compile(r"^[ \t>]*(?:[-*+]|\d+[.)])[ \t]+")
_CODE_FENCE_DIRECTIVE = re.compile(r"^\{(?:code-block|code|sourcecode|literalinclude|parsed-literal)\}[ \t]*(\S*)")


class _State:
    def __init__(self) -> None:
        self.headings: list[tuple[int, str, int]] = []  # level, title, line
        self.tab: tuple[str, int] | None = None
        self.tab_indent = -1  # how far in a tab stands that its content's indentation ends; -1 for one closed by a mark
        self.said: list[tuple[int, str]] = []  # the paragraph above: (index, line)


def scan(t: Text, up: Scope, ctx: FileCtx) -> list[Site]:
    """The sites in a document."""
    return _Document(t, up, ctx).sites()


_FIRST = re.compile(
    r"(?i)^\W*(?:first|now|next|then)?\W*(?:start|launch|run|serve|bring|deploy)\w*\b.*\b(?:same|then|again)\b"
)
_SETS = re.compile(r"(?m)^[ \t]*(?:export[ \t]+)?(\w+)=.*kv_both")
_OTHER = re.compile(r"(?i)\b(?:partner|peer|counterpart|opposite|other|another)\b|对端|另一")


def _of_the_other(text: str) -> bool:
    """Whether a text's last sentence turns, by no name, to the other of the side that those before it were about."""
    sentences = re.split(r"(?<=[.!?])\s+|(?<=[。！？])", text.strip())
    return len(sentences) > 1 and _OTHER.search(sentences[-1]) is not None and not prose_sides(sentences[-1])


class _Document:
    def __init__(self, t: Text, up: Scope, ctx: FileCtx) -> None:
        self.t, self.up, self.ctx = t, up, ctx
        self.state = _State()
        self.out: list[Site] = []
        self.starts = [0] + [m.end() for m in re.finditer("\n", t.s)]
        if self.starts[-1] == len(t.s):
            self.starts.pop()
        self.levels: list[str] = []
        self.sections: list[tuple[int, Scope]] = []  # where each begins, and the scope of its headings

    def sites(self) -> list[Site]:
        i = 0
        while i < len(self.starts):
            i = self._line(i)
        return self.out

    def _raw(self, i: int) -> str:
        end = self.starts[i + 1] if i + 1 < len(self.starts) else len(self.t.s)
        return self.t.s[self.starts[i] : end].rstrip("\n")

    def _line(self, i: int) -> int:
        line = self._raw(i)
        head = line.lstrip(" \t\r>")[:1]
        if not head:
            return i + 1
        if self.state.tab is not None and self._tab_ends(line):
            self.state.tab = None
        nxt = self._raw(i + 1) if i + 1 < len(self.starts) else ""
        if head not in _SPECIAL and nxt[:1] not in _UNDERLINES and "::" not in line and "kv_both" not in line:
            self._say(i, line)
            return i + 1
        if m := _FENCE.match(line):
            colons = m.group("fence").startswith(":")
            if not colons or re.match(r"\{(?:code-block|code)", m.group("info")):
                return self._fence(i, m)
        if m := _DIRECTIVE.match(line):
            return self._indented(i + 1, len(m.group("indent")), m.group("lang"))
        if m := _ATX.match(line):
            self._heading(len(m.group("level")), m.group("title"), i)
            return i + 1
        if re.match(r"^[ \t]*\[(?:source|,)", line) and nxt.strip() in {"----", "...."}:
            lang = (re.findall(r"\[\w*,\s*([\w-]+)", line) or [""])[0]
            return self._delimited(i + 1, nxt.strip(), lang)
        u = _UNDERLINE.match(nxt) if not line.startswith((" ", "\t")) and not _UNDERLINE.match(line) else None
        if u is not None and (u.group(1) not in "`~" or len(nxt.strip()) >= max(4, len(line.strip()))):
            mark = u.group(1)
            if mark not in self.levels:
                self.levels.append(mark)
            self._heading(self.levels.index(mark) + 1, line, i)
            return i + 2
        if m := _TAB.match(line):
            title = next((g for g in m.groups() if g), "")
            self.state.tab = (re.sub(r"<[^>]+>", "", title), i)
            self.state.tab_indent = len(line) - len(line.lstrip()) if m["a"] or m["b"] or m["f"] else -1
            self.state.said = []
            return i + 1
        if line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
            self._say(i, line)
            indent = len(line) - len(line.lstrip())
            return self._indented(i + 1, indent, "") if self._is_indented(i + 1, indent) else i + 1
        if re.match(r"^(?: {4}|\t)", line) and TOKEN_RE.search(line) and not _LIST.match(line):
            return self._code_block(i)
        if TOKEN_RE.search(line):
            self._inline(i, line)
        self._say(i, line)
        return i + 1

    def _tab_ends(self, line: str) -> bool:
        if self.state.tab_indent < 0:
            return _CLOSED.match(line) is not None
        return len(line) - len(line.lstrip()) <= self.state.tab_indent

    def _say(self, i: int, line: str) -> None:
        if line.strip():
            if self.state.said and self.state.said[-1][0] != i - 1:
                self.state.said = []
            self.state.said.append((i, line.strip()))

    # -- owners -------------------------------------------------------------------------------------------------------

    def _titled(self, kind: str, title: str, up: Scope, i: int) -> Scope:
        scope = Scope(kind, title, up)
        side = title_side(title) or (prose_side(title) if len(title.split()) <= 10 and not excludes(title) else None)
        if side is not None:
            scope.cues.append(Cue(side, Weight.SAID, kind, title.strip()[:80], self.t.at(self.starts[i])))
        return scope

    def _heading(self, level: int, title: str, i: int) -> None:
        while self.state.headings and self.state.headings[-1][0] >= level:
            self.state.headings.pop()
        self.state.tab = None
        self.state.said = []
        self.state.headings.append((level, title, i))
        self.sections.append((self.starts[i], self._section()))

    def _section(self) -> Scope:
        """The scope of the headings and the tab that stand over what comes next."""
        scope = self.up
        for _, title, i in self.state.headings:
            scope = self._titled("heading", title, scope, i)
        if self.state.tab is not None:
            scope = self._titled("tab", self.state.tab[0], scope, self.state.tab[1])
        return scope

    def _owner(self) -> Scope:
        """The scope of a block that starts here: section, tab, and the paragraph right above."""
        scope = self._section()
        said = self.state.said
        if not said:
            return scope
        lines = [re.sub(r"<!--|-->|\*\*|__|`[^`]*`", " ", text) for _, text in said]
        lines = [ln for ln in lines if ln.strip()]
        if not lines:
            return scope
        whole = " ".join(lines)
        side = title_side(lines[-1]) or (title_side(whole) if len(lines) > 1 else None)
        if side is not None and _of_the_other(whole):
            side = None
        first = next(iter(prose_sides(whole) & {Side.PREFILL, Side.DECODE}), None)
        if side is None and first is not None and prose_sides(whole) == {first} and _FIRST.match(lines[-1]):
            # "First start prefill, then the same": of which of the two is the block?
            place = self.t.at(self.starts[said[-1][0]])
            both = [Cue(s, Weight.SAID, "text above", lines[-1].strip()[:80], place) for s in (first, first.other)]
            return Scope("paragraph", "", scope, both)
        scope = Scope("paragraph", "", scope)
        if side is not None:
            scope.cues.append(
                Cue(side, Weight.SAID, "text above", lines[-1].strip()[:80], self.t.at(self.starts[said[-1][0]]))
            )
        elif both_said(lines[-1]) or (
            {Side.PREFILL, Side.DECODE} <= prose_sides(whole)
            and (re.search(r"(?i)\b(?:both|each|all|every|same)\b|两|双方|両方|모두", whole) or joined(lines[-1]))
        ):
            scope.cues.append(
                Cue(Side.SHARED, Weight.SAID, "text above", lines[-1].strip()[:80], self.t.at(self.starts[said[-1][0]]))
            )
        return scope

    # -- blocks -------------------------------------------------------------------------------------------------------

    def _block(self, first: int, last: int, strip: int, quote: bool, lang: str, info: str = "") -> None:
        """Read lines ``first`` to ``last`` (not included), ``strip`` columns of indentation taken off, as ``lang``."""
        parts: list[Text] = []
        for k in range(first, last):
            a = self.starts[k]
            b = self.starts[k + 1] if k + 1 < len(self.starts) else len(self.t.s)
            line = self.t.s[a:b]
            cut = 0
            if quote and (m := re.match(r"(?:[ \t]*>)+ ?", line)):
                cut = m.end()
            while cut < len(line) and cut < strip and line[cut] in " \t":
                cut += 1
            parts.append(self.t.slice(a + cut, b))
        said, self.state.said = self.state.said, []
        if not any("kv_both" in p.s for p in parts):
            return
        body = join(parts)
        self.state.said = said
        scope = Scope("fence", info, self._owner())
        if names := _SETS.findall(body.s):
            span = (self.starts[first], self.starts[last] if last < len(self.starts) else len(self.t.s))
            scope = Scope("variable", names[0], scope.up, list(scope.up.cues) if scope.up else [])
            scope.find_uses, scope.only_doubts = partial(self._later_uses, names[0], span), True
        self.state.said = []
        title = re.search(r"(?:title|filename|file|name)\s*=\s*[\"']?([^\"'\s}]+)", info)
        named = title.group(1) if title else ""
        if named and len(sides := name_sides(named)) == 1:
            scope.cues.append(Cue(next(iter(sides)), Weight.NAMED, "title", named, self.t.at(self.starts[first])))
        self.ctx.depth += 1
        try:
            kind = values.LANGS.get(lang.lower(), "") or (values.lang_of_name(named) if named else "")
            if not kind and values.looks_logged(body.s):
                kind = "log"
            if kind == "python" and re.match(r"\s*(?:vllm serve|python3? |CUDA_|export |#!.*sh)", body.s):
                kind = "shell"
            if kind == "json" and not body.s.lstrip().startswith(("{", "[", "/")):
                kind = ""
            self.out += values.scan_as(kind, body, scope, self.ctx) if self.ctx.depth < 12 else []
        finally:
            self.ctx.depth -= 1

    def _later_uses(self, name: str, own: tuple[int, int]) -> list[Scope]:
        """The sections in which a variable that one block sets is used by another."""
        out: list[Scope] = []
        for m in re.finditer(rf"\$\{{?{name}\b", self.t.s):
            if not own[0] <= m.start() < own[1]:
                section = [scope for start, scope in self.sections if start <= m.start()]
                out.append(Scope("use", name, section[-1] if section else None, place=self.t.at(m.start())))
        return out

    def _fence(self, i: int, m: re.Match[str]) -> int:
        fence, info = m.group("fence"), m.group("info").strip()
        close = re.compile(rf"^[ \t>]*{re.escape(fence[0])}{{{len(fence)},}}[ \t]*\r?$")
        end = i + 1
        while end < len(self.starts) and not close.match(self._raw(end)):
            end += 1
        lang = (re.match(r"[\w+#.-]*", info) or re.match("", "")).group() if info else ""  # type: ignore[union-attr]
        if d := _CODE_FENCE_DIRECTIVE.match(info):
            lang = d.group(1)
        elif info.startswith("{.") or info.startswith("{ ."):
            lang = (re.findall(r"\.(\w+)", info) or [""])[0]
        lead = m.group("lead")
        self._block(i + 1, end, len(lead), ">" in lead, lang, info)
        return end + 1

    def _is_indented(self, i: int, indent: int) -> bool:
        while i < len(self.starts) and not self._raw(i).strip():
            i += 1
        return i < len(self.starts) and len(self._raw(i)) - len(self._raw(i).lstrip()) > indent

    def _indented(self, i: int, indent: int, lang: str) -> int:
        """A directive's or literal block's body: everything indented deeper."""
        while i < len(self.starts) and (not self._raw(i).strip() or re.match(r"^[ \t]+:[\w-]+:", self._raw(i))):
            i += 1
        first = i
        while i < len(self.starts):
            line = self._raw(i)
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            i += 1
        if first < i:
            line = self._raw(first)
            self._block(first, i, len(line) - len(line.lstrip()), False, lang)
        return max(i, first)

    def _delimited(self, i: int, mark: str, lang: str) -> int:
        end = i + 1
        while end < len(self.starts) and self._raw(end).strip() != mark:
            end += 1
        self._block(i + 1, end, 0, False, lang)
        return end + 1

    def _code_block(self, i: int) -> int:
        """An indented code block around line ``i``: its neighbours indented as deep."""
        first, last = i, i + 1
        while first > 0 and re.match(r"^(?: {4}|\t)", self._raw(first - 1)) and not _LIST.match(self._raw(first - 1)):
            first -= 1
        while last < len(self.starts) and (re.match(r"^(?: {4}|\t)", self._raw(last)) or not self._raw(last).strip()):
            last += 1
        said = [x for x in self.state.said if x[0] < first]
        self.state.said = said
        line = self._raw(first)
        self._block(first, last, len(line) - len(line.lstrip()), False, "")
        return last

    def _inline(self, i: int, line: str) -> None:
        """Configs in inline code: the sentence around them says the side."""
        base = self.starts[i]
        bare = _INLINE.sub(" ", line)
        scope = Scope("line", "", self._section())
        said = self.state.said
        if said and said[-1][0] == i - 1 and (said[-1][1].endswith((":", "：")) or bare.lstrip().startswith(": ")):
            bare = f"{said[-1][1]} {bare}"  # "Prefill worker:" and the code on the line below
        side = prose_side(bare)
        if side in (Side.PREFILL, Side.DECODE):
            assert side is not None
            scope.cues.append(Cue(side, Weight.SAID, "sentence", bare.strip()[:80], self.t.at(base)))
        elif {Side.PREFILL, Side.DECODE} <= prose_sides(bare):
            scope.cues.append(Cue(Side.SHARED, Weight.SAID, "sentence", bare.strip()[:80], self.t.at(base)))
        covered: list[tuple[int, int]] = []
        for m in _INLINE.finditer(line):
            a, b = m.start(2), m.end(2)
            covered.append((a, b))
            if TOKEN_RE.search(m.group(2)):
                body = self.t.slice(base + a, base + b)
                found = values.scan(body, scope, self.ctx)
                self.out += [s if s.kind == "role" and s.connector else Site(s.pos, scope, "prose") for s in found]
        for tok in TOKEN_RE.finditer(line):
            if not any(a <= tok.start() < b for a, b in covered):
                self.out.append(Site(self.t.at(base + tok.start()), scope, "prose"))
