#!/usr/bin/env python3
"""Prove what the KV role changes in each vLLM release: every place that reads the role, explained.

Reads the source archives in the cache (and the wheels of releases that have no archive) against
docs/data/role_effects.json; nothing is downloaded.
Exit codes: 0 the table holds, or was written; 2 wrong usage; 3 the table does not hold; 4 an archive is
missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kvroles.effects import run as effects
from kvroles.errors import Exit
from kvroles.main import guarded
from kvroles.places import default_cache_dir


def parser() -> argparse.ArgumentParser:
    """The command line of ``effects.py``."""
    p = argparse.ArgumentParser(prog="effects.py", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail where the table is silent or wrong")
    what.add_argument("--write", action="store_true", help="put the proven lines into the table")
    p.add_argument("--release", metavar="REV", action="append", default=[], help="only this release (may be repeated)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where archives lie (default: the user's cache)")
    p.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    return p


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr)

    work = effects.write if args.write else effects.check
    summary = work(args.cache_dir or default_cache_dir(), args.release, say)
    if not args.quiet:
        print(summary)
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(guarded(parser(), run))
