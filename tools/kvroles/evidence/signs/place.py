"""What stands right round one ``kv_both``, and what else the signs ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvroles.evidence.patterns import regex

NEAR = 240  # characters before and after the word that a sign may stand in
Q = r"(?:\\*[\"'`])*"
OTHER = rf"{Q}kv_(?:producer|consumer){Q}"
CALLED = regex(
    r"""(?ix)
    \b(?:contains(?:String)?|isin|matches|match|startsWith|endsWith|has_?prefix|has_?suffix|includes|indexOf|index|search
    |find(?:all)?|fullmatch|regexp?(?:p|_match|_search|Match)?|like|count|assert(?:_?(?:equals?|eq|ne|that|true|in|same|contains))?
    |expect|toBe|toEqual|re_match)
    \s*\(\s*[^()\n]*$"""
)
ROLES = regex(r"kv_(?:producer|consumer)")
CODE = frozenset(
    {"python", "go", "rust", "javascript", "typescript", "tsx", "powershell", "hcl", "kt", "kts", "java", "rb", "lua"}
)
# The word is all that a key or an item of data holds: ``{a: kv_both, b: ...}``.
DATA = frozenset({"yaml", "json", "toml"})
_BACKTICKS = frozenset(
    {"go", "javascript", "typescript", "tsx", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts"}
)  # a string's
# Texts for people: quotes and backticks set a word off from the sentence it stands in.
DOCUMENTS = frozenset(
    {"", "markdown", "prose", "log", "txt", "text", "rst", "adoc", "asciidoc", "org", "html", "htm", "tex"}
)


NO_CODE = (
    DATA | DOCUMENTS | {"shell", "unit", "make", "just", "docker", "json5", "proto", "graphql", "gql", "thrift", "xml"}
)


class Place(NamedTuple):
    """What stands round one ``kv_both``: its text and index, what is before and after it, its line up to it, the language."""

    s: str
    i: int
    before: str
    line: str
    after: str
    lang: str


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def content_of(line: str) -> int:
    """The column at which what a line of YAML holds begins, behind the dash of an item."""
    return len(line) - len(line.lstrip(" -"))


def whole_string(p: Place) -> bool:
    """Whether the word is all of a quoted string, in a language where such a string is a value and not a quotation."""
    quote = p.after[:1]
    quotes = "\"'`" if p.lang in _BACKTICKS else "\"'"
    return p.lang not in DOCUMENTS and quote != "" and quote in quotes and p.line.endswith(quote)


def opened(s: str, i: int, stop: int = 0) -> Iterator[int]:
    """Where the brackets begin that are open at index ``i``, innermost first, back to index ``stop``."""
    depth = 0
    for k in range(i - 1, stop - 1, -1):
        if s[k] in ")]}":
            depth += 1
        elif s[k] in "([{":
            if not depth:
                yield k
            depth = max(0, depth - 1)
