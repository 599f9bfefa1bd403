"""Prints the report in the form that was asked for, and writes the page."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from kvroles import console
from kvroles.errors import UsageError

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage


def check(args: argparse.Namespace) -> None:
    """Raise ``UsageError`` where the page that ``args`` ask for cannot be written, or a file is named for two things."""
    named = [
        (f"--{name.replace('_', '-')}", path)
        for name in ("html", "baseline", "config", "from_list")
        if (path := getattr(args, name, None)) not in (None, "-")
    ]
    for n, (option, path) in enumerate(named):
        for other, there in named[n + 1 :]:
            if _same(path, there):
                raise UsageError(f"{option} {path} and {other} {there} are one file", fix="Name a file for each")
    if args.html is not None:
        # lazy: most runs write no page
        from kvroles.migrate.report import html

        html.check_place(args.html)


def _same(path: str, other: str) -> bool:
    """Whether two paths lead to one file, also to one that is not there yet."""
    try:
        return os.path.realpath(path) == os.path.realpath(other) or os.path.samefile(path, other)
    except OSError:
        return False


def report(args: argparse.Namespace, results: list[FileResult], coverage: Coverage) -> bool:
    """Print the report, and write the page that is asked for; whether that could be written."""
    if args.write and args.paths == ["-"]:  # standard output has the text
        console.note(_text(args, results, coverage))
    elif args.diff and args.format == "text":
        # lazy: most runs show no change
        from kvroles.migrate.report import diff

        console.say_exactly(diff.diffs(results))
        if console.can_say():
            _beside_the_patch(args, results, coverage)
    elif args.format == "text":
        console.say(_text(args, results, coverage))
    else:
        _machine(args.format, results, coverage)
    if args.html is None:
        return True
    # lazy: most runs write no page
    from kvroles.migrate.report import html

    try:
        html.write(args.html, html.page(results, coverage))
    except OSError as e:
        console.note(f"kv-roles: {args.html} cannot be written: {e.strerror or e}. What was there is as it was.")
        return False
    return True


def _beside_the_patch(args: argparse.Namespace, results: list[FileResult], coverage: Coverage) -> None:
    """Say on standard error what is no change: what somebody has to decide or could not be read, and the summary."""
    # lazy: not before all is read
    from kvroles.migrate.report import table, text

    needs = any(table.state(f) in {"unread", "to decide"} for r in results for f in r.findings)
    console.note(text.text(results, coverage, quiet=args.quiet or not needs))


def _text(args: argparse.Namespace, results: list[FileResult], coverage: Coverage) -> str:
    # lazy: not before all is read
    from kvroles.migrate.report import text

    return text.text(results, coverage, verbose=args.verbose, quiet=args.quiet, check=args.check)


def _machine(form: str, results: list[FileResult], coverage: Coverage) -> None:
    """Print the report in one of the forms for programs."""
    # lazy: only the form that is asked for
    match form:
        case "json":
            from kvroles.migrate.report import json  # lazy: see above

            console.say_json(json.as_json(results, coverage))
        case "sarif":
            from kvroles.migrate.report import sarif  # lazy: see above

            console.say_json(sarif.log(results))
        case "github":
            from kvroles.migrate.report import github  # lazy: see above

            console.say_exactly("".join(f"{line}\n" for line in github.github(results)))
        case _:
            from kvroles.migrate.report import table  # lazy: see above

            rows = table.rows(results, coverage)
            console.say_exactly(table.csv(rows) if form == "csv" else table.markdown(rows))
