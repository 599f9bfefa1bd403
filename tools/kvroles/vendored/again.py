"""The command line of this program, as a person can paste it: for the fix line of a refusal."""

from __future__ import annotations

import sys
from pathlib import Path

from kvroles.said import shell


def command(*words: str) -> str:
    """This program with ``words``, run by this interpreter: from a checkout, from ``apply.pyz``, or installed."""
    home = Path(__file__).resolve().parents[2]
    script = home if home.is_file() else home / "vendor.py"
    if not script.is_file():
        return shell("kv-roles", "vendor", *words)
    return shell(sys.executable, str(script), *words)
