"""``apply``: give a vLLM revision explicit KV roles. The command line, and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kvroles.apply.request import Request
from kvroles.console import Parser, guarded, note, refuse_idle, say, say_json
from kvroles.errors import Exit, UsageError
from kvroles.places import default_cache_dir, program
from kvroles.series.parts import Part
from kvroles.series.release import resolve

ABOUT = "Give a vLLM revision explicit KV roles: a revision in, a patched and proven tree out."
CODES = """Runs on Python >= 3.11 with the standard library, and git for revisions that are not releases. Exit codes: 0 done or
nothing to do; 1 does not apply; 2 wrong usage; 3 a hash or the contract does not hold; 4 the source cannot be had."""

# The kinds of runs, and for each the options that have an effect in it beside those that have one in every run.
EFFECT = {
    "--list": {"vllm_rev", "list", "export", "extra", "json"},
    "--into": {"vllm_rev", "into", "extra", "check", "reverse", "only", "part", "three_way", "exact", "json"},
    "--range": {"upstream", "range", "extra", "part", "exact", "json"},
    "--since": {"vllm_rev", "upstream", "since", "extra", "part", "exact", "json"},
    "a new tree": {
        "vllm_rev",
        "upstream",
        "output",
        "extra",
        "check",
        "reverse",
        "only",
        "part",
        "three_way",
        "exact",
        "json",
    },
}


def parser(prog: str = "apply.py") -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=prog, description=ABOUT, epilog=CODES, allow_abbrev=False)
    p.add_argument("--vllm-rev", metavar="REV", help="a release (0.22.1, v0.22.1, latest), or a tag, branch or commit")
    p.add_argument(
        "--upstream",
        metavar="URL|DIR|FILE",
        help="take --vllm-rev from this git repository or clone; or the one source tree that a tar.gz, "
        "or a folder without git, holds",
    )
    span = p.add_mutually_exclusive_group()
    span.add_argument(
        "--range", metavar="A..B", help="judge each commit of a range of the clone --upstream, and write nothing"
    )
    span.add_argument(
        "--since", metavar="DAY", help="judge each commit before --vllm-rev (default: HEAD) since YYYY-MM-DD"
    )
    where = p.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="DIR", type=Path, help="the tree to make (default: build/vllm-REV)")
    where.add_argument("--into", metavar="DIR", type=Path, help="an existing tree to change; its release is detected")
    p.add_argument("--with", dest="extra", metavar="TOPIC", action="append", default=[], help="an optional topic too")
    p.add_argument("--check", action="store_true", help="say what would be done, and write nothing")
    p.add_argument("--reverse", action="store_true", help="take the series back out of a tree")
    p.add_argument("--only", metavar="TOPIC", help="with --reverse: take this topic out, and leave the others")
    p.add_argument(
        "--part",
        choices=[part.value for part in Part],
        help="only vllm/ (runtime), only tests/, or only the rest (docs: guides, recipes, examples)",
    )
    p.add_argument(
        "--3way", dest="three_way", action="store_true", help="merge into files that are edited or do not fit"
    )
    p.add_argument(
        "--exact",
        action="store_true",
        help="refuse a file that no variant's text fits, where it could be changed by meaning",
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
    _refuse_unfit(args)
    # lazy: --help, and a command line that is refused, are answered in half the time without what a run needs
    from kvroles.apply import report
    from kvroles.apply.run import run as apply

    if args.list:
        return _list(args)
    if args.range or args.since:
        return _range(args)
    if not args.vllm_rev and not args.into and not _is_snapshot(args.upstream):
        raise UsageError(
            "Name a revision with --vllm-rev or a tree with --into", fix=f"See `{program('apply', '--help')}`"
        )
    outcome = apply(_request(args))
    if args.json:
        say_json(report.as_json(outcome))
    elif not args.quiet:
        say(report.text(outcome, verbose=args.verbose))
    return Exit.DONE


def _is_snapshot(upstream: str | None) -> bool:
    """Whether ``--upstream`` holds one revision only, which then needs no ``--vllm-rev``."""
    if upstream is None:
        return False
    # lazy: a release needs no other source than its archive
    from kvroles.sources import snapshot

    return snapshot.is_one(upstream)


def _request(args: argparse.Namespace) -> Request:
    return Request(
        revision=args.vllm_rev,
        upstream=args.upstream,
        output=args.output,
        into=args.into,
        extra=tuple(args.extra),
        check=args.check,
        reverse=args.reverse,
        only=args.only,
        part=Part(args.part) if args.part else None,
        three_way=args.three_way,
        exact=args.exact,
        offline=args.offline,
        quiet=args.quiet or args.json,
        index_url=args.index_url,
        cache_dir=args.cache_dir or default_cache_dir(),
    )


def _range(args: argparse.Namespace) -> int:
    # lazy: starts processes, which no other run does
    from kvroles.apply import many

    rows = many.run(_request(args), args.range, args.since)
    if args.json:
        say_json(many.as_json(rows))
    elif not args.quiet:
        say(many.text(rows))
    return many.code(rows)


def _refuse_unfit(args: argparse.Namespace) -> None:
    """Raise UsageError for options that do not go together, and for one that the run would pass over."""
    kind = next((f"--{name}" for name in ("list", "into", "range", "since") if getattr(args, name)), "a new tree")
    if kind == "--into" and args.upstream:
        raise UsageError("--upstream makes a new tree, and --into names one that is there", fix="Choose one of the two")
    if kind != "--list" and args.export:
        raise UsageError(f"--export has no effect with {kind}", fix="Give --export with --list")
    refuse_idle(args, kind, EFFECT[kind])
    if args.list and args.extra and not args.export:
        raise UsageError("--with has no effect with --list alone", fix="Leave it out, or give --export DIR too")
    if args.only and not args.reverse:
        raise UsageError("--only goes with --reverse", fix=f"Take the topic out with `--reverse --only {args.only}`")
    if args.reverse and args.extra:
        raise UsageError(
            "--with has no effect with --reverse, which takes out every topic that the tree holds",
            fix=f"Take out one topic with `--reverse --only {args.extra[0]}`, or leave --with out",
        )
    if args.only and args.three_way:
        raise UsageError("--only takes a topic out by its own text, and --3way merges", fix="Leave --3way out")


def _list(args: argparse.Namespace) -> int:
    # lazy: as in ``run``, not needed for --help or a refused command line
    from kvroles.apply import report
    from kvroles.series import project

    series, lock = project.load()
    if args.export:
        # lazy: makes mails, which no other run does
        from kvroles.series import export

        release = resolve(args.vllm_rev or "latest", lock.releases)
        files = export.write(series, lock, release, args.export, tuple(args.extra))
        if args.json:
            say_json({"schema": 1, "release": release, "files": files})
        else:
            say("\n".join(files))
        if not args.vllm_rev:
            note(f"These are the mails for vLLM {release}, the newest; --vllm-rev names another.")
        return Exit.DONE
    if args.vllm_rev:
        lock = lock.only(resolve(args.vllm_rev, lock.releases))
    if args.json:
        say_json(report.listing_json(lock, series))
    else:
        say(report.listing(lock, series))
    return Exit.DONE


def main(argv: Sequence[str] | None = None, prog: str = "apply.py") -> int:
    """Run the command; returns the exit code."""
    return guarded(parser(prog), run, argv)
