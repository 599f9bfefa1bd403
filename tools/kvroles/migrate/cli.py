"""Find every NIXL kv_both, say which side it is and why, and rewrite it where that is certain.

Exit codes: 0 done or nothing to do; 1 with --check, something is left, or something could not be written; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvroles import console
from kvroles.errors import Exit, UsageError
from kvroles.migrate.report import SCHEMA, output

if TYPE_CHECKING:
    from kvroles.migrate.answers.baseline import Entry
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.review.terminal import Terminal
    from kvroles.migrate.search import Coverage
    from kvroles.migrate.settings import Known, Options
    from kvroles.series.release import Version

_EPILOG = """\
Answers that the files do not hold go into .kv-roles.toml (the nearest one up to the top of a file's repository):

  exclude = ["legacy/**"]
  connectors = ["MyNixlConnector"]    # your subclasses of NixlConnector
  [side]
  "deploy/worker-a.yaml" = "prefill"
  [both]
  "docs/deploy.md" = "the page is for both sides"

A name without / is that file in every folder. The most exact row counts: GLOB:LINE, then a path, a name, a pattern.

--review asks for them one by one. A comment on or above a line answers too: "kv-roles: keep both because ..." leaves it
as it is, "kv-roles: ignore[KVR114]" silences a finding there.
"""


class _Formatter(console.Formatter, argparse.RawDescriptionHelpFormatter):
    """Leaves the examples' lines as they are."""


class _Parser(console.Parser):
    def also(self, message: str) -> None:
        """As an object where the report would have been one."""
        if _asks_for_json(self.given):
            console.say_json({"version": SCHEMA, "error": message, "code": int(Exit.USAGE)})

    given: Sequence[str] = ()


class _Form(argparse.Action):
    """``-o FORM``, or the option that is short for it; ``json`` is what an error is printed as, too."""

    def __call__(self, parser: object, args: argparse.Namespace, value: object, _option: str | None = None) -> None:  # noqa: ARG002
        args.format = self.const or value
        args.json = args.format == "json"


def _asks_for_json(given: Sequence[str]) -> bool:
    """Whether a command line that cannot be parsed asks for JSON."""
    words = list(given)[: list(given).index("--")] if "--" in given else list(given)
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(
        w in {"--json", "-ojson", "--output=json"} or (w in {"-o", "--output"} and following == "json")
        for w, following in pairs
    )


def parser(prog: str = "kv-roles") -> _Parser:
    """The command line's grammar."""
    about, _, codes = (__doc__ or "").partition("\n\n")
    p = _Parser(
        prog=prog,
        allow_abbrev=False,
        description=about,
        epilog=f"{_EPILOG}\n{codes}",
        formatter_class=_Formatter,
    )
    p.add_argument("paths", nargs="*", metavar="PATH", help="files and folders; - reads standard input")
    p.add_argument("--from-list", metavar="FILE", help="more paths from a file, one a line; - is standard input")
    p.add_argument(
        "-0", "--null", action="store_true", help="the list's paths end with a zero byte, as of find -print0"
    )
    do = p.add_mutually_exclusive_group()
    do.add_argument("--write", action="store_true", help="rewrite in place what is certain (- goes to standard output)")
    do.add_argument("--diff", action="store_true", help="show what --write would change")
    p.add_argument("--check", action="store_true", help="exit with 1 if anything is left to do")
    p.add_argument(
        "--review",
        action="store_true",
        help="ask on the terminal for what is open, and keep the answers in .kv-roles.toml",
    )
    p.add_argument("--target-vllm", metavar="RELEASE", help="add what that release does with the role")
    p.add_argument(
        "--side",
        action="append",
        default=[],
        metavar="GLOB=SIDE",
        help="prefill or decode, where the files do not say (GLOB:LINE for one place); may be repeated",
    )
    trust = p.add_mutually_exclusive_group()
    trust.add_argument("--config", metavar="FILE", help="settings for all paths (default: the nearest .kv-roles.toml)")
    trust.add_argument(
        "--no-config", action="store_true", help="no settings: a gate that does not trust the tree's own"
    )
    p.add_argument("--baseline", metavar="FILE", help="what is open there already fails no --check")
    p.add_argument("--write-baseline", action="store_true", help="write what is open now to the file of --baseline")
    add_forms(p)
    return p


def add_forms(p: argparse.ArgumentParser) -> None:
    """Add the options that say how the findings are reported."""
    form = p.add_mutually_exclusive_group()
    form.add_argument(
        "-o",
        "--output",
        action=_Form,
        choices=("text", "json", "sarif", "github", "csv", "markdown"),
        help="the report's form; csv and markdown are the summary alone, a row for each repository",
    )
    for name, what in (
        ("json", "findings as JSON"),
        ("sarif", "findings as SARIF 2.1.0"),
        ("github", "findings as GitHub annotations"),
    ):
        form.add_argument(f"--{name}", action=_Form, nargs=0, const=name, help=f"{what} (-o {name})")
    p.set_defaults(format="text", json=False)
    p.add_argument("--html", metavar="FILE", help="also write the report as one page that can be sent")
    p.add_argument(
        "-v", "--verbose", action="store_true", help="all findings: what is certain with its evidence, and notes"
    )
    p.add_argument("-q", "--quiet", action="store_true", help="the summary only")


def main(argv: list[str] | None = None, prog: str = "kv-roles") -> int:
    """Run and return the exit code; a failure is one paragraph on standard error, and an object with ``--json``."""
    p = parser(prog)
    p.given = sys.argv[1:] if argv is None else argv
    kept = ", and every answer given is kept" if "--review" in p.given else ""
    done = f"every file is as it was, or done{kept}; run again for the rest"
    return console.guarded(p, _run, argv, version=SCHEMA, interrupted=done)


def _run(args: argparse.Namespace) -> int:
    # lazy: most runs need it late, or not at all
    from kvroles.migrate import search, settings
    from kvroles.migrate.files import paths

    if args.config is not None and not os.path.isfile(args.config):
        raise UsageError(f"--config {args.config} is no file")
    output.check(args)
    release = release_of(args)
    terminal = _terminal(args) if args.review else None
    if args.write_baseline and args.baseline is None:
        raise UsageError("--write-baseline goes with --baseline", fix="Name the file: --baseline FILE --write-baseline")
    entries = _entries(args)
    known = settings.Known(args.side, args.config, trust=not args.no_config)
    options = settings.Options(
        known.of("-", "."),
        release,
        proof=args.write or args.diff or args.json or args.review or args.html is not None,
        known=known,
        keys=args.review or args.baseline is not None or args.format == "sarif",
        lines=args.format == "sarif" or args.html is not None,
    )
    args.paths = paths.given(args.paths, args.from_list, null=args.null)
    if _names_standard_input(args.paths):
        return _standard_input(args, options, known, entries)
    found, coverage = search.over(args.paths, known, names=args.verbose, quiet=args.quiet)
    if args.baseline is not None:
        found = search.without(args.baseline, found, coverage)
    # lazy: not before: what these need is loaded while other processes look for files
    from kvroles.migrate import run
    from kvroles.migrate.answers import rows  # lazy: see above

    looked_at = coverage.copy()
    results = run.each(found, options, coverage, quiet=args.quiet)
    run.check_sides(known, coverage, results)
    rows.check(args.paths, results, coverage, known)
    write = args.write
    if terminal is not None:
        # lazy: only a review needs it
        from kvroles.migrate.review import review

        known = review.ask(results, found, known, terminal)
        coverage = looked_at
        results = run.each(found, options._replace(known=known), coverage)
        write = review.confirm(results, terminal, ask=not args.write)
    whole = _write(results) if write else True
    _baseline(args, entries, results)
    whole = output.report(args, results, coverage) and whole
    _account(args.paths, results, coverage, known)
    return exit_code(args, results, whole=whole)


def release_of(args: argparse.Namespace) -> Version | None:
    """The release of ``--target-vllm``; None without one. Raises ``UsageError`` for one that is not known."""
    if args.target_vllm is None:
        return None
    # lazy: most runs name no release
    from kvroles.migrate.verdict import hazards

    return hazards.target(args.target_vllm)


def _names_standard_input(paths: list[str]) -> bool:
    """Whether standard input is to be read. Raises ``UsageError`` where that is not clear."""
    if "-" not in paths:
        return False
    if os.path.lexists("-"):  # a gate that is given the names of files would else pass on an empty input
        raise UsageError("- stands for standard input, and there is a file of that name here", fix="Name the file ./-")
    if len(paths) > 1:
        raise UsageError("- stands for standard input and goes with no other path")
    return True


def _terminal(args: argparse.Namespace) -> Terminal:
    """The terminal of a review. Raises ``UsageError`` where there is none, or nothing to ask on it."""
    for given, option in ((args.format != "text", f"-o {args.format}"), (args.diff, "--diff")):
        if given:
            raise UsageError(f"--review asks on the terminal, and goes not with {option}", fix="Run it by itself")
    if args.no_config:
        raise UsageError("--review keeps answers in the settings, and goes not with --no-config", fix="Leave that out")
    if "-" in args.paths or args.from_list == "-":
        raise UsageError("--review reads keys from standard input, which can be no text too", fix="Name a file")
    # lazy: only a review needs it
    from kvroles.migrate.review.terminal import Terminal

    return Terminal()


def _entries(args: argparse.Namespace) -> list[Entry]:
    """What the baseline holds; nothing where there is none, or none yet."""
    if args.baseline is None or (args.write_baseline and not os.path.lexists(args.baseline)):
        return []
    # lazy: most runs have no baseline
    from kvroles.migrate.answers import baseline

    return baseline.load(args.baseline)


def _baseline(args: argparse.Namespace, entries: list[Entry], results: list[FileResult]) -> None:
    """Write the baseline where that is asked for; mark the findings it knows, and say which entries are none any more."""
    if args.baseline is None:
        return
    # lazy: most runs have no baseline
    from kvroles.migrate.answers import baseline

    baseline.keep(results, entries, args.baseline)
    gone = baseline.gone(results, entries, args.baseline, args.paths)
    if args.write_baseline:
        kept = baseline.write(args.baseline, results, [e for e in entries if e not in gone])
        console.note(f"{args.baseline}: entries: {kept} written, {len(gone)} taken out")
        baseline.keep(results, baseline.load(args.baseline), args.baseline)
    elif gone:
        console.note(
            f"{args.baseline}: entries that are no finding any more (written, answered, of another code, or the line is "
            f"gone): {len(gone)}, the first {gone[0].file}: {gone[0].line or gone[0].code}. --write-baseline takes "
            f"{'it' if len(gone) == 1 else 'them'} out."
        )


_NO_ITEMS = re.compile(rb"""^\s*"?items"?\s*:\s*\[\s*\]\s*,?\s*$""", re.MULTILINE)
_LIST = re.compile(rb"""^\s*"?kind"?\s*:\s*"?\w*List"?\s*,?\s*$""", re.MULTILINE)


def _holds_something(data: bytes) -> None:
    """Raise UsageError for what a command writes that found nothing, or failed: no text, or a list without objects."""
    is_empty = not data.strip()
    if is_empty or (len(data) < 1000 and _NO_ITEMS.search(data) and _LIST.search(data)):
        raise UsageError(
            f"Standard input {'is empty' if is_empty else 'is a list without objects'}, so nothing was looked at",
            expected="a text, as `kubectl get ... -o yaml` or `helm template` writes it",
            fix="Look at the command before the pipe: its namespace, its selector, and whether it failed ('set -o pipefail')",
        )


def _standard_input(args: argparse.Namespace, options: Options, known: Known, entries: list[Entry]) -> int:
    """Read standard input as one file; with ``--write`` give it out again, rewritten. The exit code."""
    # lazy: most runs need it late, or not at all
    from kvroles.migrate import run, search
    from kvroles.migrate.files import hits

    if sys.stdin is None:
        raise UsageError("Standard input is closed", fix="Pipe a text into it, or name a path")
    data = sys.stdin.buffer.read(hits.MAX_BYTES + 1)
    if not args.write:  # with it this is a filter, and nothing becomes nothing
        _holds_something(data)
    result = run.of_input(data, options)
    results = [result] if result is not None else []
    for r in results:
        r.repository = "-"
    coverage = search.Coverage()
    coverage.looked["-"] = 1
    coverage.sides = known.named_by("-", set())
    run.check_sides(known, coverage, results)
    if args.write:
        after = result.after if result is not None else None
        for f in result.findings if result is not None else []:
            f.written = after is not None and f.role is not None
        data = data if after is None else after
        while data and console.can_say():
            console.say_exactly(data)
            data = sys.stdin.buffer.read(1 << 20)
    _baseline(args, entries, results)
    whole = output.report(args, results, coverage)
    _account([], results, coverage, known)
    return exit_code(args, results, whole=whole)


def exit_code(args: argparse.Namespace, results: list[FileResult], *, whole: bool) -> int:
    """The exit code of a run; ``whole`` says that all that was asked for was written."""
    # lazy: not before all is read
    from kvroles.migrate.run import left

    return int(Exit.DOES_NOT_APPLY if not whole or (args.check and left(results)) else Exit.DONE)


def _write(results: list[FileResult]) -> bool:
    """Write what is to be written; whether all of it could be."""
    # lazy: most runs write nothing
    from kvroles.migrate import run
    from kvroles.migrate.files import rewrite

    whole = True
    for r in results:
        if r.after is None:
            continue
        try:
            rewrite.write(r.path, r.before, r.after)
        except rewrite.NotWrittenError as e:
            run.not_written(r, str(e))
            whole = False
            continue
        for f in r.findings:
            f.written = f.role is not None
    return whole


def _account(paths: list[str], results: list[FileResult], coverage: Coverage, known: Known) -> None:
    """Say on standard error what the settings decided."""
    # lazy: not before all is read
    from kvroles.migrate.answers import account

    for line in account.lines(paths, results, coverage, known):
        console.note(line)
