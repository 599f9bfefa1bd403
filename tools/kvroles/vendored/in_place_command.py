"""``install``, ``uninstall`` and ``verify``, the commands on an installed vLLM; they need Python >= 3.11 and nothing else."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kvroles.console import Parser, guarded, say, say_json, start
from kvroles.errors import Exit, UsageError
from kvroles.series import project
from kvroles.vendored.installed import change, distribution, layer, proof, report
from kvroles.vendored.installed.search import Run

COMMANDS = ("install", "uninstall", "verify")
CODES = """Exit codes: 0 done or nothing to do; 1 does not apply; 2 wrong usage; 3 a hash, RECORD, the receipt, bytecode,
what Python imports, or the contract does not hold; 4 the source cannot be had."""
INSTALL = """Finds the vLLM that an interpreter imports, run as it will be. Reads every file of it, patches the connector,
rewrites RECORD, and leaves a receipt and the originals in dist-info. Files that others changed are listed. A run that was
killed is finished by the next."""
UNINSTALL = """Puts the stored originals and RECORD back, and takes the receipt away. A run that was killed is finished by the
next."""
VERIFY = """Nothing is written. First reads every byte: what RECORD names, what lies beside it, bytecode against its source, and
the code that Python runs at its start. Then asks Python, run as it will be, which files it imports, and constructs
NixlConnector in each role. 'verified' says that all of it agrees; 'patch proven' that others changed files, which are listed;
'bytes proven' that nothing could be constructed. Code 3 names the file that is not as it should be."""


def parser() -> argparse.ArgumentParser:
    """The command line of ``apply.pyz`` for an installed vLLM."""
    about = "Patch an installed vLLM, take that back, and prove it."
    p = Parser(prog="apply.pyz", description=about, epilog=CODES, allow_abbrev=False)
    add(p.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return p


def add(commands: Any) -> None:
    """Add the three commands to the subparsers ``commands``."""

    def command(name: str, short: str, long: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=short, description=long, allow_abbrev=False)
        return made

    install = command("install", "patch an installed vLLM where it lies", INSTALL)
    install.add_argument(
        "--layer", metavar="DIR", type=Path, help="also copy what is changed to DIR, at full paths (for COPY --from)"
    )
    uninstall = command("uninstall", "put the stored originals back", UNINSTALL)
    verify = command("verify", "prove an installed vLLM, and what Python imports of it", VERIFY)
    for one in (install, verify):
        one.add_argument("--vllm-rev", metavar="R", help="refuse anything but this release")
        one.add_argument("--strict", action="store_true", help="refuse what others changed (code 3), not only list it")
        one.add_argument(
            "--require-construction",
            action="store_true",
            help="code 3 unless the patched NixlConnector was constructed in every role, in this very environment",
        )
    for one in (install, uninstall, verify):
        one.add_argument("--python", metavar="EXE", type=Path, help="the interpreter that imports it (default: this)")
        one.add_argument(
            "--site-packages",
            metavar="DIR",
            type=Path,
            help="the folder that holds vllm/ (default: where EXE finds it)",
        )
        one.add_argument(
            "--part",
            choices=("package", "runtime"),
            default="package",
            help="runtime: also a package that no RECORD vouches for (editable, copied over), fitted by context if need be",
        )
        how = one.add_argument_group("how vLLM will be run (default: as this is run)")
        how.add_argument("--env", metavar="NAME=VALUE", action="append", default=[], help="a variable it will have")
        how.add_argument("--workdir", metavar="DIR", type=Path, help="the working directory it will have")
        how.add_argument(
            "--through", metavar="CMD", help="the entry point before it, which runs the command it is given"
        )
        how.add_argument(
            "--isolated",
            action="store_true",
            help="ask `python -I`: no environment, user packages or working directory",
        )
        common(one)


def common(p: argparse.ArgumentParser) -> None:
    """What every command takes."""
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    series, lock = project.load()
    runtime = args.part == "runtime"
    found = distribution.find(args.python, args.site_packages, _run(args), runtime=runtime, verb=args.command)
    if args.command == "install":
        if args.layer:
            layer.check(found, args.layer)
        wish = change.Wish(args.vllm_rev, runtime, args.strict, args.require_construction)
        changed = change.install(found, series, lock, wish)
        if args.layer:
            layer.write(changed, args.layer)
        return tell(args, report.change_json, report.change_text, changed)
    if args.command == "uninstall":
        return tell(args, report.change_json, report.change_text, change.uninstall(found))
    proven = proof.verify(
        found,
        series,
        lock,
        asked_release=args.vllm_rev,
        runtime=runtime,
        strict=args.strict,
        require_construction=args.require_construction,
    )
    return tell(args, report.proof_json, report.proof_text, proven)


def _run(args: argparse.Namespace) -> Run:
    environ = dict(os.environ)
    for pair in args.env:
        name, equals, value = pair.partition("=")
        if not equals or not name or "\0" in pair:
            raise UsageError(f"--env {pair!r} sets no variable", expected="NAME=VALUE")
        environ[name] = value
    if args.workdir is not None and not args.workdir.is_dir():
        raise UsageError(
            f"--workdir {args.workdir} is not a folder", fix="Give it the folder that vLLM will be started in"
        )
    try:
        through = tuple(shlex.split(args.through or ""))
        folder = (args.workdir or Path.cwd()).resolve()
    except ValueError as e:
        raise UsageError(f"--through {args.through!r} is not a command: {e}") from None
    except OSError as e:
        raise UsageError(f"The working directory cannot be had: {e.strerror}", fix="Name one with --workdir") from None
    return Run(environ, folder, through, args.isolated, tuple(_words(args)))


def _words(args: argparse.Namespace) -> list[str]:
    """The options that name this installation, and how it will be run, once more."""
    out: list[str] = []
    for option, value in (
        ("--python", args.python),
        ("--site-packages", args.site_packages),
        ("--workdir", args.workdir),
    ):
        out += [option, str(value)] if value is not None else []
    out += [word for pair in args.env for word in ("--env", pair)]
    out += ["--through", args.through] if args.through else []
    out += ["--isolated"] if args.isolated else []
    return out + (["--part", args.part] if args.part != "package" else [])


def tell(args: argparse.Namespace, as_json: Callable[[Any], Any], text: Callable[[Any], str], result: object) -> int:
    """Print the result as asked."""
    if args.json:
        say_json(as_json(result))
    elif not args.quiet:
        say(text(result))
    return Exit.DONE


def without_startup_code(module: str, argv: Sequence[str], prog: str) -> None:
    """Start ``module``'s ``main(argv, prog)`` again with ``-I -S`` where this Python ran start-up code: that of the very
    environment that is to be proven.

    Returns when there is nothing to start again. The standard library goes before this program's own folder.
    """
    if sys.flags.isolated and sys.flags.no_site:
        return
    home = str(Path(__file__).resolve().parents[2])
    script = f"import sys; sys.path.append({home!r}); from {module} import main; sys.exit(main(prog={prog!r}))"
    start()  # a closed stream would be the next file that is opened
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", "-c", script, *argv])


def main(argv: Sequence[str] | None = None, prog: str = "apply.pyz") -> int:
    """``apply.pyz install|uninstall|verify``."""
    if argv is None:
        without_startup_code(__name__, sys.argv[1:], prog)
    return guarded(parser(), run, argv)
