"""What we take from the environment, in a module that loads nothing: every tool starts with it."""

from __future__ import annotations

import os


def search_path() -> str:
    """The absolute folders of PATH. An empty or relative entry stands for the current folder, whoever filled that."""
    return os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
