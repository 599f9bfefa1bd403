"""Run upstream's unit tests that touch NIXL on a release before and after the series, and keep the counts.

Exit codes: 0 no test was lost and the new ones pass; 2 wrong usage; 3 a test that passed does not, or a new one fails;
4 an environment or archive cannot be had.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kvroles.console import guarded, note, say
from kvroles.errors import Exit, Unproven

from kvworkshop import grammar, own
from kvworkshop.runtime import unit_runs


def parser(prog: str = "unit_runs.py") -> argparse.ArgumentParser:
    """The command line."""
    p = grammar.parser(__doc__, prog)
    p.add_argument("releases", metavar="RELEASE", nargs="+", help=f"one of {', '.join(unit_runs.ENVIRONMENTS)}")
    p.add_argument("--write", action="store_true", help="keep the runs in docs/data/unit_runs.json, and compat.json")
    return p


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    for release in args.releases:
        with tempfile.TemporaryDirectory(prefix="kv-roles-units-") as work:
            comparison, record = unit_runs.compare(release, Path(work, "trees"), note)
        if comparison.lost or comparison.new_failures:
            raise Unproven(
                f"Upstream's unit tests of {release} do not all survive the series",
                expected="every test that passed before to pass after it, and the new ones to pass",
                found=", ".join(comparison.lost + comparison.new_failures),
            )
        if args.write:
            unit_runs.write(own.ROOT, record)
        say(f"{release}: {record['before']} before, {record['after']} after")
        for test in record["unsteady"]:
            say(f"{release}: {test['test']} is unsteady: {test['before']} before, {test['after']} after")
    return Exit.DONE


def main(argv: Sequence[str] | None = None, prog: str = "unit_runs.py") -> int:
    """Run the command; returns the exit code."""
    return guarded(parser(prog), run, argv)
