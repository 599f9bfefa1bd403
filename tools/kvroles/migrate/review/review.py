"""A review from its first case to what is written in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvroles.errors import Exit, KvRolesError
from kvroles.migrate.review.case import cases
from kvroles.migrate.review.session import Session
from kvroles.migrate.review.terminal import ClosedError, Terminal
from kvroles.said import counted, said

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Found
    from kvroles.migrate.settings import Known

_COLOURS = {"+": "32", "-": "31", "@": "36"}


def ask(results: list[FileResult], found: list[Found], known: Known, terminal: Terminal) -> Known:
    """Ask for each open case of ``results``; returns the settings, read anew with the answers in them.

    Raises ``KvRolesError`` if the terminal is closed, or an answer cannot be kept.
    """
    roots = {f.path: f.root for f in found}
    session = Session(cases(results), terminal, lambda path: known.home(path, roots[path]))
    try:
        with terminal.keys():
            session.run()
            _said(session, terminal)
    except ClosedError:
        raise _closed() from None
    return known.anew()


def _said(session: Session, terminal: Terminal) -> None:
    if session.answered:
        answers = "1 answer is" if session.answered == 1 else f"{session.answered} answers are"
        terminal.say(f"\n{answers} kept in {', '.join(map(said, session.files))}.")


def confirm(results: list[FileResult], terminal: Terminal, *, ask: bool) -> bool:
    """Show the changes that ``results`` hold; whether to write them. With ``ask`` a person decides; else any change is written.

    Raises ``KvRolesError`` if the terminal is closed.
    """
    changes = [r for r in results if r.after is not None]
    try:
        for r in changes:
            for line in r.patch.splitlines():
                heading = line.startswith(("+++", "---"))
                terminal.say(terminal.paint(line, "1" if heading else _COLOURS.get(line[:1], "0")))
        if not changes or not ask:
            return bool(changes)
        roles = sum(f.role is not None for r in changes for f in r.findings)
        what = f"{counted(roles, 'role')} in {counted(len(changes), 'file')}"
        with terminal.keys():
            while True:
                terminal.drop()
                terminal.say(f"Write {what}? [y,n] ", end="")
                key = terminal.key()
                terminal.say(key if key.isprintable() else "")
                if key in {"y", "n", "q", "\x04"}:
                    return key == "y"
    except ClosedError:
        raise _closed() from None


def _closed() -> KvRolesError:
    return KvRolesError(
        Exit.DOES_NOT_APPLY,
        "The terminal was closed in the midst of the review",
        found="nothing written to the files; the answers given so far are kept",
        fix="Run it again for the rest",
    )
