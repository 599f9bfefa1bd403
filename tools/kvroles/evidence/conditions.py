"""What a condition that holds says of a server's side.

A condition speaks only in shapes that are known here: a test of a name that means the side, or that name compared with a
side or with a true value, alone or as one conjunct. Whatever else stands in it makes it silent, so that a way to say "not"
that nobody has listed can never turn a side round.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from kvroles.evidence.frames import Side
from kvroles.evidence.names import PD, condition_side, count_side, own, role_key, role_value, side_word, split_name
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
_EQUAL = frozenset({"==", "===", "=", "is", "eq", "-eq", "-ieq", "-ceq", "equals", "-like", "-match"})
_BELOW = frozenset({"<", "<=", "-lt", "-le"})
_UNEQUAL = frozenset({"!=", "!==", "<>", "-ne", "ne"})
_OTHER = frozenset({"!=", "!==", "<>", "!~", ">", ">=", "-ne", "-gt", "-ge", "-nt", "-ot", "matches"})
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_CONSTANT = frozenset({*_TRUE, *_FALSE, "none", "null", "nil", "nan", "undefined", "defined", ""})
# Tests of one string against another, the receiver standing before the dot or among the arguments.
_LIKE = frozenset(
    {"startswith", "endswith", "startsWith", "endsWith", "hasPrefix", "hasSuffix", "HasPrefix", "HasSuffix", "contains"}
    | {"Contains", "includes", "equals", "equalsIgnoreCase", "EqualFold", "eq", "starts_with", "ends_with", "__eq__"}
)
_SAME = frozenset(
    {"lower", "upper", "trim", "string", "str", "bool", "quote", "toString", "default", "d", "to_lowercase"}
)
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
# Calls that give a value that is set elsewhere.
_READS = frozenset({"get", "getenv", "Getenv", "index", "var", "include", "tpl", "dig", "printf"})
_GROUPS = frozenset({"group_names", "inventory_hostname", "hostname", "ansible_hostname", "groups"})


class _Node(NamedTuple):
    """One operator, call or operand: ``kind`` is and, or, not, cmp, call, name, string, list or other."""

    kind: str
    word: str
    args: tuple[_Node, ...] = ()


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

    def whole(self) -> _Node:
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

    def _any(self) -> _Node:
        self.depth += 1
        if self.depth > _NESTING:
            raise _UnreadError
        node = self._series(_OR, "or", lambda: self._series(_AND, "and", self._not))
        self.depth -= 1
        return node

    def _series(self, ops: frozenset[str], kind: str, part: Callable[[], _Node]) -> _Node:
        parts: list[_Node] = [part()]
        while self._peek()[0] != "string" and self._peek()[1] in ops:
            self.i += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else _Node(kind, "", tuple(parts))

    def _not(self) -> _Node:
        kind, word = self._peek()
        if kind != "string" and word in _NOT and not (word == "not" and self._go_call()):
            self.i += 1
            self.depth += 1
            if self.depth > _NESTING:
                raise _UnreadError
            return _Node("not", "", (self._not(),))
        return self._compared()

    def _go_call(self) -> bool:
        """Whether a word stands before its arguments with nothing but blanks between, as in Go's templates."""
        kind, _ = self.tokens[self.i + 1][:2] if self.i + 1 < len(self.tokens) else ("end", "")
        return not self.shell and (
            kind in {"string", "word"} or self.tokens[self.i + 1 : self.i + 2] == [("op", "(", True)]
        )

    def _compared(self) -> _Node:
        left = self._operand()
        kind, word = self._peek()
        if kind == "string" or word not in _EQUAL | _BELOW | _OTHER | {"in", "=~", "not"}:
            return left
        self.i += 1
        if word == "is" and self._peek()[1] == "not":
            self.i += 1
            word = "!="
        elif word == "not":
            self._take("in")
            word = "!="
        return _Node("cmp", "==" if word == "eq" else word, (left, self._operand()))

    def _operand(self) -> _Node:
        node: _Node = self._plain()
        while True:
            kind, word = self._peek()
            if (kind, word) == ("op", "|"):  # a filter; in Go's templates the value becomes the last argument
                self.i += 1
                if self._peek()[0] != "word":
                    raise _UnreadError
                name = self._peek()[1]
                self.i += 1
                args: tuple[_Node, ...] = (
                    self._bracketed("(", ")") if self._peek()[1] == "(" else self._blank_arguments()
                )
                node = _called(name, (*args, node))
            elif (
                (kind, word) == ("op", "[")
                and not self.shell
                and not self.tokens[self.i][2]
                and node.kind in {"name", "index"}
            ):
                node = _Node("index", node.word, (node, *self._bracketed("[", "]")))
            else:
                return node

    def _plain(self) -> _Node:
        kind, word = self._peek()
        if kind == "string":
            self.i += 1
            held = word.lstrip("r")[1:-1]
            return _Node("name" if _VARIABLE.fullmatch(held) else "string", held)
        if kind == "flag":  # -n "$X", -f file
            self.i += 1
            inner = self._plain()
            return inner if word == "-n" else _Node("other", word, (inner,))
        if (kind, word) == ("op", "("):
            inside = self._bracketed("(", ")")
            return inside[0] if len(inside) == 1 else _Node("list", "", inside)
        if (kind, word) in {("op", "["), ("op", "{")}:
            inside = self._bracketed(word, "]" if word == "[" else "}")
            return inside[0] if self.shell and len(inside) == 1 else _Node("list", "", inside)
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
        return _Node("name", word)

    def _bracketed(self, left: str, right: str) -> tuple[_Node, ...]:
        self._take(left)
        out: list[_Node] = []
        while self._peek() != ("op", right):
            out.append(self._any())
            if self._peek() == ("op", ","):
                self.i += 1
            elif self._peek() != ("op", right):
                raise _UnreadError
        self.i += 1
        return tuple(out)

    def _blank_arguments(self) -> tuple[_Node, ...]:
        out: list[_Node] = []
        while True:
            kind, word = self._peek()
            if kind == "string" or (kind == "word" and word not in _AND | _OR | _EQUAL | {"in"}) or word == "(":
                if kind == "word":
                    self.i += 1
                    out.append(_Node("name", word))
                else:
                    out.append(self._plain())
            else:
                return tuple(out)


