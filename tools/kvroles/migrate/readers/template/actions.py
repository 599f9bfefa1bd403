"""Helm, Go and Jinja templates: masks their actions, so that the rest can be parsed, and finds their blocks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text

_SIGN = regex(r"\{[{%#]")  # quicker to look for than each by itself: a program has many braces
# Of an expression: what holds no brace, and a string of one line; then a mapping, in whose values there may be others.
_PLAIN = r"""[^{}"'`]|"(?:(?!\{[{%])[^"\\\n]|\\.)*"|'(?:(?!\{[{%])[^'\\\n]|\\.)*'|`(?:(?!\{[{%])[^`])*`"""
_MAPPING = rf"\{{(?![{{%#])(?:{_PLAIN}|\{{(?:{_PLAIN}|\{{(?:{_PLAIN})*\}})*\}})*\}}"
# The first of these that fits: a comment, whose apostrophes are none; an expression, whose strings and mappings may hold "}}";
# else up to the next end.
_ACTION = regex(
    rf"\{{\{{-?\s*/\*.*?\*/\s*-?\}}\}}|\{{\{{(?:{_PLAIN}|{_MAPPING}|\}}(?!\}}))*\}}\}}|\{{\{{.*?\}}\}}|\{{%.*?%\}}|\{{#.*?#\}}",
    re.S,
)
_ANY = regex(r"\{\{(?<!\$\{\{)(?:[^{}]*|(?:-?\s*[\w.$\"'(]|-?[ \t]+[\[{])[^\n]{0,2000}?)\}\}|\{%-?\s*\w+")
_CONTROL = regex(
    r"^\{[{%]-?\s*(?:end|else|if|elif|for|range|with|define|block|template|set|macro|endif|endfor|raw|endraw|/\*)\b|^\{\{-?\s*/\*|^\{#|^\{\{-?\s*\$?\w*\s*:?="
)


_NOTE = regex(r"\{#-?([^\n]*?)-?#\}|\{\{-?[ \t]*/\*([^\n]*?)\*/[ \t]*-?\}\}")
_NOTED = regex(r"(?m)^[ \t]*\{#-?(?:[ \t][^\n]*#\})?[ \t]*\r?$|\{\{-?\s*/\*")
_SETS = regex(r"\{%-?\s*set\b|\{\{-?\s*\$\w+\s*:?=")
_BELOW = regex(r"\n(?:[ \t]*\r?\n)*(?P<indent>[ \t]*)\S")


class Branch(NamedTuple):
    """A span of text in one branch of a conditional, loop or definition: where it stands, its condition, whether it is the
    ``else``."""

    start: int
    end: int
    condition: str
    negated: bool
    first: tuple[int, int] | None = None  # in an ``else`` without ``else if``: the span of the ``if``
    other: tuple[int, int] | None = None  # in an ``if`` without ``else if``: the span of the ``else``


def is_template(text: Text) -> bool:
    """Whether a text holds template actions (GitHub's ``${{ }}`` is none)."""
    first = _SIGN.search(text.s)
    return first is not None and (_ANY.search(text.s, first.start()) or _NOTED.search(text.s)) is not None


_DIRECTIVE = regex(r"%\{(~?)([ \t]*(?:if|else|endif|for|endfor)\b[^{}\n]*?)(~?)\}")


def with_directives(s: str) -> str:
    """``s`` with each directive of a Terraform template written as Jinja's of the same length: ``%{ if x ~}``, ``{% if x %}``."""
    return _DIRECTIVE.sub(_as_jinja, s) if "%{" in s else s


def _as_jinja(m: re.Match[str]) -> str:
    inside = m[2] if m[3] else m[2].removesuffix(" ") if m[2].endswith(" ") else m[2].removeprefix(" ")
    written = f"{{%{'-' if m[1] else ''}{inside}%}}"
    return written if len(written) == len(m[0]) else m[0]


def mask(s: str) -> str:
    """``s`` with every action replaced by as many characters: blanks if it is alone on its line or controls the flow, else a
    word that starts with ``__`` and keeps the action's own words. A comment on a line of its own becomes one of YAML or shell."""
    out: list[str] = []
    last = 0
    line_end = -1
    rest = False  # whether the current line holds more than actions
    for m in _ACTION.finditer(s):
        if s[max(0, m.start() - 1) : m.start()] == "$":
            continue
        if m.end() > line_end:
            line_start = s.rfind("\n", 0, m.start()) + 1
            line_end = s.find("\n", m.end())
            line_end = len(s) if line_end < 0 else line_end
            rest = bool(
                _ACTION.sub("", s[line_start : m.start()]).strip() + _ACTION.sub("", s[m.end() : line_end]).strip()
            )
        action = m.group()
        alone = not rest or _CONTROL.match(action)
        # Within a line the action's words stay, as evidence of a side: ``__prefill.name__``.
        fill = re.sub(r"[^\n]", " ", action) if alone else re.sub(r"[^\w.]", "_", action, flags=re.A)
        if not rest and (note := _NOTE.fullmatch(action)) is not None and _stands_above(s, line_start, line_end):
            a, b = note.span(note.lastindex or 1)
            fill = f"#{' ' * (a - 1)}{action[a:b]}{' ' * (len(action) - b)}"
        out.append(s[last : m.start()])
        out.append(fill)
        last = m.end()
    out.append(s[last:])
    return "".join(out)


def _stands_above(s: str, start: int, end: int) -> bool:
    """Whether what follows the line between two indices is YAML, and not indented further: to YAML a comment would end that
    text. A comment above an action that sets a variable is that variable's."""
    below = _BELOW.match(s, end)
    if below is not None and _SETS.match(s, below.end() - 1):
        return False
    line = s[start:end]
    own = len(line) - len(line.lstrip(" \t"))
    return below is not None and len(below["indent"]) <= own


@lru_cache(maxsize=8)
def actions(s: str) -> list[tuple[int, int]]:
    """The span of each action of ``s``, GitHub's ``${{ }}`` left out."""
    return [m.span() for m in _ACTION.finditer(s) if s[max(0, m.start() - 1) : m.start()] != "$"]


# A comment of Jinja's, which ``${#name}`` is not, and one of Go's.
_COMMENT = regex(r"\{#(?:-|\s).*?#\}|\{\{-?\s*/\*.*\*/\s*-?\}\}", re.S)


def is_comment(action: str) -> bool:
    """Whether an action is a comment of the template's."""
    return _COMMENT.fullmatch(action) is not None


def expressions(s: str) -> list[tuple[int, int]]:
    """The span of each expression of GitHub's, ``${{ ... }}``, that chooses between values."""
    if "${{" not in s or "&&" not in s:
        return []
    return [m.span() for m in _EXPRESSION.finditer(s) if "&&" in m.group()]


_EXPRESSION = regex(r"\$\{\{(?:'[^'\n]*'|[^'}\n]|\}(?!\}))*\}\}")
_OPEN = regex(
    r"^\{[{%][-+]?\s*(if|range|with|for|define|block|macro|raw|call|filter|autoescape|set(?=[^=]*$))\b(.*?)-?[}%]\}$",
    re.S,
)
_ELSE = regex(r"^\{[{%][-+]?\s*(?:else(?:\s*if)?|elif)\b(.*?)-?[}%]\}$", re.S)
GUARDS = 20  # of one block that are looked at: each is round all that follows
_FAILS = regex(r"\s*\{[{%]-?\s*(?:do\s+)?(?:fail|raise\w*)\b[^{}]*[}%]\}\s*")
_END = regex(
    r"^(?:\{%[-+]?\s*end\w*\b|\{\{[-+]?\s*end\b(?!\s*[^\s/}-])).*?-?[}%]\}$", re.S
)  # {{ endpoint }} ends nothing


_DEFINED = regex(r"(?:define\s+[\"`]([^\"`]+)[\"`]|macro\s+(\w+))")


def defined(b: Branch) -> str:
    """The name of the template or macro whose text a branch is; empty if it is that of none."""
    m = _DEFINED.match(b.condition)
    return (m[1] or m[2]) if m is not None else ""


@lru_cache(maxsize=8)
def branches(s: str) -> list[Branch]:
    """Every branch of every conditional, loop and definition in ``s``, in order of their start. What follows a conditional that
    fails where its condition holds is a branch too, where it does not."""
    out: list[Branch] = []
    stack: list[Branch] = []
    chained: list[bool] = []  # whether an ``else if`` has been met
    guarded: list[list[Branch]] = [[]]  # of the text, and of each branch that is open: what a guard in it lets through
    for m in _ACTION.finditer(s):
        action = m.group()
        if opened := _OPEN.match(action):
            stack.append(Branch(m.end(), -1, opened.group(1) + " " + opened.group(2).strip(), False))
            chained.append(False)
            guarded.append([])
        elif (other := _ELSE.match(action)) and stack:
            before = stack.pop()
            out += [before._replace(end=m.start()), *(guard._replace(end=m.start()) for guard in guarded[-1])]
            guarded[-1] = []
            own = other.group(1).strip()
            chained[-1] = chained[-1] or bool(own)
            first = None if chained[-1] else (before.start, m.start())
            stack.append(Branch(m.end(), -1, f"if {own}" if own else before.condition, not own, first))
        elif _END.match(action) and stack:
            closed = stack.pop()
            out += [closed._replace(end=m.start()), *(guard._replace(end=m.start()) for guard in guarded.pop())]
            alone = not chained.pop() and closed.first is None and closed.condition.startswith("if ")
            if alone and len(guarded[-1]) < GUARDS and _FAILS.fullmatch(s, closed.start, m.start()) is not None:
                guarded[-1].append(Branch(m.end(), -1, closed.condition[3:], True, (closed.start, m.start())))
    out += [guard._replace(end=len(s)) for guard in guarded[0]]
    only = {b.first[0]: (b.start, b.end) for b in out if b.first is not None}
    return sorted((b._replace(other=only.get(b.start)) for b in out), key=lambda b: b.start)


class Nest:
    """Branches, one in another: those round a place are found without going through all of them."""

    def __init__(self, branches: Sequence[Branch] = ()) -> None:
        self._branches = branches
        self._starts = [b.start for b in branches]
        self._outer: list[int] = []  # of each branch the one round it
        open_: list[int] = []
        for n, b in enumerate(branches):
            while open_ and branches[open_[-1]].end <= b.start:
                open_.pop()
            self._outer.append(open_[-1] if open_ else -1)
            open_.append(n)

    def around(self, i: int) -> list[Branch]:
        """The branches that index ``i`` is in, the outermost first."""
        out: list[Branch] = []
        n = bisect_right(self._starts, i) - 1
        while n >= 0:
            if i < self._branches[n].end:
                out.append(self._branches[n])
            n = self._outer[n]
        return out[::-1]

    def begun(self, a: int, b: int) -> Iterator[Branch]:
        """The branches that begin behind index ``a`` and before ``b``."""
        for n in range(bisect_right(self._starts, a), bisect_left(self._starts, b)):
            yield self._branches[n]


@lru_cache(maxsize=8)
def nest(s: str) -> Nest:
    """The branches of ``s``, one in another."""
    return Nest(branches(s))


@lru_cache(maxsize=8)
def _by_word(s: str) -> dict[str, list[tuple[int, int]]]:
    out: dict[str, list[tuple[int, int]]] = {}
    for a, b in actions(s):
        for word in {w for pair in _WORDS.findall(s, a, b) for w in pair if w}:
            out.setdefault(word, []).append((a, b))
    return out


_WORDS = regex(r"[\"`]([^\"`\n]+)[\"`]|(\w+)")


def with_word(s: str, word: str) -> Sequence[tuple[int, int]]:
    """The span of each action of ``s`` that has a word, or a string that is no more than that."""
    return _by_word(s).get(word.lstrip("$"), ())
