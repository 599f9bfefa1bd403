"""Write the generated part of the site (docs/patches, docs/reference, build/pages) and fetch what the pages need.

Run it before `mkdocs build` or `zensical build`. With --no-diagrams and --no-playground nothing is fetched. After
`zensical build`, run it again with --seal: MkDocs gives each page its Content-Security-Policy by itself, zensical does not.
Exit codes: 0 done; 2 wrong usage; 3 a fetched file is not the pinned one; 4 a source cannot be had.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kvroles.console import guarded, note, refuse_idle, say
from kvroles.errors import Exit, NoSource
from kvroles.places import default_cache_dir
from kvroles.said import counted

from kvworkshop import grammar, own
from kvworkshop.pages import build, diagrams, policy
from kvworkshop.playground import provide


def parser(prog: str = "pages.py") -> argparse.ArgumentParser:
    """The command line."""
    p = grammar.parser(__doc__, prog)
    drawing = p.add_mutually_exclusive_group()
    drawing.add_argument("--mermaid", metavar="FILE", type=Path, help="take the diagram script from FILE, not from npm")
    drawing.add_argument("--no-diagrams", action="store_true", help="leave the diagram script out: diagrams stay text")
    p.add_argument("--no-playground", action="store_true", help="leave the playground out: its page says so")
    p.add_argument(
        "--seal",
        metavar="DIR",
        type=Path,
        help="write nothing else; put the policies into the site that zensical built",
    )
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where downloads are kept (default: the user's cache)")
    p.add_argument("-q", "--quiet", action="store_true", help="no summary")
    return p


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    if args.seal is not None:
        refuse_idle(args, "--seal", {"seal"})
        return _seal(args.seal)
    root = own.ROOT
    cache = args.cache_dir or default_cache_dir()
    if args.no_playground:
        provide.remove(root / "docs")
    else:
        try:
            provide.provide(root / "docs", root / "tools", cache)
        except NoSource as e:
            note(f"The playground is left out. {e}")
    count, changed = build.write(root)
    if not args.no_diagrams:
        diagrams.provide(root / "docs", cache, args.mermaid)
    if not args.quiet:
        say(f"{counted(count, 'file')} generated, {changed} of them changed")
    return Exit.DONE


def _seal(site: Path) -> int:
    try:
        count = policy.seal(site)
    except ValueError as e:
        raise NoSource(str(e), fix="Build the site anew: `zensical build --clean --strict`") from None
    if not count:
        raise NoSource(f"{site} holds no page", fix="Build the site first: `zensical build --clean --strict`")
    say(f"{count} pages have their policy")
    return Exit.DONE


def main(argv: Sequence[str] | None = None, prog: str = "pages.py") -> int:
    """Run the command; returns the exit code."""
    return guarded(parser(prog), run, argv)
