#!/usr/bin/env python3
"""Give a vLLM revision explicit KV roles: a revision in, a patched and proven tree out.

Runs on Python >= 3.11 with the standard library, and git for revisions that are not releases.
Exit codes: 0 done or nothing to do; 1 does not apply; 2 wrong usage; 3 a hash or the contract does not hold;
4 the source cannot be had.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kvroles.apply import report
from kvroles.apply import run as applying
from kvroles.apply.request import Request
from kvroles.console import Parser, guarded, say, say_json
from kvroles.errors import Exit, UsageError
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.series.release import resolve


def parser() -> argparse.ArgumentParser:
    """The command line of ``apply.py``."""
    p = Parser(prog="apply.py", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    p.add_argument("--vllm-rev", metavar="REV", help="a release (0.22.1, v0.22.1, latest), or a tag, branch or commit")
    p.add_argument(
        "--upstream", metavar="URL|DIR", help="take --vllm-rev from this git repository or clone, not from an archive"
    )
    where = p.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="DIR", type=Path, help="the tree to make (default: build/vllm-REV)")
    where.add_argument("--into", metavar="DIR", type=Path, help="an existing tree to change; its release is detected")
    p.add_argument("--with", dest="extra", metavar="TOPIC", action="append", default=[], help="an optional topic too")
    p.add_argument("--check", action="store_true", help="say what would be done, and write nothing")
    p.add_argument("--reverse", action="store_true", help="take the series back out of a tree")
    p.add_argument(
        "--3way", dest="three_way", action="store_true", help="merge into files that are edited or do not fit"
    )
    p.add_argument("--list", action="store_true", help="list the releases (or the one named) and what serves them")
    p.add_argument(
        "--export", metavar="DIR", type=Path, help="with --list: write the release's series as mails for git am"
    )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--offline", action="store_true", help="never touch the network: archives come from the cache")
    p.add_argument("--index-url", metavar="URL", help="the package index (default: the one pip is set to use)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where archives are kept (default: the user's cache)")
    volume = p.add_mutually_exclusive_group()
    volume.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    volume.add_argument("-v", "--verbose", action="store_true", help="name the contract's clauses")
    return p


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    if args.export and not args.list:
        raise UsageError(
            "--export goes with --list", fix="Run 'python tools/apply.py --list --export DIR --vllm-rev REV'"
        )
    if args.list:
        series, lock = project.load()
        if args.vllm_rev:
            lock = lock.only(resolve(args.vllm_rev, lock.releases))
        if args.export:
            from kvroles.series import export  # makes mails, which nothing else here does

            say(export.write(series, lock, args.vllm_rev or "latest", args.export, tuple(args.extra)))
        elif args.json:
            say_json(report.listing_json(lock, series))
        else:
            say(report.listing(lock, series))
        return Exit.DONE
    if not args.vllm_rev and not args.into:
        raise UsageError(
            "Name a revision with --vllm-rev or a tree with --into", fix="See 'python tools/apply.py --help'"
        )
    if args.into and args.upstream:
        raise UsageError("--upstream makes a new tree, and --into names one that is there", fix="Choose one of the two")
    outcome = applying.run(
        Request(
            revision=args.vllm_rev,
            upstream=args.upstream,
            output=args.output,
            into=args.into,
            extra=tuple(args.extra),
            check=args.check,
            reverse=args.reverse,
            three_way=args.three_way,
            offline=args.offline,
            quiet=args.quiet,
            index_url=args.index_url,
            cache_dir=args.cache_dir or default_cache_dir(),
        )
    )
    if args.json:
        say_json(report.as_json(outcome))
    elif not args.quiet:
        say(report.text(outcome, verbose=args.verbose))
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(guarded(parser(), run))
