"""A progress bar on standard error, on terminals only, and gone when the work is done."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

from kvroles.said import said

_WIDTH = 30
_FIRST_S = 0.3  # work shorter than this shows nothing
_EVERY_S = 0.1


class Progress:
    """``with Progress("Fetching x", total) as p: p.at(done)``; units are bytes, or what ``unit`` says. ``quiet`` silences it."""

    def __init__(
        self, label: str, total: int, *, quiet: bool = False, out: TextIO | None = None, unit: str = ""
    ) -> None:
        self._out = out or sys.stderr
        self._label = said(label)
        self._total = max(total, 1)
        self._of = f"{total} {unit}" if unit else f"{self._total / 1e6:.0f} MB"
        self._shown = False
        self._next = time.monotonic() + _FIRST_S
        self._done = 0
        self._on = not quiet and self._out.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Progress:
        return self

    def add(self, amount: int) -> None:
        """``amount`` more bytes are done."""
        self.at(self._done + amount)

    def at(self, done: int) -> None:
        """``done`` bytes are done in all."""
        self._done = done
        if not self._on or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        self._shown = True
        part = min(done / self._total, 1.0)
        bar = "#" * int(part * _WIDTH)
        self._write(f"\r{self._label}  [{bar:<{_WIDTH}}] {part:4.0%} of {self._of}")

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # a terminal that is gone ends the bar, not the work
            self._on = self._shown = False
