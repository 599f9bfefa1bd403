"""Conditions as trees of operators, calls and operands, in the spellings of shells, languages and templates alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from kvroles.evidence.names import mentioned, own, role_key, split_name
from kvroles.evidence.patterns import regex

_STRING = r"[rbf]?\"(?:[^\"\\]|\\.)*\"|[rbf]?'(?:[^'\\]|\\.)*'|`[^`]*`"
_TOKEN = regex(
    rf"""(?xs)\s*(?:
      (?P<string>{_STRING})
    | (?P<op>===|!==|==|!=|<>|=~|!~|<=|>=|&&|\|\||->|=>|<<|>>|[=<>!()\[\],|^?:+*%&{{}};]|~(?!/\w)|/(?!\w)|-(?=[\s\d(]))
    | (?P<flag>-{{1,2}}[A-Za-z][\w-]*)
    | (?P<word>\.(?=[\s)]|$)|(?:~?/|[$.@])?[\w$][\w.$@/-]*(?:(?:::|\?\.)[\w.]+)*)
    )"""
)
_NESTING = 40
_LONGEST = 400  # characters: nobody reads a longer condition, and the next may be a whole program
_ARITHMETIC = frozenset("+-*/%")
_AND = frozenset({"&&", "and", "-a", "-and"})
_OR = frozenset({"||", "or", "-o", "-or"})
_NOT = frozenset({"!", "not", "-not"})
EQUAL = frozenset({"==", "===", "=", "is", "eq", "-eq", "-ieq", "-ceq", "equals", "-like", "-match"})
BELOW = frozenset({"<", "<=", "-lt", "-le"})
_COMPARES = EQUAL | BELOW | {"!=", "!==", "<>", "!~", ">", ">=", "-ne", "-gt", "-ge", "-nt", "-ot", "matches"}
_COMPARES |= {"in", "=~", "not"}  # not: "not in"
_BETWEEN = _AND | _OR | EQUAL | _COMPARES | {"if", "else", "for"}  # words between two operands
# Calls that give what they are called of, but for its case, blanks and type.
KEEPS = frozenset(
    {"lower", "upper", "strip", "trim", "casefold", "toString", "toLowerCase", "toUpperCase", "to_lowercase", "to_uppercase",
     "as_str", "unwrap", "clone", "ToLower", "ToUpper"}
)  # fmt: skip
# Functions of Go's templates: their arguments stand behind them without brackets.
_GO = frozenset(
    {"and", "or", "not", "eq", "ne", "has", "hasPrefix", "hasSuffix", "contains", "list", "default", "empty", "lower", "upper",
     "trim", "quote", "toString", "hasKey", "index", "lt", "gt", "le", "ge", "len", "coalesce", "tuple"}
)  # fmt: skip


class Expression(NamedTuple):
    """One operator, call or operand: ``kind`` is and, or, not, cmp, call, index, name, string, list or other.

    ``word`` is what is compared by, called or named.
    """

    kind: str
    word: str
    args: tuple[Expression, ...] = ()


class _UnreadError(Exception):
    """The condition is of a shape that is not known here."""


class _Token(NamedTuple):
    """One word of a condition: ``kind`` is string, op, flag, word, or end behind the last; ``spaced``: behind a blank."""

    kind: str
    word: str
    spaced: bool = False

    def is_op(self, word: str) -> bool:
        """Whether this is the sign ``word``."""
        return self.kind == "op" and self.word == word


_END = _Token("end", "")


class _Parser:
    """Parses the words of a condition from left to right, the loosest operator first: or, and, not, a comparison, an operand.

    ``shell``: of a shell's test. Every method raises ``_UnreadError`` where the words go on in a way that is not known.
    """

    def __init__(self, words: str, *, shell: bool) -> None:
        self.shell = shell
        self.i = self.depth = 0
        self.tokens: list[_Token] = []
        at = 0
        words = words.rstrip()
        while at < len(words):
            m = _TOKEN.match(words, at)
            if m is None or m.lastgroup is None:
                raise _UnreadError
            self.tokens.append(_Token(m.lastgroup, m.group(m.lastgroup), m.start(m.lastgroup) > at))
            at = m.end()

    def whole(self) -> Expression:
        """The condition, all of whose words are taken."""
        node = self._expression()
        if self.i < len(self.tokens):
            raise _UnreadError
        return node

    def _next(self, ahead: int = 0) -> _Token:
        return self.tokens[self.i + ahead] if self.i + ahead < len(self.tokens) else _END

    def _take(self, word: str) -> None:
        if self._next().word != word:
            raise _UnreadError
        self.i += 1

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _NESTING:
            raise _UnreadError

    def _expression(self) -> Expression:
        self._deeper()
        node = self._joined(_OR, "or", lambda: self._joined(_AND, "and", self._not))
        self.depth -= 1
        return node

    def _joined(self, ops: frozenset[str], kind: str, part: Callable[[], Expression]) -> Expression:
        """One ``part``, or several with one of ``ops`` between them, as an expression of that ``kind``."""
        parts: list[Expression] = [part()]
        while self._next().kind != "string" and self._next().word in ops:
            self.i += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else Expression(kind, "", tuple(parts))

    def _not(self) -> Expression:
        token = self._next()
        if token.kind != "string" and token.word in _NOT and not (token.word == "not" and self._arguments_follow()):
            self.i += 1
            self._deeper()
            return Expression("not", "", (self._not(),))
        return self._comparison()

    def _arguments_follow(self) -> bool:
        """Whether arguments stand behind a word with nothing but blanks between, as in Go's templates."""
        behind = self._next(1)
        return not self.shell and (behind.kind in {"string", "word"} or (behind.is_op("(") and behind.spaced))

    def _comparison(self) -> Expression:
        first = self._next()
        left = self._operand()
        kind, word, _ = self._next()
        if kind == "string" or word not in _COMPARES:
            return left
        if left.kind == "not" and first.word == "not":  # Python's "not a == b" denies the comparison
            return Expression("not", "", (self._compared(left.args[0]),))
        return self._compared(left)

    def _compared(self, left: Expression) -> Expression:
        """The comparison of ``left`` with what follows."""
        word = self._next().word
        self.i += 1
        if word == "is" and self._next().word == "not":
            self.i += 1
            word = "!="
        elif word == "not":
            self._take("in")
            return Expression("not", "", (Expression("cmp", "in", (left, self._operand())),))
        return Expression("cmp", "==" if word == "eq" else word, (left, self._operand()))

    def _operand(self) -> Expression:
        """An operand with the filters and indices behind it; in Go's templates what is filtered is the last argument."""
        node = self._plain()
        while True:
            token = self._next()
            if token.is_op("|"):
                self.i += 1
                name = self._next()
                if name.kind != "word":
                    raise _UnreadError
                self.i += 1
                args = self._bracketed("(", ")") if self._next().word == "(" else self._spaced_arguments()
                node = _called(name.word, (*args, node))
            elif token.is_op("[") and not self.shell and not token.spaced and node.kind in {"name", "index"}:
                node = Expression("index", node.word, (node, *self._bracketed("[", "]")))
            elif (
                token.word.startswith(".") and not token.spaced and not self.shell and self._next(-1).word in {")", "]"}
            ):
                node = self._member(node)
            elif token.kind == "op" and token.word in _ARITHMETIC and not self.shell:
                self.i += 1
                node = Expression("other", token.word, (node, self._plain()))
            else:
                return node

    def _member(self, of: Expression) -> Expression:
        """What a member of a call's result or of an item is: the same value, an item of it, or a test of it."""
        name = self._next().word[1:]
        self.i += 1
        called = self._next().is_op("(")
        args = self._bracketed("(", ")") if called else ()
        if name in (KEEPS if called else {"value"}) and not args:
            return of
        if not called or not args or "." in name:
            raise _UnreadError
        return Expression("index", "", (of, args[0])) if name == "get" else Expression("call", f".{name}", (of, *args))

    def _plain(self) -> Expression:
        """A string, a name, a call, or what stands in brackets."""
        token = self._next()
        word = token.word
        if token.kind == "string":
            self.i += 1
            held = word.lstrip("rbf")[1:-1]
            return Expression("name" if _VARIABLE.fullmatch(held) else "string", held)
        if token.kind == "flag":  # -n "$X", -f file
            self.i += 1
            inner = self._plain()
            return inner if word == "-n" else Expression("other", word, (inner,))
        if token.is_op("("):
            inside = self._bracketed("(", ")")
            return inside[0] if len(inside) == 1 else Expression("list", "", inside)
        if token.is_op("[") or token.is_op("{"):
            inside = self._bracketed(word, "]" if word == "[" else "}")
            return inside[0] if self.shell and len(inside) == 1 else Expression("list", "", inside)
        if token.is_op("&"):  # Rust's reference
            self.i += 1
            return self._plain()
        if token.is_op("-") and not self.shell:
            self.i += 1
            return Expression("other", "-", (self._plain(),))
        if token.kind != "word":
            raise _UnreadError
        self.i += 1
        behind = self._next()
        if not self.shell and behind.word == "(" and not (word in _GO and behind.spaced):
            return _called(word, self._bracketed("(", ")"))
        if not self.shell and (word in _GO or self._opens_call()):
            return _called(word, self._spaced_arguments())
        return Expression("name", word)

    def _opens_call(self) -> bool:
        """Whether the word just taken stands first in round brackets and arguments stand behind it: a call of Go's templates."""
        before, behind = self._next(-2), self._next()
        if not before.is_op("(") or self.i < 2 or not behind.spaced:
            return False
        return behind.kind == "string" or (behind.kind == "word" and behind.word not in _BETWEEN) or behind.is_op("(")

    def _bracketed(self, left: str, right: str) -> tuple[Expression, ...]:
        """The expressions between two brackets, with commas between them."""
        self._take(left)
        out: list[Expression] = []
        while not self._next().is_op(right):
            out.append(self._expression())
            if self._next().word == "for" and not self.shell:
                return self._each(left, right)
            if self._next().is_op(","):
                self.i += 1
            elif not self._next().is_op(right):
                raise _UnreadError
        self.i += 1
        return tuple(out)

    def _each(self, left: str, right: str) -> tuple[Expression, ...]:
        """What Python's ``x for x in y`` in brackets makes, up to the bracket that closes: nothing that is known."""
        depth = 1
        while depth:
            token = self._next()
            if token.kind == "end":
                raise _UnreadError
            depth += token.is_op(left) - token.is_op(right)
            self.i += 1
        return (Expression("other", "for"),)

    def _spaced_arguments(self) -> tuple[Expression, ...]:
        """The arguments of a call of Go's templates: strings, names and brackets with blanks between them."""
        out: list[Expression] = []
        while True:
            kind, word, _ = self._next()
            if kind == "word" and word not in _AND | _OR | EQUAL | {"in"}:
                self.i += 1
                out.append(Expression("name", word))
            elif kind == "string" or word == "(":
                out.append(self._plain())
            else:
                return tuple(out)


