"""Evaluates the expressions in a template's actions that make configs: ``dict "kv_role" "kv_both"``, ``set``, ``default``.

It knows Go's and Sprig's functions, and Jinja's ``dict(kv_role="...")``. The result of any other function is a mapping
from its name to each of its arguments, so that no argument counts as a setting beside another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence.data import Map, Node, Scalar, Seq
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, join
from kvroles.migrate.readers.mapping import objects

_TOKEN = regex(
    r"""(?xs) \s+ | (?P<string> "(?:[^"\\]|\\.)*" | `[^`]*` | '(?:[^'\\]|\\.)*' ) | (?P<sign> [()|,] | :?=(?!=) )
    | (?P<word> [^\s()|,"'`=]+ (?: ==? [^\s()|,"'`=]* )?? ) | ."""
)
_HEAD = regex(
    r"(?s)\s*-?\s*(?:(?:if|else\s+if|with|return|template|block|define)\b|(?:range\s+)?(?:\$\w*\s*,\s*)?\$\w*\s*:?=(?!=))?"
)
_PASSES = frozenset(
    {"toJson", "toYaml", "toRawJson", "toPrettyJson", "mustToJson", "mustToRawJson", "fromJson", "fromYaml", "quote", "squote",
     "indent", "nindent", "trim", "trimSuffix", "b64enc", "replace", "print", "tojson", "to_json", "to_nice_json", "safe", "tpl",
     "deepCopy", "mustDeepCopy", "required", "cat"}
)  # fmt: skip
_MERGES = frozenset({"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite", "combine"})
_MAX_DEPTH = 40


class _Token(NamedTuple):
    kind: str  # string, sign, word
    start: int
    end: int


def read(action: Text) -> Node | None:
    """The mapping or list that ``action`` (with its braces) evaluates to; None for any other value."""
    body = action.slice(2, max(2, len(action.s) - 2))
    head = _HEAD.match(body.s)
    reader = _Expression(body, head.end() if head is not None else 0)
    value = reader.pipeline(0)
    return value if isinstance(value, (Map, Seq)) else None


def settings(text: str, variable: str) -> Iterator[tuple[str, str]]:
    """The keys and string values that the actions of ``text`` put into a template's variable by ``dict`` or ``set``."""
    name = re.escape(variable)
    for m in re.finditer(rf"{name}\s*:?=\s*\(?\s*dict\b((?:\s+\"[^\"]*\"\s+(?:\"[^\"]*\"|[^\s\"()]+))*)", text):
        yield from re.findall(r"\"([^\"]*)\"\s+\"([^\"]*)\"", m.group(1))
    for m in re.finditer(rf"\bset\s+{name}\s+\"([^\"]+)\"\s+\(?\s*\"([^\"]+)\"", text):
        yield m.group(1), m.group(2)


def variable_set(action: str) -> str:
    """The variable that an action changes by ``set``; empty without one."""
    m = re.search(r"\bset\s+(\$\w+)\s", action)
    return m.group(1) if m is not None else ""


class _Expression:
    """Reads the tokens of one action from ``start`` on."""

    def __init__(self, body: Text, start: int) -> None:
        self.t = body
        self.tokens = [
            _Token(m.lastgroup, m.start(), m.end()) for m in _TOKEN.finditer(body.s, start) if m.lastgroup is not None
        ]
        self.i = 0

    def _sign(self, sign: str) -> bool:
        """Whether the next token is ``sign``, which is then passed."""
        token = self.tokens[self.i] if self.i < len(self.tokens) else None
        if token is None or token.kind != "sign" or self.t.s[token.start : token.end] != sign:
            return False
        self.i += 1
        return True

    def pipeline(self, depth: int) -> Node | None:
        """The value of the commands up to the closing bracket, each one's result being the next one's last argument."""
        if depth > _MAX_DEPTH:
            self.i = len(self.tokens)
            return None
        value = self._command(depth, None)
        while self._sign("|"):
            value = self._command(depth, value)
        return value

    def _command(self, depth: int, piped: Node | None) -> Node | None:
        """The result of a function for its arguments, ``piped`` being the last; or the one value that stands alone."""
        start = self.i
        name, given = "", list[Node]()
        names: list[Scalar] = []  # of keyword arguments, before the values
        while self.i < len(self.tokens):
            token = self.tokens[self.i]
            source = self.t.s[token.start : token.end]
            if token.kind == "sign" and source in {")", "|"}:
                break
            self.i += 1
            if token.kind == "sign":
                if source == "(":
                    inner = self.pipeline(depth + 1) if not self._called(start) else self._arguments(depth + 1, names)
                    self._sign(")")
                    given += inner if isinstance(inner, list) else [inner] if inner is not None else []
            elif token.kind == "string":
                given.append(self._string(token))
            elif self.i - 1 == start and source[:1] not in {".", "$"}:
                name = source
            else:
                given.append(self._placeholder(token))
        if piped is not None:
            given.append(piped)
        if not name or (not given and self.i - 1 == start):
            return given[0] if len(given) == 1 else self._placeholder(self.tokens[start]) if name else None
        span = self.tokens[start].start, self.tokens[max(start, self.i - 1)].end
        if piped is not None:
            span = min(span[0], piped.start), span[1]
        return self._made(name, given, names, span)

    def _called(self, start: int) -> bool:
        """Whether the bracket just taken belongs to the name right before it: Jinja's ``dict(...)``."""
        bracket = self.tokens[self.i - 1].start
        return self.i - 2 == start and self.tokens[start].kind == "word" and self.tokens[start].end == bracket

    def _arguments(self, depth: int, names: list[Scalar]) -> list[Node]:
        """The arguments of a Jinja call; where they have keywords, ``names`` is filled with as many."""
        out: list[Node] = []
        while self.i < len(self.tokens):
            key = self.tokens[self.i]
            if key.kind == "word" and self.i + 1 < len(self.tokens) and self.t.s[key.end : key.end + 1] == "=":
                names.append(Scalar(self.t.slice(key.start, key.end), key.start, key.end))
                self.i += 1
                self._sign("=")
            value = self._command_until_comma(depth)
            if value is not None:
                out.append(value)
            if not self._sign(","):
                break
        return out

    def _command_until_comma(self, depth: int) -> Node | None:
        """One argument of a Jinja call; None if it is nothing that is known."""
        token = self.tokens[self.i] if self.i < len(self.tokens) else None
        if token is None or depth > _MAX_DEPTH:
            return None
        if token.kind == "string":
            self.i += 1
            return self._string(token)
        if token.kind == "word" and self.t.s[token.end : token.end + 1] == "(":
            self.i += 2
            names: list[Scalar] = []
            given = self._arguments(depth + 1, names)
            end = self.tokens[min(self.i, len(self.tokens) - 1)].end
            self._sign(")")
            return self._made(self.t.s[token.start : token.end], given, names, (token.start, end))
        if token.kind == "word":
            self.i += 1
            return self._placeholder(token)
        return None

    def _placeholder(self, token: _Token) -> Scalar:
        """A placeholder for a value that the template does not say."""
        source = self.t.s[token.start : token.end]
        return Scalar(Text("${" + source + "}", self.t.at(token.start)), token.start, token.end)

    def _made(self, name: str, given: list[Node], names: list[Scalar], span: tuple[int, int]) -> Node | None:
        """The result of the function ``name`` for the arguments ``given``, whose keywords are ``names``."""
        if name in _PASSES:
            return given[-1] if given else None
        if name == "default" and len(given) == 2:
            return self._default(given)
        out = Map(*span)
        if name == "dict" and names and len(names) == len(given):
            out.pairs = list(zip(names, given, strict=True))
            return out
        if name in {"dict", "set"}:
            pairs = given[1:] if name == "set" else given
            out.pairs = [(k, v) for k, v in zip(pairs[::2], pairs[1::2], strict=False) if isinstance(k, Scalar)]
            return out
        if name in {"list", "tuple"}:
            return Seq(given, *span)
        if name == "printf" and given and isinstance(given[0], Scalar):
            return self._printed(given[0], given[1:], span)
        for value in given:
            if name in _MERGES and isinstance(value, Map):
                out.pairs += [(k, v) for k, v in value.pairs if out.get(k.value) is None]
            else:
                out.pairs.append((Scalar(Text(name, self.t.at(span[0])), value.start, value.start), value))
        return out

    def _default(self, given: list[Node]) -> Node:
        """The result of ``default "a" .Values.b``: a placeholder that holds the default and the variable."""
        value, other = (given[0], given[1]) if _plain(given[0]) else (given[1], given[0])
        if not isinstance(value, Scalar) or not isinstance(other, Scalar) or not _plain(value):
            return value if isinstance(value, (Map, Seq)) else other
        before, after = (
            Text('{{ default "', value.text.at(0)),
            Text(f'" {other.value.strip("${}")} }}}}', value.text.at(0)),
        )
        return Scalar(join([before, value.text, after]), value.start, value.end, quoted=True)

    def _printed(self, form: Scalar, given: list[Node], span: tuple[int, int]) -> Node:
        """The text that ``printf`` makes, as the value of the key ``printf``."""
        parts: list[Text] = []
        at = 0
        for m, value in zip(re.finditer(r"%[sqvd]", form.value), given, strict=False):
            filled = value.text if isinstance(value, Scalar) else Text("${_}", form.text.at(m.start()))
            quote = [Text('"', filled.at(0))] if m.group() == "%q" else []
            parts += [form.text.slice(at, m.start()), *quote, filled, *quote]
            at = m.end()
        text = join([*parts, form.text.slice(at, len(form.value))])
        out = Map(*span)
        out.pairs.append(
            (Scalar(Text("printf", self.t.at(span[0])), span[0], span[0]), Scalar(text, *span, quoted=True))
        )
        return out

    def _string(self, token: _Token) -> Scalar:
        inner = self.t.slice(token.start + 1, token.end - 1)
        raw = self.t.s[token.start] == "`"
        return Scalar(inner if raw else objects.unescape(inner), token.start, token.end, quoted=True)


def _plain(node: Node) -> bool:
    """Whether a value is a literal string."""
    return isinstance(node, Scalar) and not node.value.startswith("${")
