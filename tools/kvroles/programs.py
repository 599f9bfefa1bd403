"""Programs of the machine, found in absolute folders of PATH only: a folder that a run happens to start in names none."""

from __future__ import annotations

import os
import shutil


def search_path() -> str:
    """The absolute folders of PATH. An empty or relative entry stands for the current folder, whoever filled that."""
    return os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))


def find(name: str) -> str | None:
    """The absolute path of program ``name``, or None when there is none."""
    return shutil.which(name, path=search_path() or os.devnull)