def _called(name: str, args: tuple[_Node, ...]) -> _Node:
    """A call; of Go's two that compare, the comparison."""
    if len(args) == 2 and name in {"eq", "ne"}:
        return _Node("cmp", name, args)
    if len(args) == 1 and name == "not":
        return _Node("not", "", args)
    return _Node("call", name, args)


_HEAD = regex(r"^\s*(?:if|elif|elsif|while|when|with)\b(?!\s*=)(?![.(])\s*|^\s*if\s*(?=\()")
_BRACED = regex(r"\$\{#?(\w+)(?::?[-=+?][^{}]*|,,|\^\^)?\}")
_VARIABLE = regex(r"\$[\w@*]+")
_RUN = regex(r"\$\((\w+)[^()]*\)")
_MATCHED = regex(r"=~\s*(?![\"'])(\S+)")
_MATCHES = regex(r"\bmatches!\(")  # Rust's test of a value against a pattern
_GITHUB = regex(r"^\s*\$\{\{(.*)\}\}\s*$", re.S)


@lru_cache(maxsize=1024)
def _parsed(words: str, shell: bool) -> _Node | None:
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


def holds(words: str, *, shell: bool = False) -> Side | None:
    """The side that the condition ``words`` being true means: prefill, decode, shared (either of the two), or None."""
    node = _parsed(words, shell)
    return _says(node) if node is not None else None


def told(words: str, *, value: bool, shell: bool = False) -> tuple[Side | None, bool]:
    """What the condition ``words`` having the truth ``value`` tells: a side, and whether the server is of it (True) or is not
    (False). That it is not of one side makes it one of the other only where there is no third."""
    node = _parsed(words, shell)
    if node is None:
        return None, True
    node, value = _affirmed(node, value)
    if node.kind == "cmp" and node.word in _UNEQUAL:
        side, value = _of_comparison(node._replace(word="eq" if node.word == "ne" else "==")), not value
    else:
        side = _says(node) if value or node.kind not in {"and", "or"} else None
    return side, value


