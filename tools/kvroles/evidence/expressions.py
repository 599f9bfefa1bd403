"""Conditions as trees of operators, calls and operands, in the spellings of shells, languages and templates alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from kvroles.evidence.patterns import regex

_STRING = r"r?\"(?:[^\"\\]|\\.)*\"|r?'(?:[^'\\]|\\.)*'|`[^`]*`"
_TOKEN = regex(
    rf"""(?xs)\s*(?:
      (?P<string>{_STRING})
    | (?P<op>===|!==|==|!=|<>|=~|!~|<=|>=|&&|\|\||->|=>|<<|>>|[=<>!()\[\],|^?:+*%&{{}};]|~(?!/\w)|/(?!\w))
    | (?P<flag>-{{1,2}}[A-Za-z][\w-]*)
    | (?P<word>(?:~?/|[$.@])?[\w$][\w.$@/-]*(?:(?:::|\?\.)[\w.]+)*)
    )"""
)
_NESTING = 40
_LONGEST = 400  # characters: nobody reads a longer condition, and the next may be a whole program
_AND = frozenset({"&&", "and", "-a", "-and"})
_OR = frozenset({"||", "or", "-o", "-or"})
_NOT = frozenset({"!", "not", "-not"})
EQUAL = frozenset({"==", "===", "=", "is", "eq", "-eq", "-ieq", "-ceq", "equals", "-like", "-match"})
BELOW = frozenset({"<", "<=", "-lt", "-le"})
_OTHER = frozenset({"!=", "!==", "<>", "!~", ">", ">=", "-ne", "-gt", "-ge", "-nt", "-ot", "matches"})
_GO = frozenset(
    {"and", "or", "not", "eq", "ne", "has", "hasPrefix", "hasSuffix", "contains", "list", "default", "empty"}
)
_GO |= {
    "lower",
    "upper",
    "trim",
    "quote",
    "toString",
    "hasKey",
    "index",
    "lt",
    "gt",
    "le",
    "ge",
    "len",
    "coalesce",
    "tuple",
}


class Expression(NamedTuple):
    """One operator, call or operand: ``kind`` is and, or, not, cmp, call, name, string, list or other."""

    kind: str
    word: str
    args: tuple[Expression, ...] = ()


class _UnreadError(Exception):
    """The condition is of a shape that is not known here."""


class _Parser:
    def __init__(self, words: str, *, shell: bool) -> None:
        self.shell = shell
        self.i = self.depth = 0
        self.tokens: list[tuple[str, str, bool]] = []  # kind, word, whether a blank stands before it
        at = 0
        words = words.rstrip()
        while at < len(words):
            m = _TOKEN.match(words, at)
            if m is None or m.lastgroup is None:
                raise _UnreadError
            self.tokens.append((m.lastgroup, m.group(m.lastgroup), m.start(m.lastgroup) > at))
            at = m.end()

    def whole(self) -> Expression:
        node = self._any()
        if self.i < len(self.tokens):
            raise _UnreadError
        return node

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.i][:2] if self.i < len(self.tokens) else ("end", "")

    def _take(self, word: str) -> None:
        if self._peek()[1] != word:
            raise _UnreadError
        self.i += 1

    def _any(self) -> Expression:
        self.depth += 1
        if self.depth > _NESTING:
            raise _UnreadError
        node = self._series(_OR, "or", lambda: self._series(_AND, "and", self._not))
        self.depth -= 1
        return node

    def _series(self, ops: frozenset[str], kind: str, part: Callable[[], Expression]) -> Expression:
        parts: list[Expression] = [part()]
        while self._peek()[0] != "string" and self._peek()[1] in ops:
            self.i += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else Expression(kind, "", tuple(parts))

    def _not(self) -> Expression:
        kind, word = self._peek()
        if kind != "string" and word in _NOT and not (word == "not" and self._go_call()):
            self.i += 1
            self.depth += 1
            if self.depth > _NESTING:
                raise _UnreadError
            return Expression("not", "", (self._not(),))
        return self._compared()

    def _go_call(self) -> bool:
        """Whether a word stands before its arguments with nothing but blanks between, as in Go's templates."""
        kind, _ = self.tokens[self.i + 1][:2] if self.i + 1 < len(self.tokens) else ("end", "")
        return not self.shell and (
            kind in {"string", "word"} or self.tokens[self.i + 1 : self.i + 2] == [("op", "(", True)]
        )

    def _compared(self) -> Expression:
        left = self._operand()
        kind, word = self._peek()
        if kind == "string" or word not in EQUAL | BELOW | _OTHER | {"in", "=~", "not"}:
            return left
        self.i += 1
        if word == "is" and self._peek()[1] == "not":
            self.i += 1
            word = "!="
        elif word == "not":
            self._take("in")
            word = "!="
        return Expression("cmp", "==" if word == "eq" else word, (left, self._operand()))

    def _operand(self) -> Expression:
        node: Expression = self._plain()
        while True:
            kind, word = self._peek()
            if (kind, word) == ("op", "|"):  # a filter; in Go's templates the value becomes the last argument
                self.i += 1
                if self._peek()[0] != "word":
                    raise _UnreadError
                name = self._peek()[1]
                self.i += 1
                args: tuple[Expression, ...] = (
                    self._bracketed("(", ")") if self._peek()[1] == "(" else self._blank_arguments()
                )
                node = _called(name, (*args, node))
            elif (
                (kind, word) == ("op", "[")
                and not self.shell
                and not self.tokens[self.i][2]
                and node.kind in {"name", "index"}
            ):
                node = Expression("index", node.word, (node, *self._bracketed("[", "]")))
            else:
                return node

    def _plain(self) -> Expression:
        kind, word = self._peek()
        if kind == "string":
            self.i += 1
            held = word.lstrip("r")[1:-1]
            return Expression("name" if _VARIABLE.fullmatch(held) else "string", held)
        if kind == "flag":  # -n "$X", -f file
            self.i += 1
            inner = self._plain()
            return inner if word == "-n" else Expression("other", word, (inner,))
        if (kind, word) == ("op", "("):
            inside = self._bracketed("(", ")")
            return inside[0] if len(inside) == 1 else Expression("list", "", inside)
        if (kind, word) in {("op", "["), ("op", "{")}:
            inside = self._bracketed(word, "]" if word == "[" else "}")
            return inside[0] if self.shell and len(inside) == 1 else Expression("list", "", inside)
        if (kind, word) == ("op", "&"):  # Rust's reference
            self.i += 1
            return self._plain()
        if kind != "word":
            raise _UnreadError
        self.i += 1
        if not self.shell and self._peek()[1] == "(" and not (word in _GO and self.tokens[self.i][2]):
            return _called(word, self._bracketed("(", ")"))
        if not self.shell and word in _GO:
            return _called(word, self._blank_arguments())
        return Expression("name", word)

    def _bracketed(self, left: str, right: str) -> tuple[Expression, ...]:
        self._take(left)
        out: list[Expression] = []
        while self._peek() != ("op", right):
            out.append(self._any())
            if self._peek() == ("op", ","):
                self.i += 1
            elif self._peek() != ("op", right):
                raise _UnreadError
        self.i += 1
        return tuple(out)

    def _blank_arguments(self) -> tuple[Expression, ...]:
        out: list[Expression] = []
        while True:
            kind, word = self._peek()
            if kind == "string" or (kind == "word" and word not in _AND | _OR | EQUAL | {"in"}) or word == "(":
                if kind == "word":
                    self.i += 1
                    out.append(Expression("name", word))
                else:
                    out.append(self._plain())
            else:
                return tuple(out)


