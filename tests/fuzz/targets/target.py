"""What a target is, and the ground that all targets share."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import tiny


@dataclass(frozen=True)
class Target:
    """A parser under attack: ``check`` raises if anything does not hold, ``seeds`` are inputs to begin with."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


@functools.cache
def ground() -> Path:
    """A folder in memory where there is one; gone with the process."""
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    keep = tempfile.TemporaryDirectory(prefix="kv-roles-fuzz-", dir=room)
    _KEPT.append(keep)
    return Path(keep.name)


_KEPT: list[object] = []


@functools.cache
def project() -> tiny.Tiny:
    (ground() / "tiny").mkdir()
    return tiny.make(ground() / "tiny")