def _called(name: str, args: tuple[Expression, ...]) -> Expression:
    """The call ``name`` of ``args``; what Go's templates write as one: a comparison, a denial, ``and a b``."""
    if len(args) == 2 and name in {"eq", "ne"}:
        return Expression("cmp", name, args)
    of, dot, method = name.rpartition(".")
    if not args and dot and method in KEEPS:
        return Expression("name", of.removesuffix("?"))
    if not args and split_name(method)[:1] == ("is",):  # a truth that is asked for: ``role.is_prefill()``
        return Expression("name", name)
    if (len(args) == 1 and name == "not") or (args and name in {"and", "or"}):
        return Expression(name, "", args)
    if len(args) > 1 and name in {"include", "tpl"}:
        args = args[:1]  # what is read is called so; behind it stands what it is given
    return Expression("call", name, args)


# What is taken from a condition, or written anew, before it is parsed.
_HEAD = regex(r"^\s*(?:if|elif|elsif|while|when|with)\b(?!\s*=)(?![.(])\s*|^\s*if\s*(?=\()")
_GITHUB = regex(r"^\s*\$\{\{(.*)\}\}\s*$", re.S)
# Rust's ``if let Role::Prefill = role``; Python's ``(role := args.role) == "prefill"``.
_LET = regex(r"\blet\s+&?((?:\w+::)+\w+)\s*=\s*&?(\w+(?:\.\w+)*)(?![\w(.])")
_ASSIGNED = regex(r"\(\s*(\w+)\s*:=\s*([^()]{0,200}(?:\([^()]{0,200}\)[^()]{0,200})?)\)")
_MATCHES = regex(r"\bmatches!\(")  # Rust's test of a value against a pattern
_VARIABLE = regex(r"\$[\w@*]+")
_BRACED = regex(r"\$\{#?(\w+)(?::?[-=+?][^{}]*|,,|\^\^)?\}")  # ${NAME:-other}: as $NAME
# $(name): a variable of make's, or the output of a command. What a command with arguments gives is what these name.
_RUN = regex(r"\$\((\w+)([^()]*)\)")
_GIVES_ON = frozenset({"echo", "printf", "basename"})
_VARIABLES = regex(r"\$\{?(\w+)")
# Of a shell: the pattern behind =~ and ==, and the brackets of a test.
_MATCHED = regex(r"=~\s*(?![\"'])(\S+)")
_STARRED = regex(r"(?<==)\s*(?:\*([\w-]+)\*?|([\w-]+)\*)(?=[\s)\"']|$)")
_TEST = regex(r"(?<!\S)\[\[(?=\s)|(?<!\S)\[(?=\s)|(?<!\S)test(?=\s)(?=[^;&|]*$)")
_TEST_END = regex(r"(?<=\s)\]\](?!\S)|(?<=\s)\](?=[\s;]|$)")


