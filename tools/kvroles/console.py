"""How every tool starts, prints and ends: arguments, results, one paragraph on failure, an exit code, never a traceback.

What is printed goes through ``said``. Printing never ends a run: what the run found out is its exit code, also where
nobody could read it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence, Set
from typing import Any, NoReturn, TextIO

from kvroles.errors import Exit, KvRolesError, UsageError, os_error
from kvroles.said import as_json, page, said, shell

# The options that have an effect in every run: they say where things are, and how much is printed.
EVERYWHERE = frozenset({"offline", "index_url", "cache_dir", "quiet", "verbose"})
# Objects until the young are collected, and how often until the older are. Python's 700 has what a run loads, and the trees of
# every file that migrate reads, walked dozens of times; its 10 and 10 let the trees of a hundred files pile up.
_COLLECT_AFTER = 10_000, 2, 2
_refused: list[OSError] = []  # what the operating system answered when standard output was written


class Formatter(argparse.HelpFormatter):
    """Knows its width: argparse, which makes one for every argument, else loads ``shutil`` to ask for it."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
        except (OSError, ValueError):
            width = 80
        super().__init__(prog, width=width - 2)


class Parser(argparse.ArgumentParser):
    """An argument parser whose messages are safe, and give away no argument that may hold a credential.

    An argument that is empty is refused: it is a variable of a script that was not set, and would be read as the current
    folder, or as an option that nobody gave.
    """

    def __init__(self, *, formatter_class: type[Formatter] = Formatter, **kwargs: Any) -> None:
        super().__init__(formatter_class=formatter_class, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, once no word is empty, and no option's value. What was parsed knows its ``parser``."""
        words = list(sys.argv[1:] if args is None else args)
        ends = words.index("--") if "--" in words else len(words)
        last = ""
        for at, word in enumerate(words):
            option, equals, value = word.partition("=")
            if not word or (at < ends and option.startswith("--") and equals and not value):
                name = option or (last if last.startswith("-") and at < ends else "")
                self.error(f"{f'argument {name}' if name else 'an argument'} is empty; name a value or leave it out")
            last = word
        parsed, rest = super().parse_known_args(words, namespace)
        parsed.parser = self
        return parsed, rest

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (say if file is None or file is sys.stdout else note)(message)

    def error(self, message: str) -> NoReturn:
        """Print usage and ``message``, and end with 2; of the words of the command line only plain ones are repeated."""
        message = " ".join(map(_plain, message.split(" ")))
        self.also(message)
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {said(message)}\n")

    def also(self, message: str) -> None:
        """Say ``message``, that of an error, in another form too."""


def _plain(word: str) -> str:
    """``word`` of an error, or what stands for it where it may be an address or hold a password."""
    option, equals, value = word.partition("=")
    if re.search(r"[@?]|//|:.", value if equals and option.startswith("-") else word):
        return f"{option}=..." if equals and option.startswith("-") else "(an argument that is not shown)"
    return word


def refuse_idle(args: argparse.Namespace, kind: str, used: Set[str]) -> None:
    """Raise UsageError for an option that a run of ``kind`` would pass over: whoever gave it expects an effect.

    ``args`` are what a ``Parser`` made; ``used`` are the options that such a run looks at beside those of ``EVERYWHERE``, by
    their names in ``args``.
    """
    for action in args.parser._actions:
        given = getattr(args, action.dest, action.default)
        if given != action.default and action.dest not in used | EVERYWHERE:
            option = action.option_strings[-1]
            raise UsageError(f"{option} has no effect with {kind}", fix=f"Leave {option} out")


def guarded(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
    *,
    version: int | None = None,
    interrupted: str = "the target is as it was, or the next run finishes it",
) -> int:
    """Parse, run, and turn a KvRolesError into its paragraph on standard error and its exit code.

    With ``--json`` the error is printed as ``{"error": ..., "code": N}`` on standard output too, with the ``version`` of the
    document that it stands for. Where output cannot be written, standard error says so and a code of 0 becomes 1; a reader that
    closed the pipe (``| head``) changes nothing.
    """
    gc.set_threshold(*_COLLECT_AFTER)
    start()
    try:
        args = parser.parse_args(argv)
    except SystemExit as e:
        return finish(parser.prog, e.code if isinstance(e.code, int) else Exit.DONE)
    try:
        code = run(args)
    except KvRolesError as e:
        _hide_passwords(e, sys.argv[1:] if argv is None else argv)
        code = _failed(parser, args, version, e)
    except KeyboardInterrupt:
        note(f"{parser.prog}: interrupted; {interrupted}.")
        code = 130
    except ModuleNotFoundError as e:
        code = without_library(parser.prog, e)
    except OSError as e:  # what the operating system refuses is the user's to mend, wherever it came up
        code = _failed(parser, args, version, _of_the_system(e))
    except (MemoryError, RuntimeError) as e:
        code = _failed(
            parser, args, version, KvRolesError(Exit.DOES_NOT_APPLY, f"The run ended for lack of {_lack(e)}")
        )
    return finish(parser.prog, code)


def _of_the_system(e: OSError) -> KvRolesError:
    """What the operating system refused, in its words; where it is the current folder that is gone, in ours."""
    if e.filename is None and isinstance(e, FileNotFoundError) and not _is_there():
        return UsageError("The current folder was deleted", fix="Go to one that exists (`cd`), and run again")
    return os_error("The run ended", e, unchanged=False)


def _lack(e: MemoryError | RuntimeError) -> str:
    """What a run had too little of; raises ``e`` where it is another error, one of this program."""
    if isinstance(e, MemoryError):
        return "memory"
    if isinstance(e, RecursionError):
        return "stack: an input is nested too deeply"
    if str(e) == "can't start new thread":  # CPython's words, where RLIMIT_NPROC, RLIMIT_AS or a cgroup forbids one
        return "threads: the system starts no more of them, or has no memory for one (`ulimit -u`, `ulimit -v`)"
    raise e


def _is_there() -> bool:
    """Whether the current folder still has a name."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def start() -> None:
    """Make the standard streams fit to be written: open, waited for, and able to take any character. Make a child's exit
    code one that is heard of."""
    _refused.clear()
    # Ignored by a parent, it would make a program that failed read as one that passed.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # As tools/*.py leave it: from here on ``guarded`` tells of an interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not os.environ.get("HOME", "~"):  # the root folder is nobody's home: as if it were not set
        del os.environ["HOME"]
    os.environ["PATH"] = search_path()  # no program is taken from the current folder, by nobody we start
    for name in ("COLUMNS", "LINES"):  # rich, which draws verify's table, makes a number of whatever stands there
        if not re.fullmatch(r"[0-9]{1,5}", os.environ.get(name, "0")):
            del os.environ[name]
    for fd in range(3):  # else the next file that is opened takes the place of a closed one, and is printed into
        try:
            os.set_blocking(fd, True)  # a parent may have left it so that a full pipe takes half of a report
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us, who wants no output
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open as long as we run
        elif hasattr(stream, "reconfigure"):  # a path may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")


def finish(prog: str, code: int) -> int:
    """Write out what was printed; the exit code, which is not 0 where standard output could not be written."""
    gc.freeze()  # the interpreter is about to end, and need not look for what could be freed
    _write(sys.stdout, "")
    if code == Exit.DONE and _refused and _refused[0].errno != errno.EPIPE:
        why = _refused[0].strerror or str(_refused[0])
        _paragraph(prog, KvRolesError(Exit.DOES_NOT_APPLY, f"Standard output cannot be written: {why}"))
        code = Exit.DOES_NOT_APPLY
    if sys.flags.inspect and os.environ.get("PYTHONINSPECT"):  # Python would print a traceback of the exit itself
        _write(sys.stderr, "")
        sys.stderr.flush()
        os._exit(int(code))
    return int(code)


def say(text: str) -> None:
    """Print ``text``, lines of ours, on standard output. Never raises: ``finish`` says what could not be written."""
    _write(sys.stdout, page(text if text.endswith("\n") else f"{text}\n"))


def say_json(document: Any) -> None:
    """Print ``document`` as JSON on standard output."""
    _write(sys.stdout, as_json(document) + "\n")


def say_exactly(text: str | bytes) -> None:
    """Print ``text`` as it is on standard output: a patch or a file, which has to hold what the files hold. It is written out at
    once, so that ``can_say`` knows."""
    if isinstance(text, str):
        _write(sys.stdout, text)
        _write(sys.stdout, "")
        return
    _write(sys.stdout, "")
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    except OSError as e:
        _refused.append(e)
        _drop(sys.stdout)
    except (AttributeError, ValueError):  # no stream of bytes, or closed by somebody in this process
        pass


def can_say() -> bool:
    """Whether standard output still takes what is printed."""
    return not _refused


def note(text: str) -> None:
    """Print ``text`` on standard error, if that can be written."""
    _write(sys.stderr, page(text if text.endswith("\n") else f"{text}\n"))


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        if stream is sys.stderr or not text:
            stream.flush()
    except OSError as e:
        if stream is sys.stdout:
            _refused.append(e)
        _drop(stream)
    except ValueError:  # closed by somebody in this process
        pass


def _drop(stream: TextIO) -> None:
    """Point ``stream`` at nothing, so that Python does not complain of it once more when it exits."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def _hide_passwords(e: KvRolesError, argv: Sequence[str]) -> None:
    """Take from ``e`` what stands before the host in an argument like ``https://USER:PASSWORD@HOST``, whatever it was for."""
    for word in argv:
        for m in re.finditer(r"[^@\s/=]+:[^@\s]*@", word):
            for given in {m[0], re.sub("/+", "/", m[0])}:  # as a path it has lost a slash
                for part in ("what", "expected", "found", "fix"):
                    text = getattr(e, part)
                    if text is not None:
                        setattr(e, part, text.replace(given, "...@").replace(said(given), "...@"))


def without_library(prog: str, e: ModuleNotFoundError) -> int:
    """Say that a library is not installed, and how to get it; returns the exit code. Raises ``e`` when it is no library."""
    name = str(e.name).partition(".")[0]
    if name in ("kvroles", "kvworkshop"):
        raise e
    start()
    lack = UsageError(
        f"It needs the library {name!r}, which {sys.executable} lacks",
        fix=f"{libraries()}; apply.py alone needs none",
    )
    _paragraph(prog, lack)
    return lack.code


def libraries() -> str:
    """How to get the libraries that a run takes: with the checkout that it runs from, or with the wheel."""
    root = os.path.realpath(os.path.join(__file__, "..", "..", ".."))
    if os.path.isfile(os.path.join(root, "pyproject.toml")):
        return f"Run `{shell(sys.executable, '-m', 'pip', 'install', '-e', root)}`"
    return "Install the package anew, with `python -m pip install --force-reinstall` and its wheel"


def _failed(parser: argparse.ArgumentParser, args: argparse.Namespace, version: int | None, e: KvRolesError) -> int:
    if getattr(args, "json", False):
        say_json(({"version": version} if version else {}) | {"error": str(e), "code": int(e.code)})
    _write(sys.stdout, "")
    _paragraph(parser.prog, e)
    return e.code


def _paragraph(prog: str, e: KvRolesError) -> None:
    """The error's paragraph on standard error, as wide as the terminal."""
    import textwrap  # lazy: only a failure is wrapped

    width = min(100, max(40, _columns()))
    # A command on two lines would not run: its blanks are no place to break a line.
    whole = re.sub(r"`[^`]*`", lambda m: m[0].replace(" ", "\0"), f"{prog}: {e}")
    note(textwrap.fill(whole, width, break_long_words=False, break_on_hyphens=False).replace("\0", " "))


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 100


def search_path() -> str:
    """The absolute folders of PATH. An empty or relative entry stands for the current folder, whoever filled that."""
    return os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
