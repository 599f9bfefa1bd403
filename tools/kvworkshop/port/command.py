"""The maintainer's day when vLLM releases: try the newest variants, write new ones where the text forces it, lock the release.

Exit codes: 0 done, nothing is left to a person; 1 something is; 2 wrong usage; 3 the result is not proven;
4 the release cannot be had.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kvroles.console import guarded, refuse_idle, say, say_json
from kvroles.errors import Exit, UsageError
from kvroles.places import default_cache_dir
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.sources.release_files import Options

from kvworkshop import grammar, own
from kvworkshop.port import keep, port
from kvworkshop.port import report as porting_report


def parser(prog: str = "port.py") -> argparse.ArgumentParser:
    """The command line."""
    p = grammar.parser(__doc__, prog)
    job = p.add_mutually_exclusive_group(required=True)
    job.add_argument("--to", metavar="R|PATH", help="a release on the index, its archive, or an unpacked tree of it")
    job.add_argument("--relock", action="store_true", help="make the lock's rows anew from the archives")
    job.add_argument(
        "--keep",
        metavar="REV",
        help="the series of commit or tag REV becomes an earlier one: keep what this one makes otherwise",
    )
    job.add_argument(
        "--export-upstream", metavar="TOPIC", help="a topic as a patch for vLLM itself, on the newest release"
    )
    p.add_argument("--as", dest="as_release", metavar="R", help="with --to PATH: the release it is")
    p.add_argument(
        "--from-tree", metavar="DIR", type=Path, help="with --to: take the variants from this hand-resolved tree"
    )
    p.add_argument(
        "--with",
        dest="extra",
        metavar="TOPIC",
        help="with --from-tree: the tree is the default series and this optional topic",
    )
    p.add_argument("--output", metavar="DIR", type=Path, help="where conflicts and exports go (default: build/port-R)")
    p.add_argument("--check", action="store_true", help="report only, write nothing to patches/")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.add_argument("--offline", action="store_true", help="never touch the network: archives come from the cache")
    p.add_argument("--index-url", metavar="URL", help="the package index (default: the one pip is set to use)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where archives are kept (default: the user's cache)")
    return p


# What each job looks at beside its own option; a port (``--to``) looks at all of them.
_USED = {
    "--relock": {"relock", "check"},
    "--keep": {"keep"},
    "--export-upstream": {"export_upstream", "output"},
}


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    for job, used in _USED.items():
        if getattr(args, job.removeprefix("--").replace("-", "_")):
            refuse_idle(args, job, used)
    options = Options(args.cache_dir or default_cache_dir(), args.index_url, args.offline)
    root = own.ROOT
    own.refuse_links(root)
    series, lock = Series.load(), Lock.load()  # not held against each other: to bring them together is this tool's job
    if args.export_upstream is not None:
        folder = args.output or Path("build") / "upstream"
        say(porting_report.export(args.export_upstream, folder, series, lock, options))
        return Exit.DONE
    if args.relock:
        kept = keep.keep(root, "HEAD", series, lock) if (root / ".git").exists() and not args.check else []
        say(porting_report.written([*kept, *port.relock_all(root, series, lock, options, check=args.check)]))
        return Exit.DONE
    if args.keep is not None:
        say(porting_report.written(keep.keep(root, args.keep, series, lock)))
        return Exit.DONE
    if args.from_tree and args.check:
        raise UsageError("--from-tree writes variants, which --check forbids", fix="Choose one of the two")
    if args.extra and not args.from_tree:
        raise UsageError("--with says what a tree holds, and there is no --from-tree")
    report = port.port(
        root, args.to, args.as_release, args.from_tree, args.extra, args.output, args.check, series, lock, options
    )
    if report.written and not report.left:
        from kvworkshop.port import facts  # lazy: the table of proofs takes libraries, which --help does without

        assert report.proof is not None  # of a release whose row was written
        report.written += facts.write(root, report.proof, lock)
    if args.json:
        say_json(report.as_json())
    else:
        say(porting_report.text(report))
    return Exit.DOES_NOT_APPLY if report.left else Exit.DONE


def main(argv: Sequence[str] | None = None, prog: str = "port.py") -> int:
    """Run the command; returns the exit code."""
    return guarded(parser(prog), run, argv)
