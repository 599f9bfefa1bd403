"""Root without its powers over files: a mode that forbids reading or writing then forbids it root as well."""

from __future__ import annotations

import ctypes
import os
import sys

_OVER_FILES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of capabilities(7)
_VERSION = 0x20080522  # of capget(2)'s structures: two of three words


def give_up() -> None:
    """From now on this process, and what it forks, goes by the modes of files. A program that it starts does not."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0, os.strerror(ctypes.get_errno())
    data[0] &= ~_OVER_FILES  # effective
    data[1] &= ~_OVER_FILES  # permitted, which access(2) goes by
    assert libc.capset(header, data) == 0, os.strerror(ctypes.get_errno())
