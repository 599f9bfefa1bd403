"""The signs by which a document's lines are known (fences, headings, tabs), and what its sentences say of a block below."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvroles.evidence.frames import Side
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import announces, depends, excludes
from kvroles.evidence.prose import prose_sides, sentences

FENCE = regex(
    r"^(?P<lead>[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,}|:{3,})[ \t]*(?P<info>[^`\n\r]*)\r?$"
)
ATX = regex(r"^[ \t>]{0,3}(?P<level>#{1,6}|={2,6}(?![ \t]*\x22))[ \t]+(?P<title>.*\S)[ \t]*\r?$")
BOLD = regex(r"[ \t>]*\*\*[^*]+\*\*:?[ \t]*\r?$")
LOWEST = 7  # of the levels of headings: a line of bold letters
HTML_HEADING = regex(r"(?i)^[ \t]*<h(?P<level>[1-6])\b[^>]*>(?P<title>.*?)</h[1-6]>")
UNDERLINE = regex(r"^([=\-~^\"'`#*+])\1{2,}[ \t]*\r?$")
DIRECTIVE = regex(
    r"^(?P<indent>[ \t]*)\.\.[ \t]+(?:code-block|code|sourcecode|parsed-literal|highlight)::[ \t]*(?P<lang>\S*)"
)
TAB = regex(
    r"""(?x) ^[ \t]*(?: ===\+?[!+]?[ \t]*"(?P<a>[^"]+)"
    | \.\.[ \t]+(?:tab-item|tab|group-tab|dropdown|admonition|topic)::[ \t]*(?P<b>.+)
    | :{3,}[ \t]*\{?[\w-]+\}?(?:\[(?P<g>[^\]]+)\][ \t]*\r?$|[ \t]+(?P<c>[^\s{].*))
    | <(?:TabItem|Tab|Accordion|Step|Card|Expandable)\b[^>]*?(?:label|title)="(?P<d>[^"]+)"
    | .*<summary>(?P<e>.*?)</summary>
    | (?:\?\?\?\+?|!!!)[ \t]+\w+[ \t]+"(?P<f>[^"]+)" )"""
)
CLOSED = regex(r"[ \t]*(?:.*</(?:details|TabItem|Tab|Accordion|Step|Card|Expandable)>|:{3,}[ \t]*$)")
INLINE = regex(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
_FILE_NAME = (
    r"(?<![\w./-])(?:[\w.-]+/)*[\w-][\w.-]*\.(?:ya?ml|json5?|env|sh|toml|conf|ini|py|cfg|service|tpl|j2)(?![\w.-]|/\w)"
)
SPECIAL = frozenset("`~:#=.<?![-*+0123456789|")
FENCES = ("```", "~~~", ":::")
TABS = frozenset("=.:<?!")
UNDERLINES = frozenset("=-~^\"'`#*+")
BULLET = regex(r"[ \t>]*[-*+•][ \t]")
LIST = regex(r"^[ \t>]*(?:[-*+]|\d+[.)])[ \t]+")
OPTION = regex(r"^[ \t]*:(?P<name>[\w-]+):[ \t]*(?P<value>.*?)[ \t]*\r?$")
ROW = regex(r"^[ \t>]*\|")
_CELLS = regex(r"(?<!\\)\|")
DELIMITERS = regex(r"[ \t>]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?::?-+:?[ \t]*)?\r?$")
CODE_FENCE_DIRECTIVE = regex(r"^\{(?:code-block|code|sourcecode|literalinclude|parsed-literal)\}[ \t]*(\S*)")

FIRST = regex(
    r"(?i)^\W*(?:first|now|next|then)?\W*(?:start|launch|run|serve|bring|deploy)\w*\b.*\b(?:same|then|again)\b"
)
# Said of a block above: what it holds is run once more as it is, unless the sentence says the role.
AGAIN = regex(
    r"(?i)\b(?:same|identical)\s+(?:[\w-]+\s+)?(?:command|invocation|config\w*|flags?|arg(?:ument)?s?|options?|settings?|steps?|thing|snippet|script"
    r"|way|as\s+(?:above|before|for|on|in))\b|\brepeat\b|\bditto\b|\bas\s+above\b"
)
ROLE = regex(r"kv_(?:role|producer|consumer|both)|\brole\b")
# The end of a sentence that gives what stands below: "on the prefill host run", "the prefill command is".
GIVES = regex(
    r"(?i)\b(?:is|run|use|execute|enter|type|issue)(?:\s+(?:this|these|it|the\s+following))?(?:\s+commands?)?\s*$"
)
_TITLE = regex(r"""\b(?:title|caption|filename|file|name)\s*[=:]\s*(?:"([^"]*)"|'([^']*)'|([^\s"'},]+))""")
_NAMED = regex(r"[\w+#-]+:([^\s:{}]+)\s*$")
_ATTRIBUTE = regex(r"""[\w-]+=(?:"[^"]*"|'[^']*'|\{[^{}]*\}|\S+)|\{[^{}]*\}""")
SETS = regex(r"(?m)^[ \t]*(?:export[ \t]+)?(\w+)=.*kv_both")
_BELOW = (
    r"(?i)\b(?:below|(?:the|this)\s+following|this\s+(?:command|config\w*|file|is|shows|starts|one)|here\s+is)\b"
    r"|下面|以下|如下|아래"
)
OTHER = regex(r"(?i)\b(?:partner|peer|counterpart|opposite|other|another)\b|对端|另一")


class State:
    """The headings, the tab and the paragraph above the line being read."""

    def __init__(self) -> None:
        self.headings: list[tuple[int, str, int]] = []  # level, title, line
        self.tab: tuple[str, int] | None = None  # title, line
        # The tab's indentation: a line that is indented no more ends the tab. With -1 a closing mark ends it.
        self.tab_indent = -1
        self.said: list[tuple[int, str]] = []  # the lines of the paragraph above: number, text
        self.beside: list[str] = []  # the items of the same list above that, with blank lines between

    def forget(self) -> None:
        """What was said above is not said of what comes next."""
        self.said, self.beside = [], []

    def copy(self) -> State:
        """A copy for a block, whose owners may be asked for when the reader is further on."""
        state = State()
        state.headings, state.tab, state.said = list(self.headings), self.tab, list(self.said)
        state.beside = list(self.beside)
        return state


class Block(NamedTuple):
    """A fence or literal block: its lines (the last not included), the indentation to take off, its language, its own title, and
    its state."""

    first: int
    last: int
    strip: int
    quote: bool
    lang: str
    title: str
    state: State


def pointed(text: str) -> Side | None:
    """The one side that a clause gives to what stands below: "the command below is for the decode side"; or None."""
    clauses = [
        c
        for c in re.split(r"[.;:!?。；：！？]\s*", text)
        if re.search(_BELOW, c) and not excludes(c) and not depends(c)
    ]
    sides = {s for c in clauses for s in prose_sides(c) & {Side.PREFILL, Side.DECODE}}
    return sides.pop() if len(sides) == 1 else None


def asks(title: str) -> bool:
    """Whether a heading is a question, whose answer may be about the other side. "How do I start decode?" counts as none."""
    plain = title.strip("#*_ ").lower()
    if plain.startswith("why ") or "为什么" in plain or "なぜ" in plain:
        return True
    return plain.endswith(("?", "？")) and not announces(title)


def file_names(text: str) -> set[str]:
    """The names of configuration and script files in a text."""
    return {m.group() for m in re.finditer(_FILE_NAME, text)} if re.search(r"\w\.[a-z]", text) else set()


def without_files(text: str) -> str:
    """A text without its inline code and the names of files in it."""
    return re.sub(_FILE_NAME, " ", INLINE.sub(" ", text)).strip()


def title(info: str) -> str:
    """The title in what stands behind a fence's marks: of an attribute (``title="Prefill node"``), else the words behind the
    language (``bash Prefill node``, ``bash:prefill.sh``). Empty without one."""
    if m := _TITLE.search(info):
        return next(g for g in m.groups() if g is not None).strip()
    if m := _NAMED.match(info):
        return m[1]
    words = _ATTRIBUTE.sub(" ", info).split(None, 1)
    return words[1].strip() if len(words) == 2 else ""


def without_tags(text: str) -> str:
    """A text without HTML's tags."""
    return re.sub(r"<[^>]+>", "", text)


def column(lines: list[str], first: int, i: int, at: int) -> str:
    """The head of the column that index ``at`` of line ``i`` is in, of the table that begins in line ``first``, or empty."""
    if i < first + 2 or not DELIMITERS.match(lines[first + 1]):
        return ""
    heads = _CELLS.split(lines[first])
    number = len(_CELLS.split(lines[i][:at])) - 1
    return heads[number].strip() if number < len(heads) else ""


def of_the_other(text: str) -> bool:
    """Whether the last of several sentences is about "the other" side and does not name it."""
    said = sentences(text)
    return len(said) > 1 and OTHER.search(said[-1]) is not None and not prose_sides(said[-1])
