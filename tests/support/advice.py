"""The commands that a message advises, as a shell is given them."""

from __future__ import annotations

import re


def commands(said: str) -> list[str]:
    """The commands and options in ``said``, which stand between backticks."""
    return re.findall(r"`([^`]+)`", " ".join(said.split()))
