"""The terminal that a review is held in: single keys in, lines out. Its modes are restored whatever happens."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import sys
import termios
import tty
import unicodedata
from collections.abc import Iterator
from types import FrameType

from kvroles.errors import UsageError
from kvroles.said import page, said

_ESCAPE, _ERASE, _KILL, _END = "\x1b", "\x7f\b", "\x15", "\x04"


_ENDS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)  # each ends a process by default
_QUIET = 0.05  # seconds without a key after which a paste is over


class ClosedError(Exception):
    """The terminal is gone."""


class Terminal:
    """Standard input and output, both a terminal."""

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                "--review asks on a terminal, and standard input or output is none",
                fix="Run it in one, or answer in .kv-roles.toml: a row of [side] or [both] for each file",
            )
        self._in = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def width(self) -> int:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            columns = 0
        return max(20, columns) if columns else 80  # a serial line or a new pty says 0

    @contextlib.contextmanager
    def keys(self) -> Iterator[None]:
        """While each key is read by itself, and not shown."""
        before = termios.tcgetattr(self._in)

        def again(_: int, __: FrameType | None) -> None:  # stopped, and brought back
            tty.setcbreak(self._in)

        def end(number: int, _: FrameType | None) -> None:
            with contextlib.suppress(termios.error, OSError):
                if os.tcgetpgrp(self._in) == os.getpgrp():  # else the modes are the shell's by now
                    termios.tcsetattr(self._in, termios.TCSANOW, before)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        ends = [number for number in _ENDS if signal.getsignal(number) is signal.SIG_DFL]
        handlers = {number: signal.signal(number, end) for number in ends}
        handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, again)
        tty.setcbreak(self._in, termios.TCSADRAIN)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._in, termios.TCSADRAIN, before)

    def paint(self, text: str, code: str) -> str:
        """``text``, made safe, in a colour (``31`` to ``36``) or bold (``1``)."""
        return f"\x1b[{code}m{said(text)}\x1b[0m" if self.colours and text else said(text)

    def say(self, text: str, end: str = "\n") -> None:
        """Show ``text``, whose parts that others wrote went through ``said``. Raises ``ClosedError``."""
        self._write(page(text) + end)

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            raise ClosedError from None

    def drop(self, quiet: float = 0) -> None:
        """Pass over what was typed ahead, until nothing came for ``quiet`` seconds."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._in, termios.TCIFLUSH)
            while quiet and select.select([self._in], [], [], quiet)[0]:
                if not self._pending():
                    break
                termios.tcflush(self._in, termios.TCIFLUSH)
        self._decoder.reset()

    def _pending(self) -> bool:
        """Whether there is input, and not the end of it."""
        try:
            return bool(os.read(self._in, 1024))
        except OSError:
            return False

    def key(self) -> str:
        """The next key, without the rest of what an arrow or a function key sends. Raises ``ClosedError``."""
        key = self._character()
        if key == _ESCAPE:
            while select.select([self._in], [], [], 0.02)[0] and os.read(self._in, 32):
                pass
        return key

    def line(self, prompt: str) -> str | None:
        """A line that is typed in, or None for Escape or Ctrl-D. Raises ``ClosedError``."""
        self.say(prompt, end="")
        typed = ""
        while True:
            key = self.key()
            if key in "\r\n":
                self.drop(_QUIET)  # the next lines of a text that was pasted
                self.say("")
                return typed.strip()
            if key in {_ESCAPE, _END}:
                self.say("")
                return None
            if key in _ERASE or key == _KILL:
                keep = 0 if key == _KILL else len(typed) - 1
                self._write("\b \b" * cells(typed[max(keep, 0) :]))
                typed = typed[: max(keep, 0)]
            elif said(key) == key:
                typed += key
                self.say(key, end="")

    def _character(self) -> str:
        while True:
            try:
                byte = os.read(self._in, 1)
            except OSError:
                raise ClosedError from None
            if not byte:
                raise ClosedError
            if ch := self._decoder.decode(byte):
                return ch


def cells(text: str) -> int:
    """How many columns ``text`` takes."""
    return sum(
        0 if unicodedata.combining(ch) else 2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text
    )  # fmt: skip


def cut(text: str, width: int, at: int = 0, length: int = 0) -> tuple[str, int]:
    """The part of ``text`` that fits into ``width`` columns and has ``length`` characters from ``at`` on in it, and how many
    columns stand before them there. What is left out is three dots."""
    if cells(text) <= width:
        return text, cells(text[:at])
    start, end = at, min(len(text), at + length)
    room = width - cells(text[start:end]) - 6
    while room > 0 and (start > 0 or end < len(text)):
        if end < len(text) and (start == 0 or end - at - length <= (at - start) // 2):
            room -= cells(text[end])
            end += 1
        else:
            start -= 1
            room -= cells(text[start])
    before, behind = "..." if start else "", "..." if end < len(text) else ""
    return before + text[start:end] + behind, cells(before + text[start:at])
