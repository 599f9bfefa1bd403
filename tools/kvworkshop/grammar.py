"""The parser that each of the maintainers' tools begins with."""

from __future__ import annotations

import argparse
from collections.abc import Set

from kvroles.console import Parser
from kvroles.errors import UsageError

_ANYWHERE = frozenset({"offline", "index_url", "cache_dir", "quiet"})  # where things are, and how much is printed


def parser(doc: str | None, prog: str) -> Parser:
    """``doc`` is the docstring of the tool's module: its first paragraph opens the help, the rest (with exit codes) ends it."""
    about, _, rest = (doc or "").partition("\n\n")
    return Parser(prog=prog, description=about, epilog=rest, allow_abbrev=False)


def refuse_idle(p: argparse.ArgumentParser, args: argparse.Namespace, job: str, used: Set[str]) -> None:
    """Raise UsageError for an option that ``job`` would pass over: whoever gave it expects something of it.

    ``used`` are the options that the job looks at, by the names they have in ``args``.
    """
    for action in p._actions:
        given = getattr(args, action.dest, action.default)
        if given != action.default and action.dest not in used | _ANYWHERE:
            option = action.option_strings[-1]
            raise UsageError(f"{option} has no effect with {job}", fix=f"Leave {option} out")
