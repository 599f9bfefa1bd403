"""What earlier series of this project made of a file, where the present one makes something else of it.

``patches/earlier/`` holds it: ``<last>-<topic>-<variant>.patch`` is the part of a variant that was changed since series
number ``<last>``, and ``overlay`` names the overlay's files of each earlier series by their SHA-256. ``tools/port.py --keep``
writes both. With them a tree that an earlier series has patched is known, and can be taken back to what upstream ships.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

from kvroles.errors import Unproven
from kvroles.places import Readable, leaves, restored
from kvroles.series import patchfile
from kvroles.series.patchfile import FilePatch

FOLDER = "earlier"  # below patches/
OVERLAY_LIST = "overlay"
# Compiled where they are first used: most runs meet no earlier series.
_MAIL = r"([0-9]{1,6})-([a-z0-9-]{1,100})-([0-9][0-9.]{0,30})\.patch"
_LINE = r"([0-9a-f]{64})  ([0-9]{1,6})  (\S.*)"


class Change(NamedTuple):
    """The change that ``topic`` made to a file (``patch.path``), up to series ``number``."""

    topic: str
    variant: str
    number: int
    patch: FilePatch


class Earlier:
    """The earlier series; ``folder`` is None where there are none. Nothing is read before it is asked for."""

    def __init__(self, folder: Readable | None = None) -> None:
        self._folder = folder

    @cached_property
    def number(self) -> int:
        """The number of the present series: one more than the last earlier one's."""
        numbers = [int(m[1]) for name in self._names() if (m := re.fullmatch(_MAIL, name))]
        return 1 + max([*numbers, *(n for known in self.overlay.values() for n in known.values())], default=0)

    @cached_property
    def overlay(self) -> dict[str, dict[str, int]]:
        """path -> SHA-256 -> the last earlier series whose overlay held these bytes. Raises Unproven when damaged."""
        out: dict[str, dict[str, int]] = {}
        for line in self._text(OVERLAY_LIST).splitlines():
            m = re.fullmatch(_LINE, line)
            if m is None or leaves(m[3]):
                raise _damaged(OVERLAY_LIST, f"its line {line[:80]!r} is no 'SHA-256  number  path'")
            known = out.setdefault(m[3], {})
            known[m[1]] = max(int(m[2]), known.get(m[1], 0))
        return out

    @cached_property
    def changes(self) -> dict[str, tuple[Change, ...]]:
        """path -> the changes that were made to it, the latest first. Raises Unproven when a mail is damaged."""
        found: list[Change] = []
        for name in self._names():
            m = re.fullmatch(_MAIL, name)
            if m is None:
                raise _damaged(name, "its name is not <number>-<topic>-<variant>.patch")
            assert self._folder is not None
            parsed = patchfile.parse((self._folder / name).read_bytes(), f"patches/{FOLDER}/{name}")
            found += [Change(m[2], m[3], int(m[1]), f) for f in parsed.files]
        out: dict[str, tuple[Change, ...]] = {}
        for change in sorted(found, key=lambda c: -c.number):
            out[change.patch.path] = (*out.get(change.patch.path, ()), change)
        return out

    def _names(self) -> list[str]:
        if self._folder is None or not self._folder.is_dir():
            return []
        names = [child.name for child in self._folder.iterdir()]  # type: ignore[attr-defined]
        return sorted(n for n in names if n.endswith(".patch"))

    def _text(self, name: str) -> str:
        if self._folder is None or not (self._folder / name).is_file():
            return ""
        return (self._folder / name).read_bytes().decode("utf-8", "replace")


NONE = Earlier()


def _damaged(name: str, why: str) -> Unproven:
    return Unproven(f"patches/{FOLDER}/{name} is damaged: {why}", fix=restored(f"patches/{FOLDER}"))
