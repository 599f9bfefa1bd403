"""Prove what the KV role changes in each vLLM release: every place that reads the role, explained.

Checks docs/data/role_effects.json, and the claims of the guide in docs/data/claims.toml, against the source of the releases
in the lock. A release without a source archive (0.15.x) is read from a wheel; with --offline it is named as not read where
the cache does not hold it.
Exit codes: 0 the table holds, or was written; 2 wrong usage; 3 the table, or an archive's hash, does not hold;
4 a source cannot be had.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kvroles.console import guarded, note, refuse_idle, say
from kvroles.errors import Exit
from kvroles.places import default_cache_dir
from kvroles.series.lock import Lock
from kvroles.sources.release_files import Options

from kvworkshop import grammar
from kvworkshop.effects import run as effects


def parser(prog: str = "effects.py") -> argparse.ArgumentParser:
    """The command line."""
    p = grammar.parser(__doc__, prog)
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail where the table is silent or wrong")
    what.add_argument(
        "--write",
        action="store_true",
        help="put the lines that the releases prove into the table and beside the claims",
    )
    p.add_argument("--release", metavar="R", action="append", default=[], help="only this release; may be repeated")
    p.add_argument("--offline", action="store_true", help="never touch the network: archives come from the cache")
    p.add_argument("--index-url", metavar="URL", help="the package index (default: the one pip is set to use)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where archives are kept (default: the user's cache)")
    p.add_argument(
        "--clones", metavar="DIR", type=Path, help="with --check: read what is said of other projects in DIR/OWNER/NAME"
    )
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    return p


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""

    def progress(line: str) -> None:
        if not args.quiet:
            note(line)

    if args.write:
        refuse_idle(args, "--write", {"write", "release"})
    options = Options(args.cache_dir or default_cache_dir(), args.index_url, args.offline)
    job = effects.Job(Lock.load(), options, tuple(args.release), progress)
    summary = (
        effects.write(job, claims_path=effects.CLAIMS)
        if args.write
        else effects.check(job, claims_path=effects.CLAIMS, clones=args.clones)
    )
    if not args.quiet:
        say(summary)
    return Exit.DONE


def main(argv: Sequence[str] | None = None, prog: str = "effects.py") -> int:
    """Run the command; returns the exit code."""
    return guarded(parser(prog), run, argv)
