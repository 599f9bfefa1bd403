"""Command line of ``migrate``: finds every NIXL ``kv_both``, says which side it is and why, rewrites where that is certain.

Exit codes: 0 done or nothing to do; 1 with ``--check``, something is left; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING, TextIO

from kvroles.errors import Exit, KvRolesError, UsageError

if TYPE_CHECKING:
    from kvroles.migrate.run import FileResult
    from kvroles.migrate.settings import Options

# Objects until the young are collected, and how often until the older are. Python's 700 has the trees of every file walked
# dozens of times; its 10 and 10 let the trees of a hundred files pile up.
_COLLECT_AFTER = 10_000, 2, 2
_EPILOG = """\
Answers that the files do not hold go into .kv-roles.toml (looked for in the current folder):

  exclude = ["legacy/**"]
  connectors = ["MyNixlConnector"]    # your subclasses of NixlConnector
  [side]
  "deploy/worker-a.yaml" = "prefill"

A comment "kv-roles: ignore[KVR114]" on or above a line silences a finding there.
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows its width: argparse, which makes one for every argument, else loads ``shutil`` to ask for it."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
        except (OSError, ValueError):
            width = 80
        super().__init__(prog, width=width - 2)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    p = argparse.ArgumentParser(
        prog="kv-roles",
        description=(__doc__ or "").split("\n\n")[0],
        epilog=_EPILOG,
        formatter_class=_Formatter,
    )
    p.add_argument("paths", nargs="+", metavar="PATH", help="files and folders; - reads standard input")
    do = p.add_mutually_exclusive_group()
    do.add_argument("--write", action="store_true", help="rewrite in place what is certain (- goes to standard output)")
    do.add_argument("--diff", action="store_true", help="show what --write would change")
    p.add_argument("--check", action="store_true", help="exit with 1 if anything is left to do")
    p.add_argument("--target-vllm", metavar="RELEASE", help="add what that release does with the role")
    p.add_argument(
        "--side",
        action="append",
        default=[],
        metavar="GLOB=SIDE",
        help="prefill or decode, where the files do not say (GLOB:LINE for one place)",
    )
    p.add_argument("--config", metavar="FILE", help="settings (default: .kv-roles.toml in the current folder)")
    form = p.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="format", help="findings as JSON")
    form.add_argument("--sarif", action="store_const", const="sarif", dest="format", help="findings as SARIF 2.1.0")
    form.add_argument(
        "--github", action="store_const", const="github", dest="format", help="findings as GitHub annotations"
    )
    p.add_argument("-v", "--verbose", action="store_true", help="notes as well: other connectors, wrappers, mentions")
    p.add_argument("-q", "--quiet", action="store_true", help="the summary only")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run and return the exit code; a failure is one paragraph on standard error."""
    gc.disable()  # until what this takes is loaded: it stays, and there is nothing to collect
    args = parser().parse_args(argv)
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except KvRolesError as e:
        print(f"kv-roles: {e}", file=sys.stderr)
        return int(e.code)
    except KeyboardInterrupt:
        print("kv-roles: interrupted; every file is as it was, or done. Run again for the rest.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.DONE)
    except OSError as e:  # what is done to a file names it, and is told among the findings
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = e.filename or "Standard output cannot be written"
        print(f"kv-roles: {where}: {e.strerror or e}.", file=sys.stderr)
        return int(Exit.DOES_NOT_APPLY)
    finally:
        gc.freeze()  # the interpreter is about to end, and need not look for what could be freed
        gc.enable()


def _run(args: argparse.Namespace) -> int:
    from kvroles.migrate import search, settings

    config = args.config or (settings.NAME if os.path.isfile(settings.NAME) else None)
    if args.config is not None and not os.path.isfile(args.config):
        raise UsageError(f"--config {args.config} is no file")
    release = None
    if args.target_vllm is not None:
        from kvroles.migrate import hazards

        release = hazards.target(args.target_vllm)
    options = settings.Options(
        settings.load(config, args.side), release, proof=args.write or args.diff or args.format == "json"
    )
    if "-" in args.paths:
        if os.path.lexists("-"):  # a gate that is given the names of files would else pass on an empty input
            raise UsageError(
                "- stands for standard input, and there is a file of that name here", fix="Name the file ./-"
            )
        if len(args.paths) > 1:
            raise UsageError("- stands for standard input and goes with no other path")
        return _standard_input(args, options)
    for path in args.paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path} does not exist")
    found = search.over(args.paths, options.settings)
    from kvroles.migrate import run  # not before: what it needs is loaded while other processes look for files

    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    gc.enable()
    results = run.each(found, options)
    whole = _write(results) if args.write else True
    _report(args, results, sys.stdout)
    return int(Exit.DOES_NOT_APPLY if not whole or (args.check and run.left(results)) else Exit.DONE)


def _standard_input(args: argparse.Namespace, options: Options) -> int:
    from kvroles.migrate import run, walk

    data = sys.stdin.buffer.read()
    hit = walk.judge("-", data)
    if len(data) > walk.MAX_BYTES:
        hit = walk.Hit("-", skipped=f"larger than {walk.MAX_BYTES >> 20} MB")
    result = run.skipped("-", hit.skipped) if hit.skipped else None
    if not hit.skipped and b"kv_both" in data:
        result = run.of_bytes("-", "-", data, options)
    results = [result] if result is not None else []
    if args.write:
        after = result.after if result is not None else None
        for f in result.findings if result is not None else []:
            f.written = after is not None and f.role is not None
        sys.stdout.buffer.write(data if after is None else after)
        sys.stdout.buffer.flush()
    _report(args, results, sys.stderr if args.write else sys.stdout)
    return int(Exit.DOES_NOT_APPLY if args.check and run.left(results) else Exit.DONE)


def _write(results: list[FileResult]) -> bool:
    """Write what is to be written; whether all of it could be."""
    from kvroles.migrate import rewrite
    from kvroles.migrate.run import skipped

    whole = True
    for r in results:
        if r.after is None:
            continue
        try:
            rewrite.write(r.path, r.before, r.after)
        except rewrite.NotWrittenError as e:
            r.findings += skipped(r.path, f"not written, {e}").findings
            whole = False
            continue
        for f in r.findings:
            f.written = f.role is not None
    return whole


def _report(args: argparse.Namespace, results: list[FileResult], out: TextIO) -> None:
    from kvroles.migrate import report

    report.render(results, out, form=args.format or "text", diff=args.diff, verbose=args.verbose, quiet=args.quiet)