def _affirmed(node: _Node, value: bool) -> tuple[_Node, bool]:
    """A node without its denials (``not x``, ``x == false``), and the truth of that where the truth of the node is ``value``."""
    while True:
        denied = node.args[0] if node.kind == "not" else None
        if node.kind == "cmp" and node.word in _EQUAL:
            denied = _compared_with(_FALSE, node)
        if denied is None:
            return node, value
        node, value = denied, not value


def boolean(words: str, *, shell: bool = False) -> bool:
    """Whether a condition asks a truth that is named for a side (``is_prefill``), or for the first so many of numbered servers:
    where it does not hold, the server is of the other side."""
    parsed = _parsed(words, shell)
    if parsed is None:
        return False
    node, _ = _affirmed(parsed, True)
    if node.kind == "cmp" and node.word in _BELOW:
        return True
    if node.kind == "cmp" and node.word in _EQUAL:
        node = _compared_with(_TRUE, node) or node
    if node.kind == "call" and node.word in _SAME and len(node.args) == 1:
        node = node.args[0]
    return node.kind in {"name", "index"} and split_name(_last(node))[:1] in [["is"], ["as"], ["run"]]


def pattern_side(pattern: str) -> Side | None:
    """The side that an arm of a ``case`` or ``match`` is for: every alternative has to be of it."""
    words = [w.strip().strip("()[]") for w in re.split(r"[|,]", pattern)]
    found = {_of_pattern(w) for w in words}
    return found.pop() if len(found) == 1 else Side.SHARED if found == set(PD) else None


def selector_side(selector: str) -> Side | None:
    """The side that a label selector asks for: ``role=prefill,app=x``, ``role in (prefill)``; never what it leaves out."""
    found: set[Side] = set()
    for part in re.split(r",(?![^()]*\))", selector):
        m = re.fullmatch(r"\s*[\w./-]+\s*(?:==?\s*([\w.-]+)|in\s*\(([\w.,\s-]+)\))\s*", part)
        if m is not None:
            each = {role_value(w.strip()) or _of_word(w.strip()) for w in (m.group(1) or m.group(2)).split(",")}
            found |= {side for side in each if side in PD} if len(each) == 1 else set()
    return found.pop() if len(found) == 1 else None


def _of_pattern(word: str) -> Side | None:
    m = re.fullmatch(r"[\"']?\*?([\w.:*-]*?)\*?[\"']?", word.removeprefix("&"))
    if m is None or "*" in m.group(1):
        return None
    return role_value(m.group(1)) or _of_word(m.group(1))


def _says(node: _Node) -> Side | None:
    match node.kind:
        case "and":
            found = {side for n in node.args if (side := _says(n)) is not None}
            found = found & set(PD) or found
            return found.pop() if len(found) == 1 else None
        case "or":
            each = {_says(n) for n in node.args}
            return each.pop() if len(each) == 1 else Side.SHARED if each == set(PD) else None
        case "cmp":
            return _of_comparison(node)
        case "call":
            return _of_call(node)
        case "name" | "index":
            return condition_side(_last(node))
        case _:
            return None


def _of_comparison(node: _Node) -> Side | None:
    left, right = node.args
    if node.word in _EQUAL:
        name = _compared_with(_TRUE, node)
        return _says(name) if name is not None else _of_pair(left, right, bare=node.word != "eq")
    if node.word in _BELOW and right.kind == "name":
        return count_side(right.word)
    if node.word == "in":
        if left.kind in {"string", "call"}:
            asked = role_key(_last(right).removesuffix("s")) or _last(right) in _GROUPS
            return _value_side(left) if asked and not _last(right).endswith(("roles", "modes", "stages")) else None
        if right.kind == "index" and right.word in _GROUPS and len(right.args) == 2:
            return _value_side(right.args[1])
        asks = not _named(left) and own(_whole(left))
        return _every(right.args) if right.kind in {"list", "call"} and asks else None
    if node.word == "=~" and right.kind in {"name", "string"}:
        m = re.fullmatch(r"\^?\(?([\w|-]+)\)?(?:\.\*)?\$?", right.word)
        return pattern_side(m.group(1)) if m is not None else None
    return None


