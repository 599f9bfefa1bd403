"""Prove the series on every release, from the archives alone: it applies, the contract holds, reverse restores, the lock is true.

Compares with docs/data/compat.json, or writes it with --write. With --lint the patches themselves are checked (KVR0xx).
Exit codes: 0 all proven; 1 lint findings; 2 wrong usage; 3 a release is not proven, or compat.json has drifted;
4 an archive cannot be had.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kvroles.console import guarded, refuse_idle, say, say_json
from kvroles.errors import Exit, UsageError
from kvroles.places import default_cache_dir
from kvroles.progress import Progress
from kvroles.sources.release_files import Options
from kvroles.tree import handles

from kvworkshop import grammar, lint, own
from kvworkshop.verify import compat, report


def parser(prog: str = "verify.py") -> argparse.ArgumentParser:
    """The command line."""
    p = grammar.parser(__doc__, prog)
    which = p.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every release in the lock (the default)")
    which.add_argument("--release", metavar="R", action="append", default=[], help="this release; may be repeated")
    which.add_argument("--lint", action="store_true", help="check the patches themselves, not the releases")
    p.add_argument("--shard", metavar="I/N", help="of the releases chosen, only the I-th of N parts")
    p.add_argument("--jobs", metavar="N", type=int, default=0, help="processes (default: one a core)")
    p.add_argument("--write", action="store_true", help="write what is found to docs/data/compat.json")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--offline", action="store_true", help="never touch the network: archives come from the cache")
    p.add_argument("--index-url", metavar="URL", help="the package index (default: the one pip is set to use)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where archives are kept (default: the user's cache)")
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, no table")
    return p


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    if args.jobs < 0:
        raise UsageError(f"--jobs {args.jobs} is no number of processes", fix="Give it 1 or more, or leave it out")
    options = Options(args.cache_dir or default_cache_dir(), args.index_url, args.offline)
    if args.lint:
        refuse_idle(args, "--lint", {"lint", "json"})
        findings = lint.check(options)
        if args.json:
            say_json([f.as_json() for f in findings])
        else:
            say(lint.text(findings))
        return Exit.DOES_NOT_APPLY if findings else Exit.DONE
    releases = compat.selection(args.release, args.all, args.shard)
    with Progress("Verifying", len(releases), quiet=args.quiet or args.json, unit="releases") as bar:
        proofs = compat.prove_all(releases, options, args.jobs, bar.at)
    root = own.ROOT
    runs = compat.unit_counts(root)
    bad = [p for p in proofs if p.problem]
    if args.write and not bad:
        committed = compat.read(root) if (root / compat.COMPAT).exists() else {}
        handles.write(root / compat.COMPAT, compat.dumps(compat.merge(proofs, runs, committed)))
    drifted = [] if bad else compat.drift(proofs, runs, compat.read(root))
    if args.json:
        say_json(compat.document(proofs, runs))
    elif not args.quiet:
        say(report.table(proofs, drifted))
    report.complain(proofs, drifted)
    return Exit.DONE


def main(argv: Sequence[str] | None = None, prog: str = "verify.py") -> int:
    """Run the command; returns the exit code."""
    return guarded(parser(prog), run, argv)