def _tested(m: re.Match[str]) -> str:
    """What an assignment within a condition tests: what it sets, where that speaks of a side, else the name."""
    return f"({m[2]})" if any(mentioned(w) for w in re.findall(r"[\w-]+", m[2])) else m[1]


def _run(m: re.Match[str], *, shell: bool) -> str:
    """The name of what a command gives: that of a role which it is asked for or reads, of the host, or of the variable that it
    prints. Anything else is as it stands, and makes the condition one of no known shape. What has no arguments is a variable,
    but in a ``shell``."""
    command, words = m.groups()
    if not words.strip() and not shell:
        return f"${command}"
    given = [command, *re.findall(r"[\w-]+", words)]
    if not all(own(w) for w in given):
        return m.group()
    if command in _GIVES_ON and (printed := _VARIABLES.search(words)):
        return f"${printed[1]}"
    return next((f"${w}" for w in given if role_key(w) or w == "hostname"), m.group())


def output_named(words: str, *, shell: bool) -> str:
    """``words``, of a ``shell`` or of make, with each output of a command replaced by the name of what it gives."""
    return _RUN.sub(partial(_run, shell=shell), words) if "$(" in words else words


@lru_cache(maxsize=1024)
def parsed(words: str, shell: bool) -> Expression | None:
    """The condition ``words``, of a shell or of anything else; None if it is of a shape that is not known here."""
    if len(words) > _LONGEST:
        return None
    if m := _GITHUB.match(words):
        words = m.group(1)
    words = _LET.sub(r"\2 == \1", _ASSIGNED.sub(_tested, words))
    words = _MATCHES.sub("eq(", output_named(words, shell=shell))
    words = _BRACED.sub(r"$\1", _HEAD.sub("", words.strip().rstrip(";:"), count=1))
    if shell:
        words = _of_shell(words)
    try:
        return _Parser(words, shell=shell).whole()
    except _UnreadError:
        return None


def _of_shell(words: str) -> str:
    """A shell's condition with its tests in round brackets, and its patterns as strings."""
    words = _MATCHED.sub(r"=~ '\1'", words)
    words = _TEST_END.sub(")", _TEST.sub("(", words)).replace(";", " ")
    words += ")" * (words.count("(") - words.count(")"))  # the word "test" has no end of its own
    return _STARRED.sub(r" \1\2", words)