def _of_call(node: _Node) -> Side | None:
    name, args = node.word.rsplit(".", 1)[-1], node.args
    if name in {"and", "or"} and "." not in node.word:
        return _says(_Node(name, "", args))
    if name == "has" and len(args) == 2:
        inner = args[1] if args[1].kind == "call" else args[0]
        asks = not _named(args[0]) and own(_whole(args[0]))
        return _every(inner.args) if inner.word in {"list", "tuple"} and asks else None
    if name in _LIKE:
        values = [side for n in args if (side := _value_side(n)) is not None]
        others = [n for n in args if _value_side(n) is None]
        if any(_named(n) or n.kind not in {"name", "index", "call"} or not own(_whole(n)) for n in others):
            return None
        if len(others) > 1:
            return None
        return values[0] if values and len(set(values)) == 1 else None
    if name in _SAME and args and (len(args) == 1 or name in {"default", "d"}):
        return _says(args[-1] if args[-1].kind in {"name", "index"} else args[0])
    return None


def _of_pair(left: _Node, right: _Node, *, bare: bool) -> Side | None:
    """The side that one of two compared operands is, the other being a name that is of none; with ``bare`` the right one may be
    a word without quotes."""
    for name, value in ((left, right), (right, left)):
        if (side := _value_side(value, bare=bare and value is right)) is not None and _asked(name):
            if name.kind == "call" and name.word.rsplit(".", 1)[-1] not in _SAME | _READS:
                return None
            return side if not _named(name) else None
    return None


def _asked(node: _Node) -> bool:
    """Whether a node can be what is asked for its side: a name that may change, no constant, and none that leaves sides out."""
    if node.kind == "string":
        return "$" in node.word or "{{" in node.word
    if not own(_whole(node)):
        return False
    return node.kind in {"name", "index", "call"} and node.word.lower() not in _CONSTANT and not node.word.isdigit()


def _every(nodes: tuple[_Node, ...]) -> Side | None:
    found = {_value_side(n) for n in nodes}
    return found.pop() if len(found) == 1 else Side.SHARED if found == set(PD) else None


def _value_side(node: _Node, *, bare: bool = False) -> Side | None:
    """The side that a value is: a string, a constant of an enumeration, with ``bare`` a word without quotes."""
    if node.kind == "string":
        return (role_value(node.word) if len(node.word) > 1 else None) or _of_word(node.word)
    if node.kind == "call" and node.word.rsplit(".", 1)[-1] in _SAME and len(node.args) == 1:
        return _value_side(node.args[0])
    if node.kind != "name" or node.word.startswith(("$", ".")):
        return None
    *of, word = re.split(r"::|\.", node.word)
    if len(word) < 2 or not (of or bare or word.isupper()) or set(split_name(word)) & _TESTS:
        return None
    return _of_word(word)


_TESTS = frozenset({"is", "as", "run", "self", "this", "am", "num", "count"})


def _of_word(word: str) -> Side | None:
    side = side_word(word)
    return side if side in PD else None


def _named(node: _Node) -> bool:
    """Whether a name that is compared is itself named for a side: what it holds is not this server's."""
    return condition_side(_last(node)) is not None or side_word(_last(node)) is not None


def _last(node: _Node) -> str:
    if node.kind == "index" and len(node.args) == 2 and node.args[1].kind == "string":
        return node.args[1].word
    if node.kind == "call":
        return _last(node.args[-1]) if node.args else node.word
    return re.split(r"::|\.", node.word)[-1].lstrip("$")


def _whole(node: _Node) -> str:
    """A name with what it is a member of."""
    if node.kind in {"name", "index"} and _last(node) in node.word:
        return node.word.replace("::", ".").replace("?.", ".").lstrip("$.")
    return _last(node)


def _compared_with(words: frozenset[str], node: _Node) -> _Node | None:
    """The operand of a comparison of two that is compared with one of the ``words``; None if none is."""
    left, right = node.args
    return left if _is(right, words) else right if _is(left, words) else None


def _is(node: _Node, words: frozenset[str]) -> bool:
    """Whether a node is one of the ``words`` for true or for false; PowerShell's own have a dollar before them."""
    word = node.word.lower()
    return node.kind in {"name", "string"} and (word in words or (word in {"$true", "$false"} and word[1:] in words))
