"""Has the contract's checker changed? The SHA-256 of its code, comments and docstrings aside.

``contract.terms.CHECKER`` is a number that a person raises. The lock holds it beside this hash, and ``verify.py --lint`` finds a
hash that changed while the number did not. The hash is the same on every Python from 3.11 on: a formatted string is one token
here, as it was before Python 3.12 (PEP 701).
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator

from kvroles.contract import terms
from kvroles.series.lock import Checker

from kvworkshop import own

MODULES = ("terms.py", "roles_in_text.py", "settled.py", "sides.py", "clauses.py", "check.py")
_HERE = own.ROOT / "tools" / "kvroles" / "contract"
_SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
_OPENS = getattr(tokenize, "FSTRING_START", -1)
_CLOSES = getattr(tokenize, "FSTRING_END", -1)


def current(known: Checker | None) -> Checker:
    """The checker's number and hash for the lock: those of ``known`` while the number is the same.

    So a lock that is made anew keeps the old hash where only the code changed: lint finds that, and asks for a new number.
    """
    if known is not None and known.number == terms.CHECKER:
        return known
    return Checker(terms.CHECKER, digest())


def digest() -> str:
    """The SHA-256 of the checker's tokens, over all its modules in order."""
    whole = hashlib.sha256()
    for name in MODULES:
        whole.update(f"{name}\n".encode())
        for token in tokens((_HERE / name).read_text(encoding="utf-8")):
            whole.update(token.encode() + b"\0")
    return whole.hexdigest()


def tokens(source: str) -> Iterator[str]:
    """The tokens of Python ``source`` that say what it does. Indentation counts where it begins and ends, not by its width."""
    docstrings = _docstrings(source)
    lines = source.splitlines(keepends=True)
    depth = 0
    opened = (0, 0)
    silent_line = False  # in a docstring's last line, whose end is left out with it
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == _OPENS:
            opened = opened if depth else token.start
            depth += 1
        elif token.type == _CLOSES:
            depth -= 1
            if not depth:
                yield _between(lines, opened, token.end)
        elif token.type == tokenize.NEWLINE and silent_line:
            silent_line = False
        elif token.start in docstrings and token.type == tokenize.STRING:
            silent_line = True
        elif depth or token.type in _SILENT:
            continue
        elif token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE):
            yield tokenize.tok_name[token.type]
        else:
            yield token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text from ``start`` to ``end``, each a line (1-based) and a column in characters."""
    whole = "".join(lines[start[0] - 1 : end[0]])
    return whole[start[1] : len(whole) - len(lines[end[0] - 1]) + end[1]]


def _docstrings(source: str) -> set[tuple[int, int]]:
    """Where the docstrings of ``source`` begin. Their first character is ASCII, so a byte column is a character column."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        (node.body[0].lineno, node.body[0].col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, owners) and ast.get_docstring(node, clean=False) is not None
    }
