"""Goes through the open cases: asks for a key, keeps the answer at once, goes back where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kvroles.evidence.frames import Side
from kvroles.migrate.answers.answer import Answer
from kvroles.migrate.answers.settings_file import SettingsFile
from kvroles.migrate.review.case import Case, as_it_was, shown, wrapped
from kvroles.migrate.review.terminal import Terminal

_HELP = """\
p  prefill: the role becomes kv_producer
d  decode: the role becomes kv_consumer
b  both: it stays kv_both; asks for the reason
s  skip: stays open
u  undo: back to the case before, without its answer
q  quit: the rest stays open
?  this help
Each answer is kept at its key, in {file}. Files are changed at the end,
once you agreed."""
_SIDES = {"p": Side.PREFILL, "d": Side.DECODE}


class _Step(NamedTuple):
    """One case that was passed: its number, and whether an answer was kept."""

    at: int
    kept: bool = False


class Session:
    """The review of ``cases``; ``home`` says which settings file keeps the answers about a path."""

    def __init__(self, cases: Sequence[Case], terminal: Terminal, home: Callable[[str], str]) -> None:
        self._cases = cases
        self._terminal = terminal
        self._home = home
        self._files: dict[str, SettingsFile] = {}
        self._done: list[_Step] = []

    @property
    def answered(self) -> int:
        return sum(step.kept for step in self._done)

    @property
    def files(self) -> list[str]:
        """The settings files that hold the answers that were given."""
        return sorted({self._home(self._cases[s.at].path) for s in self._done if s.kept})

    def run(self) -> None:
        """Ask until all cases were passed, or to quit. Raises ``ClosedError``; what was answered is kept."""
        at = 0
        while at < len(self._cases):
            case = self._cases[at]
            self._terminal.say("\n".join(shown(case, self._terminal, f"({at + 1} of {len(self._cases)})")))
            moved = self._ask(case, at)
            if moved is None:
                return
            at = moved

    def _ask(self, case: Case, at: int) -> int | None:
        """The number of the case to go to; None to quit."""
        sides = "p,d," if case.finding.answerable else ""
        prompt = f"({at + 1} of {len(self._cases)}) Which side? [{sides}b,s,u,q,?] "
        while True:
            self._terminal.drop()  # what is left of a text that was pasted is no answer
            self._terminal.say(prompt, end="")
            key = self._terminal.key()
            self._terminal.say(key if key.isprintable() else "")
            match key:
                case "p" | "d" if not case.finding.answerable:
                    self._say("A side does not settle this one. Press b and say why it stays, s to leave it open.")
                case "p" | "d":
                    if self._keep(case, at, _SIDES[key], ""):
                        return at + 1
                case "b":
                    because = self._terminal.line("Why does it stay kv_both? ")
                    if not because:
                        self._say("Without a reason nothing is kept.")
                    elif self._keep(case, at, None, because):
                        return at + 1
                case "s":
                    self._done.append(_Step(at))
                    return at + 1
                case "u":
                    if self._done:
                        return self._undo()
                    self._say("This is the first one.")
                case "q" | "\x04":
                    return None
                case _:
                    self._terminal.say(_HELP.format(file=self._home(case.path)))

    def _keep(self, case: Case, at: int, side: Side | None, because: str) -> bool:
        """Keep an answer; whether it is kept."""
        f = case.finding
        if not as_it_was(case):
            self._say("The file changed since it was read, and the line with it. Press s, and run again later.")
            return False
        home = self._home(case.path)
        name = os.path.relpath(os.path.realpath(case.path), os.path.realpath(os.path.dirname(home) or "."))
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            self._say("The file's name is not UTF-8, which no settings file holds. Rename it, or answer in the file.")
            return False
        answer = Answer(name, f.key, side, because, f.excerpt or f.message)
        self._file(home).put(answer)
        self._done.append(_Step(at, kept=True))
        return True

    def _undo(self) -> int:
        step = self._done.pop()
        if step.kept:
            self._file(self._home(self._cases[step.at].path)).take_back()
        return step.at

    def _file(self, path: str) -> SettingsFile:
        if path not in self._files:
            self._files[path] = SettingsFile(path)
        return self._files[path]

    def _say(self, text: str) -> None:
        self._terminal.say("\n".join(wrapped(text, self._terminal.width)))