def _called(name: str, args: tuple[Expression, ...]) -> Expression:
    """A call; of Go's two that compare, the comparison."""
    if len(args) == 2 and name in {"eq", "ne"}:
        return Expression("cmp", name, args)
    if len(args) == 1 and name == "not":
        return Expression("not", "", args)
    return Expression("call", name, args)


_HEAD = regex(r"^\s*(?:if|elif|elsif|while|when|with)\b(?!\s*=)(?![.(])\s*|^\s*if\s*(?=\()")
_BRACED = regex(r"\$\{#?(\w+)(?::?[-=+?][^{}]*|,,|\^\^)?\}")
_VARIABLE = regex(r"\$[\w@*]+")
_RUN = regex(r"\$\((\w+)[^()]*\)")
_MATCHED = regex(r"=~\s*(?![\"'])(\S+)")
_MATCHES = regex(r"\bmatches!\(")  # Rust's test of a value against a pattern
_GITHUB = regex(r"^\s*\$\{\{(.*)\}\}\s*$", re.S)


@lru_cache(maxsize=1024)
def parsed(words: str, shell: bool) -> Expression | None:
    if len(words) > _LONGEST:
        return None
    if m := _GITHUB.match(words):
        words = m.group(1)
    words = _MATCHES.sub("eq(", _RUN.sub(r"$\1", words))
    words = _BRACED.sub(r"$\1", _HEAD.sub("", words.strip().rstrip(";:"), count=1))
    if shell:
        words = _MATCHED.sub(r"=~ '\1'", words)
        words = re.sub(r"(?<!\S)\[\[(?=\s)|(?<!\S)\[(?=\s)|(?<!\S)test(?=\s)(?=[^;&|]*$)", "(", words)
        words = re.sub(r"(?<=\s)\]\](?!\S)|(?<=\s)\](?=[\s;]|$)", ")", words)
        words = words.replace(";", " ")
        if words.count("(") > words.count(")"):
            words += ")" * (words.count("(") - words.count(")"))  # test's own end
        words = re.sub(r"(?<==)\s*(?:\*([\w-]+)\*?|([\w-]+)\*)(?=[\s)\"']|$)", r" \1\2", words)  # == *prefill*
    try:
        return _Parser(words, shell=shell).whole()
    except _UnreadError:
        return None
