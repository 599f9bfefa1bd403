"""The parser that each of the maintainers' tools begins with."""

from __future__ import annotations

from kvroles.console import Parser


def parser(doc: str | None, prog: str) -> Parser:
    """``doc`` is the docstring of the tool's module: its first paragraph opens the help, the rest (with exit codes) ends it."""
    about, _, rest = (doc or "").partition("\n\n")
    return Parser(prog=prog, description=about, epilog=rest, allow_abbrev=False)
