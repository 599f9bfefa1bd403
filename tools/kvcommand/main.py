"""``kv-roles COMMAND``: the same command lines as ``tools/*.py``. ``kv-roles PATH`` is ``kv-roles migrate PATH``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kvroles.console import Parser, finish, note, say, start, without_library
from kvroles.errors import Exit

DISTRIBUTION = "vllm-kv-roles"
# command -> the module that holds its ``main(argv, prog)`` and ``parser(prog)``, and what it does
COMMANDS = {
    "migrate": ("kvroles.migrate.cli", "rewrite your own configurations (the default: kv-roles PATH)"),
    "apply": ("kvroles.apply.command", "patch a vLLM release, commit or tree"),
    "vendor": ("kvroles.vendored.build_command", "patch a wheel, an installed vLLM or an image, and prove it"),
    "verify": ("kvworkshop.verify.command", "prove every release from its archive (in a checkout)"),
    "port": ("kvworkshop.port.command", "bring the series to a new release (in a checkout)"),
}
_HOME = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` names; returns its exit code. A command is only ever the first word."""
    given = list(sys.argv[1:] if argv is None else argv)
    start()
    named = bool(given) and given[0] in COMMANDS
    prog = f"kv-roles {given[0]}" if named else "kv-roles"
    try:
        told = None if named else _told(given)
        if told is not None:
            return finish(prog, told)
        return _command(given.pop(0) if named else "migrate")(given, prog)
    except ModuleNotFoundError as e:
        return without_library(prog, e)
    except KeyboardInterrupt:  # while a command is loaded: from then on the command itself says so
        note(f"{prog}: interrupted.")
        return finish(prog, 130)


def _told(given: list[str]) -> int | None:
    """Answer what is asked of ``kv-roles`` itself; returns the exit code, or None where ``given`` is for ``migrate``."""
    first = given[0] if given else "--help"
    if first in ("-h", "--help") and len(given) <= 1:
        say(_help())
        return Exit.DONE if given else Exit.USAGE
    if first == "--version":
        say(f"kv-roles {_version()}\n")
        return Exit.DONE
    if first == "--print-completion":
        return _completion(given[1:])
    # With --json, migrate refuses the missing path itself, as the JSON object that a program expects.
    if first.isalpha() and not os.path.lexists(first) and "--json" not in given:
        note(
            f"kv-roles: {first} is no command ({', '.join(COMMANDS)}), and no path that exists. See `kv-roles --help`.\n"
        )
        return Exit.USAGE
    return None


def _command(name: str) -> Callable[[Sequence[str], str], int]:
    module = COMMANDS[name][0]
    if module.startswith("kvworkshop."):
        if not (_HOME / "kvworkshop").is_dir():
            note(
                f"kv-roles {name}: it works on the project's own patches, and this is an installation without them. Run it "
                "in a clone of the project.\n"
            )
            raise SystemExit(Exit.USAGE)
        if str(_HOME) not in sys.path:  # an editable installation finds the wheel's packages only, without kvworkshop
            sys.path.insert(0, str(_HOME))
    run = import_module(module).main
    return lambda argv, prog: int(run(list(argv), prog))


def _help() -> str:
    rows = "".join(f"  {name:<8}  {what}\n" for name, (_, what) in COMMANDS.items())
    return (
        "usage: kv-roles COMMAND ...\n\nCarry vLLM's kv_both deprecation: find and rewrite it in configurations, patch vLLM, "
        f"and prove it.\n\n{rows}\n`kv-roles COMMAND --help` tells a command's options. A path of a command's name needs "
        "'./' before it.\n`kv-roles --print-completion bash|zsh` prints what a shell completes words with.\n"
    )


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"


def _completion(argv: list[str]) -> int:
    """Print the script by which the shell that ``argv`` names completes a command line of ``kv-roles``."""
    # lazy: asked for once, when a shell is set up
    import shtab

    shells = ("bash", "zsh")
    if len(argv) != 1 or argv[0] not in shells:
        note(f"kv-roles --print-completion: name one shell of {', '.join(shells)}.\n")
        return Exit.USAGE
    whole = Parser(prog="kv-roles")
    commands = whole.add_subparsers()
    for name, (module, what) in COMMANDS.items():
        if module.startswith("kvroles."):
            own = import_module(module).parser(f"kv-roles {name}")
            commands.add_parser(name, help=what, parents=[own], add_help=False)
    say(str(shtab.complete(whole, argv[0])) + "\n")
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
